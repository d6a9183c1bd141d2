"""Turns the options of `drfsm failback` into the inputs of the machine.

Owns which options go together: every UsageFault of the command is raised here, before anything is made. The two tokens
are none of its matter. Called by failback.py and plan.py.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drfsm.cli.options import assignments, both_or_none, check_run_id, contract_of, endpoint_scope, new_workload_run_id
from drfsm.errors import UsageFault

TOKENS = ("confirm1", "confirm2")
_YES_OR_NO = (
    "gitops_paused", "allow_image_drift", "allow_degraded", "dr_unreachable", "adopt_ownership", "allow_tag",
)  # fmt: skip


def inputs_of(options: Mapping[str, Any], primary_run_id: str = "") -> dict[str, Any]:
    """Return the inputs of the run, without the tokens. ``primary_run_id``: of its validation; "": a new one."""
    contract = contract_of(options)
    check_run_id("--dr-run-id", options["dr_run_id"], contract)
    _check_combinations(options)
    inputs = {
        **options,
        **{name: "yes" if options[name] else "no" for name in _YES_OR_NO},
        "prefix": options["prefix"].strip("/"),
        "endpoints": endpoint_scope(contract),
        "missing_writes_accepted": "",
        "refresh_pull_secret": "asked" if options["refresh_pull_secret"] else "no",
        "validation_env": "\n".join(assignments(options["validation_env"], contract)),
        "alarms": "\n".join(name for alarm in options["alarms"] if (name := alarm.strip())),
        "fence_primary": "asked" if options["fence_primary"] else "none",
        "fence_dr": "asked" if options["fence_dr"] else "none",
        "primary_pod_answered_for": "",
        "primary_run_id": primary_run_id or new_workload_run_id(contract),
        "teardown": "true" if options["teardown"] else "false",
        "sync": both_or_none(options, "sync_src_prefix", "sync_dst_prefix"),
        "restore_check": "asked" if options["primary_restore_backup_uri"] else "none",
        "kubeconfig_dr": str(Path(options["kubeconfig_dr"]).absolute()),
        "kubeconfig_primary": str(Path(options["kubeconfig_primary"]).absolute()),
    }
    if not inputs["prefix"]:
        raise UsageFault(
            "--prefix is empty: a procedure owns one prefix of the bucket, never all of it", hint="add --prefix"
        )
    return inputs


def _check_combinations(options: Mapping[str, Any]) -> None:
    """Raise UsageFault for options that need another option."""
    for flag, role in (("fence_primary", "fence_primary_role"), ("fence_dr", "fence_dr_role")):
        if options[flag] and not options[role]:
            raise UsageFault(
                f"--{flag.replace('_', '-')} needs --{role.replace('_', '-')}", hint="name the IAM role that is fenced"
            )
    needs_reason = any(options[name] for name in ("dr_unreachable", "adopt_ownership", "allow_degraded"))
    if (needs_reason or options["soak"] == "none") and not options["reason"].strip():
        raise UsageFault(
            "--dr-unreachable, --adopt-ownership, --allow-degraded and --soak none need a --reason",
            hint="add --reason '…': the journal records it",
        )
    if options["dr_unreachable"] and not options["fence_dr_role"]:
        raise UsageFault(
            "--dr-unreachable needs --fence-dr-role: a site that cannot be frozen must be fenced",
            hint="name the IAM role with which DR publishes",
        )
