"""Every way in which the emulated API says no: a Kubernetes Status, with the code and reason of the real one.

Store, admission, patches and the server raise these; the server writes ``body()``. In-process callers (the
controllers, the tests) catch ``ApiError`` and look at ``reason``.
"""

import json
from collections.abc import Sequence
from typing import Any

Manifest = dict[str, Any]
Fault = tuple[str, str, str]  # (field, reason, message)


class ApiError(Exception):
    """A refusal. ``reason`` is Kubernetes' word: NotFound, AlreadyExists, Conflict, Invalid, Expired, ..."""

    def __init__(self, status: int, reason: str, message: str, details: Manifest | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.details = details

    def body(self) -> Manifest:
        """Return it as a v1 Status."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            **({"details": self.details} if self.details is not None else {}),
            "code": self.status,
        }


def not_found(qualified: str, name: str) -> ApiError:
    """Refuse: ``jobs.batch "x" not found``."""
    return ApiError(404, "NotFound", f'{qualified} "{name}" not found', _named(qualified, name))


def already_exists(qualified: str, name: str) -> ApiError:
    """Refuse: there is one of that name."""
    return ApiError(409, "AlreadyExists", f'{qualified} "{name}" already exists', _named(qualified, name))


def conflict(qualified: str, name: str, why: str) -> ApiError:
    """Refuse a conditional write whose condition doesn't hold."""
    message = f'Operation cannot be fulfilled on {qualified} "{name}": {why}'
    return ApiError(409, "Conflict", message, _named(qualified, name))


def modified(qualified: str, name: str) -> ApiError:
    """Refuse a write that was made from an older version."""
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(qualified, name, why)


def forbidden(qualified: str, name: str, why: str) -> ApiError:
    """Refuse what may not be done."""
    named = f'{qualified} "{name}"' if name else qualified
    return ApiError(403, "Forbidden", f"{named} is forbidden: {why}", _named(qualified, name))


def invalid(kind: str, group: str, name: str, causes: Sequence[Fault]) -> ApiError:
    """Refuse an object with its faults, each (field, reason as FieldValueInvalid, message)."""
    texts = list(dict.fromkeys(f"{field}: {message}" for field, _, message in causes))
    faults = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    qualified = f"{kind}.{group}" if group else kind
    details = {
        **({"name": name} if name else {}),
        **({"group": group} if group else {}),
        **({"kind": kind} if kind else {}),
        "causes": [{"reason": reason, "message": message, "field": field} for field, reason, message in causes],
    }
    return ApiError(422, "Invalid", f'{qualified} "{name}" is invalid: {faults}', details)


def bad_request(message: str) -> ApiError:
    """Refuse what can't be understood."""
    return ApiError(400, "BadRequest", message)


def expired(message: str) -> ApiError:
    """Refuse to go on from a version that is no longer kept."""
    return ApiError(410, "Expired", message)


def unacceptable(path: str, value: Any, reason: str) -> Fault:
    """Fault a value."""
    return path, "FieldValueInvalid", f"Invalid value: {json.dumps(value)}: {reason}"


def required(path: str, reason: str = "") -> Fault:
    """Fault that there is none."""
    return path, "FieldValueRequired", f"Required value{f': {reason}' if reason else ''}"


def refused(path: str, reason: str) -> Fault:
    """Fault what may not be said here."""
    return path, "FieldValueForbidden", f"Forbidden: {reason}"


def unsupported(path: str, value: Any, supported: tuple[str, ...]) -> Fault:
    """Fault a word that isn't one of a few."""
    words = ", ".join(f'"{word}"' for word in supported)
    return path, "FieldValueNotSupported", f"Unsupported value: {json.dumps(value)}: supported values: {words}"


def _named(qualified: str, name: str) -> Manifest:
    kind, _, group = qualified.partition(".")
    return {"name": name, **({"group": group} if group else {}), "kind": kind}
