"""The promote's binding: every fact and action that machines/promote.yaml names, from the rooms.

A room that a failback shares has what only one of the two needs under names of their own (``PROMOTE``).
"""

from drfsm.dr import (
    approval,
    approver,
    artifacts,
    drain,
    fence,
    health,
    ownership,
    pointers,
    preflight,
    publishing,
    receipted,
    rehearsal,
    schedules,
    validation,
)
from drfsm.engine import Act, Binding, Fact

FACTS: dict[str, Fact] = {
    **approval.FACTS,
    **approver.FACTS,
    **receipted.FACTS,
    **rehearsal.FACTS,
    **drain.FACTS,
    **ownership.FACTS,
    **schedules.FACTS,
    **publishing.FACTS,
    **validation.FACTS,
    **{name: fact for name, fact in preflight.FACTS.items() if name not in ("dr_loss", "primary_pod")},
    "primary_loss": preflight.PRIMARY_LOSS,
    **fence.PROMOTE,
    "dr_fence": fence.FACTS["dr_fence"],
    "dr_health": health.DR_HEALTH,
    "dr_run": artifacts.VALIDATED,
    "artifacts": artifacts.FACTS["artifacts"],
    "latest": artifacts.FACTS["latest"],
    **{name: fact for name, fact in pointers.FACTS.items() if name != "pointer_set"},
    **pointers.PROMOTE,
}
ACTIONS: dict[str, Act] = {
    **rehearsal.ACTIONS,
    **schedules.PROMOTE,
    **publishing.PROMOTE,
    **validation.ACTIONS,
    **artifacts.ACTIONS,
    **preflight.ACTIONS,
    "adopt_ownership": ownership.ACTIONS["adopt_ownership"],
    **{name: fence.ACTIONS[name] for name in ("raise_primary_fence", "lift_primary_fence", "lift_dr_fence")},
    **{name: act for name, act in pointers.ACTIONS.items() if name != "complete_pointer_set"},
}


def binding() -> Binding:
    """Return the binding; ``Binding.complete_for`` holds it against the machine."""
    return Binding(facts=FACTS, actions=ACTIONS)
