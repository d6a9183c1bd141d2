"""Runs a declared machine: start, resume, one row, an operator's request, a person's verdict on an open intent.

Owns the loop that takes one row after the other, and where a run goes when a row fails: to a failure's row where one
is safe, else it is *held*. Everything that is decided is in the journal before it is acted on, so that any process
with the journal and the world can go on: ``resume`` reads the journal, takes the lease, and enters the same loop. An
open intent (a step that was killed) is always the first row that the loop takes; step.py says what becomes of it.

legal.py says which row is legal, attempts.py tries a row, step.py takes one attempt, inputs.py checks inputs.
"""

import getpass
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from shlex import quote
from typing import Any

from drfsm import __version__
from drfsm.engine import forecast, recheck
from drfsm.engine.attempts import Attempts, Later
from drfsm.engine.binding import Binding
from drfsm.engine.giving_up import give_up
from drfsm.engine.inputs import check_amendments, check_identity, check_inputs, check_vouched, recordable
from drfsm.engine.late import SETTLE_SECONDS, LateWrites
from drfsm.engine.legal import FORWARD_ONLY, LegalRows, check_binding
from drfsm.engine.log import OnRecord, RunLog
from drfsm.engine.new_names import new_name
from drfsm.engine.observer import Observer, Say
from drfsm.engine.ports import Clock, Journal, Lease, NoLease, SystemClock
from drfsm.engine.step import NeedsPerson, Step
from drfsm.errors import (
    DrfsmError,
    EvidenceFault,
    GuardRefused,
    HoldAsked,
    IllegalTransition,
    Interrupted,
    LeaseHeld,
    LeaseLost,
    UsageFault,
)
from drfsm.journal import Cause, Record, RunState, Undoable
from drfsm.journal.undoing import leads_to_undo
from drfsm.spec.model import By, MachineSpec, Row
from drfsm.spec.recovery import RecoveryAction

OUTCOMES = ("done", "not_done")
SCOPES = ("live", "drill")
NOTHING = Cause(by="", reason="", stage="", findings=())


