"""Archives of bundles in the bucket, beside the run's records: pushed, pulled, and what may be pruned here.

    <prefix>/drfsm/runs/<run>/bundles/000412-<SHA-256, 16 digits>.tar.zst

An archive is written once, named by how many records it holds and by its own hash, and read back before it counts as
pushed. A bundle is pruned only where the newest archive was read again, unpacked, and holds every byte of it.
"""

import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from drfsm.adapters.file_journal import holder, read_chain
from drfsm.claims import bounded, moment, printable
from drfsm.errors import ActionFailed, DrfsmError, EvidenceFault, UsageFault
from drfsm.evidence.sealing import check_seals
from drfsm.evidence.sealing_rules import is_remark
from drfsm.evidence.sealing_statement import heads_of
from drfsm.files import Directory, disk_fault
from drfsm.journal import RunState, fold
from drfsm.journal.mirror import home_of, parts_of
from drfsm.runs import bundle
from drfsm.runs.bundle_archive import LARGEST_PACKED_BYTES, SUFFIX, files_of, pack, unpack
from drfsm.runs.following import mirror_of
from drfsm.runs.mirrors import store_of

if TYPE_CHECKING:
    from drfsm.evidence.sealing_keys import PublicKey
    from drfsm.world import ObjectStore

_NAME = re.compile(r"([0-9]{6,9})-([0-9a-f]{16})\.tar\.zst", re.ASCII)
_KIND = "application/zstd"


@frozen
class Archive:
    """One pushed archive."""

    uri: str
    key: str
    records: int
    digits: str  # the first 16 of its SHA-256


def push(
    place: Path, places: Mapping[str, str], *, with_kit: bool = False, retain: timedelta | None = None
) -> tuple[Archive, str]:
    """Push a bundle's archive beside its mirror; return it, and in words how it is kept.

    Raises EvidenceFault where something else lies in its place, UsageFault for a run without a bucket, Unreachable.
    """
    from drfsm.adapters.aws import lasting_objects

    raw = pack(place, with_kit=with_kit)
    store, home = _reached(place, places)
    with Directory.look(place) as directory:
        records = heads_of(directory).records
    digits = hashlib.sha256(raw).hexdigest()[:16]
    key = f"{home}/bundles/{records:06d}-{digits}{SUFFIX}"
    archive = Archive(f"s3://{store.bucket}/{key}", key, records, digits)
    objects = lasting_objects(store)
    until = datetime.now(UTC).replace(microsecond=0) + retain if retain and objects.locks() else None
    if objects.put_once(key, raw, kind=_KIND, retain_until=until) != raw or read(store, archive) != raw:
        raise EvidenceFault(
            f"{archive.uri} holds other bytes than were pushed", hint="find out who wrote it; the bundle stays here"
        )
    if until is not None:
        return archive, f"until {until:%Y-%m-%d} nobody can delete it"
    return archive, "the bucket has no Object Lock: it can be deleted" if retain else ""


def _reached(place: Path, places: Mapping[str, str]) -> tuple["ObjectStore", str]:
    uri, reached = mirror_of(place, places)
    bucket, prefix, run_id = parts_of(uri)
    return store_of(bucket, reached), home_of(prefix, run_id)


def archives_in(store: "ObjectStore", home: str) -> list[Archive]:
    """Return the archives of a run, the one with the most records last."""
    keys = [stat.key for stat in store.list(f"{home}/bundles/")]
    matches = [(key, match) for key in keys if (match := _NAME.fullmatch(key.rpartition("/")[2]))]
    archives = [Archive(f"s3://{store.bucket}/{key}", key, int(match[1]), match[2]) for key, match in matches]
    return sorted(archives, key=lambda archive: archive.records)


def read(store: "ObjectStore", archive: Archive) -> bytes:
    """Return an archive's bytes. Raises EvidenceFault where they are not those that its name says, ActionFailed."""
    blob = store.get(archive.key, largest_bytes=LARGEST_PACKED_BYTES)
    if blob is None:
        raise ActionFailed(f"{archive.uri} does not exist", hint="drfsm bundle push BUNDLE", fault="store")
    if hashlib.sha256(blob.body).hexdigest()[:16] != archive.digits:
        raise EvidenceFault(
            f"{archive.uri} has another SHA-256 than its name says", hint="find out who wrote it; get another copy"
        )
    return blob.body


