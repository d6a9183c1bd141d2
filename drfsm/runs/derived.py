"""What a machine's bundle holds besides its summary: files that a subscriber derives from the records.

Drills and failbacks have such files (derived_files.py). Used by run_context.py while a run works, and by
`status` when none does.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from drfsm.adapters.file_journal import read_lines
from drfsm.journal import Record, RunState

if TYPE_CHECKING:
    from drfsm.adapters.file_journal import FileJournal
    from drfsm.adapters.s3_journal import MirroredJournal
    from drfsm.spec import MachineSpec
    from drfsm.world import ObjectStore

Subscriber = Callable[[Record, RunState], None]


def derived_by(
    spec: "MachineSpec", place: Path, journal: "FileJournal", mirrored: "MirroredJournal", store: "ObjectStore"
) -> Sequence[Subscriber]:
    """Return the subscribers that keep a machine's own files up to date."""
    if spec.name not in ("drill", "failback"):
        return ()
    from drfsm.runs.derived_files import AlarmHistoryFile, DrillFiles

    if spec.name == "failback":
        return (AlarmHistoryFile(place, journal.lines, check=True),)
    return (DrillFiles(spec, place, journal.lines, mirrored.uri, store),)


def make_true(machine: str, place: Path, records: Sequence[Record], state: RunState) -> None:
    """Write a machine's own files of a run that nobody works on, if they differ from its records.

    Raises EvidenceFault, DeclarationFault where the bundle's declaration is not the one that the run is pinned to.
    """
    if machine == "drill":  # only then is the declaration read: `status` of any other run needs no YAML
        from drfsm.runs.declared import declaration
        from drfsm.runs.derived_files import DrillFiles

        lines = read_lines(place)[: len(records)]
        DrillFiles(declaration(place, state)[0], place, lambda: lines, "", None).write(records, state)
    if machine == "failback" and state.ended and state.inputs.get("alarms"):
        from drfsm.runs.derived_files import AlarmHistoryFile

        AlarmHistoryFile(place, lambda: (), check=False).write(records)
