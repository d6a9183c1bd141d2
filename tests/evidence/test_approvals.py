"""Which approvals of a plan count: one table of what can be wrong, judged at the start and again by the audit.

Keys and signatures are ssh-keygen's own.
"""

import base64
import functools
import subprocess
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen

from drfsm.adapters.ssh_signatures import SshSigner, checks_by
from drfsm.evidence.approvals import CODES, Person, Policy, Signed, Subject, judge, key_of, message_of, start_message
from drfsm.evidence.signatures import APPROVAL, RECORD
from tests.evidence.conftest import Play
from tests.evidence.forger import Make, altered

PLAN, RUN, AT = "a" * 64, "run-1", "2026-02-27T00:00:00.001000Z"
OF = Subject("mill", RUN, PLAN)
POLICY = Policy(approvals=2, distinct=True, expires_seconds=3600.0, signed=True)
BY_NAME = evolve(POLICY, signed=False)
NAMES = ("ann", "bob", "carl", "eve", "old")
Edit = Callable[["Draft"], Any]


@frozen
class Keys:
    """Real keys, and the file of those that are trusted: eve's is not, and old's has expired."""

    directory: Path
    allowed: str

    def sign(self, name: str, message: bytes, namespace: str = APPROVAL) -> str:
        """Return a signature by somebody's key."""
        return SshSigner(self.directory / name).sign(namespace, message).decode()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Return keys of five persons."""
    directory = tmp_path_factory.mktemp("keys")
    public: dict[str, str] = {}
    for name in NAMES:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name], check=True)
        public[name] = (directory / f"{name}.pub").read_text("utf-8")
    trusted = [f"{name}@example.org {public[name]}" for name in ("ann", "bob", "carl")]
    more = [f'old@example.org valid-before="20260101" {public["old"]}', f"twin@example.org {public['ann']}"]
    only = f'records@example.org namespaces="drfsm-intent" {public["eve"]}'
    return Keys(directory, "".join((*trusted, *more, only)))


def statement(by: str, **fields: Any) -> dict[str, Any]:
    """Return what somebody says of the plan."""
    return {
        "schema_version": 1, "decision": "approve", "procedure": "mill", "run_id": RUN, "plan_sha256": PLAN, "by": by,
        "os_user": {"uid": 1000 + NAMES.index(by) if by in NAMES else 7, "name": by, "host": "desk"},
        "ticket": "CHG-7", "reason": "", "at": "2026-02-26T23:50:00Z", **fields,
    }  # fmt: skip


class Draft:
    """What a run's first record holds of approvals; edits change it before, or after, it is signed."""

    def __init__(self, keys: Keys, policy: Policy) -> None:
        self.keys, self.policy = keys, policy
        self.starter, self.start_key = "carl", "carl"
        self.said = [(statement("ann"), "ann"), (statement("bob"), "bob")]
        self.after: list[Callable[[dict[str, Any]], Any]] = []

    def approval(self) -> dict[str, Any]:
        """Return it, signed where the policy asks for that, with the signer and the key of each signature."""
        check, signed = checks_by(self.keys.allowed, AT), self.policy.signed
        given = []
        for said, key in self.said:
            each: dict[str, Any] = {"statement": said}
            if key and signed:
                each["signature"] = self.keys.sign(key, message_of(said))
                whose = check(APPROVAL, message_of(said), each["signature"].encode())
                assert whose is not None
                each |= {"signer": whose.signer, "key": whose.key}
            given.append(each)
        message = start_message(OF, self.starter, AT)
        start = self.keys.sign(self.start_key, message, RECORD) if signed and self.start_key else ""
        whose = check(RECORD, message, start.encode()) if start else None
        approval = {
            "policy": self.policy.json, "plan_sha256": PLAN, "judged_at": AT, "clock": "machine",
            "allowed_signers": self.keys.allowed, "given": given,
            **({"starter": {"signature": start, "signer": whose.signer, "key": whose.key}} if whose else {}),
        }  # fmt: skip
        for edit in self.after:
            edit(approval)
        return approval


