"""What each record of a step must be: begun, failed, done, waited for, settled by a person; as declared.

The rules are the engine's order of things (engine/step.py) and the recovery table (spec/recovery.py), read from the
other side: from the records alone. Each rule adds its findings and stops nothing. ``here`` is where the audited run
stood before the record. Called by kinds.py, which folds the record afterwards.
"""

from collections.abc import Iterable

from drfsm.evidence.audit import approvals
from drfsm.evidence.audit.late import unsettled_before
from drfsm.evidence.audit.position import Position
from drfsm.evidence.audit.waits import waited
from drfsm.journal import OpenIntent, Record
from drfsm.journal.record_types import Commit, Failed, Intent, Repaired, Transition
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
        here.add(
            record, "predecessor_not_settled", f"{row.trigger} begins before what the run {left} left open is settled"
        )
    _move(here, record, begun, row)
    _begins(here, record, begun, row, redo=redo)
    if not redo:
        _clear(here, record, row)
    skipped = row.sets if redo and row.effect is Effect.IDEMPOTENT else {}
    here.observations.guards(record.seq, begun, row, skipped=skipped)
    _snapshot(here, record, begun, _changes(here, row))
    if row.wait and not redo:
        waited(here, record, begun, row)
    before = {name: begun.facts[name] for name in begun.before if name in begun.facts}
    here.check_frozen(record, begun.frozen, before, begun.facts)
    here.begun[row.key] = here.begun.get(row.key, 0) + 1
    here.invariants.taken(row.trigger)
    here.invariants.read(begun.facts)
    here.invariants.hold(record.seq, row.source)


def _begins(here: Position, record: Record, begun: Intent, row: Row, *, redo: bool) -> None:
    state = here.state
    if not acts(row):
        here.add(record, "intent_without_action", f"{row.trigger} has no action, so it can have no intent")
    if not state.epoch or state.lease_released:
        here.add(record, "no_lease", f"{row.trigger} begins without a lease")
    if begun.effect != row.effect.value:
        what = f"{row.trigger} has effect {row.effect}, recorded is {begun.effect}"
        here.add(record, "row_other_than_declared", what, expected=row.effect.value, found=begun.effect)
    if "final_write" in record.body and begun.point_of_no_return != row.point_of_no_return:
        here.add(
            record,
            "row_other_than_declared",
            f"{row.trigger} is recorded as the point of no return, and is not, or the reverse",
            expected=row.point_of_no_return,
            found=begun.point_of_no_return,
        )
    if redo and row.effect is Effect.ONCE and not row.foreach:
        what = f"{row.trigger} may be done once; it begins again while its outcome is open (E)"
        here.add(record, "done_once_begun_again", what)
    if redo and state.open is not None and state.open.verdict:
        here.add(record, "begun_again_though_done", f"{row.trigger} begins again though a person said that it was done")
    if (begun.undo or None) != row.undo:
        what = f"{row.trigger}: its undo is {row.undo}, recorded is {begun.undo}"
        here.add(record, "undo_other_than_declared", what, expected=row.undo, found=begun.undo)
    _kept(here, record, begun, row)
    _counted(here, record, begun, row, redo=redo)


def _clear(here: Position, record: Record, row: Row) -> None:
    """Check that nothing which this run has sent could still change what the row's guards saw."""
    for flight in unsettled_before(here.spec, here.state, row, here.late):
        action = f"the undo of {flight.undoes}" if flight.undoes else flight.trigger
        what = f"{row.trigger} was taken, and nothing shows that {action} could not take effect any more"
        here.add(record, "late_request_unsettled", what)


def _kept(here: Position, record: Record, step: Transition, row: Row) -> None:
    if step.kept != row.not_undone_because:
        what = f"{row.trigger}: why it is not undone is recorded other than declared"
        here.add(record, "row_other_than_declared", what, expected=row.not_undone_because, found=step.kept)


def _counted(here: Position, record: Record, begun: Intent, row: Row, *, redo: bool) -> None:
    """Check that attempts are counted, and no more than are declared."""
    state = here.state
    due = (state.open.attempt if redo and state.open else state.attempts.get(row.key, 0)) + 1
    if begun.attempt != due:
        what = f"{row.trigger} says attempt {begun.attempt} where {due} is due"
        here.add(record, "attempt_number_wrong", what, expected=due, found=begun.attempt)
    most = here.limit(record, row, row.attempts.limit, f"its attempts are limited by {row.attempts.max}")
    if most is not None and here.begun.get(row.key, 0) >= most:
        what = f"{row.trigger} begins more often than its {most} declared attempts"
        here.add(record, "too_many_attempts", what, expected=most, found=here.begun.get(row.key, 0) + 1)


