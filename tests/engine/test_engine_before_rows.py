"""Before another row's guards are read, nothing that was sent without an answer can land any more."""

from typing import Any

import pytest
from attrs import define, evolve, field

from drfsm.engine import Binding, Fact, Late, MemoryJournal, NoLease, Run, Runner
from drfsm.engine.late import SETTLE_SECONDS
from drfsm.errors import ActionFailed, IllegalTransition, Unreachable
from drfsm.evidence.audit import Verdict, audit
from drfsm.journal import Record, encode
from drfsm.spec import MachineSpec, load_machine
from drfsm.testing.fuse import Crash, MemoryClock

TAP_TEXT = """
machine: tap
because: "A tap that may only be left alone while it is shut"
initial: start
finals: {done: complete}
facts:
  tap: {values: [shut, open], initial: [shut]}
guards:
  tap_is_shut: {requires: {tap: shut}, because: "Water would flow"}
  tap_is_open: {requires: {tap: open}, because: "No water flows"}
transitions:
  - {from: start, trigger: turn, to: opened, action: turn, sets: {tap: open}, effect: idempotent, lands_late: true,
     not_undone_because: "it stays", because: "Water"}
  - {from: opened, trigger: look, to: seen, guards: [tap_is_open], because: "Water flows"}
  - {from: [seen, left], trigger: finish, to: done, because: "It is over"}
  - {from: start, trigger: leave, to: left, by: operator, guards: [tap_is_shut], because: "It is left alone"}
  - {from: start, trigger: give_up, to: left, by: failure, guards: [tap_is_shut], because: "It is given up"}
"""
TAP = load_machine(TAP_TEXT)
ONCE = TAP_TEXT.replace("effect: idempotent", "effect: once")
UNCONDITIONAL = {"turn": Late(settles="a turn has no condition")}


@define
class Tap:
    """A tap with a version, and a turn on its way."""

    tap: str = "shut"
    version: int = 0
    sent: int | None = None
    faults: list[BaseException] = field(factory=list)
    answers: bool = True
    touches: int = 0

    def lands(self, *, conditional: bool) -> None:
        """Let the turn on its way land, unless its condition fails."""
        if self.sent is not None and (not conditional or self.sent == self.version):
            self.tap = "open"
        self.sent = None


@define
class Naps(MemoryClock):
    """A clock in whose pauses the turn on its way lands."""

    tap: Tap | None = None

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        MemoryClock.sleep(self, seconds)
        if self.tap is not None:
            self.tap.lands(conditional=False)


def _turn(tap: Tap, _run: Run) -> None:
    if tap.faults:
        tap.sent = tap.version
        raise tap.faults.pop(0)
    tap.tap = "open"


def _touch(tap: Tap, _run: Run) -> None:
    if not tap.answers:
        raise Unreachable("the tap does not answer")
    tap.version += 1
    tap.touches += 1


CONDITIONAL = {"turn": Late(_touch)}


@define
class Bench:
    """One run of the tap, taken up by one process after another."""

    late: dict[str, Late]
    spec: MachineSpec = TAP
    tap: Tap = field(factory=Tap)
    journal: MemoryJournal = field(factory=MemoryJournal)
    clock: MemoryClock = field(factory=MemoryClock)
    lease: NoLease = field(factory=NoLease)

    def runner(self) -> Runner:
        """Return the next process."""
        fact = Fact(lambda tap, _run: tap.tap, lambda seen, _inputs: seen)
        bound = Binding({"tap": fact}, {"turn": _turn}, late=self.late)
        return Runner(self.spec, bound, self.tap, self.journal, clock=self.clock, lease=self.lease, operator="ann")

    def begun(self, *faults: BaseException) -> None:
        """Start the run; the turn fails so."""
        self.tap.faults = list(faults)
        if isinstance(faults[0], Crash):
            with pytest.raises(Crash):
                self.runner().start({})
        else:
            self.runner().start({})

    @property
    def settled(self) -> list[str]:
        """How requests were settled, in order."""
        return [record.body["how"] for record in self.journal.records() if record.kind == "settled"]

    def audit(self, records: list[Record] | None = None) -> Verdict:
        """Return what the audit says of these records."""
        copy, lines = MemoryJournal(), b""
        for record in self.journal.records() if records is None else records:
            lines += encode(Record(len(copy.records()), record.kind, record.at, record.body), copy.head)
            copy.append(record.kind, record.body, record.at)
        return audit(lines, self.spec, judges={"tap": lambda seen, _inputs: seen}, late=self.late)


def test_a_turn_that_nobody_saw_the_end_of_is_touched_before_a_persons_row_reads_its_guards() -> None:
    """The request is refused whenever it lands; the record of that stands before the row's."""
    bench = Bench(CONDITIONAL)
    bench.begun(Crash("here"))
    assert bench.runner().request("leave").status == "complete"
    kinds = [record.kind for record in bench.journal.records()]
    assert bench.settled == ["touched"]
    assert kinds.index("settled") < kinds.index("commit")
    bench.tap.lands(conditional=True)
    assert bench.tap.tap == "shut"
    assert bench.audit().ok


def test_a_turn_that_lands_while_it_is_waited_for_is_committed_and_refuses_the_row_that_it_excludes() -> None:
    """What was begun is done: the person's row is not legal any more, and the run stands behind the turn."""
    tap = Tap()
    bench = Bench(UNCONDITIONAL, tap=tap, clock=Naps(tap=tap))
    bench.begun(Crash("here"))
    runner = bench.runner()
    with pytest.raises(IllegalTransition):
        runner.request("leave")
    assert (runner.state.state, bench.settled, tap.tap) == ("opened", ["read_again"], "open")
    assert bench.runner().resume().status == "complete"
    assert bench.audit().ok


