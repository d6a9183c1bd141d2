"""A fence that a person shows or lifts without a run: one statement, and nothing of anybody else's. In memory."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve

from drfsm.dr.sites.fence_by_hand import LARGEST_RECORD_BYTES, MOST_RECORDS, Lift, Place, lift, seen
from drfsm.dr.sites.fence_statement import EDITIONS, digest, sid, statement
from drfsm.dr.terms import terms_of
from drfsm.errors import ActionFailed, Conflict
from tests.dr.memory import BUCKET, INPUTS, Clock, MemoryPolicy, MemoryStore

LAYOUT = terms_of(INPUTS).layout
ROLES = {site: str(INPUTS[f"fence_{site}_role"]) for site in ("primary", "dr")}
OURS = {site: statement(site, BUCKET, LAYOUT, ROLES[site]) for site in ROLES}
OTHER_PREFIX = {**OURS["dr"], "Sid": sid("dr", "another/prefix")}
STRANGER = {"Sid": "DrfsmFenceDrX", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"}
NEIGHBOURS = [OTHER_PREFIX, OURS["primary"], STRANGER]
KEY = "jobintel/drfsm/fences/lift-1.json"
ORDER = Lift("lift-1", "dr", operator="ana", caller="arn:ana", host="desk", reason="DR is rebuilt", epoch=7)


def place(*statements: Mapping[str, Any], store: MemoryStore | None = None) -> Place:
    """Return a bucket whose policy has these statements."""
    raw = json.dumps({"Version": "2012-10-17", "Statement": list(statements)}) if statements else None
    return Place(store or MemoryStore(), MemoryPolicy(raw), LAYOUT)


def statements(at: Place) -> list[dict[str, Any]]:
    """Return the policy's statements."""
    raw = at.policy.read()
    return list(json.loads(raw)["Statement"]) if raw else []


def lifted(at: Place, order: Lift = ORDER) -> dict[str, Any]:
    """Lift a fence while the lease is held."""
    return lift(at, order, Clock(), lambda: None)


def test_a_lift_takes_out_one_statement_and_leaves_every_neighbours() -> None:
    """Another prefix's, the other site's and a stranger's stay, in their order; the record says what was taken out."""
    at = place(*NEIGHBOURS, OURS["dr"])
    record = lifted(at)
    assert statements(at) == NEIGHBOURS
    assert record["record"] == f"s3://{BUCKET}/{KEY}"
    kept = json.loads(at.store.get(KEY).body)  # type: ignore[union-attr]  # it is there
    assert kept == {key: value for key, value in record.items() if key != "record"}
    clock = {key: kept.pop(key) for key in ("at", "lifted_at")}
    assert all(clock.values())
    assert kept == {
        "schema_version": 1, "what": "lifted", "site": "dr", "sid": sid("dr", "jobintel"), "role": ROLES["dr"],
        "edition": "today's", "sha256": digest([OURS["dr"]]), "statements": [OURS["dr"]], "operator": "ana",
        "caller": "arn:ana", "host": "desk", "reason": "DR is rebuilt", "epoch": 7,
        "other_statements": 3, "other_statements_sha256": digest(NEIGHBOURS),
    }  # fmt: skip
    with pytest.raises(ActionFailed, match="there is no fence of dr"):
        lifted(at, evolve(ORDER, id="lift-2"))


def test_a_lift_is_recorded_before_the_policy_is_written() -> None:
    """Who dies in between leaves a record of what was begun, and the fence as it was."""
    at, held = place(OURS["dr"]), []

    def lease() -> None:
        held.append(1)
        if len(held) == 2:
            raise Conflict("the lease is lost")

    with pytest.raises(Conflict, match="lease"):
        lift(at, ORDER, Clock(), lease)
    assert json.loads(at.store.get(KEY).body)["what"] == "being lifted"  # type: ignore[union-attr]  # it is there
    assert statements(at) == [OURS["dr"]]


def test_without_the_lease_nothing_is_written() -> None:
    """Neither the record nor the policy."""
    at = place(OURS["dr"])

    def lost() -> None:
        raise Conflict("the lease is lost")

    with pytest.raises(Conflict):
        lift(at, ORDER, Clock(), lost)
    assert (statements(at), list(at.store.list(""))) == ([OURS["dr"]], [])


def test_the_lease_is_asked_for_before_every_write() -> None:
    """The record, the policy, the end of the record."""
    at, held = place(OURS["dr"]), []
    lift(at, ORDER, Clock(), lambda: held.append(len(statements(at))))
    assert held == [1, 1, 0]


def test_an_order_that_was_given_before_is_not_given_again() -> None:
    """Its record stands: nothing is taken out under another's name."""
    at = place(OURS["dr"])
    at.store.put(KEY, b"{}")
    with pytest.raises(Conflict):
        lifted(at)
    assert statements(at) == [OURS["dr"]]


def test_a_fence_that_changed_meanwhile_stays() -> None:
    """It is read again right before the write."""
    policy = place(OURS["dr"]).policy
    changed = json.dumps({"Statement": [{**OURS["dr"], "Action": "s3:PutObject"}]})
    policy.answers = [policy.raw, changed]  # type: ignore[attr-defined]  # the policy is a MemoryPolicy
    at = Place(MemoryStore(), policy, LAYOUT)
    with pytest.raises(Conflict, match="changed while it was being lifted"):
        lifted(at)
    assert policy.written == []  # type: ignore[attr-defined]  # likewise


