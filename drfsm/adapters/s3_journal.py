"""The journal's second home: every record also lies in S3, so that a lost laptop strands nobody.

    <prefix>/drfsm/runs/<run>/000042.json        the raw line of record 42, newline included
    <prefix>/drfsm/runs/<run>/<machine>.yaml     the declaration that the run is pinned to
    <prefix>/drfsm/runs/<run>/summary.json       the last summary: status, head and length of the journal

Each is written once (``If-None-Match: *``); who finds another line in its place learns that the run went on
elsewhere. An intent lies in S3 before it lies in the file, and so before its action; a record that follows an
action must not be lost for want of S3, so it is written to the file first and may follow later, at the latest
with the next intent. Mirroring begins with the lease: before that nothing has been called.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from drfsm.adapters.file_journal import FileJournal
from drfsm.errors import Conflict, DrfsmError, EvidenceFault, LeaseLost, Unreachable
from drfsm.journal import Record, encode, read
from drfsm.world import ObjectStore

STRICT = ("lease_acquired", "intent")  # nothing may be done about these before S3 has them


def home_of(prefix: str, run_id: str) -> str:
    """Return the prefix of a run's mirror, without a slash at the end."""
    return f"{prefix}/drfsm/runs/{run_id}"


def fetch(store: ObjectStore, home: str) -> tuple[bytes, ...]:
    """Return the raw lines of a mirrored journal, in order, chain verified. Raises JournalDamaged, EvidenceFault."""
    keys = [each.key for each in store.list(f"{home}/") if each.key.endswith(".json") and _number(each.key) is not None]
    lines = []
    for number, key in enumerate(sorted(keys)):
        if _number(key) != number:
            raise EvidenceFault(f"the mirror {home} lacks record {number}", way="look for who deleted it")
        blob = store.get(key)
        if blob is None:
            raise EvidenceFault(f"{key} vanished while it was read", way="try again")
        lines.append(blob.body)
    read(lines)
    return tuple(lines)


def _number(key: str) -> int | None:
    stem = key.rpartition("/")[2].removesuffix(".json")
    return int(stem) if stem.isdigit() else None


class MirroredJournal:
    """A file journal and its mirror, as one journal."""

    def __init__(self, local: FileJournal, store: ObjectStore, prefix: str, run_id: str, declaration: bytes) -> None:
        self._local, self._store, self._declaration = local, store, declaration
        self._run_id = run_id
        self._home = home_of(prefix, run_id)
        self._mirrored = 0
        self._on = False

    @property
    def head(self) -> str:
        """The SHA-256 (hex) of the last line."""
        return self._local.head

    @property
    def uri(self) -> str:
        """Where the mirror lies; what `drfsm resume` takes on another machine."""
        return f"s3://{self._store.bucket}/{self._home}"

    def records(self) -> Sequence[Record]:
        """Return every record so far, oldest first."""
        return self._local.records()

    def catch_up(self) -> int:
        """Take over what the mirror knows more than the file; return how many records that was.

        Raises EvidenceFault if the two don't agree on what both have.
        """
        theirs, ours = fetch(self._store, self._home), self._local.lines()
        if theirs[: len(ours)] != ours[: len(theirs)]:
            raise EvidenceFault(
                f"the journal here and its mirror {self.uri} tell different stories",
                way="keep both as they are for the investigation; go on from the one that is right: drfsm resume s3://…",
            )
        self._local.extend(theirs[len(ours) :])
        self._mirrored = len(theirs)
        return max(0, len(theirs) - len(ours))

    def append(self, kind: str, body: Mapping[str, Any], at: str) -> Record:
        """Append one record to both homes, in the order that its kind asks for."""
        if kind == "lease_acquired" and not self._on:
            self._begin()
        if self._on and kind in STRICT:
            line = encode(Record(len(self._local.records()), kind, at, body), self._local.head)
            self._follow()
            self._put(len(self._local.records()), line)
            record = self._local.append(kind, body, at)
            self._mirrored = len(self._local.records())
            return record
        record = self._local.append(kind, body, at)
        if self._on:
            try:
                self._follow()
            except Unreachable:
                return record  # it is on disk; the next intent, or the next resume, brings it to S3
        return record

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
            raise EvidenceFault(f"{key} is another declaration than the run is pinned to")
        self._on = True

    def _follow(self) -> None:
        """Bring to S3 what only the file has."""
        lines = self._local.lines()
        while self._mirrored < len(lines):
            self._put(self._mirrored, lines[self._mirrored])
            self._mirrored += 1

    def _put(self, number: int, line: bytes) -> None:
        key = f"{self._home}/{number:06d}.json"
        try:
            self._store.put(key, line, if_absent=True)
        except Conflict:
            blob = self._store.get(key)
            if blob is not None and blob.body == line:
                return
            raise LeaseLost(
                f"record {number} of {self._run_id} was written by somebody else: the run goes on elsewhere",
                way=f"see how it stands there: drfsm resume {self.uri}",
            ) from None
