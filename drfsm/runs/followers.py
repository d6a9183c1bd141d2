"""Who follows a run besides its bundle: the people who are notified, and a collector of traces.

Made by run_context.py for the time in which a process works on a run. Followers come after the journal and the derived
files, raise nothing, and are waited for in a bound when the process leaves the run.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from drfsm.adapters import otlp
from drfsm.journal import Record, RunState, fold
from drfsm.runs.notices import Notify
from drfsm.runs.notifying import Notifier
from drfsm.runs.tracing import Tracer

Subscriber = Callable[[Record, RunState], None]


@contextmanager
def followed(
    place: Path,
    settings: Notify,
    records: Callable[[], Sequence[Record]],
    tell: Callable[[str], None],
    *,
    endpoint_url: str,
) -> Iterator[Sequence[Subscriber]]:
    """Yield the subscribers for a run's records, while a process works on it. ``records``: those that it has.

    ``endpoint_url``: of the cloud, "" for its own.
    """
    notifier = Notifier(settings, place, fold(records()), tell, endpoint_url=endpoint_url) if settings.targets else None
    tracer = Tracer(place, records, lambda: otlp.Collector(os.environ), tell) if otlp.is_wanted(os.environ) else None
    fault: BaseException | None = None
    try:
        yield [follower.on_record for follower in (notifier, tracer) if follower is not None]
    except BaseException as raised:
        fault = raised
        raise
    finally:
        if notifier is not None:
            notifier.leave(fault)
        if tracer is not None:
            tracer.leave()  # while the notices are on their way
        if notifier is not None:
            notifier.flush()