def _snapshot(here: Position, record: Record, begun: Intent, names: Iterable[str]) -> None:
    """Check that the snapshot before an action is what the same record saw, of exactly the facts that it changes."""
    if set(begun.before) != set(names):
        what = f"{begun.trigger}: the snapshot before it is not of the facts that it changes"
        here.add(record, "snapshot_of_other_facts", what, expected=sorted(names), found=sorted(begun.before))
    for name, snapshot in begun.before.items():
        reading = begun.facts.get(name)
        if reading is None or reading.seen != snapshot:
            here.add(
                record,
                "snapshot_not_what_was_seen",
                f"{begun.trigger}: the snapshot of {name} is not what was seen",
                expected=reading.seen if reading else None,
                found=snapshot,
            )


def failed(here: Position, record: Record, failure: Failed) -> None:
    """Check that only what was begun fails, and that the record says which attempt and what was seen to be done."""
    row, opened = here.row(record, failure.row), here.state.open
    if row is None:
        return
    if opened is None or opened.row != row.key:
        here.add(record, "failed_without_intent", f"{row.trigger} failed without an intent")
    elif (failure.trigger, failure.state, failure.attempt) != (row.trigger, row.source, opened.attempt):
        here.add(
            record,
            "other_attempt_failed",
            f"{row.trigger}: the failed attempt is not the one that was begun",
            expected=[row.trigger, row.source, opened.attempt],
            found=[failure.trigger, failure.state, failure.attempt],
        )
    if failure.verdict not in (Probe.NOT_DONE, Probe.MIXED, Probe.UNKNOWN):
        what = f"{row.trigger} failed with the verdict {failure.verdict!r}"
        here.add(record, "verdict_unknown", what, found=failure.verdict)
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
        here.add(record, "not_as_before", f"{row.trigger} is said not to be done, but what it changes is not as before")


def repaired(here: Position, record: Record, repair: Repaired) -> None:
    """Check that a repair is the declared one, of a row that is being tried."""
    row = here.row(record, repair.row)
    if row is not None and (repair.action != row.attempts.repair or row.source != here.state.state):
        what = f"{repair.action} is no repair of {row.trigger} here"
        here.add(record, "repair_undeclared", what, expected=row.attempts.repair, found=repair.action)


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
        here.add(record, "no_intent", f"{row.trigger} is committed without an intent")
    if not acts(row) and done.result is not None:
        here.add(record, "result_without_action", f"{row.trigger} does nothing, and has a result", found=done.result)
    _clear(here, record, row)
    here.observations.guards(record.seq, done, row)
    if row.wait:
        waited(here, record, done, row)


def _acted(here: Position, record: Record, done: Commit, row: Row) -> None:
    opened = here.state.open
    if opened is None or opened.row != row.key:
        here.add(record, "no_intent", f"{row.trigger} is committed without an intent")
        here.observations.guards(record.seq, done, row)
    elif opened.guards != done.guards:
        here.add(record, "guards_changed_since_intent", f"{row.trigger}: the guards are not those that it began with")
    if opened is not None and opened.row == row.key:
        _read_once(here, record, done, row)
    if row.foresees:
        here.observations.foreseen(record.seq, row, done.foreseen, done.facts)
    if opened is not None and done.args != opened.args:
        what = f"{row.trigger}: its arguments are not those that it began with"
        here.add(record, "args_changed_since_intent", what, expected=dict(opened.args), found=dict(done.args))
    _postcondition(here, record, done, row)


def _read_once(here: Position, record: Record, done: Commit, row: Row) -> None:
    """Check that a commit repeats what its intent read, but for what the action changes, which is read after it."""
    entry = undo_entry(row, here.state)
    if row.foreach and (entry is None or entry.row != done.undoes):
        return  # what it changed is not known: that it undoes the wrong thing is said
    changed = set(_changes(here, row))
    for name, reading in done.facts.items():
        before = here.state.facts.get(name)
        if name not in changed and before is not None and before != reading:
            what = f"{row.trigger}: the reading of {name} is not the one that it began with"
            here.add(record, "facts_changed_since_intent", what, expected=before.json, found=reading.json)


