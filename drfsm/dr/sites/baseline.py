"""What a site must have before it can run the workload: checked and reported, never changed.

Three verdicts. ``fit``; ``unfit``: something is missing, and waiting does not help; ``not_ready``: only its nodes are
not ready yet. An open question (a registry that doesn't answer, an image for several platforms) is ``unknown`` in the
observation and no failure. Only the names of a Secret's keys are used, never their values.

    nodes                ready to take a pod
    namespace            there
    CronJob              there, the only one or the named one, suspended, with an image
    Jobs                 that they would start: account, named objects, pull Secrets, a node (startable.py)
    control plane        the four ConfigMaps
    workload identity    a Secret with a bucket and keys, or a role on the service account (left out on request)
    place                where it would publish by itself: the bucket and prefix that the drill is about
    architecture         of the image, where its registry answers, against the nodes'

``diagnose`` collects more, for an operator: nodes, pods, events, CronJobs, Jobs, redacted. Owns the fact
``site_baseline``. Called by the drill's binding and the CLI.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from drfsm.dr.control_plane import SECTIONS
from drfsm.dr.objects import condition, redacted
from drfsm.dr.progress import first_of
from drfsm.dr.sites import architecture, startable
from drfsm.dr.sites.architecture import architecture_of
from drfsm.dr.sites.health import cronjobs_at_fault, deployment_at_fault, nodes_at_fault, pod_at_fault
from drfsm.dr.sites.publishing import visible
from drfsm.dr.terms import terms_of
from drfsm.dr.workload import Kubernetes
from drfsm.engine import Fact, Run
from drfsm.world import Cluster, Manifest, Registry, World

ROLE_ANNOTATIONS = ("eks.amazonaws.com/role-arn",)
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
MOST_EVENTS, LOG_LINES = 40, 20


@frozen
class _Site:
    """The readings of a site, each made once."""

    cluster: Cluster
    namespace: str
    cronjob: Manifest | None
    account: Manifest | None
    secrets: dict[str, Manifest | None] = field(factory=dict)

    @property
    def pod(self) -> Manifest:
        """The CronJob's pod spec; {} if there is none."""
        return self.cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"] if self.cronjob else {}

    @property
    def account_name(self) -> str:
        """The pod's service account."""
        return str(self.pod.get("serviceAccountName") or "default")

    @property
    def image(self) -> str:
        """The image of the first container; "" if there is none."""
        containers = self.pod.get("containers") or ()
        return str(containers[0]["image"]) if containers else ""

    def secret(self, name: str) -> Manifest | None:
        """Return a Secret, None if there is none. Read once."""
        if name not in self.secrets:
            self.secrets[name] = self.cluster.get("Secret", self.namespace, name)
        return self.secrets[name]


def examine(
    cluster: Cluster,
    namespace: str,
    cronjob: str,
    names: Kubernetes,
    *,
    identity: bool,
    image_ref: str,
    registry: Registry | None,
    place: Mapping[str, str],
    renewed: bool = False,
) -> dict[str, Any]:
    """Observe a site's baseline. ``identity``: whether to check the workload's identity; ``place``: variable -> value.

    ``renewed``: whether the pull Secret gets a new token before a Job needs it.

    A validation publishes to its own prefix, whatever the site's prefix is: so the site's own prefix is checked here.
    """
    nodes = cluster.list("Node", "")
    there = cluster.get("Namespace", "", namespace) is not None
    cronjobs = cluster.list("CronJob", namespace) if there else []
    site = _site(cluster, namespace, cronjobs, cronjob, names.cronjob)
    wrong = [] if there else [f"the namespace {namespace} does not exist"]
    image, not_read = image_ref or site.image, list[str]()
    if there:
        wrong += [*cronjobs_at_fault(cronjobs, cronjob, namespace, names.cronjob), *_cronjob(site)]
        if site.cronjob is not None:
            jobs = startable.examine(cluster, namespace, site.cronjob, image, renewed=renewed)
            wrong += jobs["wrong"]["first"]
            not_read = jobs["unknown"]
        wrong += [*_control_plane(site, names), *(_identity(site) if identity else ()), *_place(site, place)]
    fit = architecture.see(registry, image, nodes)
    if architecture.judge(fit) == "other":
        wrong.append(f"{image} is built for {', '.join(fit['built_for'])}, and the nodes are {', '.join(fit['nodes'])}")
    return {
        "cluster_uid": cluster.uid(),
        "nodes": len(nodes),
        "nodes_ready": sum(bool(condition(node, "Ready")) for node in nodes),
        "not_ready": first_of(list(nodes_at_fault(nodes))),
        "wrong": first_of(wrong),
        "unknown": [*([fit["unknown"]] if fit["unknown"] else []), *not_read],
        "image": {
            "validated": image,
            "cronjob": site.image,
            "built_for": fit["built_for"],
            "nodes": fit["nodes"],
        },
        "service_account": site.account_name,
        "identity": "looked at" if identity else "left out, as asked",
    }


