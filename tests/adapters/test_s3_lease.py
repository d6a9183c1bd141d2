"""One run at a time: the lease is moved by compare-and-swap, never by time, and its epoch only rises.

What becomes of a lease whose run can do nothing more stands in test_lease_holders.py.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from drfsm.adapters.aws import S3Store
from drfsm.adapters.s3_lease import PROBE_SECONDS, S3Lease, probe_compare_and_swap
from drfsm.dr.sites.preflight import unwritable
from drfsm.errors import ActionFailed, LeaseHeld, LeaseLost
from drfsm.journal import GENESIS, Record, encode
from drfsm.journal.mirror import home_of, key_of
from drfsm.sandbox.cloud import REGION, Cloud


def test_the_first_takes_it_and_the_second_is_told_who_has_it(store: S3Store) -> None:
    """A held lease names its holder, and what to do."""
    assert S3Lease(store, "p").acquire("run-a", "ann", "host-a") == 1
    with pytest.raises(LeaseHeld, match="held by the run run-a, started by ann on host-a") as refused:
        S3Lease(store, "p").acquire("run-b", "bob", "host-b")
    assert "--take-over run-a" in refused.value.hint


def test_the_same_run_on_the_same_host_takes_it_again_with_a_higher_epoch(store: S3Store) -> None:
    """A killed run's next process goes on, and its dead predecessor could write nothing any more."""
    first, second = S3Lease(store, "p"), S3Lease(store, "p")
    assert first.acquire("run-a", "ann", "host-a") == 1
    assert second.acquire("run-a", "ann", "host-a") == 2
    with pytest.raises(LeaseLost, match="this process stops"):
        first.check()
    second.check()


def test_another_host_needs_a_persons_word_even_for_the_same_run(store: S3Store) -> None:
    """Nobody can see from here whether the process over there is dead."""
    S3Lease(store, "p").acquire("run-a", "ann", "host-a")
    with pytest.raises(LeaseHeld):
        S3Lease(store, "p").acquire("run-a", "ann", "host-b")
    assert S3Lease(store, "p", take_over_from="run-a").acquire("run-a", "ann", "host-b") == 2


def test_a_take_over_names_the_right_run_or_is_refused(store: S3Store) -> None:
    """Who takes over from the wrong run has not looked."""
    S3Lease(store, "p").acquire("run-a", "ann", "host-a")
    with pytest.raises(LeaseHeld):
        S3Lease(store, "p", take_over_from="run-x").acquire("run-b", "bob", "host-b")


def test_after_a_release_the_epoch_still_rises(store: S3Store) -> None:
    """Epochs never repeat: a fencing token of a former run is never valid again."""
    lease = S3Lease(store, "p")
    assert lease.acquire("run-a", "ann", "host") == 1
    lease.release("run-a")
    assert S3Lease(store, "p").acquire("run-b", "bob", "host") == 2


def test_who_lost_it_cannot_release_what_another_holds(store: S3Store) -> None:
    """A stale holder's goodbye leaves the new holder's lease alone."""
    stale = S3Lease(store, "p")
    stale.acquire("run-a", "ann", "host-a")
    holder = S3Lease(store, "p", take_over_from="run-a")
    holder.acquire("run-a", "bob", "host-b")
    stale.release("run-a")
    holder.check()


def test_of_sixteen_who_grab_at_once_one_wins(store: S3Store) -> None:
    """Compare-and-swap lets exactly one of a crowd have it."""
    outcomes: list[Any] = []
    barrier = threading.Barrier(16)

    def grab(number: int) -> None:
        barrier.wait()
        try:
            outcomes.append(S3Lease(store, "p").acquire(f"run-{number}", "x", "host"))
        except LeaseHeld:
            outcomes.append(None)

    crowd = [threading.Thread(target=grab, args=(number,)) for number in range(16)]
    for each in crowd:
        each.start()
    for each in crowd:
        each.join()
    assert sorted(each for each in outcomes if each) == [1]
    assert len(outcomes) == 16


