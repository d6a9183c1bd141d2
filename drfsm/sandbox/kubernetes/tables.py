"""kubectl's tables, which the server renders, with the real columns of the kinds that operators look at.

Pure functions of manifests; listing.py calls ``table``. A kind without a row in ``KINDS`` has NAME and AGE.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from drfsm.sandbox.kubernetes.networking import ingress_cells
from drfsm.sandbox.kubernetes.reading import moment
from drfsm.sandbox.kubernetes.refusals import Manifest

NONE = "<none>"
MINUTE, HOUR, DAY, YEAR = 60, 3600, 86400, 365 * 86400


class Column(NamedTuple):
    """A column. One with a priority above 0 is shown only by ``-o wide``."""

    name: str
    type: str = "string"
    priority: int = 0


class Layout(NamedTuple):
    """The columns of a kind, and a row's cells."""

    columns: Sequence[Column]
    cells: Callable[[Manifest], Sequence[Any]]


def table(plural: str, items: Iterable[Manifest], *, include: str = "Metadata", headers: bool = True) -> Manifest:
    """Return a meta.k8s.io/v1 Table. ``include`` is None, Metadata or Object, as the client asks."""
    layout = KINDS.get(plural, GENERIC)
    columns = [
        {
            "name": column.name,
            "type": column.type,
            "format": "name" if column.name == "Name" else "",
            "description": "",
            "priority": column.priority,
        }
        for column in layout.columns
    ]
    rows = [{"cells": list(layout.cells(manifest)), **_object(manifest, include)} for manifest in items]
    header = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {}}
    return {**header, "columnDefinitions": columns if headers else None, "rows": rows}


def partial(manifest: Manifest) -> Manifest:
    """Return an object's metadata alone."""
    header = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    return {**header, "metadata": manifest["metadata"]}


def _object(manifest: Manifest, include: str) -> Manifest:
    if include == "None":
        return {"object": None}
    return {"object": manifest if include == "Object" else partial(manifest)}


# --- times ----------------------------------------------------------------------------------------------


def since(text: str | None) -> str:
    """Return how long ago a time is, as kubectl writes it."""
    return "<unknown>" if not text else duration((datetime.now(UTC) - moment(text)).total_seconds())


# (below how many seconds, the unit, its seconds, the smaller unit beside it)
_STEPS: Sequence[tuple[int, str, int, str]] = (
    (2 * MINUTE, "s", 1, ""),
    (10 * MINUTE, "m", MINUTE, "s"),
    (3 * HOUR, "m", MINUTE, ""),
    (8 * HOUR, "h", HOUR, "m"),
    (2 * DAY, "h", HOUR, ""),
    (8 * DAY, "d", DAY, "h"),
    (2 * YEAR, "d", DAY, ""),
    (8 * YEAR, "y", YEAR, "d"),
)
_SECONDS = {"s": 1, "m": MINUTE, "h": HOUR, "d": DAY}


def duration(seconds: float) -> str:
    """Return a duration in at most two units, as the real server writes it: 95s, 5m3s, 3h12m, 4d2h, 2y30d."""
    whole = int(seconds)
    if whole < 0:
        return "0s" if whole >= -1 else "<invalid>"
    for limit, unit, size, sub in _STEPS:
        if whole < limit:
            rest = whole % size // _SECONDS[sub] if sub else 0
            return f"{whole // size}{unit}" + (f"{rest}{sub}" if rest else "")
    return f"{whole // YEAR}y"


# --- cells ----------------------------------------------------------------------------------------------


def _name(manifest: Manifest) -> str:
    return str(manifest["metadata"]["name"])


def _age(manifest: Manifest) -> str:
    return since(manifest["metadata"].get("creationTimestamp"))


def _selected(selector: Mapping[str, Any] | None) -> str:
    labels = (selector or {}).get("matchLabels") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or NONE


def _images(template: Manifest) -> tuple[str, str]:
    containers = (template.get("spec") or {}).get("containers") or ()
    names = ",".join(container["name"] for container in containers)
    return names, ",".join(container.get("image", "") for container in containers)


def _pod(pod: Manifest) -> Sequence[Any]:
    spec, status = pod["spec"], pod.get("status") or {}
    states = status.get("containerStatuses") or ()
    ready = sum(bool(state.get("ready")) and "running" in (state.get("state") or {}) for state in states)
    restarts = sum(state.get("restartCount", 0) for state in states)
    return (
        _name(pod),
        f"{ready}/{len(spec['containers'])}",
        pod_status(pod),
        _restarts(restarts, states),
        _age(pod),
        status.get("podIP") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        NONE,
    )


def _restarts(number: int, states: Iterable[Manifest]) -> str:
    ends = [((state.get("lastState") or {}).get("terminated") or {}).get("finishedAt") for state in states]
    known = [end for end in ends if end]
    return f"{number} ({since(max(known))} ago)" if number and known else str(number)