# --- the table ------------------------------------------------------------------------------------------


def said(number: int, **fields: Any) -> Edit:
    """Return the edit that lets a person say something else, and sign that."""
    return lambda draft: draft.said[number][0].update(fields)


def by(number: int, who: str, key: str = "", **fields: Any) -> Edit:
    """Return the edit that lets another person, or another key, approve."""

    def edit(draft: Draft) -> None:
        draft.said[number] = (statement(who, **fields), key or who)

    return edit


def afterwards(edit: Callable[[dict[str, Any]], Any]) -> Edit:
    """Return the edit of what was signed already."""
    return lambda draft: draft.after.append(edit)


def unsigned(draft: Draft) -> None:
    """Let the second person not sign."""
    draft.said[1] = (draft.said[1][0], "")


def start(who: str, key: str) -> Edit:
    """Return the edit that lets somebody else start the run."""

    def edit(draft: Draft) -> None:
        draft.starter, draft.start_key = who, key

    return edit


def swap(approval: dict[str, Any]) -> None:
    """Put each signature to the other's statement."""
    first, second = approval["given"]
    first["signature"], second["signature"] = second["signature"], first["signature"]


SAME_USER: dict[str, Any] = {"os_user": {"uid": 1000, "name": "ann", "host": "desk"}}
AS_CARL: dict[str, Any] = {"os_user": {"uid": 1002, "name": "carl", "host": "desk"}}
CASES: Mapping[str, tuple[Policy, Edit, set[str]]] = {
    # what is so -> (the policy, the edit of two good approvals, the codes of what is wrong)
    "two trusted keys": (POLICY, lambda _draft: None, set()),
    "two names, where no signature is asked for": (BY_NAME, lambda _draft: None, set()),
    "one approval is enough for a policy of one": (
        evolve(POLICY, approvals=1), lambda draft: draft.said.pop(), set(),
    ),
    "one of two": (POLICY, lambda draft: draft.said.pop(), {"approvals_missing"}),
    "none": (POLICY, lambda draft: draft.said.clear(), {"approvals_missing"}),
    "another plan": (POLICY, said(1, plan_sha256="b" * 64), {"approval_of_another_plan", "approvals_missing"}),
    "another run": (POLICY, said(1, run_id="run-2"), {"approval_of_another_plan", "approvals_missing"}),
    "another procedure": (BY_NAME, said(1, procedure="drill"), {"approval_of_another_plan", "approvals_missing"}),
    "expired by a second": (POLICY, said(1, at="2026-02-26T22:59:59Z"), {"approval_expired", "approvals_missing"}),
    "not yet expired, in another zone": (POLICY, said(1, at="2026-02-27T00:00:30+01:00"), set()),
    "from the future": (POLICY, said(1, at="2026-02-27T01:00:00Z"), {"approval_from_the_future", "approvals_missing"}),
    "at no time": (BY_NAME, said(1, at="yesterday"), {"approval_unreadable", "approvals_missing"}),
    "by nobody": (BY_NAME, said(1, by=" "), {"approval_unreadable", "approvals_missing"}),
    "of another version": (BY_NAME, said(1, schema_version=2), {"approval_unreadable", "approvals_missing"}),
    "without a field": (
        BY_NAME, lambda draft: draft.said[1][0].pop("ticket"), {"approval_unreadable", "approvals_missing"},
    ),
    "with a decision that there is not": (
        BY_NAME, said(1, decision="yes"), {"approval_unreadable", "approvals_missing"},
    ),
    "the starter's key": (POLICY, by(1, "bob", "carl"), {"approval_by_starter", "approvals_missing"}),
    "the starter's name": (BY_NAME, by(1, "carl"), {"approval_by_starter", "approvals_missing"}),
    "the starter's account under another name": (
        BY_NAME, by(1, "bob", **AS_CARL), {"approval_by_starter", "approvals_missing"},
    ),
    "the starter, where that is allowed": (evolve(BY_NAME, distinct=False), by(1, "carl"), set()),
    "the starter's key, where that is allowed": (evolve(POLICY, distinct=False), by(1, "carl"), set()),
    "a starter without a key": (POLICY, start("carl", ""), {"start_not_signed"}),
    "a starter whose key nobody trusts": (POLICY, start("carl", "old"), {"start_not_signed"}),
    "one key twice under two names": (POLICY, by(1, "bob", "ann"), {"approval_repeated", "approvals_missing"}),
    "one name twice": (BY_NAME, by(1, "ann"), {"approval_repeated", "approvals_missing"}),
    "one account under two names": (BY_NAME, by(1, "bob", **SAME_USER), {"approval_repeated", "approvals_missing"}),
    "one copy of another": (
        POLICY, lambda draft: draft.said.append(draft.said[1]), {"approval_repeated"},
    ),
    "not signed": (POLICY, unsigned, {"approval_not_signed", "approvals_missing"}),
    "a key that nobody trusts with approvals": (
        POLICY, by(1, "bob", "eve"), {"approval_signer_unknown", "approvals_missing"},
    ),
    "a key that expired before": (POLICY, by(1, "bob", "old"), {"approval_signer_unknown", "approvals_missing"}),
    "a word changed afterwards": (
        POLICY, afterwards(lambda approval: approval["given"][1]["statement"].update(ticket="CHG-8")),
        {"approval_signature_wrong", "approvals_missing"},
    ),
    "signatures exchanged": (POLICY, afterwards(swap), {"approval_signature_wrong", "approvals_missing"}),
    "a signature that is none": (
        POLICY, afterwards(lambda approval: approval["given"][1].update(signature="-----BEGIN SSH SIGNATURE-----")),
        {"approval_signature_wrong", "approvals_missing"},
    ),
    "a wrong signature that nobody asked for": (
        BY_NAME, afterwards(lambda approval: approval["given"][1].update(signature="x")),
        {"approval_signature_wrong", "approvals_missing"},
    ),
    "a signature for records": (
        POLICY,
        afterwards(lambda approval: approval["given"][1].update(signature=approval["starter"]["signature"])),
        {"approval_signature_wrong", "approvals_missing"},
    ),
    "a no beside two": (
        POLICY, lambda draft: draft.said.append((statement("carl", decision="decline", reason="no"), "carl")),
        {"plan_declined"},
    ),
    "an old no": (
        BY_NAME,
        lambda draft: draft.said.append((statement("eve", decision="decline", at="2026-01-01T00:00:00Z"), "")),
        {"plan_declined"},
    ),
    "a no that nobody signed": (
        POLICY, lambda draft: draft.said.append((statement("eve", decision="decline"), "")), {"approval_not_signed"},
    ),
}  # fmt: skip


