"""A lease whose run can do nothing more is taken by the next run, with a record; any other one only by a person's word.

Runs are mirrored journals on a server; what a whole process does stands in tests/e2e/test_orphan_leases.py.
"""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drfsm.adapters.aws import S3Store
from drfsm.adapters.file_journal import FileJournal
from drfsm.adapters.lease_holders import UNKNOWN
from drfsm.adapters.s3_journal import MirroredJournal
from drfsm.adapters.s3_lease import NEXT_RECORD_SECONDS, S3Lease
from drfsm.errors import LeaseHeld, LeaseLost
from drfsm.journal import GENESIS, Record, digest, encode, fold
from drfsm.journal.mirror import home_of, key_of

AT = "2026-02-27T00:22:29.000000Z"
STARTED = {
    "run_id": "run-a", "machine": "failback", "machine_sha256": "a" * 64, "version": "0.4.0", "inputs": {},
    "operator": "ann", "host": "host-a", "dry_run": False, "scope": "live", "state": "start",
}  # fmt: skip
LEASED = {"epoch": 1, "operator": "ann", "host": "host-a"}
HELD = {"state": "start", "stage": "run_preflight", "reason": "r", "frozen": [], "ways": []}
ENDED = {"state": "refused", "status": "refused", "reason": "r", "frozen": [], "ways": [], "kept": []}
CUT = {"bytes": 3, "sha256": "a" * 64}


class Clock:
    """A clock that only notes how long somebody waited, and does something meanwhile."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.slept, self._meanwhile = 0.0, meanwhile

    def now(self) -> str:
        """Return a time."""
        return AT

    def monotonic(self) -> float:
        """Return what was waited."""
        return self.slept

    def sleep(self, seconds: float) -> None:
        """Wait, in no time."""
        self.slept += seconds
        self._meanwhile()


def lease_of(store: S3Store, bundle: str = "/a", **options: Any) -> S3Lease:
    """Return the lease as a run's process has it."""
    return S3Lease(store, "p", **{"bundle": bundle, "keeps_records": True, "clock": Clock(), **options})


def journalled(store: S3Store, *kinds: tuple[str, dict[str, Any]], run_id: str = "run-a") -> None:
    """Write a run's mirror."""
    head = GENESIS
    for number, (kind, body) in enumerate(kinds):
        line = encode(Record(number, kind, AT, body), head)
        head = digest(line)
        store.put(key_of(home_of("p", run_id), number), line)


STARTS = ("run_started", STARTED), ("lease_acquired", LEASED)
FREE = {
    "it has no record": ((), "no_record"),
    "it has ended": ((*STARTS, ("ended", ENDED)), "ended"),
    "it is sealed": ((*STARTS, ("ended", ENDED), ("seal", {"records": 3, "head": "a" * 64})), "ended"),
    "it was held before it changed anything": ((*STARTS, ("held", {**HELD, "lease": "released"})), "released"),
}


@pytest.mark.parametrize("holder", FREE)
def test_a_lease_of_a_run_that_can_do_nothing_more_is_taken_and_it_is_said_why(store: S3Store, holder: str) -> None:
    """The next run takes it without a person's word; the reason is there for its record, and the epoch rises."""
    records, why = FREE[holder]
    first = lease_of(store)
    assert first.acquire("run-a", "ann", "host-a") == 1
    journalled(store, *records)
    second = lease_of(store, "/b")
    assert second.acquire("run-b", "bob", "host-b") == 2
    assert second.taken_from == {"run_id": "run-a", "why": why}
    with pytest.raises(LeaseLost, match="taken over by the run run-b"):
        first.check()


AT_WORK = {
    "it has only begun": STARTS[:1],
    "it has the lease": STARTS,
    "it was held after a change": (*STARTS, ("held", HELD)),
    "its last record is of a torn line": (*STARTS, ("tail_cut", CUT)),
    "its last record can't be read": (*STARTS, ("nonsense", {})),
}


