"""Creates a backup of a site: its objects, its pointers, and the workload's state if it has a persistent volume.

<prefix>/backups/<backup_id>/{state.tar.zst, manifests.tar.zst, metadata.json}      metadata.json last

State in an emptyDir ends with its pod, so such a backup contains no state, and its metadata says so. ``state.volumes``
of the metadata says of each volume whether it is kept, and why not (volumes.py). A workload that writes to a volume
which outlives its pods and can't be kept is refused, unless the operator accepts a backup without it. It never contains
a Secret's value. Overwrites nothing. Called by the CLI.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from drfsm.claims import bounded, is_name, name_of, object_of
from drfsm.dr.backup.address import METADATA
from drfsm.dr.backup.archive import (
    LARGEST_UNPACKED_BYTES,
    MANIFESTS,
    MOST_MEMBERS,
    STATE,
    compressed,
    merged,
    packed,
)
from drfsm.dr.backup.check import Backup, BackupFault, opened
from drfsm.dr.backup.manifests import Collected, collect
from drfsm.dr.backup.state_volume import Image, Pace, Transport, check_idle
from drfsm.dr.backup.volumes import Home, home_of
from drfsm.dr.control_plane import pretty
from drfsm.dr.layout import Layout
from drfsm.dr.objects import cronjob_of
from drfsm.dr.pointers import pairs
from drfsm.dr.safe_tar import UnsafeArchive, members
from drfsm.errors import ActionFailed, Conflict, Unreadable
from drfsm.world import Cluster, ObjectStore

SCHEMA_VERSION = 1


@frozen
class Site:
    """The site to back up. ``cronjob``: the publishing one, "" for the only one; ``claim``: one of several claims."""

    cluster: Cluster
    namespace: str
    cronjob: str = ""
    claim: str = ""
    pair: tuple[str, str] = ("openai", "cs")


def create(
    store: ObjectStore,
    layout: Layout,
    site: Site,
    backup_id: str,
    *,
    image: Image,
    pace: Pace,
    accept_state_loss: bool = False,
) -> Backup:
    """Create a backup; return it, read back and opened. Raises Conflict if the id exists already.

    Raises ActionFailed; also for state that can't be kept, unless ``accept_state_loss``. Nothing was written then.
    """
    uri = f"s3://{store.bucket}/{layout.prefix}/backups/{backup_id}"
    home = f"{layout.prefix}/backups/{backup_id}/"
    if store.stat(home + METADATA) is not None:
        raise Conflict(f"the backup {uri} exists already and is not overwritten", hint="name another --backup-id")
    created_at = pace.clock.now()  # BEFORE the first read: a backup is as old as its oldest part
    collected = collect(site.cluster, site.namespace)
    pace.say(f"{len(collected.manifests)} objects of {site.namespace} on {site.cluster.name}")
    pointers, run_id = _pointers(store, layout, site.pair)
    lies = home_of(
        cronjob_of(site.cluster, site.namespace, site.cronjob, layout.workload.kubernetes.cronjob), site.claim
    )
    if lies.unkept and not accept_state_loss and not site.claim:
        raise _not_kept(lies)
    body, description = _state(store, layout, site, lies, backup_id, image, pace)
    archives = {
        STATE: compressed(merged(body, "state", {f"pointers/{key}": pointer for key, pointer in pointers.items()})),
        MANIFESTS: packed(_named(collected)),
    }
    metadata = {
        "schema_version": SCHEMA_VERSION,
        "backup_id": backup_id,
        "backup_uri": uri,
        "created_at": created_at,
        "run_id": run_id,
        "cluster_uid": site.cluster.uid(),
        "namespace": site.namespace,
        "compression": "zstd",
        "state": description,
        "pointers": sorted(pointers),
        "secrets": collected.secrets,
        "excluded": [*collected.excluded, *_empty_claims(collected, lies)],
        "checksums": {name: hashlib.sha256(archive).hexdigest() for name, archive in archives.items()},
        "sizes": {name: len(archive) for name, archive in archives.items()},
    }
    for name, content in {**archives, METADATA: pretty(metadata)}.items():
        pace.check()
        store.put(home + name, content, if_absent=True)
    try:
        return opened(store, uri, check=pace.check)
    except BackupFault as fault:
        raise ActionFailed(f"the backup was written, but its check failed: {fault.what}", fault="store") from None


def _empty_claims(collected: Collected, lies: Home) -> list[str]:
    """Return which claims of the backup have no content in it, with the reason."""
    claims = [entry["metadata"]["name"] for entry in collected.manifests if entry["kind"] == "PersistentVolumeClaim"]
    return [
        f"the content of PersistentVolumeClaim/{name}: only the state of the publishing CronJob is kept"
        for name in claims
        if name != lies.claim
    ]


def _named(collected: Collected) -> dict[str, bytes]:
    return {
        f"manifests/{manifest['kind'].lower()}.{manifest['metadata']['name']}.json": pretty(manifest)
        for manifest in collected.manifests
    }


def _pointers(store: ObjectStore, layout: Layout, pair: tuple[str, str]) -> tuple[dict[str, bytes], str | None]:
    """Return the existing pointers by key below the prefix, and the run that the deciding pointer names."""
    named = pairs(store, layout, *pair)
    keys = (*layout.global_pointers(), *layout.provider_pointers(named))
    pointers = {key: blob.body for key, blob in store.get_many(dict.fromkeys(keys)) if blob is not None}
    deciding = next((pointers[key] for key in layout.global_pointers() if key in pointers), None)
    named_run = _run_of(deciding, layout.workload.pointers.fields["run_id"])
    return {key.removeprefix(f"{layout.prefix}/"): body for key, body in pointers.items()}, named_run


def _run_of(pointer: bytes | None, field: str) -> str | None:
    try:
        run_id = object_of(pointer or b"{}", "the pointer").get(field)
    except Unreadable:
        return None
    return run_id if is_name("workload run", run_id) else None


def _state(
    store: ObjectStore, layout: Layout, site: Site, lies: Home, backup_id: str, image: Image, pace: Pace
) -> tuple[bytes, Mapping[str, Any]]:
    """Return the state's tar, and its description for metadata.json."""
    volumes = {"volumes": lies.described()}
    if not lies.claim:
        message = f"the workload keeps its state in {lies.kind}: it ends with its pods, so there is no state to back up"
        message = f"there is no state in this backup{_beside(lies)}" if lies.unkept else message
        pace.say(message)
        description = {"source": lies.kind, "claim": None, "files": 0, "told": message, **volumes}
        return merged(_EMPTY, "state", {}), description
    check_idle(site.cluster, site.namespace, lies.claim)
    name = f"drfsm-save-{hashlib.sha256(f'{layout.prefix}/{backup_id}'.encode()).hexdigest()[:16]}"
    key = layout.own(f"state/{name}.tar")
    body, done = Transport(site.cluster, store, site.namespace, name, key, lies, image, pace).save()
    try:
        files = dict(members(body, ("state",), MOST_MEMBERS[STATE]))
    except UnsafeArchive as fault:
        raise ActionFailed(f"the state that Job {name} sent is invalid: {fault}") from None
    if len(files) != done.get("files") or len(body) > LARGEST_UNPACKED_BYTES[STATE]:
        raise ActionFailed(f"Job {name} reported {done.get('files')} files, but sent {len(files)} ({len(body)} bytes)")
    named = done.get("skipped")
    skipped = [bounded(path) for path in named[:100]] if isinstance(named, list) else []
    message = f"{len(files)} files of the claim {lies.claim}" + (f"; no regular files: {skipped}" if skipped else "")
    message += _beside(lies)
    pace.say(message)
    tree = name_of("sha256", done.get("tree_sha256"), f"the tree's digest by Job {name}")
    claimed = {"source": lies.kind, "claim": lies.claim, "tree_sha256": tree}
    return body, {**claimed, "files": len(files), "skipped": skipped, "told": message, **volumes}


def _beside(lies: Home) -> str:
    """Return what is not kept beside the state, in words."""
    names = ", ".join(volume.words for volume in lies.unkept)
    return f"; NOT KEPT: {names}, to which the workload writes" if names else ""


def _not_kept(lies: Home) -> ActionFailed:
    entries = {entry["name"]: entry["why"] for entry in lies.described()}
    reasons = "; ".join(f"{volume.words}: {entries[volume.name]}" for volume in lies.unkept)
    name = lies.cronjob["metadata"]["name"]
    return ActionFailed(
        f"CronJob {name} writes to what a backup can't keep, so nothing was written: {reasons}",
        hint="move that state to a PersistentVolumeClaim; or, if the workload only reads it, mount it readOnly; or keep"
        " it by other means, and add --accept-state-loss for a backup that says that it lacks it",
        final=True,
    )


_EMPTY = b"\0" * 10240
