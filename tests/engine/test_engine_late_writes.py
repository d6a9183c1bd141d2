"""When a late request is shut out or waited for: before its undo, before the end, and never for what has an answer."""

from collections.abc import Mapping
from typing import Any

import pytest
from attrs import define, field

from drfsm.engine import Binding, Fact, Late, MemoryJournal, NoLease, Run, Runner
from drfsm.engine.late import SETTLE_SECONDS
from drfsm.errors import ActionFailed, Unreachable
from drfsm.evidence.audit import Verdict, audit
from drfsm.journal import encode
from drfsm.spec import load_machine
from drfsm.testing.fuse import Crash, MemoryClock

LAMP = load_machine("""
machine: lamp
because: "A lamp"
initial: dark
finals: {lit: complete, dark_again: aborted}
facts:
  lamp: {values: [on, off], initial: [off]}
transitions:
  - {from: dark, trigger: press, to: pressed, action: press, sets: {lamp: on}, effect: idempotent, undo: release,
     lands_late: true, because: "It is pressed"}
  - {from: pressed, trigger: finish, to: lit, because: "It is lit"}
  - {from: [dark, pressed], trigger: abort, to: going, by: operator, because: "Back"}
  - {from: going, trigger: undo_newest, to: going, foreach: undo, because: "Newest first"}
  - {from: going, trigger: finish_abort, to: dark_again, because: "As before"}
  - {from: going, trigger: waive_undo, to: going, by: operator, foreach: undo, because: "Waived"}
""")


@define
class Room:
    """A lamp with a version; a press that is sent, and lands when the test wants it."""

    lamp: str = "off"
    version: int = 0
    sent: int | None = None  # the version that a press on its way was sent for
    fault: BaseException | None = None
    log: list[str] = field(factory=list)

    def put(self, lamp: str) -> None:
        """Write."""
        self.lamp, self.version = lamp, self.version + 1

    def lands(self, *, conditional: bool = True) -> bool:
        """Let the press on its way land; return whether it was taken."""
        taken = not conditional or self.sent == self.version
        if taken:
            self.put("on")
        self.sent = None
        return taken


class Landing(MemoryClock):
    """A clock in whose naps an unconditional press lands."""

    def __init__(self, room: Room) -> None:
        super().__init__()
        self._room = room

    def sleep(self, seconds: float) -> None:
        """Let time pass, and the press land."""
        super().sleep(seconds)
        if self._room.sent is not None:
            self._room.lands(conditional=False)


def _press(room: Room, _run: Run) -> None:
    if room.fault is not None:
        room.sent, fault, room.fault = room.version, room.fault, None
        raise fault
    room.put("on")


def _release(room: Room, run: Run) -> None:
    room.log.append("undone")
    room.put(run.undoing["lamp"])


def _touch(room: Room, _run: Run) -> dict[str, Any]:
    room.log.append("touched")
    room.put(room.lamp)
    return {"touched": ["lamp"]}


@define
class Bench:
    """One run of the lamp, taken up by one process after another."""

    late: dict[str, Late]
    room: Room = field(factory=Room)
    journal: MemoryJournal = field(factory=MemoryJournal)
    clock: MemoryClock = field(factory=MemoryClock)
    lease: NoLease = field(factory=NoLease)

    def runner(self) -> Runner:
        """Return the next process."""
        fact = Fact(lambda room, _run: room.lamp, lambda seen, _inputs: seen)
        made = Binding({"lamp": fact}, {"press": _press, "release": _release}, late=self.late)
        return Runner(LAMP, made, self.room, self.journal, clock=self.clock, lease=self.lease, operator="ann")

    def begun(self, fault: BaseException) -> None:
        """Start the run, and let its press fail so."""
        self.room.fault = fault
        runner = self.runner()
        if isinstance(fault, Crash):
            with pytest.raises(Crash):
                runner.start({})
        else:
            assert runner.start({}).status == "held"

    def settled(self) -> list[str]:
        """Return how things were settled, in order."""
        return [record.body["how"] for record in self.journal.records() if record.kind == "settled"]

    def holds(self) -> bool:
        """Whether the audit finds no fault."""
        return self.audit().ok

    def audit(self) -> Verdict:
        """Return what the audit says."""
        copy, lines = MemoryJournal(), b""
        for record in self.journal.records():
            lines += encode(record, copy.head)
            copy.append(record.kind, record.body, record.at)
        return audit(lines, LAMP, judges={"lamp": lambda seen, _inputs: seen}, late=self.late)


CONDITIONAL = {"press": Late(_touch), "release": Late(_touch)}
UNCONDITIONAL = {"press": Late(settles="a press has no condition"), "release": Late(settles="likewise")}


