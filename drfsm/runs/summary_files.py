"""The summary and the step files of a bundle: derived from its records, written whole after every record."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from drfsm.adapters.s3_journal import MirroredJournal
from drfsm.errors import DiskFault, FileDamaged, UsageFault
from drfsm.evidence.step_logs import StepFiles
from drfsm.evidence.summary import summarise, summary_bytes
from drfsm.files import Directory
from drfsm.journal import Record, RunState, fold
from drfsm.runs import bundle
from drfsm.runs.receipts import hold as hold_to_schema
from drfsm.spec import MachineSpec


class SummaryFiles:
    """The subscriber that keeps the bundle's derived files true: the summary and the steps."""

    def __init__(self, place: Path, spec: MachineSpec, journal: MirroredJournal) -> None:
        self._place, self._spec, self._journal = place, spec, journal
        self._steps: StepFiles = StepFiles()
        for record in journal.records():
            self._steps.add(record)

    def __call__(self, record: Record, state: RunState) -> None:
        """Write what this record changed."""
        with Directory.own(self._place) as directory:
            for name, body in self._steps.add(record).items():
                directory.write(f"steps/{name}", body)
        summary = self._summarise(state)
        if record.kind in ("held", "ended", "seal"):
            self._check(summary)
            self._journal.keep_summary(summary_bytes(summary))

    def leave(self) -> None:
        """Write the summary here and to the mirror, for whatever reason the run stopped.

        A run whose state still says ``running`` is summarised as interrupted: nobody works on it any more.
        """
        state = fold(self._journal.records())
        if state.status != "none":
            with suppress(
                DiskFault, FileDamaged, UsageFault
            ):  # the error that stopped the run must be the one that is shown
                self._journal.settle(summary_bytes(self._summarise(state, dead=state.status == "running")))

    def _summarise(self, state: RunState, *, dead: bool = False) -> dict[str, Any]:
        head = self._journal.head
        summary = summarise(state, self._journal.records(), head=head, dead=dead)
        bundle.replace(self._place / f"{self._spec.name}.summary.json", summary_bytes(summary))
        return summary

    def _check(self, summary: Mapping[str, Any]) -> None:
        """Check the summary against its schema. Raises EvidenceFault if it does not fit: a defect in drfsm."""
        name = f"{self._spec.name}.summary"
        hold_to_schema(f"{name}.json", summary, name)
