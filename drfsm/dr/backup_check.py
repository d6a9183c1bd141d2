"""A backup, opened: its parts whole, its archives safe, its manifests understood, its age told.

``verify`` finds everything that is wrong; ``opened`` returns the content of a backup that holds, and of no other.
What is returned is the very bytes that were checked. Owns the facts ``backup_contents`` and ``recovery_point``.
Called by restore.py and the CLI.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from attrs import frozen

from drfsm.dr.backup import METADATA, PARTS, examine, home_of, judge, understood
from drfsm.dr.backup_archive import LARGEST_PACKED_BYTES, MANIFESTS, STATE, unpacked
from drfsm.dr.backup_manifests import APIS
from drfsm.dr.safe_tar import UnsafeArchive
from drfsm.engine import Fact, Run
from drfsm.errors import ActionFailed, ExitCode, UsageFault
from drfsm.world import Check, Manifest, ObjectStore, World

_CLOCKS_APART_SECONDS = 300


class BackupFault(ActionFailed):
    """A backup does not hold; ``faults`` says everything that is wrong with it."""

    exit_code = ExitCode.DIFFERENT

    def __init__(self, uri: str, faults: Sequence[str]) -> None:
        super().__init__(
            f"the backup {uri} does not hold: {'; '.join(faults)}",
            way="name another backup; `drfsm backup verify` says whether it holds",
            fault="store",
        )
        self.faults = tuple(faults)


@frozen
class Backup:
    """A backup that holds. ``state`` is every file of state.tar.zst; ``archive`` that part's own bytes."""

    uri: str
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
        told = self.metadata.get("state")
        return not isinstance(told, Mapping) or bool(told.get("claim"))

    @property
    def secrets(self) -> dict[str, Sequence[str] | None]:
        """The Secrets that the site had, with their keys, None where they aren't known."""
        listed = self.metadata.get("secrets")
        if isinstance(listed, Mapping):
            return {str(name): keys if isinstance(keys, list) else None for name, keys in listed.items()}
        left_out = self.metadata.get("excluded")  # as older backups say it
        told = left_out if isinstance(left_out, list) else []
        return {str(each).removeprefix("Secret/"): None for each in told if str(each).startswith("Secret/")}


def verify(store: ObjectStore, uri: str, *, check: Check | None = None) -> dict[str, Any]:
    """See a backup as ``examine`` does, and what its archives hold. ``judge`` of backup.py judges it."""
    return _looked_into(store, uri, check)[0]


def opened(store: ObjectStore, uri: str, *, check: Check | None = None) -> Backup:
    """Return a backup's content. Raises BackupFault unless all of it holds."""
    seen, backup = _looked_into(store, uri, check)
    if backup is None:
        raise BackupFault(seen["uri"], [*(f"{name} is missing" for name in seen["missing"]), *seen["damaged"]])
    return backup


def outline(store: ObjectStore, uri: str) -> Backup:
    """Return a backup without its state, whose archive is not read: enough to hold a site against it.

    Raises BackupFault unless its metadata and its manifests hold.
    """
    home = home_of(store, uri)
    seen: dict[str, Any] = {"uri": f"s3://{store.bucket}/{home.rstrip('/')}", "damaged": [], "archives": {}}
    found, part = store.get(home + METADATA), store.get(home + MANIFESTS, largest_bytes=LARGEST_PACKED_BYTES)
    if found is None or part is None:
        raise BackupFault(seen["uri"], [f"{METADATA if found is None else MANIFESTS} is missing"])
    declared, seen["damaged"] = understood(found.body, home.rstrip("/").rpartition("/")[2])
    if not seen["damaged"] and hashlib.sha256(part.body).hexdigest() != declared[MANIFESTS]["sha256"]:
        seen["damaged"].append(f"{MANIFESTS} has another SHA-256 than {METADATA} says")
    files = {} if seen["damaged"] else _files(MANIFESTS, part.body, seen)
    manifests = list(_manifests(files, seen))
    if seen["damaged"]:
        raise BackupFault(seen["uri"], seen["damaged"])
    return Backup(seen["uri"], json.loads(found.body), manifests, {}, b"")


