"""The approvals of a plan, as files beside it: written by whoever approves or declines, read by the start.

    PLAN.<12 hex digits>.approval.json     {statement, signature}: one person's yes or no; a signature is optional

A file is a claim: it is read strictly, and evidence/approvals.py judges what it says. It can be written on a computer
that reaches no site and no bucket, and sent; its place beside the plan is only how the start finds it. What counted is
recorded whole in the run's first record. Used by cli/approve_plan.py and cli/approved_start.py.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from drfsm import claims
from drfsm.adapters.ssh_signatures import SshSigner, allowed_signers_of, can_check, checks_by, signer_of
from drfsm.engine import SystemClock
from drfsm.errors import NotApproved, Unreadable, UsageFault
from drfsm.evidence.approvals import (
    SCHEMA_VERSION,
    Check,
    Fault,
    Judgement,
    Person,
    Policy,
    Signed,
    Subject,
    judge,
    message_of,
    policy_of,
    signed_by,
    start_message,
)
from drfsm.evidence.signatures import APPROVAL, RECORD
from drfsm.files import give_file, given_file
from drfsm.journal import RunState
from drfsm.journal.approval_types import APPROVAL as APPROVAL_SHAPE
from drfsm.journal.approval_types import GIVEN
from drfsm.runs import mirrors
from drfsm.runs.identity import process_owner

LARGEST_BYTES = 64 << 10
LARGEST_SIGNERS_BYTES = 32 << 10
MOST_FILES = 100
_SUFFIX = ".approval.json"
_AGAIN = "write it again: drfsm approve PLAN --ticket …"


def subject_of(plan: Mapping[str, Any]) -> Subject:
    """Return what approvals of a plan are of."""
    return Subject(str(plan["procedure"]), str(plan["run_id"]), str(plan["sha256"]))


# --- writing --------------------------------------------------------------------------------------------


def statement(of: Subject, decision: str, *, by: str, ticket: str, reason: str) -> dict[str, Any]:
    """Return what this person says of a plan, now. Raises UsageFault for words that are no UTF-8."""
    for option, text in (("--operator", by), ("--ticket", ticket), ("--reason", reason)):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UsageFault(f"{option} is no UTF-8 text: nobody could sign that", hint="type it again") from None
    return {
        "schema_version": SCHEMA_VERSION,
        "decision": decision,
        "procedure": of.procedure,
        "run_id": of.run_id,
        "plan_sha256": of.plan_sha256,
        "by": by,
        **process_owner(),
        "ticket": ticket,
        "reason": reason,
        "at": SystemClock().now(),
    }


def signed(said: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return a statement with its signature by a key's file, else by DRFSM_SIGNING_KEY, else without one.

    Raises UsageFault where the key can't be used.
    """
    signer = SshSigner(Path(key).absolute()) if key else signer_of()
    if signer is None:
        return {"statement": dict(said)}
    return {"statement": dict(said), "signature": signer.sign(APPROVAL, message_of(said)).decode("ascii")}


