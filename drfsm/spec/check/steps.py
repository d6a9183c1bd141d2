"""What can happen next: the rules of the engine, stated once, over sets of worlds.

A *control* is where a run stands but for the facts: its state, what an abort would undo, which actions are begun and
not committed, which requests may still land, and which row's guards are being read. Before another row's guards are
read, all that may still land is *settled* (journal/settling.py has the engine's rule). From a control and worlds

    local     the world moves, a part of an action that was begun takes effect, an undo gives a part back: the control
              stays
    onward    guards are read one after the other, an intent is written, a commit, an abort: the control changes

What the engine does is in engine/step.py and runner.py; where this table says less than they forbid, the search looks
at more than can happen, never at less. Called by search.py.
"""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from drfsm.spec.check.domain import Mask, Worlds, meet
from drfsm.spec.check.moves import Event, Judging, Move, Moves, undo_key, undo_name
from drfsm.spec.model import By, Effect, Row

Image = tuple[str, ...]  # the values of the followed facts that a row sets, before its action


class Begun(NamedTuple):
    """An action: of an open intent, of an undo, or of a request that may land late."""

    row: int
    image: Image
    settled: bool = False  # of an open intent: nothing that was sent for it can land any more
    final: bool = False  # of an open intent: with it the point of no return was passed


class Reading(NamedTuple):
    """How far a row's reading is: of its guards, or of what its action should have set."""

    row: int
    judging: int  # the number of the way in which its guards hold; -1: it reads what the action should have set
    done: int  # how many readings


class Control(NamedTuple):
    """Where a run stands, but for the facts."""

    state: str
    undo: tuple[Begun, ...] = ()
    no_return: bool = False
    open: tuple[Begun, ...] = ()
    late: tuple[Begun, ...] = ()
    reading: Reading | None = None


class Step(NamedTuple):
    """One step: what happens, where the run stands then, and which of the worlds it leads to."""

    event: Event
    control: Control
    worlds: Worlds


