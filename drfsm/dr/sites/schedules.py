"""Whether a site's CronJobs start Jobs: observed, suspended, restored.

A freeze records the earlier state twice: in the journal (the before-image), and on the object itself in the
annotation ``drfsm/before``, so that a later procedure knows the schedules from before the disaster, not those that
a freeze in between left. The first record wins. Every write is conditional on the resourceVersion that was read. A
suspended CronJob is not changed. Covers all CronJobs of the namespace, or those of the input ``cronjob_selector``.
Changes that others made between freeze and thaw stay and are reported. Whoever may edit the object may write the
annotation: an invalid one raises Unreadable, never counts as absent, and is never overwritten.

``touched`` writes nothing but the annotation ``drfsm/epoch`` (``{"epoch": 7, "nonce": "…", "run": "…"}``), so that an
object has a new resourceVersion: a write of a run that was given up, still on its way, then fails on its condition.

A restore also scales Deployments to 0, because their pods could publish. Deployments with its record
(``{"replicas": 3}``) are part of the target site's schedules, as ``Deployment/<name>``: suspended at 0 replicas, and
scaled back by the row that resumes the schedules.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from drfsm import claims
from drfsm.dr.objects import check_namespace, time_of
from drfsm.dr.pointers import left_alone
from drfsm.dr.sites.cron_forecast import thaw, words
from drfsm.dr.terms import terms_of
from drfsm.engine import Fact, Late, Run
from drfsm.errors import ActionFailed, Conflict, Unreadable
from drfsm.world import Cluster, Manifest, World

BEFORE = "drfsm/before"
EPOCH = "drfsm/epoch"
TRIES = 5
_DEPLOYMENT = "Deployment/"


def before_of(manifest: Manifest) -> str | None:
    """Return an object's ``drfsm/before`` annotation, raw; None if there is none.

    Raises Unreadable for an annotation that drfsm did not write.
    """
    raw = (manifest["metadata"].get("annotations") or {}).get(BEFORE)
    if raw is None:
        return None
    _check_record(str(raw), str(manifest.get("kind") or "CronJob"), manifest["metadata"].get("name"))
    return str(raw)


def _check_record(raw: str, kind: str, name: object) -> None:
    """Raise Unreadable unless a text is a valid ``drfsm/before`` of a freeze or a restore."""
    what = f"the annotation {BEFORE} of {kind} {claims.bounded(name, 100)}"
    hint = "find out who wrote it, then remove it"
    if claims.is_name("Kubernetes name", name) and kind in ("CronJob", "ConfigMap"):
        hint += f": kubectl annotate {kind.lower()} {name} {BEFORE}-"
    record = claims.object_of(raw, what, largest_bytes=_LARGEST_RECORD, hint=hint)
    if "suspend" in record:
        claims.field(record, "suspend", bool, what, hint=hint)
    for switch, value in (claims.field(record, "data", dict, what, hint=hint) if "data" in record else {}).items():
        if not isinstance(value, str | None):
            raise Unreadable(f"{what} can't be read: its {claims.bounded(switch, 100)} is not a text", hint=hint)


_LARGEST_RECORD = 256 << 10  # bytes: what Kubernetes allows all annotations of an object together


def parsed(raw: str | None) -> Mapping[str, Any]:
    """Return the content of an annotation that ``before_of`` returned; {} if there is none.

    Judges also read observations of earlier versions, whose annotation may be invalid: that is {}.
    """
    try:
        return claims.object_of(raw or "{}", f"the annotation {BEFORE}", largest_bytes=_LARGEST_RECORD)
    except Unreadable:
        return {}


def ought_to_run(entry: Mapping[str, Any], name: str, named: Sequence[str] = ()) -> bool:
    """Return whether a CronJob should run at the end: as recorded, else as named, else as it is."""
    before = parsed(entry["before"])
    recorded = before.get("suspend")
    if isinstance(recorded, bool):
        return not recorded
    if name.startswith(_DEPLOYMENT):
        return _replicas(before) > 0
    return name in named or not entry["suspend"]


def listed(world: World, site: str, run: Run) -> dict[str, Manifest]:
    """Return the CronJobs of a site that the selector matches, by name. Raises ActionFailed without the namespace."""
    terms = terms_of(run.inputs)
    cronjobs = world.site(site).list("CronJob", terms.namespace, labels=terms.cronjob_selector)
    if not cronjobs:
        check_namespace(world.site(site), terms.namespace)
    return {cronjob["metadata"]["name"]: cronjob for cronjob in cronjobs}


def stopped(world: World, site: str, run: Run) -> dict[str, Manifest]:
    """Return the Deployments of the target site that a restore scaled to 0, as ``Deployment/<name>``."""
    terms = terms_of(run.inputs)
    if site != terms.target_site:
        return {}
    deployments = world.site(site).list("Deployment", terms.namespace)
    return {
        f"{_DEPLOYMENT}{deployment['metadata']['name']}": deployment
        for deployment in deployments
        if _replicas(parsed(before_of(deployment)))
    }


def _replicas(before: Mapping[str, Any]) -> int:
    """Return a Deployment's recorded number of pods, 0 without a record."""
    recorded = before.get("replicas")
    return recorded if type(recorded) is int and recorded > 0 else 0


