"""The journal as a file, and the lock that makes one process its only writer.

    <bundle>/state_transitions.log    one line a record; one write and one fdatasync each
    <bundle>/.lock                    held by the process that works on the run; names it

The lock is the operating system's: it ends with the process, however that ended. The next holder cuts off a torn last
line (the writer died in the middle of it) and records the repair; any other damage is refused. After a failed write
the journal is never written again: nothing may be done that isn't on record. The file is checked before each record. If
it was edited, cut, removed or replaced since the last record, or its lock or bundle was replaced, the run stops before
anything more is done.
"""

import errno
import fcntl
import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from drfsm.claims import bounded, object_of, printable
from drfsm.errors import (
    DiskFault,
    DrfsmError,
    FileDamaged,
    Interrupted,
    JournalDamaged,
    LeaseHeld,
    Unreadable,
    UsageFault,
)
from drfsm.files import Directory, disk_fault
from drfsm.journal import GENESIS, Chain, Record, digest, encode, read
from drfsm.journal.growing import Prefix

LOG, LOCK = "state_transitions.log", ".lock"
LOOKS, LOOK_SECONDS = 5, 0.05  # how often, and at which interval, a held lock is tried again
LARGEST_BYTES = 256 << 20  # of a journal; some hundred thousand records
LONGEST_LINE = 16 << 20  # bytes of one record; an observation is a few kilobytes
_LOCK_BYTES = 1000
_MIRROR = (
    "keep the bundle as it is for the investigation; continue from the run's mirror in S3"
    " (drfsm resume s3://<bucket>/<prefix>/drfsm/runs/<run>), or from a copy of the bundle that verifies"
)


def read_chain(bundle: Path) -> Chain:
    """Read and verify a bundle's journal without the lock. A torn tail is left alone.

    Raises JournalDamaged, FileDamaged (a link, a FIFO, ... in its place), UsageFault where it can't be read, DiskFault.
    """
    return read(read_lines(bundle))


def read_lines(bundle: Path) -> tuple[bytes, ...]:
    """Return the raw lines of a bundle's journal, unverified; the last one may be torn. Raises as ``read_chain``."""
    with Directory.look(bundle) as directory:
        descriptor = directory.open(LOG, os.O_RDONLY)
    if descriptor is None:
        raise UsageFault(f"{printable(bundle / LOG)} can't be read: No such file or directory", hint="drfsm list")
    with os.fdopen(descriptor, "rb") as file:
        return tuple(_lines(file, bundle / LOG))


def each_line(bundle: Path) -> Iterator[bytes]:
    """Yield the raw lines of a bundle's journal, however long it is, unverified; the last one may be torn.

    For whoever keeps none of them; a line that is too long is cut where that shows. Raises as ``read_chain``.
    """
    with Directory.look(bundle) as directory:
        descriptor = directory.open(LOG, os.O_RDONLY)
    if descriptor is None:
        raise UsageFault(f"{printable(bundle / LOG)} can't be read: No such file or directory", hint="drfsm list")
    with os.fdopen(descriptor, "rb") as file:
        try:
            yield from iter(lambda: file.readline(LONGEST_LINE + 1), b"")
        except OSError as fault:
            raise disk_fault(fault, f"{printable(bundle / LOG)} can't be read", bundle / LOG) from None


def _lines(file: Any, path: Path) -> Iterator[bytes]:
    """Yield a journal's lines. Raises JournalDamaged for a line or a journal that is too long, DiskFault."""
    size = number = 0
    try:
        while line := file.readline(LONGEST_LINE + 1):
            number, size = number + 1, size + len(line)
            if len(line) > LONGEST_LINE or size > LARGEST_BYTES:
                what = f"{printable(path)}: line {number} is not a record"
                most = f"a line has at most {LONGEST_LINE} bytes, a journal {LARGEST_BYTES}"
                raise JournalDamaged(f"{what} ({most})", line=number, hint=_MIRROR)
            yield line
    except OSError as fault:
        raise disk_fault(fault, f"{printable(path)} can't be read", path) from None


def holder(bundle: Path) -> dict[str, Any] | None:
    """Return the process that works on a bundle now ({pid, host}); None if none does.

    Raises FileDamaged for a lock that is not a file of drfsm's.
    """
    try:
        with Directory.look(bundle) as directory:
            descriptor = directory.open(LOCK, os.O_RDONLY)
    except (UsageFault, DiskFault):
        return None
    if descriptor is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _who(descriptor)
    finally:
        os.close(descriptor)
    return None


def _who(descriptor: int) -> dict[str, Any]:
    """Return what a lock says about its holder, for messages; {} where it can't be read."""
    try:
        says = object_of(os.pread(descriptor, _LOCK_BYTES, 0), "the lock")
    except (OSError, Unreadable):
        return {}
    return {name: bounded(value, 100) if isinstance(value, str) else value for name, value in says.items()}


