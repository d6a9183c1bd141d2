"""The git commit of a directory, and whether its files differ from it. Runs git; changes nothing."""

import subprocess
from collections.abc import Sequence

from attrs import frozen

SECONDS = 30


@frozen
class Head:
    """A checkout's commit. ``changed``: whether files of the directory differ from it; None if git does not say."""

    sha: str
    changed: bool | None


def head(directory: str = ".", *, untracked: bool = True) -> Head | None:
    """Return the commit that is checked out in a directory; None without git, or if it is no checkout with a commit.

    ``untracked``: whether files that git doesn't know count as changes.
    """
    sha = _git(directory, ["rev-parse", "--verify", "HEAD"])
    if not sha:
        return None
    status = _git(
        directory, ["status", "--porcelain", f"--untracked-files={'normal' if untracked else 'no'}", "--", "."]
    )
    return Head(sha, None if status is None else bool(status))


def _git(directory: str, words: Sequence[str]) -> str | None:
    argv = ["git", "-C", directory, *words]
    try:
        process = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return process.stdout.strip() if process.returncode == 0 else None
