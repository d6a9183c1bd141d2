"""What the named alarms did during a failback: read from CloudWatch at its end, kept in its journal and its bundle.

The action ``read_alarm_history`` only reads, and never fails for what CloudWatch says or does not say: the failback is
done by then. An alarm whose history can't be read is ``{"unknown": why}``. The journal keeps the newest MOST_KEPT
changes of each alarm, in few redacted words, and counts all; ``document_of`` makes ``alarm_history.json`` of that,
which runs/derived_files.py writes.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from drfsm.claims import bounded
from drfsm.dr.objects import redacted
from drfsm.dr.terms import terms_of
from drfsm.engine import Run
from drfsm.errors import DrfsmError, Interrupted, LeaseLost
from drfsm.journal import Record
from drfsm.world import AlarmChange, World

FILE_NAME = "alarm_history.json"
MOST_KEPT = 50
"""How many changes of an alarm are kept."""
LONGEST_REASON = 200  # characters of one text of CloudWatch's
_READ_BY = ("finish", "skip_teardown")
"""The triggers of machines/failback.yaml that read the history."""


def _read(world: World, run: Run) -> dict[str, Any]:
    names = terms_of(run.inputs).alarms
    if not names:
        return {"alarms": {"none": "no alarm was named (--alarm)"}}
    since, until = _window(run)
    histories = [_history(world, run, name, since, until) for name in names]
    return {
        "since": _written(since),
        "until": _written(until),
        "alarms": [{"alarm": name, "changes": changes} for name, (changes, _) in zip(names, histories, strict=True)],
        "newest": [change for _, newest in histories for change in newest],
    }


def _window(run: Run) -> tuple[datetime, datetime]:
    """Return the run's start and the time now, both by the clock of the machine that recorded them.

    No window is negative: where the clock was set back since, it ends where it begins.
    """
    assert run.starter is not None  # noqa: S101  somebody started the run
    began = datetime.fromisoformat(run.starter.at)
    return began, max(began, datetime.fromisoformat(run.clock.now()))


def _history(
    world: World, run: Run, name: str, since: datetime, until: datetime
) -> tuple[int | dict[str, str], list[dict[str, str]]]:
    """Return how often an alarm changed, or why that is unknown, and the newest changes."""
    try:
        run.check()
        changes = world.alarms.history(name, since, until)
        newest = [_recorded(name, change) for change in islice(changes, MOST_KEPT)]
        total = len(newest) + _count(changes, run)
    except (Interrupted, LeaseLost):
        raise
    except DrfsmError as fault:
        why = bounded(fault.what)
        run.note(f"the history of the alarm {bounded(name)} is unknown, and does not hold the failback: {why}")
        return {"unknown": why}, []
    run.note(f"alarm {bounded(name)}: {total} changes of state since the failback began; see {FILE_NAME}")
    return total, newest


def _count(changes: Iterator[AlarmChange], run: Run) -> int:
    total = 0
    for _ in changes:
        run.check()
        total += 1
    return total


def _recorded(name: str, change: AlarmChange) -> dict[str, str]:
    return {
        "alarm": name,
        "at": change.at,
        "from": change.old_state or "unknown",
        "to": change.new_state or "unknown",
        "summary": bounded(redacted(change.summary), LONGEST_REASON),
        "reason": bounded(redacted(change.reason), LONGEST_REASON),
    }


def _written(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def document_of(records: Sequence[Record]) -> Mapping[str, Any] | None:
    """Return the content of alarm_history.json; None where no alarm was named, or the history was not read yet.

    A function of the records alone, so a lost file can be made again.
    """
    commits = (record for record in reversed(records) if record.kind == "commit")
    result = next((commit.body.get("result") for commit in commits if commit.body["trigger"] in _READ_BY), None)
    if not isinstance(result, Mapping) or "newest" not in result:
        return None
    return {"schema_version": 1, "drfsm_run": _run_id(records), **result}


def _run_id(records: Sequence[Record]) -> str:
    return next(str(record.body["run_id"]) for record in records if record.kind == "run_started")


ACTIONS = {"read_alarm_history": _read}
