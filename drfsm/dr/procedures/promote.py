"""The promote's binding: every fact and action that machines/promote.yaml names, from the rooms.

A room that a failback shares has what only one of the two needs under names of their own (``PROMOTE``).
"""

from drfsm.dr import endpoints
from drfsm.dr.artifacts import publish as publish_artifacts
from drfsm.dr.pointers import ownership, pointers
from drfsm.dr.procedures import approval, approver, rehearsal
from drfsm.dr.sites import architecture, drain, fence, health, preflight, publishing, pull_secret, schedules, startable
from drfsm.dr.validation import job as validation_job
from drfsm.dr.validation import receipt as validation_receipt
from drfsm.engine import Act, Binding, Fact

_TTL = ("lower_endpoint_ttl", "restore_endpoint_ttl")  # a promote has no time for a low one to pass
FACTS: dict[str, Fact] = {
    **approval.FACTS,
    **approver.FACTS,
    **validation_receipt.FACTS,
    **rehearsal.FACTS,
    **{name: fact for name, fact in drain.FACTS.items() if name != "dr_backlog"},
    **ownership.FACTS,
    **schedules.FACTS,
    **publishing.FACTS,
    **validation_job.FACTS,
    **{name: fact for name, fact in preflight.FACTS.items() if name not in ("dr_loss", "primary_pod")},
    "primary_loss": preflight.PRIMARY_LOSS,
    **fence.PROMOTE,
    "dr_fence": fence.FACTS["dr_fence"],
    "dr_health": health.DR_HEALTH,
    "dr_startable": startable.DR_STARTABLE,
    "dr_run": publish_artifacts.VALIDATED,
    "artifacts": publish_artifacts.FACTS["artifacts"],
    "latest": publish_artifacts.FACTS["latest"],
    **{name: fact for name, fact in pointers.FACTS.items() if name != "pointer_set"},
    **pointers.PROMOTE,
    **pull_secret.FACTS,
    **architecture.FACTS,
    **{name: fact for name, fact in endpoints.FACTS.items() if name != "primary_serving"},
}
ACTIONS: dict[str, Act] = {
    **rehearsal.ACTIONS,
    **schedules.PROMOTE,
    **publishing.PROMOTE,
    **validation_job.ACTIONS,
    **publish_artifacts.ACTIONS,
    **preflight.ACTIONS,
    **pull_secret.ACTIONS,
    "adopt_ownership": ownership.ACTIONS["adopt_ownership"],
    **{name: fence.ACTIONS[name] for name in ("raise_primary_fence", "lift_primary_fence", "lift_dr_fence")},
    **{name: act for name, act in pointers.ACTIONS.items() if name != "complete_pointer_set"},
    **{name: act for name, act in endpoints.ACTIONS.items() if name not in _TTL},
}


ROOMS = (rehearsal, schedules, publishing, validation_job, publish_artifacts, pull_secret, ownership, fence, pointers)
LATE = {
    **{name: late for room in ROOMS for name, late in room.LATE.items() if name in ACTIONS},
    **{name: late for name, late in endpoints.LATE.items() if name in ACTIONS},
}


def binding() -> Binding:
    """Return the binding; ``Binding.complete_for`` holds it against the machine."""
    return Binding(facts=FACTS, actions=ACTIONS, late=LATE, former_facts=preflight.FORMER_FACTS)
