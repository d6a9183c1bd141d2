"""Writes that land late: requests of an action whose process was killed, or gave up, before the world answered.

A request can take effect long after the process that sent it. Going on with the same action needs nothing here: what
it does again is written under the same conditions, so only one of the two requests can succeed. Going on with another
row is different: its guards would be read while the late request still can change what they see; and an undo that finds
nothing to undo writes nothing, so that the condition of the late request still holds. So BEFORE the guards of another
row are read, before an undo counts as done, and before a run ends, each such action is settled, as its binding says
(``Late``; journal/settling.py says which):

    touch     what the action could change gets a new version with the same content: the late request's condition fails
    settles   a request without a condition: wait as long as a request can take, then read the facts again; what landed
              meanwhile is undone again, where it was undone; what may still land is recorded in words, for a person

``RunState.in_flight`` (journal/replay.py) has the actions in question. A process that dies while it settles leaves them
there: whoever goes on settles them. What can't be touched, as its site does not answer, stops no row: it is recorded as
not excluded, and tried again before its undo and before the end.

A run that took the lease over from one that never ended (``RunState.predecessor``) inherits what that one had on its
way. It knows only the triggers, from records that anybody may have written; so BEFORE its first change it touches
everything that any action of its own machine could change, and waits where one of the requests may have no condition.
Called by step.py and runner.py.
"""

from collections.abc import Callable, Iterator
from typing import Any

from drfsm.engine.binding import Binding, Late, Run
from drfsm.engine.log import RunLog
from drfsm.engine.observer import Observer, Readings, recorded, values_of
from drfsm.engine.ports import Lease
from drfsm.errors import DrfsmError, EvidenceFault, Interrupted, LeaseLost
from drfsm.journal import InFlight, Undoable
from drfsm.journal.replay import covers
from drfsm.journal.settling import owed
from drfsm.spec.model import Row

SETTLE_SECONDS = 60.0
"""How long a request without a condition may take to land: kube-apiserver ends a request after one minute
(``--request-timeout``; a Runner is told where it is another), and no client of drfsm waits longer for an answer."""

_SAID_SECONDS = 2.0  # a wait that is longer is announced

Pause = Callable[[float, Row], None]

_UNCONDITIONAL = Late(settles="its request has no condition")
"""For a row that ``lands_late``, of which the binding says nothing."""