def _found_done(here: Position, record: Record, done: Commit, row: Row) -> None:
    """Check what was found done: a begun action whose commit was missing (C), or an undo that is there already."""
    opened, undo = here.state.open, row.foreach == "undo"
    if opened is None and not undo:
        here.add(record, "no_intent", f"{row.trigger} is committed as found without an intent")
    elif opened is not None:
        # Without a case: an undo that was to be done again, and then was seen to be there.
        allowed = done.case == "C" or (undo and done.case is None)
        if not allowed or opened.verdict or (row.effect is Effect.NONE and not undo):
            what = f"{row.trigger} is committed as found, which the recovery table doesn't allow"
            here.add(record, "found_not_allowed", what)
    if done.guards or (undo and done.case != "C"):
        here.observations.guards(record.seq, done, row)
    _postcondition(here, record, done, row)


def _by_a_person(here: Position, record: Record, _done: Commit, row: Row) -> None:
    opened = here.state.open
    if opened is None or opened.row != row.key or opened.verdict != "done":
        here.add(
            record, "resolved_by_nobody", f"{row.trigger} is committed as resolved, but nobody said that it was done"
        )


def _unknown_how(here: Position, record: Record, done: Commit, row: Row) -> None:
    what = f"{row.trigger} is committed as {done.how!r}: there is no such word"
    here.add(record, "how_unknown", what, expected=list(_HOW_DONE), found=done.how)


_HOW_DONE = {"judged": _judged, "acted": _acted, "found": _found_done, "resolved": _by_a_person}


def _postcondition(here: Position, record: Record, done: Commit, row: Row) -> None:
    """Check the facts read afterwards: as the row sets them, or, where a change is undone, as they were before it."""
    entry = undo_entry(row, here.state)
    if entry is not None:
        for name, snapshot in entry.before.items():
            if name not in done.facts or not covers(done.facts[name].seen, snapshot):
                here.add(
                    record,
                    "undo_not_seen",
                    f"{entry.trigger} is not undone: {name} is not as it was before",
                    expected=snapshot,
                    found=done.facts[name].seen if name in done.facts else None,
                )
    for name, value in row.sets.items():
        now = done.facts[name].value if name in done.facts else "not read"
        if now != value:
            what = f"{row.trigger} is done, but {name} is {now or 'unknown'}, not {value}"
            here.add(record, "postcondition_not_seen", what, expected=value, found=now)


# --- both -----------------------------------------------------------------------------------------------


def _move(here: Position, record: Record, step: Transition, row: Row) -> None:
    """Check what an intent and a commit have in common: the row, where the run stands, who fired it."""
    resolved = isinstance(step, Commit) and step.how == "resolved"
    if (step.trigger, step.source, step.to) != (row.trigger, row.source, row.to):
        recorded = f"{step.source} --{step.trigger}--> {step.to}"
        here.add(
            record,
            "row_other_than_declared",
            f"it says {recorded}, but names the row {row.key}",
            expected=[row.trigger, row.source, row.to],
            found=[step.trigger, step.source, step.to],
        )
    if row.source != here.state.state:
        what = f"{row.trigger} leaves {row.source}, but the run stood in {here.state.state}"
        here.add(record, "wrong_state", what, expected=here.state.state, found=row.source)
    fires = By.OPERATOR if resolved else row.by
    if step.by != fires.value:
        what = f"{row.trigger} is fired by the {fires}, not by {step.by}"
        here.add(record, "fired_by_another", what, expected=fires.value, found=step.by)
    if step.reason != row.reason:
        what = f"{row.trigger}: its reason is recorded other than declared"
        here.add(record, "row_other_than_declared", what, expected=row.reason, found=step.reason)
    _asked_for(here, record, step, row)
    _leads_back(here, record, row)
    _settled(here, record, step, row)
    _undoing(here, record, step, row)


