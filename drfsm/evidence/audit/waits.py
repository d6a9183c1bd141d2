"""What a wait's samples and the records that settle something must be; steps.py has the steps themselves.

Called by kinds.py and steps.py.
"""

from collections.abc import Mapping

from drfsm.evidence.audit.position import Position
from drfsm.journal import InFlight, Record
from drfsm.journal.record_types import Reading, Resolved, Sampled, Settled, Transition
from drfsm.journal.replay import covers
from drfsm.spec.model import By, Row

_LEAST_APART_SECONDS = 0.2

# --- waiting --------------------------------------------------------------------------------------------


def sampled(here: Position, record: Record, sample: Sampled) -> None:
    """Check that a sample belongs to a wait of where the run stands, and is clear exactly if the guards held."""
    row = here.row(record, sample.row)
    here.observations.facts(record.seq, sample.facts)
    if row is None:
        return
    if row.wait is None or sample.state != row.source or row.source != here.state.state:
        here.add(record, "no_such_wait", f"{row.trigger} is not waited for in {here.state.state}")
    if here.halted and row.by is By.RUNNER:
        here.add(record, "went_on_though_held", f"{row.trigger}: the run was held, and nobody has resumed it")
    unmet = _unmet(here, row, sample.facts)
    if sample.unmet is not None and list(sample.unmet) != unmet:
        here.add(
            record,
            "sample_wrong",
            f"{row.trigger}: the sample says that it waits for {list(sample.unmet)}, not {unmet}",
            expected=unmet,
            found=list(sample.unmet),
        )
    if sample.holds is bool(unmet):
        here.add(
            record,
            "sample_wrong",
            f"{row.trigger}: the sample is not {'clear' if sample.holds else 'unclear'}",
            expected=not unmet,
            found=sample.holds,
        )
    _wait_counted(here, record, sample, row)
    _in_turn(here, record, sample, row)
    _limited(here, record, sample, row)
    _, clear = here.samples.get(row.key, (None, 0))
    here.samples[row.key] = sample, clear + 1 if sample.holds else 0
    here.invariants.read(sample.facts)
    here.invariants.hold(record.seq, row.source)


def _wait_counted(here: Position, record: Record, sample: Sampled, row: Row) -> None:
    """Check that a wait's tries are counted up, or by another process from one, and are no more than declared."""
    if not sample.attempt:  # 0.1.0 and 0.2.0 did not record it
        return
    before = here.samples.get(row.key)
    last = before[0].attempt if before is not None else 0
    if 1 < sample.attempt < last:
        here.add(
            record,
            "attempt_number_wrong",
            f"{row.trigger} says try {sample.attempt} of its wait after try {last}",
            expected=last,
            found=sample.attempt,
        )
    most = here.limit(record, row, row.attempts.limit, f"its attempts are limited by {row.attempts.max}")
    if most is not None and sample.attempt > most:
        here.add(
            record,
            "too_many_attempts",
            f"{row.trigger} is waited for more often than its {most} declared attempts",
            expected=most,
            found=sample.attempt,
        )


def _limited(here: Position, record: Record, sample: Sampled, row: Row) -> None:
    """Check that a sample names the limit that the wait has by this run's inputs."""
    limit = row.wait.limit if row.wait is not None else None
    due = here.state.inputs.get(limit) if isinstance(limit, str) else limit
    try:
        other = due is not None and sample.limit_seconds is not None and float(due) != sample.limit_seconds
    except (TypeError, ValueError):
        return
    if other:
        what = f"{row.trigger}: the sample names another limit of its wait"
        here.add(record, "sample_wrong", what, expected=due, found=sample.limit_seconds)


def _in_turn(here: Position, record: Record, sample: Sampled, row: Row) -> None:
    """Check that a sample is later in its wait than the one before it, and says something else unless it is clear."""
    last = here.samples[row.key][0] if row.key in here.samples else None
    same_try = last is not None and sample.attempt == last.attempt and sample.attempt
    if last is None or not same_try or sample.waited_seconds is None or last.waited_seconds is None:
        return
    if sample.waited_seconds < last.waited_seconds:
        what = f"{row.trigger}: the sample waited less than the one before it"
        here.add(record, "sample_out_of_order", what, expected=last.waited_seconds, found=sample.waited_seconds)
    elif _repeats(sample, last, row):
        here.add(record, "sample_repeated", f"{row.trigger}: the sample says what the one before it says")


def _repeats(sample: Sampled, last: Sampled, row: Row) -> bool:
    """Say whether a sample is a copy: of an unclear one nothing changed, of a clear one not even the time.

    Times have one digit after the point: of a wait that looks more often than that, two may be the same.
    """
    if sample.facts != last.facts:
        return False
    often = row.wait is None or row.wait.every_seconds < _LEAST_APART_SECONDS
    return not sample.holds or (sample.waited_seconds == last.waited_seconds and not often)


