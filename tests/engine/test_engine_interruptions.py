"""Whatever stops a run other than a crash: Ctrl-C, a polite request, a lost lease, a journal that is full."""

from collections.abc import Mapping
from typing import Any

import pytest

from drfsm.engine import MemoryJournal, NoLease, Runner
from drfsm.errors import DrfsmError, IllegalTransition, LeaseHeld, LeaseLost
from drfsm.journal import Record
from drfsm.testing.fuse import Crash, DyingJournal, Fuse, MemoryClock
from drfsm.testing.world import World
from tests.engine.machines import mill_bench

MILL = mill_bench()
UNDISTURBED = MILL.begin()
POINTS = UNDISTURBED.points
APPENDS = len(UNDISTURBED.left.records)


class Hit(KeyboardInterrupt):
    """Ctrl-C, exactly here."""


def world_of(fuse: Fuse) -> World:
    """Return the mill's world as it is at first."""
    return World(MILL.start.world, fuse)


def runner_of(world: World, journal: MemoryJournal, **more: Any) -> Runner:
    """Return a runner of the mill."""
    return Runner(MILL.spec, MILL.binding, world, journal, clock=MemoryClock(), operator="op", **more)


def complete(runner: Runner, world: World) -> None:
    """Assert that the run ended as an undisturbed one."""
    assert (runner.state.status, runner.state.state) == ("complete", "handed_over")
    assert world.data == UNDISTURBED.left.world


def on_with(runner: Runner, world: World) -> None:
    """Resume, with a person who settles what may be done only once."""
    state = runner.resume()
    if state.status == "held" and state.open is not None:
        assert state.open.trigger == "ring"
        for key in ("bell/0", "bell/1", "bell/2"):
            world.data |= {key: "rung", f"{key}#count": "1"}
        runner.resume()


@pytest.mark.parametrize("point", range(1, POINTS))
def test_ctrl_c_leaves_the_state_where_it_was_and_the_same_runner_can_go_on(point: int) -> None:
    """KeyboardInterrupt at any point: the machine stands where the journal says, and a resume ends the run."""

    def hit() -> None:
        if world.fuse.points == point:
            raise Hit

    world = world_of(Fuse())
    world.fuse.watch = hit
    journal = DyingJournal((), world.fuse)
    runner = runner_of(world, journal)
    with pytest.raises(Hit):
        runner.start(MILL.inputs)
    commits = [each for each in journal.records() if each.kind == "commit"]
    told = runner._step.engine.state
    assert told == (commits[-1].body["to"] if commits else "asked") or point_is_after_commit(commits, told)
    world.fuse.watch = lambda: None
    assert journal.records()
    on_with(runner, world)
    complete(runner, world)


def point_is_after_commit(commits: list[Record], told: str) -> bool:
    """Whether the last commit was durable, and the machine had not moved yet: the next verb puts it right."""
    return bool(commits) and told == commits[-1].body["from"]


@pytest.mark.parametrize("point", range(1, POINTS, 2))
def test_a_request_to_stop_is_heeded_at_the_next_clean_point(point: int) -> None:
    """interrupt() at any point: the run is held with stage and reason (or just ends), and a resume goes on."""
    world = world_of(Fuse())
    runner = runner_of(world, DyingJournal((), world.fuse))
    world.fuse.watch = lambda: runner.interrupt() if world.fuse.points == point else None
    state = runner.start(MILL.inputs)
    if state.status != "complete":
        assert (state.status, bool(state.stage), bool(state.reason)) == ("held", True, True)
        assert runner._log.journal.records()[-1].body["interrupted"] is True
        on_with(runner, world)
    complete(runner, world)


class LostAt(NoLease):
    """A lease that somebody takes over before its n-th check."""

    def __init__(self, number: int, world: World) -> None:
        super().__init__()
        self._left, self._world = number, world
        self.lost_with: int | None = None

    def check(self) -> None:
        """Raise LeaseLost from the n-th check on."""
        self._left -= 1
        if self._left < 0:
            if self.lost_with is None:
                self.lost_with = written(self._world)
            raise LeaseLost("taken over")


def written(world: World) -> int:
    """Count what was written, to the world and to the journal."""
    return sum(kind != "read" for kind, *_ in world.seen)


@pytest.mark.parametrize("check", range(12))
def test_after_the_lease_is_lost_nothing_is_written(check: int) -> None:
    """LeaseLost at any check ends the verb with that error, and neither world nor journal is written afterwards."""
    world = world_of(Fuse())
    lease = LostAt(check, world)
    runner = runner_of(world, DyingJournal((), world.fuse), lease=lease)
    try:
        runner.start(MILL.inputs)
    except LeaseLost:
        assert written(world) == lease.lost_with
        with pytest.raises(LeaseLost):
            runner.resume()
        assert not any(kind == "act" for kind, *_ in world.seen[world_end(world, lease.lost_with) :])
    else:
        assert lease.lost_with is None


def world_end(world: World, writes: int | None) -> int:
    """Return where in what was seen the n-th write lies."""
    places = [place for place, (kind, *_) in enumerate(world.seen) if kind != "read"]
    return places[(writes or 1) - 1] + 1


