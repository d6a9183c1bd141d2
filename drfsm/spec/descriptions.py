"""What each key of a declaration means, in the words that an editor shows beside it.

declare.py says which keys there are; ``described`` writes these words into its JSON Schema. docs/authoring.md explains
them with examples.
"""

from collections.abc import Mapping
from typing import Any

KEYS: Mapping[str, Mapping[str, str]] = {
    "a machine": {
        "machine": "The machine's name: snake_case.",
        "because": "What the machine is for, in one sentence.",
        "initial": "The state in which a run begins.",
        "finals": "The states in which a run ends, and the status that it ends with.",
        "defaults": "What holds for each row with an action that does not write that key itself.",
        "groups": "Names for lists of states, to be used wherever states are listed.",
        "inputs": "Values that are given when a run starts and never change during it.",
        "facts": "Named readings of the world, each with a few values. `unknown` is always possible beside them.",
        "guards": "Facts that a row requires, and why.",
        "environment": "What the world may do by itself, at any moment. The checker tries all of it.",
        "never": "Combinations of facts that must never be; the checker proves it, and the audit checks it again.",
        "frozen": "Which facts mean that something is frozen, in the operator's words.",
        "transitions": "The rows of the table: from where, by which trigger, to where, and what is done on the way.",
        "phases": "Parts of a run that get a receipt of their own.",
        "receipt": "What the summary of a run is to hold.",
    },
    "a transition": {
        "from": "The state that the row leaves; several states, a group, or {state: NAME, when: {INPUT: VALUE}}.",
        "trigger": "The row's name, an imperative: `freeze_dr`.",
        "to": "The state that the row leads to. An operator's row without it stays where it is.",
        "by": "What fires the row: the runner by itself, an operator's command, or a failure.",
        "when": "The inputs that select this row.",
        "guards": "The guards that must hold before the row is taken.",
        "action": "The code that changes the world, by its name in the binding.",
        "sets": "The facts that the action brings about. They are read again after it, and after a crash.",
        "effect": "Whether the action may be done again after a crash. once: a person decides.",
        "attempts": "How often the action is tried.",
        "wait": "The guards are read again and again until they hold.",
        "undo": "The code that an abort calls to give the change back.",
        "not_undone_because": "Why an abort leaves this change as it is.",
        "amends": "The inputs that the operator's arguments replace.",
        "foreach": "undo: the row is taken once for each change that is left to undo, newest first.",
        "timeout_seconds": "How long one attempt may take.",
        "point_of_no_return": "From this row's intent on an abort is refused: the only way is forward.",
        "overrides_open_intent": "A failure's row that may be taken although an action may be half done.",
        "foresees": "This row judges the foreseen guards of later rows, too.",
        "lands_late": "A request of the action may take effect after the action was given up.",
        "notes": "Hidden facts that the row's commit changes: only the checker follows them.",
        "compares": "Facts of its guards that the action's own requests compare: no effect where one changed.",
        "rounds": "How often, in all, a failure's row may lead back.",
        "because": "Why the row exists: the operator reads it.",
    },
    "a source": {"state": "The state that the row leaves.", "when": "The inputs that select the row there."},
    "attempts": {
        "max": "How often the action is tried: a number, or an input that is one.",
        "backoff_seconds": "The pause after the first attempt; it doubles.",
        "repair": "The code that is called once, after the first attempt that failed.",
    },
    "wait": {
        "every_seconds": "The pause between two readings.",
        "limit": "How long to wait: seconds, or an input that says them.",
        "consecutive": "How often in a row the guards must hold.",
        "give_up": "Values of facts at which waiting any longer is pointless.",
    },
    "defaults": {"effect": "The effect of an action that does not say it.", "attempts": "Likewise its attempts."},
    "an input": {"values": "The values that it may have; any, if there are none.", "because": "What it is for."},
    "a fact": {
        "values": "The values that it may have: words.",
        "because": "What it says about the world.",
        "local": "It is judged from the inputs alone: reading it makes no call.",
        "depends": "Facts whose change changes this one.",
        "initial": "The values that it may have when a run begins; any, if left out.",
        "hidden": "No code can read it: only environment and never name it.",
        "known_after": "The trigger that brings about what it reads: before, it says nothing.",
        "reads": "The inputs that its judge reads: an operator's row that amends one of them changes the fact.",
        "amended_between": "The values between which those inputs decide; any, if left out.",
        "settled_when": "Values of facts at which it changes no more by itself, until something it depends on changes.",
        "partial": "The values that an action leaves that was cut off; `mixed` and `partial`, if left out.",
    },
    "a guard": {
        "requires": "Facts, and the values that will do.",
        "unless": "Where all of these hold, `requires` is not evaluated.",
        "foreseen": "Whether it is judged beforehand, by the row that says `foresees`.",
        "because": "Why the row must not be taken without it: the operator reads it.",
        "mend": "What to do where it does not hold.",
        "watched": "It guards every row by which the runner leaves these states.",
        "never_refuses_because": "Why it is asked, though the check shows that it always holds.",
    },
    "an environment rule": {
        "when": "The facts at which this can happen; always, if left out.",
        "sets": "What the world does.",
        "states": "Only in these states.",
        "meddles": "Somebody does it behind the run's back: a never rule counts once the run could have seen it.",
        "mends": "Somebody does it by hand, to make right what would hold the run.",
        "because": "How that comes about.",
    },
    "a never rule": {
        "name": "The rule's name: snake_case.",
        "when": "The combination of facts that must never be.",
        "states": "Only in these states; in all, if left out.",
        "inputs": "The rule speaks of runs with these inputs.",
        "unless_taken": "The rule speaks of runs in which no row of these triggers was taken.",
        "because": "What would go wrong.",
    },
    "a frozen rule": {"when": "The facts that mean it.", "because": "What is frozen, in the operator's words."},
    "a phase": {
        "triggers": "The rows that belong to it.",
        "ends": "Which of its triggers end it, and how.",
        "fails": "The failures' rows by which it ends as failed.",
    },
}


def described(schema: Mapping[str, Any], block: str = "") -> dict[str, Any]:
    """Return a schema in which each known key of a block has its description."""
    words = KEYS.get(schema.get("title", block), {})
    described_schema: dict[str, Any] = {key: _described(value) for key, value in schema.items()}
    for name, key in described_schema.get("properties", {}).items():
        if name in words:
            described_schema["properties"][name] = {"description": words[name], **key}
    return described_schema


def _described(value: Any) -> Any:
    if isinstance(value, Mapping):
        return described(value)
    return [_described(item) for item in value] if isinstance(value, list) else value
