"""The policies of approvals that hold here: of drfsm.toml, for the procedure that is started or planned.

A policy is what the file says; no flag and no variable makes it weaker. What the file leaves open is what
``policies.two_people`` and ``policies.approval_expires`` say, which have variables. Used by plan.py, approved_start.py
and prompts.py.
"""

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from drfsm.cli import typed
from drfsm.cli.config_keys import KEYS, seconds_of
from drfsm.errors import DrfsmError, UsageFault
from drfsm.evidence.approvals import Policy

if TYPE_CHECKING:
    from drfsm.cli.config_file import Config

_USUAL_HOURS = 24.0


def _config() -> "Config | None":
    """Return the file that the present command goes by. Raises UsageFault, DeclarationFault for one with faults."""
    from drfsm.cli.config_defaults import SOURCE

    context = click.get_current_context(silent=True)
    source = context.meta.get(SOURCE) if context is not None else None
    config: Config | None = source.config() if source is not None else None
    return config


def config_used() -> dict[str, str]:
    """Return the path and the SHA-256 of the drfsm.toml that the present command goes by; {} without one."""
    config = _config_of_a_start()
    return {"path": str(config.path), "sha256": config.sha256} if config is not None else {}


def policy_for(procedure: str) -> Policy | None:
    """Return the approvals that a procedure needs here, None for none. Raises as the file's readers do.

    A promote always needs one; its own row asks for that. Only what goes beyond it is a policy.
    """
    config = _config_of_a_start()
    return None if config is None else _policy(config, procedure)


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


def of_a_promote() -> Policy | None:
    """Return what a promote needs that this command may start: by itself, or as part of a drill that it resumes.

    Raises as ``policy_for``; of a verb on a run, which no fault of the file stops, nothing.
    """
    if not _is_on_a_run():
        return policy_for("promote")
    from drfsm.cli import config_file

    with suppress(DrfsmError):
        config = config_file.read()
        return _policy(config.checked(), "promote") if config is not None else None
    return None


def _config_of_a_start() -> "Config | None":
    """Return the file; None for a verb on a run, which goes on with what the run recorded."""
    return None if _is_on_a_run() else _config()


def _is_on_a_run() -> bool:
    from drfsm.cli.config_scope import ON_A_RUN

    context = click.get_current_context(silent=True)
    path = context.command_path.split() if context is not None else []
    return len(path) > 1 and path[1] in ON_A_RUN


def _is_of(path: str, procedure: str) -> bool:
    return path.startswith(f"policies.{procedure}.")


def _two_people(values: Any) -> bool:
    key = KEYS["policies.two_people"]
    said = os.environ.get(key.variable, "").lower()
    if said and said not in typed.WORDS:
        raise UsageFault(f"${key.variable} is {said!r}: say true or false", hint=f"unset {key.variable}")
    return typed.WORDS[said] if said else bool(values.get(key.path, False))


def _expires_seconds(values: Any) -> float:
    key = KEYS["policies.approval_expires"]
    if said := os.environ.get(key.variable, ""):
        try:
            hours = float(said)
        except ValueError:
            hours = 0.0
        if not 0 < hours <= 8784:  # noqa: PLR2004  a year
            raise UsageFault(f"${key.variable} is no number of hours", hint=f"unset {key.variable}")
        return hours * 3600
    return seconds_of(values[key.path]) if key.path in values else _USUAL_HOURS * 3600