def save(beside: Path, out: Path | None, given: Mapping[str, Any]) -> Path:
    """Write an approval beside a plan, or to ``out``, for this user only; return where. Overwrites nothing.

    Raises UsageFault for a file that is there already, DiskFault.
    """
    body = json.dumps(given, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"
    path = out or beside.with_name(f"{beside.name}.{sha256(body).hexdigest()[:12]}{_SUFFIX}")
    try:
        give_file(path, body, "the approval")
    except FileExistsError:
        raise UsageFault(f"--out: {path} is there: it is not overwritten", hint="name another file") from None
    return path


# --- reading --------------------------------------------------------------------------------------------


def load(path: Path) -> dict[str, Any]:
    """Return what an approval's file says. Raises UsageFault for what is none."""
    raw = given_file(path, "--approval", LARGEST_BYTES)
    try:
        given = claims.object_of(raw, f"the approval {claims.bounded(str(path))}", largest_bytes=LARGEST_BYTES)
    except Unreadable as fault:
        raise UsageFault(fault.what, hint=_AGAIN) from None
    faults = list(GIVEN.undeclared(given, "it")) if GIVEN.fits(given) else ["a field is not of its type"]
    if faults or "statement" not in given:
        why = faults[0] if faults else "it has no statement"
        raise UsageFault(f"{claims.bounded(str(path))} is no approval: {why}", hint=_AGAIN)
    # Who signed is found out by whoever uses it: what the file says of that is nothing.
    return {name: given[name] for name in ("statement", "signature") if name in given}


def beside(plan: Path) -> Iterator[Path]:
    """Yield the files of approvals that lie beside a plan, by name."""
    start = f"{plan.name}."
    names = sorted(name for name in _names(plan.parent) if name.startswith(start) and name.endswith(_SUFFIX))
    if len(names) > MOST_FILES:
        raise UsageFault(
            f"{len(names)} approvals lie beside {claims.bounded(str(plan))}, and at most {MOST_FILES} are read",
            hint="remove those that are of no use",
        )
    yield from (plan.parent / name for name in names)


def _names(directory: Path) -> Iterator[str]:
    return (path.name for path in directory.iterdir())


def found(plan: Path, named: Sequence[str]) -> tuple[list[dict[str, Any]], list[Fault]]:
    """Return every approval that is named, or lies beside a plan, once; and what is wrong with files beside it.

    Raises UsageFault for a file that was named and is no approval.
    """
    given: list[dict[str, Any]] = []
    faults: list[Fault] = []
    for file in (*map(Path, named), *beside(plan)):
        try:
            each = load(file)
        except UsageFault as fault:
            if str(file) in named:
                raise
            faults.append(Fault("approval_unreadable", fault.what))
            continue
        if each not in given:
            given.append(each)
    return given, faults


# --- using ----------------------------------------------------------------------------------------------


def allowed_signers() -> str:
    """Return the text of the keys that are trusted here, "" where none is named. Raises UsageFault."""
    path = allowed_signers_of()
    if path is None:
        return ""
    try:
        return given_file(path, "the allowed signers", LARGEST_SIGNERS_BYTES).decode()
    except UnicodeDecodeError:
        raise UsageFault(f"the allowed signers {path} are no UTF-8 text", hint="save the file as UTF-8") from None


def checking() -> dict[str, Any]:
    """Return with what an audit checks signatures: ``signatures`` and ``allowed_signers``. Raises UsageFault."""
    return {"signatures": checks_by, "allowed_signers": allowed_signers()} if can_check() else {}


def allowed_for(policy: Policy) -> str:
    """Return the text of the keys that are trusted here. Raises UsageFault where a policy needs one, and none is."""
    allowed = allowed_signers()
    if policy.signed and not allowed.strip():
        raise UsageFault(
            "the policy asks for signed approvals, and no key is trusted here; nothing was begun",
            hint="name the file of the trusted keys: trust.allowed_signers of a drfsm.toml that DRFSM_CONFIG names, or"
            " DRFSM_ALLOWED_SIGNERS",
        )
    return allowed


def time_of(inputs: Mapping[str, Any]) -> tuple[str, str]:
    """Return the time by the store's clock and ``store``; where the store tells none, this computer's and ``machine``.

    Raises Unreachable.
    """
    store = mirrors.store_of(str(inputs["bucket"]), {name: str(inputs.get(name) or "") for name in _PLACES})
    store.stat(f"{str(inputs.get('prefix') or '').strip('/')}/drfsm/lease.json")
    now = store.now()
    return (SystemClock().now(), "machine") if now is None else (now.isoformat(timespec="seconds"), "store")


_PLACES = ("endpoint_url", "region")


def used(
    policy: Policy, of: Subject, given: Sequence[Mapping[str, Any]], *, operator: str, inputs: Mapping[str, Any]
) -> tuple[Judgement, dict[str, Any]]:
    """Return the judgement on approvals that a start uses now, and what its first record holds of them.

    Raises UsageFault for keys that can't be used, and where signatures are asked for and no key is trusted.
    """
    from drfsm.engine.runner import who  # not before: `replay` reads this module, and needs no runner

    allowed = allowed_for(policy)
    at, clock = time_of(inputs)
    name = operator or who()
    check = checks_by(allowed, at)
    start = start_signature(of, name, at, check) if policy.signed else {}
    person = Person(name, process_owner()["os_user"], Signed(start["signer"], start["key"]) if start else None)
    judgement = judge(policy, given, of=of, starter=person, at=at, check=check)
    pinned = {
        "policy": policy.json,
        "plan_sha256": of.plan_sha256,
        "judged_at": at,
        "clock": clock,
        **({"allowed_signers": allowed} if allowed else {}),
        **({"starter": start} if start else {}),
        "given": [dict(each) for each in judgement.counted],
    }
    return judgement, pinned


def asked_later(policy: Policy, run_id: str, operator: str) -> dict[str, Any]:
    """Return what a promote's first record holds of the approvals that it will wait for. Raises UsageFault."""
    from drfsm.engine.runner import who

    allowed, at = allowed_for(policy), SystemClock().now()
    of = Subject("promote", run_id, "")
    start = start_signature(of, operator or who(), at, checks_by(allowed, at)) if policy.signed else {}
    return {
        "policy": policy.json,
        "judged_at": at,
        "clock": "machine",
        **({"allowed_signers": allowed} if allowed else {}),
        **({"starter": start} if start else {}),
    }


# --- a promote, whose plan is approved after its start --------------------------------------------------


def judged_later(
    state: RunState, policy: Policy, given: Sequence[Mapping[str, Any]], *, plan_sha256: str, at: str
) -> Judgement:
    """Return the judgement on approvals of the plan that a promote waits with.

    Who started the run and which keys are trusted is what its first record says. ``at``: the time when the approvals
    are used, ISO 8601. Raises UsageFault where this computer can't check signatures.
    """
    check = checks_by(str(state.approval.get("allowed_signers") or ""), at)
    of = Subject(state.machine, state.run_id, plan_sha256)
    return judge(policy, given, of=of, starter=_starter(state, check), at=at, check=check)


def recorded_later(policy: Policy, judgement: Judgement, *, plan_sha256: str, at: str, clock: str) -> dict[str, Any]:
    """Return what the row ``approve`` records of the approvals that counted. ``clock``: ``store`` or ``machine``."""
    return {
        "policy": policy.json,
        "plan_sha256": plan_sha256,
        "judged_at": at,
        "clock": clock,
        "given": [dict(each) for each in judgement.counted],
    }


def held_to_policy(state: RunState, args: Mapping[str, Any], now: Callable[[], tuple[str, str]]) -> dict[str, Any]:
    """Return the arguments of a row ``approve`` that somebody else sent, with the approvals as they are judged here.

    What the arguments say of a policy, of signers and of times is a claim: only the approvals themselves are taken from
    them. Without a policy of the run there are none. ``now``: asks for the time and whose clock it is, as ``time_of``.
    Raises NotApproved where the approvals do not suffice, or the run's policy can't be read; UsageFault, Unreachable.
    """
    said, own = args.get("approval"), {name: value for name, value in args.items() if name != "approval"}
    if not state.approval.get("policy"):
        return own
    policy = policy_of(state.approval["policy"])
    if policy is None:
        raise NotApproved(
            "the promote may not be approved: the policy in its first record can't be read; nothing was recorded",
            [],
            hint=f"drfsm replay {state.run_id}; then start a new promote",
        )
    plan_sha256, (at, clock) = str(args.get("approved_plan") or ""), now()
    given = said["given"] if isinstance(said, Mapping) and APPROVAL_SHAPE.fits(said) else ()
    judgement = judged_later(state, policy, given, plan_sha256=plan_sha256, at=at)
    if not judgement.suffices:
        raise NotApproved(
            f"the promote may not be approved: its policy asks for {policy.words}; nothing was recorded:",
            [fault.words for fault in judgement.faults],
            hint="drfsm approve, with --execution-arn or the run, collects the approvals",
        )
    return {**own, "approval": recorded_later(policy, judgement, plan_sha256=plan_sha256, at=at, clock=clock)}


def _starter(state: RunState, check: Check) -> Person:
    """Return who started a run, as its first record proves it."""
    actor = next((actor for actor in state.actors if actor.did == "started"), None)
    of = Subject(state.machine, state.run_id, str(state.approval.get("plan_sha256") or ""))
    message = start_message(of, state.operator, str(state.approval.get("judged_at") or ""))
    signed = signed_by(state.approval.get("starter") or {}, message, RECORD, check)
    return Person(state.operator, (actor.proven if actor else {}).get("os_user") or {}, signed)


# --- pieces ---------------------------------------------------------------------------------------------


def start_signature(of: Subject, starter: str, at: str, check: Check) -> dict[str, Any]:
    """Return the signature of a start by this machine's key (DRFSM_SIGNING_KEY), and whose it is; {} without a key.

    Raises UsageFault where the key can't be used.
    """
    signer = signer_of()
    if signer is None:
        return {}
    message = start_message(of, starter, at)
    signature = signer.sign(RECORD, message)
    whose = check(RECORD, message, signature)
    if whose is None:
        return {}
    return {"signature": signature.decode("ascii"), "signer": whose.signer, "key": whose.key}


def check_suffices(judgement: Judgement, policy: Policy, more: Sequence[Fault], *, hint: str) -> None:
    """Raise NotApproved, with each reason, where approvals do not suffice."""
    if judgement.suffices:
        return
    raise NotApproved(
        f"the plan may not be started: the policy asks for {policy.words}; nothing was begun, the plan can still be"
        " used:",
        [fault.words for fault in (*judgement.faults, *more)],
        hint=hint,
    )
