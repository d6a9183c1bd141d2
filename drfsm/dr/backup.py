"""A backup of the primary, checked before the primary is failed back to: is every part of it there and whole.

<prefix>/backups/<backup_id>/metadata.json        checksums and sizes of the parts
<prefix>/backups/<backup_id>/state.tar.zst, manifests.tar.zst

Every part is read and hashed; what the store claims of it counts for nothing. Restores nothing, changes
nothing. Looking into the archives is backup_check.py's, taking a backup backup_create.py's, restoring restore.py's.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from drfsm.engine import Fact, Run
from drfsm.errors import UsageFault
from drfsm.world import Check, Hashed, ObjectStore, World

METADATA = "metadata.json"
PARTS = ("state.tar.zst", "manifests.tar.zst")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(r"[^/\\\x00-\x1f\x7f]+")


def home_of(store: ObjectStore, uri: str) -> str:
    """Return the prefix of a backup's objects, with a slash at its end. Raises UsageFault for another bucket."""
    bucket, _, path = uri.removeprefix("s3://").partition("/")
    home = path.strip("/")
    if not uri.startswith("s3://") or not home or any(part in ("", ".", "..") for part in home.split("/")):
        raise UsageFault(f"{uri!r} names no backup", way="give it as s3://<bucket>/<prefix>/backups/<backup id>")
    if bucket != store.bucket:
        raise UsageFault(
            f"the backup {uri} lies in the bucket {bucket}, and this run acts on {store.bucket}",
            way="copy it into the run's bucket, or name one that lies there",
        )
    return f"{home}/"


def examine(store: ObjectStore, uri: str, *, check: Check | None = None) -> dict[str, Any]:
    """See a backup: what its metadata says, what reading each part gave, and what is wrong, in words."""
    home = home_of(store, uri)
    seen: dict[str, Any] = {"uri": f"s3://{store.bucket}/{home.rstrip('/')}", "parts": {}, "missing": [], "damaged": []}
    blob = store.get(home + METADATA)
    if blob is None:
        return {**seen, "missing": [METADATA]}
    metadata, faults = understood(blob.body, home.rstrip("/").rpartition("/")[2])
    if faults:
        return {**seen, "damaged": faults}
    answers = {each.key: each for each in store.hash_many([home + name for name in metadata], check=check)}
    for name, declared in sorted(metadata.items()):
        found = answers[home + name]
        seen["parts"][name] = {"sha256": found.sha256, "bytes": found.size_bytes}
        if found.sha256 is None:
            seen["missing"].append(name)
        seen["damaged"] += _unlike(name, declared, found)
    return seen


def _unlike(name: str, declared: Mapping[str, Any], found: Hashed) -> Iterator[str]:
    if found.sha256 is None:
        return
    if found.size_bytes != declared["bytes"]:
        yield f"{name} has {found.size_bytes} bytes, {METADATA} says {declared['bytes']}"
    elif found.sha256 != declared["sha256"]:
        yield f"{name} has the SHA-256 {found.sha256}, {METADATA} says {declared['sha256']}"


def understood(body: bytes, backup_id: str) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return (part -> declared hash and size, what is wrong with the metadata itself)."""
    try:
        metadata = json.loads(body)
    except ValueError:
        return {}, [f"{METADATA} is not JSON"]
    if not isinstance(metadata, Mapping):
        return {}, [f"{METADATA} is not an object"]
    checksums, sizes = metadata.get("checksums"), metadata.get("sizes")
    if not isinstance(checksums, Mapping) or not isinstance(sizes, Mapping):
        return {}, [f"{METADATA} has no checksums and sizes"]
    faults = [f"{METADATA} names no {name}" for name in PARTS if name not in checksums]
    if (told := metadata.get("backup_id", backup_id)) != backup_id:
        faults.append(f"{METADATA} is that of the backup {told!r}")
    for name, checksum in checksums.items():
        size = sizes.get(name)
        if not _FILE.fullmatch(name) or name in (".", ".."):
            faults.append(f"{METADATA} names a part {name!r}, which is no file's name")
        elif not isinstance(checksum, str) or not _SHA256.fullmatch(checksum):
            faults.append(f"{METADATA} has no SHA-256 of {name}")
        elif not isinstance(size, int) or isinstance(size, bool) or size < 0:
            faults.append(f"{METADATA} has no size of {name}")
    return {name: {"sha256": checksum, "bytes": sizes.get(name)} for name, checksum in checksums.items()}, faults


def _observe(world: World, run: Run) -> dict[str, Any]:
    run.note(f"reading the backup {run.inputs['primary_restore_backup_uri']}")
    return examine(world.store, str(run.inputs["primary_restore_backup_uri"]), check=run.check)


def judge(seen: Mapping[str, Any], _inputs: Mapping[str, Any] | None = None) -> str:
    """Say whether the backup is whole. Damage tells more than absence."""
    return "damaged" if seen["damaged"] else "missing" if seen["missing"] else "intact"


FACTS = {"backup": Fact(_observe, judge)}
