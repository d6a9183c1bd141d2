"""Decides whether a run may continue from its records: who vouches for them, and who wrote its declaration.

A journal is only a claim unless its last head is recorded in this user's home (heads.py). Any other journal is audited
first. Then somebody must vouch for it: a trusted key that signed its head, or a person who saw the state, the inputs
and the next action and typed the head. An approval in such a journal is valid only if a trusted key signed it, or the
person approves the plan again. If only a person vouches, the world is read again before anything is done
(``Voucher.by_person``). Where the sites of a run are is never taken from records that began on another machine.

Owns the checks and their order; reads nothing of the world but signatures. Used by wiring.py, run_context.py and
cli/replay.py.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from drfsm.adapters.ssh_signatures import can_check, checks_by
from drfsm.claims import bounded, is_name, printable
from drfsm.errors import EvidenceFault, UntrustedRecords, UsageFault
from drfsm.evidence.signatures import Verifier, is_approval, namespace_of
from drfsm.evidence.wording import shown_inputs
from drfsm.journal import Record, RunState, digest, fold, read
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
"""Inputs that start a program, or say what is read, written or denied: shown first to the person who vouches."""


@frozen
class Assurances:
    """What the operator vouches for in advance, and how to ask for more."""

    heads: tuple[str, ...] = ()  # --expect-head
    approved_plans: tuple[str, ...] = ()  # --approved-plan
    machines: tuple[str, ...] = ()  # --trust-machine, DRFSM_TRUST_MACHINES
    ask: Callable[[str], str] = lambda _words: ""  # returns what a person types; "" if there is no terminal
    tell: Callable[[str], None] = lambda _line: None  # prints a line for that person, on stderr


@frozen
class Voucher:
    """Who vouches for a journal. ``how``: ``own`` (this machine wrote it), ``signed``, or ``typed`` (by a person)."""

    how: str
    by: str = ""
    head: str = ""
    records: int = 0

    @property
    def by_person(self) -> bool:
        """Whether only a person vouches for the records."""
        return self.how == "typed"

    @property
    def record(self) -> dict[str, Any]:
        """What the next record says about it; empty for records of this machine."""
        if self.how == "own":
            return {}
        return {"how": self.how, "by": self.by, "head": self.head, "records": self.records}


# --- whose declaration -----------------------------------------------------------------------------------


def sha256_of(text: bytes) -> str:
    """Return a declaration's digest."""
    return hashlib.sha256(text).hexdigest()


def origin_of(sha256: str, trusted: Sequence[str] = ()) -> str:
    """Return where a declaration comes from, e.g. ``shipped with drfsm 0.1.0``; "" if that is unknown."""
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
                f"{bounded(text, 100)} is not the SHA-256 of a declaration (64 hex digits)",
                hint="sha256sum MACHINE.yaml shows it",
            )
    return digests


def check_origin(spec: MachineSpec, trusted: Sequence[str]) -> None:
    """Raise EvidenceFault for a declaration that drfsm doesn't ship and the operator doesn't trust."""
    if not origin_of(spec.sha256, trusted):
        raise EvidenceFault(
            f"no version of drfsm shipped the declaration of {printable(spec.name)} that this run follows"
            f" ({spec.sha256}): it may allow anything",
            hint=f"read it: drfsm machine show FILE. If it is yours: --trust-machine {spec.sha256}",
        )


# --- whose records ---------------------------------------------------------------------------------------


def sound(records: Sequence[Record]) -> RunState:
    """Return the state that records describe. Raises EvidenceFault for records that drfsm cannot have written."""
    for record in records:
        if fault := next(record.faults(), ""):
            raise EvidenceFault(
                f"line {record.seq + 1} of the journal is no record of drfsm: {bounded(fault)}",
                hint="resume from an undamaged copy of the bundle; drfsm replay checks a copy",
            )
    try:
        return fold(records)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as fault:
        raise EvidenceFault(
            f"the journal is inconsistent ({type(fault).__name__}: {bounded(fault)})",
            hint="resume from an undamaged copy of the bundle; drfsm replay checks a copy",
        ) from None


@frozen
class Journal:
    """A journal that a run is to continue from, and what is needed to check it."""

    lines: Sequence[bytes]
    spec: MachineSpec
    uri: str
    signatures: Callable[[str], bytes | None]  # by a line's hash
    verifier: Callable[[], Verifier | None]


def vouch(journal: Journal, heads: Heads, assurances: Assurances) -> Voucher:
    """Return who vouches for a journal.

    Raises EvidenceFault if the journal does not hold; UntrustedRecords, with the next command, if nobody vouches.
    """
    head = digest(journal.lines[-1])
    if heads.knows(head) and (len(journal.lines) >= heads.written or head in assurances.heads):
        return Voucher("own")
    if heads.knows(head):
        raise EvidenceFault(
            f"this machine wrote {heads.written} records of the run, and the journal holds {len(journal.lines)}: its"
            " end was cut off, here and in the mirror",
            hint=f"restore it from a copy; or, if you know that nothing was done since then: --expect-head {head}",
        )
    records = read(journal.lines).records
    state = sound(records)
    _audited(journal, state)
    signer = _signer(journal, records[-1], head)
    if signer:
        assurances.tell(
            f"{printable(state.run_id)}: {bounded(signer)} signed the last of these {len(records)} records, of"
            f" {printable(state.last_at)}. A signature does not prove that it is the newest record: if the run"
            " continued later, the machine that ran it has more"
        )
    by, how = (signer, "signed") if signer else (_typed(journal, state, head, assurances), "typed")
    _approvals(journal, records, heads, assurances)
    return Voucher(how, by, head, len(records))


