"""Restores a backup's objects, quiet: nothing that comes up runs a pod, whatever the backup said.

In this order, each step done again being as good as done once:

    namespace → (the published control plane, by control_plane/apply.py) → ServiceAccounts … ConfigMaps with
    publishing off → CronJobs suspended → Deployments scaled to 0 → (the state, by restore_state.py) → what is missing

Whether a pod would publish can't be told by looking at it: its image, its command, a Secret or any ConfigMap may say
so. So no pod of a backup runs: CronJobs are suspended, Deployments have no replicas. How schedules, replicas and
publishing were is kept in ``drfsm/before``, as a freeze keeps it, and the row that wakes the site gives it back; what
an object there says already wins. A ConfigMap with the switches is restored mutable: an immutable one could never be
switched on. What a restore may bring at all is restore_policy.py's. A claim that is there is left as it is. Secrets
are not in a backup: those that are missing are named, with their keys. A site that is live (a schedule on, or
publishing on) is refused. Owns the facts ``restored_manifests``, ``restored_secrets`` and ``restore_target``. Called
by the CLI and the drill.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

from attrs import frozen

from drfsm.dr.backup import restore_policy
from drfsm.dr.backup.check import Backup, of_run
from drfsm.dr.backup.manifests import APIS, wanted_secrets
from drfsm.dr.backup.state_volume import Pace
from drfsm.dr.control_plane import SECTIONS
from drfsm.dr.sites import BEFORE, before_of, overrides, parsed, switched
from drfsm.dr.terms import terms_of
from drfsm.dr.workload import Switches, Workload
from drfsm.engine import Fact, Run
from drfsm.errors import ActionFailed, Conflict
from drfsm.world import Cluster, Manifest, World

_NAMED = 20


@frozen
class Target:
    """Where to, and how. ``bundled``: the control plane comes from the published bundle, not from the backup."""

    cluster: Cluster
    namespace: str
    workload: Workload
    configmap: str
    cronjob: str = ""
    claim: str = ""
    bundled: bool = True


# --- quiet ----------------------------------------------------------------------------------------------


def planned(backup: Backup, target: Target, run_id: str, *, stops: bool = True) -> list[Manifest]:
    """Return what is to be applied, quiet, in order; pure. The namespace comes first.

    ``stops``: Deployments come up without pods. 0.1.0 restored them as they were backed up.
    """
    order = {"Namespace": -1, **{kind: number for number, kind in enumerate(APIS)}}
    old = next((each["metadata"]["name"] for each in backup.manifests if each["kind"] == "Namespace"), target.namespace)
    kept = [each for each in backup.manifests if each["kind"] != "Namespace" and not _bundles(each, target)]
    found = [_namespace(backup, target.namespace), *(_moved(each, old, target.namespace) for each in kept)]
    quiet = [each if each["kind"] == "Deployment" and not stops else _quiet(each, target, run_id) for each in found]
    return sorted(quiet, key=lambda each: (order[each["kind"]], str(each["metadata"]["name"])))


def _bundles(manifest: Manifest, target: Target) -> bool:
    own = [target.workload.kubernetes.control_plane_of(section) for section in SECTIONS]
    return target.bundled and manifest["kind"] == "ConfigMap" and manifest["metadata"]["name"] in own


def _namespace(backup: Backup, namespace: str) -> Manifest:
    theirs: Manifest = next((each["metadata"] for each in backup.manifests if each["kind"] == "Namespace"), {})
    metadata = {**deepcopy(theirs), "name": namespace}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def _moved(manifest: Manifest, old: str, new: str) -> Manifest:
    found = deepcopy(manifest)
    found["metadata"]["namespace"] = new
    for each in found.get("subjects") or [] if found["kind"] == "RoleBinding" else []:
        if each.get("namespace") == old:
            each["namespace"] = new
    return found


def _quiet(manifest: Manifest, target: Target, run_id: str) -> Manifest:
    switches = target.workload.switches
    _without_marks(manifest)
    before = parsed(before_of(manifest))
    if manifest["kind"] == "CronJob":
        was = bool(manifest["spec"].get("suspend"))
        manifest["spec"]["suspend"] = True
        if not was and before.get("suspend") is not False:
            _keep(manifest, {"run": run_id, "suspend": False})
    elif manifest["kind"] == "Deployment":
        replicas = manifest["spec"].get("replicas", 1)
        manifest["spec"]["replicas"] = 0
        if replicas > 0:
            _keep(manifest, {"run": run_id, "replicas": replicas})
    elif manifest["kind"] == "ConfigMap" and manifest["metadata"]["name"] == target.configmap:
        manifest.pop("immutable", None)
        data = manifest.setdefault("data", {})
        values = switched(manifest, switches)
        data |= switches.off
        if switches.position(values) == "on" and not _was_on(before, switches):
            _keep(manifest, {"run": run_id, "data": values})
    return manifest


def _without_marks(manifest: Manifest) -> None:
    """Take away what drfsm noted on the object about another site: here nothing of it was done."""
    if annotations := manifest["metadata"].get("annotations"):
        kept = {name: text for name, text in annotations.items() if name not in restore_policy.LEFT_OUT}
        manifest["metadata"]["annotations"] = kept


def _was_on(before: Mapping[str, Any], switches: Switches) -> bool:
    """Return whether a record says that an object was at work."""
    data, replicas = before.get("data"), before.get("replicas")
    if before.get("suspend") is False or (type(replicas) is int and replicas > 0):
        return True
    return isinstance(data, Mapping) and switches.position(data) == "on"


def quieted(backup: Backup, target: Target) -> dict[str, list[str]]:
    """Return what a restore does to what a backup would run, in words for its receipt; pure.

    ``by_themselves``: what would publish, or not, whatever the ConfigMap is made to say. It is not woken with it.
    """
    there = [each for each in backup.manifests if not _bundles(each, target)]
    configmaps = {each["metadata"]["name"]: each for each in there if each["kind"] == "ConfigMap"}
    switches = configmaps.get(target.configmap) or {}
    makers = {kind: [each for each in there if each["kind"] == kind] for kind in ("CronJob", "Deployment")}
    named = target.workload.switches.names
    alone = [words for each in makers["CronJob"] for words in overrides(each, target.configmap, configmaps, named)]
    return {
        "suspended": [restore_policy.object_of(each) for each in makers["CronJob"]],
        "scaled_to_zero": [
            f"{restore_policy.object_of(each)}, which had {each['spec'].get('replicas', 1)}"
            for each in makers["Deployment"]
        ],
        "made_mutable": [restore_policy.object_of(switches)] if switches.get("immutable") else [],
        "by_themselves": alone,
    }


def check_mutable(target: Target) -> None:
    """Raise ActionFailed where the site's ConfigMap can't be switched. BEFORE anything is applied."""
    config = target.cluster.get("ConfigMap", target.namespace, target.configmap) or {}
    if config.get("immutable"):
        raise ActionFailed(
            f"ConfigMap {target.namespace}/{target.configmap} on {target.cluster.name} is immutable: publishing could"
            " never be switched in it; nothing was touched",
            hint="delete it there, then restore again: it is restored mutable",
            final=True,
        )


def _keep(manifest: Manifest, before: Mapping[str, Any]) -> None:
    manifest["metadata"]["annotations"] = {
        **(manifest["metadata"].get("annotations") or {}),
        BEFORE: json.dumps(before, sort_keys=True),
    }


# --- applying -------------------------------------------------------------------------------------------


def live(target: Target) -> list[str]:
    """Return why a site is live, [] if it isn't: a CronJob runs on schedule, or what is started there publishes.

    Either is enough: the live site's schedules may be suspended for a while, by hand or by a procedure. A restore
    leaves neither, at no moment, so that one that was cut off never finds its own work live.
    """
    running = [each for each in target.cluster.list("CronJob", target.namespace) if not each["spec"].get("suspend")]
    told = [f"CronJob {each['metadata']['name']} is on" for each in running]
    config = target.cluster.get("ConfigMap", target.namespace, target.configmap) or {}
    if target.workload.switches.position(config.get("data") or {}) == "on":
        told.append(f"ConfigMap {target.configmap} has publishing on")
    return told


def apply(target: Target, manifests: Sequence[Manifest], pace: Pace, *, force: bool) -> dict[str, Any]:
    """Apply objects on the server; return which were made, which were there, and which claims were left alone.

    Raises Conflict, naming the fields, where somebody else set them otherwise and ``force`` isn't given.
    """
    done: dict[str, list[str]] = {"created": [], "applied": [], "left": []}
    for each in manifests:
        pace.check()
        kind, name = each["kind"], each["metadata"]["name"]
        there = target.cluster.get(kind, each["metadata"].get("namespace", ""), name)
        if kind in ("PersistentVolumeClaim", "Namespace") and there is not None:
            done["left"].append(f"{kind}/{name}")  # a claim's spec can't be changed; a namespace may be others' too
            continue
        try:
            target.cluster.apply(_as_before(each, there, target.workload.switches), force=force)
        except Conflict as fault:
            raise Conflict(fault.what, hint="look at who set them, then --force-conflicts", fault="site") from None
        done["created" if there is None else "applied"].append(f"{kind}/{name}")
        pace.say(f"{'made' if there is None else 'applied'} {kind} {name} on {target.cluster.name}")
    return done


def _as_before(manifest: Manifest, there: Manifest | None, switches: Switches) -> Manifest:
    """Return a manifest with what a live object says about how it was before, if that says that it was on."""
    raw = before_of(there) if there is not None else None
    before = parsed(raw)
    if _was_on(before, switches):
        annotations = {**(manifest["metadata"].get("annotations") or {}), BEFORE: raw}
        return {**manifest, "metadata": {**manifest["metadata"], "annotations": annotations}}
    return manifest


def compared(target: Target, manifests: Sequence[Manifest]) -> dict[str, Any]:
    """See how a site stands against what was to be applied: missing, different, and what is not quiet."""
    seen: dict[str, list[str]] = {"missing": [], "different": [], "loud": []}
    for each in manifests:
        kind, name = each["kind"], each["metadata"]["name"]
        found = target.cluster.get(kind, each["metadata"].get("namespace", ""), name)
        if found is None:
            seen["missing"].append(f"{kind}/{name}")
        elif kind not in ("PersistentVolumeClaim", "Namespace"):
            seen["different"] += [f"{kind}/{name}: {where}" for where in _unlike(_compared(each), found, "")][:_NAMED]
    for each in target.cluster.list("CronJob", target.namespace):
        if not each["spec"].get("suspend"):
            seen["loud"].append(f"CronJob {each['metadata']['name']} is on")
    config = target.cluster.get("ConfigMap", target.namespace, target.configmap)
    values = switched(config or {}, target.workload.switches)
    if target.workload.switches.position(values) != "off":
        says = ", ".join(f"{name}={value}" for name, value in values.items())
        message = "is not there" if config is None else f"says {says}"
        seen["loud"].append(f"ConfigMap {target.configmap} {message}")
    return {**seen, "objects": len(manifests)}


def _compared(manifest: Manifest) -> Manifest:
    """Return a manifest without the annotation that may rightly differ."""
    annotations = {
        name: value for name, value in (manifest["metadata"].get("annotations") or {}).items() if name != BEFORE
    }
    return {**manifest, "metadata": {**manifest["metadata"], "annotations": annotations}}


def _unlike(wanted: Any, found: Any, where: str) -> Iterator[str]:
    """Yield where something wanted isn't found. Values are never told: a ConfigMap may hold addresses."""
    if isinstance(wanted, dict) and (isinstance(found, dict) or (found is None and not wanted)):
        for name, value in wanted.items():
            yield from _unlike(value, (found or {}).get(name), f"{where}.{name}" if where else name)
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for number, (ours, theirs) in enumerate(zip(wanted, found, strict=True)):
            yield from _unlike(ours, theirs, f"{where}[{number}]")
    elif wanted != found and not (found is None and wanted in ({}, [], None)):
        yield where


