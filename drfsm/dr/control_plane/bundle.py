"""Publishes the workload's configuration as a bundle, and lays a published bundle out as files.

A bundle is reproducible: the same files, git SHA, image and ``created_at`` give the same bytes, whatever
machine packs them (sorted members, no times, no owners, a gzip header without name, time and system).
``current.json`` is moved last, by compare-and-swap, and read back: until then nobody reads the new bundle.
Refuses an image that isn't pinned by digest, a missing section, and what could not be applied. Called by the CLI.
"""

import hashlib
import io
import json
import os
import re
import tarfile
import uuid
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from drfsm.dr.artifacts.compare import Unreadable, json_of
from drfsm.dr.control_plane.read import (
    HOME,
    SCHEMA_VERSION,
    SECTIONS,
    Bundle,
    BundleFault,
    Files,
    configmap_of,
    data_of,
    home_of,
    opened,
    published,
)
from drfsm.errors import Conflict, UsageFault
from drfsm.world import Cluster, ObjectStore

LARGEST_CONFIGMAP_BYTES = 1 << 20
"""What the API server takes as the values of one ConfigMap."""

_PINNED = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}\Z")
_GIT_SHA = re.compile(r"[0-9a-f]{7,64}\Z")
_TIME = re.compile(r"\d{8}T\d{6}Z\Z", re.ASCII)
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"  # deflate, no flags, no time, best, unknown system


@frozen
class Origin:
    """What a bundle is made from. ``created_at`` as 20260227T002229Z."""

    git_sha: str
    image_ref_digest: str
    created_at: str

    def check(self) -> None:
        """Raise UsageFault unless all of it can be relied on."""
        if not _PINNED.match(self.image_ref_digest):
            raise UsageFault(
                f"the image {self.image_ref_digest!r} is not pinned by its digest",
                hint="give --image-ref-digest <repository>@sha256:<64 hex digits>",
            )
        if not _GIT_SHA.match(self.git_sha):
            raise UsageFault(f"{self.git_sha!r} is no git SHA", hint="give --git-sha, 7 to 64 hex digits")
        if not _TIME.match(self.created_at):
            raise UsageFault(f"{self.created_at!r} is no time", hint="give --created-at as 20260227T002229Z, in UTC")


# --- where a configuration comes from -------------------------------------------------------------------


def from_directory(source: Path) -> dict[str, dict[str, bytes]]:
    """Read a directory that holds a folder for each section. Raises UsageFault; links are refused, never followed."""
    for section in SECTIONS:
        if not (source / section).is_dir():
            raise UsageFault(
                f"{source} has no folder {section}", hint=f"give --source a directory with {', '.join(SECTIONS)}"
            )
    return {section: dict(_read(source / section)) for section in SECTIONS}


