"""Holds the files of a bundle against what its log derives: equal, behind, edited, missing, added. Pure.

The caller derives the files (runs/audited_files.py), from all records and from all but the last: a process that was
killed between a record and the files leaves them one record behind.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from drfsm.evidence.audit.findings import Finding

Files = Mapping[str, bytes]
"""Path in the bundle -> content."""
_MODE = ("scope", "dry_run")


def compared(present: Files, due: Sequence[Files], *, same_version: bool) -> Iterator[Finding]:
    """Yield how files differ from what is derived. ``due``: from all records first, then from fewer and fewer.

    ``same_version``: whether this version of drfsm wrote the log; another one may have worded things otherwise.
    """
    now = due[0]
    for path in sorted(now.keys() - present.keys()):
        if all(path in files for files in due):  # a file that only the last record brings may not be written yet
            yield Finding(0, "file_is_missing", f"{path} is not in the bundle, and the log derives it", file=path)
    for path in sorted(present.keys() - now.keys()):
        yield Finding(0, "file_was_added", f"the log derives no {path}", file=path)
    for path in sorted(now.keys() & present.keys()):
        if present[path] != now[path]:
            yield _differing(path, present[path], [files[path] for files in due if path in files], same_version)


def _differing(path: str, content: bytes, due: Sequence[bytes], same_version: bool) -> Finding:
    if content in due or (path.endswith(".log") and due[0].startswith(content) and content.endswith(b"\n")):
        return Finding(0, "file_is_behind", f"{path} lacks what the last records say of it", file=path)
    code = "file_differs" if same_version else "file_differs_from_todays"
    where, expected, found = _first_difference(content, due[0])
    what = f"{path} is not what the log derives, from line {where} on"
    return Finding(where, code, what, expected=expected, found=found, file=path)


def _first_difference(content: bytes, due: bytes) -> tuple[int, str, str]:
    """Return the first line that differs, counted from 1, as it should be and as it is."""
    ours, theirs = due.decode("utf-8", "replace").splitlines(), content.decode("utf-8", "replace").splitlines()
    for number, (expected, found) in enumerate(zip(ours, theirs, strict=False), start=1):
        if expected != found:
            return number, expected.strip(), found.strip()
    shorter = min(len(ours), len(theirs))
    expected, found = (lines[shorter].strip() if len(lines) > shorter else "the end" for lines in (ours, theirs))
    return shorter + 1, expected, found


def modes(present: Files, scope: str, *, dry_run: bool) -> Iterator[Finding]:
    """Yield each JSON file that calls the run live, dry or a drill's, unlike its log."""
    due = {"scope": scope, "dry_run": dry_run}
    for path, content in sorted(present.items()):
        says = object_in(content) if path.endswith(".json") else None
        for name in _MODE:
            if says is not None and name in says and says[name] != due[name]:
                what = f"{path} says {name} {says[name]}, the log {due[name]}"
                yield Finding(0, "mode_differs", what, expected=due[name], found=says[name], file=path)


def object_in(content: bytes) -> dict[str, Any] | None:
    """Return the JSON object in a file, None where there is none."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