def pull(uri: str, places: Mapping[str, str]) -> tuple[Archive, bytes]:
    """Return an archive: the one of this address, or the newest of a run's mirror. Raises UsageFault, EvidenceFault."""
    name = uri.rpartition("/")[2]
    match = _NAME.fullmatch(name)
    bucket, prefix, run_id = parts_of(uri.removesuffix(f"/bundles/{name}") if match else uri)
    store = store_of(bucket, places)
    home = home_of(prefix, run_id)
    if match:
        archive = Archive(uri, f"{home}/bundles/{name}", int(match[1]), match[2])
    elif archives := archives_in(store, home):
        archive = archives[-1]
    else:
        raise UsageFault(f"{bounded(uri)} has no archive", hint="on the run's machine: drfsm bundle push BUNDLE")
    return archive, read(store, archive)


# --- pruning --------------------------------------------------------------------------------------------


@frozen
class Candidate:
    """A bundle of this computer that is old enough. ``kept``: why it stays all the same, "" if it may go."""

    place: Path
    run_id: str
    ended_at: str
    archive: str = ""
    kept: str = ""


def candidates(
    older_than: timedelta, places: Mapping[str, str], keys: Sequence["PublicKey"] = ()
) -> Iterator[Candidate]:
    """Yield every bundle of a run that ended so long ago, with why it may not go. Reads each one's archive again."""
    until = datetime.now(UTC) - older_than
    for place in bundle.runs():
        try:
            state = fold(read_chain(place).records)
        except DrfsmError:
            continue  # damaged: `drfsm list` shows it, and nobody removes evidence that can't be read
        ended = moment(state.ended_at or "")
        if state.sealed and ended is not None and ended < until:
            yield _judged(place.resolve(), state, places, keys)


def _judged(place: Path, state: RunState, places: Mapping[str, str], keys: Sequence["PublicKey"]) -> Candidate:
    ended_at = str(state.ended_at)
    try:
        uri, kept = _kept(place, places, keys)
    except DrfsmError as fault:
        uri, kept = "", fault.what
    return Candidate(place, state.run_id, ended_at, uri, kept)


def _kept(place: Path, places: Mapping[str, str], keys: Sequence["PublicKey"]) -> tuple[str, str]:
    """Return the archive that a bundle is in, and why the bundle must stay, "" if it need not."""
    if holder(place) is not None:
        return "", "a process works on it"
    store, home = _reached(place, places)
    archives = archives_in(store, home)
    if not archives:
        return "", "it was not pushed"
    archive = archives[-1]
    there, here = unpack(read(store, archive), archive.uri), files_of(place)
    if there != here:
        differing = sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
        return archive.uri, f"its archive is not the same: {bounded(differing[0])} differs"
    if faults := [finding for finding in check_seals(place, keys=keys) if not is_remark(finding.code)]:
        return archive.uri, f"its seals do not hold: {faults[0].what}"
    return archive.uri, ""


def remove(candidate: Candidate) -> None:
    """Remove a bundle that may go, and the name under which this computer knows it. Raises UsageFault, DiskFault."""
    if candidate.kept:
        raise UsageFault(f"{printable(candidate.place)} stays: {candidate.kept}", hint="drfsm bundle push BUNDLE")
    with Directory.own(candidate.place):
        pass  # BEFORE anything is removed: it is a directory of this user's, and nobody else writes to it
    known = bundle.home() / "runs" / candidate.run_id
    try:
        shutil.rmtree(candidate.place)  # relative to descriptors: no link is followed
        if known.is_symlink():
            with suppress(FileNotFoundError):
                known.unlink()
    except OSError as fault:
        raise disk_fault(fault, f"{printable(candidate.place)} can't be removed", candidate.place) from None
