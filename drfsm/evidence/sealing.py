"""Seals of a bundle: read, and held against the bundle, offline. What finds a rewritten end, file or whole log.

    seals/0001.statement.json    the first seal, without a key: a statement (sealing_statement.py)
    seals/0002.dsse.json         the second, signed: the statement in an envelope (sealing_envelope.py)

A run is sealed at each hold and at its end. The newest seal is held against every file; of an older one the journal's
head at its length must still be there. Each seal names the SHA-256 of the file of the one before it, so the newest
signature vouches for all of them. Believes nothing that a bundle says: a fault is a finding, and nothing is raised for
it. ``runs/seals.py`` writes seals; `drfsm bundle verify` and the audit check them.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from drfsm.claims import bounded, object_of
from drfsm.errors import DrfsmError, Unreadable
from drfsm.evidence.audit.findings import Finding
from drfsm.evidence.sealing_envelope import LARGEST_ENVELOPE_BYTES, Envelope, read_envelope
from drfsm.evidence.sealing_keys import PublicKey
from drfsm.evidence.sealing_statement import LOG, SEALS, Heads, Statement, heads_of, known_of, names_in, read_statement
from drfsm.files import Directory
from drfsm.journal.chain import LARGEST_LINE_BYTES

SIGNED, UNSIGNED = "dsse.json", "statement.json"
_NAME = re.compile(r"([0-9]{4,6})\.(dsse|statement)\.json", re.ASCII)


@frozen
class Seal:
    """One seal of a bundle. ``sha256``: of its file. ``envelope`` None: it is not signed."""

    name: str
    number: int
    sha256: str
    statement: Statement
    envelope: Envelope | None


def seal_name(number: int, *, signed: bool) -> str:
    """Return the name of a seal's file in seals/."""
    return f"{number:04d}.{SIGNED if signed else UNSIGNED}"


def seals_in(directory: Directory) -> tuple[list[Seal], list[Finding]]:
    """Return the seals of a bundle, oldest first, and what is wrong with those that can't be read."""
    seals: list[Seal] = []
    findings: list[Finding] = []
    for name in directory.names(SEALS):
        match = _NAME.fullmatch(name)
        if match is None:
            if not name.startswith("."):  # a draft that a dying process left
                findings.append(Finding(0, "seal_foreign", f"{SEALS}/{bounded(name, 100)} is no seal"))
            continue
        try:
            seals.append(_read(directory, name, int(match[1])))
        except DrfsmError as fault:
            findings.append(Finding(0, "seal_unreadable", fault.what))
    return sorted(seals, key=lambda seal: (seal.number, seal.envelope is not None)), findings


def _read(directory: Directory, name: str, number: int) -> Seal:
    path = f"{SEALS}/{name}"
    raw = directory.read(path, LARGEST_ENVELOPE_BYTES)
    if raw is None:
        raise Unreadable(f"{path} was removed while it was read")
    envelope = read_envelope(raw, path) if name.endswith(SIGNED) else None
    statement = read_statement(envelope.payload if envelope else raw, path)
    return Seal(name, number, hashlib.sha256(raw).hexdigest(), statement, envelope)


# --- the check ------------------------------------------------------------------------------------------


def check_seals(bundle_dir: Path, *, keys: Sequence[PublicKey] = ()) -> tuple[Finding, ...]:
    """Hold a bundle against its seals; return the findings, each with a rule of sealing_rules.py.

    ``keys``: the public keys that the reader trusts; with one, the newest seal must be signed by one of them. Offline.
    Raises UsageFault for a directory that can't be read, DiskFault.
    """
    with Directory.look(bundle_dir) as directory:
        seals, findings = seals_in(directory)
        heads = heads_of(directory, {seal.statement.records for seal in seals})
        if seals:
            findings += _links(seals)
            findings += _signatures(seals, keys)
            findings += _heads(seals, heads)
            findings += _identity(seals, heads)
            findings += _files(directory, seals[-1], heads)
        else:
            findings += _unsealed(keys, any_file=bool(findings))
    return tuple(dict.fromkeys(findings))


def _unsealed(keys: Sequence[PublicKey], *, any_file: bool) -> Iterator[Finding]:
    if keys:
        yield Finding(0, "seal_not_by_key", "the bundle has no seal, so no given key signed it")
    elif not any_file:
        yield Finding(0, "unsealed", "the records are chained but unsigned: the bundle has no seal")


def _links(seals: Sequence[Seal]) -> Iterator[Finding]:
    """Yield what is wrong with the row of seals: a gap, two with one number, one that was exchanged."""
    for number, seal in enumerate(seals, start=1):
        if seal.number != number:
            yield Finding(0, "seal_missing", f"{SEALS}/{seal.name} is seal {number} of the bundle: one was removed")
            return
    for before, seal in zip((None, *seals), seals, strict=False):
        expected = (before.name, before.sha256) if before else ("", "")
        if seal.statement.before != expected:
            named = bounded(seal.statement.before[0], 60) or "none"
            yield Finding(0, "seal_missing", f"{SEALS}/{seal.name} follows {named}, which is not the seal before it")


