"""The point of no return is given up only where it changed nothing, and nothing of it can land any more."""

from collections.abc import Sequence
from typing import Any

import pytest
from attrs import define, evolve, field

from drfsm.engine import Binding, Fact, Late, MemoryJournal, NoLease, Run, Runner
from drfsm.errors import ActionFailed, IllegalTransition, Unreachable
from drfsm.evidence.audit import Verdict, audit
from drfsm.journal import Record, encode
from drfsm.spec import load_machine
from drfsm.testing.fuse import Crash, MemoryClock

DEED = load_machine("""
machine: deed
because: "A house is sold"
initial: offered
finals: {sold: complete, kept: aborted}
facts:
  door: {values: [open, shut], initial: [shut]}
  owner: {values: [old, half, new, stranger], initial: [old]}
guards:
  it_is_the_old_ones: {requires: {owner: old}, because: "Somebody else owns it"}
transitions:
  - {from: offered, trigger: open_door, to: shown, action: open_door, sets: {door: open}, effect: idempotent,
     undo: shut_door, because: "It is shown"}
  - {from: shown, trigger: sign, to: sold, guards: [it_is_the_old_ones], action: sign, sets: {owner: new},
     effect: idempotent, attempts: {max: 1}, point_of_no_return: true, because: "It is theirs"}
  - {from: [offered, shown], trigger: abort, to: going, by: operator, because: "Back"}
  - {from: going, trigger: undo_newest, to: going, foreach: undo, because: "Newest first"}
  - {from: going, trigger: finish_abort, to: kept, because: "As before"}
  - {from: going, trigger: waive_undo, to: going, by: operator, foreach: undo, because: "Waived"}
""")


@define
class House:
    """What is sold: each write of its owner is sent for a version, and refused for any other."""

    door: str = "shut"
    owner: str = "old"
    version: int = 0
    sent: int | None = None  # the version that a signature on its way was sent for
    fault: BaseException | None = None
    half: bool = False  # the fault comes when half of it is done
    touchable: bool = True

    def lands(self) -> bool:
        """Let the signature on its way land; return whether it was taken."""
        taken, self.sent = self.sent == self.version, None
        if taken:
            self.owner, self.version = "new", self.version + 1
        return taken


def _sign(house: House, _run: Run) -> None:
    fault, house.fault = house.fault, None
    if house.half:
        house.owner, house.half = "half", False
    if fault is not None:
        house.sent = None if isinstance(fault, ActionFailed) else house.version
        raise fault
    house.owner, house.version = "new", house.version + 1


def _touch(house: House, _run: Run) -> dict[str, Any]:
    if not house.touchable:
        raise Unreachable("no answer")
    house.version += 1
    return {"touched": ["owner"]}


def _door(position: str) -> Any:
    def move(house: House, _run: Run) -> None:
        house.door = position

    return move


@define
class Sale:
    """One run of the deed, taken up by one process after another."""

    house: House = field(factory=House)
    journal: MemoryJournal = field(factory=MemoryJournal)
    lease: NoLease = field(factory=NoLease)
    late: dict[str, Late] = field(factory=lambda: {"sign": Late(_touch)})

    def runner(self) -> Runner:
        """Return the next process."""
        facts = {
            "door": Fact(lambda house, _run: house.door, lambda seen, _inputs: seen),
            "owner": Fact(lambda house, _run: house.owner, lambda seen, _inputs: seen),
        }
        actions = {"open_door": _door("open"), "shut_door": _door("shut"), "sign": _sign}
        bound = Binding(facts, actions, late=self.late)
        return Runner(DEED, bound, self.house, self.journal, clock=MemoryClock(), lease=self.lease, operator="ann")

    def begun(self, fault: BaseException | None, *, half: bool = False) -> None:
        """Start the run, and let its signature fail so."""
        self.house.fault, self.house.half = fault, half
        if isinstance(fault, Crash):
            with pytest.raises(Crash):
                self.runner().start({})
        else:
            self.runner().start({})

    def audit(self, records: Sequence[Record] | None = None) -> Verdict:
        """Return what the audit says, of these records in place of the run's own."""
        copy, lines = MemoryJournal(), b""
        for record in self.journal.records() if records is None else records:
            record = evolve(record, seq=len(copy.records()))  # noqa: PLW2901  renumbered, as a forger would
            lines += encode(record, copy.head)
            copy.append(record.kind, record.body, record.at)
        judges = dict.fromkeys(("door", "owner"), lambda seen, _inputs: seen)
        return audit(lines, DEED, judges=judges, late=self.late)

    def settled(self) -> list[str]:
        """Return how things were settled, in order."""
        return [record.body["how"] for record in self.journal.records() if record.kind == "settled"]


