"""The three procedures: what binds each machine's names to facts and actions, and what only procedures know.

Approval, rehearsal and the tokens are theirs; the rest comes from the rooms below.
"""

from drfsm.dr.procedures import drill
from drfsm.dr.procedures.approval import FACTS, SHOWN, canonical_now, differences, told
from drfsm.dr.procedures.bindings import MACHINES, binding, with_defaults

__all__ = [
    "FACTS",
    "MACHINES",
    "SHOWN",
    "binding",
    "canonical_now",
    "differences",
    "drill",
    "told",
    "with_defaults",
]
