"""All systematic mutants of a declared machine: each is the declaration with one small fault in it.

Owns what a mutant is, and which there are. A declaration is read as plain words and changed as a mapping; what a change
leaves unused (a guard that no row has any more, a fact that no guard names) is taken out, too, or the loader would
refuse it for being unused and not for being wrong. Pure; called by machines.py and the test of its table.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from attrs import frozen

from drfsm.resources import shipped
from tests.spec.copies import Words, plain, prune

MACHINES = ("failback", "promote", "drill")
SAID = ("because", "mend")  # sentences: what they say changes nothing that a mutant could be killed by


@frozen
class Mutant:
    """One faulty copy of a machine. ``name`` is unique in its machine, and says what was changed where.

    ``same``: another mutant, made before, that says the same.
    """

    machine: str
    kind: str
    name: str
    words: Words
    same: str = ""

    @property
    def key(self) -> str:
        """Name the mutant among those of all machines."""
        return f"{self.machine}: {self.kind}: {self.name}"


def declared(machine: str) -> Words:
    """Return a shipped machine as plain words."""
    return plain((shipped("machines") / f"{machine}.yaml").read_text(encoding="utf-8"))


def digest(words: Words) -> str:
    """Return the digest of what a declaration does: without its sentences."""
    return hashlib.sha256(json.dumps(_wordless(words), sort_keys=True).encode()).hexdigest()[:16]


def _wordless(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _wordless(value) for key, value in node.items() if key not in SAID}
    return [_wordless(item) for item in node] if isinstance(node, list) else node


def mutants(machine: str) -> Iterator[Mutant]:
    """Yield every mutant of a shipped machine, in the order of its declaration."""
    words = declared(machine)
    text, seen = json.dumps(words), {digest(words): "the declared machine"}
    for kind, name, change in _made(words):
        copy = json.loads(text)
        change(copy)
        prune(copy)
        same = seen.setdefault(digest(copy), f"{kind}: {name}")
        yield Mutant(machine, kind, name, copy, "" if same == f"{kind}: {name}" else same)


def keys(machine: str) -> list[str]:
    """Return the keys of every mutant of a shipped machine, without making it."""
    return [f"{machine}: {kind}: {name}" for kind, name, _ in _made(declared(machine))]


def _made(words: Words) -> Iterator["Made"]:
    for maker in (_of_guards, _of_rows, _of_order, _of_ends, _of_rules):
        yield from maker(words)


Change = Callable[[Words], None]
Made = tuple[str, str, Change]  # kind, name, what it does to the words


def label(words: Words, number: int) -> str:
    """Name a row by its trigger and its first source; by its inputs, too, where another row has both."""
    rows = words["transitions"]
    alike = [row for row in rows if (row["trigger"], _first(row)) == (rows[number]["trigger"], _first(rows[number]))]
    selected = rows[number].get("when", {})
    by = "".join(f" {key}={value}" for key, value in selected.items()) if len(alike) > 1 else ""
    return f"{rows[number]['trigger']}@{_first(rows[number])}{by}"


def _first(row: Words) -> str:
    source = row["from"][0] if isinstance(row["from"], list) else row["from"]
    return str(source["state"] if isinstance(source, dict) else source)


def _listed(values: Any) -> list[str]:
    return [values] if isinstance(values, str) else list(values)


def _pop(*path: Any) -> Change:
    """Take out what lies at the end of a path of keys."""

    def change(node: Any) -> None:
        for key in path[:-1]:
            node = node[key]
        node.pop(path[-1])

    return change


def _put(value: Any, *path: str) -> Change:
    """Put a value at the end of a path of keys."""

    def change(node: Any) -> None:
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = value

    return change


def _row_change(number: int, change: Change) -> Change:
    return lambda words: change(words["transitions"][number])


# --- guards -----------------------------------------------------------------------------------------------


def _of_guards(words: Words) -> Iterator[Made]:
    """Yield a guard off each row and off all of its rows, and each guard that asks for less."""
    for number, row in enumerate(words["transitions"]):
        for guard in row.get("guards", ()):
            yield "guard off", f"{guard} of {label(words, number)}", _row_change(number, _without_guard(guard))
    for name, guard in words["guards"].items():
        if sum(name in row.get("guards", ()) for row in words["transitions"]) > 1 or "watched" in guard:
            yield "guard gone", name, _without_guard_anywhere(name)
        yield from _of_parts(words, name)
        for state in guard.get("watched", ()):
            yield "watched off", f"{name} in {state}", _unwatched(name, state)


def _of_parts(words: Words, name: str) -> Iterator[Made]:
    """Yield a guard that is content with one value more, or with one fact less."""
    for part in ("requires", "unless"):
        wanted = words["guards"][name].get(part, {})
        for fact, values in wanted.items():
            for value in words["facts"][fact]["values"]:
                if value not in _listed(values):
                    yield f"{part} wider", f"{name}: {fact} {value}", _widened(name, part, fact, value)
            if len(wanted) > 1:
                yield f"{part} shorter", f"{name}: {fact}", _dropped(name, part, fact)


def _without_guard(guard: str) -> Change:
    def change(row: Words) -> None:
        row["guards"] = [name for name in row["guards"] if name != guard]
        if not row["guards"]:
            del row["guards"]
            row.pop("wait", None)

    return change


def _without_guard_anywhere(guard: str) -> Change:
    def change(words: Words) -> None:
        words["guards"][guard].pop("watched", None)
        for row in words["transitions"]:
            if guard in row.get("guards", ()):
                _without_guard(guard)(row)

    return change


def _widened(name: str, part: str, fact: str, value: str) -> Change:
    def change(words: Words) -> None:
        wanted = words["guards"][name][part]
        wanted[fact] = [*_listed(wanted[fact]), value]

    return change


def _dropped(name: str, part: str, fact: str) -> Change:
    return _pop("guards", name, part, fact)


def _unwatched(name: str, state: str) -> Change:
    def change(words: Words) -> None:
        guard = words["guards"][name]
        guard["watched"] = [other for other in guard["watched"] if other != state]
        if not guard["watched"]:
            del guard["watched"]

    return change


# --- rows -------------------------------------------------------------------------------------------------


def _of_rows(words: Words) -> Iterator[Made]:
    """Yield what a careless author does to one row: what it sets, gives back, awaits, who fires it."""
    usual = words.get("defaults", {}).get("attempts", {}).get("max", "1")
    for number, row in enumerate(words["transitions"]):
        where = label(words, number)
        for kind, name, change in (*_of_sets(words, row), *_of_undo(row), *_of_tries(row, usual), *_of_author(row)):
            yield kind, f"{name}{where}", _row_change(number, change)
        if row.get("by") in ("operator", "failure"):
            yield f"{row['by']} row off", where, _without_row(number)
        sources = row["from"] if isinstance(row["from"], list) else []
        for source in sources if row.get("by") == "failure" else ():
            yield "failure source off", f"{source} of {where}", _row_change(number, _without_source(source))


def _of_sets(words: Words, row: Words) -> Iterator[Made]:
    sets = row.get("sets", {})
    for fact, value in sets.items():
        if len(sets) > 1:
            yield "sets shorter", f"{fact} of ", _pop("sets", fact)
        for other in words["facts"][fact]["values"]:
            if other != value:
                yield "sets other", f"{fact} {other} of ", _put(other, "sets", fact)


def _of_undo(row: Words) -> Iterator[Made]:
    if "undo" in row:
        yield "undo off", "", _pop("undo")
        yield "undo kept", "", _keep
    if "not_undone_because" in row:
        yield "keeps off", "", _pop("not_undone_because")
    if "lands_late" in row:
        yield "lands_late off", "", _pop("lands_late")
    if "compares" in row:
        yield "compares off", "", _pop("compares")
    if "point_of_no_return" in row:
        yield "point of no return off", "", _pop("point_of_no_return")


def _of_tries(row: Words, usual: str) -> Iterator[Made]:
    wait, attempts = row.get("wait", {}), row.get("attempts", {})
    if wait:
        yield "wait off", "", _pop("wait")
    if wait.get("consecutive", "1") != "1":
        yield "consecutive one", "", _put("1", "wait", "consecutive")
    for fact in wait.get("give_up", {}):
        yield "give_up shorter", f"{fact} of ", _give_up_less(fact)
    tries = attempts.get("max", "1") if attempts or "action" not in row else usual
    if tries != "1":
        yield "attempts one", "", _put({"max": "1"}, "attempts")
    if "repair" in attempts:
        yield "repair off", "", _pop("attempts", "repair")
    if "rounds" in row:
        yield "rounds off", "", _pop("rounds")


def _give_up_less(fact: str) -> Change:
    def change(row: Words) -> None:
        row["wait"]["give_up"].pop(fact)
        if not row["wait"]["give_up"]:
            del row["wait"]["give_up"]

    return change


def _keep(row: Words) -> None:
    del row["undo"]
    row["not_undone_because"] = "it stays"


def _of_author(row: Words) -> Iterator[Made]:
    if row.get("by") == "operator":
        yield "by runner", "", _pop("by")
    for name in row.get("amends", ()):
        yield "amends shorter", f"{name} of ", _amend_less(name)
    if "overrides_open_intent" in row:
        yield "overrides_open_intent off", "", _pop("overrides_open_intent")
    if "foresees" in row:
        yield "foresees off", "", _pop("foresees")


def _amend_less(name: str) -> Change:
    def change(row: Words) -> None:
        row["amends"] = [other for other in row["amends"] if other != name]
        if not row["amends"]:
            del row["amends"]

    return change


def _without_row(number: int) -> Change:
    return _pop("transitions", number)


def _without_source(source: Any) -> Change:
    return lambda row: row["from"].remove(source)


# --- the order --------------------------------------------------------------------------------------------


def _of_order(words: Words) -> Iterator[Made]:
    """Yield two rows whose targets or whose work are exchanged, and the point of no return elsewhere."""
    rows = words["transitions"]
    by_runner = (number for number, row in enumerate(rows) if row.get("by", "runner") == "runner")
    forth = [number for number in by_runner if "foreach" not in rows[number]]
    for one, other in pairwise(forth):
        names = f"{label(words, one)} and {label(words, other)}"
        yield "targets exchanged", names, _exchanged(one, other, ("to",))
        if rows[one].get("to") in _sources(rows[other]):
            yield "work exchanged", names, _exchanged(one, other, ("trigger", *_WORK))
    for number in (number for number in forth if "point_of_no_return" in rows[number]):
        yield from _of_points(words, number)


_WORK = ("guards", "action", "sets", "effect", "attempts", "undo", "not_undone_because", "lands_late", "wait",
         "timeout_seconds", "because")  # fmt: skip


def _sources(row: Words) -> list[str]:
    sources = row["from"] if isinstance(row["from"], list) else [row["from"]]
    return [source["state"] if isinstance(source, dict) else source for source in sources]


def _exchanged(one: int, other: int, keys: tuple[str, ...]) -> Change:
    def change(words: Words) -> None:
        rows = words["transitions"]
        for key in keys:
            mine, others = rows[one].pop(key, None), rows[other].pop(key, None)
            rows[one] |= {} if others is None else {key: others}
            rows[other] |= {} if mine is None else {key: mine}

    return change


def _of_points(words: Words, number: int) -> Iterator[Made]:
    """Yield the point of no return one row earlier and one later, where that row has an action with an effect."""
    rows = words["transitions"]
    for where, other in enumerate(rows):
        near = other.get("to") in _sources(rows[number]) or rows[number].get("to") in _sources(other)
        if near and "action" in other and "sets" in other and other.get("by", "runner") == "runner":
            names = f"from {label(words, number)} to {label(words, where)}"
            yield "point of no return moved", names, _exchanged(number, where, ("point_of_no_return",))


def _of_ends(words: Words) -> Iterator[Made]:
    """Yield each final state with another status."""
    for state, status in words["finals"].items():
        for other in ("complete", "aborted", "refused", "failed"):
            if other != status:
                yield "final other", f"{state} {other}", _ending(state, other)


def _ending(state: str, status: str) -> Change:
    return _put(status, "finals", state)


# --- the rules --------------------------------------------------------------------------------------------


def _of_rules(words: Words) -> Iterator[Made]:
    """Yield each never rule left out, for fewer values, in fewer states, and for more conditions."""
    for number, rule in enumerate(words["never"]):
        yield "rule off", rule["name"], _pop("never", number)
        for fact, values in rule["when"].items():
            for value in values if isinstance(values, list) else ():
                yield "rule weaker", f"{rule['name']}: {fact} {value}", _rule_less(number, ("when", fact), value)
        for state in rule.get("states", ()) if len(rule.get("states", ())) > 1 else ():
            yield "rule weaker", f"{rule['name']}: in {state}", _rule_less(number, ("states",), state)


def _rule_less(number: int, path: tuple[str, ...], value: str) -> Change:
    def change(words: Words) -> None:
        part = words["never"][number]
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = [other for other in part[path[-1]] if other != value]

    return change
