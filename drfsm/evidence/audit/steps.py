"""What each record of a step must be: begun, failed, done, waited for, settled by a person; as declared.

The rules are the engine's order of things (engine/step.py) and the recovery table (spec/recovery.py), read from the
other side: from the records alone. Each rule adds its findings and stops nothing. ``here`` is where the audited run
stood before the record. Called by kinds.py, which folds the record afterwards.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from drfsm.evidence.audit import approvals
from drfsm.evidence.audit.late import unsettled_before
from drfsm.evidence.audit.position import Position
from drfsm.journal import InFlight, OpenIntent, Record
from drfsm.journal.record_types import Commit, Failed, Intent, Reading, Repaired, Resolved, Sampled, Settled, Transition
from drfsm.journal.replay import covers
from drfsm.journal.undoing import acts, leads_to_undo, past_point_of_no_return, undo_entry
from drfsm.spec.model import By, Effect, Row
from drfsm.spec.recovery import Probe

# --- begun ----------------------------------------------------------------------------------------------


def intent(here: Position, record: Record, begun: Intent) -> None:
    """Check that an action begins only from where the run stands, by a declared row whose guards hold."""
    row = here.row(record, begun.row)
    _amending(here, record, begun, row)
    here.observations.facts(record.seq, begun.facts)
    if row is None:
        return
    redo = here.state.open is not None and here.state.open.row == row.key
    if here.state.predecessor is not None and (row.sets or row.foreach):
        left = here.state.predecessor.run_id
        here.add(record, "recovery", f"{row.trigger} begins before what the run {left} left open is settled")
    _move(here, record, begun, row)
    _begins(here, record, begun, row, redo=redo)
    if not redo:
        _clear(here, record, row)
    skipped = row.sets if redo and row.effect is Effect.IDEMPOTENT else {}
    here.observations.guards(record.seq, begun, row, skipped=skipped)
    _snapshot(here, record, begun, _changes(here, row))
    if row.wait and not redo:
        _waited(here, record, begun, row)
    before = {name: begun.facts[name] for name in begun.before if name in begun.facts}
    here.check_frozen(record, begun.frozen, before, begun.facts)
    here.begun[row.key] = here.begun.get(row.key, 0) + 1
    here.invariants.taken(row.trigger)
    here.invariants.read(begun.facts)
    here.invariants.hold(record.seq, row.source)


def _begins(here: Position, record: Record, begun: Intent, row: Row, *, redo: bool) -> None:
    state = here.state
    if not acts(row):
        here.add(record, "legality", f"{row.trigger} has no action, so it can have no intent")
    if not state.epoch or state.lease_released:
        here.add(record, "lease", f"{row.trigger} begins without a lease")
    if begun.effect != row.effect.value:
        here.add(record, "row", f"{row.trigger} has effect {row.effect}, recorded is {begun.effect}")
    if "final_write" in record.body and begun.point_of_no_return != row.point_of_no_return:
        here.add(record, "row", f"{row.trigger} is recorded as the point of no return, and is not, or the reverse")
    if redo and row.effect is Effect.ONCE and not row.foreach:
        here.add(record, "recovery", f"{row.trigger} may be done once; it begins again while its outcome is open (E)")
    if redo and state.open is not None and state.open.verdict:
        here.add(record, "recovery", f"{row.trigger} begins again though a person said that it was done")
    if (begun.undo or None) != row.undo:
        here.add(record, "undo", f"{row.trigger}: its undo is {row.undo}, recorded is {begun.undo}")
    _kept(here, record, begun, row)
    _counted(here, record, begun, row, redo=redo)


def _clear(here: Position, record: Record, row: Row) -> None:
    """Check that nothing which this run has sent could still change what the row's guards saw."""
    for flight in unsettled_before(here.spec, here.state, row, here.late):
        action = f"the undo of {flight.undoes}" if flight.undoes else flight.trigger
        what = f"{row.trigger} was taken, and nothing shows that {action} could not take effect any more"
        here.add(record, "late", what)


