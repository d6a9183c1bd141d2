"""DR's machines: observed, terminated, observed to be gone.

Terminates only the machines that the survey recorded at the start, by id: later ones are not this run's. A machine
counts as gone when the cloud reports ``terminated``, not when its termination was requested.
"""

from collections.abc import Mapping
from typing import Any

from drfsm.dr.terms import terms_of
from drfsm.engine import Fact, Late, Run
from drfsm.world import World

POLL_SECONDS = 1.0


def tags_of(run: Run) -> Mapping[str, str]:
    """Return the tags by which DR's machines are found."""
    return terms_of(run.inputs).workload.runners.tags


def _recorded(world: World, run: Run) -> list[str]:
    survey = run.results.get("run_preflight")
    if survey is not None:
        return list(survey["runners"])
    return sorted(
        runner.instance_id for runner in world.infrastructure.runners(tags_of(run))
    )  # a dry run has no survey


def _observe(world: World, run: Run) -> dict[str, Any]:
    recorded = _recorded(world, run)
    return {"recorded": recorded, "states": dict(world.infrastructure.states(recorded)) if recorded else {}}


def _left(seen: Mapping[str, Any]) -> list[str]:
    return [instance_id for instance_id in seen["recorded"] if seen["states"].get(instance_id) != "terminated"]


def _terminate(world: World, run: Run) -> dict[str, Any]:
    """Terminate the recorded machines, and wait until they are gone (bounded by the row's time)."""
    seen = _observe(world, run)
    if left := _left(seen):
        world.infrastructure.terminate(left)
        run.note(f"requested the termination of {', '.join(left)}")
    while left := _left(seen := _observe(world, run)):
        run.check()
        run.note(f"waiting for {', '.join(left)} to be gone")
        run.clock.sleep(POLL_SECONDS)
    return {"terminated": seen["recorded"], "left": 0}


FACTS = {"runners": Fact(_observe, lambda seen, _inputs: "present" if _left(seen) else "gone")}
LATE = {"terminate_runners": Late(settles="a termination has no condition")}
ACTIONS = {"terminate_runners": _terminate}