def judge(seen: Mapping[str, Any], _inputs: Mapping[str, Any] | None = None) -> str:
    """Judge whether the site could run the workload."""
    if seen["wrong"]["total"]:
        return "unfit"
    return "not_ready" if seen["not_ready"]["total"] else "fit"


def _site(cluster: Cluster, namespace: str, cronjobs: Sequence[Manifest], named: str, usual: str) -> _Site:
    by_name = {cronjob["metadata"]["name"]: cronjob for cronjob in cronjobs}
    cronjob = by_name.get(named or usual)
    if cronjob is None and not named and len(cronjobs) == 1:
        cronjob = cronjobs[0]
    site = _Site(cluster, namespace, cronjob, None)
    account = cluster.get("ServiceAccount", namespace, site.account_name) if cronjob else None
    return _Site(cluster, namespace, cronjob, account)


def _cronjob(site: _Site) -> Iterator[str]:
    if site.cronjob is None:
        return  # already reported
    name = site.cronjob["metadata"]["name"]
    if not site.cronjob["spec"].get("suspend"):
        yield f"CronJob {name} is not suspended"
    if not site.image:
        yield f"CronJob {name} has no image"


def _sources(site: _Site) -> Iterator[tuple[str, str]]:
    """Yield (kind, name) of every required source of the containers' environment."""
    for container in (*(site.pod.get("initContainers") or ()), *(site.pod.get("containers") or ())):
        for entry in container.get("envFrom") or ():
            for kind, reference in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
                if reference in entry and not entry[reference].get("optional"):
                    yield kind, str(entry[reference]["name"])


def _control_plane(site: _Site, names: Kubernetes) -> Iterator[str]:
    for name in map(names.control_plane_of, SECTIONS):
        if site.cluster.get("ConfigMap", site.namespace, name) is None:
            yield f"ConfigMap {name} does not exist"


def _place(site: _Site, place: Mapping[str, str]) -> Iterator[str]:
    """Yield which settings in ConfigMaps and the CronJob name another place."""
    if site.cronjob is None or not site.image:
        return
    configmaps = {
        configmap["metadata"]["name"]: configmap for configmap in site.cluster.list("ConfigMap", site.namespace)
    }
    for name, expected in place.items():
        sets = visible(site.cronjob, name, configmaps)
        if sets is not None and sets[0].strip("/") != expected:
            yield f"{sets[1]} sets {name} to {sets[0]!r} instead of {expected!r}: the site would publish there"


def _identity(site: _Site) -> Iterator[str]:
    """Find a workload without an identity to publish with."""
    if site.cronjob is None:
        return
    annotations = (site.account or {"metadata": {}})["metadata"].get("annotations") or {}
    if any(annotations.get(name) for name in ROLE_ANNOTATIONS):
        return
    held = {
        key
        for kind, name in _sources(site)
        if kind == "Secret"
        for key in ((site.secret(name) or {}).get("data") or {})
    }
    held |= {
        str(variable["name"])
        for container in site.pod.get("containers") or ()
        for variable in container.get("env") or ()
    }
    if lacking := [key for key in KEYS if key not in held]:
        yield (
            f"the workload has no identity: no Secret of it has {', '.join(lacking)}, and ServiceAccount"
            f" {site.account_name} names no role ({', '.join(ROLE_ANNOTATIONS)})"
        )


