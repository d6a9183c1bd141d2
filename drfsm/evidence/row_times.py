"""How long the rows of earlier runs took, from their records: for the forecast of `drfsm plan`.

A row's time is from the commit before it to its own: what its guards, its action, its waits and its repeated attempts
took together. A row during which the run stood (it was held, killed, resumed or taken over), or that a person took,
says nothing about the next run, and is left out. Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from attrs import frozen

from drfsm.evidence.wording import seconds_between
from drfsm.journal import Record
from drfsm.journal.record_types import Commit

_STOOD = ("held", "resumed", "resolved", "rejected", "tail_cut")


@frozen
class Typical:
    """How long a row took: the median, the least and the most in seconds, and of how many runs."""

    seconds: float
    least: float
    most: float
    runs: int


def row_seconds(records: Sequence[Record]) -> dict[str, float]:
    """Return how long each row of one run took, in seconds, by the row's key; of one taken twice, the last time."""
    times: dict[str, float] = {}
    entered = records[0].at if records else ""
    stood, leases = False, 0
    for record in records:
        leases += record.kind == "lease_acquired"
        stood = stood or record.kind in _STOOD or (record.kind == "lease_acquired" and leases > 1)
        if isinstance(commit := record.content, Commit):
            lasted = seconds_between(entered, record.at)
            if lasted is not None and lasted >= 0 and not stood and commit.by == "runner" and commit.how != "resolved":
                times[commit.row] = lasted
            entered, stood = record.at, False
    return times


def typical(runs: Iterable[Mapping[str, float]]) -> dict[str, Typical]:
    """Return for each row how long it took in these runs."""
    samples: dict[str, list[float]] = {}
    for times in runs:
        for row, seconds in times.items():
            samples.setdefault(row, []).append(seconds)
    return {
        row: Typical(round(median(seconds), 1), round(min(seconds), 1), round(max(seconds), 1), len(seconds))
        for row, seconds in samples.items()
    }
