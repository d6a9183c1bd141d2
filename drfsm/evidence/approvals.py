"""When the approvals of a plan suffice: one rule, for whoever uses them and for the audit that judges them again.

An approval is a statement (``STATEMENT`` of journal/approval_types.py): this person approves the plan with this digest,
of this run, under this ticket, at this time. A policy says how many are needed, of how many persons, how old they may
be, whether the person who starts counts, and whether a name suffices or a trusted key must have signed.

Who is who: of a signed approval the key and the name under which it is trusted; of one that is not signed the name and
the user of the computer where it was written. Persons who share one of these are one person. Where a policy asks for
signatures and for another person than the starter, the start is signed, too: a name that the environment gives proves
nothing.

A no (``decline``) of the plan stops every start from it. Pure: a ``Check`` is handed in. Nothing here looks at a clock.
"""

import base64
import binascii
import json
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from attrs import frozen

from drfsm.claims import bounded, moment, seconds_between
from drfsm.evidence.signatures import APPROVAL
from drfsm.journal import RunState
from drfsm.journal.approval_types import APPROVAL as APPROVAL_SHAPE

Json = Mapping[str, Any]
SKEW_SECONDS = 300  # between two clocks
SCHEMA_VERSION = 1
APPROVE, DECLINE = "approve", "decline"
_CERTIFICATE = b"-cert-v01@openssh.com"
_KEY_FIELDS = {b"ssh-ed25519": 1, b"ecdsa-sha2-": 2, b"ssh-rsa": 2, b"sk-ssh-ed25519": 2, b"sk-ecdsa-sha2-": 3}
"""Type of a key, as it begins -> number of its fields (RFC 4253, 5656, 8709; PROTOCOL.u2f)."""
_TEXTS = ("decision", "procedure", "run_id", "plan_sha256", "by", "reason", "ticket", "at")

# code -> (what it means, what to do)
CODES: Mapping[str, tuple[str, str]] = {
    "approvals_missing": (
        "Fewer valid approvals of the plan stand than the policy asks for",
        "have it approved: drfsm approve PLAN --ticket ..., by as many persons as are missing",
    ),
    "approval_unreadable": (
        "A file is no approval, or lacks a field",
        "write it again: drfsm approve PLAN --ticket ...",
    ),
    "approval_of_another_plan": (
        "The approval names another plan, another run or another procedure",
        "approve the plan that is to be done: drfsm approve PLAN --ticket ...",
    ),
    "approval_expired": (
        "The approval is older than the policy allows",
        "look at the plan again and approve it anew: drfsm approve PLAN --ticket ...",
    ),
    "approval_from_the_future": (
        "The approval's time lies ahead: it would never expire",
        "set the clock of the computer where it was written, and approve anew",
    ),
    "approval_by_starter": (
        "The person who starts the run gave the approval, and the policy asks for another person",
        "let somebody else approve, or somebody else start",
    ),
    "approval_repeated": (
        "The same person, key or user of the computer approved before: it counts once",
        "let somebody else approve, on an account of their own",
    ),
    "approval_not_signed": (
        "The policy asks for signatures, and the approval has none",
        "approve with a key: drfsm approve PLAN --ticket ... --key ~/.ssh/id_ed25519",
    ),
    "approval_signature_wrong": (
        "The signature does not fit the approval: one of them was changed, or it was signed for something else",
        "approve anew with the key; find out who changed the file",
    ),
    "approval_signer_unknown": (
        "The signature fits, and nobody trusts the key: trust.allowed_signers does not name it",
        "if the person may approve, add the public key to the file of allowed signers",
    ),
    "plan_declined": (
        "A person declined the plan: no run may be started from it",
        "see the reason, and make a new plan: drfsm plan ... --out FILE",
    ),
    "start_not_signed": (
        "The policy asks for signatures by others than the starter, and no trusted key signed the start",
        "export DRFSM_SIGNING_KEY=~/.ssh/id_ed25519, and let trust.allowed_signers name that key",
    ),
}
"""What can be wrong with approvals. `drfsm explain CODE` says it; an audit's finding begins with the code."""


def page_table() -> str:
    """Return the table of docs/approvals.md."""
    rows = [f"| `{code}` | {means} | {to_do} |" for code, (means, to_do) in CODES.items()]
    return "\n".join(["| code | means | what to do |", "|---|---|---|", *rows]) + "\n"


