"""What a seal says of a bundle: an in-toto Statement v1 of every file, and of the journal's head and length.

    subject          every file of the bundle: its path, its SHA-256, its size in bytes (annotations.size_bytes)
    predicate        the run, its declaration, its mode (live, drill, dry_run), the journal's records, head and size,
                     when it was sealed, and which seal came before it

Not in it: files that others may not see (``private/``), files that are no evidence (progress.log, notices.log,
traces.sent), what is added after a run's end (``exercise/``), what begins with a dot, and the seals themselves. Reads a
bundle, writes nothing.
"""

import hashlib
import json
import os
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from attrs import frozen

from drfsm.claims import field, is_name, name_of, object_of
from drfsm.errors import EvidenceFault, FileDamaged, Unreadable
from drfsm.files import Directory
from drfsm.journal import GENESIS, digest
from drfsm.journal.chain import LARGEST_LINE_BYTES

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://drfsm.invalid/seal/v1"
LOG = "state_transitions.log"
SEALS = "seals"
NOT_FOR_OTHERS = "private"
AFTERWARDS = "exercise"
"""The directory of what is added once a run has ended: the exercises that include it, each a chain of its own."""
NO_EVIDENCE = ("progress.log", "notices.log", "traces.sent")
MOST_FILES = 20_000
LARGEST_STATEMENT_BYTES = 32 << 20
LARGEST_FILE_BYTES, LARGEST_LOG_BYTES = 256 << 20, 16 << 30
DEEPEST = 8  # directories: a drill's promote has its own steps
_PIECE_BYTES = 1 << 20


@frozen
class Known:
    """What a statement knows of one file."""

    sha256: str
    size_bytes: int


@frozen
class Statement:
    """A seal's content. ``before``: the name and SHA-256 of the seal before it, "" for the first."""

    run_id: str
    machine: str
    machine_sha256: str
    mode: str
    status: str
    state: str
    records: int
    head: str
    size_bytes: int  # of the journal, as far as it is sealed
    sealed_at: str
    files: Mapping[str, Known]
    before: tuple[str, str] = ("", "")

    @property
    def raw(self) -> bytes:
        """The statement's JSON, as it is signed."""
        subject = [
            {"name": name, "digest": {"sha256": file.sha256}, "annotations": {"size_bytes": file.size_bytes}}
            for name, file in sorted(self.files.items())
        ]
        name, sha256 = self.before
        predicate = {
            "run_id": self.run_id,
            "machine": self.machine,
            "machine_sha256": self.machine_sha256,
            "mode": self.mode,
            "status": self.status,
            "state": self.state,
            "journal": {"records": self.records, "head": self.head, "size_bytes": self.size_bytes},
            "sealed_at": self.sealed_at,
            **({"previous": {"name": name, "sha256": sha256}} if name else {}),
        }
        fields = {"_type": STATEMENT_TYPE, "subject": subject, "predicateType": PREDICATE_TYPE, "predicate": predicate}
        return (json.dumps(fields, indent=1, ensure_ascii=True) + "\n").encode()


def read_statement(raw: bytes, what: str) -> Statement:
    """Return a statement. Raises Unreadable for what is none."""
    fields = object_of(raw, what, largest_bytes=LARGEST_STATEMENT_BYTES)
    for name, wanted in (("_type", STATEMENT_TYPE), ("predicateType", PREDICATE_TYPE)):
        if field(fields, name, str, what) != wanted:
            raise Unreadable(f"{what} can't be read: its {name} is not {wanted}")
    predicate = field(fields, "predicate", dict, what)
    journal = field(predicate, "journal", dict, what)
    before: Mapping[str, Any] = predicate.get("previous") or {"name": "", "sha256": ""}
    return Statement(
        **{
            name: field(predicate, name, str, what)
            for name in ("run_id", "machine", "mode", "status", "state", "sealed_at")
        },
        machine_sha256=name_of("sha256", predicate.get("machine_sha256"), what),
        records=_count(journal, "records", what),
        head=name_of("sha256", journal.get("head"), what),
        size_bytes=_count(journal, "size_bytes", what),
        files=dict(_files(field(fields, "subject", list, what), what)),
        before=(field(before, "name", str, what), field(before, "sha256", str, what)),
    )


def _files(subject: list[Any], what: str) -> Iterator[tuple[str, Known]]:
    seen: set[str] = set()
    for each in subject:
        entry: Mapping[str, Any] = each if isinstance(each, dict) else {}
        name = field(entry, "name", str, what)
        if name in seen:
            raise Unreadable(f"{what} can't be read: it names {name!r} twice")
        seen.add(name)
        sha256 = name_of("sha256", field(entry, "digest", dict, what).get("sha256"), what)
        yield name, Known(sha256, _count(field(entry, "annotations", dict, what), "size_bytes", what))


