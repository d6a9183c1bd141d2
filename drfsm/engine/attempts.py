"""A row with all its attempts: waiting for its guards, pauses that double, one repair between two attempts.

Attempts are counted from one again whenever a person asks for the run to go on: the limit guards against a machine
that tries for ever, not against a person who has mended something. Called by runner.py; step.py takes one attempt.

Whoever drives a run a row at a time may make the pauses of a wait itself (``waits_elsewhere``): after each sample that
does not end the wait, ``Later`` leaves this process free, and the next ``take`` of the row goes on with the same wait.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import pairwise
from typing import Any

from attrs import evolve, frozen

from drfsm.claims import seconds_between
from drfsm.engine.log import RunLog
from drfsm.engine.observer import Judgement, Observer, recorded
from drfsm.engine.ports import Lease
from drfsm.engine.step import NeedsPerson, Step
from drfsm.errors import ActionFailed, DrfsmError, GuardRefused, Interrupted, LeaseLost, Unreachable
from drfsm.journal import Record
from drfsm.journal.record_types import Sampled
from drfsm.spec.model import Effect, Row, Wait

_NAP_SECONDS = 0.2  # so that a wait notices an interruption soon


class Later(BaseException):  # no error: nothing that catches errors may take it for one
    """Raised out of a wait whose pause the caller makes, for it waits elsewhere: the next sample is due later."""

    def __init__(self, seconds: float, *, here: bool) -> None:
        super().__init__(f"the next sample is due in {seconds:g} s")
        self.seconds, self.here = seconds, here  # here: another process would have to begin with the samples anew


@frozen
class Waiting:
    """A wait between two samples: of which row, in which attempt, since when, and what was seen last."""

    row: str
    attempt: int
    began: float  # on the clock's monotonic scale
    clear: int = 0
    last: Any = None


class Attempts:
    """Takes rows. ``interrupted``: whether to end a pause now; ``stop_asked``: why to stop after it, None to go on."""

    def __init__(
        self,
        log: RunLog,
        step: Step,
        observer: Observer,
        lease: Lease,
        *,
        interrupted: Callable[[], bool],
        stop_asked: Callable[[str], Interrupted | None],
    ) -> None:
        self._log, self._step, self._observer, self._lease = log, step, observer, lease
        self._interrupted, self._stop_asked = interrupted, stop_asked
        self.waits_elsewhere = False  # whether the pauses of a wait are the caller's: then it raises Later
        self._waiting: Waiting | None = None

    def take(self, row: Row, args: Mapping[str, Any] | None = None) -> None:
        """Try the row as often as it declares. Raises what the last attempt raised.

        A refusal is tried again as long as one of the values behind it could not be read; else it is final.
        """
        most = row.attempts.limit(self._log.state.inputs)
        for number in range(self._first_attempt(row), most + 1):
            try:
                judgement = self._wait(row, row.wait, number) if row.wait and not self._begun(row) else None
                self._step.attempt(row, args=args, judgement=judgement)
            except (LeaseLost, Interrupted):
                raise
            except DrfsmError as fault:
                if number == most or not self._may_try_again(row, fault):
                    raise
            else:
                return
            self.pause(row.attempts.backoff_seconds * 2 ** (number - 1), row)
            if number == 1 and row.attempts.repair:
                self._repair(row, row.attempts.repair)

    def forget(self) -> None:
        """Forget a wait that the caller paused: a person asked for the run to go on, so it is counted anew."""
        self._waiting = None

    def _first_attempt(self, row: Row) -> int:
        """Return the number of the attempt to begin with: of a wait that the caller paused, its own; else the first."""
        if not self.waits_elsewhere or row.wait is None or self._begun(row):
            self._waiting = None
        elif self._waiting is None or self._waiting.row != row.key:
            clock = self._log.clock
            self._waiting = waiting_in(self._log.journal.records(), row, clock.now(), clock.monotonic())
        return self._waiting.attempt if self._waiting else 1

    def _may_try_again(self, row: Row, fault: DrfsmError) -> bool:
        """Say whether another attempt may help, and is allowed: what could not be read may be readable now."""
        if fault.final:
            return False
        if isinstance(fault, GuardRefused):
            return any(check["value"] == "unknown" for check in fault.refusals)
        if isinstance(fault, NeedsPerson):
            return fault.case.letter == "F"
        return not (self._begun(row) and row.effect is Effect.ONCE)

    def _begun(self, row: Row) -> bool:
        intent = self._log.state.open
        return intent is not None and intent.row == row.key

    def _repair(self, row: Row, action: str) -> None:
        self._lease.check()
        result, fault = self._step.call(action, self._observer.run(row))
        self._log.append(
            "repaired", {"row": row.key, "action": action, "result": {"failed": fault.what} if fault else result}
        )

    # --- waiting ----------------------------------------------------------------------------------------

    def _wait(self, row: Row, wait: Wait, number: int) -> Judgement:
        """Sample the guards until they hold ``consecutive`` times in a row; the last sample is the row's judgement."""
        limit = float(self._log.state.inputs[wait.limit]) if isinstance(wait.limit, str) else wait.limit
        paused, self._waiting = self._waiting, None
        here = paused or Waiting(row.key, number, self._log.clock.monotonic())
        clear, last = here.clear, here.last
        while True:
            self._check_lease()
            judgement = self._observer.judge(row)
            clear = 0 if judgement.refusals else clear + 1
            waited = self._log.clock.monotonic() - here.began
            seen = {name: (reading.value, reading.seen) for name, reading in judgement.readings.items()}
            # Every clear sample is recorded, so that their number in a row can be proven.
            if seen != last or not judgement.refusals:
                self._record_sample(row, judgement, number, waited, limit)
                last = seen
            if clear >= wait.consecutive:
                return judgement
            if self._hopeless(row, wait, judgement):
                raise _refused(row, judgement)
            if waited >= limit:
                raise _late(row, judgement, waited, limit, f"{clear} of {wait.consecutive} clear samples")
            pause = min(wait.every_seconds, max(limit - waited, 0))
            if self.waits_elsewhere:
                self._waiting = evolve(here, clear=clear, last=last)
                raise Later(pause, here=clear > 0)
            self.pause(pause, row)

    def _hopeless(self, row: Row, wait: Wait, judgement: Judgement) -> bool:
        """Say whether waiting is pointless: by the row's declaration, or as a guard that is watched does not hold."""
        declared = any((judgement.values.get(name) or "unknown") in values for name, values in wait.give_up.items())
        guards = self._log.spec.guards
        watched = (check for check in judgement.refusals if row.source in guards[check.guard].watched)
        return declared or any(check.value != "unknown" for check in watched)

    def _check_lease(self) -> None:
        """Raise LeaseLost as soon as the run is taken over: a wait may last for hours. A silent store stops no wait."""
        if self._log.state.epoch:
            with suppress(Unreachable, ActionFailed):
                self._lease.check()

    def _record_sample(self, row: Row, judgement: Judgement, number: int, waited: float, limit: float) -> None:
        self._log.append(
            "sampled",
            {
                "row": row.key,
                "state": row.source,
                "facts": recorded(judgement.readings),
                "holds": not judgement.refusals,
                "unmet": sorted({check.fact for check in judgement.refusals}),
                "attempt": number,
                "waited_seconds": round(waited, 1),
                "limit_seconds": limit,
            },
        )

    def pause(self, seconds: float, row: Row) -> None:
        """Sleep. Raises Interrupted where this process was interrupted, or a person asked the run to stop."""
        until = self._log.clock.monotonic() + seconds
        while (left := until - self._log.clock.monotonic()) > 0 and not self._interrupted():
            self._log.clock.sleep(min(left, _NAP_SECONDS))
        if stop := self._stop_asked(f"{row.trigger} was interrupted while it waited"):
            raise stop