def see(world: World, site: str, run: Run) -> dict[str, dict[str, Any]]:
    """Return {CronJob, or Deployment/…: {"suspend", "before"}} of a site: exactly what an undo restores."""
    return {
        name: _seen(manifest) for name, manifest in {**listed(world, site, run), **stopped(world, site, run)}.items()
    }


def _seen(manifest: Manifest) -> dict[str, Any]:
    if "template" in manifest["spec"]:  # a Deployment, not a CronJob
        return {"suspend": manifest["spec"].get("replicas") == 0, "before": before_of(manifest)}
    return {"suspend": bool(manifest["spec"].get("suspend")), "before": before_of(manifest)}


def _observe(site: str) -> Callable[[World, Run], Any]:
    return lambda world, run: see(world, site, run)


def fingerprint(manifest: Manifest) -> str:
    """Return a digest of a CronJob's spec without the fields that a freeze changes."""
    spec = {name: value for name, value in manifest["spec"].items() if name != "suspend"}
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()


def _changed_meanwhile(run: Run, froze: str, site: str, live: Mapping[str, Manifest]) -> list[str]:
    """Report what others changed on the CronJobs since the freeze; these changes stay."""
    before: Mapping[str, str] = (run.results.get(froze) or {}).get("specs") or {}
    if not before:  # the freeze was found done after a crash: the earlier specs are not on record
        run.note(f"it is unknown whether another process changed a CronJob on {site} since the freeze")
    changes = [f"CronJob {name} was deleted" for name in sorted(before.keys() - live.keys())]
    changes += [f"CronJob {name} is new" for name in sorted(live.keys() - before.keys()) if before]
    changes += [
        f"the spec of CronJob {name} was changed"
        for name in sorted(before.keys() & live.keys())
        if fingerprint(live[name]) != before[name]
    ]
    for change in changes:
        run.note(f"on {site}, another process changed this since the freeze: {change}")
    return changes


def judge(seen: Mapping[str, Any], named: Sequence[str] = ()) -> str:
    """Judge a site's schedules. ``on``: every CronJob as it should be, and at least one runs."""
    if not seen:
        return "none"
    if all(schedule["suspend"] for schedule in seen.values()):
        return "off"
    fits = all(schedule["suspend"] != ought_to_run(schedule, name, named) for name, schedule in seen.items())
    return "on" if fits else "mixed"


def _suspend(site: str) -> Callable[[World, Run], Any]:
    def suspend(world: World, run: Run) -> dict[str, Any]:
        cluster, namespace = world.site(site), terms_of(run.inputs).namespace
        live, done = listed(world, site, run), []
        for name, cronjob in live.items():
            run.check()
            if not cronjob["spec"].get("suspend") and edit(cluster, "CronJob", namespace, name, _freeze(run)):
                done.append(name)
                run.note(f"suspended CronJob {name} on {site}")
        return {"suspended": done, "specs": {name: fingerprint(cronjob) for name, cronjob in live.items()}}

    return suspend


