"""Whoever forges a log, and chains and seals it anew, is found out, and what he did is named.

The forger knows the format: numbers, chain and seal are right in every log here, unless a test says otherwise.
"""

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from tests.evidence.forger import (
    Draft,
    Make,
    aborted,
    altered,
    both,
    complete,
    dry,
    found,
    given_up,
    held,
    superseded,
    waited_for,
    without,
)

if TYPE_CHECKING:
    from tests.evidence.conftest import Play


def test_without_the_binding_what_the_declaration_says_lands_late_is_demanded(play: Make) -> None:
    """An auditor with the declaration and the log alone finds a change without a condition that nobody waited for."""
    run = waited_for(play)
    assert run.audit(late=None).ok
    before_the_row, at_the_end = run.audit(run.edited(without("settled")), late=None).findings
    for finding in (before_the_row, at_the_end):
        assert (finding.rule, "change_keys" in finding.what) == ("late", True)


def test_a_run_of_a_version_that_settled_at_the_end_owes_nothing_before_a_row(play: Make) -> None:
    """0.5.0 settled before an undo and before the end."""
    run = waited_for(play)
    old = both(without("settled"), altered("run_started", "", version="0.5.0"))
    (finding,) = run.audit(run.edited(old), late=None).findings
    assert "was given up without an answer" in finding.what


def test_a_run_of_a_version_that_settled_nothing_owes_nothing(play: Make) -> None:
    """Neither its version nor its declaration knew late requests: what it left open was no fault of its."""
    run = given_up(play)
    run.spec = evolve(run.spec, rows=tuple(evolve(row, lands_late=False) for row in run.spec.rows))
    old = both(without("settled"), altered("run_started", "", version="0.3.0"))
    assert run.audit(run.edited(old)).ok
    assert not run.audit(run.edited(without("settled"))).ok


@pytest.mark.parametrize(("machine", "owes"), [("drill", False), ("failback", True)])
def test_a_drill_of_a_version_that_settled_nothing_of_drills_owes_nothing(play: Make, machine: str, owes: bool) -> None:
    """0.4.0 settled what a promote or a failback gave up, and nothing of a drill."""
    run = given_up(play)
    rows = tuple(evolve(row, lands_late=False) for row in run.spec.rows)
    run.spec = evolve(run.spec, name=machine, rows=rows)
    old = both(without("settled"), altered("run_started", "", version="0.4.0", machine=machine))
    assert [finding.rule for finding in run.audit(run.edited(old)).findings] == (["late"] if owes else [])


# --- field by field -------------------------------------------------------------------------------------

ONLY_THE_HEAD = {
    # Commentary, and what only the world could confirm: altering it is found by the head in a copied summary.
    "run_started": {"run_id", "version", "inputs", "operator", "host", "pid"},
    "lease_acquired": {"epoch", "operator", "host"},  # of an epoch only that it rises
    "resumed": {"operator", "host", "pid"},
    "sampled": {"waited_seconds", "limit_seconds"},
    "failed": {"error", "answered"},
    "repaired": {"result"},
    "commit": {"args", "result", "seconds", "ways", "error"},
    "held": {"stage", "reason", "fault", "way", "interrupted", "ways"},
    "ended": {"reason", "stage"},
}


def mutations(draft: Draft) -> Iterator[tuple[int, str, Any]]:
    """Yield (record, field, what a forger writes there) for every field of every record."""
    for number, record in enumerate(draft):
        for name, value in record["body"].items():
            if name not in ONLY_THE_HEAD.get(record["kind"], set()) and record["kind"] != "seal":
                yield number, name, _other(value)


def _other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 7
    if isinstance(value, str):
        return f"{value}x"
    return [*value, "x"] if isinstance(value, list) else {**(value or {}), "x": "x"}


