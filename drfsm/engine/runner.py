"""Runs a declared machine: start, resume, an operator's request, a person's verdict on an open intent.

Owns the loops around one step (step.py): which row comes next, attempts with back-off and one repair,
waits, where a failure goes, when a run is held and how it ends. Everything that it decides is in the
journal before it acts on it, so that any process with the journal and the world can go on.

Attempts are counted from one again whenever a person asks for the run to go on: the limit guards against
a machine that tries for ever, not against a person who has mended something.
"""

import getpass
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Any
from uuid import uuid4

from drfsm import __version__
from drfsm.engine import forecast, recheck
from drfsm.engine.binding import Binding
from drfsm.engine.log import OnRecord, RunLog
from drfsm.engine.ports import Clock, Journal, Lease, NoLease, SystemClock
from drfsm.engine.step import Judged, NeedsPerson, Say, Step
from drfsm.errors import (
    DiskFault,
    DrfsmError,
    EvidenceFault,
    FileDamaged,
    GuardRefused,
    HoldAsked,
    IllegalTransition,
    Interrupted,
    JournalDamaged,
    LeaseHeld,
    LeaseLost,
    Unreachable,
    UsageFault,
)
from drfsm.journal import RunState, Undoable, exact
from drfsm.spec.model import By, Effect, MachineSpec, Row, holds
from drfsm.spec.recovery import RecoveryAction

OUTCOMES = ("done", "not_done")
SCOPES = ("live", "drill")
_NAP_SECONDS = 0.2  # so that a wait notices an interruption soon