def _kept(here: Position, record: Record, step: Transition, row: Row) -> None:
    if step.kept != row.not_undone_because:
        here.add(record, "row", f"{row.trigger}: why it is not undone is recorded other than declared")


def _counted(here: Position, record: Record, begun: Intent, row: Row, *, redo: bool) -> None:
    """Check that attempts are counted, and no more than are declared."""
    state = here.state
    due = (state.open.attempt if redo and state.open else state.attempts.get(row.key, 0)) + 1
    if begun.attempt != due:
        here.add(record, "attempts", f"{row.trigger} says attempt {begun.attempt} where {due} is due")
    most = _limit(here, record, row, row.attempts.limit, f"its attempts are limited by {row.attempts.max}")
    if most is not None and here.begun.get(row.key, 0) >= most:
        here.add(record, "attempts", f"{row.trigger} begins more often than its {most} declared attempts")


def _limit(
    here: Position, record: Record, row: Row, limit: Callable[[Mapping[str, Any]], int | None], declared: str
) -> int | None:
    """Return how often something may be done by this run's inputs; an input that is no number is a finding."""
    try:
        return limit(here.state.inputs)
    except (KeyError, TypeError, ValueError):
        here.add(record, "inputs", f"{row.trigger}: {declared}, which is no number")
        return None


def _snapshot(here: Position, record: Record, begun: Intent, names: Iterable[str]) -> None:
    """Check that the snapshot before an action is what the same record saw, of exactly the facts that it changes."""
    if set(begun.before) != set(names):
        here.add(record, "undo", f"{begun.trigger}: the snapshot before it is not of the facts that it changes")
    for name, snapshot in begun.before.items():
        reading = begun.facts.get(name)
        if reading is None or reading.seen != snapshot:
            here.add(record, "undo", f"{begun.trigger}: the snapshot of {name} is not what was seen")


def failed(here: Position, record: Record, failure: Failed) -> None:
    """Check that only what was begun fails, and that the record says which attempt and what was seen to be done."""
    row, opened = here.row(record, failure.row), here.state.open
    if row is None:
        return
    if opened is None or opened.row != row.key:
        here.add(record, "recovery", f"{row.trigger} failed without an intent")
    elif (failure.trigger, failure.state, failure.attempt) != (row.trigger, row.source, opened.attempt):
        here.add(record, "row", f"{row.trigger}: the failed attempt is not the one that was begun")
    if failure.verdict not in (Probe.NOT_DONE, Probe.MIXED, Probe.UNKNOWN):
        here.add(record, "recovery", f"{row.trigger} failed with the verdict {failure.verdict!r}")
    if opened is not None:  # the inputs that a row amends are judged by as it was begun
        here.observations.inputs = {**here.state.inputs, **{name: opened.args.get(name) for name in row.amends}}
    here.observations.facts(record.seq, failure.facts)
    if opened is not None:
        _verdict(here, record, failure, row, opened)
    if failure.frozen is not None:
        here.check_frozen(record, failure.frozen, failure.facts)
    here.invariants.changed(_changes(here, row))
    here.invariants.read(failure.facts)
    here.invariants.hold(record.seq, row.source)


def _verdict(here: Position, record: Record, failure: Failed, row: Row, opened: OpenIntent) -> None:
    """Check that what is said not to be done, so that its intent is closed, was seen to be as before."""
    facts, names = failure.facts, _changes(here, row)
    same = all(name in facts and facts[name].seen == opened.before.get(name) for name in names)
    if failure.verdict == Probe.NOT_DONE and names and not same:
        here.add(record, "recovery", f"{row.trigger} is said not to be done, but what it changes is not as before")


def repaired(here: Position, record: Record, repair: Repaired) -> None:
    """Check that a repair is the declared one, of a row that is being tried."""
    row = here.row(record, repair.row)
    if row is not None and (repair.action != row.attempts.repair or row.source != here.state.state):
        here.add(record, "legality", f"{repair.action} is no repair of {row.trigger} here")