def drafted(name: str, keys: Keys) -> tuple[dict[str, Any], Draft]:
    """Return what a first record holds in a case."""
    policy, edit, _ = CASES[name]
    draft = Draft(keys, policy)
    edit(draft)
    return draft.approval(), draft


@pytest.mark.parametrize("name", CASES)
def test_the_start_and_the_audit_judge_alike(name: str, keys: Keys, play: Make) -> None:
    """Whatever is wrong with approvals, the start says it by its code, and so does the audit of a log that holds it.

    An approval that does not count stops no start that has enough others; in a log, it is a finding.
    """
    policy, _, codes = CASES[name]
    approval, draft = drafted(name, keys)
    starter = Person(draft.starter, AS_CARL["os_user"], _signed(approval))
    check = checks_by(keys.allowed, AT)
    judgement = judge(policy, approval["given"], of=OF, starter=starter, at=AT, check=check)
    assert {fault.code for fault in judgement.faults} == codes
    assert judgement.suffices is not bool(codes & {"approvals_missing", "plan_declined", "start_not_signed"})
    assert codes <= set(CODES)

    run = _run(play)
    raw = run.edited(
        altered("run_started", "", operator=draft.starter, approval=approval, proven={"os_user": AS_CARL["os_user"]})
    )
    verdict = run.audit(raw, signatures=checks_by)
    found = [finding for finding in verdict.findings if finding.rule == "approval"]
    assert {finding.code for finding in found} == codes, verdict.findings
    assert {finding.line for finding in found} <= {1}
    assert verdict.ok is not bool(codes)