@pytest.mark.parametrize("fault", [Crash("here"), Unreachable("no answer")], ids=["killed", "unanswered"])
def test_a_signature_that_nobody_saw_the_end_of_is_shut_out_and_given_up(fault: BaseException) -> None:
    """Nothing is seen of it, and its late request is refused: the abort is open, and gives everything back."""
    sale = Sale()
    sale.begun(fault)
    state = sale.runner().abort("no").status
    assert (state, sale.house.door, sale.house.owner) == ("aborted", "shut", "old")
    assert sale.settled() == ["touched"]
    assert not sale.house.lands()
    assert sale.audit().ok, sale.audit().findings


def test_a_run_that_is_held_offers_the_abort_only_once_nothing_can_land() -> None:
    """Held after an answer that nobody saw: it was shut out before the hold, so the hold names the abort."""
    sale = Sale()
    sale.begun(Unreachable("no answer"))
    held = sale.journal.records()[-1]
    assert [way["do"] for way in held.body["ways"]] == ["resume", "abort"]
    assert not sale.runner().state.forward_only
    assert sale.runner().resume().status == "complete"
    assert sale.audit().ok, sale.audit().findings


def test_a_request_without_an_answer_can_not_be_called_answered() -> None:
    """A log whose record of the touch says that nothing was on its way contradicts itself."""
    sale = Sale()
    sale.begun(Unreachable("no answer"))
    assert sale.settled() == ["touched"]
    forged = [
        evolve(record, body={**record.body, "how": "answered"}) if record.kind == "settled" else record
        for record in sale.journal.records()
    ]
    said = list(sale.audit(forged).lines())
    assert any("is said to be answered, but one was not" in line for line in said), said


def test_a_signature_that_was_refused_is_given_up_without_a_touch() -> None:
    """Its answer was seen: nothing of it is on its way."""
    sale = Sale()
    sale.begun(ActionFailed("the notary is out"))
    assert "abort" in sale.runner().next_actions()
    assert sale.runner().abort("no").status == "aborted"
    assert sale.settled() == []
    assert sale.audit().ok, sale.audit().findings


@pytest.mark.parametrize("fault", [Crash("here"), Unreachable("no answer"), ActionFailed("it tore")])
def test_what_is_half_done_is_never_given_up(fault: BaseException) -> None:
    """Half of it is seen: the only way is forward, and forward it goes."""
    sale = Sale()
    sale.begun(fault, half=True)
    with pytest.raises(IllegalTransition, match="point of no return"):
        sale.runner().abort("no")
    assert (sale.settled(), sale.house.door, sale.runner().state.forward_only) == ([], "open", True)
    assert sale.runner().resume().status == "complete"
    assert sale.audit().ok, sale.audit().findings


def test_what_was_put_back_by_hand_is_given_up_though_every_attempt_was_answered() -> None:
    """Half of it was done, or a stranger's; a person puts it back as it was before, and that closes the intent."""
    sale = Sale()
    sale.begun(ActionFailed("it tore"), half=True)
    sale.house.owner = "old"
    assert sale.runner().abort("no").status == "aborted"
    assert (sale.settled(), sale.house.door) == (["answered"], "shut")
    assert sale.audit().ok, sale.audit().findings


def test_what_lands_before_it_is_shut_out_is_committed_and_not_aborted() -> None:
    """The late signature lands while nobody works: the abort finds the house sold."""
    sale = Sale()
    sale.begun(Crash("here"))
    assert sale.house.lands()
    with pytest.raises(IllegalTransition, match="not legal in state sold"):
        sale.runner().abort("no")
    assert (sale.house.owner, sale.runner().state.status) == ("new", "complete")


