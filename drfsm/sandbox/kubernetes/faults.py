"""Faults on command: a test says which requests fail, how, and how often; the server asks before it answers.

Only requests with the operator's token meet faults (drfsm's, kubectl's), never those of the kubelet.
"""

import re
import threading
from typing import Literal

from attrs import define

from drfsm.sandbox.kubernetes.errors import UsageError

Mode = Literal["reset", "hang", "reset-after-commit", "hang-after-commit"]
"""``reset``: cut before anything is done. ``hang``: nothing is done, nothing is said. ``…-after-commit``: the
request is carried out, and its answer lost: the connection is cut, or stays open and silent."""
MODES = ("reset", "hang", "reset-after-commit", "hang-after-commit")


@define
class Fault:
    """One rule. With a number as ``status`` the request is refused with it, after the delay, and not carried out."""

    method: str
    path: re.Pattern[str]
    status: int | Mode | None
    times: int
    delay_seconds: float
    retry_after_seconds: int | None = None
    hits: int = 0

    def fits(self, method: str, path: str) -> bool:
        """Return whether the rule applies to a request."""
        return self.hits < self.times and self.method in ("*", method) and bool(self.path.search(path))


class Faults:
    """The rules of one cluster; safe for use by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Fault] = []

    def add(
        self,
        method: str,
        path_regex: str,
        *,
        status: int | Mode | None = None,
        times: int = 1,
        delay_seconds: float = 0,
        retry_after_seconds: int | None = None,
    ) -> Fault:
        """Add a fault for the next ``times`` requests that match; without ``status`` they are only delayed.

        ``method`` is an HTTP method or ``*``; ``path_regex`` is searched for in the path with its query. The
        rule's ``hits`` count the requests that met it. A refusal may carry a Retry-After, which makes the
        official client repeat the request by itself. Raises UsageError for a mode that doesn't exist.
        """
        if isinstance(status, str) and status not in MODES:
            raise UsageError(f"no fault is called {status}", hint=f"one of {', '.join(MODES)}, or a status")
        rule = Fault(method.upper(), re.compile(path_regex), status, times, delay_seconds, retry_after_seconds)
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Remove every fault."""
        with self._lock:
            self._rules.clear()

    @property
    def pending(self) -> bool:
        """Whether a request may still meet a fault."""
        return any(rule.hits < rule.times for rule in self._rules)

    def meet(self, method: str, path: str) -> Fault | None:
        """Return the first rule that a request meets, and count it."""
        if not self._rules:
            return None
        with self._lock:
            for rule in self._rules:
                if rule.fits(method, path):
                    rule.hits += 1
                    return rule
        return None
