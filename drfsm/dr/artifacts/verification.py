"""Whether a run is whole: every artifact present, of its size, with its SHA-256, by reading it.

Two levels. *declared*: the run's report (``run_report.json`` in S3, or one that was handed in) names every
artifact, and each is held against what reading it gave. *observed*: there is no report, so whatever lies
there is listed, read and hashed; that proves that it can be read, not that it is complete, and an empty
listing is ``missing``. What a store claims about an object counts for nothing. Objects that the report does
not name are listed, and are no fault by themselves.

What goes into the journal is bounded: counts, the first of each finding, and one digest over everything.
Used by artifacts.py, and by ``drfsm runs verify``.
"""

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from drfsm import claims
from drfsm.dr.artifacts.run_report import LARGEST_REPORT_BYTES, REPORT, Declared, Found, Problem, declared
from drfsm.dr.layout import Layout
from drfsm.dr.progress import Note, Progress, first_of, quiet
from drfsm.errors import ActionFailed, Unreadable, UsageFault
from drfsm.world import Check, Hashed, ObjectStore

CHUNK_BYTES = 1 << 20
_RANKED = re.compile(r"_ranked_[^/]*\Z")


@frozen
class Verification:
    """What a verification found. ``read`` has every artifact that could be read: path -> (SHA-256, bytes)."""

    run_id: str
    where: str
    level: str  # declared | observed
    expected: int
    checked: int
    read: Mapping[str, Found] = field(repr=False)
    problems: tuple[Problem, ...] = ()
    extra: tuple[str, ...] = ()
    report: Mapping[str, str] | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse a verification that lost something on its way."""
        if self.checked != self.expected:
            raise ActionFailed(
                f"defect: {self.checked} artifacts of {self.where} were checked and {self.expected} expected",
                fault="drfsm",
            )

    @property
    def verdict(self) -> str:
        """Verified, missing or damaged; damage tells more than absence."""
        kinds = {problem.kind for problem in self.problems}
        if kinds - {"missing"}:
            return "damaged"
        return "missing" if kinds else "verified"

    @property
    def tree_sha256(self) -> str:
        """One digest over all that was read."""
        return tree_digest(self.read)

    @property
    def record(self) -> dict[str, Any]:
        """As the journal and receipts carry it: bounded, however many artifacts there are."""
        return {
            "verdict": self.verdict,
            "level": self.level,
            "run_id": self.run_id,
            "where": self.where,
            "expected": self.expected,
            "checked": self.checked,
            "bytes": sum(size for _, size in self.read.values()),
            "tree_sha256": self.tree_sha256,
            "problems": first_of(problem.record for problem in self.problems),
            "extra": first_of(self.extra),
            "report": None if self.report is None else dict(self.report),
        }


def tree_digest(files: Mapping[str, Found]) -> str:
    """Return the SHA-256 over ``["<path>","<sha256>",<bytes>]`` lines in JSON, sorted by path."""
    digest = hashlib.sha256()
    for path, (sha256, size_bytes) in sorted(files.items()):
        digest.update((json.dumps([path, sha256, size_bytes], separators=(",", ":")) + "\n").encode())
    return digest.hexdigest()


def _held(path: str, wanted: Found, content: Found | None) -> Problem | None:
    """Hold what reading gave against what it ought to be."""
    if content is None:
        return Problem(path, "missing", "it is not there")
    if content[1] != wanted[1]:
        return Problem(path, "size", f"it has {content[1]} bytes, {wanted[1]} are declared")
    if content[0] != wanted[0]:
        return Problem(path, "content", f"its SHA-256 is {content[0]}, {wanted[0]} is declared")
    return None


def verify(
    store: ObjectStore,
    layout: Layout,
    run_id: str,
    *,
    note: Note = quiet,
    check: Check | None = None,
    report: bytes | None = None,
) -> Verification:
    """Read every artifact of a run and hold it against the run's report, if there is one. Changes nothing.

    ``report``: the bytes of a report that was handed in; it goes before the one in S3. Raises Unreachable if
    something could not be read: that says nothing about it.
    """
    home = run_home(layout, run_id)
    sizes = sizes_below(store, home)
    body, source = _report(store, home, report)
    if body is None:
        return _observed(store, home, run_id, sizes, note, check)
    statement = declared(body, run_id)
    read = read_all(store, home, statement.entries, note, check)
    return _verified(statement, read, sizes, run_id, f"s3://{store.bucket}/{home[:-1]}", source)


def run_home(layout: Layout, run_id: str) -> str:
    """Return a run's own prefix with a slash at its end. Raises UsageFault for what can't be a run's id."""
    if not run_id or any(part in ("", ".", "..") for part in run_id.split("/")):
        raise UsageFault(f"{run_id!r} is no run id")
    return f"{layout.run(run_id)}/"


