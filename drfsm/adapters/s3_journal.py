"""The journal's second home: every record also lies in S3, so that a lost laptop strands nobody.

    <prefix>/drfsm/runs/<run>/000042.json        the raw line of record 42, newline included
    <prefix>/drfsm/runs/<run>/<machine>.yaml     the declaration that the run is pinned to
    <prefix>/drfsm/runs/<run>/summary.json       the last summary: status, head and length of the journal
    <prefix>/drfsm/runs/<run>/signatures/<head>.sig    where a key is configured: of the line whose hash this is

Each is written once (``If-None-Match: *``); who finds another line in its place learns that the run went on
elsewhere, before his own journal says anything that is no longer true. So every record lies in S3 before it
lies in the file. For an intent that is a must, and nothing is done without it. Any other record must not be
lost for want of S3, or of the key that signs: then the file has it, and S3 gets it later, at the latest with the
next intent. Mirroring begins with the lease: before that nothing has been called.

What lies in S3 is a claim: who goes on from it hands in ``accept``, which raises for records that nobody vouches for.
The hash of every record that this process writes is ``note``d before the record lies anywhere.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from drfsm.adapters.file_journal import FileJournal
from drfsm.errors import (
    ActionFailed,
    Conflict,
    DrfsmError,
    EvidenceFault,
    JournalDamaged,
    LeaseLost,
    Unreachable,
    UsageFault,
)
from drfsm.evidence.signatures import Signer, namespace_of
from drfsm.journal import Record, digest, encode, read
from drfsm.journal.mirror import home_of, key_of, number_of, signature_of
from drfsm.world import ObjectStore

STRICT = ("lease_acquired", "intent")  # nothing may be done about these before S3 has them


LONGEST, LARGEST_BYTES = 100_000, 256 << 20  # records, and bytes in all, that are read of a mirror

Accept = Callable[[Sequence[bytes]], None]
"""Is handed every raw line of a journal, those from S3 last; raises where nobody vouches for them."""


def fetch(store: ObjectStore, home: str) -> tuple[bytes, ...]:
    """Return the raw lines of a mirrored journal, in order, chain verified. Raises JournalDamaged, EvidenceFault."""
    lines = _lines(store, home, _whole(_numbers(store, home), 0, home))
    _check_ends(lines, 0, home)
    read(lines)
    return lines


def _check_ends(lines: Sequence[bytes], first: int, home: str) -> None:
    """Raise JournalDamaged for a line without an end: an object is written whole, so no writer of drfsm left it."""
    for number, line in enumerate(lines, first):
        if not line.endswith(b"\n"):
            raise JournalDamaged(
                f"the mirror {home}: record {number} is incomplete: it does not end with a newline",
                line=number + 1,
                hint="find out who wrote it; the journal on the machine that ran it has the true record",
            )


def _numbers(store: ObjectStore, home: str) -> list[int]:
    """Return the numbers of the records that lie in S3, in order."""
    numbers, size = [], 0
    for stat in store.list(f"{home}/"):
        number = number_of(stat.key) if stat.key == key_of(home, number_of(stat.key) or 0) else None
        if number is None:
            continue
        numbers.append(number)
        size += stat.size_bytes
        if len(numbers) > LONGEST or size > LARGEST_BYTES:
            raise EvidenceFault(
                f"the mirror {home} has more than {LONGEST} records or {LARGEST_BYTES} bytes: no run of drfsm has",
                hint="find out who wrote them",
            )
    return sorted(numbers)


def _whole(numbers: Sequence[int], first: int, home: str) -> list[int]:
    """Return the numbers from ``first`` on. Raises EvidenceFault if one is missing."""
    following = [n for n in numbers if n >= first]
    for expected, number in enumerate(following, first):
        if number != expected:
            raise EvidenceFault(
                f"the mirror {home} lacks record {expected}",
                hint="find out who deleted it; the journal on the machine that ran it has it",
            )
    return following


def _lines(store: ObjectStore, home: str, numbers: Sequence[int]) -> tuple[bytes, ...]:
    """Return the raw lines of these records."""
    keys = [key_of(home, number) for number in numbers]
    blobs = dict(store.get_many(keys)) if len(keys) > 1 else {key: store.get(key) for key in keys}
    for key, blob in blobs.items():
        if blob is None:
            raise EvidenceFault(f"{key} vanished while it was read", hint="try again")
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
    ) -> None:
        self._local, self._store, self._declaration = local, store, declaration
        self._note, self._signer = note, signer
        self._run_id = run_id
        self._home = home_of(prefix, run_id)
        self._lacking: list[int] = list(range(len(local.lines())))  # what S3 is not known to have, oldest first
        self._on = False
        self._known = False  # whether S3 is known to hold this run
        self.overtaken = False  # somebody else wrote where our ``lease_acquired`` was to lie

    @property
    def head(self) -> str:
        """The SHA-256 (hex) of the last line."""
        return self._local.head

    @property
    def home(self) -> str:
        """The prefix below which the mirror lies."""
        return self._home

    @property
    def uri(self) -> str:
        """Where the mirror lies; what `drfsm resume` takes on another machine."""
        return f"s3://{self._store.bucket}/{self._home}"

    def records(self) -> Sequence[Record]:
        """Return every record so far, oldest first."""
        return self._local.records()

    def catch_up(self, accept: Accept) -> tuple[int, Sequence[int]]:
        """Take over what the mirror knows more than the file, once it is accepted; return how many records that was.

        Returns also the records that vanished from the mirror: the file has them, and they go there again with
        the lease. Raises EvidenceFault if the two don't agree on what both have.
        """
        self.overtaken = False
        ours = self._local.lines()
        there = _numbers(self._store, self._home)
        self._known = bool(there)
        both = [number for number in there if number < len(ours)][-1:]
        # Each line holds the hash of the one before: where the last that both have is the same, all before it are.
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
        """Append one record to both homes."""
        if kind == "lease_acquired" and not self._on:
            self._begin()
        number = self._noted(at)
        self._note(
            [digest(encode(Record(number, kind, at, body), self._local.head))], number
        )  # BEFORE it lies anywhere
        mirrored = self._on and self._mirror(Record(number, kind, at, body))
        record = self._local.append(kind, body, at)
        if not mirrored:
            self._lacking.append(number)
        return record

    def _noted(self, at: str) -> int:
        """Note a torn line that was cut off, if one was: that is a record too. Return the next one's number."""
        number = len(self._local.lines())
        self._local.note_cut(at)
        self._note([digest(line) for line in self._local.lines()[number:]], number)
        self._lacking += range(number, len(self._local.lines()))
        return len(self._local.lines())

    def _mirror(self, record: Record) -> bool:
        """Bring a record to S3, and before it what S3 lacks; return whether it lies there."""
        try:
            self._follow()
            self._put(record, encode(record, self._local.head))
        except LeaseLost:
            self.overtaken = record.kind == "lease_acquired"
            raise
        except (Unreachable, ActionFailed):
            if record.kind in STRICT:
                raise
            return False
        return True

    def settle(self, summary: bytes) -> None:
        """Bring to S3 what it lacks of a run that it knows, and the summary: history, so it needs no lease.

        An end that was written where S3 could not be reached, or by a process that only wrote down the end, gets
        there so. What can't be brought now is brought by the next process on this bundle.
        """
        if self._on or self._known:
            with suppress(DrfsmError):
                self._follow()
                there = _numbers(self._store, self._home)
                if there and there[-1] >= len(self._local.lines()):
                    return  # it went on elsewhere: what we know is history
                self._store.put(f"{self._home}/summary.json", summary)

    def keep_summary(self, body: bytes) -> None:
        """Copy a summary off this machine. It is derived, so a store that can't be reached is no reason to stop."""
        if self._on:
            try:
                self._store.put(f"{self._home}/summary.json", body)
            except DrfsmError:
                return

    def _begin(self) -> None:
        key = f"{self._home}/{self._local.records()[0].body['machine']}.yaml"
        blob = self._store.get(key)
        if blob is None:
            self._store.put(key, self._declaration, if_absent=True)
        elif blob.body != self._declaration:
            raise EvidenceFault(
                f"{key} is not the declaration that the run is pinned to",
                hint="find out who wrote it, and restore it from the bundle",
            )
        self._on = True

    def _follow(self) -> None:
        """Bring to S3 what only the file has."""
        lines, records = self._local.lines(), self._local.records()
        while self._lacking:
            self._put(records[self._lacking[0]], lines[self._lacking[0]])
            del self._lacking[0]

    def _put(self, record: Record, line: bytes) -> None:
        number, key = record.seq, key_of(self._home, record.seq)
        self._sign(record, line)  # BEFORE the line, so that none lies there unsigned
        try:
            self._store.put(key, line, if_absent=True)
        except Conflict:
            blob = self._store.get(key)
            if blob is not None and blob.body == line:
                return
            raise LeaseLost(
                f"record {number} of {self._run_id} was written by another process: the run continues elsewhere",
                hint=f"see where it stands: drfsm status {self.uri}",
            ) from None

    def _sign(self, record: Record, line: bytes) -> None:
        """Sign a record. Raises Unreachable where the key can't: in the middle of a run that is no wrong usage."""
        if self._signer is None:
            return
        try:
            signature = self._signer.sign(namespace_of(record), line)
        except UsageFault as fault:
            raise Unreachable(fault.what, hint=fault.hint, fault="operator") from None
        self._store.put(signature_of(self._home, digest(line)), signature)
