"""The files of a bundle that are derived from its records, and the one that also goes to S3.

A drill's:

    phases/<phase>.receipt.json, phases/<phase>.attempt-N.log     evidence/phases.py
    dr_restore.control_plane.summary.json, control-plane/...      as `drfsm control-plane` writes them
    private/control-plane-<sha256>/control-plane/...              the files of the bundle that was applied
    validation.receipt.json, also at <staged_prefix>/...          what a promote relies on, and checks

A failback's, where alarms were named:

    alarm_history.json                                            what they did (dr/validation/alarm_history.py)

Every file is a function of the records, written whole, and held to its schema before that. Written when a record
changes it, and again by `status` and by a resume: a crash in between leaves nothing untrue for long.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drfsm.claims import printable_json
from drfsm.errors import ActionFailed, Unreachable, UsageFault
from drfsm.evidence import phases
from drfsm.files import Directory
from drfsm.journal import Record, RunState
from drfsm.journal.mirror import home_of
from drfsm.runs.receipts import APPLIED, FETCHED, RESTORED, env_bytes, fetch_values
from drfsm.runs.receipts import hold as hold_to_schema
from drfsm.spec import MachineSpec, PhaseSpec

if TYPE_CHECKING:
    from drfsm.world import ObjectStore

PHASES_UNTIL_0_2 = (
    PhaseSpec(
        "bringup",
        ("plan_site", "bring_up_site", "adopt_site", "reach_site", "pass_over_phases"),
        {"reach_site": "complete", "pass_over_phases": "skipped"},
        ("fail_bringup",),
    ),
    PhaseSpec(
        "restore",
        ("check_backup", "restore_objects", "apply_control_plane", "confirm_secrets", "restore_state",
         "go_on_without_state", "skip_restore"),
        {"restore_state": "complete", "go_on_without_state": "state_not_restored", "skip_restore": "skipped"},
        ("fail_restore",),
    ),
    PhaseSpec(
        "validate",
        ("check_site", "validate", "verify_validation", "measure_recovery", "skip_validation"),
        {"measure_recovery": "complete", "skip_validation": "skipped"},
        ("fail_validate",),
    ),
    PhaseSpec(
        "promote",
        ("start_promotion", "finish_promotion", "skip_promotion"),
        {"finish_promotion": "complete", "skip_promotion": "skipped"},
        ("fail_promote",),
    ),
    PhaseSpec(
        "teardown", ("tear_down_site", "leave_site"), {"tear_down_site": "complete", "leave_site": "skipped"}
    ),
)  # fmt: skip
"""The phases of a drill that 0.1.0 or 0.2.0 started: the declaration that it is pinned to says nothing of phases."""


class DrillFiles:
    """A subscriber of the runner. ``lines``: the journal's raw lines; without a store nothing goes to S3."""

    def __init__(
        self, spec: MachineSpec, place: Path, lines: Callable[[], Sequence[bytes]], uri: str,
        store: "ObjectStore | None",
    ) -> None:  # fmt: skip
        self._place = place
        self._phases = tuple(spec.phases.values()) or PHASES_UNTIL_0_2
        self._lines, self._uri, self._store = lines, uri, store
        self._files = _Files(place, check=store is not None)
        self._records: list[Record] = []
        self._published = self._fetched = False

    def __call__(self, record: Record, state: RunState) -> None:
        """Write what this record changed."""
        from drfsm.journal import read

        if len(self._records) != record.seq:
            self._records = list(read(list(self._lines())[: record.seq]).records)
        self._records.append(record)
        self.write(self._records, state)

    def write(self, records: Sequence[Record], state: RunState) -> None:
        """Write every file that says something else by now."""
        for phase in phases.split(records, self._phases):
            receipt = phases.receipt(phase, state)
            settled = isinstance(receipt["ended_at"], str)  # holding it to its schema costs a tenth of a second
            self._files.json(f"phases/{phase.name}.receipt.json", receipt, "phase.receipt", hold=settled)
            for name, body in phases.logs(phase):
                self._files.keep(f"phases/{name}", body)
        self._control_plane(records, state)
        if _last(records, "verify_validation") is not None:
            self._validation(records, state)

    def _validation(self, records: Sequence[Record], state: RunState) -> None:
        """Write the validation's receipt into the bundle, and put it beside the run that it is about."""
        from drfsm.dr.validation import receipt as validation_receipt  # only here: `status` stays quick without it

        receipt = validation_receipt.receipt_of(records, list(self._lines()), self._uri or self._uri_of(state))
        if receipt is not None:
            self._files.json(validation_receipt.FILE_NAME, receipt)
            self._publish(f"{receipt['staged_prefix']}/{validation_receipt.FILE_NAME}", _bytes(receipt))

    @staticmethod
    def _uri_of(state: RunState) -> str:
        inputs = state.inputs
        return f"s3://{inputs.get('bucket')}/{home_of(str(inputs.get('journal_prefix')), state.run_id)}"

    def _control_plane(self, records: Sequence[Record], state: RunState) -> None:
        """Write what `drfsm control-plane` would: from what applying returned, or from what was read back."""
        done = _last(records, "apply_control_plane")
        source = _last(records, "confirm_secrets") if done is None or done.body["result"] is None else done
        result = source.body["result"] if source is not None else None
        if done is None or source is None or not isinstance(result, Mapping) or "applied" not in result:
            return
        directory = self._bundle_directory(result, state)
        summary = {name: value for name, value in result.items() if name != "applied"}
        summary |= {"bundle_dir": str(directory / "control-plane")} if directory else {}
        self._files.json(RESTORED, summary)
        applied = {"schema_version": 1, "applied_at": done.at, **result["applied"]}
        self._files.json(APPLIED, applied, "control_plane.apply.summary")
        counts = {name: len(section["sha256"]) for name, section in result["applied"]["sections"].items()}
        values = fetch_values(
            result["bundle_uri"], result["bundle_sha256"], counts, directory=str(directory or ""), at=done.at
        )
        self._files.keep(FETCHED, env_bytes(values))

    def _bundle_directory(self, result: Mapping[str, Any], state: RunState) -> Path | None:
        """Return the private directory with the applied bundle's files, fetched once more where they are not there yet.

        None where they are not there: of a run of an older version, in a copy of the bundle, or if the store does not
        give them any more. What was applied is proven by its hashes on record, whether the files lie here or not.
        """
        if (manifest_sha256 := result.get("manifest_sha256")) is None:
            return None
        directory = self._place / "private" / f"control-plane-{str(result['bundle_sha256'])[:12]}"
        if self._store is not None and not self._fetched and not (directory / "control-plane").exists():
            self._fetched = True  # asked once a process: the run does not depend on it
            with suppress(ActionFailed, Unreachable, UsageFault):
                self._fetch(self._store, result, state.inputs, directory)
        if not directory.is_dir():
            return None
        with Directory.look(directory) as there:
            manifest = there.read("control-plane/manifest.json")
        same = manifest is not None and hashlib.sha256(manifest).hexdigest() == manifest_sha256
        return directory if same else None

    @staticmethod
    def _fetch(store: "ObjectStore", result: Mapping[str, Any], inputs: Mapping[str, Any], directory: Path) -> None:
        from drfsm.dr.control_plane import lay_out, read
        from drfsm.dr.terms import terms_of

        terms = terms_of(inputs)
        named = {name: str(result[name]) for name in ("bundle_uri", "bundle_sha256")}
        bundle = read.fetch(store, read.home_of(terms.prefix), named, terms.workload)
        Directory.make(directory).close()
        lay_out(bundle, directory)

    def _publish(self, key: str, receipt: bytes) -> None:
        """Put the receipt into the store, unless it is there already."""
        if self._store is None or self._published:
            return
        blob = self._store.get(key)
        if blob is None or blob.body != receipt:
            self._store.put(key, receipt, if_match=blob.etag if blob else None, if_absent=blob is None)
        self._published = True


