"""What each record of a step must be: begun, failed, done, waited for, settled by a person; as declared.

The rules are the engine's order of things (engine/step.py) and the recovery table (spec/recovery.py), read
from the other side: from the records alone. Each rule adds findings in words and goes on. ``Here`` is where
the audited run stands before the record in hand. Called by kinds.py, which folds the record afterwards.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import define, field

from drfsm.evidence.audit.findings import Findings
from drfsm.evidence.audit.invariants import Invariants
from drfsm.evidence.audit.observations import Observations
from drfsm.journal import OpenIntent, Record, RunState, Undoable
from drfsm.journal.replay import keep_first
from drfsm.spec.model import By, Effect, MachineSpec, Row
from drfsm.spec.recovery import Probe

Body = Mapping[str, Any]


@define
class Here:
    """Where the audited run stands, and what its records so far oblige it to."""

    spec: MachineSpec
    findings: Findings
    observations: Observations
    invariants: Invariants
    heads: Sequence[str]  # the hash of each line
    kinds: Sequence[str]  # the kind of each line
    state: RunState = field(factory=RunState)
    halted: bool = False  # held, and nobody has said since that it may go on
    begun: dict[str, int] = field(factory=dict)  # row -> intents since somebody last said to go on
    samples: list[Record] = field(factory=list)  # of the wait in hand
    position: str = ""  # of a dry run's walk
    skipped: set[str] = field(factory=set)  # facts that a dry run did not change, and what depends on them
    failed_checks: int = 0  # of a dry run
    refused: bool = False  # by a dry run

    def add(self, record: Record, rule: str, what: str) -> None:
        """Remember what a record breaks."""
        self.findings.add(record.seq, rule, what)

    def row(self, record: Record) -> Row | None:
        """Return the declared row that a record names; without one that is a finding."""
        key = record.body["row"]
        try:
            return self.spec.row_of(key, self.state.inputs)
        except KeyError:
            self.add(record, "legality", f"{key} is no declared row for this run's inputs")
            return None

    @property
    def no_return(self) -> bool:
        """Whether the point of no return is passed."""
        return any(row.point_of_no_return and row.key in self.state.images for row in self.spec.rows)

    def undoes_at(self, state: str) -> bool:
        """Whether a state is where things are undone."""
        return any(row.foreach == "undo" for row in self.spec.rows if row.source == state)


# --- begun ----------------------------------------------------------------------------------------------


def intent(here: Here, record: Record) -> None:
    """Check that an action begins only from where the run stands, by a declared row whose guards hold."""
    row, body = here.row(record), record.body
    _amending(here, record, row)
    here.observations.facts(record.seq, body["facts"])
    if row is None:
        return
    redo = here.state.open is not None and here.state.open.row == row.key
    _move(here, record, row)
    _begins(here, record, row, redo=redo)
    skipped = row.sets if redo and row.effect is Effect.IDEMPOTENT else {}
    here.observations.guards(record, row, skipped=skipped)
    _image(here, record, _changes(here, row))
    if row.wait and not redo:
        _waited(here, record, row)
    before = {name: body["facts"][name] for name in body["before"] if name in body["facts"]}
    _frozen(here, record, (before, body["facts"]))
    here.begun[row.key] = here.begun.get(row.key, 0) + 1
    here.invariants.read(body["facts"])
    here.invariants.hold(record.seq, row.source)


def _begins(here: Here, record: Record, row: Row, *, redo: bool) -> None:
    body, state = record.body, here.state
    if not _acts(row):
        here.add(record, "legality", f"{row.trigger} has no action, so nothing of it can begin")
    if not state.epoch:
        here.add(record, "lease", f"{row.trigger} begins without a lease")
    if body["effect"] != row.effect.value:
        here.add(record, "row", f"{row.trigger} has effect {row.effect}, recorded is {body['effect']}")
    if redo and row.effect is Effect.ONCE and not row.foreach:
        here.add(record, "recovery", f"{row.trigger} may be done once; it begins again though its outcome is open (E)")
    if redo and state.open is not None and state.open.verdict:
        here.add(record, "recovery", f"{row.trigger} begins again though a person said that it was done")
    if (body.get("undo") or None) != row.undo:
        here.add(record, "undo", f"{row.trigger}: its undo is {row.undo}, recorded is {body.get('undo')}")
    if body.get("kept", "") != row.not_undone_because:
        here.add(record, "row", f"{row.trigger}: what it keeps is recorded other than declared")
    _counted(here, record, row, redo=redo)


def _counted(here: Here, record: Record, row: Row, *, redo: bool) -> None:
    """Check that attempts are counted, and no more than are declared."""
    body, state = record.body, here.state
    due = (state.open.attempt if redo and state.open else state.attempts.get(row.key, 0)) + 1
    if body["attempt"] != due:
        here.add(record, "attempts", f"{row.trigger} says attempt {body['attempt']} where {due} is due")
    try:
        most = row.attempts.limit(state.inputs)
    except (KeyError, TypeError, ValueError):
        here.add(record, "inputs", f"{row.trigger}: its attempts are limited by {row.attempts.max}, which is no number")
        return
    if here.begun.get(row.key, 0) >= most:
        here.add(record, "attempts", f"{row.trigger} begins more often than its {most} declared attempts")


def _image(here: Here, record: Record, names: Iterable[str]) -> None:
    """Check that the image before an action is what the same record saw, of exactly the facts that it changes."""
    body = record.body
    if set(body["before"]) != set(names):
        here.add(record, "undo", f"{body['trigger']}: the image before it is not of the facts that it changes")
    for name, seen in body["before"].items():
        found = body["facts"].get(name)
        if found is None or found["seen"] != seen:
            here.add(record, "undo", f"{body['trigger']}: the image of {name} is not what was seen")


def failed(here: Here, record: Record) -> None:
    """Check that only what was begun fails, and that the record says which attempt and what was seen to be done."""
    row, body, opened = here.row(record), record.body, here.state.open
    if row is None:
        return
    if opened is None or opened.row != row.key:
        here.add(record, "recovery", f"{row.trigger} failed without having begun")
    elif (body["trigger"], body["state"], body["attempt"]) != (row.trigger, row.source, opened.attempt):
        here.add(record, "row", f"{row.trigger}: the failed attempt is not the one that was begun")
    if body["verdict"] not in (Probe.NOT_DONE, Probe.MIXED, Probe.UNKNOWN):
        here.add(record, "recovery", f"{row.trigger} failed with the verdict {body['verdict']!r}")
    facts = body.get("facts", {})
    if opened is not None:  # the inputs that a row amends are judged by as it was begun
        here.observations.inputs = {**here.state.inputs, **{name: opened.args.get(name) for name in row.amends}}
    here.observations.facts(record.seq, facts)
    if opened is not None:
        _verdict(here, record, row, opened)
    if "frozen" in body:
        _frozen(here, record, (facts,))
    here.invariants.changed(_changes(here, row))
    here.invariants.read(facts)
    here.invariants.hold(record.seq, row.source)


def _verdict(here: Here, record: Record, row: Row, opened: OpenIntent) -> None:
    """Check that what is said to be not done, and so is open no more, was seen to be as before."""
    facts, names = record.body.get("facts", {}), _changes(here, row)
    same = all(name in facts and facts[name]["seen"] == opened.before.get(name) for name in names)
    if record.body["verdict"] == Probe.NOT_DONE and names and not same:
        here.add(record, "recovery", f"{row.trigger} is said not to be done, but what it changes is not as before")


def repaired(here: Here, record: Record) -> None:
    """Check that a repair is the declared one, of a row that is being tried."""
    row = here.row(record)
    if row is None:
        return
    if record.body["action"] != row.attempts.repair or row.source != here.state.state:
        here.add(record, "legality", f"{record.body['action']} is no repair of {row.trigger} here")


# --- done -----------------------------------------------------------------------------------------------


def commit(here: Here, record: Record) -> None:
    """Check that a move is made only with its intent, its guards, and the facts as they were wanted."""
    row, body = here.row(record), record.body
    _amending(here, record, row)
    here.observations.facts(record.seq, body["facts"])
    if row is None:
        return
    _move(here, record, row)
    _HOWS.get(body["how"], _no_way)(here, record, row)
    if body.get("kept", "") != row.not_undone_because:
        here.add(record, "row", f"{row.trigger}: what it keeps is recorded other than declared")
    _frozen(here, record, (body["facts"],))
    next_actions(here, record, row.to)
    changed = _changes(here, row) if _acts(row) else ()
    here.invariants.read(body["facts"])
    here.invariants.changed(changed, but=[name for name in changed if name in body["facts"]])
    here.invariants.hold(record.seq, row.to)
    here.begun.clear()
    here.samples.clear()
    here.halted = here.halted and row.by is By.RUNNER


def _judged(here: Here, record: Record, row: Row) -> None:
    if _acts(row):
        here.add(record, "intent", f"{row.trigger} is done without having begun: its intent is missing")
    here.observations.guards(record, row)
    if row.wait:
        _waited(here, record, row)


def _acted(here: Here, record: Record, row: Row) -> None:
    opened = here.state.open
    if opened is None or opened.row != row.key:
        here.add(record, "intent", f"{row.trigger} is done without having begun: its intent is missing")
        here.observations.guards(record, row)
    elif list(opened.guards) != record.body["guards"]:
        here.add(record, "guard", f"{row.trigger}: the guards are not those that it began with")
    if opened is not None and record.body.get("args", {}) != opened.args:
        here.add(record, "row", f"{row.trigger}: what was given with it is not what it began with")
    _done(here, record, row)


def _found(here: Here, record: Record, row: Row) -> None:
    """Check what was found done: a begun action whose commit was missing (C), or an undo that is there already."""
    opened, undo = here.state.open, row.foreach == "undo"
    if opened is None and not undo:
        here.add(record, "intent", f"{row.trigger} is found done without having begun: its intent is missing")
    elif opened is not None:
        # Without a case: an undo that was to be done again, and then was seen to be there.
        allowed = record.body.get("case") == "C" or (undo and "case" not in record.body)
        if not allowed or opened.verdict or (row.effect is Effect.NONE and not undo):
            here.add(record, "recovery", f"{row.trigger} is committed as found, which the recovery table doesn't allow")
    if record.body["guards"] or (undo and record.body.get("case") != "C"):
        here.observations.guards(record, row)
    _done(here, record, row)


def _resolved(here: Here, record: Record, row: Row) -> None:
    opened = here.state.open
    if opened is None or opened.row != row.key or opened.verdict != "done":
        here.add(record, "recovery", f"{row.trigger} is committed as resolved, but nobody said that it was done")


def _no_way(here: Here, record: Record, row: Row) -> None:
    here.add(record, "row", f"{row.trigger} is done {record.body['how']!r}, which is no way to be done")


_HOWS = {"judged": _judged, "acted": _acted, "found": _found, "resolved": _resolved}


def _done(here: Here, record: Record, row: Row) -> None:
    """Check the postcondition: facts read afterwards are as the row sets them, or as before what is undone."""
    facts = record.body["facts"]
    entry = newest(here, row)
    if entry is not None:
        for name, image in entry.before.items():
            if name not in facts or not _covers(facts[name]["seen"], image):
                here.add(record, "postcondition", f"{entry.trigger} is not undone: {name} is not as it was before")
    for name, value in row.sets.items():
        now = facts[name]["value"] if name in facts else "not read"
        if now != value:
            here.add(record, "postcondition", f"{row.trigger} is done, but {name} is {now or 'unknown'}, not {value}")


def _covers(seen: Any, image: Any) -> bool:
    """Whether what was seen has everything of an image; objects that appeared later don't matter."""
    if isinstance(seen, Mapping) and isinstance(image, Mapping):
        return bool(keep_first(image, seen) == seen)
    return bool(seen == image)