# --- values -------------------------------------------------------------------------------------------------------


@frozen
class Policy:
    """What a procedure's start needs. ``expires_seconds``: how old an approval may be when the run starts."""

    approvals: int
    distinct: bool
    expires_seconds: float
    signed: bool

    @property
    def json(self) -> dict[str, Any]:
        """As records and plans carry it."""
        return {
            "approvals": self.approvals,
            "distinct": self.distinct,
            "expires_seconds": self.expires_seconds,
            "signed": self.signed,
        }

    @property
    def words(self) -> str:
        """What it asks for, in words."""
        count = "1 approval" if self.approvals == 1 else f"{self.approvals} approvals by {self.approvals} persons"
        signed = ", each signed by a trusted key" if self.signed else ""
        distinct = ", none of them the person who starts" if self.distinct and self.approvals > 1 else ""
        distinct = ", not by the person who starts" if self.distinct and self.approvals == 1 else distinct
        return f"{count}{signed}{distinct}, at most {self.expires_seconds / 3600:g} hours old"


def policy_of(value: Any) -> Policy | None:
    """Return the policy that a record or a plan carries, None for what is none."""
    if not isinstance(value, Mapping):
        return None
    approvals, seconds = value.get("approvals"), value.get("expires_seconds")
    whole = isinstance(approvals, int) and not isinstance(approvals, bool) and approvals > 0
    timed = isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds > 0
    if not (whole and timed) or not all(isinstance(value.get(name), bool) for name in ("distinct", "signed")):
        return None
    return Policy(value["approvals"], value["distinct"], float(value["expires_seconds"]), value["signed"])


@frozen
class Subject:
    """What is approved: a plan of one run of one procedure, by its digest."""

    procedure: str
    run_id: str
    plan_sha256: str


@frozen
class Signed:
    """A signature that fits its message. ``signer``: the name under which the key is trusted, "" where it is not."""

    signer: str
    key: str


@frozen
class Person:
    """Who started a run. ``os_user`` {uid, name, host}; ``signed``: by the signature of ``start_message``."""

    name: str
    os_user: Json
    signed: Signed | None = None


Check = Callable[[str, bytes, bytes], Signed | None]
"""(namespace, message, signature) -> what is known of who signed; None where the signature does not fit."""


@frozen
class Fault:
    """Why an approval, or all of them, do not count. ``code`` is one of ``CODES``."""

    code: str
    what: str

    @property
    def words(self) -> str:
        """The code, and what it is about."""
        return f"{self.code}: {self.what}"


@frozen
class Judgement:
    """The approvals that count, each with its signer and key, and what is wrong with the others or with them all."""

    counted: tuple[Json, ...]
    faults: tuple[Fault, ...]

    @property
    def suffices(self) -> bool:
        """Whether the run may start. An approval that does not count stops nothing by itself."""
        stops = ("approvals_missing", "plan_declined", "start_not_signed")
        return not any(fault.code in stops for fault in self.faults)


# --- bytes --------------------------------------------------------------------------------------------------------


def message_of(statement: Json) -> bytes:
    """Return what a signature of a statement covers: its canonical JSON; likewise the bytes that a digest is of."""
    return json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    )


def start_message(subject: Subject, starter: str, at: str) -> bytes:
    """Return what the signature of a start covers. ``at``: when the approvals were judged."""
    return message_of(
        {
            "starts": subject.plan_sha256,
            "procedure": subject.procedure,
            "run_id": subject.run_id,
            "operator": starter,
            "at": at,
        }
    )


def key_of(signature: bytes) -> str:
    """Return the fingerprint (``SHA256:...``) of the key in an armoured signature of ssh-keygen; "" for no such."""
    lines = signature.decode("ascii", "replace").strip().splitlines()
    try:
        blob = base64.b64decode("".join(lines[1:-1]), validate=True)
    except (ValueError, binascii.Error):
        return ""
    if blob[:6] != b"SSHSIG" or len(blob) < 14:  # noqa: PLR2004  PROTOCOL.sshsig: magic, version, length of the key
        return ""
    length = int.from_bytes(blob[10:14], "big")
    key = blob[14 : 14 + length]
    if not key or len(key) != length:
        return ""
    plain = _without_certificate(key)
    return f"SHA256:{base64.b64encode(sha256(plain).digest()).decode().rstrip('=')}" if plain else ""


