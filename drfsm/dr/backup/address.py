"""A backup's address and integrity: every part must exist and match its checksum before a failback relies on it.

<prefix>/backups/<backup_id>/metadata.json        checksums and sizes of the parts
<prefix>/backups/<backup_id>/state.tar.zst, manifests.tar.zst

Every part is read and hashed; the store's own metadata does not count. Whoever can write a part can write its checksum,
so a backup has one digest over all parts, which an operator can pin (``digest_of``). Changes nothing. backup/check.py
opens the archives, backup/create.py makes a backup, restore.py restores one.
"""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from drfsm.claims import bounded, is_name, json_of, moment
from drfsm.dr.terms import terms_of
from drfsm.engine import Fact, Run
from drfsm.errors import Unreadable, UsageFault
from drfsm.world import Check, Hashed, ObjectStore, World

METADATA = "metadata.json"
PARTS = ("state.tar.zst", "manifests.tar.zst")
LARGEST_METADATA_BYTES, MOST_PARTS = 1 << 20, 100
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_WAY = "give it as s3://<bucket>/<prefix>/backups/<backup id>"


def home_of(store: ObjectStore, uri: str) -> str:
    """Return the prefix of a backup's objects, with a trailing slash. Raises UsageFault for another bucket."""
    bucket, _, path = uri.removeprefix("s3://").partition("/")
    home = path.strip("/")
    if not uri.startswith("s3://") or not is_name("prefix", home):
        raise UsageFault(f"{bounded(repr(uri))} is not the URI of a backup", hint=_WAY)
    if bucket != store.bucket:
        raise UsageFault(
            f"the backup {uri} is in the bucket {bucket}, but this run uses {store.bucket}",
            hint="copy it into the run's bucket, or name a backup in that bucket",
        )
    return f"{home}/"


def digest_of(metadata: bytes, parts: Mapping[str, str]) -> str:
    """Return a backup's digest: ``LC_ALL=C; sha256sum * | sha256sum`` in a directory that holds exactly its files.

    ``parts``: name → SHA-256 of each part listed in ``metadata``, the bytes of metadata.json.
    """
    every = {METADATA: hashlib.sha256(metadata).hexdigest(), **parts}
    return hashlib.sha256("".join(f"{sha256}  {name}\n" for name, sha256 in sorted(every.items())).encode()).hexdigest()


def metadata_of(store: ObjectStore, home: str) -> tuple[bytes | None, list[str]]:
    """Return metadata.json's bytes (None if it is absent or unreadable) and the faults."""
    stat = store.stat(home + METADATA)
    if stat is not None and stat.size_bytes > LARGEST_METADATA_BYTES:
        message = f"{METADATA} has {stat.size_bytes} bytes; drfsm reads at most {LARGEST_METADATA_BYTES}"
        return b"", [message]
    blob = store.get(home + METADATA) if stat is not None else None
    return (None if blob is None else blob.body), []


def unlike_pinned(sha256: str, expected: str) -> list[str]:
    """Return the fault of a backup whose digest is not the pinned one; [] if it is, or if none is pinned."""
    if expected in ("", sha256):
        return []
    return [f"its digest is {sha256}, but the pinned backup has {expected}"]


def examine(store: ObjectStore, uri: str, *, expect: str = "", check: Check | None = None) -> dict[str, Any]:
    """Observe a backup: its metadata, the size and hash of each part, its digest, and its faults in words.

    ``expect``: the pinned digest, "" for any. No part of another backup is read.
    """
    return _examined(store, uri, expect, check)[0]


def read(store: ObjectStore, uri: str, *, expect: str, check: Check | None) -> tuple[dict[str, Any], bytes]:
    """Return the observation of ``examine``, and the bytes of metadata.json on which it is based."""
    return _examined(store, uri, expect, check)


def listed(store: ObjectStore, prefix: str) -> list[dict[str, Any]]:
    """Return the backups below a prefix by their metadata, the newest first, without those with an invalid id."""
    home = f"{prefix}/backups/"
    ids = {entry.key.removeprefix(home).partition("/")[0] for entry in store.list(home) if entry.key.endswith(METADATA)}
    backups = [_entry(store, f"{home}{backup_id}/") for backup_id in sorted(ids) if is_name("file", backup_id)]
    return sorted(backups, key=lambda backup: (moment(backup["created_at"]) or _LONG_AGO, backup["uri"]), reverse=True)


def _entry(store: ObjectStore, home: str) -> dict[str, Any]:
    raw, faults = metadata_of(store, home)
    uri, name = f"s3://{store.bucket}/{home.rstrip('/')}", home.rstrip("/").rpartition("/")[2]
    parts, more = understood(raw or b"", name) if not faults else ({}, [])
    nothing = {"uri": uri, "sha256": None, "created_at": None, "run_id": None, "bytes": 0}
    if raw is None or faults or more:
        return {**nothing, "damaged": [*faults, *more]}
    metadata = json_of(raw, METADATA)
    known = {name: metadata.get(name) for name in ("created_at", "run_id") if isinstance(metadata.get(name), str)}
    shown = {name: bounded(text, 200) for name, text in known.items()}
    sha256 = digest_of(raw, {name: part["sha256"] for name, part in parts.items()})
    size = sum(part["bytes"] for part in parts.values())
    return {**nothing, **shown, "sha256": sha256, "bytes": size, "damaged": []}


