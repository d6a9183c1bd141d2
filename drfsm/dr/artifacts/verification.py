"""Whether a run is whole: every artifact present, of its size, with its SHA-256, by reading it.

Two levels. *declared*: the run's report (where the contract says that one lies in S3, or one that was handed in)
names every file that is looked at, and each is held against what reading it gave. *observed*: there is no report, or
it leaves out a file that the contract knows, so for that file nothing vouches but the reading. On either level every
file that the contract requires of each pair must be there.
What a store claims about an object counts for nothing. Objects that the report does not name are listed, and are no
fault by themselves.

What goes into the journal is bounded: counts, the first of each finding, and one digest over everything.
Used by artifacts.py, and by ``drfsm runs verify``.
"""

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from attrs import field, frozen

from drfsm import claims
from drfsm.dr.artifacts.run_report import (
    LARGEST_REPORT_BYTES,
    Declared,
    Found,
    Problem,
    declared,
    said_at,
)
from drfsm.dr.layout import Layout, pairs_of
from drfsm.dr.progress import Note, Progress, first_of, quiet
from drfsm.dr.workload import Pair, Report, Workload
from drfsm.errors import ActionFailed, Unreadable, UsageFault
from drfsm.world import Check, Hashed, ObjectStore

CHUNK_BYTES = 1 << 20
LARGEST_POINTER_BYTES = 1 << 20


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
    pairs: Iterable[Pair] = (),
    note: Note = quiet,
    check: Check | None = None,
    report: bytes | None = None,
    already_read: Mapping[str, Found] = MappingProxyType({}),
) -> Verification:
    """Read every artifact of a run and hold it against the run's report, if there is one. Changes nothing.

    ``already_read``: files, relative to the run, that were read whole at this moment, and what that gave.

    ``pairs``: those that the run must have, beside those that the global pointer names where it names this run, and
    those that the run has files of. ``report``: the bytes of a report
    that was handed in; it goes before the one in S3. Raises Unreachable if something could not be read: that says
    nothing about it.
    """
    home = run_home(layout, run_id)
    where, form = f"s3://{store.bucket}/{home[:-1]}", layout.workload.report
    sizes, pairs = sizes_below(store, home), (*pairs, *_named(store, layout, run_id))
    body, source = _report(store, home, form, report)
    if body is None or form is None:
        lacking = _lacking(layout.workload, pairs, sizes)
        return _observed(sizes, read_all(store, home, sizes, note, check, already_read), lacking, run_id, where)
    statement = declared(body, run_id, form)
    wanted = [*statement.entries, *_unnamed(layout.workload, pairs, statement, sizes)]
    read = read_all(store, home, wanted, note, check, already_read)
    lacking = _lacking(layout.workload, pairs, {*sizes, *statement.entries})
    return _verified(statement, read, sizes, lacking, _Source(run_id, where, source, form.key))


def run_home(layout: Layout, run_id: str) -> str:
    """Return a run's own prefix with a slash at its end. Raises UsageFault for what can't be a run's id."""
    if not run_id or any(part in ("", ".", "..") for part in run_id.split("/")):
        raise UsageFault(f"{run_id!r} is no run id")
    return f"{layout.run(run_id)}/"


def sizes_below(store: ObjectStore, home: str) -> dict[str, int]:
    """Return the size of every object below a prefix, by its path; markers of folders are no objects."""
    sizes = ((entry.key.removeprefix(home), entry.size_bytes) for entry in store.list(home))
    return {path: size for path, size in sizes if path and not (path.endswith("/") and size == 0)}


def _named(store: ObjectStore, layout: Layout, run_id: str) -> Iterator[Pair]:
    """Yield the pairs that a global pointer to this run names; one that can't be read names none here."""
    form = layout.workload.pointers
    for key in layout.global_pointers():
        try:
            blob = store.get(key, largest_bytes=LARGEST_POINTER_BYTES)
            pointer = form.inward(claims.object_of(blob.body, key)) if blob else {}
        except (Unreadable, ValueError):
            continue
        if pointer.get("run_id") == run_id:
            yield from (pair for pair in pairs_of(pointer) if is_pair(pair))


def is_pair(pair: Pair) -> bool:
    """Return whether both names are names."""
    return claims.is_name("provider", pair[0]) and claims.is_name("profile", pair[1])


def pairs_of_run(workload: Workload, pairs: Iterable[Pair], paths: Collection[str]) -> list[Pair]:
    """Return the pairs that a run must have: these, those that it has files of, or else the contract's usual one."""
    usual = (workload.defaults.provider, workload.defaults.profile)
    return list(dict.fromkeys((*pairs, *workload.pairs_in(iter(paths))))) or [usual]


