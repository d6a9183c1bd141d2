"""Small machines drawn at random: every part of a declaration, in every combination, as YAML that loads.

A machine is a chain of states ``s0 ... done`` with the rows that lead along it, a person's rows, rows for failures, an
abort loop, and a world that moves by itself. The same seed draws the same machine. What the loader refuses is drawn
again. Owns no claim: test_differential.py holds what these machines do against what the checker says.
"""

import json
import random
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from drfsm.errors import DeclarationFault
from drfsm.spec import MachineSpec, load_machine

Words = dict[str, Any]
FACTS = ("tap", "pump", "door", "lamp")
WORDS = ("a", "b", "c")
WORD = "word"  # the input that a person may amend, and that some facts are judged by
HALF_DONE = ("mixed", "partial")  # words for a fact whose keys differ
TRIES = 200


@frozen
class Parts:
    """Which parts of the language a drawn machine may use, beside those that all may use."""

    amended: bool = True  # facts that are judged by an input which a person's row amends
    begun_with: bool = True  # such a fact, observed, may be declared to have one value at first
    depends: bool = True
    lands_late: bool = True
    hidden: bool = True
    rounds: bool = True


@frozen
class Drawn:
    """One machine: its text, and the seed that draws it again."""

    seed: int
    text: str
    spec: MachineSpec
    words: Words = field(eq=False, repr=False)


@frozen
class _Draft:
    """A declaration while it is drawn."""

    pick: random.Random
    parts: Parts
    facts: dict[str, Words] = field(factory=dict)
    kinds: dict[str, str] = field(factory=dict)  # fact -> plain | weather | depends | word | reads
    guards: dict[str, Words] = field(factory=dict)

    def chance(self, probability: float) -> bool:
        return self.pick.random() < probability

    def some(self, items: list[str], most: int) -> list[str]:
        return sorted(self.pick.sample(items, self.pick.randint(1, max(1, min(most, len(items))))))

    @property
    def plain(self) -> list[str]:
        return [name for name, kind in self.kinds.items() if kind == "plain"]


def draw(seed: int, parts: Parts | None = None) -> Drawn:
    """Return the machine of a seed."""
    for attempt in range(TRIES):
        words = _declared(_Draft(random.Random(f"{seed}.{attempt}"), parts or Parts()))  # noqa: S311  no secret
        text = written(words)
        try:
            return Drawn(seed, text, load_machine(text, source=f"seed-{seed}.yaml"), words)
        except DeclarationFault:
            continue
    raise AssertionError(f"seed {seed}: {TRIES} declarations in a row are refused by the loader")


def written(words: Words) -> str:
    """Return a declaration as YAML with a line for each fact, guard, rule and row."""
    lines = []
    for key, value in words.items():
        if isinstance(value, Mapping):
            lines += [f"{key}:", *(f"  {name}: {json.dumps(member)}" for name, member in value.items())]
        elif isinstance(value, list):
            lines += [f"{key}:", *(f"  - {json.dumps(member)}" for member in value)]
        else:
            lines.append(f"{key}: {json.dumps(value)}")
    return "\n".join(lines) + "\n"


def _declared(draft: _Draft) -> Words:
    _draw_facts(draft)
    length = draft.pick.randint(1, 3)
    states = [f"s{number}" for number in range(length)]
    final = draft.pick.choice([None, None, *range(length)])  # the row of the point of no return
    back = draft.chance(0.7)  # whether there is an abort loop
    abortable = states[: length if final is None else final + 1] if back else []
    rows = [row for number in range(length) for row in _runners(draft, number, length, final, abortable)]
    rows += _operators(draft, states, abortable)
    rows += _failures(draft, states, rows, abortable)
    if back:
        rows += _abort_loop(draft, abortable)
    named = {row["to"] for row in rows if "to" in row}
    finals = {
        "done": "complete",
        **{s: w for s, w in (("back", "aborted"), ("refused", "refused"), ("broken", "failed")) if s in named},
    }
    environment = _environment(draft, states)
    if not any("amends" in row for row in rows):  # else a run may start with what nobody can say later
        for name in (name for name, kind in draft.kinds.items() if kind == "reads"):
            draft.facts[name].pop("initial", None)
    return {
        "machine": "drawn",
        "because": "any machine",
        "initial": "s0",
        "finals": finals,
        **_inputs(rows, draft),
        "facts": draft.facts,
        **_used_guards(draft, rows),
        **({"environment": environment} if environment else {}),
        "never": [{"name": "all_used", "when": {n: f["values"][0] for n, f in draft.facts.items()}, "because": "x"}],
        "transitions": rows,
    }


def _inputs(rows: list[Words], draft: _Draft) -> Words:
    inputs: Words = {}
    if any("when" in row for row in rows):
        inputs["way"] = {"values": ["long", "short"]}
    if {"word", "reads"} & set(draft.kinds.values()):
        readers = [name for name, kind in draft.kinds.items() if kind in ("word", "reads")]
        inputs[WORD] = {"values": ["a", "b"], "because": f"read by {', '.join(readers)}"}
    return {"inputs": inputs} if inputs else {}