def pod_status(pod: Manifest) -> str:
    """Return the status of a pod that kubectl shows."""
    status = pod.get("status") or {}
    word = status.get("reason") or status.get("phase") or "Unknown"
    running = False
    for container in reversed(status.get("containerStatuses") or ()):
        state = container.get("state") or {}
        if state.get("waiting", {}).get("reason"):
            word = state["waiting"]["reason"]
        elif "terminated" in state:
            word = _ending(state["terminated"])
        elif container.get("ready") and "running" in state:
            running = True
    if word == "Completed" and running:
        word = "Running"
    if "deletionTimestamp" in pod["metadata"]:
        return "Unknown" if status.get("reason") == "NodeLost" else "Terminating"
    return str(word)


def _ending(terminated: Manifest) -> str:
    if reason := terminated.get("reason"):
        return str(reason)
    signal = terminated.get("signal")
    return f"Signal:{signal}" if signal else f"ExitCode:{terminated.get('exitCode', 0)}"


def _job(job: Manifest) -> Sequence[Any]:
    spec, status = job["spec"], job.get("status") or {}
    succeeded, parallel = status.get("succeeded", 0), spec.get("parallelism") or 0
    if spec.get("completions") is not None:
        completions = f"{succeeded}/{spec['completions']}"
    else:
        completions = f"{succeeded}/1 of {parallel}" if parallel > 1 else f"{succeeded}/1"
    containers, images = _images(spec["template"])
    return (
        _name(job),
        job_status(job),
        completions,
        _took(status),
        _age(job),
        containers,
        images,
        _selected(spec.get("selector")),
    )


def job_status(job: Manifest) -> str:
    """Return the status of a Job that kubectl shows."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    true = {mark["type"] for mark in conditions if mark["status"] == "True"}
    words = {"Complete": "Complete", "Failed": "Failed"}
    if ended := next((word for kind, word in words.items() if kind in true), ""):
        return ended
    if "deletionTimestamp" in job["metadata"]:
        return "Terminating"
    return next((word for word in ("Suspended", "FailureTarget", "SuccessCriteriaMet") if word in true), "Running")


def _took(status: Manifest) -> str:
    if not status.get("startTime"):
        return ""
    end = moment(status["completionTime"]) if status.get("completionTime") else datetime.now(UTC)
    return duration((end - moment(status["startTime"])).total_seconds())


def _cronjob(cronjob: Manifest) -> Sequence[Any]:
    spec, status = cronjob["spec"], cronjob.get("status") or {}
    last = status.get("lastScheduleTime")
    containers, images = _images(spec["jobTemplate"]["spec"]["template"])
    return (
        _name(cronjob),
        spec["schedule"],
        spec.get("timeZone") or NONE,
        str(bool(spec.get("suspend"))),
        len(status.get("active") or ()),
        since(last) if last else NONE,
        _age(cronjob),
        containers,
        images,
        _selected(spec["jobTemplate"]["spec"].get("selector")),
    )


def _node(node: Manifest) -> Sequence[Any]:
    status = node.get("status") or {}
    info, addresses = status.get("nodeInfo") or {}, status.get("addresses") or ()
    ready = [mark for mark in status.get("conditions") or () if mark["type"] == "Ready"]
    words = ["Ready" if ready[0]["status"] == "True" else "NotReady"] if ready else ["Unknown"]
    if (node.get("spec") or {}).get("unschedulable"):
        words.append("SchedulingDisabled")
    prefix = "node-role.kubernetes.io/"
    labels = node["metadata"].get("labels") or {}
    roles = sorted(key.removeprefix(prefix) for key in labels if key.startswith(prefix))
    address_of = {address["type"]: address["address"] for address in reversed(addresses)}
    return (
        _name(node),
        ",".join(words),
        ",".join(roles) or NONE,
        _age(node),
        info.get("kubeletVersion", ""),
        address_of.get("InternalIP", NONE),
        address_of.get("ExternalIP", NONE),
        info.get("osImage") or "<unknown>",
        info.get("kernelVersion") or "<unknown>",
        info.get("containerRuntimeVersion") or "<unknown>",
    )


def _deployment(deployment: Manifest) -> Sequence[Any]:
    spec, status = deployment["spec"], deployment.get("status") or {}
    return (
        _name(deployment),
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 1)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        _age(deployment),
        *_images(spec["template"]),
        _selected(spec.get("selector")),
    )


def _replicaset(replicaset: Manifest) -> Sequence[Any]:
    spec, status = replicaset["spec"], replicaset.get("status") or {}
    return (
        _name(replicaset),
        spec.get("replicas", 1),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        _age(replicaset),
        *_images(spec["template"]),
        _selected(spec.get("selector")),
    )


def _event(event: Manifest) -> Sequence[Any]:
    about, source = event.get("involvedObject") or {}, event.get("source") or {}
    first = event.get("firstTimestamp") or event.get("eventTime")
    component = source.get("component") or event.get("reportingComponent") or ""
    return (
        since(event.get("lastTimestamp") or first),
        event.get("type", ""),
        event.get("reason", ""),
        f"{about.get('kind', '').lower()}/{about.get('name', '')}",
        about.get("fieldPath", ""),
        ", ".join(word for word in (component, source.get("host")) if word),
        (event.get("message") or "").strip(),
        since(first),
        event.get("count") or 1,
        _name(event),
    )


def _service(service: Manifest) -> Sequence[Any]:
    spec = service["spec"]
    ports = ",".join(f"{port['port']}/{port.get('protocol', 'TCP')}" for port in spec.get("ports") or ())
    selector = {"matchLabels": spec.get("selector")}
    kind, address = spec.get("type", "ClusterIP"), spec.get("clusterIP") or NONE
    return _name(service), kind, address, NONE, ports or NONE, _age(service), _selected(selector)


def _claim(claim: Manifest) -> Sequence[Any]:
    spec, status = claim["spec"], claim.get("status") or {}
    short = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
    modes = ",".join(short.get(mode, mode) for mode in status.get("accessModes") or ())
    phase = "Terminating" if "deletionTimestamp" in claim["metadata"] else status.get("phase", "")
    capacity = (status.get("capacity") or {}).get("storage", "")
    return (
        _name(claim),
        phase,
        spec.get("volumeName", ""),
        capacity,
        modes,
        spec.get("storageClassName", ""),
        "<unset>",
        _age(claim),
        spec.get("volumeMode", ""),
    )


def _columns(text: str) -> tuple[Column, ...]:
    """Parse columns: ``Name|Data#|Age|Node+``; # marks a number, + a column that only ``-o wide`` shows."""
    return tuple(
        Column(column.rstrip("#+"), "integer" if "#" in column else "string", int(column.endswith("+")))
        for column in text.split("|")
    )


