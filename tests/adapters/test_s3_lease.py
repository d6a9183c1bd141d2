"""One run at a time: the lease is moved by compare-and-swap, never by time, and its epoch only rises."""

import json
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from drfsm.adapters.aws import S3Store, connect
from drfsm.adapters.s3_lease import S3Lease, probe_compare_and_swap
from drfsm.errors import ActionFailed, LeaseHeld, LeaseLost
from drfsm.sandbox.cloud import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, Cloud


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """Return one moto server."""
    with Cloud() as started:
        yield started


@pytest.fixture
def store(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    """Return the real adapter on a bucket of its own."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
    bucket = f"lease-{uuid.uuid4().hex[:12]}"
    cloud.create_bucket(bucket)
    return connect(bucket=bucket, endpoint_url=cloud.endpoint, region=REGION)[0]


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
def test_a_lease_that_is_none_is_refused_and_never_to_be_deleted(store: S3Store, changed: dict[str, Any]) -> None:
    """Whoever wrote it: it is looked at and restored; deleting it would begin the epochs anew."""
    with pytest.raises(ActionFailed, match="is damaged") as refused:
        lying(store, **changed).acquire("run-b", "bob", "host-b")
    assert "Never delete it" in refused.value.hint
    assert "restore its last good version" in refused.value.hint


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
    with pytest.raises(LeaseHeld) as refused:
        lying(store, bundle=bundle, operator="ann\r\x1b[2J", host="h" * 9000).acquire("run-b", "bob", "host-b")
    assert offered in refused.value.hint
    assert "--take-over run-a" in refused.value.hint
    assert refused.value.what.isprintable()
    assert len(refused.value.what) < 600
