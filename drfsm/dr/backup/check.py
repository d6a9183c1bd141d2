"""A backup's content: checks its parts, its archives, its manifests and its age.

``verify`` finds all faults; ``opened`` returns the content of a valid backup only. It returns exactly the bytes that
were checked, of the pinned backup if one is pinned: by the operator, or by the run itself, whose later readings must
see the same backup as its first one. Invalid objects, or fields of a wrong type, are damage; restore_policy.py owns
what a restore may bring. Owns the facts ``backup_contents`` and ``recovery_point``. Called by restore.py and the CLI.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from drfsm.claims import bounded, is_name, json_of, moment, object_of, seconds_between
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
    """A backup is invalid; ``faults`` lists everything that is wrong with it."""

    exit_code = ExitCode.DIFFERENT

    def __init__(self, uri: str, faults: Sequence[str]) -> None:
        super().__init__(
            f"the backup {uri} is invalid: {'; '.join(faults)}",
            hint="name another backup; `drfsm backup verify` checks it",
            fault="store",
        )
        self.faults = tuple(faults)


class OtherBackup(BackupFault):
    """A backup is not the pinned one. No part of it was read."""


@frozen
class Backup:
    """A valid backup. ``state``: every file of state.tar.zst; ``archive``: that part's own bytes.

    ``sha256``: the digest over all parts (address.py).
    """

    uri: str
    sha256: str
    metadata: Mapping[str, Any]
    manifests: Sequence[Manifest]
    state: Mapping[str, bytes]
    archive: bytes

    @property
    def state_sha256(self) -> str:
        """The SHA-256 of the state's archive, which identifies this state."""
        return str(self.metadata["checksums"][STATE])

    @property
    def holds_state(self) -> bool:
        """Whether it contains the state of a persistent volume, by its metadata; older backups don't say."""
        state = self.metadata.get("state")
        return not isinstance(state, Mapping) or bool(state.get("claim"))

    @property
    def secrets(self) -> dict[str, Sequence[str] | None]:
        """The site's Secrets by name, with their keys; None where the keys aren't known."""
        listed = self.metadata.get("secrets")
        if isinstance(listed, Mapping):
            return {str(name): keys if isinstance(keys, list) else None for name, keys in listed.items()}
        left_out = self.metadata.get("excluded")  # the form of older backups
        entries = left_out if isinstance(left_out, list) else []
        named = [str(entry).removeprefix("Secret/") for entry in entries if str(entry).startswith("Secret/")]
        return {secret.partition(":")[0]: None for secret in named}


def verify(store: ObjectStore, uri: str, *, expect: str = "", check: Check | None = None) -> dict[str, Any]:
    """Observe a backup as ``examine`` does, plus its archives and what a restore would refuse of it (``outside``).

    ``judge`` of address.py judges whether it is whole, which is independent of ``outside``.
    """
    return _looked_into(store, uri, expect, check)[0]


def opened(store: ObjectStore, uri: str, *, expect: str = "", check: Check | None = None) -> Backup:
    """Return a backup's content. ``expect``: the pinned digest, "" for any. Raises BackupFault unless all is valid."""
    seen, backup = _looked_into(store, uri, expect, check)
    if backup is None:
        raise BackupFault(seen["uri"], [*(f"{name} is missing" for name in seen["missing"]), *seen["damaged"]])
    return backup


