"""A plan: what a procedure would do now, row by row, and whether it would start. Changes nothing.

``make`` reads the two sites, the store and the lease, through a world that refuses every write, and without a bundle:
no run begins. What it returns is the document that `drfsm plan -o json` prints and `--out` saves
(receipts_schema/plan.schema.json). plan_rows.py has the rows, plan_changes.py the objects, pace.py the earlier
runs, plan_files.py the file and its digest. Used by cli/plan.py and cli/plan_option.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from shlex import quote
from typing import Any

from drfsm import __version__
from drfsm.engine import SystemClock
from drfsm.engine.outlook import Readings, outlook, readings
from drfsm.errors import DrfsmError
from drfsm.evidence.row_times import Typical, typical
from drfsm.evidence.wording import shown_inputs
from drfsm.resources import shipped
from drfsm.runs import pace
from drfsm.runs.diagnosis import refused_backup
from drfsm.runs.earlier_drills import scope_of
from drfsm.runs.plan_changes import subject
from drfsm.runs.plan_rows import Rows, nobody
from drfsm.runs.wiring import check_kubeconfig
from drfsm.runs.world import connect, read_only
from drfsm.spec import MachineSpec, load_machine

Json = dict[str, Any]
SCHEMA_VERSION = 1
TYPED = "it is typed when the run starts"
OF_THE_RUN = {"recovery_time": "known after the validation"}
"""Facts about the run itself, which has not begun -> when they are known."""
_TOKENS = ("confirm1", "confirm2")


def declaration_of(procedure: str) -> MachineSpec:
    """Return the machine that a procedure would be pinned to now."""
    return load_machine((shipped("machines") / f"{procedure}.yaml").read_bytes(), source=f"{procedure}.yaml")


def make(
    procedure: str,
    inputs: Mapping[str, Any],
    *,
    run_id: str,
    place: Path,
    options: Mapping[str, Any],
    operator: str,
    take_over: str = "",
) -> Json:
    """Return the plan of a run that would have these inputs and this id. ``place``: where its bundle would lie.

    Raises UsageFault for inputs or kubeconfigs that can't be used. What can't be read is told in the plan.
    """
    from drfsm.dr.procedures import binding

    for name in ("kubeconfig_dr", "kubeconfig_primary"):
        if inputs.get(name):
            check_kubeconfig(f"--{name.replace('_', '-')}", Path(inputs[name]))
    spec = declaration_of(procedure)
    world, lease = connect(inputs, take_over, place, run_id)
    bound, only_reading = binding(procedure), read_only(world)
    read = readings(spec, bound, only_reading, inputs, run_id=run_id, asked_later=asked_later(spec, inputs))
    scope = scope_of(inputs) if procedure == "drill" else "live"
    earlier = {run.run_id: run.seconds for run in pace.here(procedure, inputs, scope)}
    plan = {
        **pinned(spec, inputs, run_id),
        "made_at": SystemClock().now(),
        "made_by": operator,
        "options": dict(options),
        **told(spec, inputs, run_id, read, earlier),
    }
    plan["lease"] = _lease(lease)
    plan["findings"] += _backup_findings(spec, only_reading, read, inputs)
    return {**plan, "outcome": _outcome(plan)}


def pinned(spec: MachineSpec, inputs: Mapping[str, Any], run_id: str) -> Json:
    """Return the part of a plan that is known without reading the world: the declaration, the run, its inputs."""
    return {
        "schema_version": SCHEMA_VERSION,
        "procedure": spec.name,
        "machine_sha256": spec.sha256,
        "version": __version__,
        "run_id": run_id,
        **_inputs(run_id, inputs),
    }


def told(
    spec: MachineSpec,
    inputs: Mapping[str, Any],
    run_id: str,
    read: Readings,
    earlier: Mapping[str, Mapping[str, float]],
) -> Json:
    """Return what a plan tells of the rows, from what is read. ``earlier``: run id -> row key -> seconds."""
    builder = Rows(spec, inputs, run_id, read)
    frozen_now = builder.frozen_now()
    rows = list(builder.of(outlook(spec, inputs, read)))
    times = typical(earlier.values())
    for row in rows:
        row["seconds"] = _seconds(row, times)
    return {
        "facts": {name: _fact(name, reading) for name, reading in sorted(read.all.items())},
        "frozen_now": frozen_now,
        "rows": rows,
        "findings": list(_findings(spec, inputs, rows)),
        "unread": list(_unread(rows)),
        "point_of_no_return": next(
            (row["trigger"] for row in rows if row["point_of_no_return"]), _none("there is none")
        ),
        "missed_runs": _missed_runs(spec, read),
        "durations": durations(rows, frozen_now, list(earlier)),
    }


def asked_later(spec: MachineSpec, inputs: Mapping[str, Any]) -> dict[str, str]:
    """Return the facts that a plan does not read, and why: of the run itself, or judged by a token not given yet."""
    open_tokens = {name for name in _TOKENS if name in spec.inputs and not inputs.get(name)}
    typed = {name: TYPED for name, fact in spec.facts.items() if fact.local and open_tokens & set(fact.reads)}
    return {name: why for name, why in OF_THE_RUN.items() if name in spec.facts} | typed


# --- inputs ---------------------------------------------------------------------------------------------------------


def _inputs(run_id: str, inputs: Mapping[str, Any]) -> Json:
    """Return the inputs that a reader may see, and of the others a digest that only tells whether they are the same."""
    seen = shown_inputs(inputs)
    hidden = {name: value for name, value in inputs.items() if name not in seen and name not in _TOKENS and value}
    return {
        "inputs": seen,
        "withheld": {name: sha256(f"{run_id}\n{name}\n{value}".encode()).hexdigest() for name, value in hidden.items()},
    }


# --- what stands in the way -----------------------------------------------------------------------------------------


def _findings(spec: MachineSpec, inputs: Mapping[str, Any], rows: Sequence[Json]) -> Iterator[Json]:
    """Yield each fact that stops the run, or is told, once: at the first row that requires another value of it."""
    once: set[tuple[str, str]] = set()
    foresees = any(declared.foresees for declared in spec.rows)
    for row, guard in _checks(rows):
        key = (guard["fact"], guard["outcome"])
        if guard["outcome"] not in ("fails", "warns") or key in once:
            continue
        once.add(key)
        early = foresees and spec.guards[guard["guard"]].foreseen.value == "refuse"
        refused = early or spec.refuses(row["from"], inputs)
        yield {
            "row": row["trigger"],
            "would": "warn" if guard["outcome"] == "warns" else "refuse" if refused else "hold",
            **{name: guard[name] for name in ("guard", "fact", "value", "needed", "why", "because", "what_to_do")},
        }


def _checks(rows: Sequence[Json]) -> Iterator[tuple[Json, Json]]:
    return ((row, guard) for row in rows for guard in row["guards"])


def _unread(rows: Sequence[Json]) -> Iterator[Json]:
    """Yield each reason why facts could not be read, with those facts and the first row that needs one."""
    causes: dict[str, Json] = {}
    for row, guard in _checks(rows):
        if guard["outcome"] != "unread":
            continue
        cause = causes.setdefault(guard["why"], {"why": guard["why"], "row": row["trigger"], "facts": []})
        if guard["fact"] not in cause["facts"]:
            cause["facts"].append(guard["fact"])
    yield from causes.values()


def _backup_findings(spec: MachineSpec, world: Any, read: Readings, inputs: Mapping[str, Any]) -> list[Json]:
    """Return why a drill would not restore a backup that is whole: no guard says it, the row that opens it does."""
    row = next((row for row in spec.rows if row.trigger == "check_backup" and row.selected(inputs)), None)
    reading = read.all.get("backup_contents")
    if row is None or reading is None:
        return []
    return [
        {
            "row": row.trigger,
            "would": "hold",
            "guard": _none(f"its action says it: {row.action}"),
            "fact": "backup_contents",
            "value": str(reading.value),
            "needed": ["intact"],
            "why": why,
            "because": "A restore would refuse what this backup brings",
            "what_to_do": f"`drfsm backup verify {quote(str(inputs['backup_uri']))}` says it object by object",
        }
        for why in refused_backup(world, read.run(row), reading.value)
    ]


def _lease(lease: Any) -> Json:
    """Return who holds the lease, if that would refuse the start."""
    try:
        held = lease.in_the_way()
    except DrfsmError as fault:
        return _unknown(fault.what)
    return {"held": held.what, "what_to_do": held.hint} if held else _none("no other run holds it")


def _outcome(plan: Json) -> str:
    stops = any(finding["would"] != "warn" for finding in plan["findings"])
    if stops or "held" in plan["lease"]:
        return "would_be_refused"
    if plan["unread"] or "unknown" in plan["lease"]:
        return "unreadable"
    return "would_start"


# --- facts, missed runs, times --------------------------------------------------------------------------------------


def _fact(name: str, reading: Any) -> Json:
    value = reading.value if reading.value is not None else _unknown(reading.why or "nobody can tell")
    return {"value": value, "about": subject(name, reading.seen)}


def _missed_runs(spec: MachineSpec, read: Readings) -> Any:
    """Return what starts at once, and when the next run is due, if the schedules were resumed now."""
    if "schedule_plan" not in spec.facts:
        return _none("it resumes no schedule")
    reading = read.all.get("schedule_plan")
    if reading is None or reading.seen is None:
        return _unknown(reading.why if reading else "the schedules were not read")
    from drfsm.dr.sites import cron_forecast

    return [
        {"cronjob": name, "starts_at_once": bool(thaw.get("starts_at_once")), "words": cron_forecast.words(name, thaw)}
        for name, thaw in reading.seen["if_resumed_now"].items()
    ]


def _seconds(row: Json, times: Mapping[str, Typical]) -> Json:
    if row["by"] == "operator":
        return _none("a person decides")
    known = times.get(row["row"])
    if known is None:
        return _none("no earlier run")
    return {"typical": known.seconds, "least": known.least, "most": known.most, "runs": known.runs}


def durations(rows: Sequence[Json], frozen_now: Sequence[str], runs: Sequence[str]) -> Json:
    """Return how long all rows take, and each time in which nobody can publish. ``runs``: whose times the rows have."""
    return {
        "whole": _sum(rows),
        "nobody_can_publish": list(_windows(rows, nobody(frozen_now))),
        "earlier_runs": list(runs),
    }


def _windows(rows: Sequence[Json], already: bool) -> Iterator[Json]:
    """Yield each time in which nobody can publish: from which row until which, and how long it may take."""
    since: str | None = "now" if already else None
    inside: list[Json] = []
    for row in rows:
        if since is not None:
            inside.append(row)
        now = nobody(row["frozen_then"])
        if now and since is None:
            since, inside = row["trigger"], []
        elif not now and since is not None:
            yield {"from": since, "until": row["trigger"], **_sum(inside)}
            since = None
    if since is not None:
        yield {"from": since, "until": _none("the run ends so"), **_sum(inside)}


def _sum(rows: Sequence[Json]) -> Json:
    """Return how long rows may take together. ``not_counted``: the triggers of which nobody knows."""
    known = [row["seconds"]["typical"] for row in rows if "typical" in row["seconds"]]
    decisions = [row["trigger"] for row in rows if row["by"] == "operator"]
    missing = [row["trigger"] for row in rows if "typical" not in row["seconds"] and row["trigger"] not in decisions]
    return {
        "seconds": round(sum(known), 1) if known or not rows else _unknown("no earlier run"),
        "not_counted": missing,
        "decisions": decisions,
    }


def _unknown(why: str) -> Json:
    return {"unknown": why}


def _none(why: str) -> Json:
    return {"none": why}
