"""The faults of a declaration's ``phases``: the parts of a run with their own receipts.

    phases:
      restore:
        triggers: [check_backup, restore_state, skip_restore]       the rows that belong to it
        ends: {restore_state: complete, skip_restore: skipped}      which of them end it, and how
        fails: [fail_restore]                                       the failure rows that end it as failed

A trigger belongs to one phase at most. Called by declare.py; evidence/phases.py makes receipts of them.
"""

from collections.abc import Iterator

from drfsm.spec.model import By
from drfsm.spec.words import Block, Faults, Word, did_you_mean

DERIVED_OUTCOMES = ("failed", "not_reached", "given_up", "held", "running")
"""Outcomes that a phase's receipt derives from the run's records: no ending may have one of these names."""


def check_phases(machine: Block, faults: Faults) -> None:
    """Find unknown triggers, triggers of two phases, and impossible endings and failures."""
    by_trigger: dict[str, set[str]] = {}
    for row in machine.get("transitions", ()):
        by_trigger.setdefault(row.get("trigger", ""), set()).add(row.get("by", By.RUNNER))
    owner: dict[str, Word] = {}
    for name, phase in machine.get("phases", {}).items():
        for trigger in _triggers(phase):
            if trigger not in by_trigger:
                mend = did_you_mean(trigger, by_trigger, "name a row's trigger")
                faults.add(trigger.line, f"there is no trigger {trigger}", mend)
            if trigger in owner:
                faults.add(trigger.line, f"{trigger} is in phase {name} and in {owner[trigger]}", "remove one")
            owner.setdefault(trigger, name)
        _check_endings(name, phase, faults)
        for trigger in phase.get("fails", ()):
            if trigger in by_trigger and by_trigger[trigger] != {By.FAILURE}:
                mend = "name a trigger whose rows are `by: failure`, or move it to triggers"
                faults.add(trigger.line, f"phase {name} fails by {trigger}, which is not a failure's row", mend)


def _triggers(phase: Block) -> Iterator[Word]:
    yield from phase.get("triggers", ())
    yield from phase.get("fails", ())


def _check_endings(name: Word, phase: Block, faults: Faults) -> None:
    for trigger, outcome in phase.get("ends", {}).items():
        if trigger not in phase.get("triggers", ()):
            mend = did_you_mean(trigger, phase.get("triggers", ()), "add it to the phase's triggers")
            faults.add(trigger.line, f"phase {name} ends with {trigger}, which is not in it", mend)
        if outcome in DERIVED_OUTCOMES:
            mend = f"choose another outcome: the receipt derives {', '.join(DERIVED_OUTCOMES)} by itself"
            faults.add(outcome.line, f"phase {name} ends as {outcome}", mend)