class LateWrites:
    """Settles what a run gave up. ``pause`` sleeps and raises Interrupted where a person asks the run to stop.

    ``settle_seconds``: how long a request without a condition may take to land.
    """

    def __init__(
        self,
        log: RunLog,
        binding: Binding,
        lease: Lease,
        observer: Observer,
        pause: Pause,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        self._log, self._binding, self._lease, self._observer = log, binding, lease, observer
        self._pause, self._settle_seconds = pause, settle_seconds
        self._since: float | None = None  # on the clock's monotonic scale

    def sent(self) -> None:
        """Note that requests may have been sent until now: the lease was taken, or an attempt failed."""
        self._since = self._log.clock.monotonic()

    def shut_out(self, row: Row, entry: Undoable) -> None:
        """Touch what the change of this entry could still hit, BEFORE the undo reads it; or wait for it.

        Raises what a touch raises, and Interrupted.
        """
        for flight in self._log.state.in_flight:
            late = self._late(flight)
            if late is None or not flight.changed(entry):
                continue
            if late.early:
                self._wait(row)
            elif late.touch and not late.settles and not flight.committed:
                self._lease.check()
                result = late.touch(self._observer.world, self._run(flight))
                self._record(flight, "touched", f"{flight.trigger} can no longer take effect late", result=result)

    def owes(self, row: Row) -> bool:
        """Whether something is to be settled before this row's guards are read."""
        return any(self._owed(row))

    def settle(self, row: Row) -> bool:
        """Settle what may land late, BEFORE a row's guards are read; False: a change is to be undone again first.

        Raises Interrupted, LeaseLost. A world that does not answer ends in a record of what could not be excluded.
        """
        return self._settle_all(tuple(self._owed(row)), row)

    def may_land(self, row: Row) -> bool:
        """Whether a request of a row's action can take effect after nobody waits for its answer any more."""
        return row.lands_late or (row.action or "") in self._binding.late

    def shuts_out(self, row: Row) -> bool:
        """Whether a touch shuts out every request of a row's action: each one has a condition."""
        late = self._binding.late.get(row.action or "")
        return late is not None and late.touch is not None and not late.settles

    def settle_own(self, row: Row) -> None:
        """Settle what a row itself has sent, before its intent is closed as not done."""
        own = (flight for flight in self._log.state.in_flight if flight.row == row.key and not flight.undoes)
        self._settle_all(tuple(own), row)

    def give_up(self, row: Row) -> None:
        """Shut out what a row has sent; where every attempt was answered, record that nothing of it is on its way."""
        own = [flight for flight in self._log.state.in_flight if flight.row == row.key and not flight.undoes]
        if own:
            self._settle_all(tuple(own), row)
            return
        self._lease.check()
        answered = InFlight(row.key, row.trigger, frozenset(row.sets), attempts=0)
        facts, fault = self._facts(answered)
        if not fault:
            words = f"every attempt of {row.trigger} was answered, and what it changes is as it was before"
            self._record(answered, "answered", words, facts=facts)

    def _settle_all(self, flights: tuple[InFlight, ...], row: Row) -> bool:
        for flight in flights:
            late = self._late(flight)
            if late is None:
                continue
            self._lease.check()
            if flight.committed and not (late.settles and self._undone(flight)):
                self._wait(row)
                words = (
                    f"{flight.trigger} was done by a later request, and an earlier one had {self._settle_seconds:.0f} s"
                    " to take effect before this run goes on"
                )
                self._record(flight, "waited", words)
                continue
            if self._is_gone(flight, late):
                self._record(flight, "gone", f"{flight.trigger} can no longer take effect: its site is gone")
                continue
            result, why = self._touched(flight, late)
            if late.settles:
                self._wait(row)
            entry = self._undone(flight)
            facts, fault = ({}, "") if entry and late.early else self._facts(flight)
            if entry is not None and facts and not fault and not self._as_before(entry, facts):
                words = f"{flight.trigger} took effect after it was undone: it is undone again"
                self._record(flight, "landed_late", words, facts=facts)
                return False
            self._settled(flight, late, why or fault, result=result, facts=facts)
        return True

    def settle_predecessor(self, row: Row) -> None:
        """Shut out what the run that had the lease before left open, BEFORE the first row that changes anything.

        The first undo is one, too: it restores what a request that lands later would change again.

        After the preflight: it has shown that these are the sites that are meant. Raises Interrupted, LeaseLost. What
        can't be touched is told as not excluded.
        """
        left = self._log.state.predecessor
        if left is None or not ((row.action and row.sets) or row.foreach):
            return
        self._lease.check()
        run, triggers = self._observer.run(row), ", ".join(left.left_open)
        touched, faults = self._touch_everything(run)
        waits = any(not self._has_condition(trigger) for trigger in left.left_open)
        if waits:
            self._wait(row, f"the run {left.run_id} left {triggers} open: such a request can still take effect")
        if faults:
            how = "not_excluded"
            words = f"requests of the run {left.run_id} ({triggers}) may still take effect: {'; '.join(faults)}"
        elif waits:
            how = "waited"
            words = (
                f"requests of the run {left.run_id} ({triggers}) had {self._settle_seconds:.0f} s to take effect before"
                " this run's first change, and are not expected to"
            )
        else:
            how, words = "touched", f"requests of the run {left.run_id} ({triggers}) can no longer take effect"
        self._log.append(
            "predecessor_settled",
            {
                "run_id": left.run_id,
                "left_open": list(left.left_open),
                "how": how,
                "because": words,
                "result": touched,
            },
        )

    # --- the pieces -------------------------------------------------------------------------------------

    def _owed(self, row: Row) -> Iterator[InFlight]:
        if not self._log.state.in_flight:
            return iter(())
        late = {**dict.fromkeys(self._log.spec.actions_landing_late, _UNCONDITIONAL), **self._binding.late}
        return owed(self._log.spec, self._log.state, row, late)

    def _settled(self, flight: InFlight, late: Late, fault: str, *, result: Any, facts: Readings) -> None:
        if fault:
            words = f"{flight.trigger} may still take effect, as this could not be shut out: {fault}"
            self._record(flight, "not_excluded", words, result=result, facts=facts)
        elif late.settles:
            words = (
                f"{flight.trigger} had not taken effect {self._settle_seconds:.0f} s after its last request, and is not"
                f" expected to: {late.settles}"
            )
            self._record(flight, "read_again", words, result=result, facts=facts)
        else:
            words = f"{flight.trigger} can no longer take effect late"
            self._record(flight, "touched", words, result=result, facts=facts)

    def _is_gone(self, flight: InFlight, late: Late) -> bool:
        """Return whether what a request was sent to is known to be gone."""
        if late.gone is None:
            return False
        try:
            return late.gone(self._observer.world, self._run(flight))
        except (LeaseLost, Interrupted):
            raise
        except DrfsmError:
            return False

    def _late(self, flight: InFlight) -> Late | None:
        """Return how the flight's action is settled; None for one that neither its binding nor its row calls late."""
        named = flight.undoes or flight.row
        declared = self._log.spec.declared(named)
        if declared is None:
            raise EvidenceFault(f"the journal names {named}, which the declaration doesn't have")
        action = declared.undo if flight.undoes else declared.action
        unconditional = _UNCONDITIONAL if declared.lands_late and not flight.undoes else None
        return self._binding.late.get(action or "", unconditional)

    def _touch_everything(self, run: Run) -> tuple[list[Any], list[str]]:
        """Touch all that any action of this machine could change; return what was touched, and what could not be."""
        touched, faults = [], []
        for touch in dict.fromkeys(late.touch for late in self._binding.late.values() if late.touch is not None):
            try:
                touched.append(touch(self._observer.world, run))
            except (LeaseLost, Interrupted):
                raise
            except DrfsmError as fault:
                faults.append(fault.what)
        return touched, list(dict.fromkeys(faults))

    def _has_condition(self, trigger: str) -> bool:
        """Whether every request of this trigger has a condition, by this machine; another machine's is not known."""
        rows = [row for row in self._log.spec.rows if row.trigger == trigger]
        actions = [name for row in rows for name in (row.action, row.undo) if name]
        declared = [self._binding.late.get(name) for name in actions]
        return bool(declared) and all(late is not None and late.touch and not late.settles for late in declared)

    def _declared(self, flight: InFlight) -> Row:
        row = self._log.spec.declared(flight.row)
        assert row is not None  # noqa: S101  _late has looked for it
        return row

    def _run(self, flight: InFlight) -> Run:
        row = self._declared(flight)
        state = self._log.state
        entry = next((entry for entry in (*state.undo, *state.undone) if flight.changed(entry)), None)
        return self._observer.run(row, {}, undoing=entry.before if entry else None)

    def _touched(self, flight: InFlight, late: Late) -> tuple[Any, str]:
        """Touch what the flight could hit; return what was touched, and why that was not possible."""
        if late.touch is None:
            return None, ""
        try:
            return late.touch(self._observer.world, self._run(flight)), ""
        except (LeaseLost, Interrupted):
            raise
        except DrfsmError as fault:
            return None, fault.what

    def _wait(self, row: Row, why: str = "what was sent before may still take effect, and has no condition") -> None:
        now = self._log.clock.monotonic()
        seconds = max(0.0, (now if self._since is None else self._since) + self._settle_seconds - now)
        if seconds >= _SAID_SECONDS:
            self._observer.run(row).note(f"{why}: waiting {seconds:.0f} s")
        self._pause(seconds, row)

    def _facts(self, flight: InFlight) -> tuple[Readings, str]:
        """Read the facts that the flight's action changes; return why one can't be read, too."""
        run = self._run(flight)
        facts = {name: self._observer.read_one(name, run) for name in sorted(flight.facts)}
        unread = next((f"{name}: {fact.why}" for name, fact in facts.items() if fact.seen is None and fact.why), "")
        return facts, unread

    def _undone(self, flight: InFlight) -> Undoable | None:
        return next((entry for entry in self._log.state.undone if flight.changed(entry)), None)

    def _as_before(self, entry: Undoable, facts: Readings) -> bool:
        return all(covers(facts[name].seen, snapshot) for name, snapshot in entry.before.items() if name in facts)

    def _record(
        self, flight: InFlight, how: str, words: str, *, result: Any = None, facts: Readings | None = None
    ) -> None:
        named = self._declared(flight)
        now = values_of(facts or {})
        self._log.append(
            "settled",
            {
                "row": flight.row,
                "trigger": flight.trigger,
                "how": how,
                "done": bool(facts) and all(now.get(name) == value for name, value in named.sets.items()),
                "because": words,
                "result": result,
                "facts": recorded(facts or {}),
                **({"undoes": flight.undoes} if flight.undoes else {}),
            },
        )
