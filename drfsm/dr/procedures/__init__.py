"""The three procedures: what binds each machine's names to facts and actions, and what only procedures know.

Approval, rehearsal and the tokens are theirs; the rest comes from the rooms below. A machine's rooms are loaded when
its binding is asked for; ``approval`` and ``drill`` are imported whole by the commands that show them.
"""

from drfsm.dr.procedures.bindings import MACHINES, binding, with_defaults
from drfsm.dr.procedures.promote_flags import FLAGS, case_of

__all__ = [
    "FLAGS",
    "MACHINES",
    "binding",
    "case_of",
    "with_defaults",
]