def _count(fields: Mapping[str, Any], name: str, what: str) -> int:
    number = field(fields, name, int, what)
    if number < 0:
        raise Unreadable(f"{what} can't be read: its {name} is below 0")
    return int(number)


# --- a bundle's files -----------------------------------------------------------------------------------


def names_in(directory: Directory) -> list[str]:
    """Return the path of every file of a bundle that a seal covers, sorted.

    Raises EvidenceFault for more files or deeper directories than a bundle has, FileDamaged for what is no file.
    """
    names = sorted(_below(directory, "", 0))
    if len(names) > MOST_FILES:
        raise EvidenceFault(
            f"{directory.path} holds {len(names)} files; a bundle has at most {MOST_FILES}",
            hint="find out what was put there",
        )
    return names


def _below(directory: Directory, above: str, depth: int) -> Iterator[str]:
    if depth > DEEPEST:
        raise EvidenceFault(
            f"{directory.path}/{above} is nested deeper than a bundle's directories",
            hint="find out what was put there",
        )
    for name in directory.names(above.rstrip("/")):
        path = f"{above}{name}"
        if name.startswith(".") or name == NOT_FOR_OTHERS or name in NO_EVIDENCE or path in (SEALS, AFTERWARDS):
            continue
        if _is_directory(directory, path):
            yield from _below(directory, f"{path}/", depth + 1)
        else:
            yield path


def _is_directory(directory: Directory, path: str) -> bool:
    """Whether a name is a directory: a link to one is none, and refused where it is read."""
    place = directory.path / path
    return place.is_dir() and not place.is_symlink()


def known_of(directory: Directory, name: str, limit: int | None = None) -> Known | None:
    """Return size and SHA-256 of a file, or of its first ``limit`` bytes; None where there is no file.

    It is read in pieces. Raises FileDamaged (also for one that is larger than a bundle's), UsageFault, DiskFault.
    """
    descriptor = directory.open(name, os.O_RDONLY)
    if descriptor is None:
        return None
    sha256, size = hashlib.sha256(), 0
    with os.fdopen(descriptor, "rb") as file:
        _check_size(directory, name, os.fstat(descriptor).st_size)
        while piece := file.read(_PIECE_BYTES if limit is None else min(_PIECE_BYTES, limit - size)):
            sha256.update(piece)
            size += len(piece)
    return Known(sha256.hexdigest(), size)


def _check_size(directory: Directory, name: str, size_bytes: int) -> None:
    largest = LARGEST_LOG_BYTES if name.rpartition("/")[2] == LOG else LARGEST_FILE_BYTES
    if size_bytes > largest:  # a file with holes may announce terabytes
        raise FileDamaged(f"{directory.named(name)} has {size_bytes} bytes, more than a bundle's file has ({largest})")


@frozen
class Heads:
    """What one pass over a journal's raw lines tells: its length, its head, and the heads at the lengths asked for."""

    records: int
    head: str
    size_bytes: int  # of the whole lines
    at: Mapping[int, tuple[str, int]]  # records -> (head, size in bytes) after so many
    first: bytes  # the first line, b"" where there is none
    last: bytes


def heads_of(directory: Directory, lengths: Collection[int] = ()) -> Heads:
    """Return the heads of a bundle's journal. Looks into no line: whether they are a chain is the audit's matter.

    Raises FileDamaged for a line that is longer than any of drfsm's.
    """
    wanted, at = frozenset(lengths), dict[int, tuple[str, int]]()
    records, size, head, first, last = 0, 0, GENESIS, b"", b""
    descriptor = directory.open(LOG, os.O_RDONLY)
    if descriptor is None:
        return Heads(0, GENESIS, 0, at, b"", b"")
    with os.fdopen(descriptor, "rb") as file:
        _check_size(directory, LOG, os.fstat(descriptor).st_size)
        while (line := file.readline(LARGEST_LINE_BYTES + 1)).endswith(b"\n"):
            first, last, head = first or line, line, digest(line)
            records, size = records + 1, size + len(line)
            if records in wanted:
                at[records] = head, size
    if len(line) > LARGEST_LINE_BYTES:
        raise FileDamaged(f"{directory.named(LOG)}: line {records + 1} has more than {LARGEST_LINE_BYTES} bytes")
    return Heads(records, head, size, at, first, last)


def is_safe(name: str) -> bool:
    """Whether a path is one that a bundle's file may have: relative, without ``..``, of printable parts."""
    parts = name.split("/")
    return 0 < len(parts) <= DEEPEST + 1 and all(is_name("file", part) for part in parts)
