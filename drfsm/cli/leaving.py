"""How a process of drfsm ends: with its exit code, whatever became of its streams. Loads nothing heavy.

The interpreter isn't taken apart: obstore's threads live on, and one that lets go of a Python object while that happens
ends the process with SIGABRT, seen in one of some hundred runs. What is registered with atexit after ``leave_with`` was
called is still called, and output is flushed.
"""

import atexit
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

_DEFECT = 1  # errors.ExitCode.DEFECT: for a process that ended before it had a code


def leave_with(codes: Sequence[int]) -> None:
    """End the process, when it ends, with the code that stands in ``codes`` by then."""
    atexit.register(lambda: _leave(*codes))


def _leave(code: int = _DEFECT) -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # closed, or nobody reads any more
            if stream is not None:  # None: closed from the start
                stream.flush()
    os._exit(code)