class Steps:
    """All steps of one machine while some facts are followed. ``relevant``: the states that matter."""

    def __init__(self, moves: Moves, relevant: frozenset[str], left_out: Collection[int] = ()) -> None:
        """Sort the rows by their states, without those whose numbers are ``left_out``."""
        self._moves, self._spec, self._relevant = moves, moves.spec, relevant
        self._loops = self._spec.undo_states
        self._undoing = bool(self._loops & relevant)
        self._rows_of: dict[str, list[int]] = {state: [] for state in self._spec.states}
        for number, row in enumerate(self._spec.rows):
            if row.foreach is None and number not in left_out:
                self._rows_of[row.source].append(number)
        loops = [row for number, row in enumerate(self._spec.rows) if row.foreach and number not in left_out]
        self._undo_rows = {row.source: row for row in loops if row.by is By.RUNNER}
        self._waivers = {row.source: row for row in loops if row.by is By.OPERATOR}
        alike: dict[object, int] = {}
        self._alike = [
            alike.setdefault((undo_key(row), tuple(sorted(row.sets.items())), row.compares), number)
            for number, row in enumerate(self._spec.rows)
        ]
        # One undo gives back whichever row it was: the first that it could be stands for all of them.
        undone: dict[object, int] = {}
        self._undone_as = [undone.setdefault(undo_key(row), number) for number, row in enumerate(self._spec.rows)]
        self._untouched = {
            number for number, row in enumerate(self._spec.rows) if self._spec.goes_straight_to_undo(row)
        }
        self._local: dict[object, tuple[Move, ...]] = {}
        self._masks: dict[tuple[int, int, frozenset[str]], tuple[Mask, ...]] = {}
        self._back: dict[Begun, tuple[Move, ...]] = {}
        self._changing: dict[tuple[int, ...], frozenset[str]] = {}
        # A commit that comes late matters where the world can do before it what it can't after it.
        differs = any(states and move.change for states, move in moves.world)
        self._comes_late = [
            (differs or row.to in self._spec.finals or bool(row.amends or row.notes))
            and bool(moves.variable & set(names))
            for row, names in zip(self._spec.rows, moves.image_facts, strict=True)
        ]
        self.taken: set[str] = set()

    def at_first(self) -> Control:
        """Return where every run begins."""
        return Control(self._spec.initial)

    # --- what happens while the run stays where it is --------------------------------------------------

    def local(self, control: Control) -> tuple[Move, ...]:
        """Return the moves after which the control is the same."""
        if control.state in self._spec.finals:
            return ()
        undoing = control.undo[-1:] if control.state in self._undo_rows else ()
        late = tuple(action for action in control.late if not self._undoes_again(control, action))
        unsettled = tuple(action.row for action in control.open if not action.settled)
        read = self._read_as_set(control)
        key = (control.state, unsettled, late, undoing, read)
        if key not in self._local:
            world = [move for states, move in self._moves.world if not states or control.state in states]
            begun = [move for row in unsettled for move in self._moves.effects[row] if not self._is_over(move, read)]
            back = [move for action in undoing for move in self._given_back(action)]
            landing = [
                Move(self._lands(action, move), move.when, move.change)
                for action in late
                for move in self._moves.effects[action.row]
            ]
            moves = (*world, *begun, *landing, *back)
            self._local[key] = tuple(move for move in moves if move.change)
        return self._local[key]

    def _read_as_set(self, control: Control) -> frozenset[str]:
        """Return the facts that were read as the newest action sets them, while its commit is missing.

        What it sends to them is conditional, and so can't take effect any more: it has, or somebody else has written.
        """
        reading = control.reading
        if reading is None or reading.judging >= 0 or self._spec.rows[reading.row].lands_late:
            return frozenset()
        return self._moves.read_again(reading.row, reading.done)

    def _is_over(self, move: Move, read: frozenset[str]) -> bool:
        return bool(read and move.change.sets) and all(name in read for name, _ in move.change.sets)

    def _given_back(self, action: Begun) -> tuple[Move, ...]:
        if action not in self._back:
            self._back[action] = self._moves.back(action.row, action.image)
        return self._back[action]

    # --- what moves it on ---------------------------------------------------------------------------------

    def onward(self, control: Control, worlds: Worlds) -> Iterator[Step]:
        """Yield the steps that change the control, each with the worlds that it leads to."""
        if control.state in self._spec.finals:
            return
        yield from self._land(control, worlds)
        if control.reading:
            yield from self._read_on(control, control.reading, worlds)
            return
        if any(True for _ in _in_flight(control)):
            settled = tuple(action._replace(settled=True) for action in control.open)
            event = Event("run", "what was sent without an answer is shut out, or waited for", stage="settle")
            yield Step(event, control._replace(open=settled, late=()), worlds)
        if control.open:
            yield from self._end(control, control.open[-1], worlds)
        if control.undo and control.state in self._loops:
            yield from self._undo(control, control.undo[-1], worlds)
        for number in self._rows_of[control.state]:
            if self._may(control, number):
                for judging in self._moves.judgings[number]:
                    yield from self._judge(control, judging, number, 0, worlds)

    def _may(self, control: Control, number: int) -> bool:
        """Whether the engine could take a row here, whatever its guards."""
        row = self._spec.rows[number]
        if control.open:
            begun = self._spec.rows[control.open[-1].row]
            final = begun.point_of_no_return or begun.effect is Effect.ONCE
            passes = row.by is By.OPERATOR or (row.by is By.FAILURE and row.overrides_open_intent)
            if not passes or final or control.open[-1].row == number:
                return False
            if len(control.open) > 1 and row.to not in self._loops:
                return False
        if not self._is_clear(control, number):
            return False
        if control.undo and row.source in self._loops and row.by is By.RUNNER:
            return False
        return not (control.no_return and row.to in self._loops)

    def _is_clear(self, control: Control, number: int) -> bool:
        """Whether nothing is in flight but what the row itself sent. What leads straight to undoing does not ask."""
        own = self._alike[number]
        return number in self._untouched or all(self._alike[action.row] == own for action in _in_flight(control))

    def _judge(self, control: Control, judging: Judging, number: int, done: int, worlds: Worlds) -> Iterator[Step]:
        """Yield the next reading of a row's guards; after the last the row is begun."""
        row = judging.row
        if not done and (row.by is By.RUNNER or row.point_of_no_return):
            worlds = self._moves.look(worlds)
        masks = self._reading_masks(control, number, judging)
        worlds = meet(worlds, masks[done])
        if not worlds:
            return
        acts = bool(row.action and row.sets)
        steady = len(masks) == 1 and not self._changes_meanwhile(control, judging)
        if done + 1 < len(masks) or not (acts or steady):
            read = Event(_by(row), f"{row.trigger} reads", row.key, "read", judging.needs)
            yield Step(read, control._replace(reading=Reading(number, judging.number, done + 1)), worlds)
            return
        yield from (self._begin(control, judging, number, worlds) if acts else self._pass(control, judging, worlds))

    def _reading_masks(self, control: Control, number: int, judging: Judging) -> tuple[Mask, ...]:
        moving = self._moving(control)
        key = (number, judging.number, moving)
        if key not in self._masks:
            self._masks[key] = judging.steps(self._moves.domain, moving)
        return self._masks[key]

    def _moving(self, control: Control) -> frozenset[str]:
        """Return the facts that may change while a row's guards are read."""
        rows = tuple(action.row for action in _in_flight(control))
        if rows not in self._changing:
            begun = {name for row in rows for name in self._spec.rows[row].sets}
            more = self._spec.depending_on(begun) if begun else set()
            self._changing[rows] = self._moves.variable | more
        return self._changing[rows]

    def _changes_meanwhile(self, control: Control, judging: Judging) -> bool:
        moving = self._moving(control)
        return any(name in moving for name, _ in judging.reads)

    def _read_on(self, control: Control, reading: Reading, worlds: Worlds) -> Iterator[Step]:
        stays = control._replace(reading=None)
        if reading.judging < 0:
            yield from self._commit(stays, reading.done, worlds)
            return
        judging = self._moves.judgings[reading.row][reading.judging]
        if reading.done < len(self._reading_masks(control, reading.row, judging)):
            yield from self._judge(stays, judging, reading.row, reading.done, worlds)
        else:
            yield from self._pass(stays, judging, worlds)

    def _pass(self, control: Control, judging: Judging, worlds: Worlds) -> Iterator[Step]:
        """Yield the commit of a row that changes nothing."""
        row, worlds = judging.row, self._moves.passed(worlds)
        self.taken.add(row.key)
        if row.to not in self._relevant:
            return
        words = f"{row.trigger}: {row.source} -> {row.to}"
        event = Event(_by(row), words, row.key, "commit", judging.needs, self._moves.amended_beside(judging))
        yield Step(event, self._moved(control, row, control.open), self._moves.amend(judging, worlds))

    def _begin(self, control: Control, judging: Judging, number: int, worlds: Worlds) -> Iterator[Step]:
        """Yield the intent of an action, by what its facts were before."""
        row, worlds = judging.row, self._moves.passed(worlds)
        self.taken.add(row.key)
        beside = self._moves.begun_beside(row)
        event = Event(_by(row), f"{row.trigger} begins", row.key, "begin", judging.needs, beside, undo_name(row))
        no_return = control.no_return or row.point_of_no_return
        for image, part in self._images(control, judging, number, worlds):
            action = Begun(number, image)
            undo = self._pushed(control.undo, action) if row.undo else control.undo
            final = row.point_of_no_return and not control.no_return
            opened = action._replace(settled=not self._moves.effects[number], final=final)
            after = control._replace(undo=undo, no_return=no_return, open=(*control.open, opened))
            yield Step(event, after, part)

    def _images(
        self, control: Control, judging: Judging, number: int, worlds: Worlds
    ) -> Iterator[tuple[Image, Worlds]]:
        """Yield what an action's facts may be recorded to be before it, with the worlds of each.

        What the guards have read already is not read again: such a fact may be another by now.
        """
        domain, wanted, moving = self._moves.domain, dict(judging.reads), self._moving(control)
        split: list[tuple[Image, Worlds]] = [((), worlds)]
        for name in self._moves.image_facts[number]:
            earlier = wanted.get(name, ()) if name in moving else ()
            values = [value for value in domain.variables[name].values if value in (earlier or (value,))]
            split = [
                ((*image, value), part if earlier else meet(part, domain.where(name, value)))
                for image, part in split
                for value in values
            ]
        yield from ((image, part) for image, part in split if part)

    def _pushed(self, undo: tuple[Begun, ...], action: Begun) -> tuple[Begun, ...]:
        """Return the undo stack with an action, of which it keeps one entry only; without, where it undoes nothing."""
        rows = self._spec.rows
        matters = self._undoing and (action.image or self._given_back(action))
        known = {undo_key(rows[other.row]) for other in undo}
        if not matters or undo_key(rows[action.row]) in known:
            return undo
        return (*undo, Begun(self._undone_as[action.row], action.image))

    def _moved(self, control: Control, row: Row, behind: tuple[Begun, ...]) -> Control:
        """Return where the run stands once a row is committed in front of what is still open."""
        if row.to == row.source:
            return control._replace(open=behind)
        return self._dropped(control, behind)._replace(state=row.to)

    def _dropped(self, control: Control, given_up: tuple[Begun, ...]) -> Control:
        """Return a control whose open intents are given up: what was sent for them may land until it is settled."""
        for action in given_up:
            if not action.settled:
                control = self._sent(control, action)
        return control._replace(open=())

    def _sent(self, control: Control, action: Begun) -> Control:
        """Return a control in which requests of an action may still land."""
        row = self._spec.rows[action.row]
        known = (other.image for other in control.undo if undo_key(self._spec.rows[other.row]) == undo_key(row))
        undoable = self._undoing and row.undo  # else nobody asks what was before it
        sent = Begun(self._alike[action.row], next(known, action.image) if undoable else ())
        if not self._moves.effects[action.row] or any(other.row == sent.row for other in control.late):
            return control
        return control._replace(late=tuple(sorted((*control.late, sent))))

    def _end(self, control: Control, action: Begun, worlds: Worlds) -> Iterator[Step]:
        """Yield what becomes of the newest open intent: committed, closed as not done, or begun again."""
        yield from self._commit(control, 0, worlds)
        row, closed = self._spec.rows[action.row], control._replace(open=control.open[:-1])
        if action.final and row.can_be_given_up:
            closed = closed._replace(no_return=False)
        if as_before := meet(worlds, self._moves.image_mask(action.row, action.image)):
            if row.effect is Effect.ONCE:
                event = Event("person", f"a person says that {row.trigger} was not done", row.key, "fail")
            else:
                event = Event("run", f"{row.trigger} failed and changed nothing", row.key, "fail")
            yield Step(event, closed, as_before)  # else it stays open: engine/step.py
        if action.settled and self._moves.effects[action.row]:
            event = Event("run", f"{row.trigger} is tried again", row.key, "again")
            yield Step(event, control._replace(open=(*closed.open, action._replace(settled=False))), worlds)

    def _commit(self, control: Control, done: int, worlds: Worlds) -> Iterator[Step]:
        """Yield the next reading of what an action should have set; after the last comes the commit."""
        action = control.open[-1]
        row = self._spec.rows[action.row]
        if row.to not in self._relevant:
            return
        masks = self._moves.commit_steps(action.row)
        if done < len(masks):
            worlds = meet(worlds, masks[done])
            if not worlds:
                return
            if done + 1 < len(masks) or self._comes_late[action.row]:
                event = Event("run", f"{row.trigger} is read again", row.key, "read")
                yield Step(event, control._replace(reading=Reading(action.row, -1, done + 1)), worlds)
                return
        after, words = self._moved(control, row, control.open[:-1]), f"{row.trigger}: {row.source} -> {row.to}"
        if row.point_of_no_return and row.to not in self._loops:  # nothing leads to undoing any more
            after = after._replace(undo=())
        reached = self._moves.set_beside(row.sets)
        amended = {str(judging.amended): judging for judging in self._moves.judgings[action.row]}
        afters = dict.fromkeys((after, self._sent(after, action)) if row.lands_late else (after,))
        for judging in amended.values():
            beside = (*reached, *self._moves.amended_beside(judging))
            event = Event(_by(row), words, row.key, "commit", self._moves.needs_of(row.sets), beside)
            for control_after in afters:
                yield Step(event, control_after, self._moves.amend(judging, worlds))

    def _land(self, control: Control, worlds: Worlds) -> Iterator[Step]:
        """Yield what a late request does whose action was undone: it is to be undone again."""
        if control.state not in self._loops:
            return
        for action in control.late:
            if self._undoes_again(control, action):
                after = control._replace(undo=self._pushed(control.undo, action))
                for move in self._moves.effects[action.row]:
                    if part := meet(worlds, move.when):
                        yield Step(self._lands(action, move), after, move.change(part))

    def _undoes_again(self, control: Control, action: Begun) -> bool:
        """Whether a late request changes what an abort has undone already."""
        undoable = bool(self._spec.rows[action.row].undo) and control.state in self._loops
        return undoable and self._pushed(control.undo, action) != control.undo

    def _lands(self, action: Begun, move: Move) -> Event:
        row = self._spec.rows[action.row]
        words, beside = f"{row.trigger} lands late", (*move.event.beside, *self._moves.begun_beside(row))
        return Event("late", words, row.key, "effect", move.event.needs, beside)

    def _undo(self, control: Control, action: Begun, worlds: Worlds) -> Iterator[Step]:
        row = self._spec.rows[action.row]
        after = self._dropped(control, control.open)._replace(undo=control.undo[:-1])
        after = after._replace(late=tuple(other for other in after.late if not self._is_shut_out(other, row)))
        if loop := self._undo_rows.get(control.state):
            self.taken.add(loop.key)
            if part := meet(worlds, self._moves.image_mask(action.row, action.image)):
                event = Event("run", loop.trigger, loop.key, "commit", undo=undo_name(row), gives_back=True)
                yield Step(event, after, part)
        if waiver := self._waivers.get(control.state):
            self.taken.add(waiver.key)
            event = Event("person", waiver.trigger, waiver.key, "commit", undo=undo_name(row))
            yield Step(event, after, worlds)

    def _is_shut_out(self, action: Begun, undone: Row) -> bool:
        """Whether an undo shuts a late request out before it begins."""
        row = self._spec.rows[action.row]
        return not row.lands_late and undo_key(row) == undo_key(undone)


def _in_flight(control: Control) -> Iterator[Begun]:
    """Yield the actions of which something that was sent may still land."""
    yield from (action for action in control.open if not action.settled)
    yield from control.late


def _by(row: Row) -> str:
    return "person" if row.by is By.OPERATOR else "run"
