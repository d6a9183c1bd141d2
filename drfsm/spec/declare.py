"""Reads a machine's declaration: YAML text in, a frozen MachineSpec out, or every fault at once.

Owns the declaration's format (the tables of keys below). names.py and row_rules.py check what was read, build.py makes
the spec, and soundness.py has the rules of the whole table. Refuses to guess: a fault says where it is
(``source:line``), what is wrong and how to correct it. Called by the CLI, the runner (which reads the run's own
copy) and authors' tests; it touches no file, the text is handed in.
"""

import hashlib
from functools import lru_cache
from typing import Any

from drfsm.errors import DeclarationFault
from drfsm.resources import known
from drfsm.spec.build import built, skeleton_is_whole
from drfsm.spec.descriptions import described
from drfsm.spec.model import By, Effect, Foreseen, MachineSpec
from drfsm.spec.names import check_names
from drfsm.spec.row_rules import check_rows
from drfsm.spec.search_rules import check_search
from drfsm.spec.shorthand import OLD_KEYS, members, source, write_out
from drfsm.spec.soundness import STATUSES, unsound
from drfsm.spec.words import (
    COUNT,
    FLAG,
    FREE_TABLE,
    LIMIT,
    NAME,
    PAUSE,
    SECONDS,
    TEXT,
    TIMES,
    WORD,
    Block,
    Faults,
    Key,
    block,
    choice,
    compose,
    listing,
    table,
)

# --- the format -----------------------------------------------------------------------------------------

_NAMES = listing(NAME)
_SETS = table(WORD)
_WANTED = table(listing(WORD, or_one=True))

_ATTEMPTS = {"max": Key(TIMES), "backoff_seconds": Key(PAUSE), "repair": Key(NAME)}
_WAIT = {
    "every_seconds": Key(SECONDS, required=True),
    "limit": Key(LIMIT, required=True),
    "consecutive": Key(COUNT),
    "give_up": Key(_WANTED),
}
_SOURCE = {"state": Key(NAME, required=True), "when": Key(_WANTED, required=True)}
_ROW = {
    "from": Key(listing(source(NAME, block(_SOURCE, "a source")), or_one=True), required=True),
    "trigger": Key(NAME, required=True),
    "to": Key(NAME),
    "by": Key(choice(*By)),
    "when": Key(_WANTED),
    "guards": Key(_NAMES),
    "action": Key(NAME),
    "sets": Key(_SETS),
    "effect": Key(choice(*Effect)),
    "attempts": Key(block(_ATTEMPTS, "attempts")),
    "wait": Key(block(_WAIT, "wait")),
    "undo": Key(NAME),
    "not_undone_because": Key(TEXT),
    "amends": Key(_NAMES),
    "foreach": Key(choice("undo")),
    "timeout_seconds": Key(SECONDS),
    "point_of_no_return": Key(FLAG),
    "overrides_open_intent": Key(FLAG),
    "foresees": Key(FLAG),
    "lands_late": Key(FLAG),
    "notes": Key(_SETS),
    "compares": Key(_NAMES),
    "rounds": Key(TIMES),
    "because": Key(TEXT, required=True),
}
_DEFAULTS = {key: _ROW[key] for key in ("effect", "attempts")}
_INPUT = {"values": Key(listing(WORD)), "because": Key(TEXT)}
_FACT = {
    "values": Key(listing(WORD), required=True),
    "because": Key(TEXT),
    "local": Key(FLAG),
    "depends": Key(_NAMES),
    "initial": Key(listing(WORD)),
    "hidden": Key(FLAG),
    "known_after": Key(NAME),
    "reads": Key(_NAMES),
    "amended_between": Key(listing(WORD)),
    "settled_when": Key(_WANTED),
    "partial": Key(listing(WORD)),
}
_GUARD = {
    "requires": Key(_WANTED, required=True),
    "unless": Key(_WANTED),
    "foreseen": Key(choice(*Foreseen)),
    "because": Key(TEXT, required=True),
    "mend": Key(TEXT),
    "watched": Key(_NAMES),
    "never_refuses_because": Key(TEXT),
}
_ENVIRONMENT = {
    "when": Key(_WANTED),
    "sets": Key(_SETS, required=True),
    "states": Key(_NAMES),
    "meddles": Key(FLAG),
    "mends": Key(FLAG),
    "because": Key(TEXT),
}
_NEVER = {
    "name": Key(NAME, required=True),
    "when": Key(_WANTED, required=True),
    "states": Key(_NAMES),
    "inputs": Key(_WANTED),
    "unless_taken": Key(_NAMES),
    "because": Key(TEXT, required=True),
}
_FROZEN = {"when": Key(_WANTED, required=True), "because": Key(TEXT, required=True)}
_PHASE = {
    "triggers": Key(_NAMES, required=True),
    "ends": Key(table(NAME), required=True),
    "fails": Key(_NAMES),
}
_MACHINE = {
    "machine": Key(NAME, required=True),
    "because": Key(TEXT, required=True),
    "initial": Key(NAME, required=True),
    "finals": Key(table(choice(*STATUSES)), required=True),
    "defaults": Key(block(_DEFAULTS, "defaults")),
    "groups": Key(table(members(_NAMES))),
    "inputs": Key(table(block(_INPUT, "an input"))),
    "facts": Key(table(block(_FACT, "a fact"))),
    "guards": Key(table(block(_GUARD, "a guard"))),
    "environment": Key(listing(block(_ENVIRONMENT, "an environment rule"))),
    "never": Key(listing(block(_NEVER, "a never rule"))),
    "frozen": Key(listing(block(_FROZEN, "a frozen rule"))),
    "transitions": Key(listing(block(_ROW, "a transition", OLD_KEYS)), required=True),
    "phases": Key(table(block(_PHASE, "a phase"))),
    "receipt": Key(FREE_TABLE),
}
_DECLARATION = block(_MACHINE, "a machine")