def _lacking(workload: Workload, pairs: Iterable[Pair], paths: Collection[str]) -> list[Problem]:
    """Return a problem for each file that the contract requires and that isn't there; one for all in an empty run."""
    if not paths:
        return [Problem("", "missing", "there is no object")]
    required = [path for pair in pairs_of_run(workload, pairs, paths) for path in workload.required(pair)]
    lacking = [Problem(path, "missing", "the contract requires it") for path in required if path not in paths]
    report = workload.report
    if report is not None and report.required and report.key not in paths:
        lacking.append(Problem(report.key, "missing", "the contract requires a report"))
    return lacking


def _unnamed(workload: Workload, pairs: Iterable[Pair], statement: Declared, sizes: Mapping[str, int]) -> Iterator[str]:
    """Yield what a run must have, or latest holds of it, and the report doesn't name: it must be readable all the same.

    The report says nothing of its content, so such a run is *observed* only.
    """
    for pair in pairs_of_run(workload, pairs, {*sizes, *statement.entries}):
        places = dict.fromkeys((*workload.required(pair), *workload.latest(pair)))
        yield from (path for path in places if path in sizes and path not in statement.entries)


def _report(store: ObjectStore, home: str, form: Report | None, report: bytes | None) -> tuple[bytes | None, str]:
    if report is not None and form is None:
        raise UsageFault("the workload's contract knows no report", hint="leave the report out, or name its contract")
    if report is not None or form is None:
        return report, "given"
    blob = store.get(home + form.key, largest_bytes=LARGEST_REPORT_BYTES)
    return (blob.body, "store") if blob else (None, "")


def read_all(
    store: ObjectStore,
    home: str,
    paths: Collection[str],
    note: Note,
    check: Check | None,
    already_read: Mapping[str, Found] = MappingProxyType({}),
) -> dict[str, Found | None]:
    """Read and hash what lies below a prefix, but for what was ``already_read``; None where there is nothing."""
    contents: dict[str, Found | None] = {path: already_read[path] for path in paths if path in already_read}
    progress = Progress(note, "read", len(paths) - len(contents), 0)
    for hashed in store.hash_many([home + path for path in paths if path not in contents], check=check):
        contents[hashed.key.removeprefix(home)] = _found(hashed)
        progress.add(hashed.size_bytes or 0)
    return contents


def _found(hashed: Hashed) -> Found | None:
    return None if hashed.sha256 is None or hashed.size_bytes is None else (hashed.sha256, hashed.size_bytes)


def _observed(
    sizes: Mapping[str, int],
    read: Mapping[str, Found | None],
    lacking: Collection[Problem],
    run_id: str,
    where: str,
) -> Verification:
    problems = [problem for path, size in sizes.items() if (problem := _as_listed(path, size, read.get(path)))]
    absent = len(lacking) if sizes else 0
    return Verification(
        run_id=run_id,
        where=where,
        level="observed",
        expected=len(sizes) + absent,
        checked=len(read) + absent,
        read=present(read),
        problems=(*problems, *lacking),
    )


def _as_listed(path: str, size: int, content: Found | None) -> Problem | None:
    if content is None:
        return Problem(path, "missing", "it was listed, and can't be read: it is gone, or no file of the run")
    return (
        None if content[1] == size else Problem(path, "size", f"it was listed with {size} bytes and has {content[1]}")
    )


def present(read: Mapping[str, Found | None]) -> dict[str, Found]:
    """Return what is there of what was read."""
    return {path: content for path, content in read.items() if content is not None}


@frozen
class _Source:
    """Whose report was held against which place, and where it came from: given, store or local."""

    run_id: str
    where: str
    report: str
    key: str


def _verified(
    statement: Declared,
    read: Mapping[str, Found | None],
    listed: Iterable[str],
    lacking: Collection[Problem],
    source: _Source,
) -> Verification:
    """Hold what was read against what was declared."""
    held = [_held(path, wanted, read[path]) for path, wanted in statement.entries.items() if path in read]
    again = statement.named - len(statement.problems) - len(statement.entries)  # entries that share a path
    unnamed = [path for path in read if path not in statement.entries]
    gone = [Problem(path, "missing", "it was listed, and is gone") for path in unnamed if read[path] is None]
    return Verification(
        run_id=source.run_id,
        where=source.where,
        level="observed" if unnamed and statement.entries else "declared",
        expected=statement.named + len(unnamed) + len(lacking),
        checked=len(held) + again + len(statement.problems) + len(unnamed) + len(lacking),
        read=present(read),
        problems=(*statement.failed, *statement.problems, *(each for each in held if each), *gone, *lacking),
        extra=tuple(sorted(set(listed) - set(statement.entries) - {source.key})),
        report={"source": source.report, "sha256": statement.sha256},
    )


