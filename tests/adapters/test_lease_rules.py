"""Who may take the lease of a prefix, and what it says afterwards: every holder by its records. In memory."""

import json
import platform
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from drfsm.adapters.lease_epochs import later_runs, mirrored_epoch, owners_epoch
from drfsm.adapters.lease_holders import (
    UNKNOWN,
    Left,
    changed_sites,
    left_by,
    revocation,
    revoke_start,
    revoked_fault,
    standing_of,
)
from drfsm.adapters.s3_lease import NEXT_RECORD_SECONDS, S3Lease, probe_compare_and_swap
from drfsm.errors import ActionFailed, Conflict, LeaseHeld, LeaseLost, Unreachable
from drfsm.journal import Record, lines
from drfsm.journal.mirror import home_of, key_of
from tests.dr.memory import NOW, Clock, MemoryStore
from tests.journal.fold_stories import STARTED, held, intent, lease

PREFIX, KEY = "p", "p/drfsm/lease.json"
BY = {"run_id": "new", "operator": "ana", "host": "desk"}
HELD: dict[str, Any] = {
    "schema_version": 1, "epoch": 4, "held": True, "run_id": "old", "operator": "bob", "host": "lap",
    "bundle": "/b/old", "keeps_records": True, "at": "2026-03-01T11:00:00Z", "nonce": "n",
}  # fmt: skip
ENDED = (
    "ended", {"state": "b", "status": "complete", "reason": "", "frozen": [], "ways": [], "kept": []},
)  # fmt: skip
REVOKED = (
    "start_revoked",
    {
        "run_id": "old", "revoked_by": "third", "operator": "eve", "host": "x",
        "holder": {"operator": "bob", "host": "lap", "bundle": "/b/old", "at": "t"},
    },
)  # fmt: skip
MIRRORS: Mapping[str, tuple[tuple[str, Mapping[str, Any]], ...]] = {
    "no record": (),
    "revoked": (REVOKED,),
    "ended": (STARTED, lease(4), ENDED),
    "released": (STARTED, lease(4), held(lease="released")),
    "at work": (STARTED, lease(4)),
    "held with its lease": (STARTED, lease(4), held()),
    "at work in an action": (STARTED, lease(4), intent("go", {"f": 1})),
    "sealed": (STARTED, lease(4), ENDED, ("seal", {"records": 3, "head": "0" * 64})),
    "took another over": (STARTED, lease(4, run_id="first", why="taken_over", left_open=["freeze"])),
    "ended with a late request": (STARTED, lease(4), intent("go", {"f": 1}), ENDED),
}


def store_with(there: Mapping[str, Any] | None, mirror: str = "no record", run_id: str = "old") -> MemoryStore:
    """Return a bucket with a lease, and with the records of a run."""
    store = MemoryStore()
    if there is not None:
        store.lay(KEY, json.dumps(there).encode())
    records = (
        Record(seq, kind, f"2026-03-01T11:00:{seq:02}.000000Z", {**body, **({"run_id": run_id} if not seq else {})})
        for seq, (kind, body) in enumerate(MIRRORS[mirror])
    )
    for number, line in enumerate(lines(records)):
        store.lay(key_of(home_of(PREFIX, run_id), number), line)
    return store


def written(store: MemoryStore) -> dict[str, Any]:
    """Return the lease as it is now."""
    return dict(json.loads(store.objects[KEY].body))


