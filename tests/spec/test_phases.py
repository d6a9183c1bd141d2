"""A declaration's phases are read as written, and what is wrong with them is told."""

import pytest

from drfsm.errors import DeclarationFault
from drfsm.resources import shipped
from drfsm.runs.derived_files import PHASES_UNTIL_0_2
from drfsm.spec import load_machine

TRIP = """\
machine: trip
because: "It is summer"
initial: home
finals: {back: complete, stuck: failed}
transitions:
  - {from: home, trigger: pack, to: packed, because: "First"}
  - {from: packed, trigger: leave, to: away, because: "Then"}
  - {from: away, trigger: turn, to: back, because: "Home again"}
  - {from: [home, packed], trigger: give_up, to: stuck, by: failure, because: "It rains"}
phases:
  out:
    triggers: [pack, leave]
    ends: {leave: complete}
    fails: [give_up]
  home:
    triggers: [turn]
    ends: {turn: complete}
"""

FAULTS = {
    "an unknown trigger": ("[pack, leave]", "[pakc, leave]", [
        "12: there is no trigger pakc; did you mean pack?",
    ]),
    "a trigger of two phases": ("[turn]", "[turn, leave]", [
        "16: leave is in phase home and in out; remove one",
    ]),
    "a phase without an ending": ("    ends: {turn: complete}\n", "", [
        "16: a phase lacks ends; add `ends:`",
    ]),
    "an ending that is not in the phase": ("ends: {leave: complete}", "ends: {turn: complete}", [
        "13: phase out ends with turn, which is not in it; add it to the phase's triggers",
    ]),
    "an ending that receipts tell by themselves": ("{turn: complete}", "{turn: held}", [
        ("17: phase home ends as held; choose another outcome:"
        " the receipt derives failed, not_reached, given_up, held, running by itself"),
    ]),
    "a failure that is none": ("fails: [give_up]", "fails: [turn]", [
        ("14: phase out fails by turn, which is not a failure's row; name a trigger whose rows are `by: failure`, or"
        " move it to triggers"),
        "16: turn is in phase home and in out; remove one",
    ]),
    "an unknown failure": ("fails: [give_up]", "fails: [give_in]", [
        "14: there is no trigger give_in; did you mean give_up?",
    ]),
    "a phase without rows": ("triggers: [turn]", "triggers: []", [
        "16: triggers is an empty list; name at least one or leave the key out",
        "17: phase home ends with turn, which is not in it; add it to the phase's triggers",
    ]),
}  # fmt: skip


def test_phases_are_read_as_written() -> None:
    """In the order of the declaration, with what ends each and by what it fails."""
    phases = load_machine(TRIP).phases
    assert list(phases) == ["out", "home"]
    assert (phases["out"].triggers, dict(phases["out"].ends)) == (("pack", "leave"), {"leave": "complete"})
    assert (phases["out"].fails, phases["home"].fails) == (("give_up",), ())


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_told_with_its_line_and_mend(fault: str) -> None:
    """One thing changed in a good declaration: exactly these faults, in the order of the lines."""
    old, new, expected = FAULTS[fault]
    assert old in TRIP
    with pytest.raises(DeclarationFault) as caught:
        load_machine(TRIP.replace(old, new), source="trip.yaml")
    assert [each.removeprefix("trip.yaml:") for each in caught.value.faults] == expected


def test_every_row_of_a_drills_work_is_in_a_phase() -> None:
    """A drill declares the five phases of every version, and leaves out only what comes before, after and by hand."""
    spec = load_machine((shipped("machines") / "drill.yaml").read_bytes(), source="drill.yaml")
    assert list(spec.phases) == [phase.name for phase in PHASES_UNTIL_0_2]
    assert all(dict(spec.phases[old.name].ends) == dict(old.ends) for old in PHASES_UNTIL_0_2)
    of_phases = {trigger for phase in spec.phases.values() for trigger in (*phase.triggers, *phase.fails)}
    outside = {"confirm_scope", "run_preflight", "account_costs", "refuse", "abort", "keep_site"}
    assert set(spec.triggers) - of_phases == outside