GENERIC = Layout(_columns("Name|Age"), lambda m: (_name(m), _age(m)))
_WORKLOAD = "Containers+|Images+|Selector+"

KINDS: Mapping[str, Layout] = {
    "pods": Layout(
        _columns("Name|Ready|Status|Restarts|Age|IP+|Node+|Nominated Node+|Readiness Gates+"),
        _pod,
    ),
    "jobs": Layout(_columns(f"Name|Status|Completions|Duration|Age|{_WORKLOAD}"), _job),
    "cronjobs": Layout(_columns(f"Name|Schedule|Timezone|Suspend|Active#|Last Schedule|Age|{_WORKLOAD}"), _cronjob),
    "nodes": Layout(
        _columns(
            "Name|Status|Roles|Age|Version|Internal-IP+|External-IP+|OS-Image+|Kernel-Version+|Container-Runtime+"
        ),
        _node,
    ),
    "namespaces": Layout(
        _columns("Name|Status|Age"), lambda m: (_name(m), (m.get("status") or {}).get("phase", ""), _age(m))
    ),
    "configmaps": Layout(
        _columns("Name|Data#|Age"),
        lambda m: (_name(m), len(m.get("data") or ()) + len(m.get("binaryData") or ()), _age(m)),
    ),
    "secrets": Layout(
        _columns("Name|Type|Data#|Age"), lambda m: (_name(m), m.get("type", ""), len(m.get("data") or ()), _age(m))
    ),
    "serviceaccounts": GENERIC,
    "deployments": Layout(_columns(f"Name|Ready|Up-to-date#|Available#|Age|{_WORKLOAD}"), _deployment),
    "replicasets": Layout(_columns(f"Name|Desired#|Current#|Ready#|Age|{_WORKLOAD}"), _replicaset),
    "events": Layout(
        _columns("Last Seen|Type|Reason|Object|Subobject+|Source+|Message|First Seen+|Count#+|Name+"), _event
    ),
    "services": Layout(_columns("Name|Type|Cluster-IP|External-IP|Port(s)|Age|Selector+"), _service),
    "persistentvolumeclaims": Layout(
        _columns("Name|Status|Volume|Capacity|Access Modes|Storage Class|VolumeAttributesClass|Age|VolumeMode+"),
        _claim,
    ),
    "ingresses": Layout(
        _columns("Name|Class|Hosts|Address|Ports|Age"), lambda m: (_name(m), *ingress_cells(m), _age(m))
    ),
    "networkpolicies": Layout(
        _columns("Name|Pod-Selector|Age"), lambda m: (_name(m), _selected(m["spec"].get("podSelector")), _age(m))
    ),
    "leases": Layout(
        _columns("Name|Holder|Age"), lambda m: (_name(m), (m.get("spec") or {}).get("holderIdentity", ""), _age(m))
    ),
}
