"""Everything that could stop a procedure in the middle, asked before anything moves; all findings at once.

Owns the facts of identity (account, region, two clusters), permission, image, GitOps ownership and the
plan of the schedules, and the survey that the run keeps: who we are, which clusters, which runners.
Changes nothing.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from drfsm.dr.callers import callers
from drfsm.dr.infrastructure import TAGS
from drfsm.dr.layout import layout_of, staged, taker
from drfsm.dr.objects import condition, cronjob_of, time_of
from drfsm.dr.pointers import left_alone, lost
from drfsm.dr.sites import fence
from drfsm.dr.sites.cron_forecast import thaw
from drfsm.dr.sites.schedules import listed, ought_to_run, see
from drfsm.engine import Fact, Run
from drfsm.errors import ActionFailed, Conflict, Unreachable
from drfsm.journal.mirror import home_of
from drfsm.world import UNTOLD, Manifest, World

PINNED = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}\Z")

# (verb, group, resource): all that the machines' actions and facts will ask of the clusters ...
VERBS = (
    *((verb, "batch", "cronjobs") for verb in ("get", "list", "patch")),
    *((verb, "", "configmaps") for verb in ("get", "list", "patch")),
    ("list", "batch", "jobs"),
    ("list", "", "pods"),
    ("list", "", "nodes"),
    ("get", "", "namespaces"),
)
# ... and beside these, of the site that takes over: it is validated.
VALIDATION_VERBS = (
    ("list", "", "events"),
    *((verb, "batch", "jobs") for verb in ("create", "delete")),
    ("get", "", "pods/log"),
    *((verb, "apps", "deployments") for verb in ("get", "list", "patch")),  # a restore scaled them to 0
)
LOST, LEFT_ALONE = "not evaluated: declared lost", "not evaluated: a rehearsal leaves it alone"
_CLUSTER_WIDE = ("nodes", "namespaces")

# Labels, annotations and field managers by which a GitOps controller marks what it keeps -> what to pause.
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
    return {
        "account": world.identity.account(),
        "expected_account": str(run.inputs["expect_account"]),
        "region": world.identity.region(),
        "bucket_region": world.identity.bucket_region(),
    }


def _judge_identity(seen: Mapping[str, str], _inputs: Mapping[str, Any]) -> str | None:
    """Judge account and region. Of a store that is not the cloud's, nobody may tell either: docs/stores.md."""
    if seen["expected_account"] and seen["account"].startswith(UNTOLD):
        return None
    account = seen["expected_account"] in ("", seen["account"])
    region = seen["bucket_region"].startswith(UNTOLD) or seen["region"] == seen["bucket_region"]
    return "expected" if account and region else "mismatched"


def _clusters(world: World, run: Run) -> dict[str, str]:
    words = {each: LOST if lost(run, each) else LEFT_ALONE for each in ("primary", "dr") if left_alone(run, each)}
    return {each: words.get(each) or world.site(each).uid() for each in ("primary", "dr")}


def _loss(site: str) -> Fact:
    def observe(_world: World, run: Run) -> dict[str, str]:
        return {"declared": str(run.inputs[f"{site}_unreachable"]), "reason": str(run.inputs["reason"])}

    return Fact(observe, lambda seen, _: "declared" if seen["declared"] == "yes" and seen["reason"].strip() else "none")


def sites(run: Run) -> tuple[str, ...]:
    """Return the sites that can be asked: all but one that a person declared lost, or that a rehearsal leaves alone."""
    return tuple(each for each in ("primary", "dr") if not left_alone(run, each))


def _image(world: World, run: Run) -> dict[str, Any]:
    cronjob = cronjob_of(world.site(taker(run.inputs)), run.inputs["namespace"], run.inputs["cronjob"])
    containers = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    current = str(containers[0]["image"])
    return {"image": str(run.inputs["image_ref"]) or current, "cronjob_image": current}


