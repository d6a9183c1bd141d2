"""The mirror: a process that was taken over writes nothing more, and a store's fault is told as the store's."""

import json
from pathlib import Path
from typing import Any

import pytest

from drfsm.adapters.aws import S3Store
from drfsm.adapters.file_journal import FileJournal
from drfsm.adapters.s3_journal import MirroredJournal
from drfsm.adapters.s3_lease import S3Lease
from drfsm.errors import LeaseLost, Unreachable
from drfsm.sandbox.cloud import Cloud
from tests.adapters.conftest import store_at
from tests.adapters.test_lease_holders import AT, HELD, LEASED, STARTED
from tests.bench.faulty import Fault, Front

HOME = "p/drfsm/runs/run-a"
SUMMARY = f"{HOME}/summary.json"
REFUSED = b"<Error><Code>PreconditionFailed</Code><Message>on command</Message></Error>"


class Process:
    """One process that works on run-a, with a bundle and a lease of its own."""

    def __init__(self, store: S3Store, place: Path, **options: Any) -> None:
        self.store, fresh = store, not place.exists()
        place.mkdir(exist_ok=True)
        self.lease = S3Lease(store, "p", bundle=str(place), keeps_records=True, take_over_from="run-a")
        self.local = FileJournal.create(place) if fresh else FileJournal.open(place)
        self.mirror = MirroredJournal(
            self.local, store, "p", "run-a", b"machine: failback\n", is_elsewhere=self.lease.is_elsewhere, **options
        )

    def start(self) -> "Process":
        """Begin the run."""
        self.mirror.append("run_started", STARTED, AT)
        return self.take()

    def take(self) -> "Process":
        """Take the lease, with all records that are in S3."""
        self.lease.look()
        self.mirror.catch_up(lambda _lines: None)
        epoch = self.lease.acquire("run-a", "ann", "host-a")
        self.mirror.append("lease_acquired", {**LEASED, "epoch": epoch}, AT)
        return self

    def held(self) -> None:
        """Be held."""
        self.mirror.append("held", HELD, AT)

    def summary(self, word: str) -> bytes:
        """Return a summary of its journal."""
        return json.dumps({"word": word, "journal": {"records": len(self.local.lines())}}).encode()


def told(store: S3Store) -> str:
    """Return the word of the summary in S3."""
    blob = store.get(SUMMARY)
    return "" if blob is None else str(json.loads(blob.body)["word"])


LEFT = {"keep_summary": "held", "settle": "the process leaves"}


@pytest.mark.parametrize("way", LEFT)
@pytest.mark.parametrize("wrote_before", [True, False], ids=["after one of its own", "its first"])
@pytest.mark.parametrize("moment", ["before", "in the middle"])
def test_who_was_taken_over_writes_no_summary(
    cloud: Cloud, front: Front, bucket: str, tmp_path: Path, way: str, moment: str, *, wrote_before: bool
) -> None:
    """Taken over before it begins to write, or while its write is on its way: the newer summary stays as it is."""
    sleeper = Process(store_at(front.endpoint, bucket), tmp_path / "a").start()
    direct = store_at(cloud.endpoint, bucket)
    if wrote_before:
        sleeper.mirror.keep_summary(sleeper.summary("the sleeper's first"))
        assert told(direct) == "the sleeper's first"
    other = Process(direct, tmp_path / "b")

    def take_over() -> None:
        other.take()
        other.held()
        other.mirror.keep_summary(other.summary("the other's"))

    if moment == "before":
        take_over()
    else:

        def rule(method: str, path: str) -> Fault | None:
            if method == "PUT" and path.endswith("/summary.json") and len(other.local.lines()) == 0:
                take_over()
            return None

        front.rule = rule
    getattr(sleeper.mirror, way)(sleeper.summary("the sleeper's last"))
    assert told(direct) == "the other's"


