"""What git says of a directory: its commit, and whether its files are as that has them. Runs git; changes nothing."""

import subprocess
from collections.abc import Sequence

from attrs import frozen

SECONDS = 30


@frozen
class Head:
    """A checkout's commit. ``changed``: whether files of the directory differ from it; None where that isn't told."""

    sha: str
    changed: bool | None


def head(directory: str = ".", *, untracked: bool = True) -> Head | None:
    """Return what is checked out there, None where that is no checkout with a commit, or there is no git.

    ``untracked``: whether files that git doesn't know count as changes.
    """
    sha = _asked(directory, ["rev-parse", "--verify", "HEAD"])
    if not sha:
        return None
    told = _asked(
        directory, ["status", "--porcelain", f"--untracked-files={'normal' if untracked else 'no'}", "--", "."]
    )
    return Head(sha, None if told is None else bool(told))


def _asked(directory: str, words: Sequence[str]) -> str | None:
    argv = ["git", "-C", directory, *words]
    try:
        told = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return told.stdout.strip() if told.returncode == 0 else None
