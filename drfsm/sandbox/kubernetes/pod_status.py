"""A pod's phase and conditions, derived from its containers' statuses. Pure; the rules are the real kubelet's."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from drfsm.sandbox.kubernetes.reading import with_condition
from drfsm.sandbox.kubernetes.refusals import Manifest

ADDRESS = "127.0.0.1"


def phase_of(policy: str, inits: Sequence[Manifest], mains: Sequence[Manifest]) -> str:
    """Return a pod's phase, by its restartPolicy and the statuses of its containers."""
    for init in inits:
        if not succeeded(init):
            return "Failed" if policy == "Never" and "terminated" in init["state"] else "Pending"
    if any("waiting" in main["state"] and not main.get("lastState") for main in mains):
        return "Pending"
    if any("terminated" not in main["state"] for main in mains) or policy == "Always":
        return "Running"
    if all(succeeded(main) for main in mains):
        return "Succeeded"
    return "Failed" if policy == "Never" else "Running"


def ended_phase(mains: Iterable[Manifest]) -> str:
    """Return the phase of a pod that was stopped: Succeeded only if every container succeeded."""
    return "Succeeded" if all(succeeded(main) for main in mains) else "Failed"


def succeeded(container: Manifest) -> bool:
    """Return whether a container has ended with exit code 0."""
    ended = container["state"].get("terminated")
    return ended is not None and ended["exitCode"] == 0


def conditions_of(
    before: Iterable[Manifest], phase: str, inits: Sequence[Manifest], mains: Sequence[Manifest], now: datetime
) -> list[Manifest]:
    """Return a pod's conditions; those that others set are kept."""
    incomplete = [init["name"] for init in inits if not succeeded(init)]
    unready = [main["name"] for main in mains if not main["ready"]]
    initialized: Manifest = {"type": "Initialized", "status": "True"}
    if phase == "Succeeded":
        initialized["reason"] = "PodCompleted"
    elif incomplete:
        message = f"containers with incomplete status: [{' '.join(incomplete)}]"
        initialized |= {"status": "False", "reason": "ContainersNotInitialized", "message": message}
    ready: Manifest = {"status": "True"}
    if phase in ("Succeeded", "Failed"):
        ready = {"status": "False", "reason": "PodCompleted" if phase == "Succeeded" else "PodFailed"}
    elif unready:
        message = f"containers with unready status: [{' '.join(unready)}]"
        ready = {"status": "False", "reason": "ContainersNotReady", "message": message}
    conditions = list(before)
    for mark in (
        initialized,
        {"type": "Ready", **ready},
        {"type": "ContainersReady", **ready},
        {"type": "PodScheduled", "status": "True"},
    ):
        conditions = with_condition(conditions, mark, now)
    return conditions
