"""Whether a run goes on from the records that lie there: on whose assurances, and by whose declaration.

A journal is a claim unless its last head stands in this user's home (heads.py). Any other is audited first; then it
needs somebody who vouches for it: a trusted key that signed its head, or a person who saw the state, the inputs and
the next action, and typed the head. An approval among such records counts only if a trusted key signed it as one, or
the person approves it again. Where a person vouches, what the records say of the world is read again before anything
is done (``Voucher.by_person``). Where a run's sites lie is never taken from records that began elsewhere.

Owns the questions and their order; asks of the world nothing but signatures. Used by wiring.py and records.py.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from drfsm.claims import bounded, is_name, printable
from drfsm.errors import EvidenceFault, UntrustedRecords, UsageFault
from drfsm.evidence.signatures import Verifier, is_approval, namespace_of
from drfsm.evidence.wording import shown_inputs
from drfsm.journal import Record, RunState, digest, fold, read, shapes
from drfsm.resources import known
from drfsm.runs.heads import Heads
from drfsm.spec.model import By, MachineSpec

TYPED = 12  # characters of a digest that a person types
LONGEST_SHOWN = 20_000  # characters of an input that starts something: shown whole, or not vouched for
PLACES: Mapping[str, str] = {
    # input -> the option by which the person at the keyboard gives it
    "kubeconfig_dr": "--kubeconfig-dr",
    "kubeconfig_primary": "--kubeconfig-primary",
    "terraform_dir": "--terraform-dir",
    "endpoint_url": "--endpoint-url",
    "region": "--region",
}
"""Inputs that name a file, an address or a program's directory: never taken from records that began elsewhere."""
REQUIRED = ("kubeconfig_dr", "kubeconfig_primary", "terraform_dir")
STARTS = (
    "image_ref", "validation_env", "backup_uri", "primary_restore_backup_uri", "fence_primary_role", "fence_dr_role",
    "sync_src_prefix", "sync_dst_prefix", "staged_prefix", "allow_in_backup", "infrastructure", "resume_cronjobs",
)  # fmt: skip
"""Inputs that start a program, or say what is read, written or denied: shown first to whoever is to vouch."""


@frozen
class Assurances:
    """What the person at the keyboard says about records and declarations."""

    heads: tuple[str, ...] = ()  # --expect-head
    approved_plans: tuple[str, ...] = ()  # --approved-plan
    machines: tuple[str, ...] = ()  # --trust-machine, DRFSM_TRUST_MACHINES
    ask: Callable[[str], str] = lambda _words: ""  # what a person types; "" where nobody sits there
    tell: Callable[[str], None] = lambda _line: None  # a line for that person, on stderr


@frozen
class Voucher:
    """Who answers for a journal: ``how`` is ``own``, ``signed`` or ``typed``."""

    how: str
    by: str = ""
    head: str = ""
    records: int = 0

    @property
    def by_person(self) -> bool:
        """Whether nothing but a person's word stands behind the records."""
        return self.how == "typed"

    @property
    def record(self) -> dict[str, Any]:
        """As the next record carries it; nothing for records of this machine."""
        if self.how == "own":
            return {}
        return {"how": self.how, "by": self.by, "head": self.head, "records": self.records}


# --- whose declaration -----------------------------------------------------------------------------------


def sha256_of(text: bytes) -> str:
    """Return a declaration's digest."""
    return hashlib.sha256(text).hexdigest()


def origin_of(sha256: str, trusted: Sequence[str] = ()) -> str:
    """Return whose declaration it is, in words that follow its name: ``shipped with drfsm 0.1.0``; "" if unknown."""
    shipped = known(sha256)
    if shipped is not None:
        return f"shipped with drfsm {shipped.version}"
    return "trusted by the operator" if sha256 in trusted else ""


