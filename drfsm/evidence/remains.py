"""What a run leaves in the world as it stands, in words: what is frozen, which machines run on, who is canonical.

Read from the records only, however badly those were written. Part of `drfsm status` (narrative.py, cli/status.py).
"""

from collections.abc import Iterator, Mapping
from shlex import quote
from typing import Any

from drfsm.claims import printable
from drfsm.evidence.wording import NOBODY, frozen_in_order, moment
from drfsm.journal import RunState

Json = Mapping[str, Any]
_SITES = {"primary": "The primary", "dr": "DR"}


def canonical(state: RunState) -> Iterator[str]:
    """Yield which run is canonical after a complete procedure, and whether its site publishes, as last read."""
    owner, pointer = state.known.get("owner", ""), state.known.get("global_pointer", "")
    run = state.inputs.get(f"{pointer}_run_id")
    if state.status != "complete" or owner not in _SITES or not isinstance(run, str):
        return
    condition = {name: state.known.get(f"{owner}_{name}", "unknown") for name in ("publishing", "schedules")}
    yield printable(
        f"Canonical: run {run}. {_SITES[owner]} owns the pointers; its publishing is {condition['publishing']}, its"
        f" schedules are {condition['schedules']}."
    )


def running_machines(state: RunState, place: str) -> Iterator[str]:
    """Yield the machines that a drill started and that run on, since when: they cost until they are taken down.

    A run that has ended takes nothing down any more: another drill does, named by this one's bundle (``place``).
    """
    if state.known.get("runner") != "present":
        return
    machines: dict[str, Json] = {}
    for result in state.results.values():
        listed = result.get("machines") if isinstance(result, Mapping) else None
        for machine in listed if isinstance(listed, list) else ():
            if isinstance(machine, Mapping) and isinstance(machine.get("instance_id"), str):
                machines[machine["instance_id"]] = machine
    if machines and state.ended:
        bundle = "<its bundle>" if place.startswith("s3://") else quote(place)
        yield f"Left running, and costing until `drfsm drill --receipt-dir {bundle} --start-at teardown` takes it down:"
    elif machines:
        yield "Running, and costing until this run takes it down (drfsm resume, or drfsm abort):"
    for instance_id, machine in machines.items():
        kind = f"{machine.get('instance_type')}, disk of {machine.get('disk_gb')} GB"
        yield printable(f"  {instance_id} ({kind}), since {moment(str(machine.get('launched_at')))}")


def frozen(state: RunState) -> Iterator[str]:
    """Yield what a run has frozen, below a heading."""
    if not state.frozen_since:
        if not state.ended:
            yield "Frozen now: nothing, as far as this run knows."
        return
    yield frozen_heading(state)
    yield from frozen_words(state)


def frozen_heading(state: RunState) -> str:
    """Return what stands above a run's frozen words: of a run that ended, since when, and whether it is meant."""
    if state.status == "complete":
        return f"Left frozen at its end ({moment(state.ended_at)}), as this procedure means it:"
    return f"Frozen at its end ({moment(state.ended_at)}):" if state.ended else "Frozen now:"


def frozen_words(state: RunState) -> Iterator[str]:
    """Yield what a run's records say is frozen, and since when; that nobody can publish comes first."""
    for word in frozen_in_order(state.frozen_since):
        loud = printable(word).replace(NOBODY, NOBODY.upper()) if word.startswith(NOBODY) else printable(word)
        yield f"  {loud}, since {moment(state.frozen_since[word])}"
