"""Seals a bundle: the statement of its files, signed where a key is named, and the checkpoint in the bucket.

A run is sealed when a process leaves it held or ended (run_context.py), and by `drfsm bundle seal`. A seal stops no
run: what could not be signed or witnessed is told, with the command that does it later. Nothing of a key is told.
"""

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from drfsm.claims import bounded
from drfsm.errors import DrfsmError, EvidenceFault, Unreadable, UsageFault
from drfsm.evidence.audit.findings import Finding
from drfsm.evidence.sealing import Seal, begun_in, seal_name, seals_in
from drfsm.evidence.sealing_checkpoint import (
    Checkpoint,
    Note,
    check_checkpoints,
    home_of_checkpoints,
    key_of_checkpoint,
    origin_of,
    read_note,
    signed_note,
)
from drfsm.evidence.sealing_envelope import signed_envelope
from drfsm.evidence.sealing_statement import LOG, SEALS, Heads, Known, Statement, heads_of, known_of, names_in
from drfsm.files import Directory
from drfsm.journal import RunState
from drfsm.runs.sealing_settings import Sealing

if TYPE_CHECKING:
    from drfsm.adapters.aws_witness import LastingObjects
    from drfsm.evidence.sealing_keys import PublicKey, Signer

_TEXT = "text/plain; charset=utf-8"


@frozen
class Home:
    """Where a run's checkpoints lie."""

    bucket: str
    prefix: str
    run_id: str

    @property
    def origin(self) -> str:
        """The origin of its checkpoints."""
        return origin_of(self.bucket, self.prefix, self.run_id)


def check_signs(sealing: Sealing) -> None:
    """Raise UsageFault, Unreachable or ActionFailed for a key that can't sign, before anything is made."""
    signer = sealing.signer()
    if signer is not None and not signer.public.verifies(_ASKED, signer.sign(_ASKED)):
        raise UsageFault(
            f"what {bounded(sealing.sign_key, 100)} signs does not hold under its public key", hint="check --sign-key"
        )


_ASKED = b"drfsm asks whether this key signs"


def seal(place: Path, state: RunState, signer: "Signer | None", at: datetime | None = None) -> Seal | None:
    """Seal a bundle as it stands; return the seal, None where the newest one says the same already.

    Raises EvidenceFault for a bundle whose earlier seals don't hold, DrfsmError of the signer, DiskFault.
    """
    with Directory.own(place) as directory:
        seals, faults = seals_in(directory)
        if faults:
            raise EvidenceFault(
                f"{place}: {faults[0].what}", hint="drfsm bundle verify names every fault; nothing was sealed"
            )
        heads = heads_of(directory)
        statement = _statement(directory, state, heads, seals[-1] if seals else None, at)
        if seals and _is_same(seals[-1], statement, signer):
            return None
        envelope = signed_envelope(statement.raw, [signer]) if signer is not None else None
        name = seal_name(len(seals) + 1, signed=envelope is not None)
        raw = envelope.raw if envelope is not None else statement.raw
        directory.write(f"{SEALS}/{name}", raw, durable=True)
    return Seal(name, len(seals) + 1, hashlib.sha256(raw).hexdigest(), statement, envelope)


def _statement(
    directory: Directory, state: RunState, heads: Heads, before: Seal | None, at: datetime | None
) -> Statement:
    """Return what there is to be sealed. Raises EvidenceFault where the log changed meanwhile."""
    begun = begun_in(heads.first)
    if not begun:
        raise EvidenceFault(f"{directory.path}: the journal holds no run", hint=f"drfsm replay {directory.path}")
    files: dict[str, Known] = {}
    for name in names_in(directory):
        known = known_of(directory, name, heads.size_bytes if name == LOG else None)
        if known is not None:
            files[name] = known
    return Statement(
        run_id=begun["run_id"],
        machine=begun["machine"],
        machine_sha256=begun["machine_sha256"],
        mode=begun["mode"],
        status=state.status,
        state=state.state,
        records=heads.records,
        head=heads.head,
        size_bytes=heads.size_bytes,
        sealed_at=(at or datetime.now(UTC)).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        files=files,
        before=(before.name, before.sha256) if before else ("", ""),
    )


def _is_same(newest: Seal, statement: Statement, signer: "Signer | None") -> bool:
    """Whether a seal says already what there is to say, and is signed as it would be."""
    sealed = newest.statement
    same = (sealed.records, sealed.head, dict(sealed.files)) == (
        statement.records,
        statement.head,
        dict(statement.files),
    )
    if signer is None:
        return same
    return same and newest.envelope is not None and bool(newest.envelope.by((signer.public,)))


