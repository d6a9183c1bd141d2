"""Signals while runs work: Ctrl-C or SIGTERM stops them at the next clean point, the second one at once.

SIGHUP, which a terminal sends when it is closed, stops nothing: a run goes on to where it would have gone, for a laptop
that is shut must not leave both sites frozen. Its progress goes into its bundle from then on (cli/progress.py).
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Interruptible(Protocol):
    """What can be asked to stop at its next clean point: a Runner, or a worker between two of them."""

    def interrupt(self) -> None:
        """Ask it; called from a signal handler."""


_AT_WORK: list[Interruptible] = []
_IN_THREADS: dict[int, list[Interruptible]] = {}  # by the thread's ident


def interrupt(thread: int) -> None:
    """Ask what works in a thread to stop at its next clean point: a run, and the run that started it."""
    for working in tuple(_IN_THREADS.get(thread, ())):
        working.interrupt()


@contextmanager
def stopping(runner: Interruptible, tell: Callable[[str], None]) -> Iterator[None]:
    """Stop at the next clean point on the first Ctrl-C (or SIGTERM), at once on the second.

    Only a process's main thread gets signals: what works in another one is stopped by ``interrupt``.
    """
    if threading.current_thread() is not threading.main_thread():
        working = _IN_THREADS.setdefault(threading.get_ident(), [])
        working.append(runner)
        try:
            yield
        finally:
            working.remove(runner)
        return
    asked = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        tell("stopping at the next clean point; press Ctrl-C again to stop at once")
        for working in _AT_WORK:  # a run, and the run that started it
            working.interrupt()

    def go_on(_number: int, _frame: object) -> None:
        tell("the terminal was closed (SIGHUP): the run goes on; drfsm status shows where it stands")

    actions = {signal.SIGINT: stop, signal.SIGTERM: stop, signal.SIGHUP: go_on}
    handlers = {number: signal.signal(number, action) for number, action in actions.items()}
    _AT_WORK.append(runner)
    try:
        yield
    finally:
        _AT_WORK.remove(runner)
        for number, handler in handlers.items():
            signal.signal(number, handler)
