"""Everything that could stop a procedure in the middle, checked before any change; all findings at once.

Owns the facts of identity (account, region, two clusters), permission, image, GitOps ownership and the plan of the
schedules, and the run's survey: our identity, the clusters, the runners. Changes nothing.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from drfsm.dr.callers import callers
from drfsm.dr.infrastructure import tags_of
from drfsm.dr.layout import read_by_consumers
from drfsm.dr.objects import check_namespace, condition, cronjob_of, time_of
from drfsm.dr.pointers import left_alone
from drfsm.dr.sites import fence, roles
from drfsm.dr.sites.cron_forecast import thaw
from drfsm.dr.sites.schedules import listed, ought_to_run, see
from drfsm.dr.terms import terms_of
from drfsm.engine import Fact, Run
from drfsm.engine.side_by_side import side_by_side
from drfsm.errors import ActionFailed, Conflict, Unreachable
from drfsm.journal.mirror import home_of
from drfsm.world import UNTOLD, Manifest, World

PINNED = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}\Z")

# (verb, group, resource): all requests of the machines' actions and facts to the clusters ...
VERBS = (
    *((verb, "batch", "cronjobs") for verb in ("get", "list", "patch")),
    *((verb, "", "configmaps") for verb in ("get", "list", "patch")),
    ("list", "batch", "jobs"),
    ("list", "", "pods"),
    ("list", "", "nodes"),
    ("get", "", "namespaces"),
)
# ... and, on the target site only, what its validation needs.
VALIDATION_VERBS = (
    ("list", "", "events"),
    *((verb, "batch", "jobs") for verb in ("create", "delete")),
    ("get", "", "pods/log"),
    *((verb, "apps", "deployments") for verb in ("get", "list", "patch")),  # a restore scaled them to 0
)
# ... and there, where a pull Secret is to get a new token.
PULL_SECRET_VERBS = (("get", "", "serviceaccounts"), ("get", "", "secrets"), ("patch", "", "secrets"))
UNCONFIRMED = "no: neither --expect-account nor EXPECTED_ACCOUNT_ID says which account it must be"
_REVIEWS_AT_ONCE = 8  # one question a permission, and there are dozens
_CLUSTER_WIDE = ("nodes", "namespaces")

# Labels, annotations and field managers by which a GitOps controller marks its objects -> what to pause.
GITOPS = {
    "argocd.argoproj.io/tracking-id": "Argo CD: set the application's syncPolicy.automated to null",
    "argocd.argoproj.io/instance": "Argo CD: set the application's syncPolicy.automated to null",
    "kustomize.toolkit.fluxcd.io/name": "Flux: flux suspend kustomization",
    "helm.toolkit.fluxcd.io/name": "Flux: flux suspend helmrelease",
    "argocd-application-controller": "Argo CD: set the application's syncPolicy.automated to null",
    "argocd-controller": "Argo CD: set the application's syncPolicy.automated to null",
    "kustomize-controller": "Flux: flux suspend kustomization",
    "helm-controller": "Flux: flux suspend helmrelease",
    "configsync.gke.io/declared-version": "Config Sync: annotate the object with management: disabled",
    "objectset.rio.cattle.io/id": "Fleet: pause the bundle",
}


def _identity(world: World, run: Run) -> dict[str, str]:
    expected = terms_of(run.inputs).expect_account
    return {
        "account": world.identity.account(),
        "expected_account": expected,
        "confirmed": "yes" if expected else UNCONFIRMED,
        "region": world.identity.region(),
        "bucket_region": world.identity.bucket_region(),
    }


def _judge_identity(seen: Mapping[str, str], _inputs: Mapping[str, Any]) -> str | None:
    """Judge account and region. A store that is not the cloud's may report neither: docs/stores.md."""
    if seen["expected_account"] and seen["account"].startswith(UNTOLD):
        return None
    account = seen["expected_account"] in ("", seen["account"])
    region = seen["bucket_region"].startswith(UNTOLD) or seen["region"] == seen["bucket_region"]
    return "expected" if account and region else "mismatched"


def _loss(site: str) -> Fact:
    def observe(_world: World, run: Run) -> dict[str, str]:
        terms = terms_of(run.inputs)
        return {"declared": str(terms.recorded(f"{site}_unreachable")), "reason": terms.reason}

    return Fact(observe, lambda seen, _: "declared" if seen["declared"] == "yes" and seen["reason"].strip() else "none")