# --- both -----------------------------------------------------------------------------------------------


def _move(here: Here, record: Record, row: Row) -> None:
    """Check what a beginning and an end have in common: the row, from where the run stands, fired by whom."""
    body, state = record.body, here.state
    resolved = body.get("how") == "resolved"
    if (body["trigger"], body["from"], body["to"]) != (row.trigger, row.source, row.to):
        told = f"{body['from']} --{body['trigger']}--> {body['to']}"
        here.add(record, "row", f"it says {told}, but names the row {row.key}")
    if row.source != state.state:
        here.add(record, "legality", f"{row.trigger} leaves {row.source}, but the run stood in {state.state}")
    if body["by"] != (By.OPERATOR if resolved else row.by).value:
        here.add(record, "legality", f"{row.trigger} is fired by the {row.by}, not by {body['by']}")
    if body.get("because") != row.reason:
        here.add(record, "row", f"{row.trigger}: its reason is recorded other than declared")
    _asked_for(here, record, row)
    _settled(here, record, row)
    _undoing(here, record, row)


def _amending(here: Here, record: Record, row: Row | None) -> None:
    """Check that inputs are replaced only by a row that declares it, as the person's arguments have them."""
    args, amended = record.body.get("args", {}), record.body.get("amends", {})
    names = row.amends if row is not None else ()
    if amended != {name: args[name] for name in names if name in args} or set(amended) != set(names):
        here.add(record, "inputs", f"{record.body['trigger']} replaces other inputs than it declares and was given")
    for name in amended.keys() & here.spec.inputs.keys():
        values = here.spec.inputs[name].values
        if values and str(amended[name]) not in values:
            here.add(record, "inputs", f"input {name} becomes {amended[name]!r}, none of {', '.join(values)}")
    here.observations.inputs = {**here.state.inputs, **amended}