def _signed(approval: Mapping[str, Any]) -> Signed | None:
    starter = approval.get("starter")
    return Signed(starter["signer"], starter["key"]) if starter else None


_PLAYED: list[Play] = []


def _run(play: Make) -> Play:
    """Return a complete run, played once: no test changes it."""
    if not _PLAYED:
        _PLAYED.append(play().start())
        assert _PLAYED[0].audit().ok
    return _PLAYED[0]


LIES: Mapping[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    # what a forger changes of what a start recorded -> what the audit says
    "another signer's name": (lambda a: a["given"][0].update(signer="eve@example.org"), "is said to be signed by eve"),
    "another key": (lambda a: a["given"][0].update(key="SHA256:x"), "is said to be signed by ann"),
    "the starter's key": (lambda a: a["starter"].update(key="SHA256:x"), "the signature of the start does not fit"),
    "a laxer policy, to no purpose": (lambda a: a.update(policy={"approvals": 0}), "policy that it records can't be"),
    "signers of the forger's own": (lambda a: a.update(allowed_signers=""), "approval_signer_unknown"),
    "the time": (lambda a: a.update(judged_at="2026-02-26T23:51:00Z"), "approvals were judged at 2026-02-26T23:51:00Z"),
    "a later time": (lambda a: a.update(judged_at="2026-02-27T00:09:00Z"), "judged at 2026-02-27T00:09:00Z"),
    "the plan": (lambda a: a.update(plan_sha256="b" * 64), "approval_of_another_plan"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_about_approvals_is_found(name: str, keys: Keys, play: Make) -> None:
    """What the record says beside the signatures is held against them."""
    edit, words = LIES[name]
    approval, draft = drafted("two trusted keys", keys)
    edit(approval)
    run = _run(play)
    proven = {"os_user": AS_CARL["os_user"]}
    raw = run.edited(altered("run_started", "", operator=draft.starter, approval=approval, proven=proven))
    found = [each for each in run.audit(raw, signatures=checks_by).findings if each.rule == "approval"]
    assert any(words in (each.code, each.what) or words in each.what for each in found), found


def test_where_no_signature_can_be_checked_that_is_noted(keys: Keys, play: Make) -> None:
    """The rest is judged: who is said to have signed, how many, how old."""
    approval, draft = drafted("two trusted keys", keys)
    run = _run(play)
    proven = {"os_user": AS_CARL["os_user"]}
    fields = {"operator": draft.starter, "proven": proven}
    verdict = run.audit(run.edited(altered("run_started", "", approval=approval, **fields)))
    assert verdict.ok
    assert any("signatures of approvals were not checked" in note for note in verdict.notes)
    approval["given"].pop()
    assert not run.audit(run.edited(altered("run_started", "", approval=approval, **fields))).ok


def test_an_approval_by_a_key_that_the_auditor_does_not_trust_is_noted(keys: Keys, play: Make) -> None:
    """Which keys were trusted is the run's own word; the auditor has a list, too."""
    approval, draft = drafted("two trusted keys", keys)
    proven = {"os_user": AS_CARL["os_user"]}
    run = _run(play)
    raw = run.edited(altered("run_started", "", operator=draft.starter, approval=approval, proven=proven))
    own = "".join(line for line in keys.allowed.splitlines(keepends=True) if "bob" not in line)
    verdict = run.audit(raw, signatures=checks_by, allowed_signers=own)
    assert verdict.ok
    (note,) = verdict.notes
    assert note.startswith("the approval of bob (signed by an unknown key, SHA256:")
    assert not run.audit(raw, signatures=checks_by, allowed_signers=keys.allowed).notes


def test_the_plan_in_the_bundle_is_held_against_what_was_approved(keys: Keys, play: Make) -> None:
    """A policy that was left out of the log, an exchanged plan, one that was edited."""
    run = _run(play)
    plan: dict[str, Any] = {"run_id": RUN, "policy": POLICY.json}
    plan["sha256"] = sha256(message_of(plan)).hexdigest()
    assert [each.what for each in run.audit(plan={**plan, "run_id": "run-2"}).findings] == [
        "the plan in the bundle was changed: its digest does not fit its content"
    ]
    assert "another policy" in run.audit(plan=plan).findings[0].what
    approval, draft = drafted("two trusted keys", keys)
    raw = run.edited(
        altered("run_started", "", operator=draft.starter, approval=approval, proven={"os_user": AS_CARL["os_user"]})
    )
    (finding,) = run.audit(raw, plan=plan, signatures=checks_by).findings
    assert "what was approved is not the plan in the bundle" in finding.what
    other = {name: value for name, value in plan.items() if name != "policy"} | {"run_id": "run-2"}
    other["sha256"] = sha256(message_of({"run_id": "run-2"})).hexdigest()
    assert "is of the run run-2" in run.audit(plan=other).findings[0].what


def test_the_key_in_a_signature_is_the_one_that_ssh_keygen_names(keys: Keys) -> None:
    """And what is no signature has none."""
    shown = subprocess.run(
        ["ssh-keygen", "-lf", keys.directory / "ann.pub"], check=True, capture_output=True, text=True
    ).stdout
    signature = keys.sign("ann", b"x").encode()
    assert key_of(signature) == shown.split()[1]
    for garbage in (b"", b"x", signature[:100], signature.replace(b"U1NI", b"AAAA", 1), b"\xff" * 50):
        assert key_of(garbage) == ""


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_one_key_with_several_certificates_is_one_key(kind: str, tmp_path: Path) -> None:
    """An authority names it twice: each signature has the fingerprint of the key itself, as ssh-keygen prints it."""
    run = functools.partial(subprocess.run, check=True, capture_output=True, text=True)
    for name, its_kind in (("ca", "ed25519"), ("key", kind)):
        run(["ssh-keygen", "-q", "-t", its_kind, "-N", "", "-f", tmp_path / name])
    prints = {key_of(SshSigner(tmp_path / "key").sign(APPROVAL, b"yes"))}
    for who in ("ann", "bob"):
        own = tmp_path / who
        own.write_bytes((tmp_path / "key").read_bytes())
        own.chmod(0o600)
        Path(f"{own}.pub").write_bytes((tmp_path / "key.pub").read_bytes())
        run(["ssh-keygen", "-q", "-s", tmp_path / "ca", "-I", who, "-n", who, f"{own}.pub"])
        signature = SshSigner(Path(f"{own}-cert.pub")).sign(APPROVAL, b"yes")
        assert b"-cert-v01@openssh.com" in base64.b64decode("".join(signature.decode().splitlines()[1:-1]))
        prints.add(key_of(signature))
    assert prints == {run(["ssh-keygen", "-lf", tmp_path / "key.pub"]).stdout.split()[1]}


def test_a_name_in_other_letters_is_the_same_name() -> None:
    """Capitals, wide letters and more spaces make no second person."""
    by_name = evolve(BY_NAME, distinct=False)
    names = ["Ann Lee", "ann  lee", "ANN LEE", "\uff41nn lee"]
    given = [
        {"statement": statement(name, os_user={"uid": 50 + at, "name": "x", "host": "h"})}
        for at, name in enumerate(names)
    ]
    judged = judge(by_name, given, of=OF, starter=Person("carl", {}), at=AT, check=None)
    assert ([each["statement"]["by"] for each in judged.counted], judged.suffices) == (["Ann Lee"], False)
