"""The site's machines: planned, brought up, reached, and taken down again, by whatever provisions them.

Nothing here knows terraform or EC2: it speaks world.Provisioner. Owns the rules that hold for all of them:

- A run brings up and takes down for one *charter*: its own id (or ``site_run``, the earlier run whose site it
  goes on with) and the drill's. Names, tags and state carry both.
- DR runners that are not the charter's are *foreign*: somebody's DR, live or rehearsed. Bringing up beside
  them is refused by a guard; taking down never touches them.
- Taken down are only machines whose ids stand in the journal: in what bring-up or adoption returned, or in the
  image that the row's own intent recorded before it began. Killed at any moment, the next attempt knows them.
- Gone is what is seen to be gone: nothing left in the tool's state, every recorded id terminated in the cloud.
- Where bringing up was asked for and no answer came, the teardown asks once more (a tool that can be asked so has
  ``asked_again``): what starts late would otherwise outlive the run that asked for it.
- The kubeconfig lies in the bundle's private directory; records hold its hash and the server that it names.

Bound to the machine's names by the drill (and whoever else brings a site up).
"""

from collections.abc import Mapping
from typing import Any

from attrs import asdict

from drfsm.claims import is_name
from drfsm.dr.callers import cluster_users
from drfsm.dr.infrastructure.costs import cost_inputs, minutes_between, total
from drfsm.dr.infrastructure.runners import tags_of
from drfsm.dr.terms import terms_of
from drfsm.engine import Fact, Run
from drfsm.errors import ActionFailed, Unreachable, Unreadable, UsageFault
from drfsm.world import Change, Changes, Charter, Kubeconfig, Machine, Provisioner, Standing, Watch, World

RUN_TAG = "drfsm-run"
POLL_SECONDS = 1.0
SEEN_SECONDS = 60.0  # what the cloud gets to show a machine that it says it started
_GONE = "terminated"


def charter_of(run: Run) -> Charter:
    """Return on whose behalf this run brings up and takes down."""
    return charter_for(run.id, run.inputs)


def charter_for(run_id: str, inputs: Mapping[str, Any]) -> Charter:
    """Return on whose behalf a run of this id and inputs brings up and takes down."""
    site_run = terms_of(inputs).site_run or run_id
    return Charter(site_run, site_run)


def recorded(run: Run) -> tuple[str, ...]:
    """Return the ids of the machines that this run's journal holds as its own."""
    named = {each for result in run.results.values() for each in _ids(result, "instance_ids")}
    seen = run.first_seen.get("runner") or run.undoing.get("runner")
    return tuple(sorted(named | set(_ids(seen, "machines"))))