def trusted_machines(named: Sequence[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the digests that the operator trusts. Raises UsageFault for what is no digest."""
    digests = (*named, *environ.get("DRFSM_TRUST_MACHINES", "").replace(",", " ").split())
    for text in digests:
        if not is_name("sha256", text):
            raise UsageFault(
                f"{bounded(text, 100)} is no digest of a declaration: 64 hex digits",
                hint="sha256sum MACHINE.yaml shows it",
            )
    return digests


def check_origin(spec: MachineSpec, trusted: Sequence[str]) -> None:
    """Raise EvidenceFault for a declaration that drfsm doesn't ship and the operator doesn't trust."""
    if not origin_of(spec.sha256, trusted):
        raise EvidenceFault(
            f"the run follows a declaration of {printable(spec.name)} that no version of drfsm shipped"
            f" ({spec.sha256}): what it allows may be anything",
            hint=f"read it: drfsm machine show FILE; if it is yours, --trust-machine {spec.sha256}",
        )


# --- whose records ---------------------------------------------------------------------------------------


def sound(records: Sequence[Record]) -> RunState:
    """Return where records say that a run stands. Raises EvidenceFault for records that no writer of drfsm wrote."""
    for record in records:
        if wrong := next(iter(shapes.faults(record)), ""):
            raise EvidenceFault(
                f"line {record.seq + 1} of the journal is no record of drfsm: {bounded(wrong)}",
                hint="go on from a copy of the bundle that verifies: drfsm replay shows whether one does",
            )
    try:
        return fold(records)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as fault:
        raise EvidenceFault(
            f"the journal can't be followed ({type(fault).__name__}: {bounded(fault)})",
            hint="go on from a copy of the bundle that verifies: drfsm replay shows whether one does",
        ) from None


@frozen
class Journal:
    """A journal that somebody wants to go on with, and what it takes to judge it."""

    lines: Sequence[bytes]
    spec: MachineSpec
    uri: str
    signatures: Callable[[str], bytes | None]  # by a line's hash
    verifier: Callable[[], Verifier | None]


def vouch(journal: Journal, heads: Heads, assurances: Assurances) -> Voucher:
    """Return who answers for a journal.

    Raises EvidenceFault where it does not hold, UntrustedRecords, with what to check and to type, where it holds and
    nobody vouches for it.
    """
    head = digest(journal.lines[-1])
    if heads.knows(head) and (len(journal.lines) >= heads.written or head in assurances.heads):
        return Voucher("own")
    if heads.knows(head):
        raise EvidenceFault(
            f"this machine wrote {heads.written} records of the run, and the journal holds {len(journal.lines)}: its"
            " end was cut off, here and in the mirror",
            hint=f"put it back from a copy; or, if you know that nothing was done since: --expect-head {head}",
        )
    records = read(journal.lines).records
    state = sound(records)
    _audited(journal, state)
    signer = _signer(journal, records[-1], head)
    if signer:
        assurances.tell(
            f"{printable(state.run_id)}: {bounded(signer)} signed the last of these {len(records)} records, of"
            f" {printable(state.last_at)}. No signature says that none came after it: where the run went on later, the"
            " machine that ran it knows"
        )
    by, how = (signer, "signed") if signer else (_typed(journal, state, head, assurances), "typed")
    _approvals(journal, records, heads, assurances)
    return Voucher(how, by, head, len(records))


def check_expected(lines: Sequence[bytes], assurances: Assurances) -> None:
    """Raise EvidenceFault where heads are expected and the journal holds none of them, whoever wrote it."""
    if assurances.heads and not {digest(line) for line in lines} & set(assurances.heads):
        raise EvidenceFault(
            f"no record of the journal has the head {assurances.heads[0]}; its last has {digest(lines[-1])}",
            hint="drfsm status -o json shows the head; give that one, or leave --expect-head out",
        )


def _audited(journal: Journal, state: RunState) -> None:
    from drfsm.dr.procedures import binding
    from drfsm.evidence.audit import audit

    verdict = audit(b"".join(journal.lines), journal.spec, judges=binding(journal.spec.name).judges)
    if not verdict.ok:
        findings = "; ".join(f"line {f.line}: {bounded(f.what)}" for f in verdict.findings[:3])
        raise EvidenceFault(
            f"the records of {bounded(state.run_id)} do not hold ({len(verdict.findings)} findings): {findings}."
            " Nobody goes on from them",
            hint=f"drfsm replay {journal.uri} tells all; go on where the true journal lies",
        )


def _signer(journal: Journal, record: Record, head: str) -> str:
    """Return who signed this record for what it is, as a trusted key; "" if none did."""
    verifier = journal.verifier()
    signature = journal.signatures(head) if verifier is not None else None
    if verifier is None or signature is None:
        return ""
    return verifier.signer(namespace_of(record), journal.lines[record.seq], signature) or ""


def _typed(journal: Journal, state: RunState, head: str, assurances: Assurances) -> str:
    """Return the name of who typed the head. Raises UntrustedRecords; EvidenceFault for what nobody can look over."""
    for name in STARTS:
        if len(str(state.inputs.get(name) or "")) > LONGEST_SHOWN:
            raise EvidenceFault(
                f"the input {name} of {printable(state.run_id)} has more than {LONGEST_SHOWN} characters: nobody can"
                " look it over, and it starts a program or says what is written",
                hint="go on where the run was started",
            )
    if head in assurances.heads:
        return "--expect-head"
    for line in _shown(journal, state, head):
        assurances.tell(line)
    typed = assurances.ask(f"Type the first {TYPED} characters of the head to go on from exactly these records").strip()
    if len(typed) >= TYPED and head.startswith(typed):
        return "typed at the terminal"
    raise UntrustedRecords(
        f"nobody vouches for the {state.length} records of {printable(state.run_id)}: this machine did not write the"
        " last of them, and no trusted key signed it",
        hint="check what is shown above; if it is what you know of the run, the same command with"
        f" --expect-head {head}",
    )


def _shown(journal: Journal, state: RunState, head: str) -> Iterator[str]:
    """Yield what a person must see before he vouches for a run: where it stands, what it would use, what comes next."""
    yield f"{printable(state.run_id)}: {state.length} records that this machine did not write, or not all of them."
    yield f"  declared by    {printable(state.machine)} ({state.machine_sha256[:TYPED]}…)"
    yield f"  stands in      {printable(state.state)}, {printable(state.status)}; since {printable(state.last_at)}"
    yield f"  written by     {printable(state.operator)} on {printable(state.host)}"
    yield f"  next action    {_next_action(journal.spec, state)}"
    rest = {name: value for name, value in shown_inputs(state.inputs).items() if name not in (*PLACES, *STARTS)}
    yield "  It would use:"
    for name in STARTS:  # each whole, a line for a line: whoever vouches must see what a cut would hide
        for line in str(state.inputs.get(name) or "").splitlines():
            yield f"    {name} = {printable(line)}"
    for name in sorted(rest):
        yield f"    {printable(name)} = {bounded(rest[name])}"
    yield f"  head           {head}"


def _next_action(spec: MachineSpec, state: RunState) -> str:
    if state.open is not None:
        return f"see what became of {printable(state.open.trigger)}, which was begun"
    row = next(spec.rows_from(state.state, state.inputs, By.RUNNER), None)
    if row is None or state.ended:
        return "none: it waits for a person, or has ended"
    return f"{row.trigger}: {row.reason}"


def _approvals(journal: Journal, records: Sequence[Record], heads: Heads, assurances: Assurances) -> None:
    """Raise UntrustedRecords for an approval that is neither signed as one, nor of this machine, nor given again."""
    for record in filter(is_approval, records):
        head = digest(journal.lines[record.seq])
        if heads.knows(head) or _signer(journal, record, head):
            continue
        answers = record.body.get("args", {})
        plan, name, ticket = (str(answers.get(key, "")) for key in ("approved_plan", "approved_by", "ticket"))
        if plan and plan in assurances.approved_plans:
            continue
        assurances.tell(
            f"  These records say that {bounded(name)} approved the plan {bounded(plan, 64)} under {bounded(ticket)}:"
            " no trusted key signed that."
        )
        typed = assurances.ask(f"Type the first {TYPED} characters of the plan's digest to approve it again").strip()
        if not (is_name("sha256", plan) and len(typed) >= TYPED and plan.startswith(typed)):
            raise UntrustedRecords(
                f"no trusted key signed the approval of the plan {bounded(plan, 64)}: it counts for nothing",
                hint=f"if you approve that plan: the same command with --approved-plan {bounded(plan, 64)}",
            )


# --- where the sites lie ---------------------------------------------------------------------------------


def region_here(environ: Mapping[str, str] = os.environ) -> str:
    """Return the region that the environment names, "" where it names none."""
    return environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION", "")


def places_here(inputs: Mapping[str, Any], given: Mapping[str, str], kept: Mapping[str, str] | None) -> dict[str, str]:
    """Return where the sites of a run that began elsewhere lie, for this machine: as given now, else as given before.

    Raises UsageFault, naming all options, where a file or directory that the run needs was never given here.
    """
    here = {name: str(given.get(name) or (kept or {}).get(name) or "") for name in PLACES}
    here["region"] = here["region"] or region_here()
    missing = [PLACES[name] for name in REQUIRED if inputs.get(name) and not here[name]]
    if missing:
        raise UsageFault(
            "this machine did not write the run's first record, or did so with an older drfsm: where the sites lie is"
            f" then not taken from the records, so {', '.join(missing)} must be given",
            hint=f"the same command with {' '.join(f'{option} PATH' for option in missing)}",
        )
    return here


def differing_places(inputs: Mapping[str, Any], here: Mapping[str, str]) -> Iterator[str]:
    """Yield, in words, each address that differs from what the run recorded."""
    from drfsm.adapters.aws_session import resolved_endpoint

    used = {"endpoint_url": resolved_endpoint(here["endpoint_url"], here["region"]), "region": here["region"]}
    for name, address in used.items():
        recorded = str(inputs.get(name) or "")
        if recorded and recorded != address:
            yield f"{name}: the run recorded {bounded(recorded)}, here it is {bounded(address) or 'none'}"