def _without_certificate(key: bytes) -> bytes:
    """Return a public key in SSH's encoding, of a certificate the key inside it; empty for what is none.

    PROTOCOL.certkeys: the type, a nonce, then the fields of the key. One key with several certificates is one key.
    """
    kind, rest = _field(key)
    if not kind.endswith(_CERTIFICATE):
        return key
    plain = kind.removesuffix(_CERTIFICATE)
    if plain.startswith(b"sk-"):
        plain += b"@openssh.com"
    _nonce, rest = _field(rest)
    fields = next((number for name, number in _KEY_FIELDS.items() if plain.startswith(name)), 0)
    values = []
    for _ in range(fields):
        value, rest = _field(rest)
        values.append(value)
    return b"".join(len(part).to_bytes(4, "big") + part for part in (plain, *values)) if all(values) and fields else b""


def _field(data: bytes) -> tuple[bytes, bytes]:
    """Return the first field of SSH's encoding and what follows it; nothing twice where it is cut short."""
    end = 4 + int.from_bytes(data[:4], "big")
    return (data[4:end], data[end:]) if 4 < end <= len(data) else (b"", b"")  # noqa: PLR2004  a length has 4 bytes


# --- the rule -----------------------------------------------------------------------------------------------------


def judge(
    policy: Policy, given: Sequence[Json], *, of: Subject, starter: Person, at: str, check: Check | None
) -> Judgement:
    """Return which of these approvals count towards a policy, and what is wrong with the others.

    ``given``: {statement, signature, ...} each; ``at``: when they are used. ``check`` None: signatures are taken as
    they were judged before, by the signer and the key that stand beside them.
    """
    counted: list[Json] = []
    faults: list[Fault] = []
    own = _persons(starter.name, starter.os_user, starter.signed if policy.signed else None)
    if policy.distinct and policy.signed and not (starter.signed and starter.signed.signer):
        faults.append(Fault("start_not_signed", f"by {bounded(starter.name)}"))
    seen: set[tuple[str, str]] = set()
    for each in given:
        signed = signed_by(each, message_of(_statement(each)), APPROVAL, check)
        fault = _fault(policy, each, signed, of, at)
        persons = _persons(
            _statement(each).get("by"), _statement(each).get("os_user"), signed if policy.signed else None
        )
        fault = fault or _of_person(policy, each, signed, persons & own, persons & seen)
        if fault is not None:
            faults.append(fault)
            continue
        seen |= persons
        counted.append({**each, **({"signer": signed.signer, "key": signed.key} if signed else {})})
    if len(counted) < policy.approvals:
        needed = f"{policy.approvals} needed, {len(counted)} valid"
        faults.append(Fault("approvals_missing", f"{needed}; the policy asks for {policy.words}"))
    return Judgement(tuple(counted), tuple(faults))


def signed_by(signature: Json, message: bytes, namespace: str, check: Check | None) -> Signed | None:
    """Return who signed a message, None where nobody did, or the signature does not fit.

    ``signature``: {signature, signer, key}. Without a ``check``, who is said there to have signed.
    """
    text = _signature(signature)
    if not text:
        return None
    if check is None:
        return Signed(str(signature.get("signer") or ""), str(signature.get("key") or ""))
    return check(namespace, message, text.encode("utf-8", "replace"))


def _of_person(policy: Policy, each: Json, signed: Signed | None, own: Any, again: Any) -> Fault | None:
    """Return why a statement that holds does not count: it is a no, the starter's, or the second of one person."""
    who = told(each, signed)
    if _statement(each)["decision"] == DECLINE:
        return Fault("plan_declined", f"by {who}: {bounded(_statement(each)['reason'])}")
    if policy.distinct and own:
        return Fault("approval_by_starter", who)
    return Fault("approval_repeated", who) if again else None


def _statement(each: Json) -> Json:
    statement = each.get("statement")
    return statement if isinstance(statement, Mapping) else {}


def _signature(each: Json) -> str:
    signature = each.get("signature")
    return signature if isinstance(signature, str) else ""


