"""How long the rows took in earlier runs of this computer: of the same machine, bucket and prefix, and no dry run.

Reads the newest bundles below drfsm's home, no more than it must: a summary tells at a glance of which machine a bundle
is; only those that count are read whole, and their chain is verified. One that can't be read counts as none: `drfsm
list` says what is wrong with it. Used by plan.py.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from drfsm.adapters.file_journal import read_chain
from drfsm.errors import DrfsmError
from drfsm.evidence.row_times import row_seconds
from drfsm.journal import Record, fold
from drfsm.runs import bundle
from drfsm.runs.glance import glance

MOST_RUNS = 10
"""The most runs that count: the newest ones."""
_MOST_LOOKED_AT = 500


def earlier_runs(machine: str, inputs: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return {run id: {row key: seconds}} of the newest runs that count. Raises nothing."""
    times: dict[str, dict[str, float]] = {}
    for number, place in enumerate(bundle.runs()):
        if number >= _MOST_LOOKED_AT or len(times) >= MOST_RUNS:
            break
        for run_id, records in _counting(place, machine, inputs):
            if seconds := row_seconds(records):
                times[run_id] = seconds
    return times


def _counting(place: Path, machine: str, inputs: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Record, ...]]]:
    """Yield the run in a bundle, if it counts."""
    seen = glance(place)
    if seen is not None and (seen.machine != machine or seen.dry_run):
        return
    try:
        records = tuple(read_chain(place).records)
        state = fold(records)
    except DrfsmError:
        return
    same_place = all(state.inputs.get(name) == inputs.get(name) for name in ("bucket", "prefix"))
    if state.machine == machine and not state.dry_run and same_place:
        yield state.run_id, records