# --- done -----------------------------------------------------------------------------------------------


def commit(here: Position, record: Record, done: Commit) -> None:
    """Check that a move is made only with its intent, its guards, and the facts as the row sets them."""
    row = here.row(record, done.row)
    _amending(here, record, done, row)
    here.observations.facts(record.seq, done.facts)
    if row is None:
        return
    _move(here, record, done, row)
    _HOW_DONE.get(done.how, _unknown_how)(here, record, done, row)
    approvals.approved(here, record, done)
    _kept(here, record, done, row)
    here.check_frozen(record, done.frozen, done.facts)
    here.check_next_actions(record, done.next_actions, row.to)
    changed = _changes(here, row) if acts(row) else ()
    here.invariants.read(done.facts)
    here.invariants.changed(changed, but=[name for name in changed if name in done.facts])
    here.invariants.taken(row.trigger)
    here.invariants.hold(record.seq, row.to)
    here.begun.clear()
    here.samples.clear()
    here.halted = here.halted and row.by is By.RUNNER


def _judged(here: Position, record: Record, done: Commit, row: Row) -> None:
    if acts(row):
        here.add(record, "intent", f"{row.trigger} is committed without an intent")
    _clear(here, record, row)
    here.observations.guards(record.seq, done, row)
    if row.wait:
        _waited(here, record, done, row)


def _acted(here: Position, record: Record, done: Commit, row: Row) -> None:
    opened = here.state.open
    if opened is None or opened.row != row.key:
        here.add(record, "intent", f"{row.trigger} is committed without an intent")
        here.observations.guards(record.seq, done, row)
    elif opened.guards != done.guards:
        here.add(record, "guard", f"{row.trigger}: the guards are not those that it began with")
    if row.foresees:
        here.observations.foreseen(record.seq, row, done.foreseen, done.facts)
    if opened is not None and done.args != opened.args:
        here.add(record, "row", f"{row.trigger}: its arguments are not those that it began with")
    _postcondition(here, record, done, row)


def _found_done(here: Position, record: Record, done: Commit, row: Row) -> None:
    """Check what was found done: a begun action whose commit was missing (C), or an undo that is there already."""
    opened, undo = here.state.open, row.foreach == "undo"
    if opened is None and not undo:
        here.add(record, "intent", f"{row.trigger} is committed as found without an intent")
    elif opened is not None:
        # Without a case: an undo that was to be done again, and then was seen to be there.
        allowed = done.case == "C" or (undo and done.case is None)
        if not allowed or opened.verdict or (row.effect is Effect.NONE and not undo):
            here.add(record, "recovery", f"{row.trigger} is committed as found, which the recovery table doesn't allow")
    if done.guards or (undo and done.case != "C"):
        here.observations.guards(record.seq, done, row)
    _postcondition(here, record, done, row)


def _by_a_person(here: Position, record: Record, _done: Commit, row: Row) -> None:
    opened = here.state.open
    if opened is None or opened.row != row.key or opened.verdict != "done":
        here.add(record, "recovery", f"{row.trigger} is committed as resolved, but nobody said that it was done")


def _unknown_how(here: Position, record: Record, done: Commit, row: Row) -> None:
    here.add(record, "row", f"{row.trigger} is committed as {done.how!r}: there is no such word")


_HOW_DONE = {"judged": _judged, "acted": _acted, "found": _found_done, "resolved": _by_a_person}


def _postcondition(here: Position, record: Record, done: Commit, row: Row) -> None:
    """Check the facts read afterwards: as the row sets them, or, where a change is undone, as they were before it."""
    entry = undo_entry(row, here.state)
    if entry is not None:
        for name, snapshot in entry.before.items():
            if name not in done.facts or not covers(done.facts[name].seen, snapshot):
                here.add(record, "postcondition", f"{entry.trigger} is not undone: {name} is not as it was before")
    for name, value in row.sets.items():
        now = done.facts[name].value if name in done.facts else "not read"
        if now != value:
            here.add(record, "postcondition", f"{row.trigger} is done, but {name} is {now or 'unknown'}, not {value}")