def sizes_below(store: ObjectStore, home: str) -> dict[str, int]:
    """Return the size of every object below a prefix, by its path; markers of folders are no objects."""
    sizes = ((entry.key.removeprefix(home), entry.size_bytes) for entry in store.list(home))
    return {path: size for path, size in sizes if path and not (path.endswith("/") and size == 0)}


def _report(store: ObjectStore, home: str, report: bytes | None) -> tuple[bytes | None, str]:
    if report is not None:
        return report, "given"
    blob = store.get(home + REPORT, largest_bytes=LARGEST_REPORT_BYTES)
    return (blob.body, "store") if blob else (None, "")


def read_all(
    store: ObjectStore, home: str, paths: Collection[str], note: Note, check: Check | None
) -> dict[str, Found | None]:
    """Read and hash what lies below a prefix; None where there is nothing."""
    progress = Progress(note, "read", len(paths), 0)
    contents: dict[str, Found | None] = {}
    for hashed in store.hash_many([home + path for path in paths], check=check):
        contents[hashed.key.removeprefix(home)] = _found(hashed)
        progress.add(hashed.size_bytes or 0)
    return contents


def _found(hashed: Hashed) -> Found | None:
    return None if hashed.sha256 is None or hashed.size_bytes is None else (hashed.sha256, hashed.size_bytes)


def _observed(
    store: ObjectStore, home: str, run_id: str, sizes: Mapping[str, int], note: Note, check: Check | None
) -> Verification:
    read = read_all(store, home, sizes, note, check)
    problems = [each for path, size in sizes.items() if (each := _as_listed(path, size, read.get(path)))]
    if not sizes:
        problems.append(Problem("", "missing", "there is no object"))
    return Verification(
        run_id=run_id,
        where=f"s3://{store.bucket}/{home[:-1]}",
        level="observed",
        expected=len(sizes),
        checked=len(read),
        read=present(read),
        problems=tuple(problems),
    )


def _as_listed(path: str, size: int, content: Found | None) -> Problem | None:
    if content is None:
        return Problem(path, "missing", "it was listed, and is gone")
    return (
        None if content[1] == size else Problem(path, "size", f"it was listed with {size} bytes and has {content[1]}")
    )


def present(read: Mapping[str, Found | None]) -> dict[str, Found]:
    """Return what is there of what was read."""
    return {path: content for path, content in read.items() if content is not None}


def _verified(
    statement: Declared,
    read: Mapping[str, Found | None],
    listed: Iterable[str],
    run_id: str,
    where: str,
    source: str,
) -> Verification:
    """Hold what was read against what was declared."""
    held = [_held(path, wanted, read[path]) for path, wanted in statement.entries.items() if path in read]
    again = statement.named - len(statement.problems) - len(statement.entries)  # entries that share a path
    return Verification(
        run_id=run_id,
        where=where,
        level="declared",
        expected=statement.named,
        checked=len(held) + again + len(statement.problems),
        read=present(read),
        problems=(*statement.problems, *(each for each in held if each)),
        extra=tuple(sorted(set(listed) - set(statement.entries) - {REPORT})),
        report={"source": source, "sha256": statement.sha256},
    )


