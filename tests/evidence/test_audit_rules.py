"""Of which runs a never rule speaks: the audit asks the inputs, and which rows were taken."""

from typing import TYPE_CHECKING

import pytest

from drfsm.evidence.audit.findings import Findings
from drfsm.evidence.audit.invariants import Invariants
from drfsm.journal.record_types import Reading
from drfsm.spec import load_machine

if TYPE_CHECKING:
    from collections.abc import Mapping

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