class Runner:
    """One run of one machine. ``world`` is handed to every fact and action as it is.

    ``on_record`` subscribers hear every record after it is durable; ``say`` hears what actions tell while
    they work; ``vouched`` says who answers for records that this machine did not write. ``proven`` is what can be
    proven of whoever runs this process, beside ``operator``, which anybody may set: it is recorded wherever a person
    starts, goes on or decides. Raises BindingFault unless the binding is exactly the machine's; where the journal holds
    a run already, of whichever version, EvidenceFault unless it has all that the run's declaration names.
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
        proven: Mapping[str, Any] | None = None,
        vouched: Mapping[str, Any] | None = None,
    ) -> None:
        self._spec, self._binding = spec, binding
        self._lease: Lease = lease or NoLease()
        self._clock: Clock = clock or SystemClock()
        self._log = RunLog(spec, journal, self._clock, on_record)
        self._check_binding()
        self._operator, self._host = operator or who(), host or platform.node()
        self._proven = {"proven": dict(proven)} if proven else {}
        self._vouched = dict(vouched or {})
        self._leased = False
        self._interrupted = False
        self._hold_asked = hold_asked
        self._step = Step(
            self._log, binding, world, self._lease, interrupted=lambda: self._interrupted, say=say, proven=proven or {}
        )

    @property
    def state(self) -> RunState:
        """Where the run stands."""
        return self._log.state

    def next_actions(self) -> tuple[str, ...]:
        """Return what a person can do here: ``resume``, and the operator's rows that are legal."""
        return tuple(each["do"] for each in self._log.next_actions())

    @property
    def undoable(self) -> tuple[Undoable, ...]:
        """What an abort would give back, oldest first: nothing after the end, or past the point of no return."""
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
                "inputs": _said("inputs", dict(inputs)),
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
        return self._go()

    def resume(self) -> RunState:
        """Go on from exactly where the journal says. A run that has ended stays ended; an unsealed end is sealed."""
        self._ready()
        if self._over():
            return self._finish()
        if not self.state.dry_run:
            self._take_lease()
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
        return self._go()

    def request(self, trigger: str, args: Mapping[str, Any] | None = None) -> RunState:
        """Fire an operator's row, then go on. An open intent is settled before.

        Raises IllegalTransition where the row is not legal: nothing moved, a ``rejected`` record remains.
        Raises GuardRefused, with a ``rejected`` record too, where its guards don't hold.
        """
        self._ready()
        arguments = {name: value for name, value in (args or {}).items() if name != "proven"}  # nobody's own word
        given = _said("arguments", {**arguments, "operator": self._operator, **self._proven})
        self._refuse_ended(trigger)
        self._check_amendments(trigger, given)
        self._take_lease()
        try:
            self._attempts(self._settled(trigger), given)
        except LeaseLost:
            raise
        except (IllegalTransition, GuardRefused) as refused:
            if self._over():  # what was open is settled, and that was the end
                self._finish()
                raise
            self._reject(trigger, refused)
            if self.state.status == "running":  # nobody works on it any more
                self._hold(trigger, refused)
            raise
        except DrfsmError as fault:
            return self._hold(trigger, fault)
        return self._go()

    def abort(self, reason: str = "") -> RunState:
        """Ask for the machine's ``abort`` row; where everything is being undone already, go on with that."""
        if self._log.leads_to_undo(self.state.state) and not self._over():
            return self.resume()
        return self.request("abort", {"reason": reason})

    def resolve(self, outcome: str, reason: str) -> RunState:
        """Record a person's verdict on an open intent (cases E and F): it is done, or it is not; then go on.

        Raises IllegalTransition where no intent is open, or the machine can tell by itself what became of it.
        """
        self._ready()
        if outcome not in OUTCOMES or not reason:
            raise UsageFault(f"an open intent is resolved as one of {', '.join(OUTCOMES)}, with a reason")
        self._refuse_ended("resolve")
        self._take_lease()
        intent = self.state.open
        row = self._row(intent.row) if intent else None
        if row is None or self._step.recover(row)[0].do is not RecoveryAction.HOLD:
            reason = "the machine can tell by itself what became of it" if row else "no action's outcome is open"
            fault = self._illegal("resolve", reason=reason)
            self._reject("resolve", fault)
            raise fault
        verdict = {"row": row.key, "outcome": outcome, "reason": reason, "operator": self._operator}
        self._log.append("resolved", {**verdict, **self._proven})
        return self._go()

    def recheck(self) -> tuple[recheck.Difference, ...]:
        """Read every fact behind an earlier guard again; return those that are not as the records say.

        For a run whose records this machine did not write. Moves nothing, writes nothing, needs no lease.
        """
        self._ready()
        if self._over() or self.state.dry_run:
            return ()
        upcoming = [row] if (row := self._next()) else []
        here = upcoming or list(self._spec.rows_from(self.state.state, self.state.inputs)) or list(self._spec.rows)
        wanted = {
            name: values
            for name, values in recheck.expected(self._log.journal.records(), self._spec, self.state).items()
            if name in self._binding.facts and not self._binding.facts[name].of_machine
        }
        return recheck.differences(wanted, upcoming, self._spec, lambda names: self._step.read(names, here[0]))

    # --- driving --------------------------------------------------------------------------------------

    def _go(self) -> RunState:
        while not self._over():
            if self._log.fault:
                return self._hold("telling", self._log.fault)
            if stop := self._stop_asked("stopped on request"):
                return self._hold(self.state.stage or "between two steps", stop)
            if self.state.dry_run:
                if not self._walked():
                    return self.state
                continue
            row = self._next()
            if row is None:
                told = f"{self.state.state} waits for a person's decision"
                return self._hold("waiting", DrfsmError(told, fault="operator"))
            if not self._through(row):
                return self.state
        return self._finish()

    def _walked(self) -> bool:
        """Walk a dry run to its end; return whether it got there."""
        try:
            forecast.walk(self._spec, self._log, self._step, lambda: self._interrupted)
        except LeaseLost:
            raise
        except DrfsmError as fault:
            self._hold("forecast", fault)
            return False
        return True

    def _through(self, row: Row) -> bool:
        """Take a row with all its attempts; return whether the run can go on."""
        try:
            if self._touches(row):
                self._take_lease()
            self._attempts(row)
        except LeaseLost:
            raise
        except LeaseHeld as fault:  # it ends or is held in its own journal; who called must know whose turn it is
            if self._failed(row, fault):
                self._finish()
            raise
        except DrfsmError as fault:
            return self._failed(row, fault)
        return True

    def _attempts(self, row: Row, args: Mapping[str, Any] | None = None) -> None:
        """Try, with back-off and one repair between tries. A refusal by what was really seen is final."""
        most = row.attempts.limit(self.state.inputs)
        for number in range(1, most + 1):
            try:
                judged = self._wait(row) if row.wait and not self._begun(row) else None
                self._step.attempt(row, args=args, judged=judged)
            except (LeaseLost, Interrupted):
                raise
            except DrfsmError as fault:
                if number == most or not self._again(row, fault):
                    raise
            else:
                return
            self._pause(row.attempts.backoff_seconds * 2 ** (number - 1), row)
            if number == 1 and row.attempts.repair:
                self._repair(row)

    def _again(self, row: Row, fault: DrfsmError) -> bool:
        """Whether trying again may help, and may be done: what could not be read may be read now."""
        if fault.final:
            return False
        if isinstance(fault, GuardRefused):
            return _unreadable(fault)
        if isinstance(fault, NeedsPerson):
            return fault.case.letter == "F"
        return not (self._begun(row) and row.effect is Effect.ONCE)

    def _begun(self, row: Row) -> bool:
        return self.state.open is not None and self.state.open.row == row.key

    def _repair(self, row: Row) -> None:
        name = row.attempts.repair
        assert name is not None  # noqa: S101  the caller asked
        self._lease.check()
        result, fault = self._step.call(name, self._step.run(row))
        told = {"failed": fault.what} if fault else result
        self._log.append("repaired", {"row": row.key, "action": name, "result": told})

    def _wait(self, row: Row) -> Judged:
        """Sample the guards until they hold often enough in a row; the last sample is the row's judgement."""
        wait = row.wait
        assert wait is not None  # noqa: S101  the caller asked
        limit = float(self.state.inputs[wait.limit]) if isinstance(wait.limit, str) else wait.limit
        began, clear, told = self._clock.monotonic(), 0, None
        while True:
            judged = self._step.judge(row)
            clear = 0 if judged.refusals else clear + 1
            waited = self._clock.monotonic() - began
            # What is clear is recorded each time, so that the samples in a row can be proven.
            if (seen := _essence(judged)) != told or not judged.refusals:
                self._log.append(
                    "sampled",
                    {
                        "row": row.key,
                        "state": row.source,
                        "facts": judged.facts,
                        "holds": not judged.refusals,
                        "unmet": sorted({each["fact"] for each in judged.refusals}),
                        "waited_seconds": round(waited, 1),
                        "limit_seconds": limit,
                    },
                )
                told = seen
            if clear >= wait.consecutive:
                return judged
            values = {name: each.value for name, each in judged.readings.items()}
            if any(holds({name: hopeless}, values) for name, hopeless in wait.give_up.items()):
                raise GuardRefused(judged.refusals, trigger=row.trigger)
            if waited >= limit:
                raise _late(row, judged, waited, limit, f"{clear} of {wait.consecutive} clear samples")
            self._pause(min(wait.every_seconds, max(limit - waited, 0)), row)

    def _pause(self, seconds: float, row: Row) -> None:
        until = self._clock.monotonic() + seconds
        while (left := until - self._clock.monotonic()) > 0 and not self._interrupted:
            self._clock.sleep(min(left, _NAP_SECONDS))
        if stop := self._stop_asked(f"{row.trigger} was interrupted while it waited"):
            raise stop

    def _stop_asked(self, words: str) -> Interrupted | None:
        """Return why to stop here: a signal to this process, or a person's word from elsewhere; None to go on."""
        if self._interrupted:
            return Interrupted(words)
        asked = self._hold_asked()
        return HoldAsked(asked) if asked else None

    # --- where things go --------------------------------------------------------------------------------

    def _failed(self, row: Row, fault: DrfsmError) -> bool:
        """Send a failure where it is safe, else hold; return whether the run can go on."""
        safe = self._safe_row(fault)
        if safe is None:
            self._hold(row.trigger, fault)
            return False
        try:
            if self._touches(safe):
                self._take_lease()
            self._attempts(safe, {"stage": row.trigger, "reason": fault.what, "error": type(fault).__name__})
        except LeaseLost:
            raise
        except DrfsmError as worse:
            worse.what = f"{fault.what}; and then {safe.trigger}: {worse.what}"
            self._hold(row.trigger, worse)
            return False
        return True

    def _safe_row(self, fault: DrfsmError) -> Row | None:
        """Return the row by failure that may be taken; None where the run must be held.

        What is half done (an open intent) is settled by going on, not by a failure, and what could not be reached
        says nothing about the world: but for a row that abandons what was begun, because what follows takes it
        all down. After the point of no return nothing is undone. Of several rows the first whose guards hold.
        """
        if isinstance(fault, Interrupted):
            return None
        unclear = self.state.open is not None or _says_nothing(fault)
        for row in self._spec.rows_from(self.state.state, self.state.inputs, By.FAILURE):
            barred = self._log.no_return and self._log.leads_to_undo(row.to)
            if (
                not barred
                and self._may_pass(row, unclear=unclear)
                and not (row.guards and self._step.judge(row).refusals)
            ):
                return row
        return None

    def _may_pass(self, row: Row, *, unclear: bool) -> bool:
        """Whether a failure's row may be taken; where it is unclear how the world is, only one that abandons all."""
        if not unclear:
            return True
        begun = self._row(self.state.open.row) if self.state.open is not None else None
        return row.overrides_open_intent and (
            begun is None or not (begun.point_of_no_return or begun.effect is Effect.ONCE)
        )

    def _hold(self, stage: str, fault: DrfsmError) -> RunState:
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
            },
        )
        if isinstance(fault, Interrupted):
            self._interrupted = False  # it was heeded: the next verb goes on
        return self.state

    def _finish(self) -> RunState:
        """Write down the end of a run that stands in a final state. Each line may be the last one that we reach."""
        if not self.state.ended:
            status = self._spec.finals[self.state.state]
            reason, stage = self._why_ended() if status != "complete" else ("", "")
            self._log.append(
                "ended",
                {
                    "state": self.state.state,
                    "status": status,
                    "reason": reason,
                    "stage": stage,
                    "frozen": self._log.frozen(),
                    "ways": [],
                    # What an undo did not give back, on purpose, matters only where things were undone.
                    "kept": list(self.state.kept) if status == "aborted" else [],
                },
            )
        if not self.state.sealed:
            self._log.append("seal", {"records": self.state.length, "head": self._log.journal.head})
        if self.state.epoch:  # AFTER the last record: who writes has the lease
            self._lease.release(self.state.run_id)
            self._leased = False
        if self._log.fault:
            raise self._log.fault
        return self.state

    def _why_ended(self) -> tuple[str, str]:
        """Return why a run did not end as it was meant to, and at which stage; nothing if it did."""
        failed = self._spec.finals[self.state.state] == "failed"
        causes = (each for each in reversed(self.state.causes) if each[0] == By.FAILURE or not failed)
        _, reason, stage = next(causes, ("", "", ""))
        return reason, stage

    def _settled(self, trigger: str) -> Row:
        """Settle an open intent, then return the operator's row. Raises IllegalTransition, NeedsPerson.

        What is done is committed before anything else. What is half done stays open until the operator's row
        moves the run on, so that neither a crash in between nor a row that stays where it is leaves it forgotten.
        """
        intent = self.state.open
        if intent is None:
            return self._operator_row(trigger)
        begun = self._row(intent.row)
        if begun.trigger == trigger and begun.by is By.OPERATOR:
            return begun  # on with it
        if not any(row.trigger == trigger for state in (begun.source, begun.to) for row in self._operator_rows(state)):
            raise self._illegal(trigger)
        if begun.foreach and begun.by is By.RUNNER and (row := self._operator_row(trigger)).foreach:
            return row  # a person answers for the undo in hand, whatever became of it
        case, seen = self._step.recover(begun)
        if case.do is RecoveryAction.HOLD:
            raise NeedsPerson(begun, case, seen)
        if case.do is RecoveryAction.COMMIT:
            self._step.attempt(begun)
        elif begun.point_of_no_return:
            raise self._illegal(trigger, reason="the point of no return is passed: the only way is forward")
        row = self._operator_row(trigger)
        if case.do is not RecoveryAction.COMMIT and intent.superseded and not self._log.leads_to_undo(row.to):
            half_done = f"{begun.trigger} and {intent.superseded.trigger} are half done: resume"
            raise self._illegal(trigger, reason=half_done)
        return row

    # --- pieces -----------------------------------------------------------------------------------------

    def _check_binding(self) -> None:
        """Hold the binding against the machine: exactly for a new run, for all that it names where one is pinned to it.

        Raises BindingFault, EvidenceFault.
        """
        if self.state.machine_sha256 != self._spec.sha256:
            self._binding.complete_for(self._spec)
        elif missing := self._binding.missing_for(self._spec):
            raise EvidenceFault(
                f"this drfsm ({__version__}) lacks what the run's declaration of {self._spec.name} names:"
                f" {'; '.join(missing)}",
                hint=f"go on with drfsm {self.state.version}, which started the run",
            )

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
        """Raise IllegalTransition for what can't be moved any more, or never is."""
        if self._over():
            self._finish()
            raise self._illegal(trigger, reason=f"the run has ended: {self.state.status}")
        if self.state.dry_run:
            raise self._illegal(trigger, reason="this is a dry run, which moves nothing")

    def _next(self) -> Row | None:
        """Return the runner's row from here: of a loop of undos and the row behind it, the undo comes first."""
        if self.state.open is not None:
            return self._row(self.state.open.row)
        rows = list(self._spec.rows_from(self.state.state, self.state.inputs, By.RUNNER))
        if self.state.undo:
            return next((row for row in rows if row.foreach == "undo"), rows[0] if rows else None)
        return next((row for row in rows if row.foreach != "undo"), None)

    def _row(self, key: str) -> Row:
        try:
            return self._spec.row_of(key, self.state.inputs)
        except KeyError:
            raise EvidenceFault(f"the journal names {key}, which the declaration doesn't have") from None

    def _operator_rows(self, state: str) -> list[Row]:
        return list(self._spec.rows_from(state, self.state.inputs, By.OPERATOR))

    def _operator_row(self, trigger: str) -> Row:
        row = next((each for each in self._operator_rows(self.state.state) if each.trigger == trigger), None)
        if row is None:
            raise self._illegal(trigger)
        if self._log.no_return and self._log.leads_to_undo(row.to):
            raise self._illegal(trigger, reason="the point of no return is passed: the only way is forward")
        if row.foreach == "undo" and not self.state.undo:
            raise self._illegal(trigger, reason="nothing is left to undo")
        return row

    def _illegal(self, trigger: str, reason: str = "") -> IllegalTransition:
        legal = [hint["do"] for hint in self._log.next_actions()]
        if not reason and any(r.trigger == trigger for r in self._spec.rows_from(self.state.state, self.state.inputs)):
            reason = "the runner fires it by itself: drfsm resume"
        return IllegalTransition(
            machine=self._spec.name, state=self.state.state, trigger=trigger, legal=legal, reason=reason
        )

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

    def _check_amendments(self, trigger: str, given: Mapping[str, Any]) -> None:
        """Raise UsageFault, naming all of them, where a row that amends inputs lacks them, or may not set them so."""
        for row in self._spec.rows_from(self.state.state, self.state.inputs, By.OPERATOR):
            if row.trigger == trigger and row.amends:
                check_inputs(self._spec, {**self.state.inputs, **{n: given[n] for n in row.amends if n in given}})
                if missing := [name for name in row.amends if name not in given]:
                    raise UsageFault(
                        f"{trigger} replaces {', '.join(row.amends)}, and {', '.join(missing)} is missing",
                        hint=f"drfsm request {trigger} " + " ".join(f"--arg {name}=…" for name in missing),
                    )

    def _touches(self, row: Row) -> bool:
        """Whether a row touches anything but its inputs; only then the lease is needed."""
        named = {fact for _, fact, _ in self._spec.wanted_of(row)} | self._spec.stand_ins(row)
        facts = [self._spec.facts[fact] for fact in named]
        return row.action is not None or row.foreach is not None or not all(fact.local for fact in facts)

    def _take_lease(self) -> None:
        if self._leased:
            return
        epoch = self._lease.acquire(self.state.run_id, self._operator, self._host)
        body: dict[str, Any] = {"epoch": epoch, "operator": self._operator, "host": self._host}
        if self._vouched:  # who answers for the records before this one
            body["vouched"] = self._vouched
        self._log.append("lease_acquired", body)
        self._leased = True


