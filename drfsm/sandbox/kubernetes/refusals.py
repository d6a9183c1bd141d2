"""Every refusal of the emulated API: a Kubernetes Status with the code and reason of the real one.

The store, admission, patches and the server raise these errors; the server writes their ``body()``. Callers in the
same process (the controllers, the tests) catch ``ApiError`` and read its ``reason``.
"""

import json
from collections.abc import Sequence
from typing import Any

Manifest = dict[str, Any]
Fault = tuple[str, str, str]  # (field, reason, message)


class ApiError(Exception):
    """A refusal. ``reason`` is Kubernetes' own word: NotFound, AlreadyExists, Conflict, Invalid, ...; "" for none."""

    def __init__(self, status: int, reason: str, message: str, details: Manifest | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.details = details

    def body(self) -> Manifest:
        """Return the refusal as a v1 Status."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            **({"reason": self.reason} if self.reason else {}),
            **({"details": self.details} if self.details is not None else {}),
            "code": self.status,
        }


def not_found(qualified: str, name: str) -> ApiError:
    """Return the refusal ``jobs.batch "x" not found``."""
    return ApiError(404, "NotFound", f'{qualified} "{name}" not found', _named(qualified, name))


def already_exists(qualified: str, name: str) -> ApiError:
    """Return the refusal of a second object of that name."""
    return ApiError(409, "AlreadyExists", f'{qualified} "{name}" already exists', _named(qualified, name))


def conflict(qualified: str, name: str, why: str) -> ApiError:
    """Return the refusal of a conditional write whose condition doesn't hold."""
    message = f'Operation cannot be fulfilled on {qualified} "{name}": {why}'
    return ApiError(409, "Conflict", message, _named(qualified, name))


def modified(qualified: str, name: str) -> ApiError:
    """Return the refusal of a write that was made from an older version."""
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(qualified, name, why)


def forbidden(qualified: str, name: str, why: str) -> ApiError:
    """Return the refusal of what is not allowed."""
    named = f'{qualified} "{name}"' if name else qualified
    return ApiError(403, "Forbidden", f"{named} is forbidden: {why}", _named(qualified, name))


def invalid(kind: str, group: str, name: str, causes: Sequence[Fault]) -> ApiError:
    """Return the refusal of an object for its faults: (field, reason such as FieldValueInvalid, message)."""
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
    """Return the refusal of a request that can't be understood."""
    return ApiError(400, "BadRequest", message)


def expired(message: str) -> ApiError:
    """Return the refusal of a version that is too old."""
    return ApiError(410, "Expired", message)


def unacceptable(path: str, value: Any, reason: str) -> Fault:
    """Return the fault of an invalid value."""
    return path, "FieldValueInvalid", f"Invalid value: {json.dumps(value)}: {reason}"


def required(path: str, reason: str = "") -> Fault:
    """Return the fault of a missing value."""
    return path, "FieldValueRequired", f"Required value{f': {reason}' if reason else ''}"


def refused(path: str, reason: str) -> Fault:
    """Return the fault of a field that is not allowed here."""
    return path, "FieldValueForbidden", f"Forbidden: {reason}"


def unsupported(path: str, value: Any, supported: tuple[str, ...]) -> Fault:
    """Return the fault of a value that is none of the supported ones."""
    words = ", ".join(f'"{word}"' for word in supported)
    return path, "FieldValueNotSupported", f"Unsupported value: {json.dumps(value)}: supported values: {words}"


def _named(qualified: str, name: str) -> Manifest:
    kind, _, group = qualified.partition(".")
    return {"name": name, **({"group": group} if group else {}), "kind": kind}