def _unmet(here: Position, row: Row, facts: Mapping[str, Reading]) -> list[str]:
    """Return the facts that keep the row waiting."""
    declared = here.observations.declared(row, facts)
    values = {name: reading.value for name, reading in facts.items()}
    return sorted({fact for (_, fact), (needed, _) in declared.items() if values.get(fact) not in needed})


def waited(here: Position, record: Record, step: Transition, row: Row) -> None:
    """Check that a wait was sampled: the last sample is clear, and the row went on with exactly what it saw."""
    if row.key not in here.samples:
        here.add(record, "no_sample", f"{row.trigger} went on without a sample of what it waits for")
        return
    last, clear = here.samples[row.key]
    if not last.holds or any(step.facts.get(name) != reading for name, reading in last.facts.items()):
        here.add(
            record, "wait_ended_on_other_readings", f"{row.trigger} went on with other readings than its last sample"
        )
    # Each of the declared number of clear samples in a row is on record.
    if row.wait is not None and clear < row.wait.consecutive:
        here.add(
            record,
            "too_few_clear_samples",
            f"{row.trigger} went on after {clear} clear samples of {row.wait.consecutive} in a row",
            expected=row.wait.consecutive,
            found=clear,
        )


# --- settled ----------------------------------------------------------------------------------------------


def resolved(here: Position, record: Record, verdict: Resolved) -> None:
    """Check that a person settles what was begun, by name and with a reason."""
    opened = here.state.open
    if opened is None or opened.row != verdict.row:
        operator = verdict.operator or "somebody"
        here.add(record, "nothing_to_settle", f"{operator} settles {verdict.row}, which has no open intent")
    if verdict.outcome not in ("done", "not_done") or not verdict.reason or not verdict.operator:
        here.add(
            record, "settled_by_nobody", "an open outcome is settled as done or not_done, by a person, with a reason"
        )
    here.halted = False
    here.begun.clear()


def settled(here: Position, record: Record, late: Settled) -> None:
    """Check that only what may be on its way is settled, and that what landed late was seen to have landed."""
    row = next((declared for declared in here.spec.rows if declared.key == late.row), None)
    flight = next((flight for flight in here.state.in_flight if flight.key == (late.row, late.undoes)), None)
    here.observations.facts(record.seq, late.facts)
    if flight is not None and late.how == "answered":
        here.add(record, "said_to_be_answered", f"every attempt of {late.row} is said to be answered, but one was not")
    if row is not None and flight is None and _gives_up(here, row, late):
        flight = InFlight(row.key, row.trigger, frozenset(row.sets), attempts=0)
    if row is None or flight is None or late.trigger != flight.trigger:
        here.add(record, "nothing_to_settle", f"{late.row} is settled, but no request of it can be on its way")
        return
    values = {name: reading.value for name, reading in late.facts.items()}
    if late.done != (bool(values) and all(values.get(name) == value for name, value in row.sets.items())):
        here.add(record, "settled_unlike_seen", f"{row.trigger} is recorded as done={late.done}, unlike what was seen")
    entry = next((entry for entry in here.state.undone if flight.changed(entry)), None)
    undone = entry is not None and all(
        name in late.facts and covers(late.facts[name].seen, snapshot) for name, snapshot in entry.before.items()
    )
    if late.how == "touched" and not late.undoes and _has_no_condition(here, row):
        here.add(
            record,
            "said_to_be_shut_out",
            f"{row.trigger} is said to be shut out by a touch, and its request has no condition",
        )
    if late.how == "waited" and not flight.committed:
        here.add(
            record,
            "said_to_be_waited_for",
            f"{row.trigger} is said to be done by a later request, and no record says so",
        )
    if late.how == "landed_late" and (entry is None or undone):
        here.add(
            record,
            "said_to_have_landed",
            f"{row.trigger} is said to have landed late, but what it changes is as it was before",
        )
    if late.how == "read_again" and entry is not None and late.facts and not undone:
        here.add(
            record,
            "said_not_to_have_landed",
            f"{row.trigger} is said not to have landed, but what it changes is not as before",
        )
    here.invariants.read(late.facts)


def _has_no_condition(here: Position, row: Row) -> bool:
    """Say whether no touch shuts out every request of a row's action, as far as that is known."""
    how = here.late.get(row.action or "") if here.late is not None else None
    return row.lands_late if how is None else bool(how.settles or not how.touch)


def _gives_up(here: Position, row: Row, late: Settled) -> bool:
    """Say whether a record may close the intent of a point of no return of which every attempt was answered."""
    begun = row.key in here.state.snapshots and row.key not in here.state.unchanged
    return begun and row.can_be_given_up and not late.undoes and late.how == "answered"
