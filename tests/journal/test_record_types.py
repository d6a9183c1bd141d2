"""The table of record kinds: what it declares is what the reader accepts, what the schema says, and what is read."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from drfsm.journal import Record, read
from drfsm.journal.field_types import fields_of
from drfsm.journal.record_schema import record_schema
from drfsm.journal.record_types import (
    KINDS,
    Commit,
    Forecast,
    Held,
    Intent,
    LeaseAcquired,
    NextAction,
    RunStarted,
    Sampled,
)

BUNDLES = Path(__file__).parents[1] / "data" / "bundles"
AT, HASH, ROW = "2026-02-27T00:00:00.000000Z", "a" * 64, "shut --open--> open"
STEP = {"row": ROW, "trigger": "open", "from": "shut", "to": "open", "by": "runner"}
CHECK = {"guard": "dry", "fact": "rain", "value": "no", "needed": ["no"], "seen": 0, "because": "wet", "holds": True}
PERSON = {"operator": "ann", "host": "desk"}
BODIES: dict[str, dict[str, Any]] = {
    "run_started": {
        "run_id": "run-1", "machine": "mill", "machine_sha256": HASH, "version": "0.1.0", "inputs": {}, **PERSON,
        "dry_run": False, "scope": "live", "state": "shut",
    },
    "lease_acquired": {"epoch": 1, **PERSON},
    "start_revoked": {
        "run_id": "run-1", "revoked_by": "run-2", **PERSON,
        "holder": {**PERSON, "bundle": "/home/ann/run-1", "at": AT},
    },
    "resumed": {**PERSON, "state": "shut"},
    "tail_cut": {"bytes": 3, "sha256": HASH},
    "sampled": {"row": ROW, "state": "shut", "facts": {"rain": {"value": "no", "seen": 0}}, "holds": True},
    "intent": {
        **STEP, "attempt": 1, "effect": "once", "guards": [CHECK], "facts": {}, "before": {}, "frozen": ["the gate"],
    },
    "failed": {"row": ROW, "trigger": "open", "state": "shut", "attempt": 1, "error": "stuck", "verdict": "mixed"},
    "repaired": {"row": ROW, "action": "oil", "result": None},
    "commit": {
        **STEP, "how": "acted", "guards": [CHECK], "facts": {}, "result": 1, "frozen": [], "because": "it rains",
        "ways": [{"do": "resume", "because": "go on"}],
    },
    "resolved": {"row": ROW, "outcome": "done", "reason": "I looked", "operator": "ann"},
    "settled": {
        "row": ROW, "trigger": "open", "how": "touched", "done": False, "because": "it is shut out", "result": None,
    },
    "predecessor_settled": {
        "run_id": "run-0", "left_open": ["open"], "how": "touched", "because": "it is shut out", "result": None,
    },
    "rejected": {"state": "shut", "trigger": "open", "why": "no", "legal": ["resume"]},
    "held": {"state": "shut", "stage": "open", "reason": "stuck", "frozen": [], "ways": []},
    "forecast": {
        "row": ROW, "trigger": "open", "from": "shut", "to": "open", "guards": [{**CHECK, "outcome": "passed"}],
        "sets": {"gate": "open"},
    },
    "ended": {"state": "open", "status": "complete", "reason": "", "frozen": [], "ways": [], "kept": []},
    "seal": {"records": 1, "head": HASH},
}  # fmt: skip
"""Of each kind a body with what it must have and nothing else: what the oldest version may have written."""

ANYTHING: list[Any] = [
    None, "", "x", 0, -1, 1.5, True, [], {}, ["a"], [1], {"a": 1}, {"a": {"value": "x", "seen": 1}},
    {"a": {"value": "x", "seen": 1, "more": 1}}, [{"do": "a", "because": "b"}], [{"do": "a"}], [CHECK],
]  # fmt: skip


NESTED: dict[str, Any] = {
    "guards": [{**CHECK, "outcome": "passed"}],
    "facts": {"rain": {"value": None, "seen": None, "why": "no gauge"}},
    "ways": [{"do": "open", "because": "it rains", "args": ["gate"]}],
    "proven": {
        "os_user": {"uid": 1, "name": "ann", "host": "desk"},
        "cloud_caller": {"unknown": "no answer"},
        "cluster_users": {"dr": {"unknown": "no answer"}},
    },
    "vouched": {"how": "typed", "by": "ann", "head": HASH, "records": 3},
    "taken_from": {"run_id": "run-0", "why": "taken_over", "left_open": ["open"]},
    "approval": {
        "policy": {"approvals": 1, "distinct": True, "expires_seconds": 60.0, "signed": True},
        "plan_sha256": HASH,
        "judged_at": AT,
        "clock": "store",
        "allowed_signers": "ann ssh-ed25519 AAAA",
        "starter": {"signature": "x", "signer": "bob", "key": "SHA256:x"},
        "given": [
            {
                "signature": "x",
                "signer": "ann",
                "key": "SHA256:y",
                "statement": {
                    "schema_version": 1,
                    "decision": "approve",
                    "procedure": "failback",
                    "run_id": "run-1",
                    "plan_sha256": HASH,
                    "by": "ann",
                    "os_user": {"uid": 1, "name": "ann", "host": "desk"},
                    "ticket": "CHG-7",
                    "reason": "",
                    "at": AT,
                },
            }
        ],
    },
    "config": {"path": "/srv/drfsm.toml", "sha256": HASH},
    "holder": {**PERSON, "bundle": "/home/ann/run-1", "at": AT},
}
"""Every field that holds objects of a declared shape, with all of that shape."""
FREE = {
    "inputs": "the audit holds its names against the declaration",
    "amends": "the audit holds it against the row and its arguments",
    "receipt": "the audit holds it against the declaration's table",
    "sets": "the audit holds it against the row",
    "before": "the audit holds it against what the same record saw",
    "args": "what a person said",
    "result": "what an action returned",
    "seen": "what the world said; a judge reads it",
}
"""Fields whose objects have no shape of their own, and who compares them."""


def record(kind: str, body: dict[str, Any]) -> Record:
    """Return a record of a kind."""
    return Record(1, kind, AT, body)


def bent(kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (key, body) for every field of a kind, left out and with everything that it may not be."""
    for line in fields_of(KINDS[kind]):
        whole = BODIES[kind]
        yield line.key, {key: value for key, value in whole.items() if key != line.key}
        yield from ((line.key, {**whole, line.key: value}) for value in ANYTHING)


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_with_only_what_it_must_have_is_read(kind: str) -> None:
    """No optional field is needed, by the reader or by the schema; each has a default."""
    sparse = record(kind, BODIES[kind])
    assert list(sparse.faults()) == []
    assert isinstance(sparse.content, KINDS[kind])
    line = {"prev": HASH, "seq": 1, "at": AT, "kind": kind, "body": BODIES[kind]}
    assert Draft202012Validator(record_schema()).is_valid(line)
    assert set(BODIES[kind]) == {each.key for each in fields_of(KINDS[kind]) if each.required}


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_schema_accepts_is_read_and_what_is_read_has_its_types(kind: str) -> None:
    """The schema is the narrower of the two: whatever fits it, the reader takes; what the reader takes, it can read."""
    schema = Draft202012Validator(record_schema())
    refused = 0
    for key, body in bent(kind):
        bad = list(record(kind, body).unreadable())
        line = {"prev": HASH, "seq": 1, "at": AT, "kind": kind, "body": body}
        named = key in ("run_id", "machine", "revoked_by")  # names have a grammar that no schema says
        if schema.is_valid(line) and not named:
            assert list(record(kind, body).faults()) == [], (key, body.get(key))
        if bad:
            refused += 1
            with pytest.raises(ValueError, match=key):
                record(kind, body).content  # noqa: B018  reading it is what is tested
        else:
            assert isinstance(record(kind, body).content, KINDS[kind])
    assert refused > len(BODIES[kind])


