"""A backup, opened: its parts whole, its archives safe, its manifests understood, its age told.

``verify`` finds everything that is wrong; ``opened`` returns the content of a backup that holds, and of no other.
What is returned is the very bytes that were checked, of the backup that was pinned, if one was: by the operator, or
by the run itself, whose later readings must find the backup that its first one found. Objects that are none, or whose
types would mislead whoever reads on, are damage; what a restore may bring is restore_policy.py's. Owns the facts
``backup_contents`` and ``recovery_point``. Called by restore.py and the CLI.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from drfsm.claims import bounded, is_name, json_of, moment, object_of
from drfsm.dr.backup import restore_policy
from drfsm.dr.backup.address import (
    METADATA,
    PARTS,
    digest_of,
    home_of,
    judge,
    metadata_of,
    read,
    understood,
    unlike_pinned,
)
from drfsm.dr.backup.archive import LARGEST_PACKED_BYTES, MANIFESTS, STATE, unpacked
from drfsm.dr.backup.manifests import APIS
from drfsm.dr.safe_tar import UnsafeArchive
from drfsm.dr.terms import terms_of
from drfsm.engine import Fact, Run
from drfsm.errors import ActionFailed, ExitCode, Unreadable, UsageFault
from drfsm.world import Check, Manifest, ObjectStore, World

_CLOCKS_APART_SECONDS = 300


class BackupFault(ActionFailed):
    """A backup does not hold; ``faults`` says everything that is wrong with it."""

    exit_code = ExitCode.DIFFERENT

    def __init__(self, uri: str, faults: Sequence[str]) -> None:
        super().__init__(
            f"the backup {uri} does not hold: {'; '.join(faults)}",
            hint="name another backup; `drfsm backup verify` says whether it holds",
            fault="store",
        )
        self.faults = tuple(faults)


class OtherBackup(BackupFault):
    """A backup is not the one that was pinned. No part of it was read."""


@frozen
class Backup:
    """A backup that holds. ``state`` is every file of state.tar.zst; ``archive`` that part's own bytes.

    ``sha256``: the digest of all of it (backup.py).
    """

    uri: str
    sha256: str
    metadata: Mapping[str, Any]
    manifests: Sequence[Manifest]
    state: Mapping[str, bytes]
    archive: bytes

    @property
    def state_sha256(self) -> str:
        """What names this state."""
        return str(self.metadata["checksums"][STATE])

    @property
    def holds_state(self) -> bool:
        """Whether there is state of a lasting volume in it, as far as it says; older backups don't."""
        state = self.metadata.get("state")
        return not isinstance(state, Mapping) or bool(state.get("claim"))

    @property
    def secrets(self) -> dict[str, Sequence[str] | None]:
        """The Secrets that the site had, with their keys, None where they aren't known."""
        listed = self.metadata.get("secrets")
        if isinstance(listed, Mapping):
            return {str(name): keys if isinstance(keys, list) else None for name, keys in listed.items()}
        left_out = self.metadata.get("excluded")  # as older backups say it
        entries = left_out if isinstance(left_out, list) else []
        named = [str(entry).removeprefix("Secret/") for entry in entries if str(entry).startswith("Secret/")]
        return {secret.partition(":")[0]: None for secret in named}


def verify(store: ObjectStore, uri: str, *, expect: str = "", check: Check | None = None) -> dict[str, Any]:
    """See a backup as ``examine`` does, what its archives hold, and what of it a restore would refuse (``outside``).

    ``judge`` of backup.py judges whether it is whole; that it is whole says nothing of ``outside``.
    """
    return _looked_into(store, uri, expect, check)[0]


def opened(store: ObjectStore, uri: str, *, expect: str = "", check: Check | None = None) -> Backup:
    """Return a backup's content. ``expect``: its digest, "" for any. Raises BackupFault unless all of it holds."""
    seen, backup = _looked_into(store, uri, expect, check)
    if backup is None:
        raise BackupFault(seen["uri"], [*(f"{name} is missing" for name in seen["missing"]), *seen["damaged"]])
    return backup


