"""A record that does not fit its kind is refused before it is written, whoever handed in what does not fit."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drfsm.adapters.file_journal import FileJournal
from drfsm.engine import MemoryJournal, Runner
from drfsm.engine.log import RunLog
from drfsm.errors import UsageFault
from drfsm.journal import Record
from drfsm.journal.record_types import KINDS
from drfsm.testing.fuse import MemoryClock
from tests.engine.room import Room, machine
from tests.journal.test_record_types import AT, BODIES, bent, with_an_extra_key, with_nested

SPEC = machine("""
  - {from: start, trigger: look, to: looked, because: "to see"}
  - {from: looked, trigger: leave, to: done, by: operator, because: "a person leaves"}
""")
GIVEN = {"patience": 5, "way": "short"}

WRONG_IDENTITIES: dict[str, tuple[Any, str]] = {
    "a field too many": ({"sso": "ann@x"}, "proven has the undeclared key sso"),
    "a field too many inside": ({"os_user": {"gid": 1}}, "proven.os_user has the undeclared key gid"),
    "another why": ({"cloud_caller": {"because": "no"}}, "proven.cloud_caller has the undeclared key because"),
    "a number for a name": ({"os_user": {"name": 7}}, "proven.os_user is not of its type"),
    "a number for a caller": ({"cloud_caller": 7}, "proven.cloud_caller is not of its type"),
    "a list of users": ({"cluster_users": ["ann"]}, "proven.cluster_users is not of its type"),
    "what JSON can't say": ({"cloud_caller": {1, 2}}, "the fields of proven can't be written down"),
    "no mapping": (["ann"], "proven is ['ann'], which is no mapping"),
    "a text": ("ann", "proven is 'ann', which is no mapping"),
}
WRONG_VOUCHERS: dict[str, tuple[Any, str]] = {
    "a field too many": ({"why": "I looked"}, "vouched has the undeclared key why"),
    "a text for a number": ({"how": "typed", "records": "3"}, "vouched.records is not of its type"),
    "no mapping": ("ann", "vouched is 'ann', which is no mapping"),
}


def misfits_of(kind: str) -> Iterator[dict[str, Any]]:
    """Yield every body that is no body of a kind: a field missing, of another type, or with a key too many in it."""
    yield from (body for _, body in bent(kind) if list(Record(1, kind, AT, body).faults()))
    yield from (forged for path, forged in with_an_extra_key(with_nested(kind)) if path)


def held() -> MemoryJournal:
    """Return the journal of a run that waits for a person's decision."""
    room = Room(SPEC)
    assert room.start().state.status == "held"
    return room.journal


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_that_does_not_fit_its_kind_is_never_written(kind: str) -> None:
    """Of every kind, with every field bent: refused, nothing written or folded; the next good record is taken."""
    journal = held()
    log = RunLog(SPEC, journal, MemoryClock())
    records, state = journal.records(), log.state
    bodies = list(misfits_of(kind))
    assert len(bodies) > len(BODIES[kind])
    for body in bodies:
        with pytest.raises(UsageFault, match=f"the {kind} record can't be written: ."):
            log.append(kind, body)
        assert journal.records() == records
        assert log.state == state
    log.append("rejected", BODIES["rejected"])
    assert len(journal.records()) == len(records) + 1


def test_a_kind_that_nobody_declared_is_never_written() -> None:
    """Its word is all that could be said of it."""
    journal = held()
    before = journal.records()
    with pytest.raises(UsageFault, match="there is no kind of record 'guess'"):
        RunLog(SPEC, journal, MemoryClock()).append("guess", {})
    assert journal.records() == before


@pytest.mark.parametrize("name", WRONG_IDENTITIES)
def test_a_wrong_identity_is_refused_before_anything_is_recorded(name: str, tmp_path: Path) -> None:
    """On disk, at the start and on a run that waits: its fields are named, the bundle can be started, and goes on."""
    proven, words = WRONG_IDENTITIES[name]
    room = Room(SPEC)
    with FileJournal.create(tmp_path) as journal:
        binding = room.runner()._binding
        for _ in range(2):  # before the first record, and after the run was held
            before = journal.lines()
            with pytest.raises(UsageFault) as refused:
                Runner(SPEC, binding, room, journal, clock=MemoryClock(), proven=proven)
            assert words in refused.value.what
            assert "os_user {uid, name, host}, cloud_caller, cluster_users" in refused.value.hint
            assert journal.lines() == before
            if not before:
                assert Runner(SPEC, binding, room, journal, clock=MemoryClock()).start(GIVEN).status == "held"
        assert Runner(SPEC, binding, room, journal, clock=MemoryClock()).request("leave").status == "complete"


@pytest.mark.parametrize("name", WRONG_VOUCHERS)
def test_a_wrong_voucher_is_refused_before_anything_is_recorded(name: str) -> None:
    """Its fields are named, and the run goes on without it."""
    vouched, words = WRONG_VOUCHERS[name]
    room = Room(SPEC, journal=held())
    before = room.records()
    with pytest.raises(UsageFault) as refused:
        room.runner(vouched=vouched)
    assert words in refused.value.what
    assert "how (signed or typed), by, head (SHA-256), records" in refused.value.hint
    assert room.records() == before
    assert room.runner().request("leave").status == "complete"