def verify_latest(
    store: ObjectStore,
    layout: Layout,
    run_id: str,
    *,
    pairs: Iterable[Pair] = (),
    note: Note = quiet,
    check: Check | None = None,
    report: bytes | None = None,
    whole: bool = True,
) -> Verification:
    """Hold ``latest`` against a run: whatever it holds of the run must equal it, and each pair's marker must be there.

    A file that the report names is held against the report, any other that the run has against the run's own bytes;
    then the level is *observed*. ``whole``: every file that the contract keeps in latest must be there, too. Files that
    the run does not have (another pair's) are listed as extra.
    """
    home, newest, workload = run_home(layout, run_id), f"{layout.latest()}/", layout.workload
    body, source = _report(store, home, workload.report, report)
    statement = declared(body, run_id, workload.report) if body is not None and workload.report else None
    held = sizes_below(store, newest)
    stated = dict(statement.entries) if statement else {}
    names = dict.fromkeys((*stated, *sizes_below(store, home)))
    run_pairs = pairs_of_run(workload, (*pairs, *_named(store, layout, run_id)), names)
    kept = {path for pair in run_pairs for path in workload.latest(pair)}
    wanted = [path for path in names if path in held or (whole and path in kept)]
    unstated = [path for path in wanted if path not in stated]
    of_run = {**stated, **present(read_all(store, home, unstated, note, check))}
    read = read_all(store, newest, wanted, note, check)
    faulty = (*statement.failed, *statement.problems) if statement else ()
    found = [_held(path, of_run[path], read.get(path)) for path in wanted if path in of_run]
    found += [Problem(path, "missing", "the run itself lacks it") for path in wanted if path not in of_run]
    markers = [marker for pair in run_pairs if (marker := workload.marker(pair)) not in wanted]
    found += [Problem(path, "missing", "latest lacks the file by which readers know it") for path in markers]
    return Verification(
        run_id=run_id,
        where=f"s3://{store.bucket}/{newest[:-1]}",
        level="declared" if statement and not (stated and unstated) else "observed",
        expected=len(wanted) + len(faulty) + len(markers),
        checked=len(read) + len(faulty) + len(markers),
        read=present(read),
        problems=(*faulty, *(each for each in found if each)),
        extra=tuple(sorted(set(held) - set(wanted))),
        report={"source": source, "sha256": statement.sha256} if statement else None,
    )


def verify_local(
    directory: Path,
    workload: Workload,
    *,
    run_id: str | None = None,
    pairs: Iterable[Pair] = (),
    report: bytes | None = None,
) -> Verification:
    """Hold a local copy of a run against its report and the contract. Offline; follows no link out of the directory.

    Raises UsageFault if the directory or a file in it can't be read.
    """
    if not directory.is_dir():
        raise UsageFault(f"{directory} is no directory", hint="name the directory that holds one run's files")
    try:
        return _verified_local(directory.resolve(), workload, run_id, tuple(pairs), report)
    except OSError as fault:
        raise UsageFault(f"reading {fault.filename or directory}: {fault.strerror}") from None


def _verified_local(
    root: Path, workload: Workload, run_id: str | None, pairs: Collection[Pair], report: bytes | None
) -> Verification:
    names, form = sorted(_local_files(root)), workload.report
    body, source = report, "given"
    if body is None and form is not None and (own := _inside(root, form.key)):
        body, source = own.read_bytes(), "local"
    if body is None or form is None:
        contents = {path: _hash_local(root, path) for path in names}
        sizes = {path: content[1] if content else -1 for path, content in contents.items()}
        return _observed(sizes, contents, _lacking(workload, pairs, names), run_id or "", str(root))
    statement = declared(body, run_id, form)
    sizes = dict.fromkeys(names, 0)
    wanted = (*statement.entries, *_unnamed(workload, pairs, statement, sizes))
    read = {path: _hash_local(root, path) for path in wanted}
    lacking = _lacking(workload, pairs, {*names, *statement.entries})
    return _verified(
        statement, read, names, lacking, _Source(run_id or _own_id(body, form), str(root), source, form.key)
    )


def _own_id(body: bytes, form: Report) -> str:
    try:
        report = claims.object_of(body, "the report", largest_bytes=LARGEST_REPORT_BYTES)
    except Unreadable:
        return ""
    return str(said_at(report, form.run_id) or "")


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