def test_a_lease_that_cannot_be_understood_is_never_overwritten(store: S3Store) -> None:
    """Damaged bytes may hide a living holder: a person looks."""
    store.put("p/drfsm/lease.json", b"{half")
    with pytest.raises(ActionFailed, match="is damaged"):
        S3Lease(store, "p").acquire("run-a", "ann", "host")
    blob = store.get("p/drfsm/lease.json")
    assert blob is not None
    assert blob.body == b"{half"


class Careless(S3Store):
    """A store that takes every write, whatever its condition: some servers do."""

    def put(self, key: str, body: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:  # noqa: ARG002
        """Write without looking."""
        return super().put(key, body)


def test_a_store_that_ignores_conditions_is_refused(store: S3Store) -> None:
    """On a store where sixteen of sixteen would win, no lease is taken at all, and no probe is left behind."""
    careless = Careless(store._services, store.bucket)
    with pytest.raises(ActionFailed, match="does not honour conditional writes"):
        S3Lease(careless, "p").acquire("run-a", "ann", "host")
    assert list(store.list("p/")) == []


def test_the_probe_leaves_nothing(store: S3Store) -> None:
    """Asking a good store leaves it as it was."""
    probe_compare_and_swap(store, "p")
    assert list(store.list("p/")) == []


def test_what_preflight_asks_of_a_store_leaves_nothing_either(store: S3Store) -> None:
    """A write that can't succeed is no finding where it is refused; a store that accepts it is one, and is cleaned."""
    for asked, findings in ((store, 0), (Careless(store._services, store.bucket), 1)):
        world, run = cast("Any", SimpleNamespace(store=asked)), cast("Any", SimpleNamespace(id="run-a"))
        assert len(list(unwritable(world, run, ["p/state"]))) == findings
        assert list(store.list("")) == []


KILLED_IN_THE_PROBE = """
import os, signal
from drfsm.adapters.aws import S3Store, connect
from drfsm.adapters.s3_lease import S3Lease

store = connect(bucket=os.environ["BUCKET"], endpoint_url=os.environ["ENDPOINT"], region=os.environ["REGION"]).store
writes = store._services.client("s3", once=True).meta.events
writes.register("after-call.s3.PutObject", lambda **_: os.kill(os.getpid(), signal.SIGKILL))
S3Lease(store, "p").acquire("run-a", "ann", "host")
"""


def test_what_a_killed_probe_left_behind_is_removed_when_it_is_old(cloud: Cloud, store: S3Store) -> None:
    """Killed by SIGKILL right after its first write, an object is left; a later probe removes it, and no young one."""
    place = {"BUCKET": store.bucket, "ENDPOINT": cloud.endpoint, "REGION": REGION}
    argv = [sys.executable, "-c", KILLED_IN_THE_PROBE]
    assert subprocess.run(argv, env={**os.environ, **place}, check=False).returncode == -signal.SIGKILL
    (left,) = store.list("p/drfsm/probes/")
    probe_compare_and_swap(store, "p")  # another process may be at it just now
    assert [stat.key for stat in store.list("p/")] == [left.key]
    backdate(cloud, store, left.key, seconds=PROBE_SECONDS + 60)
    store.put("p/drfsm/probes-of-somebody-else", b"")
    probe_compare_and_swap(store, "p")
    assert [stat.key for stat in store.list("p/")] == ["p/drfsm/probes-of-somebody-else"]


def backdate(cloud: Cloud, store: S3Store, key: str, *, seconds: float) -> None:
    """Let the server say that an object is older than it is."""
    from moto.s3.models import s3_backends

    held = s3_backends[cloud.account]["aws"].get_object(store.bucket, key)
    assert held is not None
    held.last_modified -= timedelta(seconds=seconds)


# --- the epoch has a floor ------------------------------------------------------------------------------


def record(store: S3Store, run_id: str, number: int, kind: str, body: dict[str, Any]) -> str:
    """Put a record into a run's mirror, as its process would; return its ETag."""
    line = encode(Record(number, kind, "2026-02-27T00:22:29.000000Z", body), GENESIS)
    return store.put(key_of(home_of("p", run_id), number), line)


def leased(store: S3Store, run_id: str, epoch: int, number: int = 1) -> None:
    """Let a run's mirror say that it acted under an epoch."""
    record(store, run_id, number, "lease_acquired", {"epoch": epoch, "operator": "ann", "host": "host"})


def owned(store: S3Store, epoch: object) -> None:
    """Let the ownership object name an epoch."""
    body = {"schema_version": 1, "site": "dr", "cluster_uid": None, "epoch": epoch, "run": "run-a", "nonce": "n"}
    store.put("p/drfsm/ownership.json", json.dumps(body).encode())


def known(store: S3Store, *said: tuple[str, int, int], owner: object = None) -> S3Store:
    """Let mirrors (run, record, epoch) and the ownership object say under which epochs somebody acted."""
    for run_id, number, epoch in said:
        leased(store, run_id, epoch, number)
    if owner is not None:
        owned(store, owner)
    return store


FLOORS: dict[str, tuple[Callable[[S3Store], object], int]] = {
    "nothing is known": (lambda _store: None, 0),
    "a run's mirror": (lambda store: known(store, ("run-a", 1, 7)), 7),
    "a run that took it twice": (lambda store: known(store, ("run-a", 1, 7), ("run-a", 5, 9)), 9),
    "the highest of two runs": (lambda store: known(store, ("run-a", 1, 9), ("run-z", 1, 7)), 9),
    "the ownership object": (lambda store: known(store, owner=12), 12),
    "an ownership object that is none": (lambda store: store.put("p/drfsm/ownership.json", b"{half"), 0),
    "an ownership object with a wrong epoch": (lambda store: known(store, owner="12"), 0),
    "an epoch out of range": (lambda store: known(store, ("run-a", 1, 7), owner=1 << 60), 7),
    "a record that is none": (lambda store: store.put(key_of(home_of("p", "run-a"), 0), b"{half"), 0),
    "a record of another kind": (lambda store: record(store, "run-a", 2, "held", {"epoch": 90}), 0),
    "another prefix": (lambda store: store.put("q/drfsm/ownership.json", b'{"epoch": 90}'), 0),
}


@pytest.mark.parametrize("floor", FLOORS)
@pytest.mark.parametrize("lease", ["never written", "deleted", "restored"])
def test_a_lease_that_is_written_anew_is_above_every_epoch_that_is_known(
    store: S3Store, floor: str, lease: str
) -> None:
    """Whoever deleted the object, or put an old version back: no epoch under which somebody acted comes again."""
    say, highest = FLOORS[floor]
    own = 0
    if lease != "never written":
        former = S3Lease(store, "p")
        own = former.acquire("run-a", "ann", "host")
        blob = store.get("p/drfsm/lease.json")
        assert blob is not None
        if lease == "restored":
            own = S3Lease(store, "p").acquire("run-a", "ann", "host")
            store.put("p/drfsm/lease.json", blob.body)
        else:
            store.delete("p/drfsm/lease.json")
    say(store)
    again = S3Lease(store, "p", known_epoch=lambda: own)
    assert again.acquire("run-a", "ann", "host") == max(own, highest) + 1


def test_a_lease_that_is_whole_is_taken_without_reading_every_run(store: S3Store) -> None:
    """The mirrors are read only where the lease is no proof: a start costs the same after a hundred runs."""
    S3Lease(store, "p").acquire("run-a", "ann", "host")
    leased(store, "run-z", 90)
    assert S3Lease(store, "p").acquire("run-a", "ann", "host") == 2


def test_who_works_while_the_lease_is_deleted_stops_and_is_told_that(store: S3Store) -> None:
    """Nobody took it over: it is gone. The next lease has a higher epoch, and the former token is never valid again."""
    first = S3Lease(store, "p")
    assert first.acquire("run-a", "ann", "host") == 1
    store.delete("p/drfsm/lease.json")
    with pytest.raises(LeaseLost, match="somebody deleted it") as lost:
        first.check()
    assert f"s3://{store.bucket}/p/drfsm/lease.json" in lost.value.what
    assert "drfsm resume" in lost.value.hint
    assert S3Lease(store, "p", known_epoch=lambda: 1).acquire("run-a", "ann", "host") == 2
    with pytest.raises(LeaseLost, match="taken over by the run run-a"):
        first.check()
    first.release("run-a")
    assert json.loads(store.get("p/drfsm/lease.json").body)["held"] is True  # type: ignore[union-attr]  # it is there


def test_who_gave_it_back_holds_it_no_more(store: S3Store) -> None:
    """After the release nothing may be written, although nobody else has taken the lease yet; nor before it had it."""
    lease = S3Lease(store, "p")
    with pytest.raises(LeaseLost, match="does not hold the lease of p"):
        lease.check()
    lease.acquire("run-a", "ann", "host")
    lease.release("run-a")
    with pytest.raises(LeaseLost, match="does not hold the lease of p"):
        lease.check()


HELD = {
    "schema_version": 1, "epoch": 7, "held": True, "run_id": "run-a", "operator": "ann", "host": "host-a",
    "bundle": "/home/ann/a bundle", "at": "2026-02-27T00:22:29+00:00", "nonce": "0123456789abcdef",
}  # fmt: skip


def lying(store: S3Store, **changed: Any) -> S3Lease:
    """Put a lease that somebody wrote; None takes a field away. Return it as another run sees it."""
    content = {name: value for name, value in {**HELD, **changed}.items() if value is not None}
    store.put("p/drfsm/lease.json", json.dumps(content).encode())
    return S3Lease(store, "p")


@pytest.mark.parametrize(
    "changed",
    [
        {"epoch": None}, {"epoch": -1}, {"epoch": "7"}, {"epoch": True}, {"epoch": 7.5}, {"epoch": 1 << 60},
        {"held": None}, {"held": "yes"}, {"run_id": None}, {"run_id": 7}, {"run_id": "run; rm -rf ~"},
        {"run_id": "../../x"}, {"run_id": "-rf"}, {"operator": ["ann"]}, {"host": {}}, {"bundle": 7}, {"nonce": 7},
    ],
    ids=str,
)  # fmt: skip
def test_a_lease_that_is_none_is_refused_with_what_to_do_about_it(store: S3Store, changed: dict[str, Any]) -> None:
    """Whoever wrote it: its last good version is restored; without one, it is deleted once no run is at work."""
    with pytest.raises(ActionFailed, match="is damaged") as refused:
        lying(store, **changed).acquire("run-b", "bob", "host-b")
    assert "restore its last good version" in refused.value.hint
    assert f"stop every run of this prefix (drfsm list s3://{store.bucket}/p), then delete" in refused.value.hint


@pytest.mark.parametrize(
    ("bundle", "offered"),
    [
        ("/home/ann/a bundle", "drfsm resume '/home/ann/a bundle')"),
        ("/srv/$(touch x)", "drfsm resume '/srv/$(touch x)')"),
        ("/srv/x\x1b[2J", "drfsm resume run-a)"),
        ("/srv/\u202egpj", "drfsm resume run-a)"),
        ("--help", "drfsm resume run-a)"),
        ("relative", "drfsm resume run-a)"),
        ("", "drfsm resume run-a)"),
        ("/" + "x" * 5000, "drfsm resume run-a)"),
    ],
)  # fmt: skip
def test_a_command_holds_nothing_of_a_lease_but_what_can_be_pasted(store: S3Store, bundle: str, offered: str) -> None:
    """A bundle is offered if it is an absolute path that prints, quoted; else the run's name."""
    leased(store, "run-a", 7)  # else the lease would be that of a start that died
    with pytest.raises(LeaseHeld) as refused:
        lying(store, bundle=bundle, operator="ann\r\x1b[2J", host="h" * 9000).acquire("run-b", "bob", "host-b")
    assert offered in refused.value.hint
    assert "--take-over run-a" in refused.value.hint
    assert refused.value.what.isprintable()
    assert len(refused.value.what) < 600
