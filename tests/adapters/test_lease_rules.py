"""Who may take the lease of a prefix, and what it says afterwards: every holder by its records. In memory."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from drfsm.adapters.s3_lease import NEXT_RECORD_SECONDS, S3Lease, probe_compare_and_swap
from drfsm.errors import ActionFailed, LeaseHeld, LeaseLost
from drfsm.journal import Record, lines
from drfsm.journal.mirror import home_of, key_of
from tests.dr.memory import Clock, MemoryStore
from tests.journal.fold_stories import STARTED, held, intent, lease

PREFIX, KEY = "p", "p/drfsm/lease.json"
BY = {"run_id": "new", "operator": "ana", "host": "desk"}
HELD = {
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
