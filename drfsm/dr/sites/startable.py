"""Whether a Job of a site would start: what its pod names is there, its image can be pulled, and a node takes it.

A Job that never starts would hold a run at its validation, with both sites frozen. So it is asked beforehand:

    template        the CronJob's Jobs are not made suspended (``suspend: true`` inside its job template)
    account         the ServiceAccount is there
    objects         the Secrets, ConfigMaps and volume claims that the pod names, CSI volumes' Secrets included
    pull Secrets    those that the pod or the account names: there, for the image's registry, not expired; but for the
                    one that the run itself renews before a Job needs it
    placement       some node has the labels, the resources and no taint against it

What drfsm may not read is told as ``unknown`` and refuses nothing. Values of Secrets stay unread, but for pull Secrets,
of which only names, ages and digests are kept (pull_secret.py). Owns the facts ``primary_startable`` and
``dr_startable``; baseline.py asks the same of a drilled site. Changes nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import define, field

from drfsm.dr import pods
from drfsm.dr.objects import cronjob_of
from drfsm.dr.progress import first_of
from drfsm.dr.sites import pull_secret
from drfsm.dr.sites.health import SITES
from drfsm.dr.terms import terms_of
from drfsm.engine import Fact, Run
from drfsm.world import Cluster, Manifest, World

WISHED_VERBS = (
    ("get", "", "secrets"),
    ("get", "", "serviceaccounts"),
    ("get", "", "persistentvolumeclaims"),
)
"""What is asked of a cluster only if it permits it: without these, some of the above stays unknown."""

_PLURALS = {
    "Secret": "secrets",
    "ServiceAccount": "serviceaccounts",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "ConfigMap": "configmaps",
}


@define
class _Asking:
    """Reads objects of one namespace, once each, and remembers what it may not read."""

    cluster: Cluster
    namespace: str
    unknown: list[str] = field(factory=list)
    _permitted: dict[str, bool] = field(factory=dict)
    _objects: dict[tuple[str, str], Manifest | None] = field(factory=dict)

    def may_read(self, kind: str) -> bool:
        """Return whether objects of a kind may be read; say once what stays unknown where they may not."""
        resource = _PLURALS[kind]
        if ("get", "", resource) not in WISHED_VERBS:
            return True
        if resource not in self._permitted:
            permitted = self.cluster.allowed("get", "", resource, self.namespace)
            self._permitted[resource] = permitted
            if not permitted:
                self.unknown.append(f"{resource}: {self.cluster.name} does not permit to read them")
        return self._permitted[resource]

    def get(self, kind: str, name: str) -> Manifest | None:
        """Return an object, None if there is none."""
        if (kind, name) not in self._objects:
            self._objects[kind, name] = self.cluster.get(kind, self.namespace, name)
        return self._objects[kind, name]


def examine(
    cluster: Cluster, namespace: str, cronjob: Manifest, image: str, *, renewed: bool = False
) -> dict[str, Any]:
    """See what keeps a Job of a CronJob from starting.

    ``image``: the one that its Jobs will run; ``renewed``: whether its pull Secret gets a new token before.
    """
    asking = _Asking(cluster, namespace)
    wrong = list(_at_fault(asking, cronjob, image, renewed=renewed))
    seen = {"cronjob": cronjob["metadata"]["name"], "image": image, "wrong": first_of(wrong), "unknown": asking.unknown}
    return {**seen, "in_words": "; ".join(seen["wrong"]["first"])} if wrong else seen


def _at_fault(asking: _Asking, cronjob: Manifest, image: str, *, renewed: bool) -> Iterator[str]:
    name, job = cronjob["metadata"]["name"], cronjob["spec"]["jobTemplate"]["spec"]
    pod = job["template"]["spec"]
    if job.get("suspend"):
        yield (
            f"CronJob {name} makes suspended Jobs, which never start: take `suspend: true` out of its"
            " spec.jobTemplate.spec (the CronJob's own spec.suspend is another)"
        )
    yield from missing_objects(asking, pod)
    yield from _pull_faults(asking, pod, image, renewed=renewed)
    if why := pods.unplaceable(pod, asking.cluster.list("Node", "")):
        yield f"no node takes a pod of CronJob {name} ({why}): lower what it requests, or add a node"


def missing_objects(asking: _Asking, pod: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a pod names and is not there."""
    account = str(pod.get("serviceAccountName") or "default")
    if asking.may_read("ServiceAccount") and account != "default" and asking.get("ServiceAccount", account) is None:
        yield f"ServiceAccount {account} does not exist: create it"
    for reference in dict.fromkeys(pods.references(pod)):
        if not asking.may_read(reference.kind):
            continue
        manifest = asking.get(reference.kind, reference.name)
        if manifest is None:
            yield f"{reference.kind} {reference.name} does not exist, and {reference.by} names it: create it"
            continue
        held = {*(manifest.get("data") or {}), *(manifest.get("binaryData") or {})}
        if lacking := sorted(reference.keys - held):
            keys = ", ".join(lacking)
            yield f"{reference.kind} {reference.name} has no key {keys}, and {reference.by} names it: add it"


def _pull_faults(asking: _Asking, pod: Mapping[str, Any], image: str, *, renewed: bool) -> Iterator[str]:
    if not (asking.may_read("Secret") and asking.may_read("ServiceAccount")):
        return
    account = asking.get("ServiceAccount", str(pod.get("serviceAccountName") or "default"))
    if names := pull_secret.named_by(pod, account):
        seen = pull_secret.observe(asking.cluster, asking.namespace, names, image)
        seen = pull_secret.left_after_refresh(seen) if renewed else seen
        verdict, words = pull_secret.judge(seen), pull_secret.at_fault(seen)
        if verdict == "uncovered":  # perhaps the nodes pull by an identity of their own
            asking.unknown += words
        else:
            yield from words


def _observe(site: str) -> Callable[[World, Run], Any]:
    def observe(world: World, run: Run) -> dict[str, Any]:
        terms, cluster = terms_of(run.inputs), world.site(site)
        cronjob = cronjob_of(cluster, terms.namespace, terms.cronjob, terms.usual_cronjob)
        container = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
        image = terms.image_ref or str(container["image"])
        seen = examine(cluster, terms.namespace, cronjob, image, renewed=terms.refresh_pull_secret)
        if seen["wrong"]["total"] and terms.degradation_taken:
            seen["accepted"] = f"no Job of {SITES[site]} would start: {terms.reason.strip()}"
        return seen

    return observe


def _judge(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    if not seen["wrong"]["total"]:
        return "yes"
    return "accepted" if terms_of(inputs).degradation_taken else "no"


FACTS = {"primary_startable": Fact(_observe("primary"), _judge)}
DR_STARTABLE = Fact(_observe("dr"), _judge)
