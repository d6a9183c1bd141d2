"""Killed everywhere, a run ends the same: at each point alone, and at each pair of points.

Points lie before and after every request to the world and every append to the journal. Two histories that
leave the same world and fold to the same state go on alike, so of the pairs each such case is tried once.
"""

import random
from collections.abc import Iterable

import pytest

from drfsm.testing import CrashPoint, World, crash_points
from drfsm.testing.world import keys_of
from tests.engine.bench import Bench, Left, acting_rows, changed
from tests.engine.machines import failback_bench, mill_bench

MILL, FAILBACK = mill_bench(), failback_bench()
UNDISTURBED = {"mill": MILL.begin().left, "failback": FAILBACK.begin().left}
MILL_POINTS, FAILBACK_POINTS = MILL.begin().points, FAILBACK.begin().points
OILED = {"oil"}  # what a repair does is nobody's to give back


def same_end(bench: Bench, left: Left, undisturbed: Left) -> None:
    """Assert that a run that was disturbed ended as one that was not."""
    assert (left.state.state, left.state.status) == (undisturbed.state.state, undisturbed.state.status)
    assert left.world == undisturbed.world
    assert left.state.sealed
    assert changed(bench.start, left)


def given_back(bench: Bench, left: Left) -> None:
    """Assert that an aborted run left nothing but what is declared to be kept."""
    assert (left.state.status, left.state.sealed, left.state.undo) == ("aborted", True, ())
    kept = {
        key
        for row in bench.spec.rows
        if row.not_undone_because
        for fact in row.sets
        for key in keys_of(bench.spec, fact)
    }
    kept |= {f"{key}#count" for key in kept} | OILED
    assert not changed(bench.start, left).keys() - kept
    for row in acting_rows(bench.spec):
        began = any(each.kind == "intent" and each.body["row"] == row.key for each in left.records)
        if row.not_undone_because and row.key in left.state.snapshots:
            assert began
            assert row.not_undone_because in left.state.kept


def either_end(bench: Bench, left: Left, undisturbed: Left) -> None:
    """Assert that a run ended as undisturbed; or, before the final write, aborted with everything given back."""
    if bench.no_return(left) or left.state.status != "aborted":
        same_end(bench, left, undisturbed)
    else:
        given_back(bench, left)


def once_at_most(left: Left) -> None:
    """Assert that what may be done only once was."""
    assert all(int(value) <= 1 for key, value in left.data if key.endswith("#count"))


def crashed_at(bench: Bench, point: int) -> Left:
    """Return what a run leaves that died at a point."""
    played = bench.begin(point)
    assert played.crashed
    bench.proper(played)
    return played.left


@pytest.mark.parametrize("point", range(MILL_POINTS))
def test_a_run_killed_once_ends_as_an_undisturbed_one(point: int) -> None:
    """Killed at any point and resumed, the mill ends in the same state with the same world, and rings once."""
    left = MILL.on(crashed_at(MILL, point))
    same_end(MILL, left, UNDISTURBED["mill"])
    once_at_most(left)


def test_a_run_killed_before_its_first_record_has_changed_nothing() -> None:
    """Nothing is written and nothing is moved: there is no run that could be aborted."""
    left = crashed_at(MILL, 0)
    assert (left.records, left.world) == ((), MILL.start.world)


@pytest.mark.parametrize("point", range(1, MILL_POINTS))
def test_a_run_killed_once_and_aborted_gives_everything_back(point: int) -> None:
    """Killed at any point and aborted, the world is as at first but for what is kept; too late, it is refused."""
    left = crashed_at(MILL, point)
    assert left.records
    legal = MILL.may_abort(left)
    aborted = MILL.play(left, "abort")
    end = MILL.on(aborted.left)
    once_at_most(end)
    if not legal:
        assert aborted.refused is not None or left.state.ended or left.state.state in MILL.spec.finals
        same_end(MILL, end, UNDISTURBED["mill"])
    elif not (aborted.left.state.status == "held" or aborted.refused):
        given_back(MILL, end)


def all_ends(bench: Bench, firsts: Iterable[tuple[int, Left]], verbs: tuple[str, ...], undisturbed: Left) -> int:
    """Kill each of ``verbs`` at each point after each first crash, go on either way, and check the end."""
    seen: set[object] = set()
    for first, left in firsts:
        for verb in verbs:
            if not left.records:
                continue
            for second, again in bench.crashes(left, verb):
                if again.like in seen:
                    continue
                seen.add(again.like)
                for then in ("resume", "abort"):
                    try:
                        end = bench.on(again, then)
                        either_end(bench, end, undisturbed)
                        once_at_most(end)
                    except AssertionError as fault:
                        raise AssertionError(f"start ✗{first}, {verb} ✗{second}, {then}: {fault}") from fault
    return len(seen)


@pytest.mark.long
@pytest.mark.parametrize("verb", ["resume", "abort"])
@pytest.mark.parametrize("first", range(0, MILL_POINTS, 30))
def test_a_run_killed_twice_ends_as_declared(first: int, verb: str) -> None:
    """Killed, resumed or aborted, killed again, resumed or aborted again: complete, or everything given back."""
    firsts = [(point, crashed_at(MILL, point)) for point in range(first, min(first + 30, MILL_POINTS))]
    fresh = {left.like: (point, left) for point, left in reversed(firsts)}
    assert all_ends(MILL, fresh.values(), (verb,), UNDISTURBED["mill"]) or first == 0


FAILBACK_CRASHES = crash_points(
    FAILBACK.spec, FAILBACK.binding, lambda: World(FAILBACK.start.world), inputs=FAILBACK.inputs
)


@pytest.mark.parametrize("point", FAILBACK_CRASHES[::4], ids=str)
def test_the_failback_killed_once_ends_as_an_undisturbed_one(point: CrashPoint) -> None:
    """Killed at any point and resumed, the failback ends complete, with the same world; the audit holds."""
    point.assert_resumes()


@pytest.mark.parametrize("point", FAILBACK_CRASHES[2::4], ids=str)
def test_the_failback_killed_once_and_aborted_gives_everything_back(point: CrashPoint) -> None:
    """Killed at any point and aborted, DR is as it was; after the final write's intent the abort is refused."""
    point.assert_aborts()


@pytest.mark.parametrize("seed", range(20))
def test_the_failback_killed_twice_ends_as_declared(seed: int) -> None:
    """A sample of pairs of crashes in the failback, with a resume or an abort in between and after."""
    chosen = random.Random(seed)  # noqa: S311  a sample, no secret
    first, verb = chosen.randrange(1, FAILBACK_POINTS), chosen.choice(["resume", "abort"])
    left = crashed_at(FAILBACK, first)
    second = chosen.randrange(FAILBACK.play(left, verb).points or 1)
    again = FAILBACK.play(left, verb, second).left
    either_end(FAILBACK, FAILBACK.on(again, chosen.choice(["resume", "abort"])), UNDISTURBED["failback"])
