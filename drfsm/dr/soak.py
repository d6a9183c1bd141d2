"""The soak: one full batch cycle of the primary, by itself, with everything switched back.

``now`` runs the CronJob's own Job once, as ``kubectl create job --from`` would, before the schedules are
switched on; ``next`` waits for the schedule. Either way it passes only by what it published: every
pointer names a run that neither site had before, and every artifact of it holds.
"""

from collections.abc import Mapping
from typing import Any

from drfsm.dr.artifacts import verify
from drfsm.dr.layout import layout_of
from drfsm.dr.pointers import keys_of, read
from drfsm.dr.preflight import cronjob_of
from drfsm.dr.validation import create, find, job_from, job_state
from drfsm.engine import Fact, Run
from drfsm.world import World


def _start(world: World, run: Run) -> dict[str, Any]:
    if not find(world.primary, run, "soak"):
        cronjob = cronjob_of(world.primary, run.inputs["namespace"], run.inputs["cronjob"])
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
    return {"jobs": sorted(each["metadata"]["name"] for each in find(world.primary, run, "soak"))}


def _observe_result(world: World, run: Run) -> dict[str, Any]:
    seen: dict[str, Any] = job_state(world, run, "soak") if run.inputs["soak"] == "now" else {"job": "by schedule"}
    provider_keys, global_keys = keys_of(world, run)
    pointers = list(read(world.store, (*provider_keys, *global_keys)).values())
    named = {str((each or {}).get("run_id")) for each in pointers}
    seen["run_id"] = next(iter(named)) if len(named) == 1 else None
    seen["ended_at"] = (pointers[-1] or {}).get("ended_at")
    seen["switched_run_ended_at"] = (run.results.get("switch_global_pointer") or {}).get("ended_at")
    known = (run.inputs["dr_run_id"], run.inputs["primary_run_id"])
    if seen["run_id"] in (None, "None", *known) or seen["job"] == "running":
        return {**seen, "verification": None}
    verification = verify(world.store, layout_of(run.inputs), str(seen["run_id"]), note=run.note, check=run.check)
    return {**seen, "verification": verification.record}


def _judge_result(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str:
    if seen["verification"] is not None:
        fresh = str(seen["ended_at"]) > str(seen["switched_run_ended_at"] or "")
        return "passed" if fresh and seen["verification"]["verdict"] == "verified" else "failed"
    return "failed" if seen["job"] in ("complete", "failed") or seen.get("too_long") else "pending"


def _observe_alarms(world: World, run: Run) -> dict[str, Any]:
    names = [each.strip() for each in str(run.inputs["alarms"]).split(",") if each.strip()]
    return {"named": names, "states": dict(world.alarms.states(names)) if names else {}}


def _judge_alarms(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str | None:
    """Judge the named alarms: one that is missing or has too little data can't be told."""
    states = [seen["states"].get(name) for name in seen["named"]]
    if "ALARM" in states:
        return "ringing"
    return "quiet" if all(each == "OK" for each in states) else None


FACTS = {
    "alarm_state": Fact(_observe_alarms, _judge_alarms),
    "soak_job": Fact(_observe_job, lambda seen, _inputs: "present" if seen["jobs"] else "absent"),
    "soak_result": Fact(_observe_result, _judge_result),
}
ACTIONS = {"start_soak": _start}
