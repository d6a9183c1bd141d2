"""The journal's mirror: every record is also written to S3, so that a run survives the loss of its machine.

    <prefix>/drfsm/runs/<run>/000042.json        the raw line of record 42, newline included
    <prefix>/drfsm/runs/<run>/<machine>.yaml     the declaration that the run is pinned to
    <prefix>/drfsm/runs/<run>/summary.json       the last summary: status, head and length of the journal (If-Match)
    <prefix>/drfsm/runs/<run>/signatures/<head>.sig    where a key is configured: of the line with this hash

Each object is written once (``If-None-Match: *``). A process that meets another line in its place learns that the run
continued elsewhere, before its own journal says anything false. So every record is written to S3 before the file. For
an intent this is mandatory: without it nothing is done. Any other record must not be lost when S3 or the signing key is
unavailable: it is then written to the file, and to S3 later, at the latest with the next intent. Mirroring begins with
the lease, before any action. A process that was taken over writes nothing more: neither records that S3 lacks nor a
summary. A run whose start was revoked (lease_holders.py) keeps its records in its file.

With ``alone`` the mirror is the only journal: the file is this process's working copy, and goes with it. Then every
record must be in S3 before anything follows, from the first one on; a store that doesn't answer stops the run.

The objects in S3 are only a claim: a caller that resumes from them passes ``accept``, which raises for records without
a proof. The hash of every record of this process is passed to ``note`` before the record is written anywhere.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from drfsm.adapters.file_journal import FileJournal
from drfsm.adapters.lease_holders import revocation, revoked_fault
from drfsm.claims import field, object_of
from drfsm.errors import (
    ActionFailed,
    Conflict,
    DrfsmError,
    EvidenceFault,
    JournalDamaged,
    LeaseHeld,
    LeaseLost,
    Unreachable,
    Unreadable,
    UsageFault,
)
from drfsm.evidence.signatures import Signer, namespace_of
from drfsm.journal import Record, digest, encode, read
from drfsm.journal.mirror import home_of, key_of, number_of, signature_of
from drfsm.world import ObjectStore

STRICT = ("lease_acquired", "intent")  # their actions must not begin before S3 has these records
LARGEST_SUMMARY_BYTES = 64 << 20

LONGEST, LARGEST_BYTES = 100_000, 256 << 20  # limits of a mirror: records, and bytes in all

Accept = Callable[[Sequence[bytes]], None]
"""Called with every raw line of a journal, those from S3 last; raises for lines without a proof."""


def fetch(store: ObjectStore, home: str) -> tuple[bytes, ...]:
    """Return the raw lines of a mirrored journal, in order, chain verified. Raises JournalDamaged, EvidenceFault."""
    lines = _lines(store, home, _whole(_numbers(store, home), 0, home))
    _check_ends(lines, 0, home)
    read(lines)
    return lines


def _check_ends(lines: Sequence[bytes], first: int, home: str) -> None:
    """Raise JournalDamaged for a line without a newline: drfsm writes objects whole, so it did not write this one."""
    for number, line in enumerate(lines, first):
        if not line.endswith(b"\n"):
            raise JournalDamaged(
                f"the mirror {home}: record {number} is incomplete: it does not end with a newline",
                line=number + 1,
                hint="find out who wrote it; the journal on the run's machine has the true record",
            )


def _numbers(store: ObjectStore, home: str) -> list[int]:
    """Return the numbers of the records in S3, in order."""
    numbers, size = [], 0
    for stat in store.list(f"{home}/"):
        number = number_of(stat.key) if stat.key == key_of(home, number_of(stat.key) or 0) else None
        if number is None:
            continue
        numbers.append(number)
        size += stat.size_bytes
        if len(numbers) > LONGEST or size > LARGEST_BYTES:
            raise EvidenceFault(
                f"the mirror {home} has more records ({LONGEST}) or bytes ({LARGEST_BYTES}) than any run of drfsm",
                hint="find out who wrote its objects",
            )
    return sorted(numbers)


def _whole(numbers: Sequence[int], first: int, home: str) -> list[int]:
    """Return the numbers from ``first`` on. Raises EvidenceFault if one is missing."""
    following = [n for n in numbers if n >= first]
    for expected, number in enumerate(following, first):
        if number != expected:
            raise EvidenceFault(
                f"the mirror {home} lacks record {expected}",
                hint="find out who deleted it; the journal on the run's machine has this record",
            )
    return following


def _lines(store: ObjectStore, home: str, numbers: Sequence[int]) -> tuple[bytes, ...]:
    """Return the raw lines of these records."""
    keys = [key_of(home, number) for number in numbers]
    blobs = dict(store.get_many(keys)) if len(keys) > 1 else {key: store.get(key) for key in keys}
    for key, blob in blobs.items():
        if blob is None:
            raise EvidenceFault(f"{key} was deleted while the mirror was read", hint="run the command again")
    return tuple(blob.body for key in keys if (blob := blobs[key]) is not None)


class MirroredJournal:
    """A file journal and its mirror, as one journal."""

    def __init__(
        self,
        local: FileJournal,
        store: ObjectStore,
        prefix: str,
        run_id: str,
        declaration: bytes,
        *,
        note: Callable[[Sequence[str], int], None] = lambda _heads, _first: None,
        signer: Signer | None = None,
        is_elsewhere: Callable[[str], bool] = lambda _run_id: False,
        alone: bool = False,
    ) -> None:
        """``is_elsewhere``: whether another process may write this run's records now, by the lease."""
        self._alone = alone
        self._local, self._store, self._declaration = local, store, declaration
        self._note, self._signer, self._is_elsewhere = note, signer, is_elsewhere
        self._run_id = run_id
        self._home = home_of(prefix, run_id)
        self._lacking: list[int] = list(range(len(local.lines())))  # records that may be missing in S3, oldest first
        self._on = False
        self._known = False  # whether S3 is known to hold this run
        self._summary_etag: str | None = None  # of the summary that this process wrote last
        self.overtaken = False  # another process wrote the object of our ``lease_acquired``

    @property
    def head(self) -> str:
        """The SHA-256 (hex) of the last line."""
        return self._local.head

    @property
    def home(self) -> str:
        """The prefix of the mirror's keys."""
        return self._home

    @property
    def uri(self) -> str:
        """The mirror's URI, which `drfsm resume` takes on another machine."""
        return f"s3://{self._store.bucket}/{self._home}"

    def records(self) -> Sequence[Record]:
        """Return every record so far, oldest first."""
        return self._local.records()

    def catch_up(self, accept: Accept) -> tuple[int, Sequence[int]]:
        """Copy the records that only the mirror has, once they are accepted; return their number.

        Returns also the records that only the file has: they are mirrored again with the lease. Raises EvidenceFault
        if the two have different records.
        """
        self.overtaken = False
        ours = self._local.lines()
        there = _numbers(self._store, self._home)
        if there == [0] and not self._was_leased() and revocation(*_lines(self._store, self._home, there)):
            return 0, []  # the run learns it when it takes the lease
        self._known = bool(there)
        both = [number for number in there if number < len(ours)][-1:]
        # Each line contains the hash of the previous one: if the last common line is equal, all earlier ones are.
        if _lines(self._store, self._home, both) != tuple(ours[number] for number in both):
            raise EvidenceFault(
                f"the journal here and its mirror {self.uri} have different records",
                hint="keep both as they are for the investigation. If the mirror is right, resume from it in another"
                f" directory: DRFSM_HOME=<a new directory> drfsm resume {self.uri}",
            )
        more = _lines(self._store, self._home, _whole(there, len(ours), self._home))
        _check_ends(more, len(ours), self._home)
        if more:
            accept((*ours, *more))
        self._local.extend(more)
        self._lacking = sorted(set(range(len(ours))) - set(there))
        return len(more), [number for number in self._lacking if number < there[-1]] if there else []

    def append(self, kind: str, body: Mapping[str, Any], at: str) -> Record:
        """Append one record to the mirror and to the file."""
        begins = (kind == "lease_acquired" or self._alone) and not self._on
        self._on = self._on or begins
        number = self._noted(at)
        self._note(
            [digest(encode(Record(number, kind, at, body), self._local.head))], number
        )  # BEFORE it is written anywhere
        mirrored = self._on and self._mirror(Record(number, kind, at, body), begins=begins)
        record = self._local.append(kind, body, at)
        if not mirrored:
            self._lacking.append(number)
        return record

    def _noted(self, at: str) -> int:
        """Record that a torn line was cut off, if one was. Return the next record's number."""
        number = len(self._local.lines())
        self._local.note_cut(at)
        self._note([digest(line) for line in self._local.lines()[number:]], number)
        self._lacking += range(number, len(self._local.lines()))
        return len(self._local.lines())

    def _mirror(self, record: Record, *, begins: bool) -> bool:
        """Write a record to S3, after the records that S3 lacks; return whether it is there."""
        try:
            self._follow()  # record 0 is the first object: whoever revoked the start lies in its place
            if begins:
                self._declare(record)
            self._put(record, encode(record, self._local.head))
        except LeaseLost:
            self.overtaken = record.kind == "lease_acquired"
            raise
        except (Unreachable, ActionFailed):
            if record.kind in STRICT or self._alone:
                raise
            return False
        return True

    def settle(self, summary: bytes) -> None:
        """Write to S3 the missing records of a run that it knows, and the summary. This is history: it needs no lease.

        So S3 also gets an end that was recorded while it was unreachable, or by a process that only recorded the end.
        The next process on this bundle tries again what fails now. Writes nothing where the run continues elsewhere.
        """
        if self._on or self._known:
            with suppress(DrfsmError):
                if self._is_elsewhere(self._run_id):
                    return
                self._follow()
                there = _numbers(self._store, self._home)
                if there and there[-1] >= len(self._local.lines()):
                    return  # the run continued elsewhere: our records are history
                self._write_summary(summary)

    def keep_summary(self, body: bytes) -> None:
        """Copy a summary off this machine. It is derived, so an unreachable store does not stop the run."""
        if self._on:
            with suppress(DrfsmError):
                if not self._is_elsewhere(self._run_id):
                    self._write_summary(body)

    def _write_summary(self, body: bytes) -> None:
        """Write the summary in place of the one that was read, unless that one knows more records than our journal.

        Raises Conflict if another process wrote it in between: that process continues the run.
        """
        key, etag = f"{self._home}/summary.json", self._summary_etag
        if etag is None:
            blob = self._store.get(key, largest_bytes=LARGEST_SUMMARY_BYTES)
            if blob is not None and _counted(blob.body) > len(self._local.lines()):
                return
            etag = blob.etag if blob is not None else None
        self._summary_etag = None  # of an unclear outcome, too: the next write reads first
        self._summary_etag = self._store.put(key, body, if_match=etag, if_absent=etag is None)

    def _declare(self, record: Record) -> None:
        first = self._local.records()[0] if self._local.records() else record
        key = f"{self._home}/{first.body['machine']}.yaml"
        blob = self._store.get(key)
        if blob is None:
            self._store.put(key, self._declaration, if_absent=True)
        elif blob.body != self._declaration:
            raise EvidenceFault(
                f"{key} is not the declaration that the run is pinned to",
                hint="find out who wrote it, and restore it from the bundle",
            )

    def _follow(self) -> None:
        """Write to S3 the records that only the file has."""
        lines, records = self._local.lines(), self._local.records()
        while self._lacking:
            self._put(records[self._lacking[0]], lines[self._lacking[0]])
            del self._lacking[0]

    def _put(self, record: Record, line: bytes) -> None:
        key = key_of(self._home, record.seq)
        if self._signer is not None:
            blob = self._store.get(key)
            if blob is not None and blob.body != line:  # BEFORE the signature: of a line that is not there, none is
                raise self._overwritten(record.seq, blob.body)
        self._sign(record, line)  # BEFORE the line, so that no line is there unsigned
        try:
            self._store.put(key, line, if_absent=True)
        except Conflict:
            blob = self._store.get(key)
            if blob is None:
                raise Unreachable(
                    f"the store refuses to write {key} as if it existed, and it does not exist",
                    hint="this is a fault of the store, or somebody deletes objects there: find out, then drfsm resume",
                    fault="store",
                ) from None
            if blob.body != line:
                raise self._overwritten(record.seq, blob.body) from None

    def _overwritten(self, number: int, line: bytes) -> LeaseHeld:
        """Return what another line in the place of a record means: the start was revoked, or the run is elsewhere."""
        revoked = revocation(line) if number == 0 and not self._was_leased() else None
        if revoked is not None:
            self._on = self._known = False
            return revoked_fault(revoked, self.uri)
        return LeaseLost(
            f"record {number} of {self._run_id} was written by another process: the run continues elsewhere",
            hint=f"see where it stands: drfsm status {self.uri}",
        )

    def _was_leased(self) -> bool:
        """Whether the run ever had the lease: then its record 0 was in S3, and nobody can have revoked its start."""
        return any(record.kind == "lease_acquired" for record in self._local.records())

    def _sign(self, record: Record, line: bytes) -> None:
        """Sign a record. Raises Unreachable if the key fails: in the middle of a run that is not a usage fault."""
        if self._signer is None:
            return
        try:
            signature = self._signer.sign(namespace_of(record), line)
        except UsageFault as fault:
            raise Unreachable(fault.what, hint=fault.hint, fault="operator") from None
        self._store.put(signature_of(self._home, digest(line)), signature)


def _counted(summary: bytes) -> int:
    """Return how many records a summary in S3 knows; 0 for one that can't be read: it is derived, and written anew."""
    try:
        journal = field(object_of(summary, "the summary", largest_bytes=LARGEST_SUMMARY_BYTES), "journal", dict, "it")
        return int(field(journal, "records", int, "it"))
    except Unreadable:
        return 0
