"""Who may go on with a run: the table of takeover.py, on processes that really live and die."""

import subprocess
import sys
from typing import Any

import pytest
from attrs import evolve

from drfsm.fleet import process
from drfsm.fleet.takeover import may_take_over
from drfsm.journal import RunState, fold

LIVE = evolve(fold(()), run_id="failback-1", scope="live")
DRILL = evolve(LIVE, scope="drill")


def never(_machine: str) -> bool:
    """Show no machine as terminated."""
    return False


def lease(holder: object, run_id: str = "failback-1") -> dict[str, object]:
    """Return a lease."""
    return {"held": True, "run_id": run_id, "bundle": str(holder)}


def test_a_live_run_is_taken_over_only_once_its_process_is_shown_to_have_ended() -> None:
    """While it lives it keeps the run; killed, and even as a zombie that nobody has waited for, it has ended."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    holder = evolve(process.this(), pid=child.pid, born=process.born(child.pid))
    assert not may_take_over(lease(holder), LIVE, never)
    assert may_take_over(lease(holder), DRILL, never)
    child.kill()
    child.communicate()
    assert may_take_over(lease(holder), LIVE, never)


@pytest.mark.parametrize(
    ("change", "taken"),
    [
        ({"born": "1"}, True),  # the pid was given to another process since
        ({"born": "1", "boot": "another"}, False),  # another machine, or this one before it was started again
        ({"born": "1", "namespace": "another"}, False),  # another container: its pids are others
    ],
)
def test_only_a_machine_that_could_see_the_process_shows_its_end(change: dict[str, Any], taken: bool) -> None:
    """A pid says nothing beyond its boot and its namespace."""
    holder = evolve(process.this(), **change)
    assert may_take_over(lease(holder), LIVE, never) is taken


def test_a_machine_that_the_cloud_shows_as_terminated_has_no_process_any_more() -> None:
    """Asked by the id that the process gave itself; without one nobody is asked."""
    asked = []

    def terminated(machine: str) -> bool:
        asked.append(machine)
        return machine == "i-0123"

    elsewhere = evolve(process.this("i-0123"), boot="another")
    assert may_take_over(lease(elsewhere), LIVE, terminated)
    assert not may_take_over(lease(evolve(elsewhere, instance="i-0456")), LIVE, terminated)
    assert not may_take_over(lease(evolve(elsewhere, instance="")), LIVE, terminated)
    assert asked == ["i-0123", "i-0456"]


@pytest.mark.parametrize("holder", ["/srv/drfsm/runs/failback-1", "", "process:a:b:c:d", "process:a:b:1", None, 5])
def test_a_holder_that_names_no_process_is_left_alone(holder: object) -> None:
    """A bundle's directory, or whatever somebody wrote there."""
    assert not may_take_over({"held": True, "run_id": "failback-1", "bundle": holder}, LIVE, lambda _machine: True)


def test_another_runs_lease_is_never_taken() -> None:
    """Neither by a drill nor by a live run: the lease has rules of its own for that."""
    states: tuple[RunState, ...] = (LIVE, DRILL)
    assert not any(may_take_over(lease("x", "failback-2"), state, lambda _machine: True) for state in states)