def _freeze(run: Run) -> Callable[[Manifest], Manifest]:
    def change(live: Manifest) -> Manifest:
        if live["spec"].get("suspend"):
            return {}
        patch: Manifest = {"spec": {"suspend": True}}
        if parsed(before_of(live)).get("suspend") is not False:
            kept = json.dumps({"run": run.id, "suspend": False}, sort_keys=True)
            patch["metadata"] = {"annotations": {BEFORE: kept}}
        return patch

    return change


def _resume(world: World, run: Run, site: str, froze: str = "") -> dict[str, Any]:
    """Report what will start and when; then resume what ran before the disaster, as recorded on each object.

    ``froze``: the trigger of this run's freeze, "" if there was none.
    """
    terms = terms_of(run.inputs)
    namespace, named = terms.namespace, terms.resume_cronjobs
    live = listed(world, site, run)
    now = time_of(world.site(site), run)  # AFTER the list: the site's controller uses this clock
    to_run = [name for name, cronjob in live.items() if ought_to_run(_seen(cronjob), name, named)]
    forecast = {name: thaw(live[name], now) for name in to_run}
    for name, thawed in forecast.items():
        run.note(words(name, thawed))
    changed = _changed_meanwhile(run, froze, site, live) if froze else []
    # BEFORE the thaw: a Job that is not among these was started by the thaw, and belongs to the soak.
    jobs = sorted(str(job["metadata"]["name"]) for job in world.site(site).list("Job", namespace))
    resumed = []
    for name in live:
        run.check()
        record = {"suspend": name not in to_run, "before": None}
        if edit(world.site(site), "CronJob", namespace, name, _to(record)) and not record["suspend"]:
            resumed.append(name)
            run.note(f"CronJob {name} on {site} runs again")
    for name in stopped(world, site, run):
        run.check()
        if edit(world.site(site), "Deployment", namespace, name.removeprefix(_DEPLOYMENT), _scaled_back):
            resumed.append(name)
            run.note(f"{name} on {site} has its pods again")
    return {"forecast": forecast, "resumed": resumed, "changed_meanwhile": changed, "jobs": jobs}


def _restore(fact: str, site: str) -> Callable[[World, Run], Any]:
    """Restore every CronJob that can be restored, then fail for the others, so that a waiver covers only those."""

    def restore(world: World, run: Run) -> dict[str, Any]:
        done, faults, live = [], [], listed(world, site, run)
        changed = _changed_meanwhile(run, f"freeze_{site}", site, live)
        for name, image in run.undoing[fact].items():
            run.check()
            try:
                if edit(world.site(site), *_object(name, run), _to(image)):
                    done.append(name)
                    run.note(f"restored {_said(name)} on {site}: suspend {image['suspend']}")
            except ActionFailed as fault:
                faults.append(fault)
        if faults:
            raise ActionFailed("; ".join(failure.what for failure in faults), hint=faults[0].hint)
        return {"restored": done, "changed_meanwhile": changed}

    return restore


def _object(name: str, run: Run) -> tuple[str, str, str]:
    """Return (kind, namespace, name) of an object in a site's schedules."""
    kind = "Deployment" if name.startswith(_DEPLOYMENT) else "CronJob"
    return kind, terms_of(run.inputs).namespace, name.removeprefix(_DEPLOYMENT)


def _said(name: str) -> str:
    return name if name.startswith(_DEPLOYMENT) else f"CronJob {name}"


def _scaled_back(live: Manifest) -> Manifest:
    """Give a Deployment its recorded replicas. One that was scaled since keeps its number."""
    replicas = _replicas(parsed(before_of(live)))
    spec = {"spec": {"replicas": replicas}} if live["spec"].get("replicas") == 0 else {}
    return {**spec, "metadata": {"annotations": {BEFORE: None}}} if replicas else {}


def _to(image: Mapping[str, Any]) -> Callable[[Manifest], Manifest]:
    def change(live: Manifest) -> Manifest:
        if _seen(live) == dict(image):
            return {}
        replicas = 0 if image["suspend"] else _replicas(parsed(image["before"])) or live["spec"].get("replicas")
        deployment = "template" in live["spec"]
        return {
            "spec": {"replicas": replicas} if deployment else {"suspend": image["suspend"]},
            "metadata": {"annotations": {BEFORE: image["before"]}},  # null removes an annotation
        }

    return change