@pytest.mark.long
@pytest.mark.parametrize("make", [complete, aborted, held, superseded, found], ids=lambda make: make.__name__)
def test_every_field_that_is_not_commentary_is_proven(make: Callable[[Make], "Play"], play: Make) -> None:
    """Whichever field of whichever record is altered, the audit finds it; the exceptions are a list, above."""
    run = make(play)
    draft = [json.loads(line) for line in run.raw.splitlines()]
    unfound = []
    for number, name, value in mutations(draft):
        raw = run.edited(lambda copy, n=number, f=name, v=value: copy[n]["body"].update({f: v}))  # type: ignore[misc]  # mypy infers no lambda with defaults
        if run.audit(raw).ok:
            unfound.append(f"{draft[number]['kind']} {number}: {name}")
    assert unfound == []


def nested(value: Any, *, named: str = "") -> Iterator[dict[str, Any]]:
    """Yield every object inside a body that is not free by its nature: what the world, a person or an action said."""
    if isinstance(value, dict):
        if named:
            yield value
        free = ("seen", "result", "args", "inputs")
        members = [(name, member) for name, member in value.items() if name not in free]
    else:
        members = [(named, item) for item in value] if isinstance(value, list) else []
    for name, member in members:
        yield from nested(member, named=name)


@pytest.mark.parametrize("make", [complete, aborted, held, superseded, found, dry])
def test_an_extra_key_in_any_nested_object_is_found(make: Callable[[Make], "Play"], play: Make) -> None:
    """Each guard, reading, snapshot, next action and identity of a log, with one key too many: the audit finds it."""
    run = make(play)
    draft = [json.loads(line) for line in run.raw.splitlines()]
    unfound, tried = [], set()
    for number, record in enumerate(draft):
        for place_in_body, _ in enumerate(nested(record["body"])):
            raw = run.edited(
                lambda copy, n=number, p=place_in_body: list(nested(copy[n]["body"]))[p].update(more="of it")  # type: ignore[misc]  # mypy infers no lambda with defaults
            )
            tried.add(record["kind"])
            if run.audit(raw).ok:
                unfound.append(f"{record['kind']} {number}: object {place_in_body}")
    assert unfound == []
    assert tried >= {"forecast"} if make is dry else tried >= {"intent", "commit"}


def test_a_record_that_is_taken_out_is_found_unless_it_moves_nothing(play: Make) -> None:
    """Only what moves nothing can go (an attempt that failed then reads as interrupted), and the head tells of that."""
    run = held(play).request("ring")
    for number, record in enumerate(run.written[:-1]):
        verdict = run.audit(run.edited(lambda draft, n=number: draft.pop(n)))  # type: ignore[misc]  # mypy infers no lambda with defaults
        if verdict.ok:
            unclear = record.kind == "sampled" and not record.body["holds"]
            assert unclear or record.kind in ("rejected", "repaired", "held", "failed", "lease_acquired"), record


# --- what only the head of a copied summary tells -----------------------------------------------------------


def test_a_log_cut_off_at_a_record_is_found_by_what_the_summary_knows(play: Make) -> None:
    """A prefix of a log is a log: only the number of records and the head that were copied off tell."""
    run = complete(play)
    journal = run.summary()["journal"]
    cut = b"".join(run.raw.splitlines(keepends=True)[:-5])
    assert run.audit(cut).ok
    assert not run.audit(cut).finished
    (finding,) = run.audit(cut, expected_head=journal["head"], expected_records=journal["records"]).findings
    assert finding.rule == "truncated"
    assert f"knows {journal['records']} records, the log holds {journal['records'] - 5}" in finding.what
    (finding,) = run.audit(cut, expected_head=journal["head"]).findings
    assert finding.rule == "rewritten"


def test_a_log_written_anew_is_found_by_the_head(play: Make) -> None:
    """A result that nobody can judge again is altered: every rule holds, the head doesn't."""
    run = complete(play)
    journal = run.summary()["journal"]
    raw = run.edited(altered("repaired", "", result={"greased": "with gold"}))
    assert run.audit(raw).ok
    (finding,) = run.audit(raw, expected_head=journal["head"], expected_records=journal["records"]).findings
    assert finding.rule == "rewritten"


