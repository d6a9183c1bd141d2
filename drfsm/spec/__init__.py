"""What may happen: declared machines as frozen values; drfsm.spec.check searches them before anything runs.

Every name is imported when it is first asked for: a command that reads the records of a run needs neither YAML nor the
search over a machine's states.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drfsm.spec.declare import dump_schema, load_machine
    from drfsm.spec.diagram import foresight_table, mermaid, rules_table, table
    from drfsm.spec.model import By, Effect, FactSpec, Foreseen, Guard, MachineSpec, PhaseSpec, Row, holds

_HOMES = {
    "drfsm.spec.declare": ("dump_schema", "load_machine"),
    "drfsm.spec.diagram": ("foresight_table", "mermaid", "rules_table", "table"),
    "drfsm.spec.model": ("By", "Effect", "FactSpec", "Foreseen", "Guard", "MachineSpec", "PhaseSpec", "Row", "holds"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["By", "Effect", "FactSpec", "Foreseen", "Guard", "MachineSpec", "PhaseSpec", "Row", "dump_schema",
           "foresight_table", "holds", "load_machine", "mermaid", "rules_table", "table"]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'drfsm.spec' has no attribute {name!r}")
