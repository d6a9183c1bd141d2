"""The dry run: the whole table, nothing changed, and never to be taken for a success."""

from itertools import pairwise
from typing import Any

import pytest

from drfsm.engine import NoLease, Run, Runner
from drfsm.errors import IllegalTransition, Unreachable
from drfsm.journal import RunState
from drfsm.testing.fuse import DyingJournal, Fuse, MemoryClock
from drfsm.testing.world import World, data_of, quiet
from tests.engine.bench import Bench, Left
from tests.engine.machines import failback_bench, mill_bench
from tests.engine.room import Room, machine

MILL, FAILBACK = mill_bench(), failback_bench()


class NoLeaseAtAll(NoLease):
    """A lease that nobody may ask for."""

    def acquire(self, run_id: str, operator: str, host: str) -> int:
        """Refuse: a dry run needs none."""
        raise AssertionError(f"{run_id} asked for the lease ({operator}, {host})")

    def check(self) -> None:
        """Refuse likewise."""
        raise AssertionError("a dry run looked at the lease")


def walk(bench: Bench, left: Left | None = None, **inputs: Any) -> tuple[Runner, World]:
    """Walk a machine dry; return its runner and the world that it saw."""
    world = World((left or bench.start).world, Fuse())
    runner = Runner(
        bench.spec,
        bench.binding,
        world,
        DyingJournal((), world.fuse),
        clock=MemoryClock(),
        lease=NoLeaseAtAll(),
    )
    runner.start({**bench.inputs, **inputs}, run_id="run-1", dry_run=True)
    return runner, world


def kinds(runner: Runner) -> set[str]:
    """Return the kinds of a run's records."""
    return {each.kind for each in runner._log.journal.records()}


@pytest.mark.parametrize("bench", [MILL, FAILBACK], ids=["mill", "failback"])
def test_a_dry_run_walks_to_the_end_and_changes_nothing(bench: Bench) -> None:
    """A forecast for each row to a final state; no lease, no intent, no commit, no action; its end is dry_run."""
    runner, world = walk(bench)
    state = runner.state
    assert kinds(runner) == {"run_started", "forecast", "ended", "seal"}
    assert not [seen for seen in world.seen if seen[0] in ("write", "act")]
    assert world.data == bench.start.world
    assert (state.status, state.state, state.sealed) == ("dry_run", bench.spec.initial, True)
    steps = state.forecasts
    assert steps[0].source == bench.spec.initial
    assert bench.spec.finals[steps[-1].to] == "complete"
    assert all(one.to == other.source for one, other in pairwise(steps))


def test_a_guard_over_what_was_not_done_is_not_evaluated() -> None:
    """What an earlier step would have changed says nothing now; what nobody changes is passed or failed."""
    runner, _ = walk(FAILBACK)
    outcomes = {
        (forecast.trigger, check.fact): check.outcome
        for forecast in runner.state.forecasts
        for check in forecast.guards
    }
    assert outcomes["run_preflight", "clusters"] == "passed"
    assert outcomes["freeze_dr", "primary_schedules"] == "not_evaluated"
    assert outcomes["switch_provider_pointers", "captured"] == "not_evaluated"
    assert set(outcomes.values()) == {"passed", "not_evaluated"}


def test_what_the_command_itself_lacks_hides_nothing_of_the_world() -> None:
    """A token is missing: every later step is judged all the same, and the end is refused, with that finding."""
    spec = FAILBACK.spec
    data = data_of(spec, quiet(spec, users="stay", confirmation="wrong"))
    runner, _ = walk(FAILBACK, Left(tuple(sorted(data.items()))))
    state = runner.state
    assert (state.status, state.stage, len(state.findings)) == ("refused", "confirm_intent", 1)
    assert "confirmation is wrong" in state.findings[0]
    assert spec.finals[state.forecasts[-1].to] == "complete"
    assert [forecast.trigger for forecast in state.forecasts if forecast.outcome == "refused"] == ["confirm_intent"]


def test_a_dry_run_that_would_be_refused_ends_as_refused() -> None:
    """A guard fails where a failure has its place: the walk ends there, refused, with the finding."""
    spec = FAILBACK.spec
    bad = Left(tuple(sorted(data_of(spec, quiet(spec, clusters="same")).items())))
    runner, _ = walk(FAILBACK, bad)
    assert (runner.state.status, runner.state.stage) == ("refused", "run_preflight")
    assert "clusters is same" in runner.state.reason
    assert runner.state.forecasts[-1].trigger == "run_preflight"


def test_a_dry_run_tells_what_would_hold_it_and_walks_on() -> None:
    """A guard fails later on: it is told among the findings, the walk goes on, and it is no success."""
    spec = MILL.spec
    bad = Left(tuple(sorted((data_of(spec, quiet(spec, sign="new")) | {"oil": "no"}).items())))
    runner, _ = walk(MILL, bad)
    assert runner.state.status == "dry_run"
    assert "sign is new" in runner.state.reason
    assert runner.state.forecasts[-1].to == "handed_over"