def sites(run: Run) -> tuple[str, ...]:
    """Return the sites to check: all but one that was declared lost, or that a rehearsal does not touch."""
    return tuple(site for site in ("primary", "dr") if not left_alone(run, site))


def _image(world: World, run: Run) -> dict[str, str]:
    terms = terms_of(run.inputs)
    cronjob = cronjob_of(world.site(terms.target_site), terms.namespace, terms.cronjob, terms.usual_cronjob)
    containers = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    current = str(containers[0]["image"])
    return {"image": terms.image_ref or current, "cronjob_image": current}


def _drift(world: World, run: Run) -> dict[str, Any]:
    """See which image is validated and which the CronJob runs. Whether a tag names the same, its registry says.

    A tag that moves later is found then: the guard is judged again before the validation and before the switch.
    """
    seen = _image(world, run)
    names, repositories = list(seen.values()), set(map(_repository, seen.values()))
    if names[0] == names[1] or len(repositories) > 1 or all(map(PINNED.match, names)) or world.registry is None:
        return seen
    try:
        digests = {which: list(world.registry.digests(image)) for which, image in seen.items()}
    except (ActionFailed, Unreachable) as fault:
        return {**seen, "same": f"not known: {fault.what}"}
    return {**seen, "digests": digests}


def _repository(image: str) -> str:
    """Return an image's name without tag and digest."""
    name = image.partition("@")[0]
    path, slash, last = name.rpartition("/")
    return f"{path}{slash}{last.partition(':')[0]}"


