"""A pod's volumes as directories, and a container's root, where links to the volumes are its mounts.

    <pod>/volumes/<name>/        emptyDir (shared by the pod's containers), configMap, secret, projected
    <claims>/<namespace>/<name>/ persistentVolumeClaim: outlives every pod
    <pod>/roots/<container>/     made anew for every start; the process's DRFSM_SANDBOX_ROOT

Nothing isolates a process from the machine: a program finds its mounts through DRFSM_SANDBOX_ROOT. Paths from
manifests can't leave the root. A volume that isn't available (yet) raises ``Unmountable``, and is tried again.
"""

import posixpath
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from drfsm.sandbox.kubernetes.pod_environment import Misconfigured, Sources, decoded, field
from drfsm.sandbox.kubernetes.refusals import Manifest

DEFAULT_MODE = 0o644


class Unmountable(Exception):
    """A volume isn't available now: FailedMount."""


class VolumeSources(Sources, Protocol):
    """The source of ConfigMaps, Secrets, claims and tokens."""

    def claim(self, namespace: str, name: str) -> Manifest | None:
        """Return a PersistentVolumeClaim."""

    def token(self, namespace: str, account: str, audience: str, seconds: int, pod: Manifest) -> str:
        """Return a new token of a ServiceAccount."""


def prepare(pod: Manifest, home: Path, claims: Path, sources: VolumeSources) -> dict[str, Path]:
    """Make a pod's volumes; return the path of each by its name. Raises Unmountable."""
    paths: dict[str, Path] = {}
    for volume in pod["spec"].get("volumes") or ():
        name = _plain(volume["name"])
        try:
            paths[name] = _volume(pod, volume, home / "volumes" / name, claims, sources)
        except (Unmountable, Misconfigured, OSError) as fault:
            raise Unmountable(f'MountVolume.SetUp failed for volume "{name}" : {fault}') from None
    return paths


def make_root(container: Manifest, root: Path, volumes: Mapping[str, Path], files: Path | None = None) -> None:
    """Make a container's root, with links to its image's files and its volumes. Raises Misconfigured."""
    if root.exists():
        shutil.rmtree(root)
    for folder in ("tmp", "dev"):
        (root / folder).mkdir(parents=True)
    if files:
        for file in files.rglob("*"):
            if not file.is_dir():
                _link(root / file.relative_to(files), file)
    mounts: Sequence[Manifest] = container.get("volumeMounts") or ()
    for mount in sorted(mounts, key=lambda volume_mount: len(inside(root, volume_mount["mountPath"]).parts)):
        if mount["name"] not in volumes:
            raise Misconfigured(f'volume "{mount["name"]}" of a mount is not a volume of the pod')
        target = _source(mount, volumes[mount["name"]])
        _link(inside(root, mount["mountPath"]), target)
    log = inside(root, container.get("terminationMessagePath") or "/dev/termination-log")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.touch()


def inside(root: Path, path: str) -> Path:
    """Return the path below the root for an absolute path of the container; it can't leave the root."""
    return root / posixpath.normpath(posixpath.join("/", path)).lstrip("/")


def _source(mount: Manifest, volume: Path) -> Path:
    """Return the path of the mounted part of a volume: all of it, or its subPath, which is made if missing."""
    below = mount.get("subPath") or ""
    if ".." in below.split("/") or below.startswith("/"):
        raise Misconfigured(f"subPath {below} leads out of the volume")
    target = volume / below
    if not target.exists():
        target.mkdir(parents=True)
    return target


def _link(at: Path, target: Path) -> None:
    at.parent.mkdir(parents=True, exist_ok=True)
    if at.is_symlink():  # within another mount: left by a start before
        at.unlink()
    elif at.is_dir() and not any(at.iterdir()):
        at.rmdir()
    elif at.exists():
        raise Misconfigured(f"something else is at the mount path {at.name} already")
    at.symlink_to(target)


def _volume(pod: Manifest, volume: Manifest, at: Path, claims: Path, sources: VolumeSources) -> Path:
    namespace = pod["metadata"]["namespace"]
    if claim := volume.get("persistentVolumeClaim"):
        if sources.claim(namespace, claim["claimName"]) is None:
            raise Unmountable(f'persistentvolumeclaim "{claim["claimName"]}" not found')
        at = claims / _plain(namespace) / _plain(claim["claimName"])
    at.mkdir(parents=True, exist_ok=True)
    if "emptyDir" in volume or claim:
        return at
    if "projected" in volume:
        for source in volume["projected"].get("sources") or ():
            _write(at, _projected(pod, source, sources), volume["projected"].get("defaultMode"))
        return at
    for kind in ("configMap", "secret"):
        if kind in volume:
            source = volume[kind]
            name = source.get("name") or source.get("secretName") or ""
            _write(at, _files(kind, namespace, {**source, "name": name}, sources), source.get("defaultMode"))
            return at
    raise Unmountable(f"this kubelet knows no volumes of the kind {', '.join(k for k in volume if k != 'name')}")


def _files(kind: str, namespace: str, source: Manifest, sources: VolumeSources) -> dict[str, bytes]:
    """Return the files of a ConfigMap or Secret: all of it, or its ``items``."""
    name = source["name"]
    if kind == "configMap":
        manifest = sources.config_map(namespace, name)
        held = {key: value.encode() for key, value in ((manifest or {}).get("data") or {}).items()}
        held |= decoded({"data": (manifest or {}).get("binaryData")})
    else:
        manifest = sources.secret(namespace, name)
        held = decoded(manifest or {})
    if manifest is None and not source.get("optional"):
        raise Unmountable(f'{kind.lower()} "{name}" not found')
    if not source.get("items"):
        return held
    files = {}
    for item in source["items"]:
        if item["key"] in held:
            files[item["path"]] = held[item["key"]]
        elif not source.get("optional"):
            raise Unmountable(f"references non-existent {kind.lower()} key: {item['key']}")
    return files


def _projected(pod: Manifest, source: Manifest, sources: VolumeSources) -> dict[str, bytes]:
    namespace = pod["metadata"]["namespace"]
    for kind in ("configMap", "secret"):
        if kind in source:
            return _files(kind, namespace, source[kind], sources)
    if "downwardAPI" in source:
        items = source["downwardAPI"].get("items") or ()
        return {item["path"]: field(pod, item["fieldRef"]["fieldPath"]).encode() for item in items}
    if "serviceAccountToken" in source:
        asked = source["serviceAccountToken"]
        account = pod["spec"].get("serviceAccountName") or "default"
        seconds = asked.get("expirationSeconds") or 3600
        token = sources.token(namespace, account, asked.get("audience") or "", seconds, pod)
        return {asked["path"]: token.encode()}
    raise Unmountable(f"this kubelet can't project {', '.join(source)}")


def _write(home: Path, files: Mapping[str, bytes], mode: int | None) -> None:
    for path, body in files.items():
        target = inside(home, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            target.write_bytes(body)
            target.chmod(DEFAULT_MODE if mode is None else mode)


def _plain(name: str) -> str:
    """Return a name that becomes a directory's. Raises Unmountable for one that holds a path."""
    if not name or "/" in name or name in (".", ".."):
        raise Unmountable(f"{name!r} is no name")
    return name