def with_nested(kind: str) -> dict[str, Any]:
    """Return a body of a kind with all that it may have of a declared shape."""
    declared = {line.key for line in fields_of(KINDS[kind])}
    return {**BODIES[kind], **{key: value for key, value in NESTED.items() if key in declared}}


def with_an_extra_key(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (path, copy) for every object of a declared shape in a JSON value, each with one key too many."""
    if isinstance(value, list):
        for number, item in enumerate(value):
            for where, forged in with_an_extra_key(item, f"{path}[{number}]"):
                yield where, [*value[:number], forged, *value[number + 1 :]]
    if isinstance(value, dict):
        names_of_things = path in ("facts", "proven.cluster_users")  # any fact or site: the audit knows which there are
        if not names_of_things:
            yield path, {**value, "more": "of it"}
        for name, member in value.items():
            for where, forged in with_an_extra_key(member, f"{path}.{name}".strip(".")) if name not in FREE else ():
                yield where, {**value, name: forged}


@pytest.mark.parametrize("kind", KINDS)
def test_an_extra_key_in_any_nested_object_is_refused_by_the_audit_and_ignored_by_a_reader(kind: str) -> None:
    """What no rule compares and no page shows could carry anything: it is no record of drfsm, by audit and schema.

    Whoever only reads goes on as if it were not there: a later version may have added it.
    """
    schema = Draft202012Validator(record_schema())
    body = with_nested(kind)
    assert list(record(kind, body).faults()) == []
    plain = record(kind, body).content
    for path, forged in with_an_extra_key(body):
        if path:  # a body itself may carry more: a later version's field
            assert list(record(kind, forged).faults()) == [f"{path} has the undeclared key more"]
            assert list(record(kind, forged).unreadable()) == []
            assert record(kind, forged).content == plain, path
            assert not schema.is_valid({"prev": HASH, "seq": 1, "at": AT, "kind": kind, "body": forged}), path


def test_an_undeclared_key_is_named_in_a_few_printable_characters() -> None:
    """It may be anything: its name moves no cursor, and fills no screen."""
    body = {**BODIES["commit"], "facts": {"\x1b" * 500: {"value": "x", "seen": 1, "\x1b[2J" + "k" * 500: 1}}}
    (fault,) = record("commit", body).faults()
    assert fault.isprintable()
    assert len(fault) < 1_000


def test_every_field_that_holds_objects_is_of_a_declared_shape_or_compared() -> None:
    """A new field with objects needs a line in one of the two tables above."""
    lines = [line for kind in KINDS.values() for line in fields_of(kind)]
    samples: tuple[Any, ...] = ({}, [CHECK])
    objects = {line.key for line in lines if any(map(line.type.fits, samples))}
    assert objects <= {*NESTED, *FREE}


def test_every_record_that_an_older_version_wrote_is_read() -> None:
    """Of each machine's recorded run: the table reads each line, and the schema accepts it."""
    schema = Draft202012Validator(record_schema())
    logs = sorted(BUNDLES.rglob("state_transitions.log"))
    assert len(logs) >= 6
    for log in logs:
        for old in read(log.read_bytes()).records:
            assert list(old.faults()) == []
            assert isinstance(old.content, KINDS[old.kind])
        assert all(schema.is_valid(json.loads(line)) for line in log.read_bytes().splitlines())


def test_what_an_older_record_lacks_has_a_default() -> None:
    """Records of 0.1.0 prove nobody's identity and name nobody who vouches."""
    started = RunStarted.of(record("run_started", BODIES["run_started"]))
    assert (started.proven, started.receipt, started.pid) == ({}, None, 0)
    assert LeaseAcquired.of(record("lease_acquired", BODIES["lease_acquired"])).vouched == {}
    assert Held.of(record("held", BODIES["held"])).hint == ""
    commit = Commit.of(record("commit", BODIES["commit"]))
    assert (commit.args, commit.seconds, commit.case, commit.supersedes) == ({}, None, None, None)
    assert (commit.guards[0].reason, commit.next_actions[0].action) == ("wet", "resume")


def test_a_body_is_of_one_kind() -> None:
    """Whoever asks for an intent gets no commit."""
    with pytest.raises(TypeError, match="a commit record is no Intent"):
        Intent.of(record("commit", BODIES["commit"]))


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_record_lacks_is_empty_and_what_it_has_is_read_by_its_key(kind: str) -> None:
    """Every optional field of the oldest records is false, empty or none; every other one says what the body says."""
    content = record(kind, BODIES[kind]).content
    for line in fields_of(KINDS[kind]):
        value = getattr(content, line.name)
        if line.required:
            assert value == line.type.parse(BODIES[kind][line.key]), line.key
        else:
            assert not value, line.key


FORESEEN = {**CHECK, "holds": False, "at": "close", "foreseen": "refuse"}


def forecast(**body: Any) -> Forecast:
    """Return what a dry run foresees of a row."""
    return Forecast.of(record("forecast", {**BODIES["forecast"], **body}))


def checks(*outcomes: str, value: str | None = "yes") -> list[dict[str, Any]]:
    """Return guards with these outcomes."""
    return [{**CHECK, "outcome": outcome, "value": value} for outcome in outcomes]


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ({"guards": []}, "pass"),
        ({"guards": checks("passed", "passed")}, "pass"),
        ({"guards": checks("passed", "not_evaluated")}, "depends"),
        ({"guards": checks("not_evaluated", "failed")}, "refused"),
        ({"guards": checks("failed", value="unknown")}, "unknown"),
        ({"guards": [*checks("failed", value="unknown"), *checks("failed")]}, "refused"),
        ({"guards": checks("not_evaluated", "failed"), "waits": True}, "wait"),
        ({"guards": checks("passed"), "waits": True}, "pass"),
        ({"guards": [], "unread": "no answer"}, "unknown"),
        ({"guards": checks("not_evaluated"), "unread": "no answer"}, "unknown"),
        ({"guards": checks("failed"), "unread": "no answer"}, "refused"),
        ({"guards": checks("failed"), "waits": True, "unread": "no answer"}, "unknown"),
        ({"guards": [], "foreseen": [FORESEEN]}, "refused"),
        ({"guards": [], "foreseen": [{**FORESEEN, "value": "unknown"}]}, "unknown"),
        ({"guards": [], "foreseen": [{**FORESEEN, "holds": True}]}, "pass"),
        ({"guards": [], "foreseen": [{**FORESEEN, "foreseen": "warn"}]}, "pass"),
        ({"guards": checks("failed"), "waits": True, "foreseen": [FORESEEN]}, "refused"),
    ],
)
def test_a_forecast_says_what_its_guards_say(body: dict[str, Any], outcome: str) -> None:
    """Refused by a guard that is known to fail, now or for a later row; a wait waits; unknown is never a pass."""
    assert forecast(**body).outcome == outcome


