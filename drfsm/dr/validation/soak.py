"""The soak: one full batch cycle of the primary, by itself, with everything switched back.

``now`` runs the CronJob's own Job once, as ``kubectl create job --from`` would, before the schedules are
switched on; ``next`` waits for the schedule. It passes by what it published: every pointer names a run that
neither site had before, and every artifact of it holds. It is *unchanged*, which is as good, where the workload's
contract says how its log tells that there was nothing new: the Job succeeded, its log tells so, and every pointer
still names the run that was made canonical. A Job that failed, or that published nothing for no such reason, is told
with its last words; it may be run again.
"""

from collections.abc import Mapping
from typing import Any

from drfsm import claims
from drfsm.dr.artifacts import verify
from drfsm.dr.objects import cronjob_of, redacted
from drfsm.dr.pointers import is_newer, keys_of, read
from drfsm.dr.terms import terms_of
from drfsm.dr.validation.job import create, find, job_from, job_of, left_of, remove_jobs, seen_job
from drfsm.engine import Fact, Late, Run
from drfsm.errors import Unreadable
from drfsm.world import Manifest, World

UNCHANGED_LINES = 500
"""How much of a log is searched, from its end, for the line that there was nothing new."""


def _start(world: World, run: Run) -> dict[str, Any]:
    terms = terms_of(run.inputs)
    if not find(world.primary, run, "soak"):
        cronjob = cronjob_of(world.primary, terms.namespace, terms.cronjob, terms.usual_cronjob)
        job = job_from(cronjob, run, "soak")
        job["metadata"]["ownerReferences"] = [
            {
                "apiVersion": "batch/v1",
                "kind": "CronJob",
                "name": cronjob["metadata"]["name"],
                "uid": cronjob["metadata"]["uid"],
                "controller": True,
            }
        ]
        create(world.primary, job, run, "soak")
    return {"from": "CronJob"}


def _observe_job(world: World, run: Run) -> dict[str, Any]:
    return left_of(world.primary, run, "soak")


def _remove(world: World, run: Run) -> dict[str, Any]:
    """Take the soak's Job away, so that it can be run again."""
    return {"jobs": remove_jobs(world.primary, run, "soak")}


def _observe_result(world: World, run: Run) -> dict[str, Any]:
    terms = terms_of(run.inputs)
    kind, job = _job(world, run)  # BEFORE what it published: that is there when the Job has ended
    provider_keys, global_keys = keys_of(world, run)
    pointers = list(read(world.store, (*provider_keys, *global_keys), terms.workload.pointers).values())
    named = {str((each or {}).get("run_id")) for each in pointers}
    run_id = next(iter(named)) if len(named) == 1 else None
    fresh = run_id not in (None, "None", terms.dr_run_id, terms.primary_run_id)
    seen: dict[str, Any] = {
        **({"job": kind} if kind else seen_job(world, run, job, satisfied=fresh)),
        "run_id": run_id,
        "ended_at": (pointers[-1] or {}).get("ended_at"),
        "canonical_run_ended_at": _canonical_ended_at(run),
    }
    if not fresh or seen["job"] == "unfinished":
        unchanged = _unchanged(world, run, job, run_id) if seen["job"] == "complete" else ""
        return {**seen, **({"unchanged": unchanged, "run_id": None} if unchanged else {}), "verification": None}
    verification = verify(world.store, terms.layout, str(run_id), pairs=[terms.pair], note=run.note, check=run.check)
    return {**seen, "verification": verification.record}


def _unchanged(world: World, run: Run, job: Manifest | None, run_id: str | None) -> str:
    """Return the line by which a Job that succeeded told that there was nothing new; "" where it told no such thing.

    "" also where the pointers moved all the same: the run that drfsm made canonical must be the one that they name.
    """
    terms = terms_of(run.inputs)
    canonical = terms.primary_run_id if "switch_global_pointer" in run.results else terms.dr_run_id
    if job is None or run_id != canonical:
        return ""
    name = str(job["metadata"]["name"])
    for pod in world.primary.list("Pod", terms.namespace, labels=f"job-name={name}"):
        log = world.primary.log(terms.namespace, pod["metadata"]["name"], tail_lines=UNCHANGED_LINES)
        for line in log.splitlines():
            if terms.workload.says_unchanged([line]):
                run.note(f"Job {name} found nothing new: it published nothing, and every pointer still names {run_id}")
                return redacted(line)
    return ""


