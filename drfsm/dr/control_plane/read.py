"""The workload's configuration: the primary's ConfigMaps compared with the published bundle.

    <prefix>/control-plane/current.json                      {bundle_uri, bundle_sha256, created_at, git_sha, ...}
    <prefix>/control-plane/bundles/<timestamp>-<sha>.tar.gz  control-plane/manifest.json, control-plane/<section>/...
    a ConfigMap for each section                             the same files, keys with ``/`` as ``__``

Owns the fact ``control_plane``, and ``published`` and ``opened``, by which all others read a bundle: in memory, every
hash verified, regular files only. An invalid bundle is refused, never read in part. The fact is then ``different``,
with the faults on record, because a configuration that can't be verified can't be equal. Only hashes are recorded:
alerts may contain secret addresses. Changes nothing; control_plane/bundle.py publishes, control_plane/apply.py applies.
"""

import base64
import binascii
import hashlib
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from attrs import frozen

from drfsm import claims, errors
from drfsm.claims import GRAMMAR, bounded, is_name
from drfsm.dr.artifacts.compare import Path, Treatment, Unreadable, apart, json_of, printable, short
from drfsm.dr.objects import check_namespace
from drfsm.dr.safe_tar import UnsafeArchive, members
from drfsm.dr.terms import terms_of
from drfsm.dr.workload import Workload
from drfsm.engine import Fact, Run
from drfsm.errors import ActionFailed, ExitCode
from drfsm.world import Blob, Check, Cluster, Manifest, ObjectStore, World

SECTIONS = ("candidates", "alerts", "providers", "scoring")
HOME = "control-plane"
SCHEMA_VERSION = 1
LARGEST_BUNDLE_BYTES = 32 << 20
LARGEST_UNPACKED_BYTES = 64 << 20
LARGEST_CURRENT_BYTES = 64 << 10
MOST_MEMBERS = 5000

DEEPEST_NAME = 8  # directories below a section
_NAMED = 10  # the most files of each kind in an observation, and the most faults in a refusal
_LONGEST_FAULT, _LONGEST_URI = 400, 1200
_CONFIGMAP_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}\Z", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}\Z", re.ASCII)
_PLAIN: Treatment = Treatment()

Files = Mapping[str, bytes]


class BundleFault(ActionFailed):
    """A published bundle is invalid; ``faults`` lists everything that is wrong with it."""

    exit_code = ExitCode.DIFFERENT

    def __init__(self, faults: Sequence[str]) -> None:
        shown = tuple(printable(text[:_LONGEST_FAULT]) for text in faults)
        more = f"; and {len(shown) - _NAMED} more" if len(shown) > _NAMED else ""
        super().__init__(
            f"the control-plane bundle is invalid: {'; '.join(shown[:_NAMED])}{more}",
            hint="publish the control plane again from the primary",
            fault="store",
        )
        self.faults = shown


@frozen
class Bundle:
    """A valid bundle. ``sections``: section -> name below it -> content; ``manifest``: its bytes."""

    uri: str
    sha256: str
    manifest: bytes
    sections: Mapping[str, Files]

    @property
    def counts(self) -> dict[str, int]:
        """The number of files in each section."""
        return {section: len(self.sections[section]) for section in SECTIONS}

    @property
    def numbers(self) -> dict[str, int]:
        """How many candidates, alerts, providers and scorings the files hold: a registry of candidates is none."""
        folders = {name.partition("/")[0] for name in self.sections["candidates"] if "/" in name}
        listed = {section: _entries(section, self.sections[section]) for section in ("alerts", "providers")}
        return {"candidates": len(folders), **listed, "scoring": len(self.sections["scoring"])}


def _entries(section: str, files: Files) -> int:
    """Return how many entries files list under their section's name; a file without such a list is one entry."""
    return sum(_listed(body, section) for body in files.values())


def _listed(body: bytes, name: str) -> int:
    try:
        document = json_of(body)
    except Unreadable:
        return 1
    entries = document.get(name) if isinstance(document, dict) else None
    return len(entries) if isinstance(entries, list | dict) else 1


def key_of(name: str) -> str:
    """Return a file's key in its section's ConfigMap."""
    return name.replace("/", "__")


# --- a bundle -------------------------------------------------------------------------------------------


def read_bundle(raw: bytes, sha256: str, workload: Workload) -> Mapping[str, Files]:
    """Return a bundle's verified files by section and name (``local/candidate_profile.json``)."""
    return opened(raw, sha256, "", workload).sections