def _fault(policy: Policy, each: Json, signed: Signed | None, of: Subject, at: str) -> Fault | None:
    """Return what is wrong with a statement by itself, None for nothing."""
    statement = _statement(each)
    if missing := [name for name in _TEXTS if not isinstance(statement.get(name), str)]:
        return Fault("approval_unreadable", f"it lacks {', '.join(missing)}")
    who = told(each, signed)
    known = statement["decision"] in (APPROVE, DECLINE) and statement.get("schema_version") == SCHEMA_VERSION
    if not known or not statement["by"].strip():
        return Fault("approval_unreadable", f"that of {who} is of another version of drfsm, or names nobody")
    if Subject(statement["procedure"], statement["run_id"], statement["plan_sha256"]) != of:
        named = f"{bounded(statement['run_id'], 100)}, plan {bounded(statement['plan_sha256'], 12)}"
        return Fault("approval_of_another_plan", f"that of {who} is of {named}, not of {of.plan_sha256[:12]}")
    return _unsigned(policy, each, signed, who) or _aged(policy, statement, who, at)


def _unsigned(policy: Policy, each: Json, signed: Signed | None, who: str) -> Fault | None:
    """Return what is wrong with a signature. One that nobody asked for must fit all the same."""
    if _signature(each) and signed is None:
        return Fault("approval_signature_wrong", f"that of {who}")
    if policy.signed and signed is None:
        return Fault("approval_not_signed", f"that of {who}")
    if policy.signed and signed is not None and not signed.signer:
        return Fault("approval_signer_unknown", f"that of {who}")
    return None


def _aged(policy: Policy, statement: Json, who: str, at: str) -> Fault | None:
    """Return what is wrong with the time of a statement. A no does not expire."""
    then, now = moment(statement["at"]), moment(at)
    if then is None or now is None:
        return Fault("approval_unreadable", f"the time of that of {who} is none")
    age = seconds_between(then, now)
    if seconds_between(now, then) > SKEW_SECONDS:
        return Fault("approval_from_the_future", f"that of {who} is of {statement['at']}; it is {at}")
    if age > policy.expires_seconds and statement["decision"] == APPROVE:
        return Fault(
            "approval_expired",
            f"that of {who} is {age / 3600:.1f} hours old, and {policy.expires_seconds / 3600:g} are allowed",
        )
    return None


def _persons(name: Any, os_user: Any, signed: Signed | None) -> set[tuple[str, str]]:
    """Return by what a person is known. A key proves more than a name: of who signed, it and its name count alone."""
    if signed is not None and signed.key:
        return {("key", signed.key), *([("signer", signed.signer)] if signed.signer else [])}
    user = os_user if isinstance(os_user, Mapping) else {}
    known = user.get("uid") is not None and user.get("host")
    plain = unicodedata.normalize("NFKC", str(name or "")).casefold()
    return {("name", " ".join(plain.split())), *([("user", f"{user['uid']} on {user['host']}")] if known else [])}


def told(each: Json, signed: Signed | None = None) -> str:
    """Return who gave an approval, in words: the name that was typed, and what is proven of it."""
    name = bounded(str(_statement(each).get("by") or "nobody"), 100)
    signer, key = (signed.signer, signed.key) if signed else (str(each.get("signer") or ""), str(each.get("key") or ""))
    if signer:
        return f"{name} (signed by {bounded(signer, 100)}, {bounded(key, 60)})"
    return f"{name} (signed by an unknown key, {bounded(key, 60)})" if key else f"{name} (not signed)"


def recorded(state: RunState) -> Json:
    """Return the approvals of a run, as its first record or a promote's ``approve`` has them; {} for none.

    What is of another shape is none: the audit says so.
    """
    later = (state.args.get("approve") or {}).get("approval")
    return later if later and APPROVAL_SHAPE.fits(later) else state.approval


def in_words(approval: Json) -> Iterator[str]:
    """Yield what a run's start recorded of its approvals, for a person: each with its ticket, its reason, its time."""
    policy = policy_of(approval.get("policy"))
    if policy is not None:
        yield f"policy: {policy.words}"
    for each in approval.get("given") or ():
        statement = _statement(each)
        ticket = bounded(str(statement.get("ticket") or "no ticket"), 100)
        reason = f": {bounded(str(statement['reason']), 200)}" if statement.get("reason") else ""
        yield f"approved by {told(each)}, under {ticket}, at {bounded(str(statement.get('at')), 40)}{reason}"