def check_inputs(spec: MachineSpec, inputs: Mapping[str, Any]) -> None:
    """Raise UsageFault, naming all of them, for inputs that the machine lacks, doesn't know or doesn't allow."""
    faults = [f"{name} is missing" for name in spec.inputs if name not in inputs]
    faults += [f"{name} is not an input of {spec.name}" for name in inputs if name not in spec.inputs]
    faults += [
        f"{name} is {inputs[name]!r}, which must be one of {', '.join(wanted.values)}"
        for name, wanted in spec.inputs.items()
        if name in inputs and wanted.values and str(inputs[name]) not in wanted.values
    ]
    limits = {row.wait.limit for row in spec.rows if row.wait and isinstance(row.wait.limit, str)}
    faults += [
        f"{name} is {inputs[name]!r}, which must be a number of seconds, 0 or more"
        for name in spec.inputs
        if name in limits and name in inputs and not _seconds(inputs[name])
    ]
    counts = {row.attempts.max for row in spec.rows if isinstance(row.attempts.max, str)}
    faults += [
        f"{name} is {inputs[name]!r}, which must be a whole number, 1 or more"
        for name in spec.inputs
        if name in counts and name in inputs and not _count(inputs[name])
    ]
    if faults:
        raise UsageFault(f"{spec.name} can't start: {'; '.join(faults)}")