@pytest.mark.parametrize("fault", [Crash("here"), Unreachable("no answer")], ids=["killed", "unanswered"])
def test_a_press_that_nobody_saw_the_end_of_is_touched_before_its_undo(fault: BaseException) -> None:
    """The undo finds nothing to do; the late press is refused; the record says so, and the audit agrees."""
    bench = Bench(CONDITIONAL)
    bench.begun(fault)
    assert bench.runner().abort("no").status == "aborted"
    assert bench.room.log == ["touched"]
    assert bench.settled() == ["touched"]
    assert not bench.room.lands()
    assert bench.room.lamp == "off"
    assert bench.holds()


def test_a_press_that_was_answered_with_a_refusal_is_not_touched() -> None:
    """Nothing of it is on its way."""
    bench = Bench(CONDITIONAL)
    bench.begun(ActionFailed("no"))
    assert bench.runner().abort("no").status == "aborted"
    assert bench.room.log == []
    assert bench.settled() == []


def test_a_press_that_was_done_again_is_neither_touched_nor_waited_for() -> None:
    """One of two requests for the same version wins; the other is refused."""
    bench = Bench(CONDITIONAL)
    bench.begun(Crash("here"))
    assert bench.runner().resume().status == "complete"
    assert bench.settled() == []
    assert not bench.room.lands()


def test_an_unconditional_press_is_waited_for_and_told() -> None:
    """It did not land in the time that a request can take; nobody can exclude that it will."""
    bench = Bench(UNCONDITIONAL)
    bench.begun(Crash("here"))
    runner = bench.runner()
    assert runner.abort("no").status == "aborted"
    assert bench.clock.monotonic() >= SETTLE_SECONDS
    assert bench.settled() == ["read_again"]
    assert "a press has no condition" in runner.state.not_excluded[0]
    assert bench.holds()


def test_an_unconditional_press_that_lands_after_its_undo_is_undone_again() -> None:
    """It lands while the abort waits: the entry is on the undo stack again, and the end is as before."""
    room = Room()
    bench = Bench(UNCONDITIONAL, room, clock=Landing(room))
    bench.begun(Crash("here"))
    runner = bench.runner()
    assert runner.abort("no").status == "aborted"
    assert bench.settled() == ["landed_late"]
    assert (bench.room.lamp, bench.room.log) == ("off", ["undone"])
    assert runner.state.not_excluded == ()
    assert bench.holds()


def test_a_touch_that_is_not_possible_holds_the_undo_and_waived_it_is_told() -> None:
    """A person decides; the end says what may still take effect."""

    def unreachable(_room: Room, _run: Run) -> None:
        raise Unreachable("no answer")

    bench = Bench({"press": Late(unreachable), "release": Late(unreachable)})
    bench.begun(Crash("here"))
    assert bench.runner().abort("no").status == "held"
    runner = bench.runner()
    assert runner.request("waive_undo", {"reason": "so"}).status == "aborted"
    assert bench.settled() == ["not_excluded"]
    assert "no answer" in runner.state.not_excluded[0]
    assert bench.holds()


@pytest.mark.parametrize(("is_gone", "how", "waits"), [(True, "gone", False), (False, "read_again", True)])
def test_a_request_to_what_is_gone_is_not_waited_for(is_gone: bool, how: str, waits: bool) -> None:
    """What it was sent to does not exist any more, so it can't take effect; while that stands, it is waited for."""
    bench = Bench({**UNCONDITIONAL, "press": Late(settles="no condition", gone=lambda _room, _run: is_gone)})
    bench.begun(Crash("here"))
    runner = bench.runner()
    assert runner.abort("no").status == "aborted"
    assert bench.settled() == [how]
    assert (bench.clock.monotonic() >= SETTLE_SECONDS) is waits
    assert bool(runner.state.not_excluded) is waits
    assert bench.holds()


# --- what another run left open ---------------------------------------------------------------------------------


class TakenOver(NoLease):
    """A lease that was taken over from a run that left these rows open."""

    def __init__(self, *left_open: str, by_process: int = 1) -> None:
        super().__init__()
        self._left_open, self._by_process = left_open, by_process

    @property
    def taken_from(self) -> Mapping[str, Any]:
        """From whom it was taken: by the first process, or a later one, and not again by those that resume."""
        taken = {"run_id": "lamp-0", "why": "taken_over", "left_open": list(self._left_open)}
        return taken if self._epoch == self._by_process else {}