def test_what_would_be_awaited_is_no_finding() -> None:
    """A Job still runs: the forecast says that the run would wait, and what is behind the wait is not evaluated."""
    spec = MILL.spec
    turning = Left(tuple(sorted((data_of(spec, quiet(spec, wheel="turning")) | {"oil": "no"}).items())))
    runner, _ = walk(MILL, turning)
    by_trigger = {forecast.trigger: forecast for forecast in runner.state.forecasts}
    assert by_trigger["await_wheel"].waits is True
    assert {check.fact: check.outcome for check in by_trigger["hand_over"].guards}["wheel"] == "not_evaluated"
    assert runner.state.reason == "nothing was changed: this was a dry run"


@pytest.mark.parametrize("point", range(1, 24))
def test_a_dry_run_killed_anywhere_is_finished_as_one_by_its_resume(point: int) -> None:
    """Killed in the middle: the resume forecasts what is left, once each, without a lease, and ends as dry_run."""
    whole, _ = walk(MILL)
    world = World(MILL.start.world, Fuse())
    journal = DyingJournal((), world.fuse)

    def hit() -> None:
        if world.fuse.points == point:
            raise KeyboardInterrupt

    world.fuse.watch = hit
    runner = Runner(MILL.spec, MILL.binding, world, journal, clock=MemoryClock(), lease=NoLeaseAtAll())
    with pytest.raises(KeyboardInterrupt):
        runner.start(MILL.inputs, run_id="run-1", dry_run=True)
    world.fuse.watch = lambda: None
    again = Runner(
        MILL.spec,
        MILL.binding,
        world,
        DyingJournal(journal.records(), world.fuse),
        clock=MemoryClock(),
        lease=NoLeaseAtAll(),
    )
    assert journal.records()
    state: RunState = again.resume()
    assert (state.status, state.sealed) == ("dry_run", True)
    assert [forecast.row for forecast in state.forecasts] == [forecast.row for forecast in whole.state.forecasts]
    assert [forecast.guards for forecast in state.forecasts] == [forecast.guards for forecast in whole.state.forecasts]
    assert kinds(again) <= {"run_started", "resumed", "forecast", "ended", "seal"}


def test_nobody_can_move_a_dry_run() -> None:
    """Before its end and after it: abort, request and resolve are illegal, and the world stays as it is."""
    rows = """
  - {from: start, trigger: switch_on, to: lit, action: press, sets: {light: on}, effect: idempotent, undo: unpress,
     because: "light"}
  - {from: lit, trigger: leave, to: done, because: "out"}
"""
    room = Room(machine(rows, "[start, lit]"), lease=NoLeaseAtAll())
    room.start(dry_run=True)
    for records in (room.records()[:1], room.records()[:2], room.records()):
        runner = room.runner(records)
        with pytest.raises(IllegalTransition):
            runner.abort("x")
        with pytest.raises(IllegalTransition):
            runner.request("abort")
        with pytest.raises(IllegalTransition):
            runner.resolve("done", "x")
    assert (room.acts, room.has["light"]) == ([], "off")


def test_a_dry_run_can_be_interrupted_and_finished() -> None:
    """interrupt() stops the walk between two rows; held, and the resume walks on."""
    world = World(MILL.start.world, Fuse())
    runner = Runner(
        MILL.spec,
        MILL.binding,
        world,
        DyingJournal((), world.fuse),
        clock=MemoryClock(),
        lease=NoLeaseAtAll(),
    )
    world.fuse.watch = lambda: runner.interrupt() if world.fuse.points == 8 else None
    state = runner.start(MILL.inputs, dry_run=True)
    assert (state.status, state.stage) == ("held", "forecast")
    assert runner.resume().status == "dry_run"


def test_a_dry_run_ends_where_a_person_decides_and_says_so() -> None:
    """No row of the runner leads on: the walk ends as dry_run, naming the state."""
    rows = """
  - {from: start, trigger: come, to: here, because: "in"}
  - {from: here, trigger: leave, to: done, by: operator, because: "out"}
"""
    room = Room(machine(rows), lease=NoLeaseAtAll())
    state = room.start(dry_run=True).state
    assert (state.status, state.reason) == (
        "dry_run",
        "nothing was changed: this was a dry run; from here on a person decides",
    )


def test_what_a_dry_run_can_not_read_is_told_and_refuses_nothing() -> None:
    """Unknown is a finding, not a refusal: the walk goes on to the end."""
    rows = """
  - {from: start, trigger: leave, to: done, guards: [door_is_shut], because: "out"}
  - {from: start, trigger: refuse, to: refused, by: failure, because: "nothing moved"}
"""
    room = Room(machine(rows), lease=NoLeaseAtAll())

    def observe(_room: Room, _run: Run) -> Any:
        raise Unreachable("no answer")

    room.observe["door"] = observe
    state = room.start(dry_run=True).state
    assert state.status == "dry_run"
    assert "door is unknown" in state.reason
