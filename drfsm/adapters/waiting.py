"""Why a server gave no answer, in words; and what a command waits for, said where it takes long.

A server that accepts a connection and hangs would leave a person before a silent terminal: after two seconds the
command says what it waits for, and again every ten seconds. The adapters enclose their requests in ``waiting_for``;
the entry point sets who is told (``tell_with``). One thread looks at the open requests; it ends with the process.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from drfsm.claims import bounded

SAID_AFTER_SECONDS, SAID_AGAIN_SECONDS = 2.0, 10.0
_LOOK_SECONDS = 0.25
_LONGEST_REASON = 120  # characters
_WRAPPED = 5  # exceptions in one another, at most


class _Wait:
    """A request that is under way: since when, for what, and when that is to be said. A plain class loads at once."""

    def __init__(self, began: float, words: str, due: float) -> None:
        self.began, self.words, self.due = began, words, due


class _Watch:
    """The requests of this process that are under way, and who is told of those that take long."""

    def __init__(self) -> None:
        self.tell: Callable[[str], None] | None = None
        self._waits: dict[int, _Wait] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def begin(self, wait: _Wait) -> None:
        """Look at a request from now on."""
        with self._lock:
            self._waits[id(wait)] = wait
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="drfsm-waiting", daemon=True)
                self._thread.start()

    def end(self, wait: _Wait) -> None:
        """Look at it no more."""
        with self._lock:
            self._waits.pop(id(wait), None)

    def _look(self) -> None:
        while True:
            time.sleep(_LOOK_SECONDS)
            now = time.monotonic()
            with self._lock:
                late = [wait for wait in self._waits.values() if wait.due <= now]
                for wait in late:
                    wait.due = now + SAID_AGAIN_SECONDS
            tell = self.tell
            for words in dict.fromkeys(f"waiting for {wait.words}, {now - wait.began:.0f} s so far" for wait in late):
                if tell is not None:
                    tell(words)


_WATCH = _Watch()


def tell_with(tell: Callable[[str], None]) -> None:
    """Have ``tell`` called, in another thread, with what this process has waited for longer than two seconds."""
    _WATCH.tell = tell


@contextmanager
def waiting_for(words: str) -> Iterator[None]:
    """Enclose a request; ``words`` name the server, and when it is given up."""
    if _WATCH.tell is None:
        yield
        return
    began = time.monotonic()
    wait = _Wait(began, words, began + SAID_AFTER_SECONDS)
    _WATCH.begin(wait)
    try:
        yield
    finally:
        _WATCH.end(wait)


def reason_of(fault: BaseException) -> str:
    """Return why a server gave no answer: ``connection refused``, ``no answer within 30 s``, ..."""
    for layer in _layers(fault):
        name = type(layer).__name__
        if name in _BY_NAME:
            return _BY_NAME[name]
        if isinstance(layer, OSError) and layer.strerror and layer.errno is not None:
            return bounded(layer.strerror.partition(" (_ssl.c")[0].lower(), _LONGEST_REASON)
    return bounded(f"{type(fault).__name__}: {fault}", _LONGEST_REASON)


def shown_address(url: str) -> str:
    """Return a server's address for a message: without a user, a password or a query."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return bounded(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}", _LONGEST_REASON)


_BY_NAME = {
    "NameResolutionError": "its name cannot be resolved",
    "gaierror": "its name cannot be resolved",
    "ConnectTimeoutError": "no connection within the time limit",
    "ReadTimeoutError": "no answer within the time limit",
    "TimeoutError": "no answer within the time limit",
}


def _layers(fault: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what it wraps: urllib3 and botocore wrap the system's own error."""
    layer: object = fault
    for _ in range(_WRAPPED):
        if not isinstance(layer, BaseException):
            return
        yield layer
        wrapped = getattr(layer, "kwargs", {}).get("error") or getattr(layer, "reason", None) or layer.__cause__
        last = layer.args[-1] if layer.args else None
        layer = wrapped if isinstance(wrapped, BaseException) else last