def outline(store: ObjectStore, uri: str, *, expect: str = "") -> Backup:
    """Return a backup without its state, whose archive is not read: enough to compare a site with it.

    Raises BackupFault unless its metadata and manifests are valid and its digest is the expected one.
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
    """Return the digest that a run's backup must have: the operator's, else the one of the run's first reading."""
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
    """Return a part's bytes, None (and a noted fault) if it can't be opened. ``size_bytes``: its size, if known."""
    if size_bytes is None:
        stat = store.stat(home + name)
        size_bytes = stat.size_bytes if stat is not None else 0
    if size_bytes > LARGEST_PACKED_BYTES:
        seen["damaged"].append(f"{name} has more than {LARGEST_PACKED_BYTES} bytes, which is too large to open")
        return None
    blob = store.get(home + name)
    if blob is None:
        seen["damaged"].append(f"{name} is missing")
    elif hashlib.sha256(blob.body).hexdigest() != sha256:
        seen["damaged"].append(f"{name} does not have the SHA-256 of {METADATA}, or is being written")
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
    """Yield the objects; note a fault for invalid ones and for kinds that no backup contains, such as Secrets."""
    known: set[tuple[str, str]] = set()
    for path, body in sorted(files.items()):
        try:
            manifest = _without_nulls(object_of(body, path, largest_bytes=restore_policy.LARGEST_OBJECT_BYTES))
        except Unreadable as fault:
            seen["damaged"].append(f"{MANIFESTS}: {path} is not a Kubernetes object: {fault.what}")
            continue
        kind, api, metadata = manifest.get("kind"), manifest.get("apiVersion"), manifest.get("metadata")
        if not isinstance(kind, str) or not isinstance(api, str) or not isinstance(metadata, Mapping):
            seen["damaged"].append(f"{MANIFESTS}: {path} is not a Kubernetes object")
        elif {"Namespace": "v1", **APIS}.get(kind) != api:
            message = f"{bounded(api, 100)} {bounded(kind, 100)}"
            seen["damaged"].append(f"{MANIFESTS}: {path} is a {message}, which a backup does not contain")
        elif faults := restore_policy.malformed(manifest):
            seen["damaged"] += [f"{MANIFESTS}: {path}: {fault}" for fault in faults]
        elif (kind, metadata["name"] if kind != "Namespace" else "") in known:
            seen["damaged"].append(f"{MANIFESTS}: {path} is a second {kind} {metadata['name']}")
        else:
            known.add((kind, metadata["name"] if kind != "Namespace" else ""))
            yield manifest


def _without_nulls(value: Any) -> Any:
    """Return a document without null fields: to Kubernetes they are absent."""
    if isinstance(value, dict):
        return {name: _without_nulls(content) for name, content in value.items() if content is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


# --- how old it is --------------------------------------------------------------------------------------


def age(created_at: object, now: str, objective_seconds: float | None) -> dict[str, Any]:
    """Return a backup's age and its objective; ``within`` is None where there is no objective or the age is unknown."""
    report: dict[str, Any] = {"created_at": bounded(created_at, 100) if isinstance(created_at, str) else None}
    report = {**report, "objective_seconds": objective_seconds, "age_seconds": None, "within": None}
    born, at = moment(created_at), moment(now)
    if born is None or at is None:
        return {**report, "within": None if objective_seconds is None else False}
    if seconds_between(at, born) > _CLOCKS_APART_SECONDS:  # in the future: no age can be told
        return {**report, "within": None if objective_seconds is None else False}
    seconds = seconds_between(born, at)
    within = None if objective_seconds is None else seconds <= objective_seconds
    return {**report, "age_seconds": int(seconds), "within": within}


def aged(seen: Mapping[str, Any]) -> str:
    """Return an age in words."""
    if seen["age_seconds"] is None:
        return f"its age is unknown: it was created at {bounded(repr(seen['created_at']), 100)}"
    asked = f", the objective is {seen['objective_seconds']:.0f} s" if seen["objective_seconds"] is not None else ""
    late = ": NOT WITHIN THE OBJECTIVE" if asked and not seen["within"] else ""
    return f"it is {seen['age_seconds']} s old{asked}{late}"


def expected(digest: object) -> str:
    """Return the digest that the operator pins, "" for any. Raises UsageFault."""
    text = str(digest or "").strip().lower()
    if text and not is_name("sha256", text):
        raise UsageFault(
            f"a backup's digest is 64 hex digits, not {bounded(repr(digest), 100)}",
            hint="`drfsm backup create`, `verify` and `list` show it",
        )
    return text


def objective(number: object) -> float | None:
    """Return a recovery point objective in seconds, None for none. Raises UsageFault."""
    if number in (None, ""):
        return None
    try:
        seconds = float(str(number))
    except ValueError:
        seconds = -1
    if not 0 < seconds < float("inf"):
        raise UsageFault(f"a recovery point objective must be a number of seconds above 0, not {number!r}")
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
