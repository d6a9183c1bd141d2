"""The site's machines: planned, brought up, reached, and taken down, by any provisioner.

Nothing here depends on terraform or EC2: it uses world.Provisioner. Owns the rules for all provisioners:

- A run brings up and takes down for one *charter*: its own id (or ``site_run``, the earlier run whose site it
  continues with) and the drill's. Names, tags and state contain both.
- DR runners that are not the charter's are *foreign*: another DR, live or rehearsed. A guard refuses to bring up
  a site beside them; the teardown never touches them.
- The teardown terminates only machines whose ids are in the journal: in the result of bring-up or adoption, or in
  the snapshot of the row's own intent. After a crash at any moment, the next attempt knows them.
- Machines count as gone only by observation: the tool's state is empty, every recorded id terminated in the cloud.
- Where the response to a bring-up was lost, the teardown repeats the request (``asked_again``): a machine that starts
  late would otherwise outlive its run.
- The kubeconfig is in the bundle's private directory; records contain its hash and its server.

Bound to the machine's names by procedures/drill.py.
"""

from collections.abc import Mapping
from typing import Any

from attrs import asdict

from drfsm.claims import is_name
from drfsm.dr.callers import cluster_users
from drfsm.dr.infrastructure.runners import tags_of
from drfsm.dr.terms import terms_of
from drfsm.engine import Fact, Run
from drfsm.errors import ActionFailed, Unreachable, Unreadable, UsageFault
from drfsm.evidence.costs import cost_inputs, minutes_between, total
from drfsm.world import Change, Changes, Charter, Kubeconfig, Machine, Provisioner, Standing, Watch, World

RUN_TAG = "drfsm-run"
POLL_SECONDS = 1.0
SEEN_SECONDS = 60.0  # the time for the cloud to list a machine that it reported as started
_GONE = "terminated"


def charter_of(run: Run) -> Charter:
    """Return the charter of this run."""
    return charter_for(run.id, run.inputs)


def charter_for(run_id: str, inputs: Mapping[str, Any]) -> Charter:
    """Return the charter of a run with this id and these inputs."""
    site_run = terms_of(inputs).site_run or run_id
    return Charter(site_run, site_run)


def recorded(run: Run) -> tuple[str, ...]:
    """Return the ids of the machines that this run's journal records as its own."""
    named = {instance_id for result in run.results.values() for instance_id in _ids(result, "instance_ids")}
    seen = run.first_seen.get("runner") or run.undoing.get("runner")
    return tuple(sorted(named | set(_ids(seen, "machines"))))


def costs(
    run: Run, prices: Mapping[str, Any] | None, *, expected_minutes: float | None = None, ended_at: str = ""
) -> dict[str, Any]:
    """Return a run's cost inputs by its records: estimated from its plan, actual from its machines.

    ``ended_at`` is when the machines were gone; by default the teardown's record, or now.
    """
    planned = _result(run, "planned_machines") or []
    ran = _machines(run)
    ended = ended_at or _result(run, "ended_at") or run.clock.now()
    estimated = [_cost(machine, expected_minutes, prices) for machine in planned]
    actual = [
        {
            "instance_id": machine["instance_id"],
            **_cost(machine, minutes_between(machine["launched_at"], ended), prices),
        }
        for machine in ran
    ]
    return {
        "estimated": {"machines": estimated, "total": total(estimated)},
        "actual": {"machines": actual, "total": total(actual)},
        "ended_at": ended,
    }


# --- facts ------------------------------------------------------------------------------------------------------


def _observe_runner(world: World, run: Run) -> dict[str, Any]:
    provisioner, charter = provisioner_of(world), charter_of(run)
    standing = provisioner.standing(charter)
    states = {machine.instance_id: machine.state for machine in standing.machines}
    if ids := sorted({*states, *recorded(run)}):
        states = {**states, **world.infrastructure.states(ids)}
    seen = {"by": provisioner.kind, "run": charter.run, "given": standing.existing, "machines": states}
    return {**seen, "resources": standing.resources}


