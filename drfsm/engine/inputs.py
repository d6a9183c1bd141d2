"""What a person hands to a run: inputs and arguments, checked before anything is recorded or moved.

Raises UsageFault, naming every fault at once. Called by runner.py, and by runs/ before a run is begun.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from drfsm.errors import UsageFault
from drfsm.journal import exact
from drfsm.spec.model import By, MachineSpec


def check_inputs(spec: MachineSpec, inputs: Mapping[str, Any]) -> None:
    """Raise UsageFault, naming all of them, for inputs that the machine lacks, doesn't know or doesn't allow."""
    limits = {row.wait.limit for row in spec.rows if row.wait and isinstance(row.wait.limit, str)}
    counts = {count for row in spec.rows for count in (row.attempts.max, row.rounds) if isinstance(count, str)}
    faults = [f"{name} is missing" for name in spec.inputs if name not in inputs]
    faults += [f"{name} is not an input of {spec.name}" for name in inputs if name not in spec.inputs]
    faults += [
        f"{name} is {inputs[name]!r}, which must be one of {', '.join(declared.values)}"
        for name, declared in spec.inputs.items()
        if name in inputs and declared.values and str(inputs[name]) not in declared.values
    ]
    faults += [
        f"{name} is {inputs[name]!r}, which must be a number of seconds, 0 or more"
        for name in spec.inputs
        if name in limits and name in inputs and not _is_seconds(inputs[name])
    ]
    faults += [
        f"{name} is {inputs[name]!r}, which must be a whole number, 1 or more"
        for name in spec.inputs
        if name in counts and name in inputs and not _is_count(inputs[name])
    ]
    if faults:
        raise UsageFault(f"{spec.name} can't start: {'; '.join(faults)}")


def check_amendments(
    spec: MachineSpec, state: str, inputs: Mapping[str, Any], trigger: str, args: Mapping[str, Any]
) -> None:
    """Raise UsageFault, naming all of them, where a row that amends inputs lacks them, or may not set them so."""
    for row in spec.rows_from(state, inputs, By.OPERATOR):
        if row.trigger == trigger and row.amends:
            check_inputs(spec, {**inputs, **{name: args[name] for name in row.amends if name in args}})
            if missing := [name for name in row.amends if name not in args]:
                raise UsageFault(
                    f"{trigger} replaces {', '.join(row.amends)}, and {', '.join(missing)} is missing",
                    hint=f"drfsm request {trigger} " + " ".join(f"--arg {name}=…" for name in missing),
                )


def recordable(what: str, values: Mapping[str, Any]) -> Any:
    """Return what a person gave as a record will give it back. Raises UsageFault for what JSON can't say."""
    try:
        return exact(values)
    except ValueError as fault:
        raise UsageFault(f"the {what} can't be written down: {fault}") from None


def _is_seconds(value: Any) -> bool:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return False
    return isfinite(number) and number >= 0


def _is_count(value: Any) -> bool:
    try:
        return int(str(value)) >= 1
    except ValueError:
        return False