def _asked_for(here: Here, record: Record, row: Row) -> None:
    """Check that a person's row names the person, a failure's row the failure, and that a hold was ended."""
    args, opened = record.body.get("args", {}), here.state.open
    if row.by is By.OPERATOR and not args.get("operator"):
        here.add(record, "legality", f"{row.trigger} is a person's command, and no person is named")
    if row.by is By.FAILURE and not args.get("reason"):
        here.add(record, "legality", f"{row.trigger} is for a failure, and no failure is named")
    settled = opened is not None and record.kind == "commit"
    if here.halted and row.by is By.RUNNER and not settled:
        here.add(record, "legality", f"{row.trigger}: the run was held, and nobody has resumed it")


def _settled(here: Here, record: Record, row: Row) -> None:
    """Check that what is open is settled first. Only a person's row, or a failure's that abandons, may supersede it.

    What may be done once, or is past the point of no return, nobody supersedes: it is seen to, or resolved.
    """
    opened, says = here.state.open, record.body.get("supersedes")
    other = opened if opened is not None and opened.row != row.key else None
    if record.kind == "commit" and says != (other.row if other else None):
        here.add(record, "recovery", f"{row.trigger} says that it supersedes {says}, open was {other and other.row}")
    if other is None:
        return
    undoing = any(each.key == other.row and each.foreach for each in here.spec.rows)
    final = any(each.key == other.row and each.point_of_no_return for each in here.spec.rows)
    allowed = row.by is By.OPERATOR or row.overrides_open_intent
    if not allowed or final or (other.effect == Effect.ONCE and not undoing):
        here.add(record, "recovery", f"{row.trigger} comes before it is settled what became of {other.trigger}")