def _looked_into(store: ObjectStore, uri: str, check: Check | None) -> tuple[dict[str, Any], Backup | None]:
    seen = {**examine(store, uri, check=check), "archives": {}, "created_at": None}
    if judge(seen) != "intact":
        return seen, None
    home, bodies = home_of(store, uri), {}
    for name in PARTS:
        if seen["parts"][name]["bytes"] > LARGEST_PACKED_BYTES:
            seen["damaged"].append(f"{name} has more than {LARGEST_PACKED_BYTES} bytes: it can't be opened here")
            return seen, None
        blob = store.get(home + name, largest_bytes=LARGEST_PACKED_BYTES)
        bodies[name] = blob.body if blob else b""
        if hashlib.sha256(bodies[name]).hexdigest() != seen["parts"][name]["sha256"]:
            seen["damaged"].append(f"{name} is being written to: it was another a moment ago")
            return seen, None
    found = store.get(home + METADATA)
    metadata = json.loads(found.body) if found else {}
    contents = {name: _files(name, body, seen) for name, body in bodies.items()}
    manifests = list(_manifests(contents[MANIFESTS], seen)) if not seen["damaged"] else []
    seen["created_at"] = metadata.get("created_at")
    if seen["damaged"]:
        return seen, None
    return seen, Backup(seen["uri"], metadata, manifests, contents[STATE], bodies[STATE])


def _files(name: str, raw: bytes, seen: dict[str, Any]) -> dict[str, bytes]:
    try:
        found = unpacked(name, raw)
    except UnsafeArchive as fault:
        seen["damaged"].append(f"{name}: {fault}")
        return {}
    seen["archives"][name] = {"files": len(found), "bytes": sum(map(len, found.values()))}
    return found


def _manifests(files: Mapping[str, bytes], seen: dict[str, Any]) -> Iterator[Manifest]:
    """Yield the objects; note what is none, or is of a kind that no backup holds: a Secret least of all."""
    for path, body in sorted(files.items()):
        try:
            found = json.loads(body)
            kind, api, name = found["kind"], found["apiVersion"], found["metadata"]["name"]
        except (ValueError, KeyError, TypeError):
            seen["damaged"].append(f"{MANIFESTS}: {path} holds no Kubernetes object")
            continue
        if {"Namespace": "v1", **APIS}.get(kind) != api or not isinstance(name, str):
            seen["damaged"].append(f"{MANIFESTS}: {path} is a {api} {kind}, which a backup does not hold")
            continue
        yield found


# --- how old it is --------------------------------------------------------------------------------------


def age(created_at: object, now: str, objective_seconds: float | None) -> dict[str, Any]:
    """Return how old a backup is against an objective; ``within`` is None where nothing is asked or known."""
    told = {"created_at": created_at, "objective_seconds": objective_seconds, "age_seconds": None, "within": None}
    try:
        born = datetime.fromisoformat(str(created_at))
    except ValueError:
        return {**told, "within": None if objective_seconds is None else False}
    born = born if born.tzinfo else born.replace(tzinfo=UTC)
    seconds = (datetime.fromisoformat(now) - born).total_seconds()
    # A backup from the future has no age that could be relied on.
    within = None if objective_seconds is None else -_CLOCKS_APART_SECONDS <= seconds <= objective_seconds
    return {**told, "age_seconds": int(seconds), "within": within}


def aged(seen: Mapping[str, Any]) -> str:
    """Say an age to a person."""
    if seen["age_seconds"] is None:
        return f"its age can't be told: it was created at {seen['created_at']!r}"
    asked = f", the objective is {seen['objective_seconds']:.0f} s" if seen["objective_seconds"] is not None else ""
    return f"it is {seen['age_seconds']} s old{asked}"


def objective(given: object) -> float | None:
    """Return an objective in seconds, None for none. Raises UsageFault."""
    if given in (None, ""):
        return None
    try:
        seconds = float(str(given))
    except ValueError:
        seconds = -1
    if not 0 < seconds < float("inf"):
        raise UsageFault(f"a recovery point objective is a number of seconds above 0, not {given!r}")
    return seconds


# --- for the machines -----------------------------------------------------------------------------------


def _observe(world: World, run: Run) -> dict[str, Any]:
    run.note(f"opening the backup {run.inputs['backup_uri']}")
    return verify(world.store, str(run.inputs["backup_uri"]), check=run.check)


def _observe_age(world: World, run: Run) -> dict[str, Any]:
    blob = world.store.get(home_of(world.store, str(run.inputs["backup_uri"])) + METADATA)
    try:
        found = json.loads(blob.body) if blob else {}
    except ValueError:
        found = {}
    created_at = found.get("created_at") if isinstance(found, dict) else None
    return age(created_at, run.clock.now(), objective(run.inputs.get("recovery_point_objective")))


def _judge_age(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str:
    return "unasked" if seen["objective_seconds"] is None else "within" if seen["within"] else "over"


FACTS = {"backup_contents": Fact(_observe, judge), "recovery_point": Fact(_observe_age, _judge_age)}
