"""The file of a plan: written once under a digest, and read as what it is, a claim.

    FILE                          the plan as canonical JSON (sorted keys, no spaces), with ``sha256`` over the rest
    <home>/plans/<sha256>.made    empty: this machine made the plan with this digest
    <home>/plans/<run>.used       made once, by the start that uses the plan (reserved_plans.py)

The digest finds a file that was damaged or edited by mistake; it proves nobody's authorship, for whoever edits a plan
can compute it anew. So what leads to programs and credentials of this machine (``PLACES``) is taken from a plan that
this machine made, and from no other; and no plan carries tokens, approvals or a lease that is taken over. Used by
cli/plan.py and cli/plan_option.py.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from drfsm import claims
from drfsm.errors import ActionFailed, DrfsmError, EvidenceFault, Unreadable, UsageFault
from drfsm.files import Directory, give_file, given_file
from drfsm.resources import shipped
from drfsm.runs import bundle, mirrors, reserved_plans

LARGEST_BYTES = 4 << 20
SCHEMA_VERSION = 1
PLACES = ("kubeconfig", "kubeconfig_dr", "kubeconfig_primary", "terraform_dir", "endpoint_url", "receipt_dir")
"""Options that lead to files, programs and servers of the machine where a plan is made."""
IN_BUNDLE = "plan.json"
"""The copy in the bundle of the run that was started from it."""
_AGAIN = "make a new one: drfsm plan … --out FILE"


def canonical(plan: Mapping[str, Any]) -> bytes:
    """Return a plan's canonical JSON. Raises UsageFault for a text that is no Unicode (of a path, say)."""
    try:
        return json.dumps(plan, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise UsageFault(
            "an option holds bytes that are no UTF-8: a plan can't say it", hint="give files names in UTF-8"
        ) from None


def digest(plan: Mapping[str, Any]) -> str:
    """Return the SHA-256 over the canonical JSON of a plan, but for the digest that it carries."""
    return sha256(canonical({name: value for name, value in plan.items() if name != "sha256"})).hexdigest()


# --- writing --------------------------------------------------------------------------------------------------------


def check_target(path: Path) -> None:
    """Raise UsageFault where a plan may not be written: over anything but another plan, or in no directory."""
    if not path.parent.is_dir():
        raise UsageFault(f"--out: there is no directory {path.parent}", hint="make it, or name another file")
    if not os.path.lexists(path):
        return
    try:
        load(path, called="--out")
    except DrfsmError:
        raise UsageFault(
            f"--out: {path} is there, and is no plan: it is not overwritten", hint="name another file"
        ) from None


def save(path: Path, plan: Mapping[str, Any]) -> str:
    """Write a plan whole or not at all, for this user only, and remember that this machine made it.

    Returns its digest. Raises UsageFault as ``check_target`` does, DiskFault.
    """
    check_target(path)
    plan_digest = digest(plan)
    body = canonical({**plan, "sha256": plan_digest}) + b"\n"
    give_file(path, body, "the plan", overwrite=True)
    with bundle.own_home() as home:
        home.write(_made(plan_digest), b"", durable=True)
    return plan_digest


def made_here(plan: Mapping[str, Any]) -> bool:
    """Return whether this machine, for this user, made a plan."""
    if not bundle.home().is_dir():
        return False
    with Directory.look(bundle.home()) as home:
        return home.has(_made(str(plan["sha256"])))


def _made(plan_digest: str) -> str:
    return f"plans/{plan_digest}.made"


# --- reading --------------------------------------------------------------------------------------------------------


def load(path: str | Path, *, called: str = "--plan", procedure: str = "") -> dict[str, Any]:
    """Return the plan in a file, with its shape and its digest checked. ``procedure``: whose it must be.

    Raises UsageFault for what is no plan of this version, or of another procedure; EvidenceFault where the digest does
    not fit the content.
    """
    raw = given_file(path, called, LARGEST_BYTES)
    shown = claims.bounded(str(path))
    try:
        plan = claims.object_of(raw, f"the plan {shown}", largest_bytes=LARGEST_BYTES)
    except Unreadable as fault:
        raise UsageFault(f"{called}: {fault.what}", hint=_AGAIN) from None
    if plan.get("schema_version") != SCHEMA_VERSION or type(plan["schema_version"]) is not int:
        version = claims.bounded(str(plan.get("schema_version")), 40)
        raise UsageFault(
            f"{called}: {shown} is no plan of this version of drfsm (schema_version {version}, not {SCHEMA_VERSION})",
            hint=_AGAIN,
        )
    if digest(plan) != plan.get("sha256"):
        raise EvidenceFault(
            f"{called}: {shown} was changed since it was made: its digest does not fit its content", hint=_AGAIN
        )
    _check_shape(plan, called, shown)
    if procedure and plan["procedure"] != procedure:
        raise UsageFault(
            f"{called}: {shown} is the plan of a {plan['procedure']}, not of a {procedure}",
            hint=f"drfsm {plan['procedure']} --plan {shown}",
        )
    return plan


def in_bundle(place: Path) -> dict[str, Any] | None:
    """Return the plan that a bundle holds, None where there is none; {}, which no digest fits, for one that is none."""
    with Directory.look(place) as directory:
        text = directory.read(IN_BUNDLE, LARGEST_BYTES)
    try:
        return None if text is None else claims.object_of(text, IN_BUNDLE, largest_bytes=LARGEST_BYTES)
    except Unreadable:
        return {}


def _check_shape(plan: Mapping[str, Any], called: str, shown: str) -> None:
    """Raise UsageFault, naming the first fault, for what does not fit the schema, or can't be a run's name."""
    from drfsm.evidence.receipts import check

    schema = json.loads((shipped("receipts_schema") / "plan.schema.json").read_bytes())
    faults = check(plan, {**schema, "required": [*schema["required"], "sha256"]})
    run_id, own = plan.get("run_id"), f"{plan.get('procedure')}-"
    if not faults and not (claims.is_name("drfsm run", run_id) and str(run_id).startswith(own)):
        faults = [f"$.run_id: it is no run of a {plan['procedure']}"]
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise UsageFault(f"{called}: {shown} is no plan: {claims.bounded(faults[0])}{more}", hint=_AGAIN)


# --- using ----------------------------------------------------------------------------------------------------------


def check_unused(plan: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
    """Raise ActionFailed if a start has used a plan: on this machine, or on any that mirrors its records."""
    where = {**inputs, "prefix": mirrors.own_prefix(inputs)}
    mirrored = mirrors.has_mirror(where, str(plan["run_id"]))
    with _spent(plan):
        reserved_plans.refuse_used(_reserved(plan), mirrored=mirrored)


def use(plan: Mapping[str, Any], place: Path) -> None:
    """Use a plan up, and keep a copy of it in the new bundle. Raises ActionFailed if another start was first."""
    with _spent(plan):
        reserved_plans.use(str(plan["sha256"]), _reserved(plan))
    bundle.replace(place / IN_BUNDLE, canonical(plan) + b"\n")


def give_back(plan: Mapping[str, Any]) -> None:
    """Let a plan be used again. For whoever used it, and began nothing."""
    reserved_plans.give_back(_reserved(plan))


@contextmanager
def _spent(plan: Mapping[str, Any]) -> Iterator[None]:
    """Say of a used plan what its reader needs: it was no dry run that showed it."""
    try:
        yield
    except ActionFailed as fault:
        fault.what = f"this plan was used: {plan['run_id']} was started from it, and a plan is good for one start"
        fault.hint = f"see how that went: drfsm status {plan['run_id']}; or {_AGAIN}"
        raise


def _reserved(plan: Mapping[str, Any]) -> reserved_plans.Reserved:
    return reserved_plans.Reserved(str(plan["run_id"]), "")