def _used_guards(draft: _Draft, rows: list[Words]) -> Words:
    used = {name for row in rows for name in row.get("guards", ())}
    guards = {name: guard for name, guard in draft.guards.items() if name in used or "watched" in guard}
    return {"guards": guards} if guards else {}


# --- facts and what is required of them -------------------------------------------------------------------


def _draw_facts(draft: _Draft) -> None:
    kinds = ["plain", "plain", "weather"]
    kinds += ["depends"] if draft.parts.depends else []
    kinds += ["word", "reads"] if draft.parts.amended else []
    for number, name in enumerate(FACTS[: draft.pick.randint(2, 4)]):
        kind = "plain" if number == 0 else draft.pick.choice(kinds)
        draft.kinds[name] = kind
        draft.facts[name] = _fact(draft, kind, name)
    if draft.parts.hidden and draft.chance(0.2):
        draft.kinds["ghost"] = "hidden"
        draft.facts["ghost"] = {"values": ["a", "b"], "initial": ["a"], "hidden": "true"}
    for number in range(draft.pick.randint(1, 3)):
        draft.guards[f"g{number}"] = _guard(draft) | ({"watched": ["s0"]} if draft.chance(0.1) else {})


def _fact(draft: _Draft, kind: str, name: str) -> Words:
    if kind == "word":
        return {"values": ["a", "b"], "local": "true", **({"reads": [WORD]} if draft.chance(0.5) else {})}
    at_first = draft.chance(0.5) and draft.parts.begun_with
    if kind == "reads":
        return {"values": ["a", "b"], "reads": [WORD], **({"initial": ["a"]} if at_first else {})}
    values = list(WORDS[: draft.pick.randint(2, 3)])
    fact: Words = {"values": values}
    if draft.chance(0.8):
        fact["initial"] = draft.some(values, 2)
    if kind == "depends":
        fact["depends"] = draft.some([other for other in draft.plain if other != name], 2)
        if draft.chance(0.2):
            on = fact["depends"][0]
            fact["settled_when"] = {on: draft.facts[on]["values"][:1]}
    elif kind == "plain" and draft.chance(0.5):
        fact["values"] = [*values, draft.pick.choice(["mixed", "mixed", "partial"])]
    return fact


def _requires(draft: _Draft, most: int) -> Words:
    seen = [name for name, kind in draft.kinds.items() if kind != "hidden"]
    names = draft.some(seen, most)
    return {n: draft.some(draft.facts[n]["values"], len(draft.facts[n]["values"]) - 1) for n in names}


def _guard(draft: _Draft) -> Words:
    guard: Words = {"requires": _requires(draft, 2), "because": "so"}
    if draft.chance(0.25):
        guard["unless"] = _requires(draft, 1)
    return guard


def _environment(draft: _Draft, states: list[str]) -> list[Words]:
    rules = []
    movable = [name for name, kind in draft.kinds.items() if kind not in ("word", "reads")]
    for _ in range(draft.pick.randint(0, 3)):
        names = draft.some(movable, 2 if draft.chance(0.3) else 1)
        rule: Words = {"sets": {name: draft.pick.choice(draft.facts[name]["values"]) for name in names}}
        if draft.chance(0.7):
            rule = {"when": {**_requires(draft, 2)}, **rule}
        if draft.chance(0.3):
            rule["states"] = draft.some(states, 2)
        rules.append(rule)
    if "ghost" in draft.kinds:
        rules.append({"when": _requires(draft, 1), "sets": {"ghost": "b"}})
    return rules


# --- rows -------------------------------------------------------------------------------------------------


def _guarded(draft: _Draft, probability: float) -> Words:
    return {"guards": draft.some(list(draft.guards), 2)} if draft.chance(probability) else {}


def _runners(draft: _Draft, number: int, length: int, final: int | None, abortable: list[str]) -> list[Words]:
    source, after = f"s{number}", f"s{number + 1}" if number + 1 < length else "done"
    no_return, may_abort = number == final, source in abortable
    one = {
        "from": source,
        "trigger": f"go_{number}",
        "to": after,
        **_deed(draft, f"{number}", no_return=no_return, may_abort=may_abort),
    }
    if not draft.chance(0.2):
        return [one | {"because": "on"}]
    beyond = f"s{number + 2}" if number + 2 < length else "done"
    other = {"from": source, "trigger": f"other_{number}", "to": draft.pick.choice([after, beyond])}
    other |= _deed(draft, f"{number}_other", may_abort=may_abort)
    return [one | {"when": {"way": "long"}, "because": "on"}, other | {"when": {"way": "short"}, "because": "on"}]


