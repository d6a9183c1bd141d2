"""Reads YAML nodes into words with their line numbers, and collects every fault.

Owns the kinds of things that a declaration is made of (a name, a count, a table of names, a block with
known keys). Each kind knows both how it is read and its JSON Schema, so the loader and the schema that
editors use can't disagree. Refuses YAML's cleverness: no anchors, no tags, no duplicate keys, and every
scalar stays the word that was written (``on`` is ``on``). Called by declare.py and shorthand.py.
"""

import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from difflib import get_close_matches
from math import isfinite
from typing import Any, Self

import yaml
from attrs import field, frozen

_BASE: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_NAME = re.compile(r"[a-z][a-z0-9_]*\Z", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?\Z", re.ASCII)
_DEEPEST = 20  # a declaration needs six levels; a bomb of brackets gets no further
_LARGEST = 1 << 20  # characters; the longest that drfsm ships has fifty thousand


class Word(str):
    """A string that remembers the line on which it was written."""

    __slots__ = ("line",)
    line: int

    def __new__(cls, text: str, line: int) -> Self:
        """Make a word of ``text`` as written on ``line`` (counted from 1)."""
        word = super().__new__(cls, text)
        word.line = line
        return word


class Block(dict[str, Any]):
    """A mapping with known keys: values by key, and the line of each key."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}

    def at(self, key: str) -> int:
        """Return the line of a key, or the block's own."""
        return self.lines.get(key, self.line)


@frozen
class Faults:
    """The faults of one source; ``lines`` sorts them."""

    source: str
    entries: list[tuple[int, str]] = field(factory=list)

    def add(self, line: int, what: str, mend: str) -> None:
        """Add a fault on a line, and its correction."""
        self.entries.append((line, f"{what}; {mend}"))

    def lines(self) -> tuple[str, ...]:
        """Return ``source:line: what is wrong; the correction`` for each, in the order of the lines."""
        return tuple(dict.fromkeys(f"{self.source}:{line}: {text}" for line, text in sorted(self.entries)))


def did_you_mean(word: str, known: Iterable[str], otherwise: str) -> str:
    """Suggest the nearest known name, else every known one if they are few, else ``otherwise``."""
    names = list(dict.fromkeys(known))
    near = get_close_matches(word, names, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return otherwise


# --- from text to nodes --------------------------------------------------------------------------------


@frozen
class Form:
    """What a kind of document is called in messages, how deep it goes, and how it begins."""

    called: str
    levels: str
    start: str


_MACHINE = Form("the declaration", "a declaration needs six levels", "start with `machine: NAME`")


def compose(text: str, faults: Faults, form: Form = _MACHINE, *, plain: bool = False) -> yaml.Node | None:
    """Return the document's root node; None (and a fault) if it is not one plain YAML document.

    ``plain``: the caller knows already that it is one.
    """
    if len(text) > _LARGEST:
        faults.add(1, f"it has {len(text)} characters", f"{form.called} may have {_LARGEST}")
        return None
    try:
        root = yaml.compose(text, Loader=_Loader)
    except _TooDeepError as error:
        faults.add(error.line, "nested too deeply", form.levels)
        return None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = 1 if mark is None else mark.line + 1
        faults.add(line, f"not YAML: {error.problem or error.context}", "correct the syntax")
        return None
    except (yaml.YAMLError, RecursionError) as error:
        faults.add(1, f"not YAML: {' '.join(str(error).split())}", "save it as plain UTF-8 text")
        return None
    if root is None:
        faults.add(1, f"{form.called} is empty", form.start)
        return None
    return root if plain or _plain(root, text, faults) else None


class _TooDeepError(Exception):
    """A text has more levels than any declaration needs."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


class _Loader(_BASE):  # type: ignore[misc]  # PyYAML's loaders have no types
    """Composes nodes. The C composer recurses and would crash on a bomb of brackets, so levels are counted on the way.

    PyYAML calls ``descend_resolver`` and ``ascend_resolver`` around each node. Its own look for tags by path, and its
    ``resolve`` for tags by what a word looks like; here a scalar is always the word that was written.
    """

    _level = 0

    def descend_resolver(self, parent: yaml.Node | None, _index: object) -> None:
        """Count a level down."""
        self._level += 1
        if self._level > _DEEPEST + 1 and parent is not None:
            raise _TooDeepError(_line(parent))

    def ascend_resolver(self) -> None:
        """Count a level up."""
        self._level -= 1

    def resolve(self, kind: type[yaml.Node], _value: object, _implicit: object) -> str:
        """Return the plain tag of a kind of node."""
        return _TAGS[kind]


_TAGS = {
    yaml.ScalarNode: "tag:yaml.org,2002:str",
    yaml.SequenceNode: "tag:yaml.org,2002:seq",
    yaml.MappingNode: "tag:yaml.org,2002:map",
}


def _plain(root: yaml.Node, text: str, faults: Faults) -> bool:
    """Return whether nodes have no aliases, and report tags. Both have a sign of their own in the text."""
    if "*" not in text and "!" not in text:
        return True
    seen: set[int] = set()
    todo = [root]
    while todo:
        node = todo.pop()
        if id(node) in seen:
            _refuse_aliases(text, faults)
            return False
        seen.add(id(node))
        if node.tag not in _TAGS.values():
            faults.add(_line(node), f"the tag {node.tag}", "write plain YAML without tags")
        todo += _children(node)
    return True


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _refuse_aliases(text: str, faults: Faults) -> None:
    for event in yaml.parse(text, Loader=_BASE):
        if isinstance(event, yaml.AliasEvent):
            faults.add(
                event.start_mark.line + 1 if event.start_mark else 1,
                f"the alias *{event.anchor}",
                "write the value out where it is used",
            )


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


# --- kinds ----------------------------------------------------------------------------------------------

Read = Callable[[yaml.Node, Faults, str], Any]
"""(node, faults, what it is called) -> the value, or None after adding a fault."""


@frozen
class Kind:
    """One kind of thing in a declaration: how it is read, and its JSON Schema."""

    read: Read
    schema: Mapping[str, Any]


@frozen
class Key:
    """A known key of a block."""

    kind: Kind
    required: bool = False


def _word(node: yaml.Node, faults: Faults, called: str) -> Word | None:
    if not isinstance(node, yaml.ScalarNode):
        faults.add(_line(node), f"{called} is not a single word", "write one word")
        return None
    text = node.value.strip()
    if not text:
        faults.add(_line(node), f"{called} is empty", "write it or leave the key out")
        return None
    return Word(text, _line(node))


def _value(node: yaml.Node, faults: Faults, called: str) -> Word | None:
    word = _word(node, faults, called)
    if word is not None and len(word.split()) > 1:
        faults.add(word.line, f"{called} {str(word)!r} has spaces", "write one word")
        return None
    return word


def _name(node: yaml.Node, faults: Faults, called: str) -> Word | None:
    word = _word(node, faults, called)
    if word is None or _NAME.match(word):
        return word
    mend = "-".join(word.lower().split()).replace("-", "_")
    better = f"write {mend}" if _NAME.match(mend) else "use a-z, 0-9 and _, beginning with a letter"
    faults.add(word.line, f"{called} {str(word)!r} is not snake_case", better)
    return None


def _number(node: yaml.Node, faults: Faults, called: str, least: float) -> float | None:
    word = _word(node, faults, called)
    if word is None:
        return None
    number = float(word) if _NUMBER.match(word) else -1.0
    if isfinite(number) and number >= least and number >= 0:
        return number
    low = "0 or more" if least == 0 else "more than 0"
    faults.add(word.line, f"{called} is {word}", f"write a plain number, {low}")
    return None


def _count(node: yaml.Node, faults: Faults, called: str) -> int | None:
    number = _number(node, faults, called, 1)
    if number is None:
        return None
    if number != int(number):
        faults.add(_line(node), f"{called} is {number}", "write a whole number")
        return None
    return int(number)


_TINY = 1e-9


def _seconds(node: yaml.Node, faults: Faults, called: str) -> float | None:
    return _number(node, faults, called, _TINY)


def _limit(node: yaml.Node, faults: Faults, called: str) -> float | Word | None:
    if isinstance(node, yaml.ScalarNode) and _NAME.match(node.value):
        return Word(node.value, _line(node))
    return _seconds(node, faults, called)


def _times(node: yaml.Node, faults: Faults, called: str) -> int | Word | None:
    if isinstance(node, yaml.ScalarNode) and _NAME.match(node.value):
        return Word(node.value, _line(node))
    return _count(node, faults, called)


def _flag(node: yaml.Node, faults: Faults, called: str) -> bool | None:
    word = _word(node, faults, called)
    if word in ("true", "false"):
        return word == "true"
    if word is not None:
        faults.add(word.line, f"{called} is {word}", "write true or false")
    return None


def _free(node: yaml.Node, faults: Faults, called: str) -> Any:
    if isinstance(node, yaml.MappingNode):
        pairs = _pairs(node, faults, called) or []
        return {str(key): _free(value, faults, called) for key, value in pairs}
    if isinstance(node, yaml.SequenceNode):
        return [_free(item, faults, called) for item in node.value]
    return str(node.value)


def _pairs(node: yaml.Node, faults: Faults, called: str) -> list[tuple[Word, yaml.Node]] | None:
    """Return the keys and nodes of a mapping, the first of each key; None if it is no mapping."""
    if not isinstance(node, yaml.MappingNode):
        faults.add(_line(node), f"{called} is not a mapping", "write `key: value` lines or {key: value}")
        return None
    pairs: dict[Hashable, tuple[Word, yaml.Node]] = {}
    for key_node, value in node.value:
        key = _word(key_node, faults, f"a key of {called}")
        if key is None:
            continue
        if key in pairs:
            faults.add(
                key.line,
                f"{key} is in {called} twice",
                f"remove one (the first is on line {pairs[key][0].line})",
            )
            continue
        pairs[key] = (key, value)
    return list(pairs.values())


_DIGITS = r"[0-9]{1,9}(\.[0-9]{1,9})?"
_MOST = 999_999_999.999999999
_PLAIN_NUMBER = {"type": "string", "pattern": rf"^\s*{_DIGITS}\s*$"}  # quoted
_WHOLE_NUMBER = {"type": "integer", "minimum": 1, "maximum": int(_MOST)}
_QUOTED_WHOLE = {"type": "string", "pattern": r"^\s*0*[1-9][0-9]{0,8}\s*$"}
_POSITIVE = {"type": "number", "exclusiveMinimum": 0, "maximum": _MOST}

WORD = Kind(_value, {"type": ["string", "number", "boolean"], "pattern": r"^\s*\S+\s*$"})
TEXT = Kind(_word, {"type": ["string", "number", "boolean"], "pattern": r"\S"})
NAME = Kind(_name, {"type": ["string", "boolean"], "pattern": r"^\s*[a-z][a-z0-9_]*\s*$"})
FLAG = Kind(_flag, {"enum": [True, False, "true", "false"]})
COUNT = Kind(_count, {"anyOf": [_WHOLE_NUMBER, _QUOTED_WHOLE]})
TIMES = Kind(_times, {"anyOf": [_WHOLE_NUMBER, _QUOTED_WHOLE, NAME.schema]})
SECONDS = Kind(_seconds, {"anyOf": [_POSITIVE, _PLAIN_NUMBER]})
PAUSE = Kind(
    lambda node, faults, called: _number(node, faults, called, 0),
    {"anyOf": [{"type": "number", "minimum": 0, "maximum": _MOST}, _PLAIN_NUMBER]},
)
LIMIT = Kind(_limit, {"anyOf": [_POSITIVE, _PLAIN_NUMBER, NAME.schema]})
FREE = Kind(_free, {})
FREE_TABLE = Kind(
    lambda node, faults, called: _free(node, faults, called) if _pairs(node, faults, called) is not None else None,
    {"type": "object"},
)


def choice(*options: str) -> Kind:
    """Return the kind of a word out of a few."""

    def read(node: yaml.Node, faults: Faults, called: str) -> Word | None:
        word = _word(node, faults, called)
        if word is None or word in options:
            return word
        faults.add(
            word.line,
            f"{called} is {word}",
            did_you_mean(word, options, f"write one of {', '.join(options)}"),
        )
        return None

    return Kind(read, {"enum": list(options)})


def listing(kind: Kind, *, or_one: bool = False) -> Kind:
    """Return the kind of a list without repeats (or, if ``or_one``, a single thing in its place)."""

    def read(node: yaml.Node, faults: Faults, called: str) -> tuple[Any, ...] | None:
        if or_one and isinstance(node, yaml.ScalarNode):
            one = kind.read(node, faults, called)
            return None if one is None else (one,)
        if not isinstance(node, yaml.SequenceNode):
            faults.add(_line(node), f"{called} is not a list", "write [a, b]")
            return None
        if not node.value:
            faults.add(_line(node), f"{called} is an empty list", "name at least one or leave the key out")
            return None
        things = [kind.read(item, faults, called) for item in node.value]
        return _without_repeats([thing for thing in things if thing is not None], faults, called) or None

    schema = {"type": "array", "minItems": 1, "items": kind.schema}
    if kind.schema.get("type") != "object":  # two blocks may say the same; of names one is too many
        schema["uniqueItems"] = True
    return Kind(read, {"anyOf": [kind.schema, schema]} if or_one else schema)


def _without_repeats(things: list[Any], faults: Faults, called: str) -> tuple[Any, ...]:
    kept: list[Any] = []
    words: set[str] = set()
    for thing in things:
        if isinstance(thing, Word) and thing in words:
            faults.add(thing.line, f"{thing} is in {called} twice", "remove one")
            continue
        kept.append(thing)
        if isinstance(thing, Word):
            words.add(thing)
    return tuple(kept)


def table(kind: Kind) -> Kind:
    """Return the kind of a mapping from names to things of one kind."""

    def read(node: yaml.Node, faults: Faults, called: str) -> dict[Word, Any] | None:
        pairs = _pairs(node, faults, called)
        if pairs is None:
            return None
        if not pairs:
            faults.add(_line(node), f"{called} is empty", "name at least one or leave the key out")
            return None
        entries = {_checked_key(key, faults, called): kind.read(value, faults, str(key)) for key, value in pairs}
        return {key: value for key, value in entries.items() if key is not None and value is not None} or None

    return Kind(
        read,
        {
            "type": "object",
            "minProperties": 1,
            "propertyNames": NAME.schema,
            "additionalProperties": kind.schema,
        },
    )


def _checked_key(key: Word, faults: Faults, called: str) -> Word | None:
    if _NAME.match(key):
        return key
    faults.add(key.line, f"{str(key)!r} in {called} is not snake_case", "use a-z, 0-9 and _, beginning with a letter")
    return None


def block(keys: Mapping[str, Key], called: str, old_keys: Mapping[str, str] | None = None) -> Kind:
    """Return the kind of a mapping with known keys. ``old_keys``: names that keys had before, which are read, too."""
    names = old_keys or {}

    def read(node: yaml.Node, faults: Faults, name: str) -> Block | None:
        pairs = _pairs(node, faults, name)
        if pairs is None:
            return None
        declared = Block(_line(node))
        for word, value in pairs:
            key = names.get(word, str(word))
            if key not in keys:
                mend = did_you_mean(word, keys, f"its keys are {', '.join(keys)}")
                faults.add(word.line, f"{called} has no key {word}", mend)
                continue
            if key in declared.lines:
                old = next(old for old, new in names.items() if new == key)
                faults.add(word.line, f"{called} has {key} twice: {old} is its old name", f"remove {old}")
                continue
            declared.lines[key] = word.line
            read_value = keys[key].kind.read(value, faults, str(word))
            if read_value is not None:
                declared[key] = read_value
        for key, spec in keys.items():
            if spec.required and key not in declared.lines:
                faults.add(declared.line, f"{called} lacks {key}", f"add `{key}:`")
        return declared

    return Kind(
        read,
        {
            "title": called,
            "type": "object",
            "additionalProperties": False,
            "required": [name for name, key in keys.items() if key.required],
            "properties": {
                **{name: key.kind.schema for name, key in keys.items()},
                **{
                    old: {"description": f"The old name of {new}.", **keys[new].kind.schema, "deprecated": True}
                    for old, new in names.items()
                },
            },
        },
    )