def test_a_right_identity_and_voucher_are_recorded_as_they_are() -> None:
    """Every field there is, in the records of a start, a lease, a resume and a decision."""
    identity = {
        "os_user": {"uid": 7, "name": "ada", "host": "desk"}, "cloud_caller": {"unknown": "no answer"},
        "cluster_users": {"dr": "system:admin"},
    }  # fmt: skip
    vouched = {"how": "typed", "by": "ann", "head": "a" * 64, "records": 3}
    room = Room(SPEC)
    room.runner(proven=identity).start(GIVEN)
    room.runner(proven=identity, vouched=vouched).resume()
    room.runner(proven=identity).request("leave")
    (started,), (resumed,) = room.records("run_started"), room.records("resumed")
    assert started.body["proven"] == resumed.body["proven"] == identity
    assert room.records("lease_acquired")[0].body["vouched"] == vouched
    assert room.records("commit")[-1].body["args"]["proven"] == identity


CALLERS: dict[str, tuple[dict[str, Any], Callable[[Runner], Any]]] = {
    "a run's id with a slash": ({}, lambda runner: runner.start(GIVEN, run_id="a/b")),
    "a run's id that is a number": ({}, lambda runner: runner.start(GIVEN, run_id=7)),  # type: ignore[arg-type]
    "a dry run by word": ({}, lambda runner: runner.start(GIVEN, dry_run="no")),  # type: ignore[arg-type]
    "an operator that is a number": ({"operator": 7}, lambda runner: runner.start(GIVEN)),
    "a host that is a number": ({"host": 7}, lambda runner: runner.start(GIVEN)),
    "inputs that JSON can't say": ({}, lambda runner: runner.start({**GIVEN, "patience": float("1e999")})),
}
"""What a caller may hand to a new run, and no record can hold."""
CALLERS_OF_A_RUN: dict[str, tuple[dict[str, Any], Callable[[Runner], Any]]] = {
    "resume: an operator that is a number": ({"operator": 7}, lambda runner: runner.resume()),
    "resume: a host that is a number": ({"host": 7}, lambda runner: runner.resume()),
    "request: an operator that is a number": ({"operator": 7}, lambda runner: runner.request("leave")),
    "request: arguments that JSON can't say": ({}, lambda runner: runner.request("leave", {"reason": {1, 2}})),
    "resolve: a reason that is a number": ({}, lambda runner: runner.resolve("done", 7)),  # type: ignore[arg-type]
}
"""What a caller may hand to a run that waits for a person."""


@pytest.mark.parametrize("name", CALLERS)
def test_a_run_is_not_begun_with_what_no_record_can_hold(name: str) -> None:
    """Refused with nothing written; the same journal takes the run as soon as it is right."""
    more, act = CALLERS[name]
    room = Room(SPEC)
    with pytest.raises(UsageFault):
        act(room.runner(**more))
    assert room.records() == []
    assert room.start().state.status == "held"


@pytest.mark.parametrize("name", CALLERS_OF_A_RUN)
def test_a_run_that_waits_is_not_ended_by_what_no_record_can_hold(name: str) -> None:
    """Refused with nothing written; the run is resumed, and decided, as if nobody had tried."""
    more, act = CALLERS_OF_A_RUN[name]
    room = Room(SPEC, journal=held())
    before = room.records()
    with pytest.raises(UsageFault):
        act(room.runner(**more))
    assert room.records() == before
    assert room.runner().resume().status == "held"
    assert room.runner().request("leave").status == "complete"


def test_a_run_goes_on_over_keys_that_a_later_version_added() -> None:
    """In the identity, the readings, the guards and the next actions of its records: they are read without them."""
    room = Room(
        machine("""
  - {from: start, trigger: look, to: looked, guards: [light_is_off], because: "to see"}
  - {from: looked, trigger: leave, to: done, by: operator, because: "a person leaves"}
""")
    )
    room.runner(proven={"cloud_caller": "ann"}).start(GIVEN)
    plain = room.runner().state

    def of_a_later_version(record: Record) -> Record:
        forged = dict(record.body)
        for key in ("proven", "facts", "guards", "ways"):
            forged |= {key: _with_news(forged[key])} if key in forged else {}
        return Record(record.seq, record.kind, record.at, forged)

    journal = MemoryJournal([of_a_later_version(record) for record in room.records()])
    assert sum(bool(list(record.faults())) for record in journal.records()) >= 3
    later = Room(room.spec, journal=journal)
    assert later.runner().state == plain
    assert later.runner().request("leave").status == "complete"


def _with_news(value: Any) -> Any:
    """Return a reading, a guard or an identity (or many of them) with a key that no version has declared so far."""
    if isinstance(value, list):
        return [{**member, "news": 1} for member in value]
    if all(isinstance(member, dict) for member in value.values()):
        return {name: {**member, "news": 1} for name, member in value.items()}
    return {**value, "news": 1}
