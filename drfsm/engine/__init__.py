"""Making it happen: a machine bound to a world, driven step by step over a journal.

Every name is imported when it is first asked for: whoever binds facts, as the audit does, needs no runner.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drfsm.engine.binding import Act, Binding, Fact, Late, Run
    from drfsm.engine.ports import Clock, Journal, Lease, MemoryJournal, NoLease, SystemClock
    from drfsm.engine.runner import Runner

_HOMES = {
    "drfsm.engine.binding": ("Act", "Binding", "Fact", "Late", "Run"),
    "drfsm.engine.ports": ("Clock", "Journal", "Lease", "MemoryJournal", "NoLease", "SystemClock"),
    "drfsm.engine.runner": ("Runner",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Act",
    "Binding",
    "Clock",
    "Fact",
    "Journal",
    "Late",
    "Lease",
    "MemoryJournal",
    "NoLease",
    "Run",
    "Runner",
    "SystemClock",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'drfsm.engine' has no attribute {name!r}")