def test_the_guards_that_would_stop_a_row_are_its_own_first() -> None:
    """Then those that a later row will need; those of a wait are not among them."""
    body = {"guards": checks("failed", "passed"), "foreseen": [FORESEEN, {**FORESEEN, "foreseen": "warn"}]}
    assert [(check.guard, getattr(check, "at", "")) for check in forecast(**body).failed] == [
        ("dry", ""),
        ("dry", "close"),
    ]
    assert [getattr(check, "at", "") for check in forecast(**body, waits=True).failed] == ["close"]


@pytest.mark.parametrize(
    "written",
    [
        FORESEEN,
        {**FORESEEN, "mend": "do it", "waits": True, "outcome": "failed"},
        {**FORESEEN, "value": None, "needed": ["yes", "no"], "holds": None},
    ],
)
def test_a_check_is_written_as_it_was_read(written: dict[str, Any]) -> None:
    """With all that it says, and without what it lacks."""
    (check,) = forecast(foreseen=[written]).foreseen
    assert check.json == written
    own = {key: value for key, value in written.items() if key not in ("at", "foreseen", "mend", "waits")}
    (plain,) = Commit.of(record("commit", {**BODIES["commit"], "guards": [own]})).guards
    assert plain.json == own


@pytest.mark.parametrize(
    "written", [{"value": None, "seen": None, "why": "no gauge"}, {"value": "yes", "seen": {"mm": 3}}]
)
def test_a_reading_is_written_as_it_was_read(written: dict[str, Any]) -> None:
    """Why nobody can tell is said only where nobody can."""
    facts = Sampled.of(record("sampled", {**BODIES["sampled"], "facts": {"rain": written}})).facts
    assert facts["rain"].json == written


