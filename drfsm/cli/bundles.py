"""`drfsm bundle`: seals bundles and checks their seals, packs them, keeps archives in the bucket, prunes what is kept.

Offline, but for push, pull, prune, and seal and verify with the bucket's witness.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from drfsm.claims import printable
from drfsm.cli.completing import run_ids
from drfsm.cli.documents import output_option
from drfsm.cli.options import endpoint_url, region
from drfsm.cli.say import say, say_json, say_lines
from drfsm.cli.sealing_options import retain, retention, sealed_as, sealing
from drfsm.errors import ExitCode, UsageFault
from drfsm.files import Directory
from drfsm.runs import selection

if TYPE_CHECKING:
    from drfsm.evidence.audit.findings import Finding
    from drfsm.evidence.sealing_keys import PublicKey
    from drfsm.runs.seals import Home

_named = click.argument("named", metavar="[BUNDLE]", required=False, shell_complete=run_ids)
_output = output_option("text for people; the others hold one document.")
_kit = click.option("--kit", is_flag=True, help="Add a verifier in one file and the schemas, for who has no drfsm.")


def _read(keys: Sequence[str]) -> "tuple[PublicKey, ...]":
    """Return the public keys in these files. Raises UsageFault."""
    if not keys:
        return ()
    from drfsm.evidence.sealing_keys import read_public_keys

    return read_public_keys(keys)


_key = click.option(
    "--key", "keys", multiple=True, type=click.Path(), metavar="FILE",
    help="Public key of a signer that you trust, in PEM or as ssh-keygen writes it. Repeatable.",
)  # fmt: skip


@click.group("bundle")
def bundle() -> None:
    """Seal, check, pack, push and prune the bundles of runs."""


# --- seals ----------------------------------------------------------------------------------------------


@bundle.command()
@_named
@sealing
@click.option("--no-checkpoint", is_flag=True, help="Do not ask the bucket: leave no checkpoint there.")
@endpoint_url
@region
def seal(named: str | None, *, no_checkpoint: bool, endpoint_url: str, region: str, **options: Any) -> int:
    """Seal a bundle as it stands, and leave its checkpoint in the bucket. Runs do that by themselves.

    For a run whose process died, whose key could not sign, or whose bucket could not be reached then; or to add your
    own signature to a bundle that you checked.
    """
    from attrs import evolve

    from drfsm.adapters.file_journal import read_chain
    from drfsm.evidence.sealing import seals_in
    from drfsm.journal import fold
    from drfsm.runs import seals

    place = selection.find(named, to_read=True)
    places = {"endpoint_url": endpoint_url, "region": region}
    signer = evolve(sealed_as(dict(options)), places=places).signer()
    state = fold(read_chain(place).records)
    made = seals.seal(place, state, signer)
    with Directory.look(place) as directory:
        newest = seals_in(directory)[0][-1]
    signed = f"signed by {signer.public.id}" if newest.envelope and signer else "unsigned" if made else "as it was"
    say(f"{place}/seals/{newest.name}: {newest.statement.records} records, {signed}")
    if no_checkpoint:
        return int(ExitCode.DONE)
    home, objects = _witness(place, places)
    told = seals.witness(newest, home, objects, signer, options["retain"])
    say(f"checkpoint {home.origin} at {newest.statement.records} records{f': {told}' if told else ''}")
    return int(ExitCode.DONE)


def _witness(place: Path, places: Mapping[str, str]) -> "tuple[Home, Any]":
    """Return where a bundle's checkpoints lie, and how to reach them. Raises UsageFault for a run without a bucket."""
    from drfsm.adapters.aws import lasting_objects
    from drfsm.journal.mirror import parts_of
    from drfsm.runs.following import mirror_of
    from drfsm.runs.mirrors import store_of
    from drfsm.runs.seals import Home

    uri, reached = mirror_of(place, places)
    bucket, prefix, run_id = parts_of(uri)
    return Home(bucket, prefix, run_id), lasting_objects(store_of(bucket, reached))


