"""Ctrl-C and SIGTERM while runs work: the first stops them at the next clean point, the second at once."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from drfsm.engine import Runner

_AT_WORK: list[Runner] = []


@contextmanager
def stopping(runner: Runner, tell: Callable[[str], None]) -> Iterator[None]:
    """Stop at the next clean point on the first Ctrl-C (or SIGTERM), at once on the second."""
    asked = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        tell("stopping at the next clean point; press Ctrl-C again to stop at once")
        for working in _AT_WORK:  # a run, and the run that started it
            working.interrupt()

    handlers = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    _AT_WORK.append(runner)
    try:
        yield
    finally:
        _AT_WORK.remove(runner)
        for number, handler in handlers.items():
            signal.signal(number, handler)
