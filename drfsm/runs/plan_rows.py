"""The rows of a plan: of each what is known of its guards, what it would change, and the way back from where it leads.

A guard's ``outcome`` in a plan:

    holds    it holds now, and no row before changes its fact
    made     an earlier row sets its fact to what is needed here, or waits until it is that
    later    it can't be known yet; ``why`` says which row or whose answer decides it
    waits    it does not hold now, and the row waits for it
    warns    it does not hold now, and the run goes on until its row all the same
    fails    it does not hold now, so the run is refused, or held
    unread   its fact could not be read; ``why`` says why

Reads the world only by the ``Readings`` that it is given. Used by plan.py.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from drfsm.engine.outlook import Change, Outlook, Readings
from drfsm.errors import shown
from drfsm.evidence.wording import NOBODY
from drfsm.journal.record_types import Check
from drfsm.runs.plan_changes import NO_OBJECT, OBJECTS, Touched, projected
from drfsm.spec.foresight import Ahead
from drfsm.spec.model import By, Foreseen, MachineSpec, Row

Json = dict[str, Any]
_HOW = {"sets": "sets it", "waits": "waits for it"}


class Rows:
    """Puts the rows of one plan together, in order."""

    def __init__(self, spec: MachineSpec, inputs: Mapping[str, Any], run_id: str, read: Readings) -> None:
        self._spec, self._inputs, self._run_id, self._read = spec, inputs, run_id, read
        self._projected: dict[str, Any] = {}  # fact -> how it would be observed after the rows so far
        self._altered: set[str] = set()  # facts that are not what they are now any more, by the rows so far
        self._undo: list[Row] = []
        self._values: dict[str, str | None] = {}
        self._is_final = False

    def of(self, outlooks: Iterable[Outlook]) -> Iterator[Json]:
        """Yield each row as the plan has it."""
        for number, outlook in enumerate(outlooks, start=1):
            row = outlook.row
            if number == 1:
                self._values = self._frozen_now(row)
            self._altered |= {fact for fact, change in outlook.changed.items() if change.how in ("sets", "changes")}
            changes = [change for fact, value in row.sets.items() for change in self._changes(outlook, fact, value)]
            self._values |= row.sets
            self._undo += [row] if changes else []
            self._is_final |= row.point_of_no_return
            yield {
                "number": number,
                "row": row.key,
                "trigger": row.trigger,
                "from": row.source,
                "to": row.to,
                "by": row.by.value,
                "because": row.reason,
                "action": row.action or _none("it changes nothing"),
                "point_of_no_return": row.point_of_no_return,
                "sets": dict(row.sets),
                "guards": [self._guard(outlook, check) for check in outlook.checks],
                "changes": changes,
                "already": not changes and any(OBJECTS[fact] is not NO_OBJECT for fact in row.sets if fact in OBJECTS),
                "waits_at_most": self._limit(row),
                "frozen_then": list(self._spec.says_frozen(self._values)),
                "way_back": self._way_back(row),
            }

    def frozen_now(self) -> list[str]:
        """Return what is frozen before the first row. To be asked before the rows are."""
        first = next(iter(self._spec.rows))
        return list(self._spec.says_frozen(self._frozen_now(first)))

    def _frozen_now(self, row: Row) -> dict[str, str | None]:
        facts = {fact for rule in self._spec.frozen for fact in rule.when} - self._read.asked_later.keys()
        early = {fact for fact in facts if not self._spec.facts[fact].known_after and not self._spec.facts[fact].hidden}
        return {name: reading.value for name, reading in self._read.now(early, row).items()}

    # --- guards ---------------------------------------------------------------------------------------------

    def _guard(self, outlook: Outlook, check: Check) -> Json:
        guard = self._spec.guards[check.guard]
        outcome, why = self._outcome(outlook, check)
        return {
            "guard": check.guard,
            "fact": check.fact,
            "needed": list(check.needed),
            "outcome": outcome,
            "value": check.value if check.outcome != "not_evaluated" and outcome != "unread" else _unknown(why),
            "why": why or _none("it was read"),
            "because": check.reason,
            "what_to_do": guard.mend or _none("the guard's reason says it"),
        }

    def _outcome(self, outlook: Outlook, check: Check) -> tuple[str, str]:
        """Return the outcome of a check, and why it is that; "" where it was read and holds."""
        if check.outcome == "not_evaluated":
            return self._not_evaluated(outlook, check)
        if check.outcome == "passed":
            return "holds", ""
        if check.value == "unknown":
            return "unread", shown(check.seen)
        guard = self._spec.guards[check.guard]
        ahead = Ahead(guard, outlook.row)
        waits = ahead.waits(check.fact, check.value)
        outcome = "waits" if waits else "warns" if guard.foreseen is Foreseen.WARN else "fails"
        return outcome, f"seen: {shown(check.seen)}"

    def _not_evaluated(self, outlook: Outlook, check: Check) -> tuple[str, str]:
        if why := self._read.asked_later.get(check.fact):
            return "later", why
        if stand_in := self._stand_in(outlook, check):
            return "made", stand_in
        change = outlook.changed.get(check.fact)
        if change is not None and change.meets(check.needed):
            return "made", f"{change.trigger} {_HOW[change.how]}"
        if change is None:  # what stands in for the guard is not known yet
            stand_ins = self._spec.guards[check.guard].unless
            change = next((outlook.changed[name] for name in stand_ins if name in outlook.changed), None)
            change = change or Change(outlook.row.trigger, "decides")
        decides = change.how == "decides"
        return "later", f"a person decides it at {change.trigger}" if decides else f"known after {change.trigger}"

    def _stand_in(self, outlook: Outlook, check: Check) -> str:
        """Return which row makes true what stands in for a guard; "" where there is nothing, or it is not known."""
        rows = []
        for fact, values in self._spec.guards[check.guard].unless.items():
            change, reading = outlook.changed.get(fact), self._read.all.get(fact)
            if change is not None and change.meets(values):
                rows.append(change.trigger)
            elif change is not None or reading is None or reading.value not in values:
                return ""
        return f"{rows[-1]} sets what stands in for it" if rows else ""

    # --- changes --------------------------------------------------------------------------------------------

    def _changes(self, outlook: Outlook, fact: str, value: str) -> Iterator[Json]:
        """Yield what a row would change of the objects of one fact."""
        seen, why = self._seen(outlook, fact)
        if why:
            about = self._spec.facts[fact].reason.removeprefix("Whether ")
            yield {"fact": fact, "object": about, "before": _unknown(why), "after": value}
            return
        try:
            change = projected(fact, value, seen, self._inputs, self._run_id)
        except (KeyError, TypeError, AttributeError) as fault:
            why = f"what was read has no {fault}" if isinstance(fault, KeyError) else str(fault)
            yield {"fact": fact, "object": fact, "before": _unknown(why), "after": value}
            return
        self._projected[fact] = change.seen
        yield from (_as_json(fact, touched) for touched in change.touched)

    def _seen(self, outlook: Outlook, fact: str) -> tuple[Any, str]:
        """Return the observation of a fact before a row, and why there is none."""
        if fact not in OBJECTS:
            return None, "drfsm does not know its objects"
        if not OBJECTS[fact].read:
            return None, ""
        if fact in self._projected:
            return self._projected[fact], ""
        change = outlook.changed.get(fact)
        if change is not None and fact in self._altered:
            return None, f"known after {change.trigger}"
        reading = self._read.now([fact], outlook.row)[fact]
        if change is not None and change.how == "waits" and reading.value not in change.values:
            return None, f"known after {change.trigger}"
        return reading.seen, "" if reading.seen is not None else reading.why

    # --- times and the way back -----------------------------------------------------------------------------

    def _limit(self, row: Row) -> Any:
        """Return the most seconds that a row waits."""
        if row.wait is None:
            return _none("it does not wait")
        limit = row.wait.limit
        return float(self._inputs[limit] if isinstance(limit, str) else limit)

    def _way_back(self, row: Row) -> Json:
        """Return the way back from the state that a row leads to."""
        here = self._spec.rows_from(row.to, self._inputs, By.OPERATOR)
        abort = next((other for other in here if other.trigger == "abort"), None)
        if row.to in self._spec.finals:
            how, words = "ended", "the run has ended"
        elif self._is_final:
            how, words = "forward", "none: the only way is forward, with `drfsm resume`"
        elif abort is not None and any(declared.undo for declared in self._spec.rows) and not self._undo:
            how, words = "abort", "nothing to undo yet"
        elif abort is not None:
            how, words = "abort", abort.reason
        elif self._spec.refuses(row.to, self._inputs):
            how, words = "refuse", "nothing was changed yet"
        else:
            how, words = "none", f"there is no abort in {row.to}: go on with `drfsm resume`"
        undoes = [undone.trigger for undone in reversed(self._undo) if undone.undo] if how == "abort" else []
        keeps = [
            {"row": kept.trigger, "because": kept.not_undone_because}
            for kept in self._undo
            if how == "abort" and kept.not_undone_because
        ]
        return {"how": how, "words": words, "undoes": undoes, "keeps": keeps}


def nobody(frozen: Sequence[str]) -> bool:
    """Return whether, by what is frozen, nobody can publish."""
    return any(word.startswith(NOBODY) for word in frozen)


def _as_json(fact: str, touched: Touched) -> Json:
    return {"fact": fact, "object": touched.object, "before": touched.before, "after": touched.after}


def _unknown(why: str) -> Json:
    return {"unknown": why or "nobody can tell"}


def _none(why: str) -> Json:
    return {"none": why}
