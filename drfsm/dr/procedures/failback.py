"""The failback's binding: every fact and action that machines/failback.yaml names, from the rooms."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from drfsm.dr.artifacts import prefix_sync
from drfsm.dr.artifacts import publish as publish_artifacts
from drfsm.dr.artifacts.compare import comparison
from drfsm.dr.backup import address as backup_address
from drfsm.dr.control_plane import read as control_plane
from drfsm.dr.endpoints import active, canary, gates, rights, routing, serving
from drfsm.dr.infrastructure import runners
from drfsm.dr.pointers import ownership, pointers
from drfsm.dr.procedures import confirmation
from drfsm.dr.sites import architecture, drain, fence, health, preflight, publishing, pull_secret, schedules, startable
from drfsm.dr.validation import alarm_history, soak
from drfsm.dr.validation import job as validation_job
from drfsm.engine import Binding

ROOMS: tuple[ModuleType, ...] = (
    active, alarm_history, architecture, publish_artifacts, backup_address, canary, comparison, confirmation,
    control_plane, drain, fence, gates, health, ownership, pointers, preflight, prefix_sync, publishing, pull_secret,
    rights, routing, runners, schedules, serving, soak, startable, validation_job,
)  # fmt: skip


def binding() -> Binding:
    """Return the binding; ``Binding.complete_for`` holds it against the machine."""
    facts = {**_merged("FACTS"), "comparison_profile": comparison.PROFILE}
    del facts["dr_serving"]  # the site that is left need not serve
    actions = {name: act for name, act in _merged("ACTIONS").items() if name != "return_endpoints"}  # a drill's
    late = {name: how for name, how in _merged("LATE").items() if name in actions}
    return Binding(facts=facts, actions=actions, late=late, former_facts=preflight.FORMER_FACTS)


def _merged(table: str) -> Mapping[str, Any]:
    merged: dict[str, Any] = {}
    for room in ROOMS:
        merged |= getattr(room, table, {})
    return merged
