"""The failback's binding: every fact and action that machines/failback.yaml names, from the rooms."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from drfsm.dr import (
    artifacts,
    backup,
    comparison,
    confirmation,
    control_plane,
    drain,
    fence,
    health,
    ownership,
    pointers,
    prefix_sync,
    preflight,
    publishing,
    runners,
    schedules,
    soak,
    validation,
)
from drfsm.engine import Binding

ROOMS: tuple[ModuleType, ...] = (
    artifacts, backup, comparison, confirmation, control_plane, drain, fence, health, ownership, pointers, preflight,
    prefix_sync, publishing, runners, schedules, soak, validation,
)  # fmt: skip


def binding() -> Binding:
    """Return the binding; ``Binding.complete_for`` holds it against the machine."""
    return Binding(facts=_merged("FACTS"), actions=_merged("ACTIONS"))


def _merged(table: str) -> Mapping[str, Any]:
    merged: dict[str, Any] = {}
    for room in ROOMS:
        merged |= getattr(room, table, {})
    return merged
