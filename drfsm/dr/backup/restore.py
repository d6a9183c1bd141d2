"""Restores a backup's objects, quiet: nothing that is restored runs a pod, whatever the backup says.

The order of the steps, each of which may be repeated:

    namespace → (the published control plane, by control_plane/apply.py) → ServiceAccounts … ConfigMaps with
    publishing off → CronJobs suspended → Deployments scaled to 0 → (the state, by restore_state.py) → missing Secrets

A pod's manifest does not show whether it would publish: its image, its command, a Secret or any ConfigMap may decide.
So no pod of a backup runs: CronJobs are suspended, Deployments have no replicas. The former schedules, replicas and
switches are recorded in ``drfsm/before``, as by a freeze, and the row that resumes the site restores them; a record
that is already on the live object wins. A ConfigMap with the switches is restored mutable, because an immutable one
could never be switched on. restore_policy.py owns what a restore may bring. An existing claim stays as it is. A backup
contains no Secrets: missing ones are named, with their keys. A live site (a schedule or publishing is on) is refused,
and so is one that can't take the objects (obstacles.py).
Owns the facts ``restored_manifests``, ``restored_secrets`` and ``restore_target``. Called by the CLI and the drill.
"""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from drfsm.dr.backup import keyed_lists, restore_policy
from drfsm.dr.backup.check import Backup, of_run
from drfsm.dr.backup.manifests import APIS, pod_of, wanted_secrets
from drfsm.dr.backup.obstacles import LEFT, Target, check_target, unchangeable, unlike
from drfsm.dr.backup.state_volume import Pace
from drfsm.dr.control_plane import SECTIONS
from drfsm.dr.sites import BEFORE, before_of, overrides, parsed, switched
from drfsm.dr.terms import terms_of
from drfsm.dr.workload import Switches
from drfsm.engine import Fact, Run
from drfsm.errors import ActionFailed, Conflict
from drfsm.world import Manifest, World

_NAMED = 20


# --- quiet ----------------------------------------------------------------------------------------------


def planned(backup: Backup, target: Target, run_id: str, *, stops: bool = True) -> list[Manifest]:
    """Return the quiet manifests to apply, in order, the namespace first. Pure.

    ``stops``: Deployments are restored without pods. 0.1.0 restored them with their replicas.
    """
    order = {"Namespace": -1, **{kind: number for number, kind in enumerate(APIS)}}
    old = next(
        (manifest["metadata"]["name"] for manifest in backup.manifests if manifest["kind"] == "Namespace"),
        target.namespace,
    )
    kept = [
        manifest for manifest in backup.manifests if manifest["kind"] != "Namespace" and not _bundles(manifest, target)
    ]
    moved = [_namespace(backup, target.namespace), *(_moved(manifest, old, target.namespace) for manifest in kept)]
    moved = [{**entry, "spec": keyed_lists.once(entry["spec"])} if pod_of(entry) else entry for entry in moved]
    quiet = [
        manifest if manifest["kind"] == "Deployment" and not stops else _quiet(manifest, target, run_id)
        for manifest in moved
    ]
    return sorted(quiet, key=lambda manifest: (order[manifest["kind"]], str(manifest["metadata"]["name"])))


def _bundles(manifest: Manifest, target: Target) -> bool:
    own = [target.workload.kubernetes.control_plane_of(section) for section in SECTIONS]
    return target.bundled and manifest["kind"] == "ConfigMap" and manifest["metadata"]["name"] in own


def _namespace(backup: Backup, namespace: str) -> Manifest:
    theirs: Manifest = next(
        (manifest["metadata"] for manifest in backup.manifests if manifest["kind"] == "Namespace"), {}
    )
    metadata = {**deepcopy(theirs), "name": namespace}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def _moved(manifest: Manifest, old: str, new: str) -> Manifest:
    moved = deepcopy(manifest)
    moved["metadata"]["namespace"] = new
    for subject in moved.get("subjects") or [] if moved["kind"] == "RoleBinding" else []:
        if subject.get("namespace") == old:
            subject["namespace"] = new
    return moved


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
    """Remove drfsm's annotations about another site: they do not apply here."""
    if annotations := manifest["metadata"].get("annotations"):
        kept = {name: text for name, text in annotations.items() if name not in restore_policy.LEFT_OUT}
        manifest["metadata"]["annotations"] = kept