def edit(cluster: Cluster, kind: str, namespace: str, name: str, change: Callable[[Manifest], Manifest]) -> bool:
    """Patch an object with ``change`` of its live state; return whether there was anything to do.

    Conditional on the resourceVersion: a change meanwhile is read again, never overwritten unseen.
    """
    for _ in range(TRIES):
        live = cluster.get(kind, namespace, name)
        if live is None:
            raise ActionFailed(
                f"{kind} {namespace}/{name} on {cluster.name} does not exist any more",
                hint="restore it, then `drfsm resume`; or, in an abort, `drfsm request waive_undo --reason …`",
            )
        patch = change(live)
        if not patch:
            return False
        metadata = {**patch.get("metadata", {}), "resourceVersion": live["metadata"]["resourceVersion"]}
        try:
            cluster.patch(kind, namespace, name, {**patch, "metadata": metadata})
        except Conflict:
            continue
        return True
    raise Conflict(f"{kind} {namespace}/{name} on {cluster.name} is changed by another process again and again")


def touched(cluster: Cluster, run: Run, kind: str, name: str) -> bool:
    """Give an object a new resourceVersion, and change nothing else; return False if it does not exist.

    Whoever read it before and writes it later gets a Conflict. Raises what ``edit`` raises.
    """
    namespace = terms_of(run.inputs).namespace
    if cluster.get(kind, namespace, name) is None:
        return False  # a late write finds nothing either, and one made anew has another resourceVersion
    mark = json.dumps({"run": run.id, "epoch": run.epoch, "nonce": uuid4().hex}, sort_keys=True)
    return edit(cluster, kind, namespace, name, lambda _live: {"metadata": {"annotations": {EPOCH: mark}}})


def touching(site: str, run: Run) -> None:
    """Raise ActionFailed for a site that gets no requests: nothing on it can be touched."""
    if left_alone(run, site):
        raise ActionFailed(
            f"{site} is declared lost, so it gets no requests, and a write that is on its way there can't be shut out",
            hint="`drfsm request waive_undo --reason …`; when the site is back, look at its CronJobs and ConfigMap",
        )


def _touch(site: str) -> Callable[[World, Run], Any]:
    """Touch whatever a freeze or a thaw of the site could still write."""

    def touch(world: World, run: Run) -> dict[str, Any]:
        touching(site, run)
        cluster, before = world.site(site), run.undoing.get(f"{site}_schedules", {})
        done = []
        for name in sorted({*listed(world, site, run), *stopped(world, site, run), *before}):
            run.check()
            kind, _, plain = _object(name, run)
            if touched(cluster, run, kind, plain):
                done.append(name)
        return {"site": site, "touched": done}

    return touch


def _judge(site: str) -> Callable[[Mapping[str, Any], Mapping[str, Any]], str]:
    """Judge a site's schedules; on the target site, by the CronJobs that the operator named to run at the end."""

    def judge_site(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
        terms = terms_of(inputs)
        return judge(seen, terms.resume_cronjobs if site == terms.target_site else ())

    return judge_site


_ON_PRIMARY, _ON_DR = Late(_touch("primary")), Late(_touch("dr"))
LATE = {
    "suspend_primary_schedules": _ON_PRIMARY,
    "restore_primary_schedules": _ON_PRIMARY,
    "resume_primary_schedules": _ON_PRIMARY,
    "suspend_dr_schedules": _ON_DR,
    "restore_dr_schedules": _ON_DR,
    "resume_dr_schedules": _ON_DR,
}
FACTS = {f"{site}_schedules": Fact(_observe(site), _judge(site)) for site in ("primary", "dr")}
# A promote also suspends the primary, and restores that in an abort.
PROMOTE = {
    "suspend_primary_schedules": _suspend("primary"),
    "restore_primary_schedules": _restore("primary_schedules", "primary"),
    "resume_dr_schedules": lambda world, run: _resume(world, run, "dr"),
}
ACTIONS = {
    "suspend_primary_schedules": _suspend("primary"),
    "suspend_dr_schedules": _suspend("dr"),
    "restore_dr_schedules": _restore("dr_schedules", "dr"),
    "resume_primary_schedules": lambda world, run: _resume(world, run, "primary", "freeze_primary"),
}