class FileJournal:
    """A run's journal, open for writing. Use ``create`` or ``open``; closing releases the lock."""

    def __init__(self, bundle: Path, *, fresh: bool) -> None:
        self._path = bundle / LOG
        self._broken: Callable[[], DrfsmError] | None = None
        self._records: list[Record] = []
        self._lines: list[bytes] = []
        self._size = 0
        self._seen = (0, 0)
        self.cut: tuple[int, str] | None = None
        with ExitStack() as opened:
            self._directory = opened.enter_context(Directory.own(bundle))
            self._lock = _locked(self._directory, bundle)
            opened.callback(os.close, self._lock)
            self._file = self._opened(bundle, fresh=fresh)
            opened.callback(os.close, self._file)
            if fresh:
                _sync_directory(self._directory)
            self._place = str(self._directory.path)
            self._opened_as = os.fstat(self._file), os.fstat(self._lock), os.fstat(self._directory.descriptor)
            self._load()
            self._held = opened.pop_all()

    @classmethod
    def create(cls, bundle: Path) -> Self:
        """Start a journal in a directory that has none. Raises UsageFault, LeaseHeld, FileDamaged, DiskFault."""
        return cls(bundle, fresh=True)

    @classmethod
    def open(cls, bundle: Path) -> Self:
        """Open a journal to continue its run.

        Raises LeaseHeld if another process works on it, JournalDamaged, FileDamaged, UsageFault, DiskFault.
        """
        return cls(bundle, fresh=False)

    def _opened(self, bundle: Path, *, fresh: bool) -> int:
        if fresh and self._directory.has(LOG):
            raise UsageFault(f"{printable(bundle)} already holds a run", hint=f"drfsm resume {printable(bundle)}")
        descriptor = self._directory.open(LOG, os.O_RDWR | os.O_APPEND | (os.O_CREAT if fresh else 0))
        if descriptor is None:
            raise UsageFault(f"{printable(self._path)}: No such file or directory", hint="check the path of the bundle")
        return descriptor

    def _load(self) -> None:
        with os.fdopen(os.dup(self._file), "rb") as file:
            lines = list(_lines(file, self._path))
        chain = read(lines)
        self._records, self._size = list(chain.records), chain.size_bytes
        self._lines = lines[: len(chain.records)]
        if chain.torn:
            self._truncate()
            self.cut = (len(chain.torn), digest(chain.torn))
        self._seen = _times(os.fstat(self._file))

    @property
    def head(self) -> str:
        """The SHA-256 (hex) of the last line."""
        return digest(self._lines[-1]) if self._lines else GENESIS

    def records(self) -> Sequence[Record]:
        """Return every record so far, oldest first."""
        return Prefix(self._records)

    def lines(self) -> Sequence[bytes]:
        """Return the raw line of every record so far, newline included."""
        return Prefix(self._lines)

    def append(self, kind: str, body: Mapping[str, Any], at: str) -> Record:
        """Append one record durably.

        Raises DiskFault if the write fails, JournalDamaged if another process changed the file; then nothing more is
        ever appended. Raises ValueError, and writes nothing, for a body that JSON can't represent.
        """
        if kind != "tail_cut" and self.cut:
            self.note_cut(at)
        record = Record(len(self._records), kind, at, body)
        self._add(encode(record, self.head), record)
        return record

    def note_cut(self, at: str) -> None:
        """Record that a torn line was cut off, if one was; ``append`` does so before its own record.

        A mirror calls this before it takes a record, so the file is checked here. Raises JournalDamaged.
        """
        self._check()
        if self.cut:
            size, sha256 = self.cut
            self.append("tail_cut", {"bytes": size, "sha256": sha256}, at)
            self.cut = None

    def extend(self, lines: Sequence[bytes]) -> None:
        """Append raw lines that only a copy of this journal has. Raises JournalDamaged."""
        chain = read([*self._lines, *lines])
        for line, record in zip(lines, chain.records[len(self._records) :], strict=True):
            self._add(line, record)

    def _check(self) -> None:
        """Raise what stopped this journal, or JournalDamaged where the file is not as this process left it."""
        if self._broken is None and (fault := self._altered()):
            self._broken = lambda: JournalDamaged(
                f"{printable(self._path)} {fault} while this process worked on it: the run stops here",
                line=len(self._lines),
                hint=_MIRROR,
            )
        if self._broken is not None:
            raise self._broken()

    def _altered(self) -> str:
        """Return how another process changed the file, "" if it is the same file with the same length and end."""
        try:
            return next(self._alterations(), "")
        except OSError as fault:
            return f"cannot be checked ({fault.strerror})"

    def _alterations(self) -> Iterator[str]:
        """Look at what was opened, once each: a step writes two records, and the looks are most of what it asks for."""
        log, lock, bundle = self._opened_as
        status = _status(LOG, self._directory.descriptor)
        if status is None or not os.path.samestat(status, log):
            yield "was removed or replaced by another file"
        elif not _is(lock, LOCK, self._directory.descriptor):
            yield "lost its lock (.lock was removed or replaced)"
        elif not _is(bundle, self._place):
            yield "was moved or replaced with its bundle"
        elif status.st_size != self._size:
            yield f"was cut, or written by another process ({status.st_size} bytes, not {self._size}),"
        else:
            last = self._lines[-1] if self._lines else b""
            if os.pread(self._file, len(last), self._size - len(last)) != last:
                yield "was edited in its last line"
            if _times(status) != self._seen and (line := self._first_edited()):
                yield f"was edited in line {line}"

    def _first_edited(self) -> int:
        """Return the first line that differs between the file and this process, counted from 1; 0 if none does."""
        place = 0
        for number, line in enumerate(self._lines, start=1):
            if os.pread(self._file, len(line), place) != line:
                return number
            place += len(line)
        self._seen = _times(os.fstat(self._file))  # its mode changed, or it was copied: every byte is the same
        return 0

    def _add(self, line: bytes, record: Record) -> None:
        self._check()
        path = printable(self._path)
        # BEFORE the write, so that after any interruption (Ctrl-C too) the journal is never written again.
        self._broken = lambda: Interrupted(
            f"the write of a record to the journal {path} was interrupted: the run stops here",
            hint="drfsm resume",
            fault="journal",
        )
        try:
            self._write(line)
        except OSError as fault:
            refusal = disk_fault(fault, f"the journal {path} can't be written", self._path)
            what = f"{refusal.what}: the run stops here"
            self._broken = lambda: DiskFault(what, hint=f"{refusal.hint} with `drfsm resume`", fault="journal")
            raise self._broken() from None
        self._size += len(line)
        self._lines.append(line)
        self._records.append(record)
        self._seen = _times(os.fstat(self._file))
        self._broken = None

    def _write(self, line: bytes) -> None:
        """Write a whole line, or leave none of it."""
        try:
            if (written := os.write(self._file, line)) == len(line):
                os.fdatasync(self._file)
                return
        except OSError:
            self._truncate()
            raise
        self._truncate()
        raise OSError(errno.ENOSPC, f"only {written} of {len(line)} bytes were written")

    def _truncate(self) -> None:
        os.ftruncate(self._file, self._size)
        os.fdatasync(self._file)

    def close(self) -> None:
        """Close the file and release the lock."""
        self._held.close()

    def __enter__(self) -> Self:
        """Return the journal."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


def _times(status: os.stat_result) -> tuple[int, int]:
    """Return a file's mtime and ctime, in ns; the ctime can't be set back."""
    return status.st_mtime_ns, status.st_ctime_ns


def _status(name: str | Path, directory: int | None = None) -> os.stat_result | None:
    """Return what a name refers to now; None where there is nothing of that name."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _is_at(descriptor: int, name: str | Path, directory: int | None = None) -> bool:
    """Whether a name still refers to the file that is open here."""
    return _is(os.fstat(descriptor), name, directory)