def _was_on(before: Mapping[str, Any], switches: Switches) -> bool:
    """Return whether a record says that an object was active."""
    data, replicas = before.get("data"), before.get("replicas")
    if before.get("suspend") is False or (type(replicas) is int and replicas > 0):
        return True
    return isinstance(data, Mapping) and switches.position(data) == "on"


def quieted(backup: Backup, target: Target) -> dict[str, list[str]]:
    """Return how a restore stops a backup's workloads, in words for its receipt. Pure.

    ``by_themselves``: workloads that set the switches themselves, so that the ConfigMap does not control them.
    """
    there = [manifest for manifest in backup.manifests if not _bundles(manifest, target)]
    configmaps = {manifest["metadata"]["name"]: manifest for manifest in there if manifest["kind"] == "ConfigMap"}
    switches = configmaps.get(target.configmap) or {}
    makers = {kind: [manifest for manifest in there if manifest["kind"] == kind] for kind in ("CronJob", "Deployment")}
    named = target.workload.switches.names
    alone = [
        words for cronjob in makers["CronJob"] for words in overrides(cronjob, target.configmap, configmaps, named)
    ]
    return {
        "suspended": [restore_policy.object_of(cronjob) for cronjob in makers["CronJob"]],
        "scaled_to_zero": [
            f"{restore_policy.object_of(deployment)}, which had {deployment['spec'].get('replicas', 1)}"
            for deployment in makers["Deployment"]
        ],
        "made_mutable": [restore_policy.object_of(switches)] if switches.get("immutable") else [],
        "by_themselves": alone,
    }


def _keep(manifest: Manifest, before: Mapping[str, Any]) -> None:
    manifest["metadata"]["annotations"] = {
        **(manifest["metadata"].get("annotations") or {}),
        BEFORE: json.dumps(before, sort_keys=True),
    }


# --- applying -------------------------------------------------------------------------------------------


def live(target: Target) -> list[str]:
    """Return the reasons why a site is live, [] if it isn't: a CronJob runs on schedule, or publishing is on.

    One is enough: the live site's schedules may be suspended for a while, by hand or by a procedure. A restore never
    sets either, so an interrupted restore does not find its own work live.
    """
    running = [
        cronjob for cronjob in target.cluster.list("CronJob", target.namespace) if not cronjob["spec"].get("suspend")
    ]
    reasons = [f"CronJob {cronjob['metadata']['name']} is on" for cronjob in running]
    config = target.cluster.get("ConfigMap", target.namespace, target.configmap) or {}
    if target.workload.switches.position(config.get("data") or {}) == "on":
        reasons.append(f"ConfigMap {target.configmap} has publishing on")
    return reasons


def apply(target: Target, manifests: Sequence[Manifest], pace: Pace, *, force: bool) -> dict[str, Any]:
    """Apply objects on the server; return which were created, applied, and left alone (claims).

    Raises Conflict, naming the fields, where another manager set them and ``force`` isn't given.
    """
    done: dict[str, list[str]] = {"created": [], "applied": [], "left": []}
    for manifest in manifests:
        pace.check()
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        there = target.cluster.get(kind, manifest["metadata"].get("namespace", ""), name)
        if kind in LEFT and there is not None:  # a claim's spec can't be changed; a namespace may have other users
            differs = ", ".join(unchangeable(manifest, there))
            done["left"].append(f"{kind}/{name}" + (f", which differs in {differs}" if differs else ""))
            continue
        try:
            target.cluster.apply(_as_before(manifest, there, target.workload.switches), force=force)
        except Conflict as fault:
            raise Conflict(
                fault.what, hint="find out who set these fields, then give --force-conflicts", fault="site"
            ) from None
        done["created" if there is None else "applied"].append(f"{kind}/{name}")
        pace.say(f"{'created' if there is None else 'applied'} {kind} {name} on {target.cluster.name}")
    return done