@pytest.mark.parametrize("holder", AT_WORK)
def test_a_lease_of_any_other_run_needs_a_persons_word(store: S3Store, holder: str) -> None:
    """Nobody can see from here whether its process is dead; who says so takes it, and that is what is recorded."""
    lease_of(store).acquire("run-a", "ann", "host-a")
    journalled(store, *AT_WORK[holder])
    before = {stat.key: stat.etag for stat in store.list("")}
    with pytest.raises(LeaseHeld, match="held by the run run-a") as refused:
        lease_of(store, "/b").acquire("run-b", "bob", "host-b")
    assert "drfsm resume /a" in refused.value.hint
    assert {stat.key: stat.etag for stat in store.list("")} == before
    second = lease_of(store, "/b", take_over_from="run-a")
    assert second.acquire("run-b", "bob", "host-b") == 2
    left = {"left_open": [UNKNOWN]} if "can't be read" in holder else {}
    assert second.taken_from == {"run_id": "run-a", "why": "taken_over", **left}


STEP = "dr_promoted --freeze_dr--> dr_frozen"
INTENT = {
    "row": STEP, "trigger": "freeze_dr", "from": "dr_promoted", "to": "dr_frozen", "by": "runner", "attempt": 1,
    "effect": "idempotent", "guards": [], "facts": {}, "before": {"dr_schedules": {}}, "frozen": [], "because": "b",
}  # fmt: skip
OF_B = ("run_started", {**STARTED, "run_id": "run-b"})
INHERITS = {**LEASED, "epoch": 2, "taken_from": {"run_id": "run-a", "why": "taken_over", "left_open": ["freeze_dr"]}}
SETTLED = {"run_id": "run-a", "left_open": ["freeze_dr"], "how": "touched", "because": "b", "result": None}


def test_a_row_that_only_reads_is_nothing_that_was_left_open(store: S3Store) -> None:
    """A start that was killed in its preflight: nobody need wait for what changes nothing."""
    lease_of(store).acquire("run-a", "ann", "host-a")
    journalled(store, *STARTS, ("intent", {**INTENT, "before": {}, "effect": "none"}))
    second = lease_of(store, "/b", take_over_from="run-a")
    second.acquire("run-b", "bob", "host-b")
    assert second.taken_from == {"run_id": "run-a", "why": "taken_over"}


def test_who_takes_over_learns_which_rows_were_left_open(store: S3Store) -> None:
    """An intent without an end: a request of it may be on its way, so the heir must settle it."""
    lease_of(store).acquire("run-a", "ann", "host-a")
    journalled(store, *STARTS, ("intent", INTENT))
    second = lease_of(store, "/b", take_over_from="run-a")
    second.acquire("run-b", "bob", "host-b")
    assert second.taken_from == {"run_id": "run-a", "why": "taken_over", "left_open": ["freeze_dr"]}


@pytest.mark.parametrize(
    ("records", "left"),
    [
        ((OF_B, ("lease_acquired", INHERITS), ("ended", ENDED)), ["freeze_dr"]),
        ((OF_B, ("lease_acquired", INHERITS), ("predecessor_settled", SETTLED), ("ended", ENDED)), []),
        ((), ["freeze_dr"]),
        ((OF_B,), ["freeze_dr"]),
    ],
    ids=[
        "it was refused before it settled that",
        "it settled that",
        "it keeps no records",
        "it died before it could record that it has the lease",
    ],
)
def test_what_a_run_left_open_is_handed_on_until_somebody_settled_it(
    store: S3Store, records: tuple[tuple[str, dict[str, Any]], ...], left: list[str]
) -> None:
    """Through a run between that took the lease over, and gave it back: the third still learns of it."""
    lease_of(store).acquire("run-a", "ann", "host-a")
    journalled(store, *STARTS, ("intent", INTENT))
    between = lease_of(store, "/b", take_over_from="run-a", keeps_records=bool(records))
    between.acquire("run-b", "bob", "host-b")
    journalled(store, *records, run_id="run-b")
    between.release("run-b")
    third = lease_of(store, "/c")
    third.acquire("run-c", "cat", "host-c")
    assert third.taken_from.get("left_open", []) == left
    third.release("run-c")
    fourth = lease_of(store, "/d")
    fourth.acquire("run-d", "dan", "host-d")
    assert fourth.taken_from.get("left_open", []) == left  # run-c settled nothing either


