"""Where a workload's pods write: which of their volumes outlive a pod, and which of those a backup can keep.

``SOURCES`` is the table. A backup keeps one kind, a claim: whatever volume is bound to it (local, NFS, CSI, hostPath),
a Job with the workload's own placement mounts it as the next pod of the workload would. A volume that a pod names
itself (``hostPath``, ``nfs``, ``csi``, ...) lies on a node or a server that no claim leads to: its content is never
kept, and never called kept. A volume that no container may write to holds no state of this workload; it is another's.
Pure. Called by backup/create.py and restore_state.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import asdict, frozen

from drfsm.dr.backup.manifests import pod_of
from drfsm.errors import UsageFault
from drfsm.world import Manifest

CLAIM, FLEETING, CONFIGURATION, LASTING = "claim", "fleeting", "configuration", "lasting"
SOURCES: Mapping[str, str] = {
    "persistentVolumeClaim": CLAIM,
    "emptyDir": FLEETING,
    "ephemeral": FLEETING,  # a claim that ends with its pod
    "configMap": CONFIGURATION,
    "secret": CONFIGURATION,
    "downwardAPI": CONFIGURATION,
    "projected": CONFIGURATION,
    "image": CONFIGURATION,
}
"""What a pod's volume is by its source. Every other source outlives the pod, or may: it is ``LASTING``."""


@frozen
class Volume:
    """A volume of a pod. ``claim``: its claim, "" for none; ``writable``: whether a container may write to it."""

    name: str
    source: str
    claim: str
    writable: bool
    is_block: bool = False

    @property
    def kind(self) -> str:
        """What becomes of its content: one of the values of SOURCES."""
        return SOURCES.get(self.source, LASTING)

    @property
    def words(self) -> str:
        """Name it."""
        return f"volume {self.name} ({self.source}{f' {self.claim}' if self.claim else ''})"


@frozen
class Home:
    """Where a workload keeps its state: the ``kind`` of volume, and its ``claim``, "" if no claim has it.

    ``read_only``: the workload may only read the claim. ``volumes``: all of the pod's that are not configuration.
    """

    kind: str
    claim: str
    cronjob: Manifest
    read_only: bool = False
    volumes: Sequence[Volume] = ()

    @property
    def unkept(self) -> list[Volume]:
        """What the workload writes, what outlives its pods, and what no backup of this home keeps."""
        return [volume for volume in self.volumes if volume.writable and _outlives(volume) and not self.keeps(volume)]

    def keeps(self, volume: Volume) -> bool:
        """Whether a backup keeps this volume's content."""
        return bool(self.claim) and volume.claim == self.claim and not volume.is_block

    def described(self) -> list[dict[str, Any]]:
        """Return each volume for a backup's metadata: whether it is kept, and why not."""
        return [
            {
                **{name: value for name, value in asdict(volume).items() if name in ("name", "source", "writable")},
                "claim": volume.claim or None,
                "kept": self.keeps(volume),
                "why": "" if self.keeps(volume) else _why(volume),
            }
            for volume in self.volumes
        ]


def _outlives(volume: Volume) -> bool:
    return volume.kind in (CLAIM, LASTING)


def _why(volume: Volume) -> str:
    if volume.kind == FLEETING:
        return "it ends with its pod"
    if not volume.writable:
        return "the workload only reads it: somebody else fills it"
    if volume.is_block:
        return "it is a block device, and a backup keeps files"
    if volume.kind == CLAIM:
        return "another claim was named as the state's"
    return "the pod names it itself, without a claim: it lies on a node or a server that drfsm does not read"


def volumes_of(pod: Manifest) -> Iterator[Volume]:
    """Yield the volumes of a pod but for its configuration."""
    containers = [*(pod.get("containers") or ()), *(pod.get("initContainers") or ())]
    mounts = [mount for container in containers for mount in container.get("volumeMounts") or ()]
    written = {mount.get("name") for mount in mounts if not mount.get("readOnly")}
    blocks = {device.get("name") for container in containers for device in container.get("volumeDevices") or ()}
    for volume in pod.get("volumes") or ():
        source = next((name for name in volume if name != "name"), "emptyDir")  # the API's default
        if SOURCES.get(source) == CONFIGURATION:
            continue
        details = volume.get(source) or {}
        name = str(volume["name"])
        is_writable = (name in written or name in blocks) and not details.get("readOnly")
        claim = str(details.get("claimName", "")) if source == "persistentVolumeClaim" else ""
        yield Volume(name, source, claim, is_writable, name in blocks)


def home_of(cronjob: Manifest, claim: str = "") -> Home:
    """Return where a CronJob's pods keep their state. Raises UsageFault if that is ambiguous.

    Of several claims the one that the workload may write to is meant; ``claim`` names another.
    """
    volumes = tuple(volumes_of(pod_of(cronjob)))
    claims = {volume.claim: False for volume in volumes if volume.claim and not volume.is_block}
    claims |= {volume.claim: True for volume in volumes if volume.claim in claims and volume.writable}
    name, named = cronjob["metadata"]["name"], sorted(claims)
    if claim and claim not in claims:
        raise UsageFault(f"CronJob {name} has no claim {claim}; it has: {', '.join(named) or 'none'}")
    candidates = [claim] if claim else sorted(own for own in claims if claims[own]) or named
    if len(candidates) > 1:
        raise UsageFault(
            f"CronJob {name} has several claims: {', '.join(candidates)}", hint="name one with --state-claim"
        )
    if candidates:
        return Home("persistentVolumeClaim", candidates[0], cronjob, not claims[candidates[0]], volumes)
    lasting = next((volume.source for volume in volumes if volume.writable and _outlives(volume)), "")
    fleeting = any(volume.kind == FLEETING for volume in volumes)
    return Home(lasting or ("emptyDir" if fleeting else "none"), "", cronjob, volumes=volumes)