class AlarmHistoryFile:
    """A subscriber of a failback's runner. ``lines``: the journal's raw lines; ``check``: hold it to its schema."""

    def __init__(self, place: Path, lines: Callable[[], Sequence[bytes]], *, check: bool) -> None:
        self._lines, self._files = lines, _Files(place, check=check)

    def __call__(self, record: Record, _state: RunState) -> None:
        """Write the file when the run has ended: what is in it stands in one of the last records."""
        from drfsm.journal import read

        if record.kind in ("ended", "seal"):
            self.write(read(list(self._lines())[: record.seq + 1]).records)

    def write(self, records: Sequence[Record]) -> None:
        """Write the file, if these records have something for it and it says something else by now."""
        from drfsm.dr.validation import alarm_history  # only here: `status` stays quick without it

        if (document := alarm_history.document_of(records)) is not None:
            self._files.json(alarm_history.FILE_NAME, document)


class _Files:
    """Derived files of one bundle. ``check``: JSON is held to its schema before it is written."""

    def __init__(self, place: Path, *, check: bool) -> None:
        self._place, self._check = place, check
        self._written: dict[str, bytes] = {}

    def json(self, path: str, record: Mapping[str, Any], schema: str = "", *, hold: bool = True) -> None:
        """Write a JSON file. Raises EvidenceFault if it does not fit its schema: a defect in drfsm."""
        body = _bytes(record)
        if self._written.get(path) == body:
            return
        if hold and self._check:  # `status` only puts right what was checked before
            hold_to_schema(path, record, schema or path.removesuffix(".json"))
        self.keep(path, body)

    def keep(self, path: str, body: bytes) -> None:
        """Write a file, unless it has these bytes already."""
        if self._written.get(path) == body:
            return
        with Directory.own(self._place) as directory:
            if directory.read(path) != body:
                directory.write(path, body)
        self._written[path] = body


def _last(records: Sequence[Record], trigger: str) -> Record | None:
    return next((e for e in reversed(records) if e.kind == "commit" and e.body["trigger"] == trigger), None)


def _bytes(record: Mapping[str, Any]) -> bytes:
    return (printable_json(json.dumps(record, indent=2, ensure_ascii=False)) + "\n").encode()