def _is(opened: os.stat_result, name: str | Path, directory: int | None = None) -> bool:
    """Whether a name still refers to a file that was opened; a file keeps its device and number as long as it is."""
    there = _status(name, directory)
    return there is not None and os.path.samestat(there, opened)


def _locked(directory: Directory, bundle: Path) -> int:
    """Take the bundle's lock; return its descriptor. Raises LeaseHeld, naming the holder; FileDamaged, DiskFault."""
    for _ in range(LOOKS):
        descriptor = directory.open(LOCK, os.O_RDWR | os.O_CREAT)
        assert descriptor is not None  # noqa: S101  it was made
        try:
            _flock(descriptor)
            if _is_at(descriptor, LOCK, directory.descriptor):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": platform.node()}).encode(), 0)
                return descriptor
        except BlockingIOError:
            who = _who(descriptor)
            os.close(descriptor)
            message = f"process {who.get('pid', '?')} on {who.get('host', '?')}"
            raise LeaseHeld(
                f"{message} is working on {printable(bundle)}",
                hint=f"wait for it; to see where it stands: drfsm status {printable(bundle)}",
            ) from None
        except OSError as fault:
            os.close(descriptor)
            raise disk_fault(fault, f"{printable(bundle / LOCK)} can't be taken", bundle) from None
        os.close(descriptor)  # the lock file was replaced between opening and locking it
    raise FileDamaged(f"{printable(bundle / LOCK)} is repeatedly replaced by another process")


def _flock(descriptor: int) -> None:
    """Lock, or raise OSError. Waits a moment, because a reader (``holder``) takes the lock for an instant."""
    for _ in range(LOOKS):
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(LOOK_SECONDS)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _sync_directory(directory: Directory) -> None:
    try:
        os.fsync(directory.descriptor)
    except OSError as fault:
        raise disk_fault(fault, f"{printable(directory.path)} can't be written", directory.path) from None