def outline(store: ObjectStore, uri: str, *, expect: str = "") -> Backup:
    """Return a backup without its state, whose archive is not read: enough to hold a site against it.

    Raises BackupFault unless its metadata and its manifests hold, and its digest is the expected one.
    """
    home = home_of(store, uri)
    seen: dict[str, Any] = {"uri": f"s3://{store.bucket}/{home.rstrip('/')}", "damaged": [], "archives": {}}
    raw, seen["damaged"] = metadata_of(store, home)
    if raw is None:
        raise BackupFault(seen["uri"], [f"{METADATA} is missing"])
    declared: dict[str, dict[str, Any]] = {}
    if not seen["damaged"]:
        declared, seen["damaged"] = understood(raw, home.rstrip("/").rpartition("/")[2])
    if seen["damaged"]:
        raise BackupFault(seen["uri"], seen["damaged"])
    sha256 = digest_of(raw, {name: part["sha256"] for name, part in declared.items()})
    if faults := unlike_pinned(sha256, expect):
        raise OtherBackup(seen["uri"], faults)
    body = _part(store, home, MANIFESTS, declared[MANIFESTS]["sha256"], seen)
    files = _files(MANIFESTS, body, seen) if body is not None else {}
    manifests = list(_manifests(files, seen))
    if seen["damaged"]:
        raise BackupFault(seen["uri"], seen["damaged"])
    return Backup(seen["uri"], sha256, json_of(raw, METADATA), manifests, {}, b"")


def pinned(run: Run) -> str:
    """Return the digest that a run's backup must have: the operator's, else what the run's first reading found."""
    recorded = run.results.get("check_backup")
    first = recorded.get("backup_sha256") if isinstance(recorded, Mapping) else None
    return terms_of(run.inputs).expect_backup_sha256 or str(first or "")


def of_run(world: World, run: Run) -> Backup:
    """Return the outline of a run's backup: always the same one. Raises BackupFault."""
    return outline(world.store, terms_of(run.inputs).backup_uri, expect=pinned(run))


def _looked_into(
    store: ObjectStore, uri: str, expect: str, check: Check | None
) -> tuple[dict[str, Any], Backup | None]:
    examined, raw = read(store, uri, expect=expect, check=check)
    seen = {**examined, "archives": {}, "created_at": None, "outside": []}
    if judge(seen) != "intact":
        return seen, None
    home, contents, archive = home_of(store, uri), {}, b""
    for name in PARTS:
        body = _part(store, home, name, seen["parts"][name]["sha256"], seen, seen["parts"][name]["bytes"])
        if body is None:
            return seen, None
        contents[name] = _files(name, body, seen)
        archive = body if name == STATE else archive
    metadata = json_of(raw, METADATA)
    manifests = list(_manifests(contents[MANIFESTS], seen)) if not seen["damaged"] else []
    seen["created_at"] = metadata.get("created_at")
    if seen["damaged"]:
        return seen, None
    seen["outside"] = restore_policy.findings_json(restore_policy.findings(manifests))
    return seen, Backup(seen["uri"], seen["sha256"], metadata, manifests, contents[STATE], archive)


def _part(
    store: ObjectStore, home: str, name: str, sha256: str, seen: dict[str, Any], size_bytes: int | None = None
) -> bytes | None:
    """Return a part's bytes, None where it can't be opened, which is noted. ``size_bytes``: what is known already."""
    if size_bytes is None:
        stat = store.stat(home + name)
        size_bytes = stat.size_bytes if stat is not None else 0
    if size_bytes > LARGEST_PACKED_BYTES:
        seen["damaged"].append(f"{name} has more than {LARGEST_PACKED_BYTES} bytes: it can't be opened here")
        return None
    blob = store.get(home + name)
    if blob is None:
        seen["damaged"].append(f"{name} is missing")
    elif hashlib.sha256(blob.body).hexdigest() != sha256:
        seen["damaged"].append(f"{name} has another SHA-256 than {METADATA} says, or is being written to")
    else:
        return blob.body
    return None


def _files(name: str, raw: bytes, seen: dict[str, Any]) -> dict[str, bytes]:
    try:
        files = unpacked(name, raw)
    except UnsafeArchive as fault:
        seen["damaged"].append(f"{name}: {fault}")
        return {}
    seen["archives"][name] = {"files": len(files), "bytes": sum(map(len, files.values()))}
    return files