# --- both -----------------------------------------------------------------------------------------------


def _move(here: Position, record: Record, step: Transition, row: Row) -> None:
    """Check what an intent and a commit have in common: the row, where the run stands, who fired it."""
    resolved = isinstance(step, Commit) and step.how == "resolved"
    if (step.trigger, step.source, step.to) != (row.trigger, row.source, row.to):
        recorded = f"{step.source} --{step.trigger}--> {step.to}"
        here.add(record, "row", f"it says {recorded}, but names the row {row.key}")
    if row.source != here.state.state:
        here.add(record, "legality", f"{row.trigger} leaves {row.source}, but the run stood in {here.state.state}")
    fires = By.OPERATOR if resolved else row.by
    if step.by != fires.value:
        here.add(record, "legality", f"{row.trigger} is fired by the {fires}, not by {step.by}")
    if step.reason != row.reason:
        here.add(record, "row", f"{row.trigger}: its reason is recorded other than declared")
    _asked_for(here, record, step, row)
    _leads_back(here, record, row)
    _settled(here, record, step, row)
    _undoing(here, record, step, row)


def _amending(here: Position, record: Record, step: Transition, row: Row | None) -> None:
    """Check that inputs are replaced only by a row that declares it, as the person's arguments have them."""
    names = row.amends if row is not None else ()
    if step.amends != {name: step.args[name] for name in names if name in step.args} or set(step.amends) != set(names):
        here.add(record, "inputs", f"{step.trigger} replaces other inputs than it declares and its arguments name")
    for name in step.amends.keys() & here.spec.inputs.keys():
        values = here.spec.inputs[name].values
        if values and str(step.amends[name]) not in values:
            here.add(record, "inputs", f"input {name} becomes {step.amends[name]!r}, none of {', '.join(values)}")
    here.observations.inputs = {**here.state.inputs, **step.amends}


def _asked_for(here: Position, record: Record, step: Transition, row: Row) -> None:
    """Check that a person's row names the person, a failure's row the failure, and that a hold was ended."""
    opened = here.state.open
    if row.by is By.OPERATOR and not step.args.get("operator"):
        here.add(record, "legality", f"{row.trigger} is a person's command, and no person is named")
    if row.by is By.FAILURE and not step.args.get("reason"):
        here.add(record, "legality", f"{row.trigger} is for a failure, and no failure is named")
    settles = opened is not None and isinstance(step, Commit)
    if here.halted and row.by is By.RUNNER and not settles:
        here.add(record, "legality", f"{row.trigger}: the run was held, and nobody has resumed it")


def _leads_back(here: Position, record: Record, row: Row) -> None:
    """Check that a failure's row that leads back is taken no more often than its rounds allow."""
    most = _limit(here, record, row, row.returns, f"its rounds are limited by {row.rounds}")
    if most is not None and here.state.returns.get(row.key, 0) >= most:
        here.add(record, "attempts", f"{row.trigger} leads back more often than its {most + 1} declared rounds allow")


def _settled(here: Position, record: Record, step: Transition, row: Row) -> None:
    """Check that an open intent is settled first. Only a person's row, or a failure's that overrides, may supersede it.

    An open intent that may be done once, or is past the point of no return, is never superseded: it is completed, or
    resolved by a person.
    """
    opened = here.state.open
    other = opened if opened is not None and opened.row != row.key else None
    if isinstance(step, Commit) and step.supersedes != (other.row if other else None):
        here.add(
            record,
            "recovery",
            f"{row.trigger} says that it supersedes {step.supersedes}, open was {other and other.row}",
        )
    if other is None:
        return
    undoing = any(declared.key == other.row and declared.foreach for declared in here.spec.rows)
    final = any(declared.key == other.row and declared.point_of_no_return for declared in here.spec.rows)
    may = row.by is By.OPERATOR or row.overrides_open_intent
    if not may or final or (other.effect == Effect.ONCE and not undoing):
        here.add(record, "recovery", f"{row.trigger} comes before the open intent of {other.trigger} is settled")