def _seconds(given: Any) -> bool:
    try:
        number = float(given)
    except (TypeError, ValueError):
        return False
    return isfinite(number) and number >= 0


def _count(given: Any) -> bool:
    try:
        return int(str(given)) >= 1
    except ValueError:
        return False


def _said(what: str, given: Mapping[str, Any]) -> Any:
    """Return what a person gave as a record carries it. Raises UsageFault for what JSON can't say."""
    try:
        return exact(given)
    except ValueError as fault:
        raise UsageFault(f"the {what} can't be written down: {fault}") from None


def _essence(judged: Judged) -> Mapping[str, Any]:
    """Return what must change for a sample to be worth a record: values and what was seen."""
    return {name: (each.value, each.seen) for name, each in judged.readings.items()}


def _late(row: Row, judged: Judged, waited: float, limit: float, samples: str) -> GuardRefused:
    late = GuardRefused(judged.refusals, trigger=row.trigger)
    told = late.what if judged.refusals else f"{row.trigger} refused: {samples}"
    late.what = f"waited {waited:.0f} s (limit {limit:.0f} s). {told}"
    return late


def _unreadable(refused: GuardRefused) -> bool:
    return any(each["value"] == "unknown" for each in refused.refusals)


def _says_nothing(fault: DrfsmError) -> bool:
    """Whether a failure says nothing about how the world is: it could not be read or reached, or is this computer's."""
    if isinstance(fault, GuardRefused):
        return all(each["value"] == "unknown" for each in fault.refusals)
    return isinstance(fault, Unreachable | DiskFault | FileDamaged | JournalDamaged)


def new_run_id(machine: str) -> str:
    """Return a fresh id for a run of a machine."""
    # Fit for file names, Kubernetes names and labels.
    return f"{machine}-{datetime.now(UTC):%Y%m%dt%H%M%Sz}-{uuid4().hex[:6]}"


def who() -> str:
    """Return the name of the user who runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