def _manifests(files: Mapping[str, bytes], seen: dict[str, Any]) -> Iterator[Manifest]:
    """Yield the objects; note what is none, or is of a kind that no backup holds: a Secret least of all."""
    known: set[tuple[str, str]] = set()
    for path, body in sorted(files.items()):
        try:
            manifest = _without_nulls(object_of(body, path, largest_bytes=restore_policy.LARGEST_OBJECT_BYTES))
        except Unreadable as fault:
            seen["damaged"].append(f"{MANIFESTS}: {path} holds no Kubernetes object: {fault.what}")
            continue
        kind, api, metadata = manifest.get("kind"), manifest.get("apiVersion"), manifest.get("metadata")
        if not isinstance(kind, str) or not isinstance(api, str) or not isinstance(metadata, Mapping):
            seen["damaged"].append(f"{MANIFESTS}: {path} holds no Kubernetes object")
        elif {"Namespace": "v1", **APIS}.get(kind) != api:
            message = f"{bounded(api, 100)} {bounded(kind, 100)}"
            seen["damaged"].append(f"{MANIFESTS}: {path} is a {message}, which a backup does not hold")
        elif faults := restore_policy.malformed(manifest):
            seen["damaged"] += [f"{MANIFESTS}: {path}: {fault}" for fault in faults]
        elif (kind, metadata["name"] if kind != "Namespace" else "") in known:
            seen["damaged"].append(f"{MANIFESTS}: {path} is another {kind} {metadata['name']}")
        else:
            known.add((kind, metadata["name"] if kind != "Namespace" else ""))
            yield manifest


def _without_nulls(value: Any) -> Any:
    """Return a document without what is null in an object: to Kubernetes it isn't there."""
    if isinstance(value, dict):
        return {name: _without_nulls(content) for name, content in value.items() if content is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


# --- how old it is --------------------------------------------------------------------------------------


def age(created_at: object, now: str, objective_seconds: float | None) -> dict[str, Any]:
    """Return how old a backup is against an objective; ``within`` is None where nothing is asked or known."""
    report: dict[str, Any] = {"created_at": bounded(created_at, 100) if isinstance(created_at, str) else None}
    report = {**report, "objective_seconds": objective_seconds, "age_seconds": None, "within": None}
    born, at = moment(created_at), moment(now)
    if born is None or at is None:
        return {**report, "within": None if objective_seconds is None else False}
    seconds = (at - born).total_seconds()
    # A backup from the future has no age that could be relied on.
    within = None if objective_seconds is None else -_CLOCKS_APART_SECONDS <= seconds <= objective_seconds
    return {**report, "age_seconds": int(seconds), "within": within}


def aged(seen: Mapping[str, Any]) -> str:
    """Say an age to a person."""
    if seen["age_seconds"] is None:
        return f"its age can't be told: it was created at {bounded(repr(seen['created_at']), 100)}"
    asked = f", the objective is {seen['objective_seconds']:.0f} s" if seen["objective_seconds"] is not None else ""
    late = ": NOT WITHIN THE OBJECTIVE" if asked and not seen["within"] else ""
    return f"it is {seen['age_seconds']} s old{asked}{late}"


def expected(digest: object) -> str:
    """Return the digest that an operator expects of a backup, "" for any. Raises UsageFault."""
    text = str(digest or "").strip().lower()
    if text and not is_name("sha256", text):
        raise UsageFault(
            f"a backup's digest is 64 hex digits, not {bounded(repr(digest), 100)}",
            hint="`drfsm backup create`, `verify` and `list` show it",
        )
    return text


def objective(number: object) -> float | None:
    """Return an objective in seconds, None for none. Raises UsageFault."""
    if number in (None, ""):
        return None
    try:
        seconds = float(str(number))
    except ValueError:
        seconds = -1
    if not 0 < seconds < float("inf"):
        raise UsageFault(f"a recovery point objective is a number of seconds above 0, not {number!r}")
    return seconds


# --- for the machines -----------------------------------------------------------------------------------


def _observe(world: World, run: Run) -> dict[str, Any]:
    terms = terms_of(run.inputs)
    run.note(f"opening the backup {terms.backup_uri}")
    return verify(world.store, terms.backup_uri, expect=pinned(run), check=run.check)


def _observe_age(world: World, run: Run) -> dict[str, Any]:
    raw, faults = metadata_of(world.store, home_of(world.store, terms_of(run.inputs).backup_uri))
    try:
        metadata = json_of(raw or b"{}", METADATA) if not faults else {}
    except Unreadable:
        metadata = {}
    created_at = metadata.get("created_at") if isinstance(metadata, dict) else None
    return age(created_at, run.clock.now(), objective(terms_of(run.inputs).recovery_point_objective))


def _judge_age(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str:
    return "unasked" if seen["objective_seconds"] is None else "within" if seen["within"] else "over"


FACTS = {"backup_contents": Fact(_observe, judge), "recovery_point": Fact(_observe_age, _judge_age)}