def _undoing(here: Position, record: Record, step: Transition, row: Row) -> None:
    spec, state, entry = here.spec, here.state, undo_entry(row, here.state)
    if past_point_of_no_return(spec, state) and (row.foreach == "undo" or leads_to_undo(spec, row.to)):
        here.add(record, "undo", f"{row.trigger} undoes what is past the point of no return")
    if row.foreach != "undo":
        left = [undoable.trigger for undoable in state.undo]
        if row.by is By.RUNNER and left and leads_to_undo(spec, row.source):
            here.add(record, "undo", f"{row.trigger} comes before these are undone: {', '.join(left)}")
        if step.undoes:
            here.add(record, "undo", f"{row.trigger} undoes nothing, yet names {step.undoes}")
    elif entry is None:
        here.add(record, "undo", f"{row.trigger}: nothing is left to undo")
    elif step.undoes != entry.row:
        undoes = step.undoes or "nothing"
        here.add(record, "undo", f"{row.trigger} undoes {undoes}, but the newest thing left is {entry.row}")


def _changes(here: Position, row: Row) -> tuple[str, ...]:
    """Return the facts that a row's action changes."""
    entry = undo_entry(row, here.state)
    return tuple(entry.before) if entry is not None else tuple(row.sets)


# --- waiting, and what a person settles -----------------------------------------------------------------


def sampled(here: Position, record: Record, sample: Sampled) -> None:
    """Check that a sample belongs to a wait of where the run stands, and is clear exactly if the guards held."""
    row = here.row(record, sample.row)
    here.observations.facts(record.seq, sample.facts)
    if row is None:
        return
    if row.wait is None or sample.state != row.source or row.source != here.state.state:
        here.add(record, "legality", f"{row.trigger} is not waited for in {here.state.state}")
    if here.halted and row.by is By.RUNNER:
        here.add(record, "legality", f"{row.trigger}: the run was held, and nobody has resumed it")
    unmet = _unmet(here, row, sample.facts)
    if sample.unmet is not None and list(sample.unmet) != unmet:
        here.add(record, "wait", f"{row.trigger}: the sample says that it waits for {list(sample.unmet)}, not {unmet}")
    if sample.holds is bool(unmet):
        here.add(record, "wait", f"{row.trigger}: the sample is not {'clear' if sample.holds else 'unclear'}")
    _wait_counted(here, record, sample, row)
    here.samples.append(sample)
    here.invariants.read(sample.facts)
    here.invariants.hold(record.seq, row.source)


def _wait_counted(here: Position, record: Record, sample: Sampled, row: Row) -> None:
    """Check that a wait's tries are counted up, or by another process from one, and are no more than declared."""
    if not sample.attempt:  # 0.1.0 and 0.2.0 did not record it
        return
    last = next((other.attempt for other in reversed(here.samples) if other.row == row.key), 0)
    if 1 < sample.attempt < last:
        here.add(record, "attempts", f"{row.trigger} says try {sample.attempt} of its wait after try {last}")
    most = _limit(here, record, row, row.attempts.limit, f"its attempts are limited by {row.attempts.max}")
    if most is not None and sample.attempt > most:
        here.add(record, "attempts", f"{row.trigger} is waited for more often than its {most} declared attempts")


def _unmet(here: Position, row: Row, facts: Mapping[str, Reading]) -> list[str]:
    """Return the facts that keep the row waiting."""
    declared = here.observations.declared(row, facts)
    values = {name: reading.value for name, reading in facts.items()}
    return sorted({fact for (_, fact), (needed, _) in declared.items() if values.get(fact) not in needed})