def _as_before(manifest: Manifest, there: Manifest | None, switches: Switches) -> Manifest:
    """Return a manifest with the live object's ``drfsm/before``, if that record says that it was on."""
    raw = before_of(there) if there is not None else None
    before = parsed(raw)
    if _was_on(before, switches):
        annotations = {**(manifest["metadata"].get("annotations") or {}), BEFORE: raw}
        return {**manifest, "metadata": {**manifest["metadata"], "annotations": annotations}}
    return manifest


def compared(target: Target, manifests: Sequence[Manifest]) -> dict[str, Any]:
    """Compare a site with the applied manifests: which objects are missing, different, or not quiet."""
    seen: dict[str, list[str]] = {"missing": [], "different": [], "loud": []}
    for manifest in manifests:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        live_object = target.cluster.get(kind, manifest["metadata"].get("namespace", ""), name)
        if live_object is None:
            seen["missing"].append(f"{kind}/{name}")
        elif kind not in LEFT:
            seen["different"] += [f"{kind}/{name}: {where}" for where in unlike(_compared(manifest), live_object, "")][
                :_NAMED
            ]
    for cronjob in target.cluster.list("CronJob", target.namespace):
        if not cronjob["spec"].get("suspend"):
            seen["loud"].append(f"CronJob {cronjob['metadata']['name']} is on")
    config = target.cluster.get("ConfigMap", target.namespace, target.configmap)
    values = switched(config or {}, target.workload.switches)
    if target.workload.switches.position(values) != "off":
        says = ", ".join(f"{name}={value}" for name, value in values.items())
        message = "is not there" if config is None else f"says {says}"
        seen["loud"].append(f"ConfigMap {target.configmap} {message}")
    return {**seen, "objects": len(manifests)}


def _compared(manifest: Manifest) -> Manifest:
    """Return a manifest without the annotation that may differ."""
    annotations = {
        name: value for name, value in (manifest["metadata"].get("annotations") or {}).items() if name != BEFORE
    }
    return {**manifest, "metadata": {**manifest["metadata"], "annotations": annotations}}


# --- what a backup omits --------------------------------------------------------------------------------


def missing_secrets(target: Target, backup: Backup) -> list[dict[str, Any]]:
    """Return the Secrets that the workload needs and the site lacks, with the keys that are missing."""
    needed: dict[str, set[str]] = {name: set(keys or ()) for name, keys in backup.secrets.items()}
    for name, keys in wanted_secrets(backup.manifests).items():
        needed.setdefault(name, set()).update(keys)
    missing = []
    for name, keys in sorted(needed.items()):
        secret = target.cluster.get("Secret", target.namespace, name)
        lacks = sorted(keys - (secret.get("data") or {}).keys()) if secret is not None else sorted(keys)
        if secret is None or lacks:
            missing.append({"name": name, "there": secret is not None, "keys": lacks})
    return missing


# --- for the machines -----------------------------------------------------------------------------------


def target_of(world: World, run: Run) -> Target:
    """Return the site to which a run restores: DR."""
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
    """Judge the observation of ``compared``. Where nothing but the namespace exists, the verdict is ``absent``."""
    there = seen["objects"] - len(seen["missing"])
    if there == (0 if any(name.startswith("Namespace/") for name in seen["missing"]) else 1):
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
            f"{target.cluster.name} is live: {'; '.join(why)}", hint="freeze that site first, or restore to another one"
        )
    backup = of_run(world, run)
    outside = restore_policy.permit(backup.uri, backup.sha256, backup.manifests, terms_of(run.inputs).allow_in_backup)
    manifests = planned(backup, target, run.id)
    check_target(target, manifests)
    done = apply(target, manifests, Pace(run.check, run.note, run.clock), force=True)
    return {**done, "allowed": restore_policy.findings_json(outside), "quiet": quieted(backup, target)}


FACTS = {
    "restored_manifests": Fact(_observe_manifests, _judge_manifests),
    "restored_secrets": Fact(_observe_secrets, lambda seen, _inputs: "missing" if seen["missing"] else "present"),
    "restore_target": Fact(_observe_live, lambda seen, _inputs: "live" if seen["live"] else "quiet"),
}
ACTIONS = {"restore_manifests": _restore_manifests}
