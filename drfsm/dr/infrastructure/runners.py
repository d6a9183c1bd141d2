"""The machines that carry DR: seen, terminated, seen to be gone.

Only machines that the survey recorded at the start are touched, by id: whatever appeared since, somebody
else started. A machine counts as gone when the cloud says ``terminated``, not when it was asked to be.
"""

from collections.abc import Mapping
from typing import Any

from drfsm.dr.terms import terms_of
from drfsm.engine import Fact, Run
from drfsm.world import World

POLL_SECONDS = 1.0


def tags_of(run: Run) -> Mapping[str, str]:
    """Return the tags by which DR's machines are found."""
    return terms_of(run.inputs).workload.runners.tags


def _recorded(world: World, run: Run) -> list[str]:
    survey = run.results.get("run_preflight")
    if survey is not None:
        return list(survey["runners"])
    return sorted(each.instance_id for each in world.infrastructure.runners(tags_of(run)))  # a dry run has no survey


def _observe(world: World, run: Run) -> dict[str, Any]:
    recorded = _recorded(world, run)
    return {"recorded": recorded, "states": dict(world.infrastructure.states(recorded)) if recorded else {}}


def _left(seen: Mapping[str, Any]) -> list[str]:
    return [each for each in seen["recorded"] if seen["states"].get(each) != "terminated"]


def _terminate(world: World, run: Run) -> dict[str, Any]:
    """Terminate what was recorded, and wait until nothing of it is left (bounded by the row's time)."""
    seen = _observe(world, run)
    if left := _left(seen):
        world.infrastructure.terminate(left)
        run.note(f"asked for {', '.join(left)} to be terminated")
    while left := _left(seen := _observe(world, run)):
        run.check()
        run.note(f"waiting for {', '.join(left)} to be gone")
        run.clock.sleep(POLL_SECONDS)
    return {"terminated": seen["recorded"], "left": 0}


FACTS = {"runners": Fact(_observe, lambda seen, _inputs: "present" if _left(seen) else "gone")}
ACTIONS = {"terminate_runners": _terminate}