def test_a_next_action_is_read_whole() -> None:
    """What to do, why, which arguments, and which values these may have."""
    way = {"do": "fence", "because": "it may write", "args": ["how"], "values": {"how": ["iam", "hand"]}}
    held = Held.of(record("held", {**BODIES["held"], "ways": [way]}))
    action = NextAction(action="fence", reason="it may write", args=("how",), values={"how": ("iam", "hand")})
    assert held.next_actions == (action,)


def nested(levels: int, *, as_list: bool) -> Any:
    """Return a value of so many levels of lists, or of objects."""
    value: Any = 1
    for _ in range(levels):
        value = [value] if as_list else {"a": value}
    return value


@pytest.mark.parametrize("as_list", [True, False])
@pytest.mark.parametrize(("levels", "faults"), [(99, []), (100, ["its body is nested deeper than 100 levels"])])
def test_a_body_has_a_hundred_levels_at_most(levels: int, faults: list[str], *, as_list: bool) -> None:
    """More than any observation needs; a bomb of brackets is a fault of the record."""
    body = {**BODIES["repaired"], "result": nested(levels, as_list=as_list)}
    assert list(record("repaired", body).unreadable()) == faults
    in_a_tuple = {**BODIES["repaired"], "result": (nested(levels - 1, as_list=as_list),)}
    assert list(record("repaired", in_a_tuple).unreadable()) == faults


@pytest.mark.parametrize(
    "at", ["", "Z", "2026-02-27T00:00:00.000000", "2026-02-27T00:00:00+01:00", "2026-13-27T00:00Z"]
)
def test_a_time_is_utc(at: str) -> None:
    """Anything else can't be put in order: it is a fault of the record."""
    (fault,) = Record(1, "repaired", at, BODIES["repaired"]).unreadable()
    assert fault == f"its time {at!r} is no UTC time"


def test_the_shipped_schema_is_that_of_the_table() -> None:
    """Word for word: `python -m tests.record_schema` writes it."""
    shipped = Path(__file__).parents[2] / "receipts_schema" / "journal_record.schema.json"
    assert json.loads(shipped.read_text()) == record_schema()