def test_a_log_that_grew_since_the_summary_was_copied_holds(play: Make) -> None:
    """More records than the summary knew are no fault, as long as they go on from its head."""
    run = play(wheel=["turning"]).start()
    journal = run.summary()["journal"]
    verdict = run.request("abort").audit(expected_head=journal["head"], expected_records=journal["records"])
    assert verdict.ok
    assert any("records were added since the summary was copied" in note for note in verdict.notes)


def test_the_whole_log_that_the_summary_knows_needs_no_caveat(play: Make) -> None:
    """With the head at hand nothing is left to be doubted, and the verdict doesn't."""
    run = complete(play)
    journal = run.summary()["journal"]
    told = "\n".join(run.audit(expected_head=journal["head"], expected_records=journal["records"]).lines())
    assert "copied off" not in told
    assert "copied off" in "\n".join(run.audit().lines())


# --- bytes ----------------------------------------------------------------------------------------------


def test_a_byte_altered_without_chaining_names_its_line(play: Make) -> None:
    """The line after the altered one doesn't follow it; what stands before is judged all the same."""
    run = complete(play)
    raw = run.raw.replace(b'"value":"old"', b'"value":"new"', 1)
    altered_line = next(n for n, line in enumerate(raw.splitlines(), 1) if b'"value":"new"' in line)
    verdict = run.audit(raw)
    assert ("chain", altered_line + 1) in [(each.rule, each.line) for each in verdict.findings]
    assert ("judge", altered_line) in [(each.rule, each.line) for each in verdict.findings]
    assert any("were not judged: the chain is broken" in note for note in verdict.notes)


@pytest.mark.parametrize("damage", [b"", b"\x00", b"{}\n", b"not json\n", b"[" * 100_000])
def test_no_bytes_at_all_make_the_audit_fail_otherwise_than_by_a_finding(damage: bytes, play: Make) -> None:
    """Whatever lies there instead of a log, the audit says that it proves nothing."""
    assert not play().audit(damage).ok


def test_a_torn_last_line_is_said_and_is_no_fault(play: Make) -> None:
    """A writer that died in the middle of a line left a log that holds up to there."""
    run = complete(play)
    verdict = run.audit(run.raw[:-20])
    assert verdict.ok
    assert not verdict.finished
    assert any("the last line is torn" in note for note in verdict.notes)


def test_a_seal_with_another_count_or_head_is_found(play: Make) -> None:
    """The seal is held against the lines before it."""
    run = complete(play)
    *before, seal = run.raw.splitlines(keepends=True)
    count = len(before)
    for old, new in ((f'"records":{count}', f'"records":{count - 1}'), ('"head":"', '"head":"0000')):
        raw = b"".join([*before, seal.replace(old.encode(), new.encode())])
        assert "seal" in {each.rule for each in run.audit(raw).findings}


def test_times_that_run_backwards_are_a_note(play: Make) -> None:
    """Clocks are set: that is told, and proves nothing."""
    run = complete(play)
    verdict = run.audit(run.edited(lambda draft: draft[5].update(at="2020-01-01T00:00:00.000000Z")))
    assert verdict.ok
    assert any("before that of the line above" in note for note in verdict.notes)


def test_another_declaration_at_hand_is_found(play: Make, mill_text: bytes) -> None:
    """A log is proven only against the very bytes that its run was pinned to."""
    from drfsm.evidence.audit import audit
    from drfsm.spec import load_machine

    run = complete(play)
    verdict = audit(run.raw, load_machine(mill_text + b"\n# as good as the same\n"), judges=run.judges())
    assert [each.rule for each in verdict.findings] == ["digest"]


def test_without_a_judge_that_is_said(play: Make) -> None:
    """What could not be judged again is counted and named, not passed over."""
    from drfsm.evidence.audit import audit

    run = complete(play)
    judges = {name: judge for name, judge in run.judges().items() if name != "wheel"}
    verdict = audit(run.raw, run.spec, judges=judges)
    assert verdict.ok
    assert any("of wheel were not judged again" in note for note in verdict.notes)