ALTERED = {**OURS["dr"], "Action": ["s3:PutObject"], "Effect": "Allow"}


@pytest.mark.parametrize(
    ("statement_there", "expect", "refused"),
    [
        (OURS["dr"], "", None),
        (OURS["dr"], digest([OURS["dr"]]), None),
        (OURS["dr"], "0" * 64, "is not the expected one"),
        (ALTERED, "", "is not as drfsm wrote it"),
        (ALTERED, "0" * 64, "is not the expected one"),
        (ALTERED, digest([ALTERED]), None),
        (OTHER_PREFIX, "", "there is no fence of dr"),
    ],
)
def test_a_statement_that_somebody_changed_goes_only_by_its_digest(
    statement_there: Mapping[str, Any], expect: str, refused: str | None
) -> None:
    """And one that is as drfsm wrote it only where nobody expects another."""
    at = place(*NEIGHBOURS[1:], statement_there)
    if refused is None:
        lifted(at, evolve(ORDER, expect=expect))
        assert statements(at) == NEIGHBOURS[1:]
    else:
        with pytest.raises((ActionFailed, Conflict), match=refused):
            lifted(at, evolve(ORDER, expect=expect))
        assert statements(at) == [*NEIGHBOURS[1:], statement_there]
        assert list(at.store.list("")) == []


@pytest.mark.parametrize("edition", EDITIONS)
def test_a_fence_is_shown_as_what_it_is(edition: str) -> None:
    """Up with the version that wrote it, altered, or down; and whose it is."""
    own = EDITIONS[edition]("dr", BUCKET, LAYOUT, ROLES["dr"])
    at = place(OTHER_PREFIX, STRANGER, own)
    said = seen(at)
    assert said["fences"]["dr"] == {
        "site": "dr", "sid": sid("dr", "jobintel"), "value": "up", "role": ROLES["dr"], "edition": edition,
        "sha256": digest([own]), "statements": [own],
    }  # fmt: skip
    assert (said["fences"]["primary"]["value"], said["fences"]["primary"]["role"]) == ("down", None)
    assert (said["elsewhere"], said["other_statements"], said["lifts"]) == ([OTHER_PREFIX["Sid"]], 2, [])
    assert said["owner"] == {"site": None}


@pytest.mark.parametrize(
    ("condition", "role"),
    [
        (None, None),
        ("x", None),
        ({"ArnEquals": "x"}, None),
        ({"ArnEquals": {"aws:PrincipalArn": ["b", "a"]}, "Other": {"aws:PrincipalArn": "c"}}, "a, b, c"),
        ({"ArnEquals": {"aws:SourceArn": "a"}}, None),
    ],
)
def test_an_altered_fence_says_whom_it_names(condition: Any, role: str | None) -> None:
    """Whatever its condition is."""
    said = seen(place({**OURS["dr"], "Condition": condition}))["fences"]["dr"]
    assert (said["value"], said["role"], said["edition"]) == ("altered", role, None)


def test_the_newest_lifts_are_told_first_and_what_can_not_be_read_is_told_too() -> None:
    """So many at most, each with bounded texts."""
    store = MemoryStore()
    for number in range(MOST_RECORDS + 2):
        body = json.dumps({"what": "lifted", "site": "dr", "reason": "x" * 400, "at": str(number), "more": 1})
        store.lay(f"jobintel/drfsm/fences/{number:02}.json", body.encode())
    newest, older = (f"jobintel/drfsm/fences/{number:02}.json" for number in (MOST_RECORDS + 1, MOST_RECORDS))
    store.lay(newest, b"[]")
    lifts = seen(place(store=store))["lifts"]
    assert [record["key"] for record in lifts[:2]] == [newest, older]
    assert len(lifts) == MOST_RECORDS
    assert set(lifts[0]) == {"key", "unreadable"}
    assert set(lifts[1]) == {"key", "what", "site", "role", "operator", "caller", "reason", "at", "host"}
    assert (lifts[1]["at"], lifts[1]["site"], lifts[1]["role"]) == (str(MOST_RECORDS), "dr", "")
    assert 290 < len(lifts[1]["reason"]) < 320
    largest = b"{" + b" " * (LARGEST_RECORD_BYTES - 2) + b"}"
    store.lay(newest, largest)
    assert "unreadable" not in seen(place(store=store))["lifts"][0]


def test_two_statements_of_one_name_are_altered_and_told_in_one_order() -> None:
    """Whoever added one: the digest is of both, whichever comes first."""
    more = {**OURS["dr"], "Effect": "Allow"}
    (one, other) = (seen(place(*both))["fences"]["dr"] for both in ((OURS["dr"], more), (more, OURS["dr"])))
    assert one == other
    assert (one["value"], len(one["statements"]), one["sha256"]) == ("altered", 2, digest([OURS["dr"], more]))


def test_a_record_that_somebody_else_wrote_meanwhile_is_not_overwritten() -> None:
    """Its end is written by compare-and-swap: the fence is gone by then, and the conflict says that it is not told."""
    at = place(OURS["dr"])
    held: list[int] = []

    def lease() -> None:
        held.append(1)
        if len(held) == 3:
            at.store.put(KEY, b"{}")

    with pytest.raises(Conflict):
        lift(at, ORDER, Clock(), lease)
    assert at.store.get(KEY).body == b"{}"  # type: ignore[union-attr]  # it is there
