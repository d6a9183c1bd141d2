"""A run that is driven a row at a time, from outside: the same records as one that is driven by itself."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from drfsm.engine import Runner
from drfsm.errors import IllegalTransition, UsageFault
from drfsm.testing.fuse import MemoryClock
from tests.engine.machines import mill_bench
from tests.engine.room import Room, machine
from tests.engine.test_engine_crashes import same_end

INPUTS = {"patience": 5, "way": "short"}
ROWS = """
  - {from: start, trigger: press, to: lit, action: press, sets: {light: on}, effect: idempotent, undo: release,
     because: "light"}
  - {from: lit, trigger: wait_for_a_word, to: heard, by: operator, because: "a person decides"}
  - {from: heard, trigger: leave, to: done, guards: [door_is_shut], because: "out"}
"""


def room() -> Room:
    """Return a room whose light can be pressed; a person decides in the middle."""
    made = Room(machine(ROWS, "[start, lit, heard]"))
    made.actions = {"press": lambda r, _: r.has.update(light="on"), "release": lambda r, _: r.has.update(light="off")}
    return made


def kinds(made: Room) -> list[str]:
    """Return the kinds of the records, in their order."""
    return [record.kind for record in made.records()]


def begun(made: Room) -> Runner:
    """Return the runner of a run that was begun, and has taken no row."""
    runner = made.runner()
    runner.begin(INPUTS, run_id="run-1")
    return runner


def test_row_by_row_the_records_are_those_of_a_run_that_drives_itself() -> None:
    """Begun, advanced, decided, advanced: no `held` or `resumed` in between but where a person is waited for."""
    driven, stepped = room(), room()
    driven.start().request("wait_for_a_word", {"reason": "yes"})
    runner = begun(stepped)
    assert (runner.state.state, runner.advance().state) == ("start", "lit")
    assert runner.advance().status == "held"
    assert runner.advance("wait_for_a_word", {"reason": "yes"}).state == "heard"
    assert runner.advance().status == "complete"
    assert kinds(stepped) == kinds(driven)
    assert kinds(stepped).count("held") == 1
    assert "resumed" not in kinds(stepped)
    assert stepped.records("ended", "seal")


def test_who_goes_on_in_another_process_is_on_record_once() -> None:
    """A second runner over the same journal says that it resumes, and then takes row after row."""
    made = room()
    begun(made).advance()
    other = made.runner()
    other.advance()
    other.advance("wait_for_a_word", {"reason": "yes"})
    other.advance()
    assert kinds(made).count("resumed") == 1
    assert made.records("resumed")[0].body["state"] == "lit"
    assert (other.state.status, other.advance().status) == ("complete", "complete")


def test_a_row_that_cannot_be_taken_holds_the_run_and_the_next_advance_resumes_it() -> None:
    """The guard's refusal is recorded as ever; once the world is mended, the same row is taken."""
    made = room()
    made.has["door"] = "open"
    runner = begun(made)
    runner.advance()
    assert runner.advance("wait_for_a_word", {"reason": "yes"}).state == "heard"
    held = runner.advance()
    assert (held.status, held.state, held.stage) == ("held", "heard", "leave")
    made.has["door"] = "shut"
    assert runner.advance().status == "complete"
    assert kinds(made).count("resumed") == 1