def test_a_summary_is_written_again_and_again_by_who_has_the_lease(
    cloud: Cloud, front: Front, bucket: str, tmp_path: Path
) -> None:
    """Its own ones replace each other, also after an answer that was lost, and after one that somebody deleted."""
    process, direct = (
        Process(store_at(front.endpoint, bucket), tmp_path / "a").start(),
        store_at(cloud.endpoint, bucket),
    )
    for word in ("first", "second"):
        process.mirror.keep_summary(process.summary(word))
        assert told(direct) == word
    front.rule = lambda method, path: Fault("lose") if method == "PUT" and path.endswith("/summary.json") else None
    process.mirror.keep_summary(process.summary("third"))
    front.rule = lambda _method, _path: None
    assert told(direct) == "third"
    direct.delete(SUMMARY)
    for word in ("lost", "fourth"):
        process.mirror.keep_summary(process.summary(word))
    assert told(direct) == "fourth"
    direct.put(SUMMARY, b"{half")
    for word in ("lost", "fifth"):
        process.mirror.keep_summary(process.summary(word))
    assert told(direct) == "fifth"


def test_who_gave_the_lease_back_still_leaves_its_last_summary(cloud: Cloud, bucket: str, tmp_path: Path) -> None:
    """Held before a change, it holds no lease: its history is its own until another process takes the lease."""
    direct = store_at(cloud.endpoint, bucket)
    process = Process(direct, tmp_path / "a").start()
    process.held()
    process.lease.release("run-a")
    process.mirror.settle(process.summary("at the end"))
    assert told(direct) == "at the end"


def test_a_record_that_s3_lacks_is_not_written_into_the_place_of_who_goes_on(
    cloud: Cloud, front: Front, bucket: str, tmp_path: Path
) -> None:
    """It could not be mirrored, and the run was taken over since: the other's next record has its place."""
    sleeper, direct = (
        Process(store_at(front.endpoint, bucket), tmp_path / "a").start(),
        store_at(cloud.endpoint, bucket),
    )
    front.rule = lambda method, _path: Fault("close") if method == "PUT" else None
    sleeper.held()  # in its file only
    front.rule = lambda _method, _path: None
    other = Process(direct, tmp_path / "b")
    other.lease.look()
    other.mirror.catch_up(lambda _lines: None)
    epoch = other.lease.acquire("run-a", "bob", "host-b")
    sleeper.mirror.settle(sleeper.summary("late"))  # the same process, as it leaves
    sleeper.local.close()
    again = Process(direct, tmp_path / "a")  # and another one on its bundle, which is refused and leaves
    again.lease.look()
    again.mirror.catch_up(lambda _lines: None)
    again.mirror.settle(again.summary("later"))
    assert told(direct) == ""
    other.mirror.append("lease_acquired", {**LEASED, "epoch": epoch}, AT)
    assert [record.kind for record in other.local.records()] == ["run_started", "lease_acquired", "lease_acquired"]


class Signer:
    """A signer that signs anything."""

    def sign(self, namespace: str, line: bytes) -> bytes:
        """Sign."""
        return namespace.encode() + line[:10]


def test_a_record_that_comes_too_late_is_not_even_signed(cloud: Cloud, bucket: str, tmp_path: Path) -> None:
    """The signature goes before its line; of a line whose place is taken none is written."""
    direct = store_at(cloud.endpoint, bucket)
    sleeper = Process(direct, tmp_path / "a", signer=Signer()).start()
    other = Process(direct, tmp_path / "b", signer=Signer()).take()
    other.held()
    before = {stat.key: stat.etag for stat in direct.list("")}
    with pytest.raises(LeaseLost, match="the run continues elsewhere"):
        sleeper.held()
    assert {stat.key: stat.etag for stat in direct.list("")} == before


def test_a_record_that_is_refused_and_not_there_is_a_fault_of_the_store(
    front: Front, bucket: str, tmp_path: Path
) -> None:
    """Nobody wrote it, so the run continues nowhere else: the store is at fault, and an intent is not begun."""
    process = Process(store_at(front.endpoint, bucket), tmp_path / "a")
    process.mirror.append("run_started", STARTED, AT)
    process.lease.acquire("run-a", "ann", "host-a")
    front.rule = lambda method, path: (
        Fault(status=412, body=REFUSED) if method == "PUT" and path.endswith("/000000.json") else None
    )
    with pytest.raises(Unreachable, match="although the object is as the condition says") as refused:
        process.mirror.append("lease_acquired", LEASED, AT)
    assert refused.value.fault == "store"
    assert [record.kind for record in process.local.records()] == ["run_started"]
    front.rule = lambda _method, _path: None
    process.mirror.append("lease_acquired", LEASED, AT)