def _canonical_ended_at(run: Run) -> Any:
    """Return when the run ended that is canonical before the soak: the switched one, or DR's where that was kept."""
    for trigger in ("switch_global_pointer", "capture_pointers"):
        if found := (run.results.get(trigger) or {}).get("ended_at"):
            return found
    return None


def _job(world: World, run: Run) -> tuple[str, Manifest | None]:
    """Return the Job that the soak is about: the one started for it, or the newest by schedule since the thaw.

    Where there is none by schedule yet, or it can't be told, the first of the two says so.
    """
    terms = terms_of(run.inputs)
    if terms.soak == "now":
        return "", job_of(world, run, "soak")
    known = (run.results.get("resume_primary") or {}).get("jobs")
    if known is None:  # the thaw was found done after a crash: nobody kept which Jobs were there before
        return "by schedule", None
    cronjob = cronjob_of(world.primary, terms.namespace, terms.cronjob, terms.usual_cronjob)
    jobs = [
        each
        for each in world.primary.list("Job", terms.namespace)
        if each["metadata"]["name"] not in known
        and any(owner["uid"] == cronjob["metadata"]["uid"] for owner in each["metadata"].get("ownerReferences") or ())
    ]
    if not jobs:
        return "by schedule", None
    born = {each["metadata"]["name"]: claims.moment(each["metadata"].get("creationTimestamp")) for each in jobs}
    if undated := sorted(name for name, moment in born.items() if moment is None):
        raise Unreadable(
            f"which Job is the newest can't be told: Job {claims.bounded(undated[0])} has no creation time"
        )
    return "", max(jobs, key=lambda each: str(born[each["metadata"]["name"]]))


def _judge_result(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str | None:
    """Judge by what was published; whether that ended after the canonical run is told by moments, or not at all."""
    if seen["verification"] is not None:
        fresh = _ended_no_earlier(seen["ended_at"], seen["canonical_run_ended_at"])
        if fresh is None:
            return None
        return "passed" if fresh and seen["verification"]["verdict"] == "verified" else "failed"
    if seen.get("unchanged"):
        return "unchanged" if seen["job"] == "complete" else None
    return "failed" if seen["job"] in ("complete", "failed", "absent") or seen.get("too_long") else "pending"


def _ended_no_earlier(ended_at: Any, canonical: Any) -> bool | None:
    """Return whether a run did not end before the canonical one, None if that can't be told: ends have full seconds."""
    newer = is_newer(ended_at, canonical)
    return newer if newer is not False else not is_newer(canonical, ended_at)


def _observe_alarms(world: World, run: Run) -> dict[str, Any]:
    names = terms_of(run.inputs).alarms
    states = dict(world.alarms.states(names)) if names else {}
    noisy = [f"the alarm {name} is {states.get(name) or 'missing'}" for name in names if states.get(name) != "OK"]
    return {"named": names, "states": states, **({"in_words": "; ".join(noisy)} if noisy else {})}


def _judge_alarms(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str | None:
    """Judge the named alarms: one that is missing or has too little data can't be told."""
    states = [seen["states"].get(name) for name in seen["named"]]
    if "ALARM" in states:
        return "ringing"
    return "quiet" if all(each == "OK" for each in states) else None


FACTS = {
    "alarm_state": Fact(_observe_alarms, _judge_alarms),
    "soak_job": Fact(_observe_job, lambda seen, _inputs: "present" if any(seen.values()) else "absent"),
    "soak_result": Fact(_observe_result, _judge_result),
}
LATE = {
    "start_soak": Late(settles="the creation of a Job has no condition"),
    "remove_soak": Late(settles="the deletion of a Job, though only of that very one, may land at any time"),
}
ACTIONS = {"start_soak": _start, "remove_soak": _remove}
