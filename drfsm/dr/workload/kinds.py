"""The kinds of words that a contract is made of: how each is read, and its JSON Schema.

Templates carry placeholders in braces. A kind refuses what would lead out of the prefix, to a key that is drfsm's own,
or to no name of its grammar. Called by the tables of declare.py and declare_serving.py.
"""

from collections.abc import Callable, Iterable

import yaml

from drfsm.claims import GRAMMAR, bounded, is_name
from drfsm.dr.workload.templates import folder_of_each
from drfsm.spec.words import Faults, Kind, Word

RESERVED = ("drfsm", "validations", "drills", "backups", "control-plane")
"""First folders below the prefix that are drfsm's, or the control plane's: no key of the workload's may lie there."""
_SAMPLE = "x1"


def grammar(name: str) -> Kind:
    """Return the kind of a name of claims.GRAMMAR."""
    pattern, longest, words = GRAMMAR[name]

    def read(node: yaml.Node, faults: Faults, called: str) -> Word | None:
        word = line_of_text(node, faults, called)
        if word is None or is_name(name, str(word)):
            return word
        faults.add(word.line, f"{called} {bounded(word, 100)!r} is no name of a {name}", f"write {words}")
        return None

    return Kind(read, {"type": ["string", "number"], "pattern": f"^({pattern.pattern})$", "maxLength": longest})


def line_of_text(node: yaml.Node, faults: Faults, called: str) -> Word | None:
    """Return a text of one line; None after adding a fault."""
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.ScalarNode) or not node.value.strip():
        faults.add(line, f"{called} is no text", "write it, or leave the key out")
    elif len(node.value) > LONGEST or not node.value.isprintable():
        faults.add(line, f"{called} is no line of at most {LONGEST} characters", "write one line")
    else:
        return Word(node.value.strip(), line)
    return None


LONGEST = 500
LINE = Kind(line_of_text, {"type": ["string", "number", "boolean"], "maxLength": LONGEST})


def template(
    kind: str,
    required: Iterable[str] = (),
    optional: Iterable[str] = (),
    *,
    check: Callable[[str], str] = lambda _: "",
    root: str = "",
) -> Kind:
    """Return the kind of a template that is a name of ``kind`` once its placeholders are put in.

    ``check`` returns what is wrong with a template all the same, "" for nothing. ``root``: what may stand before it.
    """
    needed, allowed = tuple(required), (*required, *optional)

    def read(node: yaml.Node, faults: Faults, called: str) -> Word | None:
        word = line_of_text(node, faults, called)
        if word is None:
            return None
        sample, missing = word.removeprefix(root), [name for name in needed if f"{{{name}}}" not in word]
        for name in allowed:
            sample = sample.replace(f"{{{name}}}", _SAMPLE)
        if missing:
            faults.add(word.line, f"{called} {str(word)!r} lacks {{{missing[0]}}}", "say where it goes")
        elif not is_name(kind, sample):
            known = ", ".join(f"{{{name}}}" for name in allowed) or "none"
            faults.add(
                word.line,
                f"{called} {bounded(word, 100)!r} is no {_IN_WORDS.get(kind, kind)}",
                f"write {GRAMMAR[kind][2]}; placeholders: {known}",
            )
        elif why := check(str(word)):
            faults.add(word.line, f"{called} {str(word)!r} {why}", _ELSEWHERE)
        else:
            return word
        return None

    return Kind(read, {"type": "string", "maxLength": LONGEST})


_IN_WORDS = {"prefix": "path below the prefix"}
_ELSEWHERE = "name another folder below the prefix"


def own_folder(text: str) -> str:
    """Return why a template may not be a folder of the workload's; "" where it may."""
    first = text.partition("/")[0]
    if "{" in first:
        return "begins with a placeholder, so it could be any folder"
    return f"lies in {first}/, which is not the workload's" if first in RESERVED else ""


def own_folders(text: str) -> str:
    """Return why a template can't be the folder of a pair; "" where it can."""
    if folder_of_each(text, ("provider", "profile")):
        return ""
    return "doesn't have {provider} and {profile} once each, in folders of their own: two pairs could have one folder"


def table(key: str, value: Kind) -> Kind:
    """Return the kind of a mapping from names of a grammar to things of one kind."""
    name = grammar(key)

    def read(node: yaml.Node, faults: Faults, called: str) -> dict[str, str] | None:
        if not isinstance(node, yaml.MappingNode) or not node.value:
            faults.add(node.start_mark.line + 1, f"{called} is no mapping", "write {name: value}")
            return None
        pairs: dict[str, str] = {}
        for key_node, value_node in node.value:
            key = name.read(key_node, faults, f"a key of {called}")
            if key is not None and key in pairs:
                faults.add(key.line, f"{key} is in {called} twice", "remove one")
            elif key is not None and (word := value.read(value_node, faults, str(key))) is not None:
                pairs[str(key)] = str(word)
        return pairs

    return Kind(
        read,
        {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": name.schema["pattern"]},
            "additionalProperties": value.schema,
        },
    )