@pytest.mark.parametrize(
    ("known_epoch", "left"), [(0, ["freeze_dr"]), (2, [])], ids=["not yet on its records", "on its records"]
)
def test_a_run_that_died_before_it_recorded_whom_it_took_over_learns_it_again(
    store: S3Store, known_epoch: int, left: list[str]
) -> None:
    """Killed between the lease and the record of it, the heir goes on: the lease still says from whom it was taken."""
    lease_of(store).acquire("run-a", "ann", "host-a")
    journalled(store, *STARTS, ("intent", INTENT))
    lease_of(store, "/b", take_over_from="run-a").acquire("run-b", "bob", "host-b")
    again = lease_of(store, "/b", known_epoch=lambda: known_epoch)
    assert again.acquire("run-b", "bob", "host-b") == 3
    named = {"run_id": "run-a", "why": "taken_over", "left_open": left}
    assert again.taken_from == (named if left else {})


def test_the_same_run_in_another_place_is_never_revoked(store: S3Store) -> None:
    """A bundle was copied before its first record was in S3: only a person knows which of the two goes on."""
    lease_of(store).acquire("run-a", "ann", "host-a")
    with pytest.raises(LeaseHeld):
        lease_of(store, "/b").acquire("run-a", "ann", "host-b")
    assert [stat.key for stat in store.list("")] == ["p/drfsm/lease.json"]
    again = lease_of(store, "/b", take_over_from="run-a")
    assert again.acquire("run-a", "ann", "host-b") == 2
    assert [stat.key for stat in store.list("")] == ["p/drfsm/lease.json"]


@pytest.mark.parametrize(
    ("lease", "run_id"),
    [
        (lambda store: S3Lease(store, "p", bundle="/a"), "run-a"),
        (lambda store: S3Lease(store, "p", bundle="/a", keeps_records=True), "pointers-20260227t002229z-abcdef"),
    ],
    ids=["a command of this version", "`drfsm pointers set` of 0.3.0"],
)
def test_a_command_that_keeps_no_records_is_not_taken_for_a_dead_start(
    store: S3Store, lease: Callable[[S3Store], S3Lease], run_id: str
) -> None:
    """It moves pointers and has no journal: that it has no record says nothing. Nor can it be resumed."""
    lease(store).acquire(run_id, "ann", "host-a")
    if run_id.startswith("pointers"):  # as 0.3.0 wrote it
        content = json.loads(store.get("p/drfsm/lease.json").body)  # type: ignore[union-attr]  # it is there
        del content["keeps_records"]
        store.put("p/drfsm/lease.json", json.dumps(content).encode())
    with pytest.raises(LeaseHeld) as refused:
        lease_of(store, "/b").acquire("run-b", "bob", "host-b")
    assert "can't be resumed: wait for its end" in refused.value.hint
    assert f"--take-over {run_id}" in refused.value.hint
    assert lease_of(store, "/b", take_over_from=run_id).acquire("run-b", "bob", "host-b") == 2


# --- a start that is only slow --------------------------------------------------------------------------


class Starter:
    """A run on this machine that has the lease and no record yet."""

    def __init__(self, store: S3Store, place: Path, run_id: str = "run-a") -> None:
        place.mkdir()
        self.lease = lease_of(store, str(place))
        self.local = FileJournal.create(place)
        self.journal = MirroredJournal(
            self.local, store, "p", run_id, b"machine: failback\n", is_elsewhere=self.lease.is_elsewhere
        )
        self.journal.append("run_started", {**STARTED, "run_id": run_id}, AT)
        self.lease.acquire(run_id, "ann", "host-a")

    def begin(self) -> None:
        """Write the first records to S3."""
        self.journal.append("lease_acquired", LEASED, AT)