def _examined(store: ObjectStore, uri: str, expect: str, check: Check | None) -> tuple[dict[str, Any], bytes]:
    home = home_of(store, uri)
    seen: dict[str, Any] = {
        "uri": f"s3://{store.bucket}/{home.rstrip('/')}", "sha256": None, "parts": {}, "missing": [], "damaged": [],
    }  # fmt: skip
    raw, faults = metadata_of(store, home)
    if raw is None:
        return {**seen, "missing": [METADATA]}, b""
    metadata, more = understood(raw, home.rstrip("/").rpartition("/")[2]) if not faults else ({}, [])
    if faults := [*faults, *more]:
        return {**seen, "damaged": faults}, raw
    seen["sha256"] = digest_of(raw, {name: declared["sha256"] for name, declared in metadata.items()})
    if faults := unlike_pinned(seen["sha256"], expect):
        return {**seen, "damaged": faults}, raw
    answers = {answer.key: answer for answer in store.hash_many([home + name for name in metadata], check=check)}
    for name, declared in sorted(metadata.items()):
        content = answers[home + name]
        seen["parts"][name] = {"sha256": content.sha256, "bytes": content.size_bytes}
        if content.sha256 is None:
            seen["missing"].append(name)
        seen["damaged"] += _unlike(name, declared, content)
    return seen, raw


def _unlike(name: str, declared: Mapping[str, Any], content: Hashed) -> Iterator[str]:
    if content.sha256 is None:
        return
    if content.size_bytes != declared["bytes"]:
        yield f"{name} has {content.size_bytes} bytes, {METADATA} says {declared['bytes']}"
    elif content.sha256 != declared["sha256"]:
        yield f"{name} has the SHA-256 {content.sha256}, {METADATA} says {declared['sha256']}"


def understood(body: bytes, backup_id: str) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return (part → declared hash and size, faults of the metadata itself)."""
    try:
        metadata = json_of(body, METADATA, largest_bytes=LARGEST_METADATA_BYTES)
    except Unreadable as fault:
        return {}, [f"{METADATA} is not JSON that drfsm reads: {fault.what}"]
    if not isinstance(metadata, Mapping):
        return {}, [f"{METADATA} is not an object"]
    checksums, sizes = metadata.get("checksums"), metadata.get("sizes")
    if not isinstance(checksums, Mapping) or not isinstance(sizes, Mapping):
        return {}, [f"{METADATA} has no checksums and sizes"]
    faults = [f"{METADATA} names no {name}" for name in PARTS if name not in checksums]
    if (named_id := metadata.get("backup_id", backup_id)) != backup_id:
        faults.append(f"{METADATA} belongs to the backup {bounded(repr(named_id), 100)}")
    if len(checksums) > MOST_PARTS:
        return {}, [*faults, f"{METADATA} names {len(checksums)} parts, more than {MOST_PARTS}"]
    faults += [*_part_faults(checksums, sizes), *_metadata_faults(metadata)]
    return {name: {"sha256": checksum, "bytes": sizes.get(name)} for name, checksum in checksums.items()}, faults


def _part_faults(checksums: Mapping[str, Any], sizes: Mapping[str, Any]) -> Iterator[str]:
    for name, checksum in checksums.items():
        size = sizes.get(name)
        if not is_name("file", name):
            yield f"{METADATA} names a part {bounded(repr(name), 100)}, which is not a valid file name"
        elif not is_name("sha256", checksum):
            yield f"{METADATA} has no SHA-256 of {name}"
        elif not isinstance(size, int) or isinstance(size, bool) or size < 0:
            yield f"{METADATA} has no size of {name}"


def _metadata_faults(metadata: Mapping[str, Any]) -> Iterator[str]:
    """Yield the faults of the other fields that drfsm uses: names become paths, texts are shown."""
    if (run_id := metadata.get("run_id")) is not None and not is_name("workload run", run_id):
        yield f"{METADATA} names a run {bounded(repr(run_id), 100)}, which is not a valid run id"
    if not isinstance(state := metadata.get("state") or {}, Mapping) or not isinstance(state.get("claim") or "", str):
        yield f"{METADATA} does not say which claim its state comes from"
    secrets = metadata.get("secrets") or {}
    known = isinstance(secrets, Mapping) and all(_names(keys or []) for keys in secrets.values())
    if not known or not all(is_name("Kubernetes name", name) for name in secrets):
        yield f"{METADATA} has invalid names of Secrets or of their keys"
    excluded = metadata.get("excluded") or []
    left_out = excluded if _names(excluded) else []
    named = [entry[len("Secret/") :].partition(":")[0] for entry in left_out if str(entry).startswith("Secret/")]
    if not _names(excluded) or not all(is_name("Kubernetes name", name) for name in named):
        yield f"{METADATA} has an invalid list of excluded objects"


def _names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) and text.isprintable() for text in value)


def _observe(world: World, run: Run) -> dict[str, Any]:
    terms = terms_of(run.inputs)
    run.note(f"reading the backup {terms.primary_restore_backup_uri}")
    seen = examine(world.store, terms.primary_restore_backup_uri, check=run.check)
    faults = [*(f"{name} is missing" for name in seen["missing"]), *seen["damaged"]]
    return {**seen, "in_words": f"{seen['uri']}: {'; '.join(faults)}"} if faults else seen


def judge(seen: Mapping[str, Any], _inputs: Mapping[str, Any] | None = None) -> str:
    """Judge whether the backup is whole. Damage takes precedence over absence."""
    return "damaged" if seen["damaged"] else "missing" if seen["missing"] else "intact"


FACTS = {"backup": Fact(_observe, judge)}