def opened(raw: bytes, sha256: str, uri: str, workload: Workload) -> Bundle:
    """Return a bundle, all of it verified.

    Raises BundleFault: for a wrong hash or an unsafe archive at once, else with every fault of the manifest
    and the files.
    """
    if len(raw) > LARGEST_BUNDLE_BYTES:
        raise BundleFault([f"it has {len(raw)} bytes, more than {LARGEST_BUNDLE_BYTES}"])
    if (actual := hashlib.sha256(raw).hexdigest()) != sha256:
        raise BundleFault([f"its SHA-256 is {actual}, not {sha256}"])
    files = dict(_members(_unzipped(raw)))
    manifest_bytes = files.pop("manifest.json", b"")
    manifest = _manifest(manifest_bytes)
    faults = [*_manifest_faults(manifest), *_file_faults(manifest, files)]
    sections: dict[str, dict[str, bytes]] = {section: {} for section in SECTIONS}
    for path, body in files.items():
        section, _, name = path.partition("/")
        if section in sections:
            sections[section][name] = body
    faults += _section_faults(sections, workload.switches.names)
    if faults:
        raise BundleFault(faults)
    return Bundle(uri, sha256, manifest_bytes, sections)


def _unzipped(raw: bytes) -> bytes:
    unzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # gzip, and nothing else
    try:
        body = unzip.decompress(raw, LARGEST_UNPACKED_BYTES)
    except zlib.error as fault:
        raise BundleFault([f"it is not a gzip file: {fault}"]) from None
    if not unzip.eof:
        more = f"it unpacks to more than {LARGEST_UNPACKED_BYTES} bytes" if unzip.unconsumed_tail else "it is cut off"
        raise BundleFault([more])
    if unzip.unused_data:
        raise BundleFault([f"{len(unzip.unused_data)} bytes follow its end"])
    return body


