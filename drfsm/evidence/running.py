"""The machines that a drill started and that run on: which, how long by now, and the cost where prices are known.

A drill that is stopped costs until it goes on. What runs is read from its records alone: the results of its rows, and
the fact ``runner`` as it was last seen. No price is drfsm's own (costs.py). Called by summary.py, with the time of the
last record, and by standing.py, with the time of now.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC
from shlex import quote
from typing import Any

from drfsm.claims import json_of, printable
from drfsm.claims import moment as moment_of
from drfsm.errors import Unreadable
from drfsm.evidence.costs import MINUTES_OF_AN_HOUR, cost_inputs, minutes_between, total
from drfsm.evidence.wording import moment
from drfsm.journal import RunState

Fields = dict[str, Any]
_GONE = "terminated"


def running(state: RunState, until: str, prices: str = "") -> Fields | None:
    """Return the machines that run on, and their hours and amount up to ``until``; None where none does.

    ``prices``: a document of prices, instead of the one that the run was started with.
    """
    machines = _machines(state) if state.known.get("runner") == "present" else {}
    if not machines:
        return None
    known = _prices(prices or state.inputs.get("prices"))
    used = [(machine, _minutes(machine["since"], until)) for machine in machines.values()]
    so_far = total([_cost(machine, minutes, known) for machine, minutes in used])
    hourly = total([_cost(machine, MINUTES_OF_AN_HOUR, known) for machine, _ in used])
    minutes = [minutes for _, minutes in used if minutes is not None]
    return {
        "machines": list(machines.values()),
        "until": until,
        "machine_hours": round(sum(minutes) / MINUTES_OF_AN_HOUR, 2)
        if len(minutes) == len(used)
        else {"unknown": "it is not on record since when each machine runs"},
        "amount": so_far["amount"] or {"unknown": so_far["because"]},
        "amount_an_hour": hourly["amount"] or {"unknown": hourly["because"]},
        "currency": hourly["currency"] or {"unknown": hourly["because"]},
    }


def words(state: RunState, named: str, place: str, until: str = "", prices: str = "") -> Iterator[str]:
    """Yield what runs and what it costs, for an operator.

    ``named``: by what the commands find the run. ``place``: its bundle; a run that has ended takes nothing down any
    more, another drill does, which is named by it.
    """
    found = running(state, state.ended_at or until or state.last_at, prices)
    if found is None:
        return
    if state.ended:  # a later run may have taken it down since
        bundle = "<its bundle>" if place.startswith("s3://") else quote(place)
        yield (
            "Left running at its end, and costing until"
            f" `drfsm drill --receipt-dir {bundle} --start-at teardown` takes it down:"
        )
    else:
        yield "Running, and costing until this run takes it down (drfsm resume, or drfsm abort):"
    for machine in found["machines"]:
        yield printable(f"  {machine['instance_id']} ({_kind(machine)}), {_since(machine)}")
    yield printable(f"  {'until then' if state.ended else 'so far'}: {_so_far(found)}")
    if isinstance(found["amount_an_hour"], Mapping):
        yield printable(
            f"  what that costs is not known: {found['amount_an_hour']['unknown']}."
            f" With your prices: drfsm status {quote(named)} --prices FILE (docs/drill.md shows the file)"
        )


def _so_far(found: Mapping[str, Any]) -> str:
    number, hours = len(found["machines"]), found["machine_hours"]
    machines = f"{number} machine" + "s" * (number > 1)
    said = f"{machines}, hours not known: {hours['unknown']}" if isinstance(hours, Mapping) else ""
    said = said or f"{machines}, {hours:.2f} machine hours"
    if isinstance(found["amount"], str):
        said += f", {found['amount']} {found['currency']}"
    if isinstance(found["amount_an_hour"], str):
        said += f"; each further hour {found['amount_an_hour']} {found['currency']}"
    return said


def _kind(machine: Mapping[str, Any]) -> str:
    kind = machine["instance_type"]
    disk = machine["disk_gb"]
    return ", ".join(
        [
            kind if isinstance(kind, str) else "instance type not known",
            f"disk of {disk} GB" if isinstance(disk, int) else "disk not known",
        ]
    )


def _since(machine: Mapping[str, Any]) -> str:
    since = machine["since"]
    return f"since {moment(since)}" if isinstance(since, str) else "since when is not known"


def _machines(state: RunState) -> dict[str, Fields]:
    """Return what is known of each machine that was not seen to be gone, by its id."""
    known: dict[str, dict[str, Any]] = {}
    for result in state.results.values():
        listed = result.get("machines") if isinstance(result, Mapping) else None
        for machine in listed if isinstance(listed, list) else ():
            if isinstance(machine, Mapping) and isinstance(machine.get("instance_id"), str):
                before = known.setdefault(machine["instance_id"], {})
                launched = before.get("launched_at")
                before |= {name: value for name, value in machine.items() if value not in (None, "")}
                before |= {"launched_at": launched} if launched else {}
    seen = _seen(state)
    ids = [instance_id for instance_id in {**known, **seen} if seen.get(instance_id) != _GONE]
    return {instance_id: _told(instance_id, known.get(instance_id, {})) for instance_id in ids}


def _seen(state: RunState) -> Mapping[str, Any]:
    """Return id -> state of the machines that the fact saw last; a request may have started one without an answer."""
    reading = state.facts.get("runner")
    seen = reading.seen.get("machines") if reading and isinstance(reading.seen, Mapping) else None
    return seen if isinstance(seen, Mapping) else {}


def _told(instance_id: str, machine: Mapping[str, Any]) -> Fields:
    lost = {"unknown": "the result of its start is not on record"}
    kind, disk, since = (machine.get(name) for name in ("instance_type", "disk_gb", "launched_at"))
    return {
        "instance_id": instance_id,
        "instance_type": kind if isinstance(kind, str) else lost,
        "disk_gb": disk if isinstance(disk, int) and not isinstance(disk, bool) else lost,
        "since": lost if since is None else _time(str(since)),
    }


def _time(text: str) -> str | dict[str, str]:
    """Return a time as records have it: a cloud writes it in its own way."""
    at = moment_of(text)
    return {"unknown": "what is on record is no time"} if at is None else at.astimezone(UTC).isoformat()[:19] + "Z"


def _minutes(since: Any, until: str) -> float | None:
    return minutes_between(since, until) if isinstance(since, str) else None


def _cost(machine: Mapping[str, Any], minutes: float | None, prices: Mapping[str, Any] | None) -> Fields:
    kind, disk = machine["instance_type"], machine["disk_gb"]
    return cost_inputs(
        instance_type=kind if isinstance(kind, str) else "",
        minutes=minutes,
        disk_gb=disk if isinstance(disk, int) else None,
        prices=prices,
    )


def _prices(text: Any) -> Mapping[str, Any] | None:
    """Return the document of prices; None where there is none, or none that can be read."""
    try:
        document = json_of(text, "--prices") if isinstance(text, str) and text else None
    except Unreadable:
        return None
    return document if isinstance(document, Mapping) else None
