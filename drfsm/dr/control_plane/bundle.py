"""Publishes the workload's configuration as a bundle, and writes a published bundle to files.

A bundle is reproducible: the same files, git SHA, image and ``created_at`` give the same bytes on any
machine (sorted members, no times, no owners, a gzip header without name, time and system).
``current.json`` is written last, by compare-and-swap, and read back: until then no reader uses the new bundle.
Refuses an image that isn't pinned by digest, a missing section, and content that could not be applied. Called by the
CLI.
"""

import hashlib
import io
import json
import os
import re
import tarfile
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
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
    data_of,
    home_of,
    opened,
    published,
)
from drfsm.dr.workload import Workload
from drfsm.errors import Conflict, UsageFault
from drfsm.world import Cluster, ObjectStore

LARGEST_CONFIGMAP_BYTES = 1 << 20
"""The API server's limit for the values of one ConfigMap, in bytes."""

_PINNED = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}\Z")
_GIT_SHA = re.compile(r"[0-9a-f]{7,64}\Z")
_TIME = re.compile(r"\d{8}T\d{6}Z\Z", re.ASCII)
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"  # deflate, no flags, no time, best, unknown system


@frozen
class Origin:
    """The origin of a bundle. ``created_at``: 20260227T002229Z."""

    git_sha: str
    image_ref_digest: str
    created_at: str

    def check(self) -> None:
        """Raise UsageFault unless all fields are valid."""
        if not _PINNED.match(self.image_ref_digest):
            raise UsageFault(
                f"the image {self.image_ref_digest!r} is not pinned by its digest",
                hint="give --image-ref-digest <repository>@sha256:<64 hex digits>",
            )
        if not _GIT_SHA.match(self.git_sha):
            raise UsageFault(f"{self.git_sha!r} is not a git SHA", hint="give --git-sha, 7 to 64 hex digits")
        if not _TIME.match(self.created_at):
            raise UsageFault(f"{self.created_at!r} is not a time", hint="give --created-at as 20260227T002229Z, in UTC")


# --- where a configuration comes from -------------------------------------------------------------------


def from_directory(source: Path) -> dict[str, dict[str, bytes]]:
    """Read a directory with a folder for each section. Raises UsageFault. Links are refused, never followed."""
    for section in SECTIONS:
        if not (source / section).is_dir():
            raise UsageFault(
                f"{source} has no folder {section}",
                hint=f"give --source a directory with the folders {', '.join(SECTIONS)}",
            )
    return {section: dict(_read(source / section)) for section in SECTIONS}