@bundle.command()
@_named
@_key
@click.option("--mirror", is_flag=True, help="Also hold the log against its checkpoints in the bucket.")
@endpoint_url
@region
@_output
def verify(named: str | None, *, keys: Sequence[str], mirror: bool, endpoint_url: str, region: str, output: str) -> int:
    """Hold a bundle, or an archive of one, against its seals. Offline without --mirror.

    Exits with 6 if something does not hold. It looks at files, hashes and signatures: `drfsm replay` proves what the
    records say.
    """
    trusted, places = _read(keys), {"endpoint_url": endpoint_url, "region": region}
    if named is not None and named.endswith(".tar.zst") and Path(named).is_file():
        import tempfile

        from drfsm.runs.bundle_archive import lay, read_archive, unpack

        with tempfile.TemporaryDirectory(prefix="drfsm-") as directory:
            place = Path(directory) / "bundle"
            lay(unpack(read_archive(Path(named)), named), place)
            return _verified(named, place, trusted, places if mirror else None, output)
    found = selection.find(named, to_read=True)
    return _verified(str(found), found, trusted, places if mirror else None, output)


def _verified(
    shown: str, place: Path, keys: "Sequence[PublicKey]", places: Mapping[str, str] | None, output: str
) -> int:
    """Check one bundle and tell what was found. ``places`` None: its checkpoints are not asked for."""
    from drfsm.evidence.sealing import check_seals

    findings = list(check_seals(place, keys=keys))
    if places is not None:
        from drfsm.runs.seals import check_witness

        home, objects = _witness(place, places)
        findings += check_witness(place, objects, home, keys=keys)
    return _told(shown, findings, output, witnessed=places is not None)


def _told(shown: str, findings: "Sequence[Finding]", output: str, *, witnessed: bool) -> int:
    from drfsm.evidence.sealing_rules import is_remark

    remarks = [finding for finding in findings if is_remark(finding.code)]
    faults = [finding for finding in findings if not is_remark(finding.code)]
    verdict = "does not hold" if faults else "holds with remarks" if remarks else "holds"
    if output == "json":
        listed = [
            {"rule": each.code, "remark": is_remark(each.code), "line": each.line or None, "what": each.what}
            for each in findings
        ]
        say_json({"bundle": shown, "verdict": verdict, "witness_asked": witnessed, "findings": listed})
    else:
        say_lines(_lines(faults, remarks))
        say(f"{verdict}: {shown}")
    return int(ExitCode.EVIDENCE if faults else ExitCode.DONE)


def _lines(faults: "Iterable[Finding]", remarks: "Iterable[Finding]") -> Iterable[str]:
    from drfsm.evidence.sealing_rules import RULES

    for finding in faults:
        yield f"{finding.what} [{finding.code}]"
        yield f"  next: {RULES[finding.code].to_do}"
    yield from (f"remark: {finding.what} [{finding.code}]" for finding in remarks)


# --- archives -------------------------------------------------------------------------------------------


@bundle.command()
@_named
@click.option("--out", type=click.Path(), help="The archive's file.  [default: RUN.tar.zst, here]")
@_kit
def pack(named: str | None, *, out: str | None, kit: bool) -> int:
    """Pack a bundle into one file, the same bytes for the same bundle. Nothing secret is in it."""
    from drfsm.runs.bundle_archive import SUFFIX
    from drfsm.runs.bundle_archive import pack as packed

    place = selection.find(named, to_read=True)
    raw = packed(place, with_kit=kit)
    target = Path(out or f"{place.name}{SUFFIX}")
    _write_new(target, raw)
    say(f"{target}: {len(raw)} bytes, SHA-256 {_sha256(raw)}")
    return int(ExitCode.DONE)


def _write_new(target: Path, raw: bytes) -> None:
    """Write a file that does not exist yet. Raises UsageFault, DiskFault."""
    import os

    with Directory.look(target.parent) as directory, os.fdopen(directory.create(target.name), "wb") as file:
        file.write(raw)


def _sha256(raw: bytes) -> str:
    import hashlib

    return hashlib.sha256(raw).hexdigest()