def _judge_drift(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    if seen["image"] == seen["cronjob_image"]:
        return "none"
    return "accepted" if inputs["allow_image_drift"] == "yes" else "differs"


def _judge_image(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    return "pinned" if PINNED.match(seen["image"]) or inputs["allow_tag"] == "yes" else "loose"


def _permissions(world: World, run: Run) -> dict[str, Any]:
    asked = [(site, each) for site in sites(run) for each in _verbs(run, site)]
    missing = []
    for site, (verb, group, resource) in asked:
        run.check()
        namespace = "" if resource in _CLUSTER_WIDE else run.inputs["namespace"]
        if not world.site(site).allowed(verb, group, resource, namespace):
            where = f" in {namespace}" if namespace else ""
            missing.append(f"{site}: {verb} {resource}{'.' + group if group else ''}{where}")
    return {"missing": missing, "asked": len(asked), "of": list(sites(run))}


def _verbs(run: Run, site: str) -> tuple[tuple[str, str, str], ...]:
    return (*VERBS, *VALIDATION_VERBS) if site == taker(run.inputs) else VERBS


def _gitops(world: World, run: Run) -> dict[str, Any]:
    found: list[str] = []
    for site in sites(run):
        configmaps = world.site(site).list("ConfigMap", run.inputs["namespace"])
        for kind, name, each in (
            *(("CronJob", name, each) for name, each in listed(world, site, run).items()),
            *(("ConfigMap", each["metadata"]["name"], each) for each in configmaps),
        ):
            if kind == "CronJob" or name == run.inputs["configmap"]:
                found += (f"{site}: {kind} {name}: {told}" for told in marks(each))
    return {"marks": found}


def _judge_gitops(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    """Judge the marks: they stay when a controller is paused, so that is the operator's word; or both are fenced."""
    if not seen["marks"]:
        return "absent"
    if inputs["gitops_paused"] == "yes":
        return "paused"
    fences = [inputs.get(f"fence_{site}") for site in ("primary", "dr")]
    return "fenced" if fences == ["asked", "asked"] else "present"


def _cloud(world: World, run: Run) -> dict[str, Any]:
    """Ask the cloud everything that the run will ask much later."""
    inputs = run.inputs
    fences = [site for site in ("primary", "dr") if _is_to_be_fenced(run, site)]
    asked: dict[str, Callable[[], Iterable[str]]] = {
        f"the identity to fence on {site}": partial(_unfit, world, run, site) for site in fences
    }
    asked["the bucket's policy"] = lambda: nothing(world.policy.read())  # read before the primary's fence is lifted
    if not run.dry_run:
        asked["writing to the bucket"] = lambda: unwritable(world, run, _written_to(run))
    if inputs.get("teardown") == "true":
        asked["DR's runners"] = lambda: nothing(world.infrastructure.runners(TAGS))
    if names := alarms_of(run):
        asked["the alarms"] = lambda: (f"there is no {each}" for each in _unknown(world, names))
    return refusals(run, asked)


def refusals(run: Run, asked: Mapping[str, Callable[[], Iterable[str]]]) -> dict[str, Any]:
    """Ask everything, by its name; return what was found wrong, and what was asked. What is denied is found wrong."""
    refused: list[str] = []
    for what, ask in asked.items():
        run.check()
        try:
            refused += (f"{what}: {told}" for told in ask())
        except ActionFailed as fault:
            refused.append(f"{what}: {fault.what}")
    return {"refused": refused, "asked": sorted(asked)}


def _is_to_be_fenced(run: Run, site: str) -> bool:
    asked = run.inputs.get(f"fence_{site}") == "asked"
    return asked or (lost(run, site) and not fence.risk_taken(run.inputs))


def _written_to(run: Run) -> tuple[str, ...]:
    base, beside = layout_of(run.inputs), staged(run.inputs, run.id)
    return (f"{base.prefix}/state", base.latest(), base.run("").rstrip("/"), beside.prefix.rpartition("/")[0])


def unwritable(world: World, run: Run, places: Iterable[str]) -> Iterator[str]:
    """Find the places where we may not write, by conditional writes that can't succeed: nothing is written."""
    for place in places:
        key = f"{place}/drfsm-preflight-{run.id}"
        try:
            world.store.put(key, b"", if_match='"drfsm-asks-and-writes-nothing"')
        except Conflict:
            continue
        except ActionFailed as fault:
            yield f"{place}/: {fault.what}"
        else:
            yield f"{place}/: the store takes what a condition forbids"


def _unfit(world: World, run: Run, site: str) -> Iterator[str]:
    seen = fence.target(world, run.inputs, site)
    if (verdict := fence.judge_target(seen)) is None:
        yield f"who drfsm itself is, is {seen['caller']}: it could be {seen['role']}"
    elif verdict != "distinct":
        nobody = "no role or user that there is" if seen["known"] == "absent" else "no ARN of one role or user"
        told = nobody if verdict == "unnamed" else "also the other site's, or drfsm's own"
        yield f"{seen['role'] or 'nobody'} is {told}"


def nothing(_answer: object) -> tuple[str, ...]:
    """Find nothing wrong with an answer: that it came is all that was wanted."""
    return ()


def alarms_of(run: Run) -> list[str]:
    """Return the names of the alarms that must be quiet: one in a line, for a name may have commas."""
    return str(run.inputs.get("alarms", "")).splitlines()


def _unknown(world: World, alarms: Sequence[str]) -> list[str]:
    known = world.alarms.states(alarms)
    return [each for each in alarms if each not in known]


def marks(manifest: Manifest) -> Iterator[str]:
    """Yield what says that a GitOps controller keeps this object as declared, and what to pause."""
    metadata = manifest["metadata"]
    managers = {str(each.get("manager")) for each in metadata.get("managedFields") or []}
    present = {*(metadata.get("labels") or {}), *(metadata.get("annotations") or {}), *managers}
    for mark, pause in GITOPS.items():
        if mark in present:
            yield f"{mark} ({pause})"


def _plan(world: World, run: Run) -> dict[str, Any]:
    """See which schedules of the site that takes over will run in the end."""
    everything = see(world, taker(run.inputs), run)
    named, live = str(run.inputs["resume_cronjobs"]), listed(world, taker(run.inputs), run)
    seen = {name: entry for name, entry in everything.items() if name in live}
    now = time_of(world.site(taker(run.inputs)), run)
    return {
        "if_resumed_now": {n: thaw(live[n], now) for n, entry in seen.items() if ought_to_run(entry, n, named)},
        "to_run": sorted(name for name, entry in seen.items() if ought_to_run(entry, name, named)),
        "to_stay_suspended": sorted(name for name, entry in seen.items() if not ought_to_run(entry, name, named)),
        "to_scale_back": sorted(everything.keys() - live.keys()),
        "not_there": sorted(name for name in named.split(",") if name and name not in seen),
        "left_out": list(_left_out(world, run)),
    }


def _left_out(world: World, run: Run) -> Iterator[str]:
    """Yield the CronJobs that publish and that the selector leaves out: they would be neither frozen nor drained."""
    if run.inputs["cronjob_selector"]:
        for site in sites(run):
            name = cronjob_of(world.site(site), run.inputs["namespace"], run.inputs["cronjob"])["metadata"]["name"]
            if name not in listed(world, site, run):
                yield f"{site}: {name}"


def _reachability(site: str) -> Callable[[World, Run], Any]:
    def observe(world: World, run: Run) -> dict[str, Any]:
        nodes = world.site(site).list("Node", "")
        return {
            "nodes": len(nodes),
            "ready": sum(bool(condition(each, "Ready")) for each in nodes),
            "namespace": world.site(site).get("Namespace", "", run.inputs["namespace"]) is not None,
        }

    return observe


def _survey(world: World, run: Run) -> dict[str, Any]:
    """Return what the rest of the run, and its receipt, take as given."""
    teardown = run.inputs.get("teardown") == "true"
    runners = [each.instance_id for each in world.infrastructure.runners(TAGS)] if teardown else []
    more = _promote_survey(world, run) if taker(run.inputs) == "dr" else {}
    return {
        **more,
        "account": world.identity.account(),
        "caller": world.identity.caller(),
        "proven": callers(world, sites(run)),
        "region": world.identity.region(),
        "clusters": _clusters(world, run),
        "image": _image(world, run)["image"],
        "runners": sorted(runners),
    }


def _promote_survey(world: World, run: Run) -> dict[str, Any]:
    """Return what a promote's receipt takes as given. That the machines can't be asked for stops no promote."""
    execution = str(run.inputs["execution_id"])
    try:
        instance_ids: Any = sorted(each.instance_id for each in world.infrastructure.runners(TAGS))
    except (ActionFailed, Unreachable) as fault:
        instance_ids = {"unknown": fault.what}
    return {
        "execution": {"id": execution or run.id, "kind": "orchestrator" if execution else "drfsm run"},
        "instance_ids": instance_ids,
        "receipts": f"s3://{world.store.bucket}/{home_of(layout_of(run.inputs).prefix, run.id)}",
    }


def _reachable(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str:
    return "yes" if seen["ready"] and seen["namespace"] else "no"


FACTS = {
    "cloud_identity": Fact(_identity, _judge_identity),
    "clusters": Fact(_clusters, lambda seen, _: "same" if seen["primary"] == seen["dr"] else "distinct"),
    "image": Fact(_image, _judge_image),
    "image_drift": Fact(_image, _judge_drift),
    "adoption": Fact(
        lambda _world, run: {"adopt_ownership": run.inputs["adopt_ownership"], "reason": run.inputs["reason"]},
        lambda seen, _: "asked" if seen["adopt_ownership"] == "yes" else "none",
    ),
    "primary_pod": Fact(
        lambda _world, run: {"said": run.inputs["primary_pod_answered_for"]},
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
ACTIONS = {"survey_sites": _survey}
PRIMARY_LOSS = _loss("primary")