def _waited(here: Position, record: Record, step: Transition, row: Row) -> None:
    """Check that a wait was sampled: the last sample is clear, and the row went on with exactly what it saw."""
    samples = [sample for sample in here.samples if sample.row == row.key]
    if not samples:
        here.add(record, "wait", f"{row.trigger} went on without a sample of what it waits for")
        return
    last = samples[-1]
    if not last.holds or any(step.facts.get(name) != reading for name, reading in last.facts.items()):
        here.add(record, "wait", f"{row.trigger} went on with other readings than its last sample")
    _long_enough(here, record, row, samples)


def _long_enough(here: Position, record: Record, row: Row, samples: Sequence[Sampled]) -> None:
    """Check that the guards held in as many samples in a row as are declared: each of those is on record."""
    clear = 0
    for sample in samples:
        clear = clear + 1 if sample.holds else 0
    if row.wait is not None and clear < row.wait.consecutive:
        here.add(
            record, "wait", f"{row.trigger} went on after {clear} clear samples of {row.wait.consecutive} in a row"
        )


def resolved(here: Position, record: Record, verdict: Resolved) -> None:
    """Check that a person settles what was begun, by name and with a reason."""
    opened = here.state.open
    if opened is None or opened.row != verdict.row:
        operator = verdict.operator or "somebody"
        here.add(record, "recovery", f"{operator} settles {verdict.row}, which has no open intent")
    if verdict.outcome not in ("done", "not_done") or not verdict.reason or not verdict.operator:
        here.add(record, "recovery", "an open outcome is settled as done or not_done, by a person, with a reason")
    here.halted = False
    here.begun.clear()


def settled(here: Position, record: Record, late: Settled) -> None:
    """Check that only what may be on its way is settled, and that what landed late was seen to have landed."""
    row = next((declared for declared in here.spec.rows if declared.key == late.row), None)
    flight = next((flight for flight in here.state.in_flight if flight.key == (late.row, late.undoes)), None)
    here.observations.facts(record.seq, late.facts)
    if flight is not None and late.how == "answered":
        here.add(record, "recovery", f"every attempt of {late.row} is said to be answered, but one was not")
    if row is not None and flight is None and _gives_up(here, row, late):
        flight = InFlight(row.key, row.trigger, frozenset(row.sets), attempts=0)
    if row is None or flight is None or late.trigger != flight.trigger:
        here.add(record, "recovery", f"{late.row} is settled, but no request of it can be on its way")
        return
    values = {name: reading.value for name, reading in late.facts.items()}
    if late.done != (bool(values) and all(values.get(name) == value for name, value in row.sets.items())):
        here.add(record, "postcondition", f"{row.trigger} is recorded as done={late.done}, unlike what was seen")
    entry = next((entry for entry in here.state.undone if flight.changed(entry)), None)
    undone = entry is not None and all(
        name in late.facts and covers(late.facts[name].seen, snapshot) for name, snapshot in entry.before.items()
    )
    if late.how == "touched" and not late.undoes and _has_no_condition(here, row):
        here.add(record, "late", f"{row.trigger} is said to be shut out by a touch, and its request has no condition")
    if late.how == "waited" and not flight.committed:
        here.add(record, "recovery", f"{row.trigger} is said to be done by a later request, and no record says so")
    if late.how == "landed_late" and (entry is None or undone):
        here.add(record, "undo", f"{row.trigger} is said to have landed late, but what it changes is as it was before")
    if late.how == "read_again" and entry is not None and late.facts and not undone:
        here.add(record, "undo", f"{row.trigger} is said not to have landed, but what it changes is not as before")
    here.invariants.read(late.facts)


def _has_no_condition(here: Position, row: Row) -> bool:
    """Say whether no touch shuts out every request of a row's action, as far as that is known."""
    how = here.late.get(row.action or "") if here.late is not None else None
    return row.lands_late if how is None else bool(how.settles or not how.touch)


def _gives_up(here: Position, row: Row, late: Settled) -> bool:
    """Say whether a record may close the intent of a point of no return of which every attempt was answered."""
    begun = row.key in here.state.snapshots and row.key not in here.state.unchanged
    return begun and row.can_be_given_up and not late.undoes and late.how == "answered"