@bundle.command()
@click.argument("archive", type=click.Path())
@click.argument("directory", type=click.Path())
@_key
def unpack(archive: str, directory: str, *, keys: Sequence[str]) -> int:
    """Unpack an archive into a new DIRECTORY, and hold it against its seals.

    An archive with one unsafe member is refused whole. Exits with 6 if a seal does not hold.
    """
    from drfsm.runs.bundle_archive import read_archive

    return _laid(read_archive(Path(archive)), archive, directory, _read(keys))


def _laid(raw: bytes, shown: str, directory: str, keys: "Sequence[PublicKey]") -> int:
    from drfsm.runs.bundle_archive import lay
    from drfsm.runs.bundle_archive import unpack as unpacked

    files = unpacked(raw, shown)
    lay(files, Path(directory))
    say(f"{directory}: {len(files)} files")
    return _verified(directory, Path(directory).absolute(), keys, None, "text")


@bundle.command()
@_named
@_kit
@retain
@endpoint_url
@region
def push(named: str | None, *, kit: bool, retain: timedelta | None, endpoint_url: str, region: str) -> int:
    """Push a bundle's archive into the bucket, beside the run's records, and read it back."""
    from drfsm.runs.bundle_store import push as pushed

    place = selection.find(named, to_read=True)
    archive, told = pushed(place, {"endpoint_url": endpoint_url, "region": region}, with_kit=kit, retain=retain)
    say(f"{archive.uri}: {archive.records} records{f'; {told}' if told else ''}")
    return int(ExitCode.DONE)


@bundle.command()
@click.argument("uri", metavar="S3_URI")
@click.argument("directory", type=click.Path())
@_key
@endpoint_url
@region
def pull(uri: str, directory: str, *, keys: Sequence[str], endpoint_url: str, region: str) -> int:
    """Get a run's newest archive, or the one that is named, into a new DIRECTORY, and hold it against its seals.

    S3_URI is s3://<bucket>/<prefix>/drfsm/runs/<run>, or the address of one archive.
    """
    from drfsm.runs.bundle_store import pull as pulled

    archive, raw = pulled(uri, {"endpoint_url": endpoint_url, "region": region})
    return _laid(raw, archive.uri, directory, _read(keys))


def _age(_context: click.Context, _parameter: click.Parameter, value: str) -> timedelta:
    age = retention(value)
    if age is None:
        raise UsageFault("--older-than is empty", hint="give 90d, 12w, 18m or 7y")
    return age


@bundle.command()
@click.option(
    "--older-than", required=True, callback=_age, metavar="TIME", help="Runs that ended so long ago: 90d, 7y."
)
@click.option("--yes", is_flag=True, help="Remove them. Without it, only show which would go.")
@_key
@endpoint_url
@region
@_output
def prune(older_than: timedelta, *, yes: bool, keys: Sequence[str], endpoint_url: str, region: str, output: str) -> int:
    """Remove old bundles of this computer that are kept in the bucket.

    Each one's newest archive is read again first: a bundle goes only if every byte of it is there and its seals hold.
    What is secret (private/) goes with it, and is in no archive.
    """
    from drfsm.runs.bundle_store import candidates, remove

    rows = []
    for candidate in candidates(older_than, {"endpoint_url": endpoint_url, "region": region}, _read(keys)):
        if yes and not candidate.kept:
            remove(candidate)
        done = "stays" if candidate.kept else "removed" if yes else "would go"
        rows.append({
            "bundle": str(candidate.place), "run_id": candidate.run_id, "ended_at": candidate.ended_at,
            "archive": candidate.archive, "outcome": done, "why": candidate.kept,
        })  # fmt: skip
    if output == "json":
        say_json(rows)
        return int(ExitCode.DONE)
    for row in rows:
        why = f": {row['why']}" if row["why"] else f" ({row['archive']})"
        say(f"{row['outcome']:<9} {row['ended_at'][:10]}  {row['run_id']}{why}")
        if row["why"] == "it was not pushed":
            say(f"  next: drfsm bundle push {quote(printable(row['bundle']))}")
    if not rows:
        say("no run of this computer ended so long ago", err=True)
    return int(ExitCode.DONE)
