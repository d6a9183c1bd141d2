"""What the lease says of its holder, and what it does where the store does not say all: in memory."""

import json
from datetime import datetime
from typing import Any

import pytest

from drfsm.adapters.lease_epochs import mirrored_epoch
from drfsm.adapters.s3_lease import NEXT_RECORD_SECONDS, S3Lease
from drfsm.errors import ActionFailed
from drfsm.journal.mirror import home_of, key_of
from drfsm.world import Stat
from tests.adapters.test_lease_rules import BY, HELD, KEY, PREFIX, store_with, written
from tests.dr.memory import Clock, MemoryStore


@pytest.mark.parametrize("name", ["operator", "host", "bundle", "at", "nonce", "taken_over_from", "released_at"])
def test_a_lease_says_texts_as_texts(name: str) -> None:
    """Each of them is shown to a person, or compared: anything else is damage."""
    store = store_with({**HELD, name: 7}, "ended")
    with pytest.raises(ActionFailed, match=r"the lease p/drfsm/lease.json is damaged"):
        S3Lease(store, PREFIX, clock=Clock()).acquire(**BY)


def test_a_run_revokes_no_start_of_its_own() -> None:
    """It takes its own lease over from another place, by name, before it has a record: it goes on to write one."""
    store = store_with({**HELD, **BY, "bundle": "/b/elsewhere"})
    S3Lease(store, PREFIX, bundle="/b/new", clock=Clock(), take_over_from="new").acquire(**BY)
    assert store.writes[-1] == KEY
    assert [key for key in store.objects if key.startswith(home_of(PREFIX, ""))] == []


def test_what_this_run_left_open_itself_is_not_handed_to_it() -> None:
    """Its own records say that; another run that took the lease from it, and ended without a record, adds nothing."""
    store = store_with({**HELD, "taken_over_from": "new"})
    store.objects |= store_with(None, "at work in an action", "new").objects
    ours = S3Lease(store, PREFIX, clock=Clock())
    ours.acquire(**BY)
    assert ours.taken_from == {"run_id": "old", "why": "no_record"}
    assert written(store)["taken_over_from"] == "old"


@pytest.mark.parametrize("unknown", ["now", "stat"])
def test_a_lease_whose_age_is_not_known_is_waited_for_as_long_as_any(unknown: str) -> None:
    """The store says no time, or the lease is gone when it is looked at: it may have been written just now."""

    class Vague(MemoryStore):
        def now(self) -> datetime | None:
            return None if unknown == "now" else super().now()

        def stat(self, key: str) -> Stat | None:
            return None if unknown == "stat" else super().stat(key)

    store, clock = Vague(), Clock()
    store.lay(KEY, json.dumps(HELD).encode())
    S3Lease(store, PREFIX, clock=clock).acquire(**BY)
    assert clock.naps == [NEXT_RECORD_SECONDS]


@pytest.mark.parametrize(
    ("body", "epoch"),
    [
        ({"kind": "lease_acquired", "body": {"epoch": 1}}, 1),
        ({"kind": "held", "body": {"epoch": 1}}, 0),
        ({"kind": "lease_acquired", "body": [1]}, 0),
        ({"kind": "lease_acquired", "body": {"epoch": -1}}, 0),
        ([], 0),
    ],
)
def test_a_record_that_took_no_lease_knows_no_epoch(body: Any, epoch: int) -> None:
    """None at all: the first lease of a prefix has epoch 1."""
    store = MemoryStore()
    store.lay(key_of(home_of(PREFIX, "old"), 0), json.dumps(body).encode())
    assert mirrored_epoch(store, PREFIX) == epoch