def test_a_starter_that_wakes_up_late_fails_at_its_first_record_and_writes_nothing(
    store: S3Store, tmp_path: Path
) -> None:
    """Its start was revoked: no record, no declaration, no summary of it comes into the store; it is told by whom."""
    late = Starter(store, tmp_path / "a")
    assert lease_of(store, "/b").acquire("run-b", "bob", "host-b") == 2
    before = {stat.key: stat.etag for stat in store.list("")}
    with pytest.raises(LeaseHeld, match=r"revoked by the run run-b \(bob on host-b\)") as refused:
        late.begin()
    assert not isinstance(refused.value, LeaseLost)  # it changed nothing: the run may record its end
    assert f"drfsm status s3://{store.bucket}/p/drfsm/runs/run-b" in refused.value.hint
    late.journal.append("ended", ENDED, AT)
    late.journal.keep_summary(b"{}")
    late.journal.settle(b"{}")
    late.lease.release("run-a")
    assert {stat.key: stat.etag for stat in store.list("")} == before
    assert [record.kind for record in late.local.records()] == ["run_started", "ended"]


def test_a_starter_that_is_only_slow_is_waited_for(store: S3Store, tmp_path: Path) -> None:
    """Its first record came while the other waited: it is at work, and is left alone."""
    slow = Starter(store, tmp_path / "a")
    clock = Clock(meanwhile=slow.begin)
    with pytest.raises(LeaseHeld, match="held by the run run-a"):
        lease_of(store, "/b", clock=clock).acquire("run-b", "bob", "host-b")
    assert 0 < clock.slept <= NEXT_RECORD_SECONDS
    slow.lease.check()


def test_a_run_that_goes_on_just_now_is_waited_for_as_well(store: S3Store, tmp_path: Path) -> None:
    """Held before any change it gave the lease back; it has it again, and its record comes while the other waits."""
    run = Starter(store, tmp_path / "a")
    run.begin()
    run.journal.append("held", {**HELD, "lease": "released"}, AT)
    run.lease.release("run-a")
    run.lease.acquire("run-a", "ann", "host-a")
    again = {**LEASED, "epoch": 2}
    clock = Clock(meanwhile=lambda: run.journal.append("lease_acquired", again, AT))
    with pytest.raises(LeaseHeld, match="held by the run run-a"):
        lease_of(store, "/b", clock=clock).acquire("run-b", "bob", "host-b")
    run.lease.check()


def test_a_starter_that_writes_in_the_moment_of_its_revocation_goes_on(store: S3Store, tmp_path: Path) -> None:
    """Of record 0 and its revocation one is first: here the record, and the other run is refused."""
    slow = Starter(store, tmp_path / "a")

    class Late(S3Store):
        """A store on which somebody else writes just before each conditional write of a mirror's object."""

        def put(self, key: str, body: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
            if "/runs/" in key:
                slow.begin()
            return super().put(key, body, if_match=if_match, if_absent=if_absent)

    with pytest.raises(LeaseHeld, match="wrote its first record in this moment"):
        lease_of(Late(store._services, store.bucket), "/b").acquire("run-b", "bob", "host-b")
    slow.lease.check()
    assert fold(slow.local.records()).epoch == 1


def test_of_eight_who_find_a_dead_start_one_goes_on(store: S3Store) -> None:
    """All of them revoke it; compare-and-swap on the lease lets one of them have it, and its start is not revoked."""
    lease_of(store).acquire("run-dead", "ann", "host-a")
    outcomes: list[int] = []
    barrier = threading.Barrier(8)

    def grab(number: int) -> None:
        lease = lease_of(store, f"/{number}")
        lease.look()
        barrier.wait()
        try:
            outcomes.append(lease.acquire(f"run-{number}", "x", "host"))
        except LeaseHeld:
            outcomes.append(0)

    crowd = [threading.Thread(target=grab, args=(number,)) for number in range(8)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert sorted(outcomes) == [0] * 7 + [2]
    assert [stat.key for stat in store.list("p/drfsm/runs/")] == [key_of(home_of("p", "run-dead"), 0)]
