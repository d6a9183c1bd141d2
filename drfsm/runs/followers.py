"""Who follows a run besides its bundle: the people who are notified, and a collector of traces.

Made by run_context.py for the time in which a process works on a run. Followers come after the journal and the derived
files, raise nothing, and are waited for in a bound when the process leaves the run.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from drfsm.journal import Record, RunState
from drfsm.runs.notices import Notify
from drfsm.runs.notifying import Notifier

Subscriber = Callable[[Record, RunState], None]


@contextmanager
def followed(
    place: Path, settings: Notify, state: RunState, tell: Callable[[str], None], *, endpoint_url: str
) -> Iterator[Sequence[Subscriber]]:
    """Yield the subscribers for a run's records. ``state``: where the run stands before this process works on it.

    ``endpoint_url``: of the cloud, "" for its own.
    """
    notifier = Notifier(settings, place, state, tell, endpoint_url=endpoint_url) if settings.targets else None
    fault: BaseException | None = None
    try:
        yield [notifier.on_record] if notifier else []
    except BaseException as raised:
        fault = raised
        raise
    finally:
        if notifier:
            notifier.leave(fault)