def _read(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise UsageFault(f"{path} is not a regular file", hint="put a regular file there")
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def from_cluster(cluster: Cluster, namespace: str, workload: Workload) -> dict[str, dict[str, bytes]]:
    """Read a site's ConfigMaps; ``__`` in a key is ``/`` in a file's name."""
    sections: dict[str, dict[str, bytes]] = {}
    for section in SECTIONS:
        name = workload.kubernetes.control_plane_of(section)
        manifest = cluster.get("ConfigMap", namespace, name)
        if manifest is None:
            raise UsageFault(
                f"ConfigMap {namespace}/{name} is not on {cluster.name}",
                hint="give the right --namespace, or publish from a directory with --source",
            )
        sections[section] = {_name(key): body for key, body in data_of(manifest).items()}
    return sections


def _name(key: str) -> str:
    name = key.replace("__", "/")
    return key if any(part in ("", ".", "..") for part in name.split("/")) else name


# --- packing --------------------------------------------------------------------------------------------


def pack(sections: Mapping[str, Files], origin: Origin, workload: Workload) -> bytes:
    """Return a bundle's bytes. Raises UsageFault for invalid content, and for content that can't be applied."""
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
        bundle = opened(raw, hashlib.sha256(raw).hexdigest(), "", workload)
    except BundleFault as fault:
        raise UsageFault(
            f"the source can't be published: {'; '.join(fault.faults[:10])}",
            hint="correct the source; nothing was written",
        ) from None
    check_sizes(bundle.sections)
    return raw


def check_sizes(sections: Mapping[str, Files]) -> None:
    """Raise UsageFault for a section that does not fit into a ConfigMap. BEFORE anything is applied."""
    for section in SECTIONS:
        size = sum(len(body) for body in sections[section].values())
        if size > LARGEST_CONFIGMAP_BYTES:
            raise UsageFault(
                f"the section {section} has {size} bytes; a ConfigMap takes at most {LARGEST_CONFIGMAP_BYTES} (1 MiB)",
                hint="make its files smaller, or keep large ones out of the control plane; nothing was applied",
            )


def _version(body: bytes) -> int:
    """Return the schema_version that a JSON file states, 0 for none."""
    try:
        content = json_of(body)
        return int(content["schema_version"]) if isinstance(content, dict) else 0
    except (Unreadable, KeyError, TypeError, ValueError, ArithmeticError):
        return 0


def tarred(files: Mapping[str, bytes]) -> bytes:
    """Return a tar whose bytes depend only on names and contents."""
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


def planned(store: ObjectStore, prefix: str, raw: bytes, origin: Origin, workload: Workload) -> Bundle:
    """Return what would be published, verified as a reader would, under the name that it would have. Makes no call."""
    return opened(raw, hashlib.sha256(raw).hexdigest(), _uri(store, prefix, origin), workload)


def _uri(store: ObjectStore, prefix: str, origin: Origin, sha256: str = "") -> str:
    content = f"-{sha256[:12]}" if sha256 else ""
    return f"s3://{store.bucket}/{home_of(prefix)}/bundles/{origin.created_at}-{origin.git_sha[:12]}{content}.tar.gz"


def publish(store: ObjectStore, prefix: str, raw: bytes, origin: Origin, workload: Workload) -> Bundle:
    """Write a bundle, then point current.json to it; return the published bundle, read back and verified.

    It is named by its time and commit; where another content has that name, also by its own hash.
    Raises Conflict if another process published meanwhile: current.json then names its bundle.
    """
    home = home_of(prefix)
    current_key, sha256 = f"{home}/current.json", hashlib.sha256(raw).hexdigest()
    before = store.get(current_key)  # BEFORE the bundle, so that a publication meanwhile is detected
    uri = _written(store, (_uri(store, prefix, origin), _uri(store, prefix, origin, sha256)), raw)
    current = {
        "schema_version": SCHEMA_VERSION,
        "current_uri": f"s3://{store.bucket}/{current_key}",
        "bundle_uri": uri,
        "bundle_sha256": sha256,
        "created_at": origin.created_at,
        "git_sha": origin.git_sha,
        "image_ref_digest": origin.image_ref_digest,
        "nonce": uuid.uuid4().hex,  # equal bytes would repeat an ETag, and a swap could not detect them
    }
    try:
        store.put(current_key, pretty(current), if_match=before.etag if before else None, if_absent=before is None)
    except Conflict:
        raise _overtaken(f"current.json of {store.bucket}/{home} was changed by another process meanwhile") from None
    bundle = published(store, prefix, workload)
    if bundle is None or (bundle.uri, bundle.sha256) != (uri, current["bundle_sha256"]):
        raise _overtaken(f"current.json no longer names {uri}, right after it was written")
    return bundle


def _written(store: ObjectStore, uris: Sequence[str], raw: bytes) -> str:
    """Write the bundle under the first of these names that is free, or has this content; return that name."""
    for uri in uris:
        try:
            store.put(uri.removeprefix(f"s3://{store.bucket}/"), raw, if_absent=True)
        except Conflict:
            continue
        return uri
    raise Conflict(
        f"{uris[-1]} exists already with another content, although it is named by its content",
        hint="find out who wrote it; nothing was overwritten",
    )


def _overtaken(what: str) -> Conflict:
    return Conflict(what, hint="check what is published (`drfsm control-plane fetch`), then publish again")


# --- laying out -----------------------------------------------------------------------------------------


def lay_out(bundle: Bundle, directory: Path) -> None:
    """Write a verified bundle's files below ``directory``/control-plane, which must not exist yet.

    Raises UsageFault if it does. It is written as a whole or not at all.
    """
    home, making = directory / HOME, directory / f".{HOME}-{uuid.uuid4().hex}"
    if os.path.lexists(home):
        raise UsageFault(f"{home} exists already", hint="name another directory")
    files = {f"{section}/{name}": body for section in SECTIONS for name, body in bundle.sections[section].items()}
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path, body in {**files, "manifest.json": bundle.manifest}.items():
            target = making / path
            for folder in reversed([above for above in target.parents if above.is_relative_to(making)]):
                folder.mkdir(exist_ok=True, mode=0o700)
            with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
                file.write(body)
        making.rename(home)
    except OSError as fault:
        raise UsageFault(f"{home} can't be written: {fault.strerror}") from None