def _deed(draft: _Draft, name: str, *, no_return: bool = False, may_abort: bool) -> Words:
    """Draw what a row does: an action that sets facts, a mere look, a wait, or nothing."""
    kind = "act" if no_return else draft.pick.choice(["act"] * 6 + ["plain", "wait", "look"])
    if kind == "wait":
        guards = _guarded(draft, 1.0)
        return guards | {"wait": {"every_seconds": "1", "limit": "50", "consecutive": draft.pick.choice(["1", "2"])}}
    deed = _guarded(draft, 0.6)
    if kind == "look":
        return deed | {"action": f"look_{name}", "effect": "none"}
    if kind != "act":
        return deed
    return deed | _act(draft, name, deed.get("guards", []), no_return=no_return, may_abort=may_abort)


def _act(draft: _Draft, name: str, guards: list[str], *, no_return: bool = False, may_abort: bool) -> Words:
    compared = sorted({fact for guard in guards for fact in draft.guards[guard]["requires"]})
    names = draft.some(draft.plain, 2)
    values = {fact: [value for value in draft.facts[fact]["values"] if value not in HALF_DONE] for fact in names}
    deed: Words = {"action": f"do_{name}", "sets": {fact: draft.pick.choice(values[fact]) for fact in names}}
    deed["effect"] = "once" if draft.chance(0.2) else "idempotent"
    if draft.chance(0.3):
        deed["attempts"] = {"max": "2", **({"repair": "mend"} if draft.chance(0.5) else {})}
    if draft.parts.lands_late and draft.chance(0.35):
        deed["lands_late"] = "true"
    if compared and draft.chance(0.25):
        deed["compares"] = draft.some(compared, 2)
    if no_return:
        deed["point_of_no_return"] = "true"
    elif may_abort and draft.chance(0.7):
        deed["undo"] = draft.pick.choice([f"undo_{name}", f"undo_{name}", "undo"])
    else:
        deed["not_undone_because"] = "kept"
    return deed


def _operators(draft: _Draft, states: list[str], abortable: list[str]) -> list[Words]:
    rows: list[Words] = []
    for number, state in enumerate(states):
        if draft.chance(0.25):
            onward = [*states[number + 1 :], "done"]
            rows.append({"from": state, "trigger": "skip", "to": draft.pick.choice(onward), **_guarded(draft, 0.5)})
        if draft.chance(0.2):
            row: Words = {"from": state, "trigger": "touch", **_guarded(draft, 0.4)}
            row |= _act(draft, f"{state}_by_hand", row.get("guards", []), may_abort=state in abortable)
            if {"word", "reads"} & set(draft.kinds.values()) and draft.chance(0.3):
                row["amends"] = [WORD]
            rows.append(row if draft.chance(0.5) else row | {"to": draft.pick.choice([*states[number + 1 :], "done"])})
    if {"word", "reads"} & set(draft.kinds.values()):
        tell: Words = {"from": draft.some(states, 2), "trigger": "tell", "amends": [WORD]}
        rows.append(tell | _guarded(draft, 0.3))
    return [row | {"by": "operator", "because": "a person says so"} for row in rows]


def _failures(draft: _Draft, states: list[str], rows: list[Words], abortable: list[str]) -> list[Words]:
    failures: list[Words] = []
    changing = any("sets" in row for row in rows if row.get("by") == "operator")
    for number, state in enumerate(states):
        row: Words = {"from": state, "trigger": f"fail_{number}", "by": "failure", "because": "it went wrong"}
        places = ["broken"] + (["going"] * 2 if state in abortable else [])
        places += ["refused"] * 2 if number == 0 and not changing else []
        if draft.chance(0.5):
            row["to"] = draft.pick.choice(places)
            row |= _guarded(draft, 0.4)
            if draft.chance(0.3):
                row["overrides_open_intent"] = "true"
            if draft.chance(0.15) and row["to"] != "refused":
                deed = _act(draft, f"{state}_failed", row.get("guards", []), may_abort=state in abortable)
                row |= deed
            failures.append(row)
        if draft.parts.rounds and number and draft.chance(0.15):
            again = {"to": draft.pick.choice(states[:number]), "rounds": "2", "trigger": f"again_{number}"}
            failures.append({key: row[key] for key in ("from", "by", "because")} | again)
    return failures


def _abort_loop(draft: _Draft, abortable: list[str]) -> list[Words]:
    rows: list[Words] = [
        {"from": abortable, "trigger": "abort", "to": "going", "by": "operator"},
        {"from": "going", "trigger": "undo_newest", "to": "going", "foreach": "undo"},
        {"from": "going", "trigger": "finish_abort", "to": "back"},
    ]
    if draft.chance(0.5):
        rows.append({"from": "going", "trigger": "waive", "to": "going", "by": "operator", "foreach": "undo"})
    if draft.chance(0.3):
        rows[2] |= _guarded(draft, 1.0)
    return [row | {"because": "back"} for row in rows]