# --- the witness ----------------------------------------------------------------------------------------


def witness(
    seal: Seal, home: Home, objects: "LastingObjects", signer: "Signer | None", retain: timedelta | None
) -> str:
    """Write a seal's checkpoint into the bucket; return in words how it is kept.

    Raises EvidenceFault where another checkpoint lies there; Unreachable, ActionFailed; DrfsmError of the signer.
    """
    sealed = Checkpoint(home.origin, seal.statement.records, seal.statement.head)
    note = signed_note(sealed, [signer] if signer is not None else [])
    key = key_of_checkpoint(home.prefix, home.run_id, sealed.records)
    locks = retain is not None and objects.locks()
    until = datetime.now(UTC).replace(microsecond=0) + retain if retain and locks else None
    there = objects.put_once(key, note.raw, kind=_TEXT, retain_until=until)
    if there != note.raw and read_note(there, f"s3://{home.bucket}/{key}").checkpoint != sealed:
        raise EvidenceFault(
            f"s3://{home.bucket}/{key} is the checkpoint of another log of this run: its head is not this one's",
            hint="keep both: the run went on elsewhere, or one of the two logs was written anew",
        )
    if until is not None and there == note.raw:
        return f"until {until:%Y-%m-%d} nobody can delete it"
    return "the bucket has no Object Lock: it can be deleted" if retain is not None and not locks else ""


@frozen
class Witnessed:
    """What the bucket holds of a run: its checkpoints, which objects are none, whether all are kept from deletion."""

    notes: tuple[Note, ...]
    unreadable: tuple[Finding, ...]
    locked: bool


def checkpoints_of(objects: "LastingObjects", home: Home) -> Witnessed:
    """Return a run's checkpoints in the bucket, each as it was first written. Raises Unreachable, ActionFailed."""
    notes: list[Note] = []
    unreadable: list[Finding] = []
    locked = True
    for kept in objects.first_versions(f"{home_of_checkpoints(home.prefix, home.run_id)}/"):
        locked = locked and kept.retained_until is not None
        try:
            notes.append(read_note(kept.body, f"s3://{home.bucket}/{kept.key}"))
        except Unreadable as fault:
            unreadable.append(Finding(0, "checkpoint_unreadable", fault.what))
    return Witnessed(tuple(notes), tuple(unreadable), locked)


def check_witness(
    place: Path, objects: "LastingObjects", home: Home, *, keys: Sequence["PublicKey"] = ()
) -> tuple[Finding, ...]:
    """Hold a bundle against its checkpoints in the bucket; return the findings. Raises Unreachable, ActionFailed."""
    witnessed = checkpoints_of(objects, home)
    with Directory.look(place) as directory:
        seals, _ = seals_in(directory)
        heads = heads_of(directory, {note.checkpoint.records for note in witnessed.notes})
    at = {records: head for records, (head, _) in heads.at.items()}
    sealed = seals[-1].statement.records if seals else 0
    found = check_checkpoints(witnessed.notes, home.origin, at, records=heads.records, sealed=sealed, keys=keys)
    findings = [*witnessed.unreadable, *found]
    if witnessed.notes and not witnessed.locked:
        findings.append(Finding(0, "checkpoint_unlocked", f"the checkpoints in s3://{home.bucket} can be deleted"))
    return tuple(findings)


def seal_on_leaving(
    place: Path,
    state: RunState,
    sealing: Sealing,
    home: Home | None,
    objects: Callable[[], "LastingObjects"],
    tell: Callable[[str], None],
) -> None:
    """Seal a run that a process leaves held or ended; ``home`` None: it has no mirror, and so no witness.

    Raises nothing for a key, a store or a disk that refuses: what failed is told.
    """
    again = f"later: drfsm bundle seal {place}"
    try:
        signer = sealing.signer()
        sealed = seal(place, state, signer)
    except DrfsmError as fault:
        tell(f"NOT SEALED as asked for: {fault.what}. {again}")
        signer = None
        try:
            sealed = seal(place, state, None) if sealing.sign_key else None
        except DrfsmError:
            return
    if sealed is None or home is None:
        return
    try:
        told = witness(sealed, home, objects(), signer, sealing.retain)
    except DrfsmError as fault:
        tell(f"no checkpoint in the bucket: {fault.what}. {again}")
    else:
        if told:
            tell(f"checkpoint at {sealed.statement.records} records: {told}")