def _undoing(here: Here, record: Record, row: Row) -> None:
    undoes, entry = record.body.get("undoes"), newest(here, row)
    if here.no_return and (row.foreach == "undo" or here.undoes_at(row.to)):
        here.add(record, "undo", f"{row.trigger} gives back what is past the point of no return")
    if row.foreach != "undo":
        left = [each.trigger for each in here.state.undo]
        if row.by is By.RUNNER and left and here.undoes_at(row.source):
            here.add(record, "undo", f"{row.trigger} though not yet undone: {', '.join(left)}")
        if undoes:
            here.add(record, "undo", f"{row.trigger} undoes nothing, yet names {undoes}")
    elif entry is None:
        here.add(record, "undo", f"{row.trigger}: nothing is left to undo")
    elif undoes != entry.row:
        here.add(record, "undo", f"{row.trigger} undoes {undoes}, but the newest thing left is {entry.row}")


def newest(here: Here, row: Row) -> Undoable | None:
    """Return what a row that undoes is about: the newest thing left to undo."""
    return here.state.undo[-1] if row.foreach == "undo" and here.state.undo else None


def _changes(here: Here, row: Row) -> tuple[str, ...]:
    """Return the facts that a row's action changes."""
    entry = newest(here, row)
    return tuple(entry.before) if entry is not None else tuple(row.sets)


def _acts(row: Row) -> bool:
    return bool(row.action) or (row.foreach == "undo" and row.by is By.RUNNER)


