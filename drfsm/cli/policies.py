"""The policies of approvals that hold here: of drfsm.toml, for the procedure that is started or planned.

A policy is what the file says; no flag and no variable makes it weaker. What the file leaves open is what
``policies.two_people`` and ``policies.approval_expires`` say; a variable only tightens what the file states of these.
Used by plan.py, approved_start.py and prompts.py.
"""

import os
from typing import TYPE_CHECKING, Any

import click

from drfsm.cli import typed
from drfsm.cli.config_keys import KEYS, PROCEDURES_WITH_POLICY, seconds_of
from drfsm.errors import DrfsmError, UsageFault
from drfsm.evidence.approvals import Policy

if TYPE_CHECKING:
    from drfsm.cli.config_file import Config

_USUAL_HOURS = 24.0


def config_here() -> "Config | None":
    """Return the file that the present command goes by, None without one.

    Raises UsageFault, DeclarationFault for one with faults; of a verb on a run, which no fault of the file stops,
    there is none then. What such a verb starts (a drill's promote, a worker's run) goes by it.
    """
    from drfsm.cli import config_file
    from drfsm.cli.config_defaults import SOURCE
    from drfsm.cli.config_scope import ON_A_RUN

    context = click.get_current_context(silent=True)
    words = context.command_path.split() if context is not None else []
    if len(words) > 1 and words[1] in ON_A_RUN:
        try:
            found = config_file.read()
            return found.checked() if found is not None else None
        except DrfsmError:
            if words[1] == "worker":  # it begins runs
                raise
            return None
    source = context.meta.get(SOURCE) if context is not None else None
    config: Config | None = source.config() if source is not None else None
    return config


def recorded(config: "Config | None") -> dict[str, str]:
    """Return what a run records of the file: its path and its SHA-256; {} without one."""
    return {"path": str(config.path), "sha256": config.sha256} if config is not None else {}


def all_of(config: "Config | None") -> dict[str, Policy]:
    """Return every policy of a file: procedure -> policy."""
    held = {name: _policy(config, name) for name in PROCEDURES_WITH_POLICY} if config is not None else {}
    return {name: policy for name, policy in held.items() if policy is not None}


def policy_for(procedure: str) -> Policy | None:
    """Return the approvals that a procedure needs here, None for none. Raises as ``config_here``.

    A promote always needs one; its own row asks for that. Only what goes beyond it is a policy.
    """
    return all_of(config_here()).get(procedure)


def _policy(config: "Config", procedure: str) -> Policy | None:
    values = {path.rpartition(".")[2]: value for path, value in config.values.items() if _is_of(path, procedure)}
    if not values:
        return None
    distinct, expires = values.get("distinct"), values.get("expires")
    return Policy(
        approvals=int(values.get("approvals", 1)),
        distinct=_two_people(config.values) if distinct is None else bool(distinct),
        expires_seconds=_expires_seconds(config.values) if expires is None else seconds_of(expires),
        signed=bool(values.get("signed", False)),
    )


def _is_of(path: str, procedure: str) -> bool:
    return path.startswith(f"policies.{procedure}.")


def _two_people(values: Any) -> bool:
    key = KEYS["policies.two_people"]
    said = os.environ.get(key.variable, "").lower()
    if said and said not in typed.WORDS:
        raise UsageFault(f"${key.variable} is {said!r}: say true or false", hint=f"unset {key.variable}")
    stated = bool(values.get(key.path, False))
    return stated or bool(said and typed.WORDS[said])


def _expires_seconds(values: Any) -> float:
    key = KEYS["policies.approval_expires"]
    stated = seconds_of(values[key.path]) if key.path in values else _USUAL_HOURS * 3600
    if said := os.environ.get(key.variable, ""):
        try:
            hours = float(said)
        except ValueError:
            hours = 0.0
        if not 0 < hours <= 8784:  # noqa: PLR2004  a year
            raise UsageFault(f"${key.variable} is no number of hours", hint=f"unset {key.variable}")
        return min(hours * 3600, stated) if key.path in values else hours * 3600
    return stated