class Runner:
    """One run of one machine. ``world`` is handed to every fact and action as it is.

    ``on_record`` subscribers are called with every record after it is durable; ``say`` with an action's progress notes;
    ``settle_seconds``: how long a request without a condition may take to land after nobody waits for it any more.
    ``vouched`` says who answers for records that this machine did not write: ``how`` (signed or typed), ``by`` whom,
    the ``head`` (SHA-256) and the number of ``records``. ``proven`` is what can be proven of whoever runs this process,
    beside ``operator``, which anybody may set: ``os_user`` {uid, name, host}, ``cloud_caller`` (a text) and
    ``cluster_users`` {site: user}; an unknown caller or user is {unknown: why}. Each field may be missing. It is
    recorded wherever a person starts, resumes or decides. Raises UsageFault where one of the two is anything else.
    Raises BindingFault unless the binding is exactly the machine's; where the journal holds a run already, of whichever
    version, EvidenceFault unless the binding has all that the run's declaration names.
    """

    def __init__(
        self,
        spec: MachineSpec,
        binding: Binding,
        world: Any,
        journal: Journal,
        *,
        lease: Lease | None = None,
        clock: Clock | None = None,
        on_record: Sequence[OnRecord] = (),
        say: Say = lambda *_, **__: None,
        operator: str = "",
        host: str = "",
        hold_asked: Callable[[], str] = lambda: "",
        settle_seconds: float = SETTLE_SECONDS,
        proven: Mapping[str, Any] | None = None,
        vouched: Mapping[str, Any] | None = None,
    ) -> None:
        self._spec, self._binding = spec, binding
        self._lease: Lease = lease or NoLease()
        identity, self._vouched = check_identity(proven), check_vouched(vouched)
        self._log = log = RunLog(spec, journal, clock or SystemClock(), on_record)
        check_binding(spec, binding, log)
        self._operator, self._host = operator or who(), host or platform.node()
        self._proven = {"proven": identity} if identity else {}
        self._leased = self._lease_asked = self._goes_on = False
        self._interrupted = False
        self.due_seconds, self.due_here = 0.0, False
        self._hold_asked = hold_asked
        self._observer = Observer(log, binding, world, interrupted=lambda: self._interrupted, say=say, proven=identity)
        self._late = LateWrites(log, binding, self._lease, self._observer, self._pause, settle_seconds)
        self._step = Step(log, binding, self._lease, self._observer, self._late)
        self._attempts = Attempts(
            log,
            self._step,
            self._observer,
            self._lease,
            interrupted=lambda: self._interrupted,
            stop_asked=self._stop_asked,
        )
        self._rows = LegalRows(spec, log)

    @property
    def state(self) -> RunState:
        """Where the run stands."""
        return self._log.state

    @property
    def records(self) -> Sequence[Record]:
        """Every record of the run so far, oldest first."""
        return self._log.journal.records()

    def next_actions(self) -> tuple[str, ...]:
        """Return what a person can do here: ``resume``, and the operator's rows that are legal."""
        return tuple(action["do"] for action in self._log.next_actions())

    @property
    def undoable(self) -> tuple[Undoable, ...]:
        """What an abort would undo, oldest first: nothing after the end, or past the point of no return."""
        self._ready()
        return () if self._over() or self._log.no_return else self.state.undo

    def interrupt(self) -> None:
        """Ask the run to stop at the next clean point; safe to call from a signal handler."""
        self._interrupted = True

    # --- the verbs ------------------------------------------------------------------------------------

    def start(
        self, inputs: Mapping[str, Any], *, run_id: str = "", dry_run: bool = False, scope: str = "live"
    ) -> RunState:
        """Start a run and drive it as far as it goes. Raises UsageFault for inputs that the machine refuses."""
        self.begin(inputs, run_id=run_id, dry_run=dry_run, scope=scope)
        return self._drive()

    def begin(
        self, inputs: Mapping[str, Any], *, run_id: str = "", dry_run: bool = False, scope: str = "live"
    ) -> RunState:
        """Record the start of a run and take no row yet: ``advance`` does. Raises as ``start``."""
        if self.state.status != "none":
            raise UsageFault(f"this journal already holds the run {self.state.run_id}", hint="drfsm resume")
        if scope not in SCOPES:
            raise UsageFault(f"the scope of a run is one of {', '.join(SCOPES)}, not {scope!r}")
        check_inputs(self._spec, inputs)
        self._log.append(
            "run_started",
            {
                "run_id": run_id or new_run_id(self._spec.name),
                "machine": self._spec.name,
                "machine_sha256": self._spec.sha256,
                "version": __version__,
                "inputs": recordable("inputs", dict(inputs)),
                "operator": self._operator,
                **self._proven,
                "host": self._host,
                "pid": os.getpid(),
                "dry_run": dry_run,
                "scope": scope,
                "state": self._spec.initial,
                "receipt": dict(self._spec.receipt),
            },
        )
        self._step.engine.place(self._spec.initial)
        self._goes_on = True
        return self.state

    def resume(self) -> RunState:
        """Continue from exactly where the journal says: with an open intent first, if a step was killed.

        A run that has ended stays ended; its seal is added if missing.
        """
        self._ready()
        if self._over():
            self._lease_asked = self._failed_in_world()  # by a process that may have died before it gave it back
            return self._finish()
        if not self._goes_on_again():
            return self.state
        return self._drive()

    def advance(
        self, trigger: str = "", args: Mapping[str, Any] | None = None, *, waits_elsewhere: bool = False
    ) -> RunState:
        """Take one row, then return: the runner's next one, or the operator's that ``trigger`` names.

        For whoever drives a run from outside, a row at a time. Between the rows that one Runner takes so, there is
        neither a ``held`` nor a ``resumed`` record: the run is the same as one that is driven. A row that can't be
        taken holds the run, as ever. Raises as ``resume`` and ``request``; UsageFault for a dry run.

        ``waits_elsewhere``: the caller makes the pauses of a row that waits. After a sample that does not end the wait
        the run stands where it stood, and ``due_seconds`` says when to call again; the lease stays with this Runner.
        ``due_here``: guards held in the last sample, and another process would have to begin with the samples anew.
        """
        if self.state.dry_run:
            raise UsageFault("a dry run moves nothing: it is walked as a whole", hint="drfsm resume")
        self.due_seconds, self.due_here, self._attempts.waits_elsewhere = 0.0, False, waits_elsewhere
        try:
            return self._advance(trigger, args)
        except Later as later:
            self._goes_on, self.due_seconds, self.due_here = True, later.seconds, later.here
            return self.state
        finally:
            self._attempts.waits_elsewhere = False

    def _advance(self, trigger: str, args: Mapping[str, Any] | None) -> RunState:
        if trigger:
            self._goes_on = self._fire(trigger, args)
        else:
            self._ready()
            if self._over():
                return self.resume()
            self._goes_on = (self._goes_on or self._goes_on_again()) and self._take_next()
        return self._finish() if self._goes_on and self._over() else self.state

    def request(self, trigger: str, args: Mapping[str, Any] | None = None) -> RunState:
        """Fire an operator's row, then go on. An open intent is settled first.

        Raises IllegalTransition where the row is not legal: nothing moved, a ``rejected`` record remains.
        Raises GuardRefused, with a ``rejected`` record too, where its guards don't hold.
        """
        return self._drive() if self._fire(trigger, args) else self.state

    def _fire(self, trigger: str, args: Mapping[str, Any] | None) -> bool:
        """Take an operator's row; return whether the run goes on, else it is held. Raises as ``request``."""
        self._ready()
        own = {name: value for name, value in (args or {}).items() if name != "proven"}  # nobody proves himself
        arguments = recordable("arguments", {**own, "operator": self._operator, **self._proven})
        self._refuse_ended(trigger)
        check_amendments(self._spec, self.state.state, self.state.inputs, trigger, arguments)
        self._take_lease_again()
        try:
            asked = next((row for row in self._rows.operator_rows(self.state.state) if row.trigger == trigger), None)
            changed = None if asked and self._spec.goes_straight_to_undo(asked) else self._changed_by_others()
            if changed:
                raise changed
            row = self._settled(trigger)
            if not self._late.settle(row):
                raise self._rows.illegal(trigger, reason="a change took effect late, and is undone again first")
            self._late.settle_predecessor(row)
            self._attempts.take(row, arguments)
        except LeaseLost:
            raise
        except (IllegalTransition, GuardRefused) as refused:
            if self._over():  # settling the open intent ended the run
                self._finish()
                raise
            self._reject(trigger, refused)
            if self.state.status == "running":  # this process works on it no more
                self._hold(trigger, refused)
            raise
        except DrfsmError as fault:
            self._hold(trigger, fault)
            return False
        return True

    def abort(self, reason: str = "") -> RunState:
        """Ask for the machine's ``abort`` row; where everything is being undone already, go on with that."""
        if leads_to_undo(self._spec, self.state.state) and not self._over():
            return self.resume()
        return self.request("abort", {"reason": reason})

    def resolve(self, outcome: str, reason: str) -> RunState:
        """Record a person's verdict on an open intent (cases E and F): it is done, or it is not; then go on.

        Raises IllegalTransition where no intent is open, or the machine can tell by itself what became of it.
        """
        self._ready()
        if outcome not in OUTCOMES or not reason or not isinstance(reason, str):
            raise UsageFault(f"an open intent is resolved as one of {', '.join(OUTCOMES)}, with a reason")
        self._refuse_ended("resolve")
        self._take_lease()
        intent = self.state.open
        row = self._rows.row(intent.row) if intent else None
        if row is not None and outcome == "not_done":
            self._late.settle_own(row)  # the verdict is on what is there, so nothing may come after it
        if row is None or self._step.recover(row)[0].do is not RecoveryAction.HOLD:
            reason = "the machine can tell by itself what became of it" if row else "no action's outcome is open"
            fault = self._rows.illegal("resolve", reason=reason)
            self._reject("resolve", fault)
            raise fault
        self._log.append(
            "resolved",
            {"row": row.key, "outcome": outcome, "reason": reason, "operator": self._operator, **self._proven},
        )
        return self._drive()

    def recheck(self) -> tuple[recheck.Difference, ...]:
        """Read every fact behind an earlier guard again; return those that are not as the records say.

        For a run whose records this machine did not write. Moves nothing, writes nothing, needs no lease.
        """
        self._ready()
        if self._over() or self.state.dry_run:
            return ()
        row, state = self._rows.next_row(), self.state
        upcoming = [row] if row else []
        here = upcoming or list(self._spec.rows_from(state.state, state.inputs)) or list(self._spec.rows)
        expected = {
            name: values
            for name, values in recheck.expected(self._log.journal.records(), self._spec, state).items()
            if name in self._binding.facts and not self._binding.facts[name].of_machine
        }
        return recheck.differences(expected, upcoming, self._spec, lambda names: self._observer.read(names, here[0]))

    def _goes_on_again(self) -> bool:
        """Take the lease for a run that was begun, and record who goes on with it; False: it is held. Raises LeaseHeld.

        It is held where another run had the lease meanwhile, and the sites are not as this run saw them.
        """
        self._attempts.forget()
        if not self.state.dry_run:
            self._take_lease_again()
            if changed := self._changed_by_others():
                self._hold(self.state.stage or "going on", changed)
                return False
        self._log.append(
            "resumed",
            {
                "operator": self._operator,
                **self._proven,
                "host": self._host,
                "state": self.state.state,
                "pid": os.getpid(),
            },
        )
        return True

    # --- the loop ---------------------------------------------------------------------------------------

    def _drive(self) -> RunState:
        """Take one row after the other until the run ends or is held. The row of an open intent comes first."""
        if self.state.dry_run:
            return self._forecast()
        while not self._over():
            if not self._take_next():
                return self.state
        return self._finish()

    def _take_next(self) -> bool:
        """Take the runner's next row, or a failure's where it fails; return False where the run is held."""
        if reason := self._stop():
            self._hold(*reason)
            return False
        row = self._rows.next_row()
        if row is None:
            self._hold("waiting", self._undecided())
            return False
        try:
            self._take(row)
        except LeaseLost:
            raise
        except DrfsmError as fault:
            goes_on = self._take_failure_row(row, fault)
            if isinstance(fault, LeaseHeld):  # the caller must learn that another run has the lease
                if goes_on:
                    self._finish()
                raise
            return goes_on
        return True

    def _undecided(self) -> DrfsmError:
        """Return why the run stops in a state that only a person's row leaves: which decisions are open to a person."""
        *others, last = [action for action in self.next_actions() if action != "resume"] or ["resume"]
        decisions = f"{', '.join(others)} or {last}" if others else last
        return DrfsmError(
            f"a person must choose {decisions}",
            hint=f"`drfsm status {quote(self.state.run_id)}` shows the command for each decision, ready to paste",
            fault="operator",
        )

    def _forecast(self) -> RunState:
        """Walk a dry run to its end."""
        if not self._over():
            if reason := self._stop():
                return self._hold(*reason)
            try:
                forecast.walk(self._spec, self._log, self._observer, lambda: self._interrupted)
            except LeaseLost:
                raise
            except DrfsmError as fault:
                return self._hold("forecast", fault)
        return self._finish()

    def _stop(self) -> tuple[str, DrfsmError] | None:
        """Return (stage, why) to hold the run between two rows; None to go on."""
        if self._log.fault:
            return "telling", self._log.fault
        asked = self._stop_asked("stopped on request")
        return (self.state.stage or "between two steps", asked) if asked else None

    def _take(self, row: Row, args: Mapping[str, Any] | None = None) -> None:
        """Take a row with all its attempts, and the lease before it if it needs one.

        Before it, what may land late of other rows is settled; it is not taken if a change is to be undone again.
        """
        if not self._late.settle(row):
            return
        if self._rows.touches_world(row):
            self._take_lease()
        self._late.settle_predecessor(row)
        self._attempts.take(row, args)

    def _pause(self, seconds: float, row: Row) -> None:
        self._attempts.pause(seconds, row)

    def _take_failure_row(self, row: Row, fault: DrfsmError) -> bool:
        """Send a failure where it is safe, else hold; return whether the run can go on."""
        try:
            safe = self._safe_row(fault)
        except LeaseLost:
            raise
        except DrfsmError as second:  # interrupted while it waited for a late request
            self._hold(row.trigger, second)
            return False
        if safe is None:
            self._hold(row.trigger, self._given_up(fault))
            return False
        try:
            why = {"stage": row.trigger, "reason": fault.what, "error": type(fault).__name__}
            self._take(safe, {**why, **_findings(fault)})
        except LeaseLost:
            raise
        except DrfsmError as second:
            second.what = f"{fault.what}; and then {safe.trigger}: {second.what}"
            self._hold(row.trigger, second)
            return False
        return True

    def _given_up(self, fault: DrfsmError) -> DrfsmError:
        """Return why to hold the run, once the point of no return is given up where it changed nothing."""
        if not isinstance(fault, Interrupted | LeaseHeld):
            try:
                give_up(self._log, self._step, self._late)
            except LeaseLost:
                raise
            except DrfsmError as second:  # interrupted, or a store that does not answer: its intent stays open
                fault.what = f"{fault.what}; and then: {second.what}"
        return fault

    def _safe_row(self, fault: DrfsmError) -> Row | None:
        """Return the failure's row that may be taken: by what its guards see once nothing can land late any more."""
        safe = self._rows.failure_row(fault, self._guards_hold)
        if safe is None or not self._late.owes(safe):
            return safe
        return self._rows.failure_row(fault, self._guards_hold) if self._late.settle(safe) else None

    def _take_lease_again(self) -> None:
        """Take the lease for a run that was begun. Raises LeaseHeld.

        A run that was killed before it ever had the lease, and can't have it, ends as its start would have ended.
        """
        try:
            self._take_lease()
        except LeaseHeld as fault:
            never_began = not self.state.epoch and self.state.status == "running" and not isinstance(fault, LeaseLost)
            row = self._rows.next_row() if never_began else None
            if row is not None and self._take_failure_row(row, fault):
                self._finish()
            raise

    def _changed_by_others(self) -> DrfsmError | None:
        """Return what is not as this run's guards saw it, where another run had the lease meanwhile; None: nothing is.

        A run that waits for a person and has changed nothing gives the lease back. What its guards required must still
        be so when it goes on.
        """
        differences = self.recheck() if self.state.others_worked else ()
        if not differences:
            return None
        return DrfsmError(
            "another run had the lease while this one waited, and the sites are not as this run saw them:"
            f" {'; '.join(recheck.in_words(differences))}",
            hint=f"drfsm abort {quote(self.state.run_id)}, and start again; or resume it once they are as it saw them",
            fault="operator",
        )

    def _failed_in_world(self) -> bool:
        """Whether a row that needs the lease sent the run where it stands."""
        stages = {cause.stage for cause in self.state.causes}
        return any(row.trigger in stages and self._rows.touches_world(row) for row in self._spec.rows)

    def _guards_hold(self, row: Row) -> bool:
        return not (row.guards and self._observer.judge(row).refusals)

    def _stop_asked(self, reason: str) -> Interrupted | None:
        """Return why to stop here: a signal to this process, or a person's request from elsewhere; None to go on."""
        if self._interrupted:
            return Interrupted(reason)
        request = self._hold_asked()
        return HoldAsked(request) if request else None

    # --- holds and ends ---------------------------------------------------------------------------------

    def _hold(self, stage: str, fault: DrfsmError) -> RunState:
        releases = self._lease_asked and not self.state.touched
        self._log.append(
            "held",
            {
                "state": self.state.state,
                "stage": stage,
                "reason": fault.what,
                "fault": fault.fault,
                "frozen": self._log.frozen(),
                "ways": self._log.next_actions(),
                "way": fault.hint,
                "interrupted": isinstance(fault, Interrupted) and not isinstance(fault, HoldAsked),
                **({"lease": "released"} if releases else {}),
                **_findings(fault),
            },
        )
        self._yield_lease()
        if isinstance(fault, Interrupted):
            self._interrupted = False  # done: the next verb may go on
        return self.state

    def _finish(self) -> RunState:
        """Record the end of a run that stands in a final state. ``resume`` mends a crash between any two lines."""
        if not self.state.ended:
            status = self._spec.finals[self.state.state]
            why = self._why_ended() if status != "complete" else NOTHING
            self._log.append(
                "ended",
                {
                    "state": self.state.state,
                    "status": status,
                    "reason": why.reason,
                    "stage": why.stage,
                    "frozen": self._log.frozen(),
                    "ways": [],
                    # What was kept on purpose matters only where the rest was undone.
                    "kept": list(self.state.kept) if status == "aborted" else [],
                    **({"findings": list(why.findings)} if why.findings else {}),
                },
            )
        if not self.state.sealed:
            self._log.append("seal", {"records": self.state.length, "head": self._log.journal.head})
        if self.state.epoch or self._lease_asked:  # AFTER the last record: who writes has the lease
            self._release()
        if self._log.fault:
            raise self._log.fault
        return self.state

    def _yield_lease(self) -> None:
        """Give the lease back where a run waits for a person that has changed nothing: others may work meanwhile.

        A store that does not answer is no further fault: the record says that the lease may be taken.
        """
        if self._lease_asked and not self.state.touched:
            with suppress(DrfsmError):
                self._release()

    def _release(self) -> None:
        """Give the lease back, AFTER the last record. Raises what a store raises, with the next step."""
        self._leased = self._lease_asked = False
        try:
            self._lease.release(self.state.run_id)
        except DrfsmError as fault:
            fault.what = f"the run is {self.state.status}, and its lease could not be given back: {fault.what}"
            fault.hint = (
                f"once the store answers: drfsm resume {quote(self.state.run_id)}; or start the next run, which takes"
                f" the lease of one that can do nothing more. {fault.hint}"
            ).strip()
            raise

    def _why_ended(self) -> Cause:
        """Return why a run did not end as it was meant to, and at which stage; nothing if it did."""
        failed = self._spec.finals[self.state.state] == "failed"
        causes = (cause for cause in reversed(self.state.causes) if cause.by == By.FAILURE or not failed)
        return next(causes, NOTHING)

    # --- pieces -----------------------------------------------------------------------------------------

    def _settled(self, trigger: str) -> Row:
        """Settle an open intent, then return the operator's row. Raises IllegalTransition, NeedsPerson.

        An action that was done is committed before anything else. One that is half done stays open until the
        operator's row moves the run on, so that neither a crash in between nor a row that stays in its state loses it.
        """
        give_up(self._log, self._step, self._late)
        intent = self.state.open
        if intent is None:
            return self._rows.operator_row(trigger)
        begun = self._rows.row(intent.row)
        if begun.trigger == trigger and begun.by is By.OPERATOR:
            return begun  # the same request again: its own attempt goes on
        states = (begun.source, begun.to)
        if not any(row.trigger == trigger for state in states for row in self._rows.operator_rows(state)):
            raise self._rows.illegal(trigger)
        if begun.foreach and begun.by is By.RUNNER and (row := self._rows.operator_row(trigger)).foreach:
            return row  # a person answers for the undo that was begun, whatever became of it
        case, readings = self._step.recover(begun)
        asked = next((row for row in self._rows.operator_rows(begun.source) if row.trigger == trigger), None)
        passes = case.do not in (RecoveryAction.HOLD, RecoveryAction.COMMIT) and not begun.point_of_no_return
        if asked and passes and self._late.owes(asked) and self._late.settle(asked):
            case, readings = self._step.recover(begun)  # what was begun may be done meanwhile
        if case.do is RecoveryAction.HOLD:
            raise NeedsPerson(begun, case, readings)
        if case.do is RecoveryAction.COMMIT:
            self._step.attempt(begun)
        elif begun.point_of_no_return:
            raise self._rows.illegal(trigger, reason=FORWARD_ONLY)
        row = self._rows.operator_row(trigger)
        both_open = case.do is not RecoveryAction.COMMIT and intent.superseded
        if both_open and not leads_to_undo(self._spec, row.to):
            half_done = f"{begun.trigger} and {both_open.trigger} are half done: resume"
            raise self._rows.illegal(trigger, reason=half_done)
        return row

    def _ready(self) -> None:
        self._log.catch_up()
        state = self.state
        if state.status == "none":
            raise UsageFault("this journal holds no run", hint="start one")
        if state.machine_sha256 != self._spec.sha256:
            raise EvidenceFault(
                f"the run was started with another declaration of {state.machine} than the one at hand",
                hint="resume with the copy in the bundle",
            )
        self._log.fault = None
        self._step.engine.place(state.state)

    def _over(self) -> bool:
        return self.state.ended or self.state.state in self._spec.finals

    def _refuse_ended(self, trigger: str) -> None:
        """Raise IllegalTransition for a run that has ended, and for a dry run, which moves nothing."""
        if self._over():
            self._finish()
            raise self._rows.illegal(trigger, reason=f"the run has ended: {self.state.status}")
        if self.state.dry_run:
            raise self._rows.illegal(trigger, reason="this is a dry run, which moves nothing")

    def _reject(self, trigger: str, fault: IllegalTransition | GuardRefused) -> None:
        """Leave a trace of what was refused. The caller has the lease, and the run has not ended."""
        legal = fault.legal if isinstance(fault, IllegalTransition) else ()
        self._log.append(
            "rejected",
            {
                "state": self.state.state,
                "trigger": trigger,
                "why": fault.what,
                "legal": list(legal),
                "operator": self._operator,
                **self._proven,
            },
        )
        if self.state.status == "held":  # else a hold follows
            self._yield_lease()

    def _take_lease(self) -> None:
        if self._leased:
            return
        self._lease_asked = True  # whatever becomes of the next lines, the lease may name this run
        try:
            epoch = self._lease.acquire(self.state.run_id, self._operator, self._host)
        except LeaseHeld:
            self._lease_asked = False
            raise
        body: dict[str, Any] = {"epoch": epoch, "operator": self._operator, "host": self._host}
        if self._lease.taken_from:
            body["taken_from"] = dict(self._lease.taken_from)
        if self._vouched:  # who answers for the records before this one
            body["vouched"] = self._vouched
        self._log.append("lease_acquired", body)
        self._late.sent()
        self._leased = True


def new_run_id(machine: str) -> str:
    """Return a fresh id for a run of a machine."""
    return new_name(machine)


def who() -> str:
    """Return the name of the user who runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _findings(fault: DrfsmError) -> dict[str, Any]:
    """Return a refusal's findings for a record, where there are several: as one text they are hard to tell apart."""
    findings = fault.findings if isinstance(fault, GuardRefused) else ()
    return {"findings": list(findings)} if len(findings) > 1 else {}