REFUSED: dict[str, tuple[Callable[[Room, Runner], object], type[Exception]]] = {
    "a trigger that is not legal here": (lambda _, runner: runner.advance("wait_for_a_word"), IllegalTransition),
    "a dry run": (lambda _, __: room().start(dry_run=True).advance(), UsageFault),
    "a journal without a run": (lambda _, __: room().runner().advance(), UsageFault),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_what_cannot_be_advanced_is_refused_and_nothing_moves(case: str) -> None:
    """The refusal of `request` and `resume`, by the same names."""
    made = room()
    runner = begun(made)
    deed, refusal = REFUSED[case]
    with pytest.raises(refusal):
        deed(made, runner)
    assert made.has["light"] == "off"


def test_killed_anywhere_and_advanced_again_the_run_ends_the_same() -> None:
    """The small machine with everything dies at every point, and another process goes on a row at a time."""
    bench = mill_bench()
    undisturbed = bench.begin().left
    whole = bench.play(bench.start, "advance")
    assert [record.kind for record in whole.left.records] == [record.kind for record in undisturbed.records]
    for point in range(whole.points):
        played = bench.play(bench.start, "advance", point)
        assert played.crashed
        same_end(bench, bench.on(played.left, "advance"), undisturbed)


WAITS = """
  - {from: start, trigger: press, to: lit, action: press, sets: {light: on}, effect: idempotent, undo: release,
     because: "light"}
  - {from: lit, trigger: leave, to: done, guards: [door_is_shut],
     wait: {every_seconds: 30, limit: 100, consecutive: 2}, because: "out"}
"""


class Moving(MemoryClock):
    """A clock whose time of day moves with it: what another process reads in the journal."""

    def now(self) -> str:
        """Return the time of day."""
        moment = datetime(2026, 2, 27, tzinfo=UTC) + timedelta(seconds=self.monotonic())
        return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def waiting() -> Room:
    """Return a room in which the door is open, so that leaving waits."""
    made = Room(machine(WAITS, "[start, lit]"))
    made.actions = {"press": lambda r, _: r.has.update(light="on"), "release": lambda r, _: r.has.update(light="off")}
    made.has["door"] = "open"
    return made


def test_a_wait_whose_pauses_are_the_callers_holds_no_process() -> None:
    """Each call takes one sample and says when the next is due; the samples are those of a wait in one process."""
    made = waiting()
    runner = begun(made)
    runner.advance(waits_elsewhere=True)
    for _ in range(2):
        state = runner.advance(waits_elsewhere=True)
        assert (state.state, state.status, runner.due_seconds) == ("lit", "running", 30)
        made.clock.sleep(30)
    made.has["door"] = "shut"
    assert runner.advance(waits_elsewhere=True).state == "lit"  # once is not twice in a row
    assert runner.advance(waits_elsewhere=True).status == "complete"
    assert runner.due_seconds == 0
    assert [record.body["holds"] for record in made.records("sampled")] == [False, True, True]
    assert "resumed" not in kinds(made)


def test_another_process_goes_on_with_the_wait_and_its_limit() -> None:
    """The time that the first one waited counts; clear samples are counted anew, as the audit asks."""
    made = waiting()
    made.clock = Moving()
    first = begun(made)
    first.advance(waits_elsewhere=True)
    first.advance(waits_elsewhere=True)
    for _ in range(3):  # left on purpose: each pause counts whole
        made.clock.sleep(30)
        other = made.runner()
        assert other.advance(waits_elsewhere=True).status == "running"
    assert other.due_seconds == pytest.approx(10, abs=1)
    made.clock.sleep(600)  # its process is lost: nobody has waited meanwhile
    last = made.runner()
    assert last.advance(waits_elsewhere=True).status == "held"
    assert "waited 120 s (limit 100 s)" in last.state.reason
    assert kinds(made).count("resumed") == 4


def test_a_process_that_is_lost_between_two_clear_samples_costs_no_time() -> None:
    """The next one begins the wait anew, and has the time to see as many in a row as are declared."""
    made = waiting()
    made.clock, made.has["door"] = Moving(), "shut"
    first = begun(made)
    first.advance(waits_elsewhere=True)
    assert first.advance(waits_elsewhere=True).state == "lit"
    assert (first.due_seconds, first.due_here) == (30, True)
    made.clock.sleep(600)
    other = made.runner()
    assert other.advance(waits_elsewhere=True).state == "lit"
    made.clock.sleep(30)
    assert other.advance(waits_elsewhere=True).status == "complete"


def test_a_person_who_resumes_a_wait_gives_it_all_its_time_again() -> None:
    """As with a wait in one process: the limit guards against a machine that waits for ever."""
    made = waiting()
    runner = begun(made)
    runner.advance(waits_elsewhere=True)
    runner.advance(waits_elsewhere=True)
    made.clock.sleep(101)
    assert runner.advance(waits_elsewhere=True).status == "held"
    assert runner.advance(waits_elsewhere=True).status == "running"
    assert runner.due_seconds == 30