TAKEN: dict[str, tuple[Mapping[str, Any] | None, str, str | None, Mapping[str, Any]]] = {
    "nobody's": (None, "no record", None, {}),
    "one that was given back": ({**HELD, "held": False}, "at work", None, {}),
    "our own, here": ({**HELD, **BY, "bundle": "/b/new"}, "at work", None, {}),
    "of a run without a record": (HELD, "no record", None, {"run_id": "old", "why": "no_record"}),
    "of a run that was revoked": (HELD, "revoked", None, {"run_id": "old", "why": "revoked"}),
    "of a run that ended": (HELD, "ended", None, {"run_id": "old", "why": "ended"}),
    "of a run that released it": (HELD, "released", None, {"run_id": "old", "why": "released"}),
    "of a run at work, by name": (HELD, "at work", "old", {"run_id": "old", "why": "taken_over"}),
    "of a run in an action, by name": (
        HELD, "at work in an action", "old", {"run_id": "old", "why": "taken_over", "left_open": ["go"]},
    ),
    "of a run that ended with a late request": (
        HELD, "ended with a late request", None, {"run_id": "old", "why": "ended", "left_open": ["go"]},
    ),
    "of a command that keeps no records, by name": (
        {**HELD, "keeps_records": False}, "no record", "old", {"run_id": "old", "why": "taken_over"},
    ),
    "of ours elsewhere, by name": (
        {**HELD, **BY, "bundle": "/b/elsewhere"}, "no record", "new", {"run_id": "new", "why": "no_record"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_a_lease_that_nobody_can_use_any_more_is_taken(name: str) -> None:
    """With a higher epoch, under a nonce of its own; and it says from whom, why, and what may still be on its way."""
    there, mirror, named, taken_from = TAKEN[name]
    store = store_with(there, mirror)
    ours = S3Lease(store, PREFIX, bundle="/b/new", clock=Clock(), take_over_from=named, keeps_records=True)
    epoch = ours.acquire(**BY)
    assert epoch == (1 if there is None else 5)
    assert ours.taken_from == taken_from
    body = written(store)
    assert body.pop("nonce") not in ("", "n")
    assert body.pop("at")
    assert body.pop("taken_over_from", None) == taken_from.get("run_id")
    assert body == {
        "schema_version": 1, "epoch": epoch, "held": True, **BY, "bundle": "/b/new", "keeps_records": True,
    }  # fmt: skip
    ours.check()
    first = store.objects.get(key_of(home_of(PREFIX, "old"), 0))
    assert (first is not None and b"start_revoked" in first.body) is (
        mirror == "revoked" or (taken_from.get("why") == "no_record" and taken_from["run_id"] == "old")
    )


REFUSED: dict[str, tuple[Mapping[str, Any], str, str | None]] = {
    "of a run at work": (HELD, "at work", None),
    "of a run at work, by another's name": (HELD, "at work", "other"),
    "of a run that is held": (HELD, "held with its lease", None),
    "of a run in an action": (HELD, "at work in an action", None),
    "of ours elsewhere, at work": ({**HELD, **BY, "bundle": "/b/elsewhere"}, "at work", None),
    "of ours elsewhere, without a record": ({**HELD, **BY, "bundle": "/b/elsewhere"}, "no record", None),
    "of ours on another host": ({**HELD, **BY, "host": "x", "bundle": "/b/new"}, "no record", None),
    "of a command that keeps no records": ({**HELD, "keeps_records": False}, "no record", None),
    "of an old command that keeps no records": (
        {**{key: value for key, value in HELD.items() if key != "keeps_records"}, "run_id": "pointers-1"},
        "no record",
        None,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_lease_that_somebody_may_be_using_is_not_taken(name: str) -> None:
    """The refusal names the holder, and how it is taken over all the same; nothing was written."""
    there, mirror, named = REFUSED[name]
    store = store_with(there, mirror, there["run_id"])
    before = dict(store.objects)
    ours = S3Lease(store, PREFIX, bundle="/b/new", clock=Clock(), take_over_from=named)
    with pytest.raises(LeaseHeld, match=f"is held by the run {there['run_id']}") as refused:
        ours.acquire(**BY)
    assert f"--take-over {there['run_id']}" in str(refused.value.hint)
    assert store.objects == before
    with pytest.raises(LeaseLost, match="does not hold the lease"):
        ours.check()


def test_a_run_that_may_write_its_first_record_just_now_is_waited_for() -> None:
    """As long as a record takes, less what has passed; one that is named is not waited for."""
    for named, naps in ((None, [NEXT_RECORD_SECONDS]), ("old", [])):
        clock = Clock()
        store = store_with(HELD)
        S3Lease(store, PREFIX, clock=clock, take_over_from=named).acquire(**BY)
        assert clock.naps == naps


@pytest.mark.parametrize(
    ("there", "known", "owner", "epoch"),
    [
        (None, 0, 0, 1), (None, 7, 0, 8), (None, 7, 9, 10), (HELD, 3, 0, 5), (HELD, 4, 4, 5), (HELD, 6, 0, 7),
        (HELD, 0, 8, 9),
    ],
)  # fmt: skip
def test_an_epoch_is_above_every_one_that_is_known(
    there: Mapping[str, Any] | None, known: int, owner: int, epoch: int
) -> None:
    """Of the lease, of the holder's own records, of the ownership: also where the lease was deleted or put back."""
    store = store_with(there, "ended")
    if owner:
        store.lay("p/drfsm/ownership.json", json.dumps({"epoch": owner, "site": "dr"}).encode())
    got = S3Lease(store, PREFIX, clock=Clock(), known_epoch=lambda: known).acquire(**BY)
    assert got == max(epoch, 5)  # the records of the run that ended know epoch 4


def test_a_lease_that_is_lost_stops_its_process() -> None:
    """Taken over by another, or deleted; the words say which. Given back, it is held no more."""
    store = store_with(None)
    ours = S3Lease(store, PREFIX, clock=Clock())
    ours.acquire(**BY)
    mine = store.objects[KEY].body
    store.lay(KEY, json.dumps(HELD).encode())
    with pytest.raises(LeaseLost, match="taken over by the run old of bob on lap"):
        ours.check()
    assert ours.is_elsewhere("new")
    ours.release("new")
    assert written(store) == HELD
    store.lay(KEY, mine)
    store.delete(KEY)
    again = S3Lease(store, PREFIX, clock=Clock())
    again.acquire(**BY)
    store.delete(KEY)
    with pytest.raises(LeaseLost, match="does not exist any more"):
        again.check()


def test_a_lease_is_given_back_by_its_own_run_only() -> None:
    """Once; with the time; another run's stays."""
    store = store_with(None)
    ours = S3Lease(store, PREFIX, clock=Clock())
    ours.acquire(**BY)
    ours.release("other")
    assert written(store)["held"]
    ours.acquire(**BY)
    before = written(store)
    ours.release("new")
    after = written(store)
    assert (after["held"], after["epoch"], after["run_id"]) == (False, before["epoch"], "new")
    assert after["released_at"]
    assert after["nonce"] != before["nonce"]
    with pytest.raises(LeaseLost):
        ours.check()


def test_who_takes_the_lease_in_the_same_moment_loses_to_the_first() -> None:
    """Its write has a condition: one of the two is refused, and holds nothing."""
    store = store_with(None)
    store.meanwhile[KEY] = lambda: store.lay(KEY, json.dumps(HELD).encode())
    ours = S3Lease(store, PREFIX, clock=Clock())
    with pytest.raises(LeaseHeld, match="the run old of bob on lap took the lease in the same moment"):
        ours.acquire(**BY)
    with pytest.raises(LeaseLost):
        ours.check()
    store = store_with({**HELD, "held": False})
    looked = S3Lease(store, PREFIX, clock=Clock())
    looked.look()
    store.lay(KEY, json.dumps({**HELD, "held": False, "nonce": "m"}).encode())
    with pytest.raises(LeaseHeld, match="nobody holds it now"):
        looked.acquire(**BY)


def test_a_run_is_not_gone_on_with_once_a_later_one_changed_the_sites() -> None:
    """An abort would give back what was before it, over what the later run made of it."""
    store = store_with({**HELD, "held": False}, "at work in an action")
    for epoch, changed, refused in ((3, True, True), (3, False, False), (4, True, False)):
        ours = S3Lease(store, PREFIX, clock=Clock(), known_epoch=lambda e=epoch: e, has_changed=lambda c=changed: c)  # type: ignore[misc]  # mypy infers no lambda with defaults
        if refused:
            with pytest.raises(LeaseHeld, match="the run old took the lease after new had it"):
                ours.acquire(**BY)
        else:
            ours.acquire(**BY)
            store.lay(KEY, json.dumps({**HELD, "held": False}).encode())


@pytest.mark.parametrize("ignored", ["if_match", "if_absent"])
def test_a_store_that_ignores_a_condition_gets_no_lease(ignored: str) -> None:
    """Two runs could hold the lease at once; the probe leaves nothing behind."""

    class Careless(MemoryStore):
        def put(self, key: str, body: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
            kept = {"if_match": if_match, "if_absent": if_absent}
            kept[ignored] = None if ignored == "if_match" else False
            return super().put(key, body, **kept)  # type: ignore[arg-type]  # one of two words

    store = Careless()
    with pytest.raises(ActionFailed, match="does not honour conditional writes"):
        S3Lease(store, PREFIX, clock=Clock()).acquire(**BY)
    assert store.objects == {}
    good = MemoryStore()
    probe_compare_and_swap(good, PREFIX)
    assert good.objects == {}


@pytest.mark.parametrize(
    "changed",
    [
        {"epoch": -1}, {"epoch": 1 << 53}, {"epoch": "4"}, {"held": "yes"}, {"run_id": "../x"}, {"run_id": 7},
        {"nonce": 7}, {"bundle": []}, {"keeps_records": "yes"}, {"taken_over_from": 7},
    ],
)  # fmt: skip
def test_a_lease_that_is_damaged_is_never_overwritten(changed: Mapping[str, Any]) -> None:
    """Nobody knows who holds it: a person looks; what is there stays."""
    store = store_with({**HELD, **changed}, "ended")
    before = store.objects[KEY]
    with pytest.raises(ActionFailed, match=r"the lease p/drfsm/lease.json is damaged"):
        S3Lease(store, PREFIX, clock=Clock()).acquire(**BY)
    assert store.objects[KEY] == before


# --- what a holder's records say ------------------------------------------------------------------------------

FIRST = key_of(home_of(PREFIX, "old"), 0)


@pytest.mark.parametrize(
    ("mirror", "standing"),
    [
        ("no record", "no_record"), ("revoked", "revoked"), ("ended", "ended"), ("sealed", "ended"),
        ("released", "released"), ("at work", "at_work"), ("held with its lease", "at_work"),
        ("at work in an action", "at_work"),
    ],
)  # fmt: skip
def test_a_holder_stands_where_its_last_record_says(mirror: str, standing: str) -> None:
    """Anything else than an end, a release or a revocation may be at work; what is no record does not count."""
    store = store_with(HELD, mirror)
    for key in ("notes.json", "signatures/ab.sig", "0000000009.json"):
        store.lay(f"{home_of(PREFIX, 'old')}/{key}", b"{}")
    assert standing_of(store, PREFIX, "old") == standing


@pytest.mark.parametrize(
    "line", [b"", b"[]", b"{}\n", b'{"seq": 2, "kind": "ended", "at": "noon", "body": {}}\n', b"\xff"]
)
def test_a_holder_whose_last_record_can_not_be_read_may_be_at_work(line: bytes) -> None:
    """A person looks. It may have changed the sites, and what it left open is unknown."""
    store = store_with(HELD, "ended")
    store.lay(key_of(home_of(PREFIX, "old"), 3), line)
    assert standing_of(store, PREFIX, "old") == "at_work"
    if line:
        assert changed_sites(store, PREFIX, "old")
        assert left_by(store, PREFIX, "old").triggers == (UNKNOWN,)


def test_a_last_record_that_is_gone_when_it_is_read_proves_nothing() -> None:
    """It was listed, so the run may be at work."""

    class Forgetful(MemoryStore):
        def get(self, key: str, *, largest_bytes: int = 0) -> None:
            del key, largest_bytes

    store = Forgetful()
    store.lay(FIRST, b"{}")
    assert standing_of(store, PREFIX, "old") == "at_work"


def test_a_store_that_does_not_answer_is_no_answer() -> None:
    """Nobody says then that a run changed nothing, or everything."""

    class Silent(MemoryStore):
        def get(self, key: str, *, largest_bytes: int = 0) -> None:
            raise Unreachable(f"{key} {largest_bytes}")

    store = Silent()
    store.lay(FIRST, b"{}")
    with pytest.raises(Unreachable):
        changed_sites(store, PREFIX, "old")


@pytest.mark.parametrize(
    ("mirror", "changed", "left", "epoch"),
    [
        ("no record", False, (), 0), ("ended", False, (), 4), ("at work in an action", True, ("go",), 4),
        ("ended with a late request", True, ("go",), 4), ("revoked", False, (), 0),
        ("took another over", False, ("freeze",), 4),
    ],
)  # fmt: skip
def test_what_a_run_left_open_and_changed_is_read_of_its_records(
    mirror: str, changed: bool, left: tuple[str, ...], epoch: int
) -> None:
    """Its own requests, and those that it inherited; with the last epoch that it recorded."""
    store = store_with(HELD, mirror)
    assert changed_sites(store, PREFIX, "old") is changed
    assert left_by(store, PREFIX, "old") == Left(left, epoch)
    assert left_by(store, PREFIX, "../old") == Left((UNKNOWN,))


def test_a_start_is_revoked_in_the_place_of_its_first_record() -> None:
    """It names who revoked it, and what the lease said of the holder."""
    store = store_with(HELD)
    revoke_start(store, PREFIX, {**HELD, "host": "x" * 300}, BY, "2026-03-01T12:00:00.000000Z")
    said = revocation(store.objects[FIRST].body)
    assert said is not None
    assert (said.run_id, said.revoked_by, said.operator, said.host) == ("old", "new", "ana", "desk")
    kept = dict(said.holder)
    assert 190 < len(kept.pop("host")) < 220
    assert kept == {"operator": "bob", "bundle": "/b/old", "at": HELD["at"]}
    fault = revoked_fault(said, "s3://b/p/drfsm/runs/old")
    assert "the start of old was revoked by the run new (ana on desk)" in fault.what
    assert str(fault.hint).endswith("drfsm status s3://b/p/drfsm/runs/new")


@pytest.mark.parametrize("line", [b"", b"{}\n", b"x"])
def test_what_is_no_revocation_revokes_nothing(line: bytes) -> None:
    """Nor is any other first record one."""
    assert revocation(line) is None
    assert revocation(store_with(HELD, "at work").objects[FIRST].body) is None


def test_a_holder_that_writes_its_first_record_in_that_moment_keeps_the_lease() -> None:
    """It is at work. Where another run revoked it in that moment, the lease's own condition decides."""
    first = store_with(HELD, "at work").objects[FIRST].body
    store = store_with(HELD)
    store.meanwhile[FIRST] = lambda: store.lay(FIRST, first)
    with pytest.raises(LeaseHeld, match="wrote its first record in this moment"):
        S3Lease(store, PREFIX, clock=Clock()).acquire(**BY)
    assert written(store) == HELD
    revoked = store_with(HELD, "revoked").objects[FIRST].body
    again = store_with(HELD)
    again.meanwhile[FIRST] = lambda: again.lay(FIRST, revoked)
    assert S3Lease(again, PREFIX, clock=Clock()).acquire(**BY) == 5


@pytest.mark.parametrize(
    ("there", "mirror", "taken_from", "said"),
    [
        # the holder took the lease over, and died before it recorded that: only the lease knows
        ({**HELD, "taken_over_from": "first"}, "no record",
         {"run_id": "old", "why": "no_record", "left_open": ["go"]}, "first"),
        # it gave the lease back: what it inherited is handed on
        ({**HELD, "held": False, "taken_over_from": "first"}, "no record",
         {"run_id": "old", "why": "ended", "left_open": ["go"]}, "first"),
        # its own records go as far as its lease: they say all
        ({**HELD, "taken_over_from": "first"}, "ended", {"run_id": "old", "why": "ended"}, "old"),
        # this very run goes on
        ({**HELD, **BY, "bundle": "", "taken_over_from": "first"}, "no record",
         {"run_id": "first", "why": "taken_over", "left_open": ["go"]}, "first"),
    ],
)  # fmt: skip
def test_what_a_holder_inherited_is_handed_on(
    there: Mapping[str, Any], mirror: str, taken_from: Mapping[str, Any], said: str
) -> None:
    """Whoever takes the lease is told all requests that may still be on their way, of whichever run before."""
    store = store_with(there, mirror)
    earlier = store_with(None, "at work in an action", "first")
    store.objects |= earlier.objects
    ours = S3Lease(store, PREFIX, clock=Clock())
    ours.acquire(**BY)
    assert ours.taken_from == taken_from
    assert written(store)["taken_over_from"] == said


@pytest.mark.parametrize(
    ("changed", "hint"),
    [
        ({}, "continue that run there (drfsm resume /b/old)"),
        ({"bundle": "relative"}, "continue that run there (drfsm resume old)"),
        ({"bundle": "/with\nnewline"}, "continue that run there (drfsm resume old)"),
        ({"bundle": "/" + "x" * 1000}, "continue that run there (drfsm resume old)"),
        ({"keeps_records": False}, "it is a single command, which can't be resumed: wait for its end"),
    ],
)
def test_a_refusal_says_how_the_holder_goes_on(changed: Mapping[str, Any], hint: str) -> None:
    """With what is safe to paste; a command that keeps no records can't be resumed."""
    store = store_with({**HELD, **changed}, "at work")
    with pytest.raises(LeaseHeld) as refused:
        S3Lease(store, PREFIX, clock=Clock()).acquire(**BY)
    assert str(refused.value.hint).startswith(f"{hint}; or,")


def test_a_lease_that_nobody_could_read_again_is_not_written() -> None:
    """Its epoch is the highest that can be read: somebody wrote it, and the next one would be damaged."""
    store = store_with({"epoch": (1 << 53) - 1, "held": False}, "ended")
    before = store.objects[KEY]
    with pytest.raises(ActionFailed, match="can't be raised above 9007199254740991"):
        S3Lease(store, PREFIX, clock=Clock()).acquire(**BY)
    assert store.objects[KEY] == before


@pytest.mark.parametrize("epoch", [-1, 1 << 53, "4", None])
def test_an_owner_without_an_epoch_that_can_be_read_knows_none(epoch: Any) -> None:
    """It is a claim like any other."""
    store = MemoryStore()
    assert owners_epoch(store, PREFIX) == 0
    store.lay("p/drfsm/ownership.json", json.dumps({"epoch": epoch}).encode())
    assert owners_epoch(store, PREFIX) == 0
    store.lay("p/drfsm/ownership.json", b'{"epoch": 9}')
    assert owners_epoch(store, PREFIX) == 9
    store.lay("p/drfsm/ownership.json", b'{"epoch": 9, "x": "' + b"x" * (64 << 10) + b'"}')
    assert owners_epoch(store, PREFIX) == 0


def test_later_runs_are_those_with_a_higher_epoch_the_last_one_first() -> None:
    """By the lease that each recorded; a record that only looks like one counts nothing."""
    store = store_with(None, "at work")
    for number, run_id in ((7, "seventh"), (5, "fifth"), (3, "third")):
        body = {"epoch": number, "operator": "ann", "host": "desk"}
        line = next(iter(lines([Record(0, "lease_acquired", HELD["at"], body)])))
        store.lay(key_of(home_of(PREFIX, run_id), 0), line)
    store.lay(key_of(home_of(PREFIX, "liar"), 0), b'{"kind": "rejected", "body": {"epoch": 99}}')
    store.lay(key_of(home_of(PREFIX, "vast"), 0), b'{"kind": "lease_acquired", "body": {"epoch": 9007199254740992}}')
    assert later_runs(store, PREFIX, "old", 3) == ["seventh", "fifth"]
    assert later_runs(store, PREFIX, "fifth", 3) == ["seventh", "old"]
    assert mirrored_epoch(store, PREFIX) == 7


HERE = platform.node()


@pytest.mark.parametrize(
    ("there", "elsewhere"),
    [
        (None, False),
        ({**HELD, "run_id": "new", "bundle": "/b/new", "host": HERE}, False),
        ({**HELD, "run_id": "new", "bundle": "/b/new", "host": "x"}, True),
        ({**HELD, "run_id": "new", "bundle": "/b/x", "host": HERE}, True),
        ({**HELD, "run_id": "new", "held": False, "host": "x"}, False),
        (HELD, False),
    ],
)
def test_a_run_is_elsewhere_where_another_place_holds_its_lease(
    there: Mapping[str, Any] | None, elsewhere: bool
) -> None:
    """By its bundle and its host, for a process that has not held it; also after it failed to take it."""
    store = store_with(there, "at work")
    ours = S3Lease(store, PREFIX, bundle="/b/new", clock=Clock())
    assert ours.is_elsewhere("new") is elsewhere
    store = store_with(None)
    store.meanwhile[KEY] = lambda: store.lay(KEY, json.dumps(HELD).encode())
    late = S3Lease(store, PREFIX, bundle="/b/new", clock=Clock())
    with pytest.raises(LeaseHeld):
        late.acquire(**BY)
    assert not late.is_elsewhere("new")


def test_a_lease_that_was_given_back_is_not_given_back_again() -> None:
    """Nothing is written."""
    store = store_with({**HELD, "run_id": "new", "held": False})
    S3Lease(store, PREFIX, clock=Clock()).release("new")
    assert (store.writes, written(store)["epoch"]) == ([], 4)


@pytest.mark.parametrize(
    ("mirror", "age", "naps"), [("released", 0, [5.0]), ("no record", 2, [3.0]), ("no record", 6, []), ("ended", 0, [])]
)
def test_a_holder_that_may_go_on_just_now_is_waited_for(mirror: str, age: int, naps: list[float]) -> None:
    """Who released the lease may take it again; the older the lease, the shorter the wait, and an end is an end."""
    store, clock = store_with(HELD, mirror), Clock()
    store.time = NOW + timedelta(seconds=age)
    S3Lease(store, PREFIX, clock=clock).acquire(**BY)
    assert clock.naps == naps


def test_an_old_command_that_keeps_no_records_is_told_by_its_name() -> None:
    """Until 0.3.0 its lease did not say so."""
    there = {key: value for key, value in HELD.items() if key != "keeps_records"}
    for run_id, words in (("pointers-1", "it is a single command"), ("a-pointers-", "continue that run there")):
        store = store_with({**there, "run_id": run_id}, "at work", run_id)
        with pytest.raises(LeaseHeld) as refused:
            S3Lease(store, PREFIX, clock=Clock()).acquire(**BY)
        assert str(refused.value.hint).startswith(words)


def test_a_run_that_was_the_last_holder_goes_on_without_a_look_at_the_others() -> None:
    """A later run that changed the sites is looked for only where the lease says that another held it since."""
    store = store_with({**HELD, **BY, "held": False}, "at work in an action")
    epochs = iter([4, 4, 4, 4])
    S3Lease(store, PREFIX, clock=Clock(), known_epoch=lambda: next(epochs), has_changed=lambda: True).acquire(**BY)
    other = store_with({**HELD, "held": False}, "at work in an action")
    with pytest.raises(LeaseHeld):
        S3Lease(other, PREFIX, clock=Clock(), known_epoch=lambda: 3, has_changed=lambda: True).acquire(**BY)


def test_a_store_that_refuses_a_right_condition_gets_no_lease() -> None:
    """It would never let the lease be written again."""

    class Stubborn(MemoryStore):
        def put(self, key: str, body: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
            if if_match:
                raise Conflict("no")
            return super().put(key, body, if_absent=if_absent)

    store = Stubborn()
    with pytest.raises(Conflict):
        probe_compare_and_swap(store, PREFIX)
    assert store.objects == {}
