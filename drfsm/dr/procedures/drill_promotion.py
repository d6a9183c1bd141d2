"""The promote of a drill: a run of its own, in the drill's bundle, rehearsed below the drill's prefix or canonical.

Owns what the promote is started with, and how the drill sees it stand: two facts and two actions of
machines/drill.yaml. Moves nothing by itself: the promote machine moves what is moved, and asks a person where that is
canonical. Bound by drill.py.
"""

from collections.abc import Mapping
from shlex import quote
from typing import Any
from uuid import uuid4

from drfsm.dr.endpoints import declared
from drfsm.dr.terms import terms_of
from drfsm.dr.validation import receipt as validation_receipt
from drfsm.engine import Act, Fact, Run
from drfsm.errors import ActionFailed, UsageFault
from drfsm.world import Procedures, World

PROMOTE = "promote"  # the machine, and the name of its run in the drill's bundle
_ENDED_BADLY = ("failed", "refused", "aborted")


def _procedures(world: World) -> Procedures:
    if world.procedures is None:
        raise UsageFault("no other procedure can be started from here")
    return world.procedures


def promote_inputs(world: World, run: Run) -> dict[str, str]:
    """Return what the promote is started with: below the drill's own prefix, or, asked for, at the canonical one."""
    terms = terms_of(run.inputs)
    given, canonical = terms.recorded, terms.promotes_canonical
    same = (
        "workload", "bucket", "namespace", "candidate", "provider", "profile", "cronjob", "cronjob_selector",
        "configmap", "taker",
        "primary_run_id", "dr_run_id", "staged_prefix", "auto_promote", "allow_promote_bypass", "image_ref",
        "allow_tag", "validation_env", "validation_timeout", "startup_timeout", "expect_account", "endpoint_url",
        "region",
    )  # fmt: skip
    only_canonical = {
        "primary_unreachable": "no", "fence_primary": "none", "fence_primary_role": "", "fence_dr_role": "",
        "no_fence": "no", "reason": "", "kubeconfig_primary": "", "resume_cronjobs": "",
    }  # fmt: skip
    own = {name: str(given(name)) if canonical else usual for name, usual in only_canonical.items()}
    return {
        **{name: str(given(name)) for name in same},
        **own,
        "prefix": str(given("prefix")) if canonical else f"{given('journal_prefix')}/rehearsal",
        "target": "canonical" if canonical else "drill",
        "rehearses": "" if canonical else str(given("prefix")),
        "validation": "receipt",
        "validation_receipt": terms.validation_receipt or _own_receipt(world, run),
        "comparison_profile": "",
        "refresh_pull_secret": "no",  # the drill did that
        "approved_plan": "", "approved_by": "", "approved_at": "", "ticket": "", "allow_older": "no",
        "plan_run": "", "plan_nonce": uuid4().hex,
        "approval_expires": str(given("approval_expires") or "24"),
        "approval_distinct": str(given("approval_distinct") or "no"),
        "adopt_ownership": "no", "allow_image_drift": "no", "allow_degraded": "no",
        "missing_writes_accepted": "",
        "gitops_paused": "no",
        "endpoints": declared.scope_of(terms.workload, rehearsal=not canonical),
        "execution_id": "", "drain_timeout": "300",
        "kubeconfig_dr": str(given("kubeconfig_dr")),
    }  # fmt: skip


def _own_receipt(world: World, run: Run) -> str:
    key = f"{terms_of(run.inputs).staged(run.id).prefix}/{validation_receipt.FILE_NAME}"
    blob = world.store.get(key)
    if blob is None:
        raise ActionFailed(f"the validation's receipt is not at s3://{world.store.bucket}/{key}", hint="drfsm resume")
    return blob.body.decode()


def _run_promotion(world: World, run: Run) -> dict[str, Any]:
    canonical = terms_of(run.inputs).promotes_canonical
    world.dr.uid()  # BEFORE the promote needs it: where this machine lacks the site's kubeconfig it is fetched for both
    promote = _procedures(world).run(PROMOTE, PROMOTE, promote_inputs(world, run), "live" if canonical else "drill")
    run.check()
    run.note(f"the promote {promote['run_id']} is {promote['status']} in {promote['state']}")
    return dict(promote)


def _finish_promotion(world: World, run: Run) -> dict[str, Any]:
    """Go on with the promote unless it is complete. Raises ActionFailed where it waits for a person, or failed."""
    promote = _procedures(world).look(PROMOTE)
    if promote is None or promote["status"] != "complete":
        promote = _run_promotion(world, run)
    if promote["status"] == "complete":
        return dict(promote)
    ended = promote["status"] in _ENDED_BADLY
    message = f"the promote {promote['run_id']} {'ended' if ended else 'is'} {promote['status']} in {promote['state']}"
    named = quote(str(promote["run_id"]))
    hint = f"drfsm status {named}" if ended else f"drfsm approve {named} …, then drfsm resume"
    raise ActionFailed(f"{message}: {promote['reason']}. Next: {promote.get('way') or hint}", hint=hint, final=ended)


def _observe_promotion(world: World, _run: Run) -> dict[str, Any]:
    promote = _procedures(world).look(PROMOTE)
    return {"run_id": None, "status": None} if promote is None else dict(promote)


def _judge_promotion(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str:
    if seen["run_id"] is None:
        return "absent"
    if seen["status"] == "complete":
        return "complete"
    return "failed" if seen["status"] in _ENDED_BADLY else "waiting"


FACTS: Mapping[str, Fact] = {
    "promotion_run": Fact(_observe_promotion, lambda seen, _: "absent" if seen["run_id"] is None else "present"),
    "promotion": Fact(_observe_promotion, _judge_promotion),
}
ACTIONS: Mapping[str, Act] = {"run_promotion": _run_promotion, "finish_promotion": _finish_promotion}
