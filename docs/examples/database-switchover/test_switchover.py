"""The switchover's matrix: proven, every illegal request refused, killed everywhere; and what its world may do."""

from typing import Any

import pytest
from switchover import BINDING, MACHINE, Databases

from drfsm import MemoryJournal, Runner
from drfsm.testing import CrashPoint, MemoryClock, Pair, assert_holds, crash_points, illegal_pairs

INPUTS = {"replay_timeout": 30}
POINTS = crash_points(MACHINE, BINDING, Databases, inputs=INPUTS, decisions={"checked": "approve"})


def test_it_is_proven() -> None:
    """Two writers, lost writes, clients at a standby: none can happen; and every row can be taken."""
    assert_holds(MACHINE)


@pytest.mark.parametrize("pair", illegal_pairs(MACHINE, INPUTS))
def test_every_other_request_is_refused(pair: Pair) -> None:
    """In each state each trigger that is nobody's to fire there: refused, on record, and nothing moves."""
    pair.assert_rejected(BINDING, Databases())


@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_and_resumed_it_ends_the_same(point: CrashPoint) -> None:
    """Killed before or after each record, action and request to a server or a proxy."""
    point.assert_resumes()


@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_and_aborted_writes_go_on_where_they_were(point: CrashPoint) -> None:
    """Before the promotion an abort gives everything back; after it, the only way is forward."""
    point.assert_aborts()


# --- what the world may do -----------------------------------------------------------------------------


class Replaying(MemoryClock):
    """While the run sleeps, the standby replays; or replication breaks."""

    def __init__(self, databases: Databases, *, breaks: bool = False) -> None:
        super().__init__()
        self._databases, self._breaks = databases, breaks

    def sleep(self, seconds: float) -> None:
        """Let time pass, and the world move."""
        super().sleep(seconds)
        if self._breaks:
            self._databases.replication = "broken"
        elif self._databases.new.position < self._databases.old.position:
            self._databases.new.position += 1


def switched(databases: Databases, **more: Any) -> Runner:
    """Return the runner of a run that was approved."""
    runner = Runner(MACHINE, BINDING, databases, MemoryJournal(), **more)
    runner.start(INPUTS)
    if runner.state.state == "checked":
        runner.request("approve", {"reason": "now"})
    return runner


def test_it_waits_until_the_standby_has_everything(transcript: Any) -> None:
    """Behind at first, the standby catches up; only then it is promoted, and the story is the committed one."""
    databases = Databases()
    databases.new.position -= 3
    journal = MemoryJournal()
    runner = Runner(MACHINE, BINDING, databases, journal, clock=Replaying(databases), operator="dba", host="db-tools")
    runner.start(INPUTS, run_id="switchover-1")
    runner.request("approve", {"reason": "the maintenance window is open"})
    assert (runner.state.status, databases.new.role, databases.old.role) == ("complete", "primary", "standby")
    assert databases.new.position == databases.old.position
    transcript("caught-up", journal.records(), MACHINE, BINDING.judges)


def test_broken_replication_gives_writes_back() -> None:
    """Where replication breaks while nobody can write, the run gives up by itself, and clients write again."""
    databases = Databases()
    databases.new.position -= 3
    runner = switched(databases, clock=Replaying(databases, breaks=True))
    assert (runner.state.status, runner.state.state) == ("aborted", "aborted")
    assert (databases.old.read_only, databases.new.role) == (False, "standby")


@pytest.mark.parametrize(
    ("change", "guard"),
    [
        (lambda databases: setattr(databases, "replication", "broken"), "replication_streams"),
        (lambda databases: setattr(databases.new, "role", "primary"), "old_is_primary"),
        (lambda databases: databases.routes.update({"proxy-2": "new"}), "clients_are_at_old"),
    ],
)
def test_each_check_refuses_before_anything_is_stopped(change: Any, guard: str) -> None:
    """A world that is not ready ends the run as refused, the guard is named, and writes were never stopped."""
    databases = Databases()
    change(databases)
    runner = switched(databases)
    assert runner.state.status == "refused"
    assert guard in runner.state.reason
    assert databases.old.read_only is False


def test_a_server_that_does_not_answer_holds_the_run() -> None:
    """Unknown is no refusal: the run is held where it stands, and goes on once the server answers."""
    databases = Databases()
    databases.new.answers = False
    runner = switched(databases)
    assert (runner.state.status, runner.state.state) == ("held", "start")
    databases.new.answers = True
    assert runner.resume().state == "checked"
