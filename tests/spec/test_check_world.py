"""What the search knows of the world: guards read early, amended inputs, lasting dependence, and whoever meddles."""

import pytest

from drfsm.errors import DeclarationFault
from drfsm.spec import MachineSpec, load_machine
from drfsm.spec.check import Report, check

MACHINE = """
machine: valve
because: "a rule"
initial: shut
finals: {done: complete}
inputs:
  wish: {because: "what the person wants"}
facts:
  valve: {values: [open, closed, ajar], initial: [closed], partial: [ajar]}
  guest: {values: [in, out], initial: [out]}
  agreed: {values: [yes, no], local: true, reads: [wish]}
  tide: {values: [high, low], initial: [low], depends: [valve]%s}
  warned: {values: [yes, no], initial: [no], hidden: true}
guards:
  nobody_in: {requires: {guest: out}, because: "so"}
  is_agreed: {requires: {agreed: yes}, because: "so"}
  is_low: {requires: {tide: low}, because: "so"}
environment: [%s, {when: {warned: yes}, sets: {warned: yes}}]
never: [{name: rule, when: {%s}, states: [%s], because: "bad"}]
transitions:
  - {from: shut, trigger: open, to: opened, guards: [nobody_in], action: turn, sets: {valve: open}, effect: idempotent,
     %s because: "w"}
  - {from: opened, trigger: go, to: done, guards: [%s], because: "g"}
  - {from: shut, trigger: look, by: operator, guards: [nobody_in, is_agreed, is_low], because: "so that all are used"}
  - {from: opened, trigger: tell, by: operator, amends: [wish], %s because: "a person says what is wanted"}
"""
ENTERS = "{sets: {guest: in}, when: {guest: out}}"
MEDDLES = "{meddles: true, sets: {guest: in}, when: {guest: out}}"


def valve(
    when: str,
    states: str = "done",
    *,
    world: str = ENTERS,
    go: str = "is_agreed, is_low, nobody_in",
    settled: str = "",
    opens: str = "",
    tells: str = "",
) -> MachineSpec:
    """Return the machine with this rule."""
    return load_machine(MACHINE % (settled, world, when, states, opens, go, tells), source="valve.yaml")


def words(report: Report) -> list[str]:
    """Return the steps of the only finding."""
    (finding,) = report.findings
    return [line.words for line in finding.lines[1:-1]]


def test_what_a_guard_read_may_be_otherwise_when_the_row_is_committed() -> None:
    """The guest comes after the guard was read and before the commit; a row without action reads early, too."""
    way = words(check(valve("guest: in", world="{sets: {guest: in}, states: [opened]}")))
    assert way[-3:] == ["go reads what its guards require", "the world: guest=in", "go: opened -> done"]


def test_an_action_takes_effect_after_its_guard_held_no_longer() -> None:
    """Between the guard and the effect the guest comes in; a request that compares the fact itself has none."""
    rule = "guest: in, valve: open"
    early = "{sets: {guest: in}, when: {valve: closed}}"
    assert check(valve(rule, "shut", world=early)).findings
    assert not check(valve(rule, "shut", world=early, opens="compares: [guest],")).findings


def test_an_action_leaves_the_partial_values_that_are_declared() -> None:
    """The valve may stand ajar, which no fact is called by default."""
    assert "open is under way (valve=ajar)" in words(check(valve("valve: ajar", "shut")))


def test_a_run_may_start_with_any_inputs() -> None:
    """The local fact is agreed from the start, though nobody told the run so while it ran; `initial` hides nothing."""
    assert not any("tell" in step for step in words(check(valve("agreed: yes", "opened"))))


def test_an_amended_input_changes_what_is_judged_by_it() -> None:
    """A person withdraws what was agreed; where the person's row requires it, only an agreement is committed."""
    noted = "notes: {warned: yes},"
    assert check(valve("agreed: no, warned: yes", "opened", tells=noted)).findings
    assert not check(valve("agreed: no, warned: yes", "opened", tells=f"{noted} guards: [is_agreed],")).findings


def test_what_depends_on_a_change_changes_at_any_later_moment() -> None:
    """The tide is low when it is read at last, and high before the end; once settled it stays."""
    assert check(valve("tide: high")).findings
    assert not check(valve("tide: high", settled=", settled_when: {tide: [high, low]}")).findings


def test_a_row_notes_what_only_the_checker_follows() -> None:
    """The hidden fact changes with the commit of the row that notes it, and by nothing else."""
    assert not check(valve("warned: yes")).findings
    assert words(check(valve("warned: yes", tells="notes: {warned: yes},")))


def test_what_somebody_does_after_the_last_look_is_excused() -> None:
    """The same guest by the world's own rule breaks it; as a meddler only where no guard looks for him."""
    assert check(valve("guest: in")).findings
    assert not check(valve("guest: in", world=MEDDLES)).findings
    way = words(check(valve("guest: in", world=MEDDLES, go="is_agreed, is_low")))
    assert way[-1] == "go: opened -> done"
    assert "somebody: guest=in" in way