def check_expected(lines: Sequence[bytes], assurances: Assurances) -> None:
    """Raise EvidenceFault if the operator expects heads and the journal holds none of them."""
    if assurances.heads and not {digest(line) for line in lines} & set(assurances.heads):
        raise EvidenceFault(
            f"no record of the journal has the head {assurances.heads[0]}; its last has {digest(lines[-1])}",
            hint="drfsm status -o json shows the head; give that one, or leave out --expect-head",
        )


def _audited(journal: Journal, state: RunState) -> None:
    from drfsm.dr.procedures import binding
    from drfsm.evidence.audit import audit

    bound = binding(journal.spec.name)
    signatures = checks_by if can_check() else None
    verdict = audit(b"".join(journal.lines), journal.spec, judges=bound.judges, late=bound.late, signatures=signatures)
    if not verdict.ok:
        findings = "; ".join(f"line {f.line}: {bounded(f.what)}" for f in verdict.findings[:3])
        raise EvidenceFault(
            f"the records of {bounded(state.run_id)} do not hold ({len(verdict.findings)} findings): {findings}."
            " No run continues from them",
            hint=f"drfsm replay {journal.uri} lists all findings; resume where the true journal is",
        )


def _signer(journal: Journal, record: Record, head: str) -> str:
    """Return the trusted signer of this record; "" if no trusted key signed it."""
    verifier = journal.verifier()
    signature = journal.signatures(head) if verifier is not None else None
    if verifier is None or signature is None:
        return ""
    return verifier.signer(namespace_of(record), journal.lines[record.seq], signature) or ""


def _typed(journal: Journal, state: RunState, head: str, assurances: Assurances) -> str:
    """Return how the operator gave the head. Raises UntrustedRecords; EvidenceFault for inputs too long to check."""
    for name in STARTS:
        if len(str(state.inputs.get(name) or "")) > LONGEST_SHOWN:
            raise EvidenceFault(
                f"the input {name} of {printable(state.run_id)} has more than {LONGEST_SHOWN} characters: nobody can"
                " check it, and it starts a program or says what is written",
                hint="resume on the machine where the run was started",
            )
    if head in assurances.heads:
        return "--expect-head"
    for line in _shown(journal, state, head):
        assurances.tell(line)
    typed = assurances.ask(
        f"Type the first {TYPED} characters of the head to continue from exactly these records"
    ).strip()
    if len(typed) >= TYPED and head.startswith(typed):
        return "typed at the terminal"
    raise UntrustedRecords(
        f"nobody vouches for the {state.length} records of {printable(state.run_id)}: this machine did not write the"
        " last of them, and no trusted key signed it",
        hint="check what is shown above. If it agrees with what you know about the run, repeat the command with"
        f" --expect-head {head}",
    )


def _shown(journal: Journal, state: RunState, head: str) -> Iterator[str]:
    """Yield what a person must see before vouching for a run: its state, its next action, the inputs it would use."""
    yield f"{printable(state.run_id)}: {state.length} records, not all of them written by this machine."
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
        return f"find out how the interrupted step {printable(state.open.trigger)} ended"
    row = next(spec.rows_from(state.state, state.inputs, By.RUNNER), None)
    if row is None or state.ended:
        return "none: the run waits for a person, or has ended"
    return f"{row.trigger}: {row.reason}"


def _approvals(journal: Journal, records: Sequence[Record], heads: Heads, assurances: Assurances) -> None:
    """Raise UntrustedRecords for an approval that is not of this machine, not signed as one, and not given again."""
    for record in filter(is_approval, records):
        head = digest(journal.lines[record.seq])
        if heads.knows(head) or _signer(journal, record, head):
            continue
        answers = record.body.get("args", {})
        plan, name, ticket = (str(answers.get(key, "")) for key in ("approved_plan", "approved_by", "ticket"))
        if plan and plan in assurances.approved_plans:
            continue
        assurances.tell(
            f"  These records say that {bounded(name)} approved the plan {bounded(plan, 64)} under {bounded(ticket)}."
            " No trusted key signed that."
        )
        typed = assurances.ask(f"Type the first {TYPED} characters of the plan's digest to approve it again").strip()
        if not (is_name("sha256", plan) and len(typed) >= TYPED and plan.startswith(typed)):
            raise UntrustedRecords(
                f"no trusted key signed the approval of the plan {bounded(plan, 64)}: it is not valid here",
                hint=f"if you approve that plan, repeat the command with --approved-plan {bounded(plan, 64)}",
            )


# --- where the sites lie ---------------------------------------------------------------------------------


def region_here(environ: Mapping[str, str] = os.environ) -> str:
    """Return the region that the environment names, "" where it names none."""
    return environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION", "")


def places_here(inputs: Mapping[str, Any], named: Mapping[str, str], kept: Mapping[str, str] | None) -> dict[str, str]:
    """Return where the sites of a run that began elsewhere are, for this machine: as given now, else as given before.

    Raises UsageFault, naming all options, if a file or directory that the run needs was never given here.
    """
    here = {name: str(named.get(name) or (kept or {}).get(name) or "") for name in PLACES}
    here["region"] = here["region"] or region_here()
    missing = [PLACES[name] for name in REQUIRED if inputs.get(name) and not here[name]]
    if missing:
        raise UsageFault(
            "this machine did not write the run's first record, or an older drfsm did: then the paths to the sites are"
            f" not taken from the records, and {', '.join(missing)} must be given",
            hint=f"repeat the command with {' '.join(f'{option} PATH' for option in missing)}",
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
