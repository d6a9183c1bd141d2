"""What Prometheus is to know of a computer's runs: ends, successes, what is open, and since when nobody can publish.

Made of the runs as selection.py reads them, at one moment; reads nothing by itself. What is not known is left out. A
time is given as a timestamp, so that it stays true between two writings of a textfile; the seconds beside it are as of
``drfsm_metrics_written_timestamp_seconds``.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

from drfsm.claims import moment, printable, seconds_between
from drfsm.evidence.exposition import Family, Labels
from drfsm.evidence.wording import nobody_since
from drfsm.runs.selection import KnownRun, freezing

Samples = list[tuple[Labels, float]]


def families(runs: Sequence[KnownRun], now: datetime) -> Iterator[Family]:
    """Yield every metric. ``runs``: newest first, each read once; ``now``: the time of writing."""
    yield Family("drfsm_metrics_written_timestamp_seconds", "When these metrics were written.", [({}, now.timestamp())])
    readable = [run for run in runs if not run.fault and run.state.machine]
    unreadable = sum(1 for run in runs if run.fault)
    yield Family("drfsm_runs_unreadable", "Known runs whose records cannot be read.", [({}, unreadable)])
    statuses = [(run, _status(run)) for run in readable]
    counted = Counter((run.state.machine, status) for run, status in statuses)
    yield Family(
        "drfsm_runs", "Known runs, by procedure and by how they stand or ended.",
        [({"procedure": printable(machine), "status": printable(status)}, count)
         for (machine, status), count in sorted(counted.items())],
    )  # fmt: skip
    yield from _successes(readable)
    yield from _open([(run, status) for run, status in statuses if run.is_open], now)
    yield from _nobody(runs, now)


def _status(run: KnownRun) -> str:
    return "superseded" if run.superseded_by else run.status


def _successes(runs: Sequence[KnownRun]) -> Iterator[Family]:
    ends: Samples = []
    durations: Samples = []
    for machine in sorted({run.state.machine for run in runs}):
        times = [
            (ended, began)
            for run in runs
            if run.state.machine == machine and run.state.status == "complete" and not run.state.dry_run
            if (ended := moment(run.state.ended_at)) and (began := moment(run.state.started_at))
        ]
        if times:
            ended, began = max(times)
            ends.append(({"procedure": printable(machine)}, ended.timestamp()))
            durations.append(({"procedure": printable(machine)}, seconds_between(began, ended)))
    yield Family("drfsm_last_success_timestamp_seconds", "When the newest complete run of a procedure ended.", ends)
    yield Family("drfsm_last_success_duration_seconds", "How long that run took, from its start to its end.", durations)


def _open(runs: Sequence[tuple[KnownRun, str]], now: datetime) -> Iterator[Family]:
    standing = [
        ({**_named(run), "state": printable(run.state.state), "status": printable(status)}, 1.0) for run, status in runs
    ]
    yield Family("drfsm_run_open", "1 for each run that has begun and not ended, with where it stands.", standing)
    waiting = [
        (_named(run), seconds_between(last, now))
        for run, status in runs
        if status in ("held", "interrupted") and (last := moment(run.state.last_at))
    ]
    about = "How long an open run has stood still: held for a person, or left by its process."
    yield Family("drfsm_run_waiting_seconds", about, waiting)


def _nobody(runs: Sequence[KnownRun], now: datetime) -> Iterator[Family]:
    times = [(_named(run), since) for run in freezing(runs) if (since := moment(nobody_since(run.state.frozen_since)))]
    longest = max((seconds_between(since, now) for _, since in times), default=0.0)
    about = "How long nobody has been able to publish, as far as the runs known here say; 0 if a site can."
    yield Family("drfsm_nobody_can_publish_seconds", about, [({}, longest)])
    about = "Since when nobody can publish, by the run that froze the sites."
    stamps: Samples = [(named, since.timestamp()) for named, since in times]
    yield Family("drfsm_nobody_can_publish_since_timestamp_seconds", about, stamps)


def _named(run: KnownRun) -> dict[str, str]:
    return {"procedure": printable(run.state.machine), "run_id": printable(run.id)}
