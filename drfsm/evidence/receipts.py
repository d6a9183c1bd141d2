"""Checks a receipt or summary against its JSON Schema (draft 2020-12), in words, all violations at once.

The schemas are shipped in receipts_schema/; the caller hands their content in. ``jsonschema`` is loaded only
when something is checked. Called by the CLI and the tests.
"""

from collections.abc import Mapping
from typing import Any

from drfsm.claims import printable
from drfsm.errors import UsageFault

_HEAD, _TAIL = 60, 200  # of a message that quotes a large value first


def check(receipt: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """Return every violation as ``where: what``; [] for a valid receipt.

    Raises UsageFault where jsonschema is not installed.
    """
    try:
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import best_match
    except ImportError:
        raise UsageFault("checking a receipt needs jsonschema", hint="pip install jsonschema") from None
    violations = (best_match([error]) for error in Draft202012Validator(schema).iter_errors(receipt))
    return sorted(f"{violation.json_path}: {_words(violation)}" for violation in violations)


def _words(violation: Any) -> str:
    """Return what is wrong; of a text that says nothing, that, and not the pattern by which it was found."""
    from drfsm.evidence.schemas.said import BLANK, PLACEHOLDER

    patterns = {"not": {"pattern": PLACEHOLDER}, "pattern": BLANK}
    if violation.validator in patterns and violation.validator_value == patterns[violation.validator]:
        return f"{_short(repr(violation.instance))} says nothing: it is empty, or a placeholder"
    return _short(violation.message)


def _short(message: str) -> str:
    text = printable(message)
    return text if len(text) <= _HEAD + _TAIL else f"{text[:_HEAD]}…{text[-_TAIL:]}"
