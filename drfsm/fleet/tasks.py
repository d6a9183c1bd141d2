"""A task of a run's workflow, as a worker reads it; and the position that the worker answers.

A task is a claim of whoever may start workflows in the namespace. It names a pair, a run and what a person asked for;
everything else is the worker's own, or is held against the journal.
"""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from drfsm.claims import bounded, is_name
from drfsm.errors import Unreadable

LONGEST_OPERATOR = 200  # characters

Position = dict[str, Any]
"""Where a run stands, as JSON: the fields are listed in workflows.py."""


@frozen
class Task:
    """One task: a row to be taken, the runner's next one or a person's."""

    run_id: str
    pair: str
    procedure: str
    machine_sha256: str  # "": whichever the worker ships
    entry_sha256: str
    started_by: str
    given: Mapping[str, str] = field(factory=dict)
    position: Mapping[str, Any] = field(factory=dict)
    trigger: str = ""
    operator: str = ""
    args: Mapping[str, Any] = field(factory=dict)

    @property
    def who(self) -> str:
        """Under whose name the task is done."""
        return self.operator if self.trigger else self.started_by

    @property
    def began(self) -> bool:
        """Whether the workflow knows that the run has records."""
        return bool(self.position.get("began"))


def task_of(body: Mapping[str, Any]) -> Task:
    """Return a workflow's task. Raises Unreadable for anything else."""
    names = {"run_id": "drfsm run", "procedure": "machine", "machine_sha256": "sha256", "entry_sha256": "sha256",
             "pair": "drfsm run"}  # fmt: skip
    for name, kind in names.items():
        if not is_name(kind, body.get(name)) and not (name == "machine_sha256" and body.get(name) == ""):
            raise Unreadable(f"a task's {name} is none: {bounded(body.get(name), 100)}")
    trigger = body.get("trigger", "")
    if trigger and not is_name("state", trigger):
        raise Unreadable(f"a task's trigger is none: {bounded(trigger, 100)}")
    for name in ("operator", "started_by"):
        operator = body.get(name, "")
        if not isinstance(operator, str) or len(operator) > LONGEST_OPERATOR or not operator.isprintable():
            raise Unreadable(f"a task's {name} is no name")
    for name in ("given", "position", "args"):
        if not isinstance(body.get(name, {}), dict):
            raise Unreadable(f"a task's {name} is not as it should be")
    kept = ("run_id", "pair", "procedure", "machine_sha256", "entry_sha256", "started_by", "given", "position",
            "trigger", "operator", "args")  # fmt: skip
    return Task(**{name: body[name] for name in kept if name in body})
