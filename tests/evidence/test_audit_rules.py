"""Rules of the audit one by one: which runs and which facts a rule speaks of, what is foreseen, the log as a whole."""

import json
from typing import TYPE_CHECKING, Any

import pytest

from drfsm.evidence.audit import audit
from drfsm.evidence.audit.findings import Findings
from drfsm.evidence.audit.invariants import Invariants
from drfsm.journal import Record, digest, encode
from drfsm.journal.record_types import Reading
from drfsm.spec import load_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.evidence.conftest import Play

LIT = """
machine: lamp
because: "It is dark"
initial: dark
finals: {lit: complete}
inputs: {hurry: {values: [yes, no], because: "whether anybody can wait"}}
facts: {light: {values: [on, off]}}
never:
  - {name: too_bright, when: {light: on}, states: [lit], inputs: {hurry: no}, unless_taken: [allow],
     because: "It blinds"}
transitions:
  - {from: dark, trigger: press, to: lit, action: press, sets: {light: on}, effect: idempotent, because: "p"}
  - {from: dark, trigger: allow, by: operator, because: "a person wants it"}
"""


@pytest.mark.parametrize(
    ("inputs", "taken", "broken"),
    [
        ({"hurry": "no"}, ["press"], True),
        ({"hurry": "yes"}, ["press"], False),
        ({"hurry": "no"}, ["allow", "press"], False),
    ],
    ids=["a run that the rule speaks of", "other inputs", "a row that the rule excepts"],
)
def test_a_rule_is_held_against_the_runs_that_it_speaks_of(
    inputs: "Mapping[str, str]", taken: list[str], broken: bool
) -> None:
    """The same facts in the same state break the rule in one run and not in another."""
    findings = Findings()
    invariants = Invariants(load_machine(LIT), findings)
    invariants.begun(inputs)
    for trigger in taken:
        invariants.taken(trigger)
    invariants.read({"light": Reading(value="on", seen={"on": True})})
    invariants.hold(3, "lit")
    assert [finding.what for finding in findings] == (["too_bright in lit: It blinds"] if broken else [])


# --- which facts are current ------------------------------------------------------------------------------

HOUSE = """
machine: house
because: "Nobody is let in unseen"
initial: dark
finals: {lit: complete}
facts:
  light: {values: [on, off]}
  glow: {values: [on, off], depends: [light]}
  door: {values: [open, shut]}
environment:
  - {when: {door: shut}, sets: {door: open}}
never:
  - {name: blind, when: {light: on}, states: [lit], because: "It blinds"}
  - {name: draft, when: {door: open}, because: "It is cold"}
  - {name: seen, when: {light: on, door: open}, because: "Everybody sees it"}
  - {name: haze, when: {light: off, glow: on}, because: "It can't glow"}
transitions:
  - {from: dark, trigger: press, to: lit, action: press, sets: {light: on}, effect: idempotent, because: "p"}
"""


def follow(*steps: tuple[str, Any]) -> list[str]:
    """Let the rules follow these steps; return which rules were broken, where the last step stands."""
    findings = Findings()
    invariants = Invariants(load_machine(HOUSE), findings)
    for number, (step, what) in enumerate(steps):
        if step == "hold":
            invariants.hold(number, what)
        elif step == "read":
            invariants.read({name: Reading(value=value, seen=value) for name, value in what.items()})
        elif step == "changed":
            invariants.changed(what[0], but=what[1])
        else:
            invariants.forget()
    return [f"{finding.line} {finding.what.partition(' in ')[0]}" for finding in findings]


@pytest.mark.parametrize(
    ("steps", "broken"),
    [
        ([("read", {"light": "on"}), ("hold", "dark"), ("hold", "lit")], ["3 blind"]),
        ([("read", {"light": "on"}), ("hold", "lit"), ("hold", "lit")], ["2 blind"]),
        ([("read", {"light": "on"}), ("hold", "lit"), ("hold", "dark"), ("hold", "lit")], ["2 blind", "4 blind"]),
        ([("read", {"light": "on"}), ("read", {}), ("hold", "lit")], ["3 blind"]),
        ([("read", {"door": "open"}), ("hold", "dark")], ["2 draft"]),
        ([("read", {"door": "open"}), ("read", {}), ("hold", "dark")], []),
        ([("read", {"light": "on"}), ("read", {"door": "open"}), ("hold", "dark")], ["3 draft", "3 seen"]),
        ([("read", {"door": "open"}), ("read", {"light": "on"}), ("hold", "dark")], []),
        ([("read", {"light": None}), ("hold", "lit")], []),
        ([("read", {"light": "on"}), ("changed", (["light"], [])), ("hold", "lit")], []),
        ([("read", {"light": "on"}), ("changed", (["light"], ["light"])), ("hold", "lit")], ["3 blind"]),
        ([("read", {"light": "off", "glow": "on"}), ("hold", "dark")], ["2 haze"]),
        ([("read", {"light": "off", "glow": "on"}), ("changed", (["light"], ["light"])), ("hold", "dark")], []),
        ([("read", {"light": "on"}), ("forget", None), ("hold", "lit")], []),
    ],
)
def test_a_rule_is_held_only_against_what_is_current(steps: list[tuple[str, Any]], broken: list[str]) -> None:
    """What only the run changes stays as it was read; what the world moves is current where it was read."""
    assert sorted(follow(*steps)) == sorted(broken)