# --- for a person -----------------------------------------------------------------------------------------------


def diagnose(cluster: Cluster, namespace: str) -> dict[str, Any]:
    """Collect a site's state for an operator, in words, without anything that looks like a credential."""
    pods = cluster.list("Pod", namespace)
    events = cluster.list("Event", namespace)
    nodes = cluster.list("Node", "")
    return {
        "cluster_uid": cluster.uid(),
        "nodes": [_node(node) for node in nodes],
        "cronjobs": [_schedule(cronjob) for cronjob in cluster.list("CronJob", namespace)],
        "jobs": [_named(job, **_ended(job)) for job in cluster.list("Job", namespace)],
        "deployments": [
            _named(e, wrong=_redacted(deployment_at_fault(e))) for e in cluster.list("Deployment", namespace)
        ],
        "pods": [_named(pod, phase=_phase(pod), wrong=_redacted(pod_at_fault(pod))) for pod in pods],
        "logs": {pod["metadata"]["name"]: _log(cluster, namespace, pod) for pod in pods if _phase(pod) == "Failed"},
        "events": [_event(event) for event in events][-MOST_EVENTS:],
        "wrong": _redacted(nodes_at_fault(nodes)),
    }


def _named(manifest: Manifest, **more: Any) -> dict[str, Any]:
    return {"name": manifest["metadata"]["name"], **more}


def _node(node: Manifest) -> dict[str, Any]:
    ready = bool(condition(node, "Ready"))
    return _named(node, ready=ready, unschedulable=bool(node["spec"].get("unschedulable")), arch=architecture_of(node))


def _schedule(cronjob: Manifest) -> dict[str, Any]:
    spec, status = cronjob["spec"], cronjob.get("status") or {}
    planned = {"schedule": spec["schedule"], "suspended": bool(spec.get("suspend"))}
    last = {name: status.get(name) for name in ("lastScheduleTime", "lastSuccessfulTime")}
    return _named(cronjob, **planned, **last, active=len(status.get("active") or ()))


def _ended(job: Manifest) -> dict[str, Any]:
    return {"ended": condition(job, "Complete", "Failed") or "no", "since": job["metadata"].get("creationTimestamp")}


def _phase(pod: Manifest) -> str:
    return str((pod.get("status") or {}).get("phase") or "")


def _log(cluster: Cluster, namespace: str, pod: Manifest) -> list[str]:
    raw = cluster.log(namespace, pod["metadata"]["name"], tail_lines=LOG_LINES)
    return _redacted(raw.splitlines())


def _event(event: Manifest) -> dict[str, Any]:
    about = event["involvedObject"]
    words = redacted(f"{event.get('reason')}: {event.get('message')}")
    return {"about": f"{about.get('kind')}/{about.get('name')}", "told": words, "at": event.get("lastTimestamp")}


def _redacted(lines: Iterable[str]) -> list[str]:
    return [redacted(line) for line in lines]


# --- for the machine --------------------------------------------------------------------------------------------


def _observe(world: World, run: Run) -> dict[str, Any]:
    terms = terms_of(run.inputs)
    return examine(
        world.dr,
        terms.namespace,
        terms.cronjob,
        terms.workload.kubernetes,
        identity=not terms.skip_workload_assume,
        image_ref=terms.image_ref,
        registry=world.registry,
        place=dict(zip(terms.workload.variables.place, (terms.bucket, terms.prefix), strict=True)),
        renewed=terms.refresh_pull_secret,
    )


FACTS = {"site_baseline": Fact(_observe, judge)}