def _read(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise UsageFault(f"{path} is no regular file", hint="put the file itself there")
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def from_cluster(cluster: Cluster, namespace: str) -> dict[str, dict[str, bytes]]:
    """Read the ConfigMaps that a site runs with; ``__`` in a key is ``/`` in a file's name."""
    found: dict[str, dict[str, bytes]] = {}
    for section in SECTIONS:
        manifest = cluster.get("ConfigMap", namespace, configmap_of(section))
        if manifest is None:
            raise UsageFault(
                f"ConfigMap {namespace}/{configmap_of(section)} is not on {cluster.name}",
                hint="name the right --namespace, or publish from a directory with --source",
            )
        found[section] = {_name(key): body for key, body in data_of(manifest).items()}
    return found


def _name(key: str) -> str:
    name = key.replace("__", "/")
    return key if any(part in ("", ".", "..") for part in name.split("/")) else name


# --- packing --------------------------------------------------------------------------------------------


def pack(sections: Mapping[str, Files], origin: Origin) -> bytes:
    """Return a bundle's bytes. Raises UsageFault for what no bundle can hold, and for what can't be applied."""
    origin.check()
    files = {f"{section}/{name}": body for section in SECTIONS for name, body in sections[section].items()}
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "created_at": origin.created_at,
        "git_sha": origin.git_sha,
        "image_ref_digest": origin.image_ref_digest,
        "supported_sections": list(SECTIONS),
        "schema_versions": {path: version for path, body in sorted(files.items()) if (version := _version(body))},
        "files": [
            {"path": path, "sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)}
            for path, body in sorted(files.items())
        ],
    }
    raw = gzipped(
        tarred({f"{HOME}/{path}": body for path, body in {**files, "manifest.json": pretty(manifest)}.items()})
    )
    try:
        bundle = opened(raw, hashlib.sha256(raw).hexdigest(), "")
    except BundleFault as fault:
        raise UsageFault(
            f"this can't be published: {'; '.join(fault.faults[:10])}", hint="mend the source; nothing was written"
        ) from None
    check_sizes(bundle.sections)
    return raw


def check_sizes(sections: Mapping[str, Files]) -> None:
    """Raise UsageFault for a section that no ConfigMap can hold. BEFORE anything is applied."""
    for section in SECTIONS:
        size = sum(len(body) for body in sections[section].values())
        if size > LARGEST_CONFIGMAP_BYTES:
            raise UsageFault(
                f"the section {section} has {size} bytes; a ConfigMap holds {LARGEST_CONFIGMAP_BYTES} (1 MiB)",
                hint="make its files smaller, or keep large ones out of the control plane; nothing was applied",
            )


def _version(body: bytes) -> int:
    """Return the schema_version that a JSON file states, 0 for none."""
    try:
        found = json_of(body)
        return int(found["schema_version"]) if isinstance(found, dict) else 0
    except (Unreadable, KeyError, TypeError, ValueError, ArithmeticError):
        return 0


def tarred(files: Mapping[str, bytes]) -> bytes:
    """Return a tar whose bytes depend on nothing but names and contents."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, body in sorted(files.items()):
            info = tarfile.TarInfo(name)  # mode 0644, owner 0, time 0
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return stream.getvalue()


def gzipped(body: bytes) -> bytes:
    """Return a gzip file without name, time or system in it."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    end = zlib.crc32(body).to_bytes(4, "little") + (len(body) & 0xFFFFFFFF).to_bytes(4, "little")
    return _GZIP_HEADER + squeeze.compress(body) + squeeze.flush() + end


def pretty(value: Any) -> bytes:
    """Return JSON for people and for hashing."""
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


# --- publishing -----------------------------------------------------------------------------------------


def planned(store: ObjectStore, prefix: str, raw: bytes, origin: Origin) -> Bundle:
    """Return what would be published, verified as a reader would, under the name that it would have. Makes no call."""
    return opened(raw, hashlib.sha256(raw).hexdigest(), _uri(store, prefix, origin))


def _uri(store: ObjectStore, prefix: str, origin: Origin) -> str:
    return f"s3://{store.bucket}/{home_of(prefix)}/bundles/{origin.created_at}-{origin.git_sha[:12]}.tar.gz"


def publish(store: ObjectStore, prefix: str, raw: bytes, origin: Origin) -> Bundle:
    """Write a bundle, then move current.json to it; return what is published, read back and verified.

    Raises Conflict if somebody else published meanwhile: current.json is then as they left it.
    """
    home = home_of(prefix)
    uri, current_key = _uri(store, prefix, origin), f"{home}/current.json"
    key = uri.removeprefix(f"s3://{store.bucket}/")
    before = store.get(current_key)  # BEFORE the bundle, so that whoever publishes meanwhile is noticed
    _write_bundle(store, key, raw)
    current = {
        "schema_version": SCHEMA_VERSION,
        "current_uri": f"s3://{store.bucket}/{current_key}",
        "bundle_uri": uri,
        "bundle_sha256": hashlib.sha256(raw).hexdigest(),
        "created_at": origin.created_at,
        "git_sha": origin.git_sha,
        "image_ref_digest": origin.image_ref_digest,
        "nonce": uuid.uuid4().hex,  # equal bytes would repeat an ETag, and a swap could not tell them apart
    }
    try:
        store.put(current_key, pretty(current), if_match=before.etag if before else None, if_absent=before is None)
    except Conflict:
        raise _overtaken(f"current.json of {store.bucket}/{home} was moved by somebody else meanwhile") from None
    found = published(store, prefix)
    if found is None or (found.uri, found.sha256) != (uri, current["bundle_sha256"]):
        raise _overtaken(f"current.json does not name {uri} any more, right after it was moved there")
    return found


def _write_bundle(store: ObjectStore, key: str, raw: bytes) -> None:
    try:
        store.put(key, raw, if_absent=True)
    except Conflict:
        raise Conflict(
            f"s3://{store.bucket}/{key} is there already, with another content; it is not overwritten",
            hint="publish again: the name carries the time",
        ) from None


def _overtaken(what: str) -> Conflict:
    return Conflict(what, hint="look at what is there (`drfsm control-plane fetch`), then publish again")


# --- laying out -----------------------------------------------------------------------------------------


def lay_out(bundle: Bundle, directory: Path) -> None:
    """Write a verified bundle's files below ``directory``/control-plane, which must not be there yet.

    Raises UsageFault if it is. It appears as a whole or not at all.
    """
    home, making = directory / HOME, directory / f".{HOME}-{os.getpid()}"
    if os.path.lexists(home):
        raise UsageFault(f"{home} is there already", hint="name another directory")
    files = {f"{section}/{name}": body for section in SECTIONS for name, body in bundle.sections[section].items()}
    try:
        for path, body in {**files, "manifest.json": bundle.manifest}.items():
            target = making / path
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
                file.write(body)
        making.rename(home)
    except OSError as fault:
        raise UsageFault(f"{home} can't be written: {fault.strerror}") from None
