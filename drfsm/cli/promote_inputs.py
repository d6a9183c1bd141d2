"""Turns the options of `drfsm promote` into the inputs of the machine.

Owns which options go together: every UsageFault of the command is raised here, before anything is made. A validation's
receipt fills in what the options leave open. Called by promote.py
and plan.py.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from attrs import asdict

from drfsm.cli.options import (
    assignments,
    check_run_id,
    contract_of,
    endpoint_scope,
    new_workload_run_id,
    policy_inputs,
)
from drfsm.cli.plan_option import Chosen
from drfsm.engine.runner import new_run_id
from drfsm.errors import ActionFailed, UsageFault
from drfsm.runs import reserved_plans
from drfsm.runs.canonical import canonical_run

ORCHESTRATORS = ("AWS_STEPFUNCTIONS_EXECUTION_ARN", "STEPFUNCTIONS_EXECUTION_ARN", "SFN_EXECUTION_ARN")
"""Environment variables by which an orchestrator says which of its executions this is; the first that is set."""
OF_RECEIPT = ("bucket", "prefix", "namespace", "candidate", "provider", "profile")
FLAGS = (
    "no_fence", "adopt_ownership", "gitops_paused", "allow_tag", "allow_image_drift", "allow_degraded",
    "primary_unreachable",
)  # fmt: skip


def check_immediate_approval(
    options: dict[str, Any], ticket: str, plan: str, plan_of: str, *, dry_run: bool, allow_older: bool
) -> None:
    """Raise UsageFault for options of an immediate approval that need or exclude another option."""
    if plan_of and not plan:
        raise UsageFault("--plan-of needs --plan", hint="give both, as the dry run printed them")
    if bool(ticket) != bool(plan):
        raise UsageFault(
            "--ticket and --plan go together", hint="give both to approve at once, or none and `drfsm approve` later"
        )
    if plan and dry_run:
        raise UsageFault("a dry run cannot be approved: it shows the plan", hint="leave out --ticket and --plan")
    if plan and not options["validation_receipt"]:
        raise UsageFault(
            "--plan needs --validation-receipt: a run that validates DR itself makes a new plan; no dry run shows it",
            hint="drfsm promote without --ticket and --plan, then `drfsm approve`; or `drfsm validate` first",
        )
    if allow_older and not plan:
        raise UsageFault("--allow-older is part of an approval", hint="give it with --plan, or to `drfsm approve`")


def check_combinations(options: dict[str, Any]) -> None:
    """Raise UsageFault for options that need or exclude another option."""
    lost, no_fence = options["primary_unreachable"], options["no_fence"]
    needs_reason = lost or no_fence or options["adopt_ownership"] or options["allow_degraded"]
    if needs_reason and not options["reason"].strip():
        raise UsageFault(
            "--primary-unreachable, --no-fence, --adopt-ownership and --allow-degraded need a --reason",
            hint="add --reason '…': the journal records it",
        )
    if no_fence and not lost:
        raise UsageFault(
            "--no-fence needs --primary-unreachable", hint="a primary that can be reached is frozen, not fenced"
        )
    if no_fence and options["fence_primary"]:
        raise UsageFault("--fence-primary and --no-fence exclude each other", hint="give one of them")
    if (options["fence_primary"] or (lost and not no_fence)) and not (
        options["fence_primary_role"] and options["fence_dr_role"]
    ):
        raise UsageFault(
            "a fence needs --fence-primary-role and --fence-dr-role: a role that both sites share would fence both",
            hint="name both roles; or, if a lost primary cannot be fenced, --no-fence --reason …",
        )
    if not lost and not options["kubeconfig_primary"]:
        raise UsageFault(
            "--kubeconfig-primary is missing: a promote stops the primary",
            hint="add --kubeconfig-primary PATH; or, if it cannot be reached, --primary-unreachable --reason …",
        )


def reserved_for(plan: Chosen | None) -> reserved_plans.Reserved:
    """Return the run that a file's plan is reserved for, and its nonce; without one, a new run's."""
    if plan is None:
        return reserved_plans.Reserved(new_run_id("promote"), uuid4().hex)
    return reserved_plans.Reserved(plan.run_id, plan.generated("plan_nonce"))


def planned_run_id(plan: Chosen | None, options: Mapping[str, Any]) -> str:
    """Return the id that a file's plan made up for the validation's run; "" where it is nobody's, or a receipt's."""
    return "" if plan is None or options["validation_receipt"] else plan.generated("dr_run_id")


def inputs_of(options: dict[str, Any], planned: reserved_plans.Reserved, validated_run_id: str = "") -> dict[str, Any]:
    """Return the inputs of the run: from the options, else from the receipt, else the usual values.

    ``validated_run_id``: the id of its own validation's run; "": a new one.
    """
    receipt_text, receipt = _receipt(options.pop("validation_receipt"), options.pop("expect_receipt"), options)
    contract = contract_of(options)
    usual = {**asdict(contract.defaults), "namespace": contract.kubernetes.namespace}
    for name in OF_RECEIPT:
        options[name] = options[name] or str(receipt.get(name) or usual.get(name, ""))
    options["prefix"] = options["prefix"].strip("/")
    if not options["bucket"]:
        raise UsageFault("no bucket is named", hint="add --bucket, or a receipt that names it")
    if not options["prefix"]:
        raise UsageFault(
            "--prefix is empty: a procedure owns one prefix of the bucket, never all of it", hint="add --prefix"
        )
    if not receipt and options["dr_run_id"]:
        raise UsageFault(
            "--dr-run-id names a validated run, and its receipt is missing",
            hint="add --validation-receipt, or leave it out",
        )
    for what, run_id in (
        ("--dr-run-id", options["dr_run_id"]),
        ("the receipt's run", str(receipt.get("run_id") or "")),
    ):
        if run_id:
            check_run_id(what, run_id, contract)
    lost = options["primary_unreachable"]
    fenced = options["fence_primary"] or (lost and not options["no_fence"])
    return {
        **{name: value for name, value in options.items() if name != "two_people"},
        **{name: "yes" if options[name] else "no" for name in FLAGS},
        "taker": "dr",
        "target": "canonical",
        "primary_run_id": canonical_run(options),
        "dr_run_id": options["dr_run_id"]
        or str(receipt.get("run_id") or validated_run_id or new_workload_run_id(contract)),
        "staged_prefix": str(receipt.get("staged_prefix") or f"{options['prefix']}/promotes/{planned.run_id}"),
        "validation": "receipt" if receipt else "own",
        "validation_receipt": receipt_text,
        "image_ref": options["image_ref"] or str(receipt.get("image") or ""),
        "rehearses": "",
        "auto_promote": "false",  # a drill's flags; a promote that a person starts waits for an approval
        "allow_promote_bypass": "false",
        "approved_plan": "",
        "approved_by": "",
        "approved_at": "",
        "plan_run": planned.run_id,
        "plan_nonce": planned.nonce,
        **policy_inputs(options),
        "ticket": "",
        "allow_older": "no",
        "endpoints": endpoint_scope(contract),
        "missing_writes_accepted": "",
        "refresh_pull_secret": "asked" if options["refresh_pull_secret"] else "no",
        "fence_primary": "asked" if fenced else "none",
        "validation_env": "\n".join(assignments(options["validation_env"], contract)),
        "execution_id": options["execution_id"]
        or next((os.environ[name] for name in ORCHESTRATORS if os.environ.get(name)), ""),
        "kubeconfig_dr": str(Path(options["kubeconfig_dr"]).absolute()),
        "kubeconfig_primary": str(Path(options["kubeconfig_primary"]).absolute())
        if options["kubeconfig_primary"]
        else "",
    }


def orchestrated(options: dict[str, Any], ticket: str) -> tuple[str, str]:
    """Return the execution of --execution-arn and the place of --receipts, and let the run record the execution.

    Raises UsageFault for an ARN that is none, and for options that don't go together.
    """
    from drfsm.adapters.executions import execution_arn

    arn, receipts = options.pop("execution_arn"), options.pop("receipts")
    if receipts and not arn:
        raise UsageFault("--receipts needs --execution-arn", hint="name the execution")
    if arn and options["execution_id"]:
        raise UsageFault("--execution-arn and --execution-id exclude each other", hint="give the ARN alone")
    if arn and ticket:
        raise UsageFault(
            "an execution is told of an approval by `drfsm approve --execution-arn`, not by --ticket and --plan",
            hint="leave --ticket and --plan out, then approve",
        )
    options["execution_id"] = execution_arn(arn, "", "") if arn else options["execution_id"]
    return arn, receipts


def held_against(arn: str, receipts: str, inputs: dict[str, Any]) -> list[str]:
    """Return in words what of an orchestrator's claims is so: its machine, its backup, its phases' receipts.

    Raises ActionFailed for what is not so, and for an execution of another account or region: nothing was begun.
    """
    from drfsm.adapters import aws
    from drfsm.adapters.aws_session import Services
    from drfsm.adapters.executions import Executions, parts_of
    from drfsm.dr.terms import terms_of
    from drfsm.dr.validation import parsed
    from drfsm.runs import orchestrator_receipts

    region = parts_of(arn)["region"]
    endpoint_url = inputs["endpoint_url"] or None
    account = aws.connect(bucket=inputs["bucket"], endpoint_url=endpoint_url, region=inputs["region"] or region)
    for what, theirs, ours in (
        ("account", parts_of(arn)["account"], account.identity.account()),
        ("region", region, account.identity.region()),
    ):
        if theirs != ours:
            raise ActionFailed(
                f"the execution {arn} is of the {what} {theirs}, and this command works in {ours}; nothing was begun",
                hint=f"use credentials and a --region of that {what}",
                fault="operator",
            )
    executions = Executions(Services(endpoint_url, region))
    said = orchestrator_receipts.claims_of(executions, arn, account.store, receipts)
    receipt = inputs["validation_receipt"]
    return orchestrator_receipts.check(
        said,
        store=account.store,
        infrastructure=account.infrastructure,
        tags=terms_of(inputs).workload.runners.tags,
        validated_backup=str((parsed(receipt).get("backup") or {}).get("uri") or "") if receipt else "",
    )


def _receipt(source: str, expected_sha256: str, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the receipt that --validation-receipt names, as its text and as its content; empty without that option."""
    from drfsm.runs import validation_receipts

    if not source:
        return "", {}
    try:
        return validation_receipts.named(source, options, expected_sha256)
    except UsageFault as fault:
        fault.what = f"--validation-receipt: {fault.what}"
        raise