# --- what a backup omits --------------------------------------------------------------------------------


def missing_secrets(target: Target, backup: Backup) -> list[dict[str, Any]]:
    """Return the Secrets that the workload needs and the site lacks, with the keys that are missing."""
    wanted: dict[str, set[str]] = {name: set(keys or ()) for name, keys in backup.secrets.items()}
    for name, keys in wanted_secrets(backup.manifests).items():
        wanted.setdefault(name, set()).update(keys)
    found = []
    for name, keys in sorted(wanted.items()):
        secret = target.cluster.get("Secret", target.namespace, name)
        lacks = sorted(keys - (secret.get("data") or {}).keys()) if secret is not None else sorted(keys)
        if secret is None or lacks:
            found.append({"name": name, "there": secret is not None, "keys": lacks})
    return found


# --- for the machines -----------------------------------------------------------------------------------


def target_of(world: World, run: Run) -> Target:
    """Return where a run restores to: DR."""
    terms = terms_of(run.inputs)
    return Target(
        world.dr,
        terms.namespace,
        terms.workload,
        terms.configmap,
        terms.cronjob,
        bundled=terms.control_plane_is_bundled,
    )


def _observe_manifests(world: World, run: Run) -> dict[str, Any]:
    target = target_of(world, run)
    backup = of_run(world, run)
    seen = compared(target, planned(backup, target, run.id))
    if terms_of(run.inputs).deployments_as_backed_up and _judge_manifests(seen) != "quiet":
        as_then = compared(target, planned(backup, target, run.id, stops=False))
        seen = as_then if _judge_manifests(as_then) == "quiet" else seen
    return {**seen, "backup": backup.uri, "backup_sha256": backup.sha256}


