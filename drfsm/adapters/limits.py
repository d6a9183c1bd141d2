"""Limits of requests: a token bucket for each bucket of S3 and each cluster, and a bound for each run.

``allow`` says how many requests a second this process may send to each place of a kind; whoever sends more waits.
``bound`` says how many requests of a kind a run may make: the next one is refused, before it is sent. Without either,
nothing waits and nothing is refused; requests are counted all the same. Workers of a fleet set them (docs/fleet.md).
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from attrs import define, field

from drfsm.errors import ActionFailed


@define
class TokenBucket:
    """So many tokens a second, and at most so many at once. Safe for many threads."""

    a_second: float
    most: float
    now: Callable[[], float] = time.monotonic
    _tokens: float = field(init=False)
    _filled: float = field(init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def __attrs_post_init__(self) -> None:
        """Begin full."""
        self._tokens, self._filled = self.most, self.now()

    def wait_seconds(self) -> float:
        """Take a token; return for how long its taker must wait: tokens are owed in the order of the calls."""
        with self._lock:
            now = self.now()
            self._tokens = min(self.most, self._tokens + (now - self._filled) * self.a_second)
            self._filled = now
            self._tokens -= 1
            return max(0.0, -self._tokens / self.a_second)


@define
class Meter:
    """The requests of one run, by kind."""

    counts: dict[str, int] = field(factory=dict)


_METER: ContextVar[Meter | None] = ContextVar("drfsm_meter", default=None)
_RATES: dict[str, float] = {}
_BOUNDS: dict[str, int] = {}
_BUCKETS: dict[tuple[str, str], TokenBucket] = {}
_LOCK = threading.Lock()


def allow(kind: str, a_second: float) -> None:
    """Allow so many requests a second to each place of a kind (``s3``: a bucket, ``cluster``: an API server)."""
    _RATES[kind] = float(a_second)
    with _LOCK:
        for key in [key for key in _BUCKETS if key[0] == kind]:
            del _BUCKETS[key]


def bound(kind: str, most: int) -> None:
    """Allow a run so many requests of a kind."""
    _BOUNDS[kind] = most


def free() -> None:
    """Forget every limit."""
    _RATES.clear()
    _BOUNDS.clear()
    _BUCKETS.clear()


@contextmanager
def metered(counts: Mapping[str, int]) -> Iterator[Meter]:
    """Count the requests of this thread as those of one run, which has sent ``counts`` before, by kind."""
    meter = Meter(dict(counts))
    token = _METER.set(meter)
    try:
        yield meter
    finally:
        _METER.reset(token)


def sent() -> dict[str, int]:
    """Return how many requests the run of this thread has sent, by kind; empty where nobody counts."""
    meter = _METER.get()
    return dict(meter.counts) if meter is not None else {}


def sending(kind: str, place: str, count: int = 1) -> None:
    """Note requests that are about to be sent; wait as the rate asks. Raises ActionFailed beyond a run's bound."""
    meter = _METER.get()
    if meter is not None:
        sent = meter.counts[kind] = meter.counts.get(kind, 0) + count
        if (most := _BOUNDS.get(kind)) is not None and sent > most:
            raise ActionFailed(
                f"the run has sent {most} requests to {'S3' if kind == 's3' else 'its clusters'}, as many as it may:"
                " this one was not sent",
                hint="find out why it needs so many (drfsm status); then raise the limit in the fleet file, and resume",
                fault="operator",
                final=True,
            )
    if (rate := _RATES.get(kind)) is None:
        return
    with _LOCK:
        bucket = _BUCKETS.setdefault((kind, place), TokenBucket(rate, max(1.0, rate)))
    for _ in range(count):
        if (seconds := bucket.wait_seconds()) > 0:
            time.sleep(seconds)