def test_an_action_that_was_begun_before_somebody_meddled_is_excused() -> None:
    """Begun, then the guest, then the effect: no guard could see him. Begun after him without a guard: a finding."""
    both = "guest: in, valve: open"
    assert not check(valve(both, "shut, opened", world=MEDDLES)).findings
    text = MACHINE.replace("guards: [nobody_in], action: turn", "action: turn")
    assert check(load_machine(text % ("", MEDDLES, both, "shut, opened", "", "is_agreed, is_low, nobody_in", ""),
                              source="valve.yaml")).findings  # fmt: skip


FAULTS = {
    "a circle of depends": (
        ("initial: [out]}", "initial: [out], depends: [tide]}"),
        ("depends: [valve]", "depends: [guest]"),
    ),
    "settled without depends": (("initial: [out]}", "initial: [out], settled_when: {guest: out}}"),),
    "amended between nothing": (("initial: [out]}", "initial: [out], amended_between: [in]}"),),
    "reads of a hidden fact": (("hidden: true}", "hidden: true, reads: [wish]}"),),
}
WORDS_OF_FAULTS = {
    "a circle of depends": "which depends on",
    "settled without depends": "it is always settled",
    "amended between nothing": "reads no input that could be amended",
    "reads of a hidden fact": "nothing judges it",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_the_search_could_not_take_in_one_way_is_a_fault_of_a_new_declaration(fault: str) -> None:
    """The loader names it; a declaration that a run was started with before is read all the same."""
    text = MACHINE % ("", ENTERS, "guest: in", "done", "", "is_agreed, is_low, nobody_in", "")
    for old, new in FAULTS[fault]:
        assert old in text
        text = text.replace(old, new)
    with pytest.raises(DeclarationFault) as caught:
        load_machine(text, source="valve.yaml")
    assert WORDS_OF_FAULTS[fault] in "\n".join(caught.value.lines())
    assert load_machine(text, source="valve.yaml", recorded=True)


@pytest.mark.parametrize(
    ("key", "words_of_fault"),
    [("compares: [tide],", "no guard of it requires"), ("notes: {guest: in},", "which is not hidden")],
)
def test_a_row_compares_what_it_guards_and_notes_what_is_hidden(key: str, words_of_fault: str) -> None:
    """Anything else is a fault of the declaration."""
    with pytest.raises(DeclarationFault) as caught:
        valve("guest: in", opens=key)
    assert words_of_fault in "\n".join(caught.value.lines())


def test_a_report_is_also_for_programs_and_drawn() -> None:
    """The same verdicts as values; the story as a diagram that tells who acts."""
    report = check(valve("guest: in", world=MEDDLES, go="is_agreed, is_low"))
    (rule,) = report.json["rules"]
    assert (rule["rule"], rule["verdict"], report.json["ok"]) == ("rule", "broken", False)
    assert {step["by"] for step in rule["story"]} == {"run", "world"}
    (finding,) = report.findings
    assert finding.mermaid.startswith("sequenceDiagram\n")
    assert "world->>world: somebody: guest=in" in finding.mermaid


def test_rules_are_searched_side_by_side_with_the_same_result() -> None:
    """Two processes report what one reports, in the same order."""
    spec = valve("guest: in, valve: open", "shut, opened")
    assert check(spec, processes=2) == check(spec)


LAST = """
machine: key
because: "The old key is gone"
initial: made
finals: {revoked: complete}
facts:
  served: {values: [new, old], initial: [new], because: "Which key the site serves"}
  old_key: {values: [valid, gone], initial: [valid], because: "Whether the old key still opens"}
environment:
  - {meddles: true, when: {served: new}, sets: {served: old}, because: "Somebody rolls the site back"}
  - {mends: true, when: {served: old}, sets: {served: new}, because: "Somebody rolls it forward again"}
guards:
  new_is_served: {requires: {served: new}, because: "Nobody could come in"}
never: [{name: outage, when: {served: old, old_key: gone}, states: [made], because: "Nobody comes in"}]
transitions:
  - {from: made, trigger: revoke, to: revoked, by: operator, point_of_no_return: true, action: revoke,
     guards: [%s], sets: {old_key: gone}, effect: idempotent, because: "The old key opens no more"}
"""


@pytest.mark.parametrize(("guards", "holds"), [("new_is_served", True), ("", False)])
def test_the_point_of_no_return_looks_also_where_a_person_fires_it(guards: str, *, holds: bool) -> None:
    """What somebody did before it, and its guards forget, is its own fault."""
    text = LAST % guards
    if not guards:
        text = text.replace(
            'guards:\n  new_is_served: {requires: {served: new}, because: "Nobody could come in"}\n', ""
        )
        text = text.replace("     guards: [], sets", "     sets")
    (finding, *_) = check(load_machine(text, source="key.yaml")).findings or (None,)
    assert (finding is None) is holds