def test_the_lease_is_looked_at_before_every_step() -> None:
    """Every commit of a run that holds a lease comes after a check of its own."""

    class Counted(NoLease):
        checks = 0

        def check(self) -> None:
            self.checks += 1

    world, lease = world_of(Fuse()), Counted()
    journal = DyingJournal((), world.fuse)
    runner_of(world, journal, lease=lease).start(MILL.inputs)
    leased = next(each.seq for each in journal.records() if each.kind == "lease_acquired")
    commits = sum(each.kind == "commit" and each.seq > leased for each in journal.records())
    assert lease.checks >= commits


class FullAt(DyingJournal):
    """A journal that can't be written from its n-th record on."""

    def __init__(self, number: int, world: World) -> None:
        super().__init__((), world.fuse)
        self._number = number

    def append(self, kind: str, body: Mapping[str, Any], at: str) -> Record:
        """Append, until it is full."""
        if len(self.records()) >= self._number:
            raise DrfsmError("the journal can't be written", fault="journal")
        return super().append(kind, body, at)


@pytest.mark.parametrize("number", range(APPENDS))
def test_a_journal_that_is_full_stops_the_run_before_the_action(number: int) -> None:
    """Full at any record: the error surfaces, no action begins that isn't on record, and a resume ends the run."""
    world = world_of(Fuse())
    journal = FullAt(number, world)
    runner = runner_of(world, journal)
    with pytest.raises(DrfsmError, match="can't be written"):
        runner.start(MILL.inputs)
    intents = sum(each.kind == "intent" for each in journal.records())
    assert sum(kind == "act" for kind, *_ in world.seen) <= intents
    if journal.records():
        later = runner_of(world, MemoryJournal(journal.records()))
        on_with(later, world)
        complete(later, world)


class Taken(NoLease):
    """A lease that another run holds."""

    def acquire(self, run_id: str, operator: str, host: str) -> int:
        """Refuse."""
        raise LeaseHeld(f"held by another run than {run_id} of {operator} on {host}")


def test_a_run_that_finds_the_lease_taken_says_so_and_ends_refused() -> None:
    """Another run at work: LeaseHeld for the caller, `refused` in the journal, nothing asked of the world."""
    world = world_of(Fuse())
    journal = DyingJournal((), world.fuse)
    runner = runner_of(world, journal, lease=Taken())
    with pytest.raises(LeaseHeld, match="held by another run"):
        runner.start(MILL.inputs)
    assert (runner.state.status, runner.state.sealed) == ("refused", True)
    assert "held by another run" in runner.state.reason
    assert world.data == MILL.start.world


def test_a_resume_that_finds_the_lease_taken_leaves_the_journal_alone() -> None:
    """Another run at work: a resume and an abort raise LeaseHeld and append nothing."""
    left = MILL.begin(40).left
    world, journal = World(left.world, Fuse()), MemoryJournal(left.records)
    runner = runner_of(world, journal, lease=Taken())
    for verb in (runner.resume, runner.abort):
        with pytest.raises(LeaseHeld):
            verb()
    assert len(journal.records()) == len(left.records)
    assert world.data == left.world


def test_no_crash_is_caught_on_the_way() -> None:
    """A BaseException out of a fact, an action or the journal comes out of the verb as it is."""
    for point in range(POINTS):
        world = world_of(Fuse(point))
        with pytest.raises(Crash):
            runner_of(world, DyingJournal((), world.fuse)).start(MILL.inputs)


def test_what_is_derived_may_fail_without_harm_to_the_run() -> None:
    """A subscriber that raises at any record: the run is held at the next clean point, then goes on to the same end."""
    for number in range(APPENDS):
        world = world_of(Fuse())
        journal = DyingJournal((), world.fuse)
        full = {number}

        def subscriber(record: Record, _state: object, full: set[int] = full) -> None:
            if record.seq in full:
                full.clear()
                raise OSError(28, "No space left on device")

        runner = runner_of(world, journal, on_record=[subscriber])
        said = ""
        try:
            state = runner.start(MILL.inputs)
        except DrfsmError as fault:
            said = fault.what
        else:
            assert (state.status, state.stage) == ("held", "telling"), f"at {number}"
            said = state.reason
            runner.resume()
        assert "No space left" in said, f"at {number}"
        complete(runner, world)
        acted = [what for kind, what, *_ in world.seen if kind == "act"]
        assert sorted(set(acted)) == sorted(acted), f"at {number}: something was done twice"


def test_illegal_stays_illegal_after_an_interruption() -> None:
    """A trigger that is not legal is refused the same way on a run that was just interrupted."""
    world = world_of(Fuse())
    runner = runner_of(world, DyingJournal((), world.fuse))
    world.fuse.watch = lambda: runner.interrupt() if world.fuse.points == 30 else None
    runner.start(MILL.inputs)
    with pytest.raises(IllegalTransition):
        runner.request("finish_abort")
    assert runner.state.status == "held"