def costs(
    run: Run, prices: Mapping[str, Any] | None, *, expected_minutes: float | None = None, ended_at: str = ""
) -> dict[str, Any]:
    """Return the cost inputs of a run by what it recorded: estimated from its plan, actual from what ran.

    ``ended_at`` is when the machines were gone; by default what the teardown recorded, or now.
    """
    planned = _result(run, "planned_machines") or []
    ran = _machines(run)
    ended = ended_at or _result(run, "ended_at") or run.clock.now()
    estimated = [_cost(each, expected_minutes, prices) for each in planned]
    actual = [
        {"instance_id": each["instance_id"], **_cost(each, minutes_between(each["launched_at"], ended), prices)}
        for each in ran
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
    states = {each.instance_id: each.state for each in standing.machines}
    if ids := sorted({*states, *recorded(run)}):
        states = {**states, **world.infrastructure.states(ids)}
    seen = {"by": provisioner.kind, "run": charter.run, "given": standing.given, "machines": states}
    return {**seen, "resources": standing.resources}


def _judge_runner(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str:
    if seen["given"]:
        return "given"
    return "present" if seen["resources"] or _left(seen) else "absent"


def _observe_foreign(world: World, run: Run) -> dict[str, Any]:
    charter = charter_of(run)
    own = {*recorded(run), *(each.instance_id for each in provisioner_of(world).standing(charter).machines)}
    found = world.infrastructure.runners(tags_of(run))
    strangers = [each for each in found if each.instance_id not in own and each.tags.get(RUN_TAG) != charter.run]
    return {
        "tags": dict(tags_of(run)),
        "foreign": {
            each.instance_id: {"state": each.state, "run": each.tags.get(RUN_TAG), "name": each.tags.get("Name")}
            for each in sorted(strangers, key=lambda each: each.instance_id)
        },
        "taken down with": [
            f"drfsm drill --receipt-dir <bundle of {run}> --start-at teardown"
            for run in sorted(
                {each.tags[RUN_TAG] for each in strangers if is_name("drfsm run", each.tags.get(RUN_TAG))}
            )
        ],
    }


def _observe_ready(world: World, run: Run) -> dict[str, Any]:
    provisioner = provisioner_of(world)
    standing, kubeconfig = provisioner.standing(charter_of(run)), provisioner.held_kubeconfig()
    return {
        "by": provisioner.kind,
        "given": standing.given,
        "machines": {each.instance_id: each.state for each in standing.machines},
        "resources": standing.resources,
        "kubeconfig": _told(kubeconfig),
        "api": _api(world) if kubeconfig else "no kubeconfig yet",
    }


def _judge_ready(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str:
    # A tool that names no states ("") says nothing against them: the API's answer is the proof.
    up = seen["given"] or (seen["resources"] and all(each in ("running", "") for each in seen["machines"].values()))
    return "yes" if up and seen["kubeconfig"] and seen["api"] == "answers" else "no"


def _observe_plan(world: World, run: Run) -> dict[str, Any]:
    changes = provisioner_of(world).planned(charter_of(run))
    return {"plan": None if changes is None else asdict(changes)}


def _observe_kubeconfig(world: World, _run: Run) -> dict[str, Any]:
    return {"kubeconfig": _told(provisioner_of(world).held_kubeconfig())}


# --- actions ----------------------------------------------------------------------------------------------------


def _plan(world: World, run: Run) -> dict[str, Any]:
    """Plan what bringing up would do, keep it, and record it in words."""
    changes = provisioner_of(world).plan(charter_of(run), _watch(run))
    return {"plan": asdict(changes), "planned_machines": [asdict(each) for each in changes.machines]}


def _bring_up(world: World, run: Run) -> dict[str, Any]:
    """Do what was planned and recorded, and nothing else."""
    provisioner, charter = provisioner_of(world), charter_of(run)
    # Where planning was killed before its result was written, the plan stands in the observation that committed it.
    plan, kept = _result(run, "plan"), provisioner.planned(charter)
    changes = _changes(plan) if plan is not None else kept
    if changes is None:
        raise ActionFailed(f"{run.trigger}: there is no plan to carry out", fault="machine", hint="plan first")
    standing = provisioner.bring_up(charter, changes, _watch(run))
    return {"by": provisioner.kind, "run": charter.run, "drill": charter.drill, **_standing(standing, run)}


def _adopt(world: World, run: Run) -> dict[str, Any]:
    """Record what an earlier run brought up, to go on with it: from here on it is this run's."""
    provisioner, charter = provisioner_of(world), charter_of(run)
    standing = provisioner.standing(charter)
    if not standing.given and not standing.resources:
        raise ActionFailed(f"nothing stands of {charter.run}: there is no site to go on with", hint="bring one up")
    run.note(f"goes on with the site that {charter.run} brought up")
    return {"by": provisioner.kind, "run": charter.run, "drill": charter.drill, **_standing(standing, run)}


def _fetch_kubeconfig(world: World, run: Run) -> dict[str, Any]:
    """Wait until the site has given its kubeconfig (bounded by the row's time), keep it, and see the API answer."""
    provisioner, charter, terms = provisioner_of(world), charter_of(run), terms_of(run.inputs)
    run.note("waiting for the site's kubeconfig")
    began, limit = run.clock.monotonic(), terms.boot_timeout
    while (kubeconfig := provisioner.fetch_kubeconfig(charter)) is None:
        run.check()
        if run.clock.monotonic() - began > limit:
            message = f"{charter.run} has given no kubeconfig within {limit:.0f} s"
            raise ActionFailed(message, hint="look at the machine's console log")
        run.clock.sleep(POLL_SECONDS)
    run.note(f"waiting for {kubeconfig.server} to answer")
    began, limit = run.clock.monotonic(), terms.reach_timeout
    while (answer := _coming_up(world)) != "answers":
        if run.clock.monotonic() - began > limit:
            message = f"{kubeconfig.server} does not answer: {answer}"
            raise Unreachable(message, hint="is this machine's address let in? then `drfsm resume`")
        run.check()
        run.clock.sleep(POLL_SECONDS)
    ready = _standing(provisioner.standing(charter), run)
    return {
        "kubeconfig": _told(kubeconfig),
        "cluster_uid": world.dr.uid(),
        "machines": ready["machines"],
        "proven": {"cluster_users": cluster_users(world, ("dr",))},
    }


def _refresh_address(world: World, run: Run) -> dict[str, Any]:
    """Let the operator's address of now in: the repair of bringing up and of reaching."""
    return {"allowed": provisioner_of(world).allow(charter_of(run), _watch(run))}


def _tear_down(world: World, run: Run) -> dict[str, Any]:
    """Take down what is recorded, and wait until nothing of it is left (bounded by the row's time)."""
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
    """Return the machine of a request whose answer was lost, as far as asking once more brings it out."""
    plan = _result(run, "plan")
    changes = provisioner.planned(charter) if plan is None else _changes(plan)
    if changes is None:
        return ()
    late = {each.instance_id for each in provisioner.asked_again(charter, changes, _watch(run)).machines}
    began = run.clock.monotonic()
    while unseen := late - {each.instance_id for each in provisioner.standing(charter).machines}:
        run.check()
        if run.clock.monotonic() - began > SEEN_SECONDS:
            message = f"{', '.join(sorted(unseen))} of {charter.run} was started late, and can't be seen yet"
            raise ActionFailed(message, hint="drfsm resume")
        run.clock.sleep(POLL_SECONDS)
    return tuple(sorted(late))


# --- how --------------------------------------------------------------------------------------------------------


def provisioner_of(world: World) -> Provisioner:
    """Return what brings the site up. Raises UsageFault where that was not said."""
    if world.provisioner is None:
        raise UsageFault("it was not said how the site is brought up", hint="--infrastructure existing|terraform|ec2")
    return world.provisioner


def _watch(run: Run) -> Watch:
    return Watch(run.note, run.check)


def _api(world: World) -> str:
    """Return ``answers``, or why it doesn't. Raises Unreadable where something else answers."""
    try:
        return "answers" if world.dr.get("Namespace", "", "kube-system") else "no namespace kube-system"
    except Unreadable:
        raise
    except (Unreachable, UsageFault) as fault:
        return fault.what


def _coming_up(world: World) -> str:
    """Return the same while a site is coming up: until its API does, something else may answer in its place."""
    try:
        return _api(world)
    except Unreadable as fault:
        return fault.what


def _standing(standing: Standing, run: Run) -> dict[str, Any]:
    now = run.clock.now()
    machines = [{**asdict(each), "launched_at": each.launched_at or now} for each in standing.machines]
    return {
        "instance_ids": [each.instance_id for each in standing.machines],
        "machines": machines,
        "resources": standing.resources,
        "given": standing.given,
    }


def _changes(plan: Mapping[str, Any]) -> Changes:
    return Changes(
        plan["tool"],
        tuple(Change(each["address"], tuple(each["actions"])) for each in plan["changes"]),
        tuple(plan["words"]),
        plan["sha256"],
        tuple(Machine(**each) for each in plan["machines"]),
    )


def _left(seen: Mapping[str, Any]) -> list[str]:
    return [each for each, state in seen["machines"].items() if state != _GONE]


def _told(kubeconfig: Kubeconfig | None) -> dict[str, str] | None:
    return None if kubeconfig is None else asdict(kubeconfig)


def _has(result: Any, name: str) -> bool:
    return isinstance(result, Mapping) and name in result


def _ids(result: Any, name: str) -> list[str]:
    return [str(each) for each in result[name]] if _has(result, name) else []


def _result(run: Run, name: str) -> Any:
    """Return what the run's rows returned under a name, the latest; None if none did."""
    return next((result[name] for result in reversed(list(run.results.values())) if _has(result, name)), None)


def _machines(run: Run) -> list[dict[str, Any]]:
    """Return the machines that the run's rows returned, each with all that was ever known of it."""
    known: dict[str, dict[str, Any]] = {}
    for machine in (each for result in run.results.values() if _has(result, "machines") for each in result["machines"]):
        before = known.get(machine["instance_id"], {})
        told = {name: value for name, value in machine.items() if value not in (None, "")}
        launched = before.get("launched_at") or machine["launched_at"]
        known[machine["instance_id"]] = {**machine, **before, **told, "launched_at": launched}
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