def waiting_in(records: Sequence[Record], row: Row, now: str, monotonic: float) -> Waiting | None:
    """Return the wait for a row that another process left between two samples; None where it is begun anew.

    Its clear samples count no more: whoever goes on must see as many in a row by itself (the audit asks for that), and
    gets the time for it. Of the time between two processes no more counts than the wait's pause: nobody has waited
    while a process was lost.
    """
    last = next((record for record in reversed(records) if record.kind not in ("resumed", "lease_acquired")), None)
    if last is None or not isinstance(last.content, Sampled) or last.content.row != row.key or last.content.holds:
        return None
    waited = last.content.waited_seconds or 0.0
    times = [record.at for record in records[last.seq :] if record.kind in ("sampled", "resumed")] + [now]
    moments = [datetime.fromisoformat(at) for at in times]
    gaps = [seconds_between(earlier, later) for earlier, later in pairwise(moments)]
    pause = row.wait.every_seconds if row.wait else 0.0
    waited += sum(min(gap, pause) for gap in gaps)
    return Waiting(row.key, max(last.content.attempt, 1), monotonic - waited)


def _refused(row: Row, judgement: Judgement) -> GuardRefused:
    return GuardRefused([check.json for check in judgement.refusals], trigger=row.trigger)


def _late(row: Row, judgement: Judgement, waited: float, limit: float, samples: str) -> GuardRefused:
    late = _refused(row, judgement)
    what = late.what if judgement.refusals else f"{row.trigger} refused: {samples}"
    late.what = f"waited {waited:.0f} s (limit {limit:.0f} s). {what}"
    return late
