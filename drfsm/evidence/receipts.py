"""Holds a derived statement against its JSON Schema (draft 2020-12), in words, all violations at once.

The schemas are shipped in receipts_schema/; the caller hands their content in. ``jsonschema`` is loaded only
when something is checked. Called by the CLI and the tests.
"""

from collections.abc import Mapping
from typing import Any

from drfsm.claims import printable
from drfsm.errors import UsageFault

_HEAD, _TAIL = 60, 200  # of a message that quotes a large value first


def check(receipt: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """Return every violation as ``where: what``; [] if the receipt is as the schema wants it.

    Raises UsageFault where jsonschema is not installed.
    """
    try:
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import best_match
    except ImportError:
        raise UsageFault("checking a receipt needs jsonschema", hint="pip install jsonschema") from None
    found = (best_match([each]) for each in Draft202012Validator(schema).iter_errors(receipt))
    return sorted(f"{each.json_path}: {_short(each.message)}" for each in found)


def _short(message: str) -> str:
    told = printable(message)
    return told if len(told) <= _HEAD + _TAIL else f"{told[:_HEAD]}…{told[-_TAIL:]}"