def _signatures(seals: Sequence[Seal], keys: Sequence[PublicKey]) -> Iterator[Finding]:
    for seal in seals:
        for key in keys:
            if seal.envelope and seal.envelope.claims(key) and not seal.envelope.by((key,)):
                what = f"the signature of {SEALS}/{seal.name} in the name of {key.name} does not hold"
                yield Finding(0, "seal_signature", what)
            if seal.envelope and seal.envelope.misnames(key):
                what = f"a signature of {SEALS}/{seal.name} was made with {key.name}, and names another key"
                yield Finding(0, "seal_signature", what)
    newest = seals[-1]
    if keys and not (newest.envelope and newest.envelope.by(keys)):
        what = "is not signed" if newest.envelope is None else "is signed by none of the given keys"
        yield Finding(0, "seal_not_by_key", f"the newest seal, {SEALS}/{newest.name}, {what}")
    elif newest.envelope is None:
        yield Finding(0, "unsigned", f"the records are chained but unsigned: {SEALS}/{newest.name} has no signature")
    elif not keys:
        ids = ", ".join(bounded(each.keyid, 64) or "no id" for each in newest.envelope.signatures)
        yield Finding(0, "seal_unchecked", f"{SEALS}/{newest.name} is signed (key {ids}); no key was given to check it")


def _heads(seals: Sequence[Seal], heads: Heads) -> Iterator[Finding]:
    for seal in seals:
        sealed = seal.statement
        where = f"{SEALS}/{seal.name} seals {sealed.records} records"
        if sealed.records > heads.records:
            yield Finding(0, "seal_truncated", f"{where}, the log holds {heads.records}: its end was cut off")
        elif heads.at.get(sealed.records, ("", 0)) != (sealed.head, sealed.size_bytes):
            yield Finding(sealed.records, "seal_head", f"{where} with the head {sealed.head}: the log has another")


def _identity(seals: Sequence[Seal], heads: Heads) -> Iterator[Finding]:
    """Yield where a seal names another run, declaration or mode than the first record."""
    begun = begun_in(heads.first)
    for seal in seals:
        for name in ("run_id", "machine", "machine_sha256", "mode"):
            sealed, recorded = str(getattr(seal.statement, name)), begun.get(name, "")
            if sealed != recorded:
                what = f"{SEALS}/{seal.name} is of the {name} {bounded(sealed, 100)}"
                yield Finding(1, "seal_run", f"{what}, the log of {bounded(recorded, 100)}")


def begun_in(line: bytes) -> dict[str, str]:
    """Return run_id, machine, machine_sha256 and mode of a journal's first line; {} for what is none."""
    try:
        body: Any = object_of(line, "the first record", largest_bytes=LARGEST_LINE_BYTES).get("body")
    except Unreadable:
        return {}
    if not isinstance(body, dict):
        return {}
    mode = "dry_run" if body.get("dry_run") else str(body.get("scope", ""))
    return {**{name: str(body.get(name, "")) for name in ("run_id", "machine", "machine_sha256")}, "mode": mode}


def _files(directory: Directory, newest: Seal, heads: Heads) -> Iterator[Finding]:
    """Yield where the bundle's files are not those of the newest seal. Once the log has grown, only what can't change.

    A run that went on writes its derived files anew: then the journal's head and the declaration must stand.
    """
    sealed = newest.statement
    grown = heads.records > sealed.records
    if grown:
        yield _grown(heads, newest)
    try:
        names = names_in(directory)
        for name, known in sealed.files.items():
            limit = sealed.size_bytes if name == LOG else None  # of a journal, as far as it was sealed
            if name == LOG and heads.at.get(sealed.records) != (sealed.head, sealed.size_bytes):
                continue  # which has its finding
            if not grown or name in (LOG, f"{sealed.machine}.yaml"):
                yield from _file(directory, name, known.sha256, newest, limit)
    except DrfsmError as fault:
        yield Finding(0, "seal_file_changed", fault.what)
        return
    if not grown:
        yield from (
            Finding(0, "seal_file_added", f"{bounded(name)} is not in {SEALS}/{newest.name}")
            for name in names
            if name not in sealed.files
        )


def _file(directory: Directory, name: str, sha256: str, newest: Seal, limit: int | None) -> Iterator[Finding]:
    there = known_of(directory, name, limit) if not _leads_out(name) else None
    if there is None:
        yield Finding(0, "seal_file_missing", f"{bounded(name)} is in {SEALS}/{newest.name}, and not in the bundle")
    elif there.sha256 != sha256:
        what = f"{bounded(name)} has the SHA-256 {there.sha256}, {SEALS}/{newest.name} says {sha256}"
        yield Finding(0, "seal_file_changed", what)


def _leads_out(name: str) -> bool:
    """Whether a seal names a file outside the bundle."""
    return any(part in ("", ".", "..") for part in name.split("/"))


def _grown(heads: Heads, newest: Seal) -> Finding:
    count = f"{SEALS}/{newest.name} seals {newest.statement.records} of {heads.records} records"
    try:
        kind = object_of(heads.last, "the last record", largest_bytes=LARGEST_LINE_BYTES).get("kind")
    except Unreadable:
        kind = None
    if kind in ("ended", "seal"):
        return Finding(heads.records, "seal_behind", f"the run has ended, and {count}")
    return Finding(heads.records, "seal_grown", f"the run went on: {count}")
