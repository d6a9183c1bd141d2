"""What may happen: declared machines as frozen values, and their checks before anything runs.

The loader is imported on first use, so that commands which only read records don't load YAML.
"""

from typing import TYPE_CHECKING, Any

from drfsm.spec.check import LIMIT, Report, check
from drfsm.spec.diagram import foresight_table, mermaid, rules_table, table
from drfsm.spec.model import By, Effect, FactSpec, Foreseen, Guard, MachineSpec, PhaseSpec, Row, holds

if TYPE_CHECKING:
    from drfsm.spec.declare import dump_schema, load_machine

__all__ = ["LIMIT", "By", "Effect", "FactSpec", "Foreseen", "Guard", "MachineSpec", "PhaseSpec", "Report", "Row",
           "check", "dump_schema", "foresight_table", "holds", "load_machine", "mermaid", "rules_table",
           "table"]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in ("dump_schema", "load_machine"):
        from drfsm.spec import declare

        return getattr(declare, name)
    raise AttributeError(name)