# --- what is foreseen, what is hidden, what nobody can judge --------------------------------------------------


def edited(play: "Play", kind: str, trigger: str, edit: "Callable[[dict[str, Any]], Any]") -> list[str]:
    """Return what the audit finds where a record's body is another."""

    def forge(draft: list[dict[str, Any]]) -> None:
        bodies = [each["body"] for each in draft if each["kind"] == kind and each["body"].get("trigger") == trigger]
        edit(bodies[0])

    *findings, _ = play.audit(play.edited(forge)).lines()
    return findings


FORESEEN: dict[str, tuple["Callable[[list[dict[str, Any]]], Any]", str]] = {
    "another row": (lambda checks: checks[0].update(at="x"), "is foreseen other than declared [foreseen]"),
    "another level": (lambda checks: checks[0].update(foreseen="warn"), "is foreseen other than declared [foreseen]"),
    "another way to mend": (lambda checks: checks[0].update(mend="x"), "is foreseen other than declared [foreseen]"),
    "a wait": (lambda checks: checks[0].update(waits=True), "is foreseen other than declared [foreseen]"),
    "a guard that does not hold": (
        lambda checks: checks[0].update(holds=False), "is foreseen other than declared [foreseen]",
    ),
    "the last guard that does not hold": (
        lambda checks: checks[-1].update(holds=False), "is foreseen other than declared [foreseen]",
    ),
    "a guard less": (lambda checks: checks.pop(), "is not on record [guard]"),
    "a guard that nobody declared": (
        lambda checks: checks[0].update(guard="x"), "x over adoption is no guard of it here [guard]",
    ),
    "another value": (lambda checks: checks[0].update(value="x"), "is none of its values"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORESEEN)
@pytest.mark.parametrize("kind", ["intent", "commit"])
def test_what_is_foreseen_is_held_against_the_rows_that_it_speaks_of(
    name: str, kind: str, failback_play: "Callable[..., Play]"
) -> None:
    """Of the beginning and of the end: each guard of a later row, as declared and as its facts say."""
    edit, words = FORESEEN[name]
    play = failback_play().start()
    assert play.audit().ok
    findings = edited(play, kind, "run_preflight", lambda body: edit(body["foreseen"]))
    assert [finding for finding in findings if words in finding], findings


def test_a_row_that_foresees_a_refusal_does_not_begin(failback_play: "Callable[..., Play]") -> None:
    """A guard of a later row that refuses stops the row that foresees it."""
    play = failback_play().start()
    findings = edited(
        play, "intent", "run_preflight", lambda body: body["foreseen"][0].update(value="none", holds=False)
    )
    assert [finding for finding in findings if "run_preflight went on though" in finding], findings


@pytest.mark.parametrize(
    ("version", "is_found"), [("0.1.0", True), ("0.6.99", True), ("0.7.0", False), ("1.0.0", False)]
)
def test_a_run_is_not_older_than_its_declaration(
    failback_play: "Callable[..., Play]", version: str, is_found: bool
) -> None:
    """An older version owes less: a run can't be of one that did not ship its declaration yet."""
    play = failback_play().start()
    *findings, _ = play.audit(play.edited(lambda draft: draft[0]["body"].update(version=version))).lines()
    assert any("was first shipped with drfsm 0.7.0" in finding for finding in findings) is is_found, findings


def test_an_observation_without_a_judge_is_counted_and_named(play: "Callable[..., Play]") -> None:
    """So many of which facts: what was not judged again is no proof."""
    run = play().start()
    whole = run.audit()
    judges = run.judges()
    some = audit(run.raw, run.spec, judges={name: judge for name, judge in judges.items() if name != "bell"})
    bells = sum("bell" in record.body.get("facts", {}) for record in run.written)
    assert whole.rejudged - some.rejudged == bells > 1
    assert some.notes == (
        f"{bells} observations of bell were not judged again: no judge for them was handed in",
    )  # fmt: skip


# --- the log as a whole -----------------------------------------------------------------------------------

NO_HEAD = "0" * 63 + "1"


@pytest.mark.parametrize(
    ("head", "count", "rule", "notes"),
    [
        ("last", "all", None, []),
        ("last", None, None, []),
        (None, "all", None, []),
        (None, "fewer", None, []),
        (None, "more", "truncated", []),
        ("last", "more", "truncated", []),
        ("earlier", "fewer", None, ["2 records were added since the summary was copied"]),
        ("earlier", None, None, ["2 records were added since the summary was copied"]),
        ("earlier", "all", "rewritten", []),
        ("none", None, "rewritten", []),
        ("none", "all", "rewritten", []),
    ],
)
def test_a_log_is_held_against_what_a_copied_summary_knows(
    head: str | None, count: str | None, rule: str | None, notes: list[str], play: "Callable[..., Play]"
) -> None:
    """Its number of records and the head of the last: a log that has grown since is no fault, and told."""
    run = play().start()
    heads = [digest(line) for line in run.raw.splitlines(keepends=True)]
    verdict = run.audit(
        expected_head={"last": heads[-1], "earlier": heads[-3], "none": NO_HEAD, None: None}[head],
        expected_records={"all": len(heads), "fewer": len(heads) - 2, "more": len(heads) + 1, None: None}[count],
    )
    assert [finding.rule for finding in verdict.findings] == ([rule] if rule else [])
    assert list(verdict.notes) == notes
    assert [finding.seq for finding in verdict.findings] == ([None] if rule else [])
    assert verdict.expected is (head is not None)
    assert ("Only the head" in "".join(verdict.lines())) is (head is None and rule is None)


@pytest.mark.parametrize(
    ("head", "records", "rule"),
    [(-1, 0, None), (-3, -2, None), (-1, 1, "truncated"), (-2, 0, "rewritten"), (-1, -1, "rewritten")],
)
def test_the_summary_beside_a_log_can_contradict_it(
    head: int, records: int, rule: str | None, play: "Callable[..., Play]"
) -> None:
    """It proves nothing, and where it knows more records, or another one, somebody changed one of the two."""
    run = play().start()
    heads = [digest(line) for line in run.raw.splitlines(keepends=True)]
    verdict = run.audit(beside=(heads[head], len(heads) + records))
    assert [finding.rule for finding in verdict.findings] == ([rule] if rule else [])


@pytest.mark.parametrize(
    ("origin", "said", "ok"), [(None, "not asked", True), ("", "unknown", False), ("shipped", "shipped", True)]
)
def test_a_verdict_says_whose_declaration_it_judged_by(
    origin: str | None, said: str, ok: bool, play: "Callable[..., Play]"
) -> None:
    """What an unknown declaration allows may be anything: that is a finding."""
    run = play().start()
    verdict = run.audit(origin=origin)
    assert (verdict.ok, [finding.rule for finding in verdict.findings]) == (ok, [] if ok else ["declaration"])
    assert ("by mill, shipped (" in "".join(verdict.lines())) is (origin == "shipped")
    assert verdict.record == {
        "ok": ok, "finished": True, "run_id": "run-1", "machine": "mill", "machine_sha256": run.spec.sha256,
        "declaration": said, "status": "complete", "state": "handed_over", "records": len(run.records),
        "head": digest(run.raw.splitlines(keepends=True)[-1]), "head_expected": False,
        "observations_judged_again": verdict.rejudged,
        "findings": [
            {"line": finding.line or None, "seq": finding.seq, "rule": finding.rule, "what": finding.what}
            for finding in verdict.findings
        ],
        "notes": [],
    }  # fmt: skip


def test_damage_is_named_by_its_line_and_what_follows_is_not_judged(play: "Callable[..., Play]") -> None:
    """The lines before it are judged as ever; how many come after it is said."""
    run = play().start()
    lines = run.raw.splitlines(keepends=True)
    verdict = run.audit(b"".join([*lines[:5], b"{}\n", *lines[6:]]))
    assert [(finding.line, finding.rule) for finding in verdict.findings] == [(6, "chain")]
    assert verdict.findings[0].seq == 5
    assert verdict.records == 5
    assert verdict.notes == (
        f"the lines after line 6 ({len(lines) - 6}) were not judged: the chain is broken before them",
    )
    empty = run.audit(b"")
    assert [(finding.line, finding.rule) for finding in empty.findings] == [(0, "order")]
    assert empty.head == "0" * 64


def test_a_seal_counts_what_the_sealing_process_saw(play: "Callable[..., Play]") -> None:
    """A torn line that it cut off itself may come in between; a seal of fewer or more records is found."""
    run = play().start()

    def sealed(records: int, cuts: int) -> list[str]:
        draft = [json.loads(line) for line in run.raw.splitlines()]
        cut = {"kind": "tail_cut", "at": draft[-1]["at"], "body": {"bytes": 3, "sha256": "0" * 64}}
        draft[-1:-1] = [cut] * cuts
        head, written = "0" * 64, b""
        heads = list[str]()
        for seq, each in enumerate(draft):
            body = dict(each["body"])
            if each["kind"] == "seal":
                body = {"records": seq + records, "head": heads[seq + records - 1]}
            line = encode(Record(seq, each["kind"], each["at"], body), head)
            head = digest(line)
            heads.append(head)
            written += line
        return [finding.what for finding in run.audit(written).findings]

    assert sealed(0, 0) == sealed(0, 2) == sealed(-2, 2) == []
    for records, cuts in ((-1, 0), (-2, 0), (-1, 2), (-3, 2)):
        count = len(run.records) - 1 + cuts
        assert sealed(records, cuts) == [f"the seal counts {count + records} records, there are {count}"]