def _judge_runner(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str:
    if seen["given"]:
        return "given"
    return "present" if seen["resources"] or _left(seen) else "absent"


def _observe_foreign(world: World, run: Run) -> dict[str, Any]:
    charter = charter_of(run)
    own = {*recorded(run), *(machine.instance_id for machine in provisioner_of(world).standing(charter).machines)}
    runners = world.infrastructure.runners(tags_of(run))
    strangers = [
        runner for runner in runners if runner.instance_id not in own and runner.tags.get(RUN_TAG) != charter.run
    ]
    return {
        "tags": dict(tags_of(run)),
        "foreign": {
            runner.instance_id: {
                "state": runner.state,
                "run": runner.tags.get(RUN_TAG),
                "name": runner.tags.get("Name"),
            }
            for runner in sorted(strangers, key=lambda runner: runner.instance_id)
        },
        "taken down with": [
            f"drfsm drill --receipt-dir <bundle of {run}> --start-at teardown"
            for run in sorted(
                {runner.tags[RUN_TAG] for runner in strangers if is_name("drfsm run", runner.tags.get(RUN_TAG))}
            )
        ],
    }


def _observe_ready(world: World, run: Run) -> dict[str, Any]:
    provisioner = provisioner_of(world)
    standing, kubeconfig = provisioner.standing(charter_of(run)), provisioner.held_kubeconfig()
    return {
        "by": provisioner.kind,
        "given": standing.existing,
        "machines": {machine.instance_id: machine.state for machine in standing.machines},
        "resources": standing.resources,
        "kubeconfig": _recorded_fields(kubeconfig),
        "api": _api(world) if kubeconfig else "no kubeconfig yet",
    }


def _judge_ready(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str:
    # A tool that reports no states ("") does not contradict: the API's answer is the proof.
    up = seen["given"] or (seen["resources"] and all(state in ("running", "") for state in seen["machines"].values()))
    return "yes" if up and seen["kubeconfig"] and seen["api"] == "answers" else "no"


def _observe_plan(world: World, run: Run) -> dict[str, Any]:
    changes = provisioner_of(world).planned(charter_of(run))
    return {"plan": None if changes is None else asdict(changes)}


def _observe_kubeconfig(world: World, _run: Run) -> dict[str, Any]:
    return {"kubeconfig": _recorded_fields(provisioner_of(world).held_kubeconfig())}


# --- actions ----------------------------------------------------------------------------------------------------


def _plan(world: World, run: Run) -> dict[str, Any]:
    """Make and save the plan of bring-up, and record it in words."""
    changes = provisioner_of(world).plan(charter_of(run), _watch(run))
    return {"plan": asdict(changes), "planned_machines": [asdict(machine) for machine in changes.machines]}


def _bring_up(world: World, run: Run) -> dict[str, Any]:
    """Carry out the recorded plan, and nothing else."""
    provisioner, charter = provisioner_of(world), charter_of(run)
    # Where planning was killed before its result was written, the plan is in the observation that committed it.
    plan, kept = _result(run, "plan"), provisioner.planned(charter)
    changes = _changes(plan) if plan is not None else kept
    if changes is None:
        raise ActionFailed(f"{run.trigger}: there is no plan to carry out", fault="machine", hint="plan first")
    standing = provisioner.bring_up(charter, changes, _watch(run))
    return {"by": provisioner.kind, "run": charter.run, "drill": charter.drill, **_standing(standing, run)}


def _adopt(world: World, run: Run) -> dict[str, Any]:
    """Record the machines that an earlier run brought up: from here on they are this run's."""
    provisioner, charter = provisioner_of(world), charter_of(run)
    standing = provisioner.standing(charter)
    if not standing.existing and not standing.resources:
        raise ActionFailed(
            f"{charter.run} has no machines left: there is no site to continue with", hint="bring a site up"
        )
    run.note(f"continues with the site that {charter.run} brought up")
    return {"by": provisioner.kind, "run": charter.run, "drill": charter.drill, **_standing(standing, run)}


def _fetch_kubeconfig(world: World, run: Run) -> dict[str, Any]:
    """Wait for the site's kubeconfig (bounded by the row's time), save it, and wait for the API to answer."""
    provisioner, charter, terms = provisioner_of(world), charter_of(run), terms_of(run.inputs)
    run.note("waiting for the site's kubeconfig")
    began, limit = run.clock.monotonic(), terms.boot_timeout
    while (kubeconfig := provisioner.fetch_kubeconfig(charter)) is None:
        run.check()
        if run.clock.monotonic() - began > limit:
            message = f"the site of {charter.run} provided no kubeconfig within {limit:.0f} s"
            raise ActionFailed(message, hint="check the machine's console log")
        run.clock.sleep(POLL_SECONDS)
    run.note(f"waiting for {kubeconfig.server} to answer")
    began, limit = run.clock.monotonic(), terms.reach_timeout
    while (answer := _coming_up(world)) != "answers":
        if run.clock.monotonic() - began > limit:
            message = f"{kubeconfig.server} does not answer: {answer}"
            raise Unreachable(message, hint="check that the site lets this machine's address in, then `drfsm resume`")
        run.check()
        run.clock.sleep(POLL_SECONDS)
    ready = _standing(provisioner.standing(charter), run)
    return {
        "kubeconfig": _recorded_fields(kubeconfig),
        "cluster_uid": world.dr.uid(),
        "machines": ready["machines"],
        "proven": {"cluster_users": cluster_users(world, ("dr",))},
    }


def _refresh_address(world: World, run: Run) -> dict[str, Any]:
    """Let the operator's current address in: the repair of bring-up and of reaching the site."""
    return {"allowed": provisioner_of(world).allow(charter_of(run), _watch(run))}


def _tear_down(world: World, run: Run) -> dict[str, Any]:
    """Take down the recorded machines, and wait until they are gone (bounded by the row's time)."""
    provisioner, charter = provisioner_of(world), charter_of(run)
    ids = recorded(run) or _late(provisioner, charter, run)
    before = provisioner.standing(charter)
    provisioner.tear_down(charter, ids, _watch(run))
    while _judge_runner(seen := _observe_runner(world, run), run.inputs) != "absent":
        run.check()
        run.note(f"waiting for {', '.join(_left(seen)) or charter.run} to be gone")
        run.clock.sleep(POLL_SECONDS)
    machines = _standing(before, run)["machines"]
    return {"torn_down": list(ids), "left": 0, "machines": machines, "ended_at": run.clock.now()}


def _late(provisioner: Provisioner, charter: Charter, run: Run) -> tuple[str, ...]:
    """Return the machine of a request whose response was lost, found by repeating the request."""
    plan = _result(run, "plan")
    changes = provisioner.planned(charter) if plan is None else _changes(plan)
    if changes is None:
        return ()
    late = {machine.instance_id for machine in provisioner.asked_again(charter, changes, _watch(run)).machines}
    began = run.clock.monotonic()
    while unseen := late - {machine.instance_id for machine in provisioner.standing(charter).machines}:
        run.check()
        if run.clock.monotonic() - began > SEEN_SECONDS:
            message = (
                f"{', '.join(sorted(unseen))} of {charter.run} was started late, and the cloud does not list it yet"
            )
            raise ActionFailed(message, hint="drfsm resume")
        run.clock.sleep(POLL_SECONDS)
    return tuple(sorted(late))


# --- how --------------------------------------------------------------------------------------------------------


def provisioner_of(world: World) -> Provisioner:
    """Return the provisioner. Raises UsageFault if none was chosen."""
    if world.provisioner is None:
        raise UsageFault(
            "no provisioner was chosen to bring the site up", hint="--infrastructure existing|terraform|ec2"
        )
    return world.provisioner


def _watch(run: Run) -> Watch:
    return Watch(run.note, run.check)


def _api(world: World) -> str:
    """Return ``answers``, or why the API doesn't. Raises Unreadable where something else answers."""
    try:
        return "answers" if world.dr.get("Namespace", "", "kube-system") else "no namespace kube-system"
    except Unreadable:
        raise
    except (Unreachable, UsageFault) as fault:
        return fault.what


def _coming_up(world: World) -> str:
    """Return the same while a site is coming up: until then something else may answer in place of its API."""
    try:
        return _api(world)
    except Unreadable as fault:
        return fault.what


def _standing(standing: Standing, run: Run) -> dict[str, Any]:
    now = run.clock.now()
    machines = [{**asdict(machine), "launched_at": machine.launched_at or now} for machine in standing.machines]
    return {
        "instance_ids": [machine.instance_id for machine in standing.machines],
        "machines": machines,
        "resources": standing.resources,
        "given": standing.existing,
    }


def _changes(plan: Mapping[str, Any]) -> Changes:
    return Changes(
        plan["tool"],
        tuple(Change(change["address"], tuple(change["actions"])) for change in plan["changes"]),
        tuple(plan["words"]),
        plan["sha256"],
        tuple(Machine(**machine) for machine in plan["machines"]),
    )


def _left(seen: Mapping[str, Any]) -> list[str]:
    return [instance_id for instance_id, state in seen["machines"].items() if state != _GONE]


def _recorded_fields(kubeconfig: Kubeconfig | None) -> dict[str, str] | None:
    return None if kubeconfig is None else asdict(kubeconfig)


def _has(result: Any, name: str) -> bool:
    return isinstance(result, Mapping) and name in result


def _ids(result: Any, name: str) -> list[str]:
    return [str(value) for value in result[name]] if _has(result, name) else []


def _result(run: Run, name: str) -> Any:
    """Return the latest result of the run's rows under a name; None if there is none."""
    return next((result[name] for result in reversed(list(run.results.values())) if _has(result, name)), None)


def _machines(run: Run) -> list[dict[str, Any]]:
    """Return the machines in the results of the run's rows, each with everything known about it."""
    known: dict[str, dict[str, Any]] = {}
    for machine in (
        entry for result in run.results.values() if _has(result, "machines") for entry in result["machines"]
    ):
        before = known.get(machine["instance_id"], {})
        reported = {name: value for name, value in machine.items() if value not in (None, "")}
        launched = before.get("launched_at") or machine["launched_at"]
        known[machine["instance_id"]] = {**machine, **before, **reported, "launched_at": launched}
    return list(known.values())


def _cost(machine: Mapping[str, Any], minutes: float | None, prices: Mapping[str, Any] | None) -> dict[str, Any]:
    return cost_inputs(
        instance_type=machine["instance_type"], minutes=minutes, disk_gb=machine["disk_gb"], prices=prices
    )


FACTS = {
    "runner": Fact(_observe_runner, _judge_runner),
    "foreign_runners": Fact(_observe_foreign, lambda seen, _inputs: "present" if seen["foreign"] else "none"),
    "runner_plan": Fact(_observe_plan, lambda seen, _inputs: "ready" if seen["plan"] else "none", of_machine=True),
    "runner_ready": Fact(_observe_ready, _judge_ready),
    "site_kubeconfig": Fact(_observe_kubeconfig, lambda seen, _inputs: "held" if seen["kubeconfig"] else "absent"),
}
ACTIONS = {
    "plan_runner": _plan,
    "bring_up_runner": _bring_up,
    "adopt_runner": _adopt,
    "fetch_kubeconfig": _fetch_kubeconfig,
    "refresh_allowed_address": _refresh_address,
    "tear_down_runner": _tear_down,
}
