"""How the cost of something grows, told by a ratio that one thread measures: a busy machine slows both sides of it."""

import gc
import time
from collections.abc import Callable


def growth(prepared: Callable[[int], Callable[[], object]], size: int, *, tries: int = 3) -> float:
    """Return how many times as much CPU time the work on ten times ``size`` takes as the work on ``size``.

    ``prepared`` takes a size and returns the work to measure. Of several tries the quickest counts. What grows with
    the size takes ten times as much, what grows with its square a hundred times.
    """
    small, large = (_cpu_seconds(prepared(count), tries) for count in (size, 10 * size))
    return large / small


def _cpu_seconds(work: Callable[[], object], tries: int) -> float:
    return min(_once(work) for _ in range(tries))


def _once(work: Callable[[], object]) -> float:
    """Return the CPU seconds of this thread alone (a worker's sandbox has its own), without the garbage collector's."""
    gc.disable()
    try:
        began = time.thread_time()
        work()
        return time.thread_time() - began
    finally:
        gc.enable()
