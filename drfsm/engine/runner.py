"""Runs a declared machine: start, resume, an operator's request, a person's verdict on an open intent.

Owns the loops around one step (step.py): which row comes next, attempts with back-off and one repair,
waits, where a failure goes, when a run is held and how it ends. Everything that it decides is in the
journal before it acts on it, so that any process with the journal and the world can go on.
"""

import getpass
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from drfsm.engine import forecast
from drfsm.engine.binding import Binding
from drfsm.engine.log import OnRecord, RunLog
from drfsm.engine.ports import Clock, Journal, Lease, NoLease, SystemClock
from drfsm.engine.step import Judged, NeedsPerson, Say, Step, recorded
from drfsm.errors import (
    DrfsmError,
    EvidenceFault,
    GuardRefused,
    IllegalTransition,
    Interrupted,
    LeaseLost,
    UsageFault,
)
from drfsm.journal import RunState
from drfsm.spec.model import By, MachineSpec, Row, holds
from drfsm.spec.recovery import Do, Probe

VERSION = "0.1.0"
OUTCOMES = ("done", "not_done")
_NAP_SECONDS = 0.2  # so that a wait notices an interruption soon


class Runner:
    """One run of one machine. ``world`` is handed to every fact and action as it is.

    ``on_record`` subscribers hear every record after it is durable; ``say`` hears what actions tell while
    they work. Raises BindingFault unless the binding is complete for the machine.
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
    ) -> None:
        binding.complete_for(spec)
        self._spec, self._binding = spec, binding
        self._lease: Lease = lease or NoLease()
        self._clock: Clock = clock or SystemClock()
        self._log = RunLog(spec, journal, self._clock, on_record)
        self._operator, self._host = operator or _who(), host or platform.node()
        self._leased = False
        self._interrupted = False
        self._step = Step(self._log, binding, world, self._lease, interrupted=lambda: self._interrupted, say=say)

    @property
    def state(self) -> RunState:
        """Where the run stands."""
        return self._log.state

    def interrupt(self) -> None:
        """Ask the run to stop at the next clean point; safe to call from a signal handler."""
        self._interrupted = True

    # --- the verbs ------------------------------------------------------------------------------------

    def start(
        self, inputs: Mapping[str, Any], *, run_id: str = "", dry_run: bool = False, scope: str = "live"
    ) -> RunState:
        """Start a run and drive it as far as it goes. Raises UsageFault for inputs that the machine refuses."""
        if self.state.status != "none":
            raise UsageFault(f"this journal already holds the run {self.state.run_id}", way="drfsm resume")
        check_inputs(self._spec, inputs)
        self._log.append(
            "run_started",
            {
                "run_id": run_id or new_run_id(self._spec.name),
                "machine": self._spec.name,
                "machine_sha256": self._spec.sha256,
                "version": VERSION,
                "inputs": dict(inputs),
                "operator": self._operator,
                "host": self._host,
                "pid": os.getpid(),
                "dry_run": dry_run,
                "scope": scope,
                "state": self._spec.initial,
            },
        )
        self._step.engine.place(self._spec.initial)
        return self._go()

    def resume(self) -> RunState:
        """Go on from exactly where the journal says. A run that has ended stays ended; an unsealed end is sealed."""
        self._ready()
        if self._over():
            return self._finish()
        self._take_lease()
        self._log.append(
            "resumed",
            {"operator": self._operator, "host": self._host, "state": self.state.state, "pid": os.getpid()},
        )
        return self._go()

    def request(self, trigger: str, args: Mapping[str, Any] | None = None) -> RunState:
        """Fire an operator's row, then go on. An open intent is settled before.

        Raises IllegalTransition where the row is not legal: nothing moved, a ``rejected`` record remains.
        """
        self._ready()
        if self._over():
            self._finish()
            raise self._illegal(trigger, because=f"the run has ended: {self.state.status}")
        self._take_lease()
        self._settle(trigger)
        row = self._operator_row(trigger)
        try:
            self._step.attempt(row, args={**(args or {}), "operator": self._operator})
        except GuardRefused as refused:
            self._reject(trigger, refused.what)
            raise
        except LeaseLost:
            raise
        except DrfsmError as fault:
            self._hold(trigger, fault)
            return self.state
        return self._go()

    def abort(self, reason: str = "") -> RunState:
        """Ask for the machine's ``abort`` row."""
        return self.request("abort", {"reason": reason})

    def resolve(self, outcome: str, reason: str) -> RunState:
        """Record a person's verdict on an open intent (cases E and F): it is done, or it is not; then go on."""
        self._ready()
        if outcome not in OUTCOMES or not reason:
            raise UsageFault(f"an open intent is resolved as one of {', '.join(OUTCOMES)}, with a reason")
        if self._over() or self.state.open is None:
            raise self._illegal("resolve", because="no action's outcome is open")
        self._take_lease()
        row = self._row(self.state.open.row)
        self._log.append("resolved", {"row": row.key, "outcome": outcome, "reason": reason, "operator": self._operator})
        if outcome == "done":
            after = self._step.read(row.sets, row)
            facts = recorded(after)
            self._log.append(
                "commit",
                {
                    "row": row.key,
                    "trigger": row.trigger,
                    "from": row.source,
                    "to": row.to,
                    "by": By.OPERATOR.value,
                    "how": "resolved",
                    "guards": [],
                    "facts": facts,
                    "result": None,
                    "frozen": self._log.frozen({name: each.value for name, each in after.items()}),
                    "ways": self._log.ways(row.to),
                    "because": reason,
                },
            )
            self._step.engine.place(row.to)
        return self._go()

    # --- driving --------------------------------------------------------------------------------------

    def _go(self) -> RunState:
        if self.state.dry_run:
            return forecast.walk(self._spec, self._log, self._step)
        while not self._over():
            if self._interrupted:
                return self._hold(self.state.stage or "between two steps", Interrupted("stopped on request"))
            row = self._next()
            if row is None:
                return self._hold("waiting", DrfsmError(f"{self.state.state} waits for a person's decision"))
            if not self._through(row):
                return self.state
        return self._finish()

    def _through(self, row: Row) -> bool:
        """Take a row with all its attempts; return whether the run can go on."""
        try:
            if self._touches(row):
                self._take_lease()
            self._attempts(row)
        except LeaseLost:
            raise
        except DrfsmError as fault:
            return self._failed(row, fault)
        return True

    def _attempts(self, row: Row) -> None:
        """Try, with back-off and one repair between tries. A refusal by what was really seen is final."""
        for number in range(1, row.attempts.max + 1):
            try:
                judged = self._wait(row) if row.wait and not self.state.open else None
                self._step.attempt(row, judged=judged)
            except (LeaseLost, Interrupted, NeedsPerson):
                raise
            except GuardRefused as refused:
                if number == row.attempts.max or not _unreadable(refused):
                    raise
            except DrfsmError:
                if number == row.attempts.max or (self.state.open and not self._redoable(row)):
                    raise
            else:
                return
            self._pause(row.attempts.backoff_seconds * 2 ** (number - 1), row)
            if number == 1 and row.attempts.repair:
                self._repair(row)

    def _redoable(self, row: Row) -> bool:
        """Whether the next attempt may find out by itself what became of an open intent."""
        return self._step.recover(row)[0].do is not Do.HOLD

    def _repair(self, row: Row) -> None:
        name = row.attempts.repair
        assert name is not None  # noqa: S101  the caller asked
        run = self._step.run(row)
        try:
            result = self._binding.actions[name](self._step.world, run)
        except (LeaseLost, Interrupted):
            raise
        except DrfsmError as fault:
            result = {"failed": fault.what}
        self._log.append("repaired", {"row": row.key, "action": name, "result": result})

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
            if (seen := _essence(judged)) != told:
                self._log.append(
                    "sampled",
                    {
                        "row": row.key,
                        "state": row.source,
                        "facts": judged.facts,
                        "holds": not judged.refusals,
                        "waited_seconds": round(waited, 1),
                        "limit_seconds": limit,
                    },
                )
                told = seen
            if clear >= wait.consecutive:
                return judged
            values = {name: each.value for name, each in judged.readings.items()}
            if wait.give_up and any(holds({name: v}, values) for name, v in wait.give_up.items()):
                raise GuardRefused(judged.refusals, trigger=row.trigger)
            if waited >= limit:
                late = GuardRefused(judged.refusals or judged.checks, trigger=row.trigger)
                late.what = f"waited {waited:.0f} s (limit {limit:.0f} s). {late.what}"
                raise late
            self._pause(min(wait.every_seconds, max(limit - waited, 0)), row)

    def _pause(self, seconds: float, row: Row) -> None:
        until = self._clock.monotonic() + seconds
        while (left := until - self._clock.monotonic()) > 0:
            if self._interrupted:
                raise Interrupted(f"{row.trigger} was interrupted while it waited")
            self._clock.sleep(min(left, _NAP_SECONDS))
        if self._interrupted:
            raise Interrupted(f"{row.trigger} was interrupted while it waited")

    # --- where things go --------------------------------------------------------------------------------

    def _failed(self, row: Row, fault: DrfsmError) -> bool:
        """Send a failure where it is safe, else hold; return whether the run can go on."""
        safe = next(iter(self._spec.rows_from(self.state.state, self.state.inputs, By.FAILURE)), None)
        if safe is None or self.state.open is not None or isinstance(fault, Interrupted):
            self._hold(row.trigger, fault)
            return False
        self._step.attempt(safe, args={"stage": row.trigger, "reason": fault.what})
        return True

    def _hold(self, stage: str, fault: DrfsmError) -> RunState:
        self._log.append(
            "held",
            {
                "state": self.state.state,
                "stage": stage,
                "reason": fault.what,
                "fault": fault.fault,
                "frozen": self._log.frozen(),
                "ways": self._log.ways(),
                "way": fault.way,
                "interrupted": isinstance(fault, Interrupted),
            },
        )
        return self.state

    def _finish(self) -> RunState:
        """Write down the end of a run that stands in a final state. Each line may be the last one that we reach."""
        self._lease.release(self.state.run_id)
        if not self.state.ended:
            state = self.state
            failure = next((given for given in state.args.values() if "stage" in given), {})
            asked = next((given["reason"] for given in state.args.values() if given.get("reason")), "")
            self._log.append(
                "ended",
                {
                    "state": state.state,
                    "status": self._spec.finals[state.state],
                    "reason": failure.get("reason", asked),
                    "stage": failure.get("stage", ""),
                    "frozen": self._log.frozen(),
                    "ways": [],
                    # What an undo did not give back, on purpose, matters only where things were undone.
                    "kept": list(state.kept) if self._spec.finals[state.state] == "aborted" else [],
                },
            )
        if not self.state.sealed:
            self._log.append("seal", {"records": self.state.length, "head": self._log.journal.head})
        return self.state

    def _settle(self, trigger: str) -> None:
        """Settle an open intent before anything else: commit it if it is done, else close it for the undo."""
        if self.state.open is None:
            return
        row = self._row(self.state.open.row)
        case, _ = self._step.recover(row)
        if case.do is Do.COMMIT or (case.do is Do.HOLD):
            self._step.attempt(row)  # commits, or raises NeedsPerson
        elif not (self._log.no_return and row.final_write):
            self._step.close_intent(row, Probe.MIXED, f"given up for {trigger}")

    # --- pieces -----------------------------------------------------------------------------------------

    def _ready(self) -> None:
        state = self.state
        if state.status == "none":
            raise UsageFault("this journal holds no run", way="start one")
        if state.machine_sha256 != self._spec.sha256:
            raise EvidenceFault(
                f"the run was started with another declaration of {state.machine} than the one at hand",
                way="resume with the copy in the bundle",
            )
        self._step.engine.place(state.state)

    def _over(self) -> bool:
        return self.state.ended or self.state.state in self._spec.finals

    def _next(self) -> Row | None:
        """Return the runner's row from here: of a loop of undos and the row behind it, the undo comes first."""
        if self.state.open is not None:
            return self._row(self.state.open.row)
        rows = list(self._spec.rows_from(self.state.state, self.state.inputs, By.RUNNER))
        if self.state.undo:
            return next((row for row in rows if row.each == "undo"), rows[0] if rows else None)
        return next((row for row in rows if row.each != "undo"), None)

    def _row(self, key: str) -> Row:
        try:
            return self._spec.row_of(key, self.state.inputs)
        except KeyError:
            raise EvidenceFault(f"the journal names {key}, which the declaration doesn't have") from None

    def _operator_row(self, trigger: str) -> Row:
        rows = self._spec.rows_from(self.state.state, self.state.inputs, By.OPERATOR)
        row = next((each for each in rows if each.trigger == trigger), None)
        if row is None:
            raise self._illegal(trigger)
        if self._log.no_return and self._log.leads_to_undo(row.to):
            raise self._illegal(trigger, because="the point of no return is passed: the only way is forward")
        if row.each == "undo" and not self.state.undo:
            raise self._illegal(trigger, because="nothing is left to undo")
        return row

    def _illegal(self, trigger: str, because: str = "") -> IllegalTransition:
        legal = [way["do"] for way in self._log.ways()]
        if not because and any(r.trigger == trigger for r in self._spec.rows_from(self.state.state, self.state.inputs)):
            because = "the runner fires it by itself: drfsm resume"
        fault = IllegalTransition(
            machine=self._spec.name, state=self.state.state, trigger=trigger, legal=legal, because=because
        )
        self._reject(trigger, fault.what, legal)
        return fault

    def _reject(self, trigger: str, why: str, legal: Sequence[str] = ()) -> None:
        """Leave a trace of what was refused, if we may write: a sealed journal and others' runs stay as they are."""
        if self._leased and not self.state.ended:
            self._log.append(
                "rejected",
                {
                    "state": self.state.state,
                    "trigger": trigger,
                    "why": why,
                    "legal": list(legal),
                    "operator": self._operator,
                },
            )

    def _touches(self, row: Row) -> bool:
        """Whether a row touches anything but its inputs; only then the lease is needed."""
        facts = (self._spec.facts[fact] for _, fact, _ in self._spec.wanted_of(row))
        return row.action is not None or row.each is not None or not all(fact.local for fact in facts)

    def _take_lease(self) -> None:
        if self._leased:
            return
        epoch = self._lease.acquire(self.state.run_id, self._operator, self._host)
        self._log.append("lease_acquired", {"epoch": epoch, "operator": self._operator, "host": self._host})
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
    if faults:
        raise UsageFault(f"{spec.name} can't start: {'; '.join(faults)}")


def _essence(judged: Judged) -> Callable[[], None] | Any:
    """Return what must change for a sample to be worth a record: values and what was seen."""
    return {name: (each.value, each.seen) for name, each in judged.readings.items()}


def _unreadable(refused: GuardRefused) -> bool:
    return any(each["value"] == "unknown" for each in refused.refusals)


def new_run_id(machine: str) -> str:
    """Return a fresh id for a run of a machine."""
    # Fit for file names, Kubernetes names and labels.
    return f"{machine}-{datetime.now(UTC):%Y%m%dt%H%M%Sz}-{uuid4().hex[:6]}"


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