def _members(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield (path below control-plane/, content). Raises for the first unsafe member."""
    try:
        for path, content in members(body, (HOME,), MOST_MEMBERS):
            yield path.partition("/")[2], content
    except UnsafeArchive as fault:
        raise BundleFault([str(fault)]) from None


def _manifest(raw: bytes) -> Mapping[str, Any]:
    if not raw:
        raise BundleFault(["it has no manifest.json"])
    try:
        manifest = json_of(raw)
    except Unreadable as fault:
        raise BundleFault([f"its manifest.json can't be read: {fault}"]) from None
    if not isinstance(manifest, dict):
        raise BundleFault(["its manifest.json is not an object"])
    return manifest


def _manifest_faults(manifest: Mapping[str, Any]) -> Iterator[str]:
    if manifest.get("schema_version") != SCHEMA_VERSION:
        yield f"its manifest's schema_version is {manifest.get('schema_version')}, not {SCHEMA_VERSION}"
    supported = manifest.get("supported_sections")
    if not isinstance(supported, list) or not all(isinstance(section_name, str) for section_name in supported):
        yield "its manifest lacks the list supported_sections"
        return
    for section in SECTIONS:
        if section not in supported:
            yield f"the section {section} is missing"
    for section in supported:
        if section not in SECTIONS:
            yield f"the section {section!r} is unknown to this version of drfsm"


def _file_faults(manifest: Mapping[str, Any], present: Files) -> Iterator[str]:
    listed = manifest.get("files")
    if not isinstance(listed, list):
        yield "its manifest lacks the list of files"
        return
    entries: dict[str, Mapping[str, Any]] = {}
    for number, entry in enumerate(listed):
        if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
            yield f"files[{number}] of its manifest has no path"
        elif entry["path"] in entries:
            yield f"its manifest lists {entry['path']!r} twice"
        else:
            entries[entry["path"]] = entry
    for path in sorted(present.keys() - entries.keys()):
        yield f"{path!r} is not listed in its manifest"
    for path, entry in entries.items():
        yield from _entry_faults(path, entry, present.get(path))


def _entry_faults(path: str, entry: Mapping[str, Any], body: bytes | None) -> Iterator[str]:
    if body is None:
        yield f"{path!r} is listed in its manifest, but is missing"
        return
    size, sha256 = entry.get("bytes"), entry.get("sha256")
    if not isinstance(size, Decimal) or size != len(body):
        yield f"{path!r} has {len(body)} bytes, its manifest says {size}"
    if not isinstance(sha256, str) or hashlib.sha256(body).hexdigest() != sha256:
        yield f"{path!r} does not have the SHA-256 of its manifest"
    if not path.startswith(tuple(f"{section}/" for section in SECTIONS)):
        yield f"{path!r} is not in a known section"


def _name_faults(section: str, name: str, switches: Sequence[str]) -> Iterator[str]:
    """Yield the faults of a file's name: it becomes a ConfigMap's key, and perhaps a pod's variable."""
    parts = name.split("/")
    if len(parts) > DEEPEST_NAME or not all(is_name("file", part) for part in parts):
        yield f"{section}/{bounded(repr(name), 100)} is not a valid file name: {GRAMMAR['file'][2]}, between slashes"
    elif any(switch.endswith(key_of(name)) for switch in switches):  # a prefix may complete what a key begins
        yield f"{section}/{name!r} would switch publishing in a pod that takes its environment from it"


def _section_faults(sections: Mapping[str, Files], switches: Sequence[str]) -> Iterator[str]:
    for section, files in sections.items():
        if not files:
            yield f"the section {section} has no file"
        keys: dict[str, str] = {}
        for name in sorted(files):
            if not _CONFIGMAP_KEY.match(key_of(name)):
                yield f"{section}/{bounded(repr(name), 100)} can't be a key of a ConfigMap"
            else:
                yield from _name_faults(section, name, switches)
            if (other := keys.setdefault(key_of(name), name)) != name:
                yield f"{section}: {other!r} and {name!r} would be one key of a ConfigMap, {key_of(name)}"


# --- the fact -------------------------------------------------------------------------------------------


def home_of(prefix: str) -> str:
    """Return the key prefix of a control plane, without a trailing slash."""
    return f"{prefix.strip('/')}/{HOME}"


def _observe(world: World, run: Run) -> dict[str, Any]:
    terms = terms_of(run.inputs)
    seen = see(world.store, terms.prefix, world.primary, terms.namespace, terms.workload, run.check)
    if any(section["configmap"] == "absent" for section in seen["sections"].values()):
        check_namespace(world.primary, terms.namespace)
    return seen


def see(
    store: ObjectStore, prefix: str, cluster: Cluster, namespace: str, workload: Workload, check: Check
) -> dict[str, Any]:
    """Observe a site's ConfigMaps against the published bundle, for every fact about parity."""
    home = home_of(prefix)
    blob = _pointer(store, home)
    if blob is None:
        return {"current": None, "fault": "", "sections": {}}
    seen: dict[str, Any] = {"current": {"sha256": hashlib.sha256(blob.body).hexdigest()}, "fault": "", "sections": {}}
    try:
        current = _current(blob.body)
        seen["current"] |= {name: printable(value) for name, value in current.items()}
        bundle = fetch(store, home, current, workload)
    except BundleFault as fault:
        return {**seen, "fault": fault.what}
    check()
    return {**seen, "sections": parity(cluster, namespace, bundle, workload)}


def parity(cluster: Cluster, namespace: str, bundle: Bundle, workload: Workload) -> dict[str, Any]:
    """Compare every section's ConfigMap with a bundle: counts, names and hashes, never contents."""
    names = {section: workload.kubernetes.control_plane_of(section) for section in SECTIONS}
    return {
        section: _section(cluster.get("ConfigMap", namespace, names[section]), bundle.sections[section])
        for section in SECTIONS
    }


def published(store: ObjectStore, prefix: str, workload: Workload) -> Bundle | None:
    """Return the bundle that current.json names, None if nothing was ever published. Raises BundleFault."""
    blob = _pointer(store, home_of(prefix))
    return None if blob is None else fetch(store, home_of(prefix), _current(blob.body), workload)


def _pointer(store: ObjectStore, home: str) -> Blob | None:
    """Return current.json, None if there is none. One that is too large is not read and counts as empty."""
    key = f"{home}/current.json"
    stat = store.stat(key)
    if stat is not None and stat.size_bytes > LARGEST_CURRENT_BYTES:
        return Blob(key, b"", stat.etag)
    return store.get(key) if stat is not None else None


def _current(raw: bytes) -> dict[str, str]:
    """Return current.json's fields about the bundle. Raises BundleFault."""
    if len(raw) > LARGEST_CURRENT_BYTES:
        raise BundleFault([f"current.json has {len(raw)} bytes, more than {LARGEST_CURRENT_BYTES}"])
    try:
        current = claims.object_of(raw, "current.json")
    except errors.Unreadable as fault:
        raise BundleFault([fault.what]) from None
    uri, sha256 = current.get("bundle_uri"), current.get("bundle_sha256")
    if not isinstance(uri, str) or len(uri) > _LONGEST_URI or not isinstance(sha256, str) or not _SHA256.match(sha256):
        raise BundleFault(["current.json has no valid bundle_uri and bundle_sha256"])
    origin = {name: short(current[name]) for name in ("created_at", "git_sha") if isinstance(current.get(name), str)}
    return {"bundle_uri": uri, "bundle_sha256": sha256, **origin}


def fetch(store: ObjectStore, home: str, current: Mapping[str, str], workload: Workload) -> Bundle:
    """Return the bundle that ``current`` names; ``home`` is ``<prefix>/control-plane``.

    Raises BundleFault unless all of it is valid.
    """
    uri, bucket = current["bundle_uri"], f"s3://{store.bucket}/"
    key = uri.removeprefix(bucket)
    if not uri.startswith(f"{bucket}{home}/bundles/"):
        raise BundleFault([f"current.json names {uri}, which is not below {bucket}{home}/bundles/"])
    if not claims.is_name("file", name := uri.removeprefix(f"{bucket}{home}/bundles/")):
        raise BundleFault([f"current.json names a bundle {name!r}, which is not a valid name"])
    size = store.stat(key)
    if size is not None and size.size_bytes > LARGEST_BUNDLE_BYTES:
        raise BundleFault([f"it has {size.size_bytes} bytes, more than {LARGEST_BUNDLE_BYTES}"])
    blob = store.get(key, largest_bytes=LARGEST_BUNDLE_BYTES) if size is not None else None
    if blob is None:
        raise BundleFault([f"{uri} does not exist"])
    return opened(blob.body, current["bundle_sha256"], uri, workload)


def _section(manifest: Manifest | None, files: Files) -> dict[str, Any]:
    """Compare a section's ConfigMap with the published files: counts, and the first names of each kind."""
    published = {key_of(name): body for name, body in files.items()}
    live = data_of(manifest) if manifest is not None else {}
    kinds = {
        "missing": sorted(published.keys() - live.keys()),
        "extra": sorted(live.keys() - published.keys()),
        "changed": sorted(key for key in published.keys() & live.keys() if not alike(key, published[key], live[key])),
    }
    return {
        "configmap": "present" if manifest is not None else "absent",
        "files": len(published),
        **{kind: len(keys) for kind, keys in kinds.items()},
        "first": {
            kind: {key: {"published": _hash(published.get(key)), "live": _hash(live.get(key))} for key in keys[:_NAMED]}
            for kind, keys in kinds.items()
            if keys
        },
    }


def data_of(manifest: Mapping[str, Any]) -> dict[str, bytes]:
    """Return a ConfigMap's content by key; invalid Base64 is returned unchanged."""
    content = {key: str(text).encode("utf-8", "surrogatepass") for key, text in (manifest.get("data") or {}).items()}
    for key, text in (manifest.get("binaryData") or {}).items():
        try:
            content[key] = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            content[key] = str(text).encode()
    return content


def alike(name: str, left: bytes, right: bytes) -> bool:
    """Return whether two files are equal: JSON by its values, others by their bytes without trailing newlines."""
    if left.rstrip(b"\r\n") == right.rstrip(b"\r\n"):
        return True
    if not name.endswith(".json"):
        return False
    try:
        values = json_of(left), json_of(right)
    except Unreadable:
        return False
    return next(apart(*values, _as_is), None) is None


def _as_is(_path: Path) -> Treatment:
    return _PLAIN


def _hash(body: bytes | None) -> str | None:
    return None if body is None else hashlib.sha256(body).hexdigest()


def same(sections: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether a comparison found no difference."""
    return not any(section[kind] for section in sections.values() for kind in ("missing", "extra", "changed"))


def judge(seen: Mapping[str, Any], _inputs: Mapping[str, Any] | None = None) -> str:
    """Judge the observation of ``see``."""
    if seen["current"] is None:
        return "absent"
    return "equal" if seen["sections"] and not seen["fault"] and same(seen["sections"]) else "different"


FACTS = {"control_plane": Fact(_observe, judge)}
