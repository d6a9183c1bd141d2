"""What a person must really have said: no empty text, no blank, and no placeholder that a form was left with."""

from drfsm.evidence.schemas.shapes import Shape, about, matching, not_a

_PLACEHOLDERS = (
    "tbd", "tba", "tbc", "todo", "fixme", "xxx+", "n/?a", "none", "null", "nil", "unknown", "undefined", "placeholder",
    "change ?me", "dummy", "test", "your .*", "lorem ipsum.*",
)  # fmt: skip


def _any_case(pattern: str) -> str:
    """Return a pattern that matches letters of either case, without a flag that other tools don't have."""
    return "".join(f"[{letter.upper()}{letter}]" if letter.isalpha() else letter for letter in pattern)


PLACEHOLDER = rf"^\s*([-.?_*…]+|<.*>|\[.*\]|\$?\{{.*\}}|{'|'.join(map(_any_case, _PLACEHOLDERS))})\s*[.!?]*\s*$"
"""A text that says nothing: ``TBD``, ``n/a``, ``<name>``, ``...``."""
BLANK = r"\S"
"""What a text that is not blank has."""
SAID: Shape = {**matching(BLANK), **not_a({"pattern": PLACEHOLDER})}
"""The shape of a text that says something."""


def said(words: str) -> Shape:
    """Return the shape of a text that a person must really have said, with its description."""
    return about(words) | SAID