def test_what_can_not_be_touched_is_not_given_up() -> None:
    """It may still land, so the abort stays refused, until a touch shuts it out."""
    sale = Sale()
    sale.house.touchable = False
    sale.begun(Crash("here"))
    with pytest.raises(IllegalTransition, match="point of no return"):
        sale.runner().abort("no")
    assert sale.settled() == ["not_excluded"]
    sale.house.touchable = True
    assert sale.runner().abort("no").status == "aborted"
    assert sale.runner().state.not_excluded == ()
    assert sale.audit().ok, sale.audit().findings


def test_what_has_no_condition_is_never_given_up() -> None:
    """A wait excludes nothing: the abort stays refused."""
    sale = Sale(late={"sign": Late(settles="a signature has no condition")})
    sale.begun(Crash("here"))
    with pytest.raises(IllegalTransition, match="point of no return"):
        sale.runner().abort("no")
    assert sale.settled() == []


@pytest.mark.parametrize("fault", [None, Unreachable("no answer"), ActionFailed("no")], ids=["done", "silent", "no"])
def test_killed_after_any_record_the_abort_gives_back_or_the_way_is_forward(fault: BaseException | None) -> None:
    """After each record of a run that is aborted, or completes: all is as before, or the house is sold."""
    whole = Sale()
    whole.begun(fault)
    if fault is not None:
        whole.runner().abort("no")
    for length in range(2, len(whole.journal.records())):
        kept = whole.journal.records()[:length]
        signs = [record for record in kept if record.kind in ("intent", "commit") and record.body["trigger"] == "sign"]
        shown = [record for record in kept if record.kind == "intent" and record.body["trigger"] == "open_door"]
        undone = [record for record in kept if record.body.get("undoes")]
        house = House("open" if shown and not undone else "shut", "new" if fault is None and signs else "old")
        sale = Sale(house, MemoryJournal(kept), whole.lease)
        try:
            sale.runner().abort("killed")
        except IllegalTransition:
            sale.runner().resume()
        state = sale.runner().state
        end = (state.status, sale.house.owner, sale.house.door)
        assert end in (("aborted", "old", "shut"), ("complete", "new", "open")), length
        assert (state.status == "complete") == bool(fault is None and signs), length
        assert sale.audit().ok, (length, sale.audit().findings)


def _aborted() -> tuple[Sale, list[Record]]:
    sale = Sale()
    sale.begun(Crash("here"))
    sale.runner().abort("no")
    return sale, list(sale.journal.records())


def test_the_audit_refuses_an_abort_after_a_signature_that_nobody_shut_out() -> None:
    """A forged log without the record of the touch: the undo is past the point of no return."""
    sale, records = _aborted()
    forged = [record for record in records if record.kind != "settled"]
    assert any("past the point of no return" in finding.what for finding in sale.audit(forged).findings)


@pytest.mark.parametrize("how", ["not_excluded", "read_again", "gone"])
def test_the_audit_refuses_an_abort_after_a_signature_that_was_not_touched(how: str) -> None:
    """A forged log in which it is not certain that the signature can't land: only a touch gives up."""
    sale, records = _aborted()
    forged = [evolve(r, body={**r.body, "how": how}) if r.kind == "settled" else r for r in records]
    assert any("past the point of no return" in finding.what for finding in sale.audit(forged).findings)


def test_the_audit_refuses_an_abort_after_a_signature_that_changed_something() -> None:
    """A forged log in which the touch saw half of it done."""
    sale, records = _aborted()
    half = {"owner": {"seen": "half", "value": "half"}}
    forged = [evolve(r, body={**r.body, "facts": half}) if r.kind == "settled" else r for r in records]
    assert any("past the point of no return" in finding.what for finding in sale.audit(forged).findings)


def test_the_audit_refuses_a_touch_of_what_has_no_condition() -> None:
    """A record says that a touch shut out a request which no touch can shut out."""
    sale, records = _aborted()
    sale.late = {"sign": Late(settles="a signature has no condition")}
    assert any("has no condition" in finding.what for finding in sale.audit(records).findings)


@pytest.mark.parametrize("version", ["0.4.0", "0.5.0"])
def test_in_a_run_of_an_earlier_version_the_intent_bars_the_abort_for_ever(version: str) -> None:
    """Such a run says nothing of giving up: its records are judged as they were written."""
    sale, records = _aborted()
    first = evolve(records[0], body={**records[0].body, "version": version})
    assert any("past the point of no return" in finding.what for finding in sale.audit([first, *records[1:]]).findings)