def _judge_drift(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    digests = [set(named) for named in seen.get("digests", {}).values()]
    if seen["image"] == seen["cronjob_image"] or (digests and set.intersection(*digests)):
        return "none"
    return "accepted" if terms_of(inputs).allow_image_drift else "differs"


def _judge_image(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    return "pinned" if PINNED.match(seen["image"]) or terms_of(inputs).allow_tag else "loose"


def _permissions(world: World, run: Run) -> dict[str, Any]:
    asked = [(site, verb) for site in sites(run) for verb in _verbs(run, site)]
    answers = side_by_side([partial(_refused, world, run, site, verb) for site, verb in asked], _REVIEWS_AT_ONCE)
    missing = [refused for refused in answers if refused]
    words = {"in_words": f"not allowed: {', '.join(missing)}"} if missing else {}
    return {"missing": missing, "asked": len(asked), "of": list(sites(run)), **words}


def _refused(world: World, run: Run, site: str, asked: tuple[str, str, str]) -> str:
    """Return what a site does not allow, in words; "" where it does."""
    run.check()
    verb, group, resource = asked
    namespace = "" if resource in _CLUSTER_WIDE else terms_of(run.inputs).namespace
    if world.site(site).allowed(verb, group, resource, namespace):
        return ""
    return f"{site}: {verb} {resource}{'.' + group if group else ''}{f' in {namespace}' if namespace else ''}"


def _verbs(run: Run, site: str) -> tuple[tuple[str, str, str], ...]:
    terms = terms_of(run.inputs)
    if site != terms.target_site:
        return VERBS
    return (*VERBS, *VALIDATION_VERBS, *(PULL_SECRET_VERBS if terms.refresh_pull_secret else ()))


def _gitops(world: World, run: Run) -> dict[str, Any]:
    terms = terms_of(run.inputs)
    marks_by_object: list[str] = []
    for site in sites(run):
        configmaps = world.site(site).list("ConfigMap", terms.namespace)
        for kind, name, manifest in (
            *(("CronJob", name, manifest) for name, manifest in listed(world, site, run).items()),
            *(("ConfigMap", manifest["metadata"]["name"], manifest) for manifest in configmaps),
        ):
            if kind == "CronJob" or name == terms.configmap:
                marks_by_object += (f"{site}: {kind} {name}: {mark}" for mark in marks(manifest))
    return {"marks": marks_by_object}


def _judge_gitops(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    """Judge the marks. They stay when a controller is paused, so the operator must say so; or both sites are fenced."""
    if not seen["marks"]:
        return "absent"
    terms = terms_of(inputs)
    if terms.gitops_paused:
        return "paused"
    return "fenced" if terms.fence_primary and terms.fence_dr else "present"


def _cloud(world: World, run: Run) -> dict[str, Any]:
    """Make all requests to the cloud that the run will need later."""
    terms = terms_of(run.inputs)
    fences = [site for site in ("primary", "dr") if _is_to_be_fenced(run, site)]
    asked: dict[str, Callable[[], Iterable[str]]] = {
        f"the identity to fence on {site}": partial(_unfit, world, run, site) for site in fences
    }
    asked["the bucket's policy"] = lambda: nothing(world.policy.read())  # read before the primary's fence is lifted
    if not run.dry_run:
        asked["writing to the bucket"] = lambda: unwritable(world, run, _written_to(run))
    if terms.teardown:
        asked["DR's runners"] = lambda: nothing(world.infrastructure.runners(tags_of(run)))
    if terms.alarms:
        asked["the alarms"] = lambda: (f"the alarm {alarm} does not exist" for alarm in _unknown(world, terms.alarms))
    return refusals(run, asked)


def refusals(run: Run, asked: Mapping[str, Callable[[], Iterable[str]]]) -> dict[str, Any]:
    """Make every check, by its name; return the faults, and the names of the checks. A denied request is a fault."""
    refused: list[str] = []
    for what, ask in asked.items():
        run.check()
        try:
            refused += (f"{what}: {reason}" for reason in ask())
        except ActionFailed as fault:
            refused.append(f"{what}: {fault.what}")
    return {"refused": refused, "asked": sorted(asked), **({"in_words": "; ".join(refused)} if refused else {})}


def _is_to_be_fenced(run: Run, site: str) -> bool:
    terms = terms_of(run.inputs)
    return terms.fence(site) or (terms.unreachable(site) and not terms.risk_taken)


def _written_to(run: Run) -> tuple[str, ...]:
    terms = terms_of(run.inputs)
    base, beside = terms.layout, terms.staged(run.id)
    read = (f"{base.prefix}/{folder}" for folder in read_by_consumers(base.workload))
    return (*read, *({base.latest()} - {*read}), base.runs().rstrip("/"), beside.prefix.rpartition("/")[0])


def unwritable(world: World, run: Run, places: Iterable[str]) -> Iterator[str]:
    """Find the places where writing is denied, by conditional writes that can't succeed: nothing is written."""
    for place in places:
        key = f"{place}/drfsm-preflight-{run.id}"
        try:
            world.store.put(key, b"", if_match='"drfsm-asks-and-writes-nothing"')
        except Conflict:
            continue
        except ActionFailed as fault:
            yield f"{place}/: {fault.what}"
        else:
            world.store.delete(key)
            yield f"{place}/: the store accepts a write that its condition forbids"


def _unfit(world: World, run: Run, site: str) -> Iterator[str]:
    seen = fence.target(world, terms_of(run.inputs), site)
    if (verdict := fence.judge_target(seen)) is None:
        yield f"drfsm's own identity is {seen['caller']}, so it could be {seen['role']}"
    elif verdict != "distinct":
        nobody = "no role or user that there is" if seen["known"] == "absent" else "no ARN of one role or user"
        verdict_in_words = nobody if verdict == "unnamed" else "also the other site's, or drfsm's own"
        yield f"{seen['role'] or 'nobody'} is {verdict_in_words}"


def nothing(_answer: object) -> tuple[str, ...]:
    """Find no fault: the check only needs a response."""
    return ()


def _unknown(world: World, alarms: Sequence[str]) -> list[str]:
    known = world.alarms.states(alarms)
    return [alarm for alarm in alarms if alarm not in known]


def marks(manifest: Manifest) -> Iterator[str]:
    """Yield the marks of a GitOps controller on this object, and what to pause."""
    metadata = manifest["metadata"]
    managers = {str(field_manager.get("manager")) for field_manager in metadata.get("managedFields") or []}
    present = {*(metadata.get("labels") or {}), *(metadata.get("annotations") or {}), *managers}
    for mark, pause in GITOPS.items():
        if mark in present:
            yield f"{mark} ({pause})"


def _plan(world: World, run: Run) -> dict[str, Any]:
    """Observe which schedules of the target site will run at the end."""
    terms = terms_of(run.inputs)
    everything = see(world, terms.target_site, run)
    named, live = terms.resume_cronjobs, listed(world, terms.target_site, run)
    seen = {name: entry for name, entry in everything.items() if name in live}
    now = time_of(world.site(terms.target_site), run)
    return {
        "if_resumed_now": {n: thaw(live[n], now) for n, entry in seen.items() if ought_to_run(entry, n, named)},
        "to_run": sorted(name for name, entry in seen.items() if ought_to_run(entry, name, named)),
        "to_stay_suspended": sorted(name for name, entry in seen.items() if not ought_to_run(entry, name, named)),
        "to_scale_back": sorted(everything.keys() - live.keys()),
        "not_there": sorted(name for name in named if name not in seen),
        "left_out": list(_left_out(world, run)),
    }


def _left_out(world: World, run: Run) -> Iterator[str]:
    """Yield the CronJobs that publish but that the selector excludes: they would be neither frozen nor drained."""
    terms = terms_of(run.inputs)
    if terms.cronjob_selector:
        for site in sites(run):
            name = cronjob_of(world.site(site), terms.namespace, terms.cronjob, terms.usual_cronjob)["metadata"]["name"]
            if name not in listed(world, site, run):
                yield f"{site}: {name}"


def _reachability(site: str) -> Callable[[World, Run], Any]:
    def observe(world: World, run: Run) -> dict[str, Any]:
        check_namespace(world.site(site), terms_of(run.inputs).namespace)
        nodes = world.site(site).list("Node", "")
        return {
            "nodes": len(nodes),
            "ready": sum(bool(condition(node, "Ready")) for node in nodes),
            "namespace": True,  # else it was not read; a run of an older version recorded false
        }

    return observe


def _survey(world: World, run: Run) -> dict[str, Any]:
    """Return the survey for the run and its receipt: identities, clusters, image, machines."""
    terms = terms_of(run.inputs)
    runners = [runner.instance_id for runner in world.infrastructure.runners(tags_of(run))] if terms.teardown else []
    more = _promote_survey(world, run) if terms.target_site == "dr" else {}
    return {
        **more,
        "account": world.identity.account(),
        "caller": world.identity.caller(),
        "proven": callers(world, sites(run)),
        "region": world.identity.region(),
        "clusters": {site: uid for site, uid in roles.observe(world, run).items() if site in roles.SITES},
        "image": _image(world, run)["image"],
        "runners": sorted(runners),
    }


def _promote_survey(world: World, run: Run) -> dict[str, Any]:
    """Return the survey for a promote's receipt. Machines that can't be listed do not stop a promote."""
    terms = terms_of(run.inputs)
    try:
        instance_ids: Any = sorted(runner.instance_id for runner in world.infrastructure.runners(tags_of(run)))
    except (ActionFailed, Unreachable) as fault:
        instance_ids = {"unknown": fault.what}
    return {
        "execution": {
            "id": terms.execution_id or run.id,
            "kind": "orchestrator" if terms.execution_id else "drfsm run",
        },
        "instance_ids": instance_ids,
        "receipts": f"s3://{world.store.bucket}/{home_of(terms.prefix, run.id)}",
    }


def _adoption(_world: World, run: Run) -> dict[str, Any]:
    terms = terms_of(run.inputs)
    return {name: terms.recorded(name) for name in ("adopt_ownership", "reason")}


def _reachable(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str:
    return "yes" if seen["ready"] and seen["namespace"] else "no"


FACTS = {
    "cloud_identity": Fact(_identity, _judge_identity),
    **roles.FACTS,
    "image": Fact(_image, _judge_image),
    "image_drift": Fact(_drift, _judge_drift),
    "adoption": Fact(
        _adoption,
        lambda seen, _: "asked" if seen["adopt_ownership"] == "yes" else "none",
    ),
    "primary_pod": Fact(
        lambda _world, run: {"said": terms_of(run.inputs).primary_pod_answered_for},
        lambda seen, _: "answered_for" if seen["said"] else "none",
    ),
    "dr_loss": _loss("dr"),
    "permissions": Fact(_permissions, lambda seen, _: "missing" if seen["missing"] else "granted"),
    "gitops": Fact(_gitops, _judge_gitops),
    "cloud_access": Fact(_cloud, lambda seen, _: "missing" if seen["refused"] else "granted"),
    "schedule_plan": Fact(
        _plan,
        lambda seen, _: "known" if seen["to_run"] and not seen["not_there"] and not seen["left_out"] else "unclear",
    ),
    "primary_reachability": Fact(_reachability("primary"), _reachable),
    "dr_reachability": Fact(_reachability("dr"), _reachable),
}
FORMER_FACTS = {
    "degradation": Fact(  # until 0.4.0 it stood in for the health, which then was not read
        lambda _world, run: {"allowed": terms_of(run.inputs).allow_degraded, "reason": terms_of(run.inputs).reason},
        lambda seen, _: "accepted" if seen["allowed"] and seen["reason"].strip() else "none",
    )
}
ACTIONS = {"survey_sites": _survey}
PRIMARY_LOSS = _loss("primary")
