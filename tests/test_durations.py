"""No duration is negative, whatever the clocks did: there is one function for it, and nobody else subtracts times."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drfsm import claims
from drfsm.dr.backup import check
from drfsm.dr.procedures import drill
from drfsm.engine import Run, SystemClock
from drfsm.evidence import costs, wording


def test_every_duration_between_two_times_comes_from_one_function() -> None:
    """Nobody else subtracts times: there a clock that was set back would make a duration negative."""
    wall_clock = re.compile(r"\.total_seconds\(\)|time\.time\(\)\s*-|-\s*time\.time\(\)")
    allowed = {
        "claims.py",  # the function itself
        "cron.py",  # the offset of a time zone, which may be negative
    }
    home = Path(claims.__file__).parent
    subtracting = {
        str(path.relative_to(home))
        for path in home.rglob("*.py")
        # The sandbox's Kubernetes imports nothing of drfsm; what it shows is kubectl's own form.
        if "sandbox/kubernetes" not in path.as_posix() and wall_clock.search(path.read_text(encoding="utf-8"))
    }
    assert subtracting == allowed


NOON, LATER = "2026-02-27T12:00:00Z", "2026-02-27T12:10:00Z"


def _recovery(earlier: str, later: str) -> Any:
    terms = {"started_at": earlier, "recovery_time_objective": "", "recovery_covers": "whole"}
    results = {"verify_validation": {"validated_at": later}}
    run = Run("r", terms, "ann", 1, False, "measure_recovery", results, {}, SystemClock())  # noqa: FBT003
    return drill.FACTS["recovery_time"].observe(None, run)["seconds"]


DURATIONS: dict[str, Callable[[str, str], Any]] = {
    "between two records": wording.seconds_between,
    "of a backup": lambda earlier, later: check.age(earlier, later, None)["age_seconds"],
    "that a machine costs": costs.minutes_between,
    "of a recovery": _recovery,
}


@pytest.mark.parametrize("kind", DURATIONS)
def test_no_duration_is_negative(kind: str) -> None:
    """The clock was set back in between: nothing, or not known, but never less than nothing."""
    assert DURATIONS[kind](NOON, LATER) in (600, 10)
    assert DURATIONS[kind](LATER, NOON) in (0, None)
