"""What one row can get wrong by itself, as a table of rules. Called by declare.py.

soundness.py has the rules of the whole table.
"""

from collections.abc import Callable, Mapping

from drfsm.spec.model import By, Effect
from drfsm.spec.words import Block, Faults

_MUTATING = (Effect.IDEMPOTENT, Effect.ONCE)


def mutates(row: Block) -> bool:
    """Return whether the row's action changes something outside."""
    return row.get("effect") in _MUTATING


_ROW_RULES: tuple[tuple[Callable[[Block], bool], str, str, str], ...] = (
    # at fault if                                                        key, what is wrong, the mend
    (
        lambda r: "action" in r and "effect" not in r.lines,
        "action",
        "an action without effect",
        "add `effect: none`, `idempotent` or `once`",
    ),
    (
        lambda r: "action" in r and r.get("effect") == Effect.NONE and "sets" in r,
        "sets",
        "an action with effect none sets facts",
        "write `effect: idempotent` or `once`, or remove sets",
    ),
    (
        lambda r: "action" in r and mutates(r) and "sets" not in r.lines,
        "effect",
        "an action with an effect sets nothing, so no probe can tell whether it was done",
        "add `sets: {fact: value}`, or write `effect: none`",
    ),
    (
        lambda r: "action" not in r.lines and "sets" in r,
        "sets",
        "sets without an action",
        "add the action that does it, or remove sets",
    ),
    (
        lambda r: "action" not in r.lines and mutates(r) and "foreach" not in r,
        "effect",
        "an effect without an action",
        "add the action, or remove effect",
    ),
    (
        lambda r: "action" not in r.lines and "undo" in r,
        "undo",
        "undo without an action",
        "remove undo: there is nothing to undo",
    ),
    (
        lambda r: "action" not in r.lines and "not_undone_because" in r,
        "not_undone_because",
        "not_undone_because without an action",
        "remove it: there is nothing to undo",
    ),
    (
        lambda r: "undo" in r and "not_undone_because" in r,
        "not_undone_because",
        "both undo and not_undone_because",
        "keep one: an abort either undoes it or says why not",
    ),
    (
        lambda r: "action" in r and r.get("effect") == Effect.NONE and ("undo" in r or "not_undone_because" in r),
        "effect",
        "undo or not_undone_because for an action with effect none",
        "remove it, or name the effect",
    ),
    (
        lambda r: "wait" in r and "guards" not in r.lines,
        "wait",
        "a wait without guards",
        "add the guards to wait for",
    ),
    (
        lambda r: "foreach" in r and r.get("by", By.RUNNER) == By.FAILURE,
        "by",
        "an undo loop by failure",
        "let the runner take it (or, to waive an undo, the operator)",
    ),
    (
        lambda r: "foreach" in r and "from" in r and "to" in r and tuple(r["from"]) != (r["to"],),
        "to",
        "an undo loop that leaves its state",
        "let from and to name the same one state",
    ),
    (
        lambda r: "to" not in r.lines and r.get("by", By.RUNNER) != By.OPERATOR,
        "trigger",
        "a row without `to` stays where it is, which only an operator's row may",
        "add `to: STATE`, or `by: operator`",
    ),
    (
        lambda r: "amends" in r and r.get("by", By.RUNNER) != By.OPERATOR,
        "amends",
        "inputs that nobody amends",
        "write `by: operator`: only an operator may change the inputs",
    ),
    (
        lambda r: r.get("overrides_open_intent", False) and r.get("by", By.RUNNER) != By.FAILURE,
        "overrides_open_intent",
        "only a failure overrides an open intent",
        "write `by: failure`, or remove overrides_open_intent",
    ),
    (
        lambda r: "rounds" in r and r.get("by", By.RUNNER) != By.FAILURE,
        "rounds",
        "only a failure leads back in rounds",
        "write `by: failure`, or remove rounds",
    ),
    (
        lambda r: r.get("rounds") == 1,
        "rounds",
        "one round only, so this row is never taken",
        "write 2 or more, or remove the row",
    ),
    (
        lambda r: "foreach" in r and ("action" in r or "undo" in r or "not_undone_because" in r),
        "foreach",
        "an undo loop with its own action, undo or not_undone_because",
        "remove it: each undo is named by the row undone",
    ),
    (
        lambda r: r.get("point_of_no_return", False) and "action" in r and r.get("effect") == Effect.NONE,
        "point_of_no_return",
        "a point_of_no_return without an effect",
        "name the action's effect, or remove point_of_no_return",
    ),
    (
        lambda r: r.get("point_of_no_return", False) and "action" not in r.lines,
        "point_of_no_return",
        "a point_of_no_return without an action",
        "add the action, or remove point_of_no_return",
    ),
    (
        lambda r: r.get("foresees", False) and (r.get("by", By.RUNNER) != By.RUNNER or "wait" in r or "foreach" in r),
        "foresees",
        "only a row that the runner takes, and that awaits nothing, foresees",
        "remove foresees here, or write it on the row that checks everything first",
    ),
    (
        lambda r: "repair" in r.get("attempts", {}) and r["attempts"].get("max", 1) == 1,
        "attempts",
        "a repair that never runs: there is one attempt only",
        "add `max: 2` or more, or remove repair",
    ),
)


def check_rows(machine: Block, faults: Faults) -> None:
    """Report every rule that a row breaks."""
    undo_loop = any("foreach" in row for row in machine.get("transitions", ()))
    guards = machine.get("guards", {})
    for row in machine.get("transitions", ()):
        for broken, key, what, mend in _ROW_RULES:
            if broken(row):
                faults.add(row.at(key), what, mend)
        if "undo" in row and not undo_loop:
            faults.add(
                row.at("undo"), "no row takes this undo", "add a row with `foreach: undo`, or write not_undone_because"
            )
        _check_give_up(row, guards, faults)


def _check_give_up(row: Block, guards: Mapping[str, Block], faults: Faults) -> None:
    give_up = row["wait"].get("give_up", {}) if "wait" in row else {}
    for name in row.get("guards", ()):
        requires = guards[name].get("requires", {}) if name in guards else {}
        for fact, values in give_up.items():
            for value in set(values) & set(requires.get(fact, ())):
                faults.add(fact.line, f"give_up at {fact}: {value}, which guard {name} waits for", "remove one")