def dump_schema() -> dict[str, Any]:
    """Return the format as a JSON Schema (draft 2020-12), for editors. The loader knows more than it can say."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "drfsm machine",
        "description": "A declared drfsm machine; `drfsm machine check` finds what a schema cannot.",
        **described({key: value for key, value in _DECLARATION.schema.items() if key != "title"}, "a machine"),
    }


def load_machine(text: bytes | str, *, source: str = "<machine>", recorded: bool = False) -> MachineSpec:
    """Read a declaration. Raises DeclarationFault with every fault, each with its line and a correction.

    ``recorded``: a run was started with it, perhaps by an earlier drfsm: what that one let pass is let pass.
    """
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(text)
    return _loaded(raw, source, recorded)


@lru_cache(maxsize=16)
def _loaded(raw: bytes, source: str, recorded: bool) -> MachineSpec:
    """Read a declaration once: a command asks for the same one several times, and each reading costs 0.1 s.

    One that a run recorded and that drfsm ships or shipped, byte for byte, was checked before: it is only read.
    """
    faults = Faults(source)
    sha256 = hashlib.sha256(raw).hexdigest()
    checked = recorded and known(sha256) is not None
    declared = _read(raw, faults, plain=checked)
    spec = None
    if declared is not None:
        write_out(declared, faults)
        if not checked:
            check_names(declared, faults)
            check_rows(declared, faults)
        if not recorded:
            check_search(declared, faults)
        spec = built(declared, source, sha256)
        if spec is not None and not checked and skeleton_is_whole(declared):
            for fault in unsound(spec):
                faults.add(*fault)
    if faults.entries or spec is None:
        lines = faults.lines()
        count = "one fault" if len(lines) == 1 else f"{len(lines)} faults"
        raise DeclarationFault(f"{source}: {count} in the declaration", lines, hint="correct the declaration")
    return spec


def _read(raw: bytes, faults: Faults, *, plain: bool = False) -> Block | None:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        faults.add(line, "these bytes are not UTF-8", "save the declaration as UTF-8")
        return None
    root = compose(text, faults, plain=plain)
    declared: Block | None = None if root is None else _DECLARATION.read(root, faults, "the declaration")
    return declared