def _judge_manifests(seen: Mapping[str, Any], _inputs: Mapping[str, Any] | None = None) -> str:
    """Judge what ``compared`` saw. Where there is nothing yet but perhaps the namespace, nothing is loud."""
    there = seen["objects"] - len(seen["missing"])
    if there == (0 if any(each.startswith("Namespace/") for each in seen["missing"]) else 1):
        return "absent"
    if seen["loud"]:
        return "loud"
    return "partial" if seen["missing"] or seen["different"] else "quiet"


def _observe_secrets(world: World, run: Run) -> dict[str, Any]:
    return {"missing": missing_secrets(target_of(world, run), of_run(world, run))}


def _observe_live(world: World, run: Run) -> dict[str, Any]:
    return {"live": live(target_of(world, run))}


def _restore_manifests(world: World, run: Run) -> dict[str, Any]:
    target = target_of(world, run)
    if why := live(target):
        raise ActionFailed(
            f"{target.cluster.name} is live: {'; '.join(why)}", hint="freeze it first, or restore elsewhere"
        )
    backup = of_run(world, run)
    outside = restore_policy.permit(backup.uri, backup.sha256, backup.manifests, terms_of(run.inputs).allow_in_backup)
    check_mutable(target)
    done = apply(target, planned(backup, target, run.id), Pace(run.check, run.note, run.clock), force=True)
    return {**done, "allowed": restore_policy.told(outside), "quiet": quieted(backup, target)}


FACTS = {
    "restored_manifests": Fact(_observe_manifests, _judge_manifests),
    "restored_secrets": Fact(_observe_secrets, lambda seen, _inputs: "missing" if seen["missing"] else "present"),
    "restore_target": Fact(_observe_live, lambda seen, _inputs: "live" if seen["live"] else "quiet"),
}
ACTIONS = {"restore_manifests": _restore_manifests}