def test_a_turn_that_failed_without_an_answer_stays_open_and_no_failures_row_is_taken() -> None:
    """It may still take effect, so the run does not go on as if nothing had been begun."""
    bench = Bench(UNCONDITIONAL)
    bench.begun(ActionFailed("no answer", fault="drfsm"))
    runner = bench.runner()
    assert (runner.state.status, runner.state.state, bench.settled) == ("held", "start", [])
    assert runner.state.open is not None
    bench.tap.lands(conditional=False)
    assert runner.resume().status == "complete"
    assert bench.audit().ok


def test_a_turn_that_was_answered_is_neither_touched_nor_waited_for() -> None:
    """A run in which every request was answered pays nothing."""
    bench = Bench(UNCONDITIONAL)
    bench.begun(ActionFailed("refused"))
    assert (bench.runner().state.status, bench.settled, bench.clock.naps) == ("complete", [], [])
    assert bench.audit().ok


def test_a_turn_that_was_done_again_is_waited_for_if_it_has_no_condition() -> None:
    """The first request could turn the tap again after the next row; nothing is said to be open for that."""
    bench = Bench(UNCONDITIONAL)
    bench.begun(Crash("here"))
    runner = bench.runner()
    assert runner.resume().status == "complete"
    assert (bench.settled, runner.state.not_excluded) == (["waited"], ())
    assert sum(bench.clock.naps) == pytest.approx(SETTLE_SECONDS, abs=0.3)
    assert bench.audit().ok


def test_a_process_that_is_stopped_while_it_waits_leaves_the_wait_to_the_next_one() -> None:
    """Nothing was read, nothing was moved; whoever goes on waits."""

    class Stopping(MemoryClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            raise Crash("while it waited")

    bench = Bench(UNCONDITIONAL, clock=Stopping())
    bench.begun(Crash("here"))
    with pytest.raises(Crash):
        bench.runner().request("leave")
    bench.clock = MemoryClock()
    assert bench.runner().request("leave").status == "complete"
    assert bench.settled == ["read_again"]
    assert sum(bench.clock.naps) == pytest.approx(SETTLE_SECONDS, abs=0.3)
    assert bench.audit().ok


def test_what_can_not_be_touched_stops_no_row_and_is_tried_again_before_the_end() -> None:
    """A lost site is passed by a person's row; it is told until the touch works."""
    bench = Bench(CONDITIONAL)
    bench.begun(Crash("here"))
    bench.tap.answers = False
    runner = bench.runner()
    assert runner.request("leave").status == "complete"
    assert bench.settled == ["not_excluded", "not_excluded"]
    assert len(runner.state.not_excluded) == 1
    assert bench.audit().ok


def test_what_is_touched_before_the_end_is_not_told_any_more() -> None:
    """The site answers again."""
    bench = Bench(CONDITIONAL)
    bench.begun(Crash("here"))
    bench.tap.answers = False

    def answers(record: Record, _state: Any) -> None:
        bench.tap.answers = bench.tap.answers or record.kind == "commit"

    fact = Fact(lambda tap, _run: tap.tap, lambda seen, _inputs: seen)
    bound = Binding({"tap": fact}, {"turn": _turn}, late=bench.late)
    runner = Runner(
        bench.spec, bound, bench.tap, bench.journal, clock=bench.clock, lease=bench.lease, on_record=[answers]
    )
    assert runner.request("leave").status == "complete"
    assert (bench.settled, runner.state.not_excluded) == (["not_excluded", "touched"], ())
    assert bench.audit().ok


def test_a_persons_word_that_it_was_not_done_is_recorded_once_nothing_can_contradict_it() -> None:
    """An action that may be done once: what was sent has had its time before the word closes its intent."""
    bench = Bench(UNCONDITIONAL, spec=load_machine(ONCE))
    bench.begun(Crash("here"))
    assert bench.runner().resume().status == "held"
    assert bench.runner().resolve("not_done", "looked at it").status == "complete"
    kinds = [record.kind for record in bench.journal.records()]
    assert kinds.index("settled") < kinds.index("resolved")
    assert sum(bench.clock.naps) == pytest.approx(SETTLE_SECONDS, abs=0.3)
    assert bench.audit().ok


def test_a_persons_word_that_it_was_not_done_is_refused_where_it_is_done_meanwhile() -> None:
    """It landed while the run waited, so the machine can tell by itself."""
    tap = Tap()
    bench = Bench(UNCONDITIONAL, spec=load_machine(ONCE), tap=tap, clock=Naps(tap=tap))
    bench.begun(Crash("here"))
    with pytest.raises(IllegalTransition, match="the machine can tell by itself"):
        bench.runner().resolve("not_done", "looked at it")
    assert bench.runner().resume().status == "complete"
    assert bench.audit().ok


@pytest.mark.parametrize(("version", "holds"), [("0.6.0", False), ("0.5.0", True)])
def test_the_audit_demands_it_of_this_version_and_not_of_earlier_ones(version: str, holds: bool) -> None:
    """A log of 0.5.0 settled before the end only: here with the record moved there."""
    bench = Bench(CONDITIONAL)
    bench.begun(Crash("here"))
    bench.runner().request("leave")
    records = [record for record in bench.journal.records() if record.kind not in ("settled", "seal")]
    late = next(record for record in bench.journal.records() if record.kind == "settled")
    end = next(number for number, record in enumerate(records) if record.body.get("trigger") == "finish")
    moved = [*records[:end], late, *records[end:]]
    moved[0] = evolve(moved[0], body={**moved[0].body, "version": version})
    verdict = bench.audit(moved)
    assert verdict.ok is holds
    if not holds:
        assert any(
            "leave was taken, and nothing shows that turn could not take effect" in line for line in verdict.lines()
        )
