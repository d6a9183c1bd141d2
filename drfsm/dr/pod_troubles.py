"""Why a pod that should run does not: one table of what a kubelet says, for every reader of pods.

Pure; works on plain manifests. health.py, drain.py and the validation call it; no other module has reasons of its own.

The reasons are those of kubelet's source (v1.34): pkg/kubelet/images/types.go, the container errors in
pkg/kubelet/kuberuntime/kuberuntime_container.go and pkg/kubelet/container/sync_result.go, and cri-api's
pkg/errors/errors.go; ``StartError`` and ``ContainerCannotRun`` are the runtimes' (containerd, Docker). A reason that is
not in the table is a trouble, too: only ``BEGINNING`` is the normal course of a start.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from drfsm.claims import bounded
from drfsm.world import Manifest

ENDED = ("Succeeded", "Failed")
BEGINNING = ("ContainerCreating", "PodInitializing")
"""What every container waits for at first. It is a trouble only where it lasts."""
_AFTER_INIT = "PodInitializing"  # of a pod with init containers; once one of them has begun, the others wait for it
HOPELESS = (
    "InvalidImageName",  # the image's name can't be read
    "ErrImageNeverPull",  # imagePullPolicy Never, and the node does not have the image
    "SignatureValidationFailed",  # the image's signature does not hold
    "CreateContainerConfigError",  # a ConfigMap, a Secret or a key that the container names is not there
    "RunContainerError",  # the runtime can't start it: its command is not in the image, or may not be run
    "StartError",  # likewise, as containerd says it of the container that ended
    "ContainerCannotRun",  # likewise, as Docker says it
)
"""Tried again and again, to no avail, until a person changes something."""
RETRIED = (
    "ErrImagePull",  # the registry, its credentials, or no such image
    "ImagePullBackOff",  # the pause after it
    "RegistryUnavailable",  # it does not answer
    "ImageInspectError",  # the node's image store
    "CreateContainerError",  # the runtime refuses to make it, or is overloaded: a mount, a device, a name in use
    "PreCreateHookError",
    "PreStartHookError",
    "PostStartHookError",  # its postStart hook failed
    "CrashLoopBackOff",  # it ended with an error, and waits before the next start
    "CreatePodSandboxError",  # the network or the runtime of the node
    "ConfigPodSandboxError",
)
"""Tried again and again; another try may succeed."""
PULLS = ("ErrImagePull", "ImagePullBackOff", "RegistryUnavailable")  # a registry that may answer again
_NEVER_BEGAN = ("StartError", "ContainerCannotRun")  # of a container that ended: it did nothing


class Trouble(NamedTuple):
    """What keeps a container, or with ``container`` "" a pod, from running."""

    container: str
    reason: str
    message: str  # the cluster's words, bounded; "" where it has none

    @property
    def words(self) -> str:
        """Return reason and message."""
        return f"{self.reason}: {self.message}" if self.message else self.reason

    @property
    def is_beginning(self) -> bool:
        """Whether this is the normal course of a start, as long as it does not last."""
        return self.reason in BEGINNING


def troubles(pod: Manifest) -> Iterator[Trouble]:
    """Yield what keeps a pod from running, ``BEGINNING`` included; nothing of one that has ended."""
    status = pod.get("status") or {}
    if status.get("phase") in ENDED:
        return
    inits = [container.get("state") or {} for container in status.get("initContainerStatuses") or ()]
    begun = any("running" in state or "terminated" in state for state in inits)
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(kind) or ():
            of_it = _of_container(container)
            yield from (trouble for trouble in of_it if not (begun and trouble.reason == _AFTER_INIT))
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False" and condition.get("reason"):
            yield Trouble("", condition["reason"], bounded(condition.get("message") or "no reason given"))


def _of_container(container: Mapping[str, Any]) -> Iterator[Trouble]:
    state, last = container.get("state") or {}, (container.get("lastState") or {}).get("terminated") or {}
    waiting, terminated = state.get("waiting") or {}, state.get("terminated") or {}
    if waiting.get("reason"):
        message = waiting.get("message") or ""
        if last.get("reason") in _NEVER_BEGAN:
            message = f"{message} ({last['reason']}: {last.get('message') or 'no reason given'})".lstrip()
        yield Trouble(container["name"], waiting["reason"], bounded(message) if message else "")
    elif terminated.get("reason") in _NEVER_BEGAN:
        yield Trouble(container["name"], terminated["reason"], bounded(terminated.get("message") or "no reason given"))
