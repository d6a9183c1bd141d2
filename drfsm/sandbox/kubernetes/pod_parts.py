"""Subresources beside status: a pod's log, binding and eviction, a ServiceAccount's token, a workload's scale."""

import secrets
from collections.abc import Iterator
from itertools import chain
from typing import Protocol

from attrs import evolve

from drfsm.sandbox.kubernetes import writing
from drfsm.sandbox.kubernetes.http_messages import Answer, Request, Target, answer, manifest_of
from drfsm.sandbox.kubernetes.refusals import ApiError, Manifest, bad_request, conflict, invalid, unacceptable
from drfsm.sandbox.kubernetes.store import Store, timestamp

TOKEN_SECONDS = 3600


class PodLogs(Protocol):
    """The kubelet's logs."""

    def read(
        self,
        namespace: str,
        pod: str,
        container: str,
        tail_lines: int | None,
        follow: bool,
        *,
        previous: bool,
        timestamps: bool,
    ) -> Iterator[bytes]:
        """Yield a container's output, or its last lines; with ``follow`` until it ends. Raises ApiError."""


def log(store: Store, logs: PodLogs | None, request: Request, where: Target) -> Answer:
    """Answer with a container's log."""
    pod = store.peek("pods", where.namespace, where.name)
    container = _container(pod, request.query.get("container", ""))
    if unkept := [name for name in ("sinceSeconds", "sinceTime", "limitBytes") if request.query.get(name)]:
        raise bad_request(f"{unkept[0]} is not supported: the sandbox's kubelet knows no line's time, and cuts no line")
    tail = request.number("tailLines")
    if tail is not None and tail < 0:
        fault = unacceptable("tailLines", tail, "must be greater than or equal to 0")
        raise invalid("PodLogOptions", "", where.name, [fault])
    _check_started(pod, container)
    if not pod["spec"].get("nodeName"):
        return Answer(200, b"", "text/plain")
    if logs is None:
        raise ApiError(500, "InternalError", f"the kubelet of node {pod['spec']['nodeName']} can't be reached")
    says = request.says
    pieces = logs.read(
        where.namespace,
        where.name,
        container,
        tail,
        says("follow"),
        previous=says("previous"),
        timestamps=says("timestamps"),
    )
    # The first piece is fetched before the answer begins, so that a refusal can still be one.
    return Answer(200, chain([next(pieces, b"")], pieces), "text/plain")


def _container(pod: Manifest, asked: str) -> str:
    name, spec = pod["metadata"]["name"], pod["spec"]
    names = [container["name"] for group in ("containers", "initContainers") for container in spec.get(group) or ()]
    if asked and asked not in names:
        raise bad_request(f"container {asked} is not valid for pod {name}")
    if not asked and len(spec["containers"]) > 1:
        choice = " ".join(container["name"] for container in spec["containers"])
        raise bad_request(f"a container name must be specified for pod {name}, choose one of: [{choice}]")
    return asked or str(spec["containers"][0]["name"])


def _check_started(pod: Manifest, container: str) -> None:
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        waiting = (status.get("state") or {}).get("waiting")
        if status["name"] == container and waiting is not None and not (status.get("lastState") or {}):
            reason = waiting.get("reason", "ContainerCreating")
            name = pod["metadata"]["name"]
            raise bad_request(f'container "{container}" in pod "{name}" is waiting to start: {reason}')


def bind(store: Store, request: Request, where: Target) -> Answer:
    """Give a pod its node, as a scheduler does."""
    node = (manifest_of(request).get("target") or {}).get("name")
    if not node:
        raise bad_request("target.name: Required value")
    with store.alone():
        pod = store.get("pods", where.namespace, where.name)
        if bound := pod["spec"].get("nodeName"):
            raise conflict("pods/binding", where.name, f'pod {where.name} is already assigned to node "{bound}"')
        if not request.dry_run:
            pod["spec"]["nodeName"] = node
            store.update("pods", pod)
            pod = store.get("pods", where.namespace, where.name)
            scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": timestamp()}
            others = [mark for mark in pod["status"].get("conditions") or () if mark["type"] != "PodScheduled"]
            pod["status"]["conditions"] = [*others, scheduled]
            store.update("pods", pod, status=True)
    return answer(201, _done(201))


def evict(store: Store, request: Request, where: Target) -> Answer:
    """Delete a pod as ``kubectl drain`` does; there are no disruption budgets here."""
    asked = (manifest_of(request).get("deleteOptions") or {}).get("gracePeriodSeconds")
    store.delete("pods", where.namespace, where.name, grace_seconds=asked, dry_run=request.dry_run)
    return answer(201, _done(201))


def _done(code: int) -> Manifest:
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code}


def token(store: Store, request: Request, where: Target) -> Answer:
    """Issue a ServiceAccount's token, for a pod to find in its volume. It is accepted nowhere."""
    store.peek("serviceaccounts", where.namespace, where.name)
    spec = manifest_of(request).get("spec") or {}
    seconds = spec.get("expirationSeconds") or TOKEN_SECONDS
    return answer(
        201,
        {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": where.name, "namespace": where.namespace, "creationTimestamp": timestamp()},
            "spec": {"audiences": [], "boundObjectRef": None, **spec, "expirationSeconds": seconds},
            "status": {"token": secrets.token_urlsafe(48), "expirationTimestamp": timestamp(seconds)},
        },
    )


# --- scale ----------------------------------------------------------------------------------------------


def scale(store: Store, request: Request, where: Target) -> Answer:
    """Answer with a workload's scale, or change it."""
    plural = where.resource.plural
    with store.alone():
        old = store.peek(plural, where.namespace, where.name)
        if request.method == "GET":
            return answer(200, _scale(old))
        scaled = manifest_of(request) if request.method == "PUT" else writing.patched(request, None, _scale(old))
        replicas = (scaled.get("spec") or {}).get("replicas", 0)
        if not isinstance(replicas, int) or replicas < 0:
            fault = unacceptable("spec.replicas", replicas, "must be greater than or equal to 0")
            raise invalid("Scale", "autoscaling", where.name, [fault])
        version = (scaled.get("metadata") or {}).get("resourceVersion") or old["metadata"]["resourceVersion"]
        new = {
            **old,
            "metadata": {**old["metadata"], "resourceVersion": version},
            "spec": {**old["spec"], "replicas": replicas},
        }
        finish = writing.finish_of(request, evolve(where, part="scale"))
        kept = store.update(plural, new, dry_run=request.dry_run, finish=finish)
        return answer(200, _scale(kept))


def _scale(manifest: Manifest) -> Manifest:
    marks = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    labels = (manifest["spec"].get("selector") or {}).get("matchLabels") or {}
    replicas = manifest["spec"].get("replicas", 1)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: manifest["metadata"][name] for name in marks},
        "spec": {"replicas": replicas} if replicas else {},
        "status": {
            "replicas": (manifest.get("status") or {}).get("replicas", 0),
            "selector": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        },
    }
