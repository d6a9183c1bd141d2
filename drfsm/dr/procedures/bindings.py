"""The bindings of the shipped machines by name; each is put together in the module of the machine's name.

Owns ``INPUT_DEFAULTS``: what stands for an input that a machine got after 0.1.0, in a run that was started before.
A new input needs a line here, for older runs, and one in ``drfsm.dr.terms``, by which facts and actions read it.
"""

import importlib
from collections.abc import Mapping
from typing import Any

from attrs import evolve

from drfsm.engine import Binding
from drfsm.errors import UsageFault

MACHINES = ("drill", "promote", "failback")

INPUT_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "drill": {
        "require_state": "no",
        "refresh_pull_secret": "no",
        "workload": "",  # the contract that was in the code, whatever it became since
        "expect_backup_sha256": "",
        "allow_in_backup": "",
        "deployments": "as_backed_up",  # what 0.1.0 restored is as good as restored
        "approval_expires": 24,
        "approval_distinct": "no",
    },
    "promote": {
        "refresh_pull_secret": "no",
        "workload": "",
        "comparison_profile": "",
        # Without a nonce the plan is that of 0.1.0: it names no run.
        "approved_at": "",
        "plan_run": "",
        "plan_nonce": "",
        "approval_expires": 24,
        "approval_distinct": "no",
        "allow_degraded": "no",
        "endpoints": "none",
        "missing_writes_accepted": "",
    },
    "failback": {
        "refresh_pull_secret": "no",
        "workload": "",
        "comparison_profile": "",
        "allow_degraded": "no",
        "endpoints": "none",
        "missing_writes_accepted": "",
    },
}
"""Machine -> input -> its value in a run whose declaration does not name it: so that nothing changes for that run."""


def binding(machine: str) -> Binding:
    """Return the facts and actions of a shipped machine. Raises UsageFault for any other."""
    if machine not in MACHINES:
        raise UsageFault(f"drfsm ships no machine {machine!r}", hint=f"one of {', '.join(MACHINES)}")
    shipped: Binding = importlib.import_module(f"drfsm.dr.procedures.{machine}").binding()
    return evolve(shipped, defaults=INPUT_DEFAULTS[machine])


def with_defaults(machine: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's inputs, together with those that its version did not know yet."""
    return {**INPUT_DEFAULTS.get(machine, {}), **inputs}
