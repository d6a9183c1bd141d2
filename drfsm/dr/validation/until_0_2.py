"""The validation as one action, ``validate_site``: what drill.yaml of 0.1.0 and 0.2.0 names, for runs pinned to those.

Today's machines/drill.yaml has rows for it: start, await, and back again. Only a drill that was started before goes on
with this action (``Binding.former_actions``). It has no rules of its own: job.py starts and removes the Job, and
failure.py says how it went.
"""

from typing import Any

from drfsm.dr.terms import terms_of
from drfsm.dr.validation.failure import FACTS
from drfsm.dr.validation.job import ACTIONS, POLL_SECONDS
from drfsm.engine import Run
from drfsm.errors import ActionFailed
from drfsm.world import World

MENDABLE = ("image_pull", "memory")


def _validate(world: World, run: Run) -> dict[str, Any]:
    """Have the site do its work once, beside. Raises ActionFailed, with cause and evidence, where it doesn't."""
    result, seen = _look(world, run)
    if result == "failed":  # also where there is no Job: one may have been removed, and not yet what it published
        if seen["job"] != "absent" and seen["cause"] not in MENDABLE:
            raise _failure(seen)
        ACTIONS["remove_validation"](world, run)
    ACTIONS["start_validation"](world, run)
    result, seen = _followed(world, run)
    if result == "failed":
        raise _failure(seen)
    terms = terms_of(run.inputs)
    return {"run_id": terms.new_run, "publishes_to": terms.staged(run.id).prefix, **seen["publishes_as"]}


def _look(world: World, run: Run) -> tuple[str | None, dict[str, Any]]:
    seen = FACTS["validation_result"].observe(world, run)
    return FACTS["validation_result"].judge(seen, run.inputs), seen


def _followed(world: World, run: Run) -> tuple[str | None, dict[str, Any]]:
    limit = terms_of(run.inputs).validation_timeout
    until = run.clock.monotonic() + limit
    while True:
        result, seen = _look(world, run)
        if result != "pending":
            return result, seen
        run.check()
        if run.clock.monotonic() > until:
            late = f"the validation has not ended within {limit:.0f} s"
            raise ActionFailed("; ".join([late, *seen.get("trouble", ())]), final=True)
        run.clock.sleep(POLL_SECONDS)


def _failure(seen: dict[str, Any]) -> ActionFailed:
    mendable = seen.get("cause") in MENDABLE
    hint = "the log of this attempt has the evidence" if mendable else "trying again would not mend it"
    return ActionFailed(seen["in_words"], hint=hint, final=not mendable)


FORMER_ACTIONS = {"validate_site": _validate}