def _frozen(here: Here, record: Record, readings: Iterable[Mapping[str, Body]]) -> None:
    """Check that what is said to be frozen is what the facts mean (in an intent: those that it changes, or all)."""
    allowed = [
        set(here.spec.says_frozen({**here.state.known, **{n: f["value"] for n, f in each.items() if f["value"]}}))
        for each in readings
    ]
    if set(record.body["frozen"]) not in allowed:
        told = ", ".join(record.body["frozen"]) or "nothing"
        here.add(
            record, "frozen", f"it says that frozen is: {told}; its facts say: {', '.join(allowed[-1]) or 'nothing'}"
        )


def frozen(here: Here, record: Record) -> None:
    """Check what a record without readings says is frozen: it is what the facts meant last."""
    _frozen(here, record, ({},))


def next_actions(here: Here, record: Record, state: str) -> None:
    """Check that the ways on that a record tells are declared, and open to a person there."""
    rows = {row.trigger: row for row in here.spec.rows_from(state, here.state.inputs, By.OPERATOR)}
    for hint in record.body["ways"]:
        if hint["do"] not in {*rows, "resume"} or state in here.spec.finals:
            here.add(record, "row", f"it offers {hint['do']}, which nobody can do in {state}")
        elif hint["do"] in rows and hint.get("args", []) != list(rows[hint["do"]].amends):
            here.add(record, "row", f"it offers {hint['do']} with other arguments than it takes")


# --- waiting, and what a person settles -----------------------------------------------------------------


def sampled(here: Here, record: Record) -> None:
    """Check that a sample belongs to a wait of where the run stands, and is clear exactly if the guards held."""
    row, body = here.row(record), record.body
    here.observations.facts(record.seq, body["facts"])
    if row is None:
        return
    if row.wait is None or body["state"] != row.source or row.source != here.state.state:
        here.add(record, "legality", f"{row.trigger} is not waited for in {here.state.state}")
    if here.halted and row.by is By.RUNNER:
        here.add(record, "legality", f"{row.trigger}: the run was held, and nobody has resumed it")
    declared = here.observations.declared(row, body["facts"])
    values = {name: found["value"] for name, found in body["facts"].items()}
    unmet = sorted({fact for (_, fact), (needed, _) in declared.items() if values.get(fact) not in needed})
    clear = not unmet
    if body.get("unmet", unmet) != unmet:
        here.add(record, "wait", f"{row.trigger}: the sample says that it waits for {body['unmet']}, not {unmet}")
    if body["holds"] is not clear:
        here.add(record, "wait", f"{row.trigger}: the sample is not {'clear' if body['holds'] else 'unclear'}")
    here.samples.append(record)
    here.invariants.read(body["facts"])
    here.invariants.hold(record.seq, row.source)


def _waited(here: Here, record: Record, row: Row) -> None:
    """Check that what was waited for was sampled: the last sample is clear, and is what the row went on upon."""
    samples = [each for each in here.samples if each.body["row"] == row.key]
    if not samples:
        here.add(record, "wait", f"{row.trigger} went on without a sample of what it waits for")
        return
    last, facts = samples[-1].body, record.body["facts"]
    if not last["holds"] or any(facts.get(name) != found for name, found in last["facts"].items()):
        here.add(record, "wait", f"{row.trigger} went on upon something else than its last sample")
    _long_enough(here, record, row, samples)


def _long_enough(here: Here, record: Record, row: Row, samples: Sequence[Record]) -> None:
    """Check that the guards held in as many samples in a row as are declared: each of those is on record."""
    clear = 0
    for each in samples:
        clear = clear + 1 if each.body["holds"] else 0
    if row.wait is not None and clear < row.wait.consecutive:
        here.add(
            record, "wait", f"{row.trigger} went on after {clear} clear samples of {row.wait.consecutive} in a row"
        )


def resolved(here: Here, record: Record) -> None:
    """Check that a person settles what was begun, by name and with a reason."""
    body, opened = record.body, here.state.open
    if opened is None or opened.row != body["row"]:
        here.add(
            record, "recovery", f"{body['operator'] or 'somebody'} settles {body['row']}, whose outcome is not open"
        )
    if body["outcome"] not in ("done", "not_done") or not body["reason"] or not body["operator"]:
        here.add(record, "recovery", "an open outcome is settled as done or not_done, by a person, with a reason")
    here.halted = False
    here.begun.clear()
