"""Making it happen: a machine bound to a world, driven step by step over a journal."""

from drfsm.engine.binding import Act, Binding, Fact, Late, Run
from drfsm.engine.ports import Clock, Journal, Lease, MemoryJournal, NoLease, SystemClock
from drfsm.engine.runner import Runner

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