def heir(late: dict[str, Late], *left_open: str, clock: MemoryClock | None = None) -> Bench:
    """Return a run that took the lease over, and whose predecessor's press is on its way."""
    bench = Bench(late, lease=TakenOver(*left_open), clock=clock or MemoryClock())
    bench.room.sent = bench.room.version
    return bench


def inherited(bench: Bench) -> list[str]:
    """Return how what was inherited was settled."""
    return [record.body["how"] for record in bench.journal.records() if record.kind == "predecessor_settled"]


def test_a_run_that_took_over_touches_everything_before_its_first_change() -> None:
    """The predecessor's press is refused whenever it lands, and the wait is spared: each request has a condition."""
    bench = heir(CONDITIONAL, "press")
    runner = bench.runner()
    assert runner.start({}).status == "complete"
    kinds = [record.kind for record in bench.journal.records()]
    assert kinds.index("predecessor_settled") < kinds.index("intent")
    assert bench.room.log == ["touched"]  # once, though two actions have the same touch
    assert inherited(bench) == ["touched"]
    assert not bench.room.lands()
    assert (bench.clock.naps, runner.state.not_excluded) == ([], ())
    assert bench.holds()


@pytest.mark.parametrize(
    ("late", "trigger"),
    [(UNCONDITIONAL, "press"), (CONDITIONAL, "a row of another machine")],
    ids=["without a condition", "of a row that this machine does not know"],
)
def test_a_run_that_took_over_waits_where_a_request_may_have_no_condition(late: dict[str, Late], trigger: str) -> None:
    """It changes nothing before the time that a request can take has passed, and the end tells what was left open."""
    bench = heir(late, trigger)
    runner = bench.runner()
    assert runner.start({}).status == "complete"
    assert bench.clock.monotonic() >= SETTLE_SECONDS
    assert inherited(bench) == ["waited"]
    assert f"lamp-0 ({trigger})" in runner.state.not_excluded[0]
    assert bench.holds()


def test_what_a_run_that_took_over_can_not_touch_is_told() -> None:
    """The run goes on by what its own guards see; its end says what may still take effect."""

    def unreachable(_room: Room, _run: Run) -> None:
        raise Unreachable("no answer")

    bench = heir({"press": Late(unreachable), "release": Late(_touch)}, "press")
    runner = bench.runner()
    assert runner.start({}).status == "complete"
    assert inherited(bench) == ["not_excluded"]
    assert "may still take effect: no answer" in runner.state.not_excluded[0]


def test_a_run_that_is_stopped_while_it_waits_for_its_predecessor_waits_again_when_it_goes_on() -> None:
    """The debt is on record: neither a stop nor another process loses it, and nothing was changed meanwhile."""

    class Stopping(MemoryClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            runner.interrupt()

    bench = heir(UNCONDITIONAL, "press", clock=Stopping())
    runner = bench.runner()
    assert runner.start({}).status == "held"
    assert (bench.room.lamp, inherited(bench)) == ("off", [])
    bench.clock = MemoryClock()
    assert bench.runner().resume().status == "complete"
    assert bench.clock.monotonic() >= SETTLE_SECONDS
    assert inherited(bench) == ["waited"]
    assert bench.holds()


def test_a_change_before_the_settlement_of_what_was_inherited_is_found_by_the_audit() -> None:
    """A log without that record does not hold."""
    bench = heir(CONDITIONAL, "press")
    bench.runner().start({})
    forged = MemoryJournal()
    for record in bench.journal.records():
        if record.kind not in ("predecessor_settled", "seal"):
            forged.append(record.kind, record.body, record.at)
    bench.journal = forged
    assert not bench.holds()
    assert any("before what the run lamp-0 left open is settled" in line for line in bench.audit().lines())


def test_a_run_that_inherits_settles_it_before_its_first_undo() -> None:
    """An abort is what changes the world next, and the predecessor's press must not land after it."""
    bench = Bench(CONDITIONAL, lease=TakenOver("press", by_process=2))
    bench.begun(Crash("here"))
    assert bench.room.lands()  # its own press
    assert bench.runner().abort("no").status == "aborted"
    kinds = [(record.kind, record.body.get("undoes")) for record in bench.journal.records()]
    undo = next(place for place, (kind, undoes) in enumerate(kinds) if kind == "intent" and undoes)
    assert kinds.index(("predecessor_settled", None)) < undo
    assert inherited(bench) == ["touched"]
    assert bench.holds()
    forged = MemoryJournal()
    for record in bench.journal.records():
        if record.kind not in ("predecessor_settled", "seal"):
            forged.append(record.kind, record.body, record.at)
    bench.journal = forged
    assert any("before what the run lamp-0 left open is settled" in line for line in bench.audit().lines())