def verify_latest(
    store: ObjectStore,
    layout: Layout,
    run_id: str,
    *,
    note: Note = quiet,
    check: Check | None = None,
    report: bytes | None = None,
    every_ranked: bool = True,
) -> Verification:
    """Hold ``latest/`` against a run: whatever it holds of the run must equal it.

    ``every_ranked``: every ranked file of the run must be there; else, as the workload's own allow-list may
    be shorter, one of them is enough. Files that the run does not have (another pair's) are listed as extra.
    """
    home, newest = run_home(layout, run_id), f"{layout.latest()}/"
    body, source = _report(store, home, report)
    statement = declared(body, run_id) if body is not None else None
    held = sizes_below(store, newest)
    names = statement.entries if statement else sizes_below(store, home)
    wanted = [path for path in names if path in held or (every_ranked and _RANKED.search(path))]
    of_run = dict(statement.entries) if statement else present(read_all(store, home, wanted, note, check))
    read = read_all(store, newest, wanted, note, check)
    faulty = statement.problems if statement else ()
    found = [_held(path, of_run[path], read.get(path)) for path in wanted if path in of_run]
    found += [Problem(path, "missing", "the run itself lacks it") for path in wanted if path not in of_run]
    if not any(_RANKED.search(path) for path in wanted):
        found.append(Problem("", "missing", "latest holds no ranked file of the run"))
    return Verification(
        run_id=run_id,
        where=f"s3://{store.bucket}/{newest[:-1]}",
        level="declared" if statement else "observed",
        expected=len(wanted) + len(faulty),
        checked=len(read) + len(faulty),
        read=present(read),
        problems=(*faulty, *(each for each in found if each)),
        extra=tuple(sorted(set(held) - set(wanted))),
        report={"source": source, "sha256": statement.sha256} if statement else None,
    )


def verify_local(directory: Path, *, run_id: str | None = None, report: bytes | None = None) -> Verification:
    """Hold a local copy of a run against its report. Offline; follows no link out of the directory.

    Raises UsageFault if the directory or a file in it can't be read.
    """
    if not directory.is_dir():
        raise UsageFault(f"{directory} is no directory", hint="name the directory that holds one run's files")
    try:
        return _verified_local(directory.resolve(), run_id, report)
    except OSError as fault:
        raise UsageFault(f"reading {fault.filename or directory}: {fault.strerror}") from None


def _verified_local(root: Path, run_id: str | None, report: bytes | None) -> Verification:
    names = sorted(_local_files(root))
    body, source = report, "given"
    if body is None and (own := _inside(root, REPORT)):
        body, source = own.read_bytes(), "local"
    if body is not None:
        statement = declared(body, run_id)
        read = {path: _hash_local(root, path) for path in statement.entries}
        return _verified(statement, read, names, run_id or _own_id(body), str(root), source)
    contents = {path: _hash_local(root, path) for path in names}
    problems = [Problem(path, "missing", "it is no file inside the directory") for path in names if not contents[path]]
    if not names:
        problems.append(Problem("", "missing", "there is no file"))
    return Verification(
        run_id=run_id or "",
        where=str(root),
        level="observed",
        expected=len(names),
        checked=len(contents),
        read=present(contents),
        problems=tuple(problems),
    )


def _own_id(body: bytes) -> str:
    try:
        report = claims.object_of(body, "the report", largest_bytes=LARGEST_REPORT_BYTES)
        return str(claims.field(report, "run_id", str, "the report"))
    except Unreadable:
        return ""


def _local_files(root: Path) -> Iterator[str]:
    for folder, _, names in os.walk(root):  # links to folders are not followed
        for name in names:
            yield (Path(folder) / name).relative_to(root).as_posix()


def _inside(root: Path, path: str) -> Path | None:
    """Return a regular file of the directory, None if there is none or a link leads out of it."""
    resolved = (root / path).resolve()
    return resolved if resolved.is_relative_to(root) and resolved.is_file() else None


def _hash_local(root: Path, path: str) -> Found | None:
    file_path = _inside(root, path)
    if file_path is None:
        return None
    digest, size = hashlib.sha256(), 0
    with file_path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size