def _amending(here: Position, record: Record, step: Transition, row: Row | None) -> None:
    """Check that inputs are replaced only by a row that declares it, as the person's arguments have them."""
    names = row.amends if row is not None else ()
    if step.amends != {name: step.args[name] for name in names if name in step.args} or set(step.amends) != set(names):
        what = f"{step.trigger} replaces other inputs than it declares and its arguments name"
        here.add(record, "inputs_amended_otherwise", what, expected=list(names), found=dict(step.amends))
    for name in step.amends.keys() & here.spec.inputs.keys():
        values = here.spec.inputs[name].values
        if values and str(step.amends[name]) not in values:
            what = f"input {name} becomes {step.amends[name]!r}, none of {', '.join(values)}"
            here.add(record, "input_value_undeclared", what, expected=list(values), found=str(step.amends[name]))
    here.observations.inputs = {**here.state.inputs, **step.amends}


def _asked_for(here: Position, record: Record, step: Transition, row: Row) -> None:
    """Check that a person's row names the person, a failure's row the failure, and that a hold was ended."""
    opened = here.state.open
    if row.by is By.OPERATOR and not step.args.get("operator"):
        here.add(record, "nobody_is_named", f"{row.trigger} is a person's command, and no person is named")
    if row.by is By.FAILURE and not step.args.get("reason"):
        here.add(record, "no_failure_is_named", f"{row.trigger} is for a failure, and no failure is named")
    settles = opened is not None and isinstance(step, Commit)
    if here.halted and row.by is By.RUNNER and not settles:
        here.add(record, "went_on_though_held", f"{row.trigger}: the run was held, and nobody has resumed it")


def _leads_back(here: Position, record: Record, row: Row) -> None:
    """Check that a failure's row that leads back is taken no more often than its rounds allow."""
    most = here.limit(record, row, row.returns, f"its rounds are limited by {row.rounds}")
    if most is not None and here.state.returns.get(row.key, 0) >= most:
        what = f"{row.trigger} leads back more often than its {most + 1} declared rounds allow"
        here.add(record, "too_many_rounds", what, expected=most)


def _settled(here: Position, record: Record, step: Transition, row: Row) -> None:
    """Check that an open intent is settled first. Only a person's row, or a failure's that overrides, may supersede it.

    An open intent that may be done once, or is past the point of no return, is never superseded: it is completed, or
    resolved by a person.
    """
    opened = here.state.open
    other = opened if opened is not None and opened.row != row.key else None
    if isinstance(step, Commit) and step.supersedes != (other.row if other else None):
        what = f"{row.trigger} says that it supersedes {step.supersedes}, open was {other and other.row}"
        here.add(record, "superseded_otherwise", what, expected=other.row if other else None, found=step.supersedes)
    if other is None:
        return
    undoing = any(declared.key == other.row and declared.foreach for declared in here.spec.rows)
    final = any(declared.key == other.row and declared.point_of_no_return for declared in here.spec.rows)
    may = row.by is By.OPERATOR or row.overrides_open_intent
    if not may or final or (other.effect == Effect.ONCE and not undoing):
        what = f"{row.trigger} comes before the open intent of {other.trigger} is settled"
        here.add(record, "open_intent_passed_over", what)


def _undoing(here: Position, record: Record, step: Transition, row: Row) -> None:
    spec, state, entry = here.spec, here.state, undo_entry(row, here.state)
    if past_point_of_no_return(spec, state) and (row.foreach == "undo" or leads_to_undo(spec, row.to)):
        here.add(record, "undone_past_the_point", f"{row.trigger} undoes what is past the point of no return")
    if row.foreach != "undo":
        left = [undoable.trigger for undoable in state.undo]
        if row.by is By.RUNNER and left and leads_to_undo(spec, row.source):
            here.add(record, "left_to_undo", f"{row.trigger} comes before these are undone: {', '.join(left)}")
        if step.undoes:
            what = f"{row.trigger} undoes nothing, yet names {step.undoes}"
            here.add(record, "undoes_the_wrong_thing", what, expected="", found=step.undoes)
    elif entry is None:
        here.add(record, "nothing_to_undo", f"{row.trigger}: nothing is left to undo")
    elif step.undoes != entry.row:
        undoes = step.undoes or "nothing"
        what = f"{row.trigger} undoes {undoes}, but the newest thing left is {entry.row}"
        here.add(record, "undoes_the_wrong_thing", what, expected=entry.row, found=step.undoes)


def _changes(here: Position, row: Row) -> tuple[str, ...]:
    """Return the facts that a row's action changes."""
    entry = undo_entry(row, here.state)
    return tuple(entry.before) if entry is not None else tuple(row.sets)
