"""The bindings of the shipped machines by name; each is put together in the module of the machine's name."""

import importlib

from drfsm.engine import Binding
from drfsm.errors import UsageFault

MACHINES = ("drill", "promote", "failback")


def binding(machine: str) -> Binding:
    """Return the facts and actions of a shipped machine. Raises UsageFault for any other."""
    if machine not in MACHINES:
        raise UsageFault(f"drfsm ships no machine {machine!r}", way=f"one of {', '.join(MACHINES)}")
    found: Binding = importlib.import_module(f"drfsm.dr.{machine}").binding()
    return found
