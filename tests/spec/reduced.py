"""Makes a machine smaller for as long as something is still true of it: a miss is looked at in its smallest machine.

Takes away one row, rule, guard, fact or key after the other; what the loader refuses without it stays. Owns no claim.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy

from drfsm.errors import DeclarationFault
from drfsm.spec import MachineSpec, load_machine
from tests.spec.random_machines import Words, written

OPTIONAL = (
    "guards", "attempts", "lands_late", "compares", "wait", "undo", "not_undone_because", "point_of_no_return",
    "overrides_open_intent", "when", "unless", "watched", "states", "depends", "settled_when", "reads", "initial",
)  # fmt: skip


def reduced(words: Words, still: Callable[[MachineSpec], bool]) -> str:
    """Return the text of the smallest machine found of which ``still`` is true, as it is of this one."""
    smaller = True
    while smaller:
        smaller = False
        for candidate in _smaller(words):
            spec = _loaded(candidate)
            if spec is not None and still(spec):
                words, smaller = candidate, True
                break
    return written(words)


def _loaded(words: Words) -> MachineSpec | None:
    _prune(words)
    try:
        return load_machine(written(words), source="reduced.yaml")
    except DeclarationFault:
        return None


def _smaller(words: Words) -> Iterator[Words]:
    """Yield copies of a declaration that lack one thing each, the largest things first."""
    for state in dict.fromkeys(row["to"] for row in words["transitions"] if "to" in row):
        yield _without_state(deepcopy(words), state)
    for section in ("transitions", "environment"):
        for number in range(len(words.get(section, ()))):
            copy = deepcopy(words)
            del copy[section][number]
            yield copy
    for fact in words["facts"]:
        yield _without_fact(deepcopy(words), fact)
    for section in ("transitions", "environment", "guards", "facts"):
        blocks = words.get(section, ())
        for number in blocks if isinstance(blocks, dict) else range(len(blocks)):
            for key in OPTIONAL:
                if key in blocks[number]:
                    copy = deepcopy(words)
                    del copy[section][number][key]
                    yield copy
    yield from _fewer_words(words)


def _fewer_words(words: Words) -> Iterator[Words]:
    """Yield copies in which one guard, rule or action names one fact less."""
    named = [
        (section, number) for section in ("transitions", "environment") for number in range(len(words.get(section, ())))
    ]
    for section, number in [*named, *(("guards", name) for name in words.get("guards", ()))]:
        for key in ("sets", "when", "requires"):
            for fact in words[section][number].get(key, {}):
                copy = deepcopy(words)
                del copy[section][number][key][fact]
                yield copy


def _without_state(words: Words, state: str) -> Words:
    """Take a state away, with the rows that lead there or leave it."""
    words["transitions"] = [row for row in words["transitions"] if state not in (row.get("to"), row["from"])]
    for block in (*words["transitions"], *words.get("environment", ())):
        for key in ("from", "states"):
            if isinstance(block.get(key), list) and state in block[key]:
                block[key].remove(state)
    words["transitions"] = [row for row in words["transitions"] if row["from"]]
    return words


def _without_fact(words: Words, fact: str) -> Words:
    """Take a fact away, and every mention of it."""
    del words["facts"][fact]
    guards = words.get("guards", {}).values()
    for block in (
        *words["transitions"],
        *words.get("environment", ()),
        *guards,
        *words["never"],
        *words["facts"].values(),
    ):
        for key in ("sets", "when", "requires", "unless", "settled_when"):
            block.get(key, {}).pop(fact, None)
        for key in ("depends", "compares"):
            if fact in block.get(key, ()):
                block[key].remove(fact)
    return words


def _prune(words: Words) -> None:
    """Take away what is empty, and guards, facts and inputs that nothing needs any more."""
    guards = words.get("guards", {})
    for name in [name for name, guard in guards.items() if not guard["requires"]]:
        del guards[name]
    for row in words["transitions"]:
        row["guards"] = [name for name in row.get("guards", ()) if name in guards]
    blocks = (*words["transitions"], *words.get("environment", ()), *guards.values(), *words["facts"].values())
    for block in blocks:
        for key in [
            key
            for key in ("guards", "sets", "when", "unless", "settled_when", "depends", "compares")
            if not block.get(key, True)
        ]:
            del block[key]
    words["environment"] = [rule for rule in words.get("environment", ()) if "sets" in rule]
    used = {name for row in words["transitions"] for name in row.get("guards", ())}
    words["guards"] = {name: guard for name, guard in guards.items() if name in used or "watched" in guard}
    named = {row.get("to") for row in words["transitions"]}
    words["finals"] = {state: status for state, status in words["finals"].items() if state in named}
    if "inputs" in words and not any("when" in row for row in words["transitions"]):
        words["inputs"].pop("way", None)
    if "inputs" in words and not any(fact.get("local") or "reads" in fact for fact in words["facts"].values()):
        words["inputs"] = {"way": words["inputs"]["way"]} if "way" in words["inputs"] else {}
    for section in ("guards", "environment", "inputs"):
        if not words.get(section, True):
            del words[section]
