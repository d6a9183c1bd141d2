"""The files of a bundle, as they lie there and as its log derives them, for an audit.

Reads with files.py: no link is followed, and what is too large is named, not read. The derived files are written by the
same code that a run writes them with, into a directory that is thrown away. Used by auditing.py.
"""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from drfsm.evidence.audit.files import object_in
from drfsm.evidence.audit.findings import Finding
from drfsm.evidence.receipts import check
from drfsm.evidence.step_logs import StepFiles
from drfsm.evidence.summary import summarise, summary_bytes
from drfsm.files import Directory
from drfsm.journal import Record, RunState, fold
from drfsm.journal.mirror import home_of
from drfsm.resources import shipped
from drfsm.runs.bundle import HOLD, LOCK, LOG
from drfsm.runs.derived_files import AlarmHistoryFile, DrillFiles
from drfsm.runs.receipts import APPLIED, FETCHED, RESTORED
from drfsm.spec import MachineSpec

Files = dict[str, bytes]
LARGEST_FILE_BYTES = 64 << 20
_NOT_DERIVED = re.compile(
    rf"{re.escape(LOG)}|{re.escape(LOCK)}|{re.escape(HOLD)}|progress\.log|notices\.log|traces\.sent|"
    r"[a-z][a-z0-9_]*\.yaml|([^/]*\.)?plan\.json|(private|logs|seals|exercise)/.*|diagnostics\.receipt\.json|.*\.(dsse|sig|note)(\.json)?"
)
"""Files that a bundle may hold and that nothing derives from the log."""
_DERIVED = re.compile(
    r"steps/.*|phases/.*|control-plane/.*|[a-z][a-z0-9_.]*\.summary\.json|validation\.receipt\.json|alarm_history\.json"
)
_HERE = ("bundle_dir", "CONTROL_PLANE_DIR")
"""What such a file says of the machine that wrote it: where the applied bundle lay."""
_SCHEMAS = {RESTORED: "dr_restore.control_plane.summary", APPLIED: "control_plane.apply.summary"}


def present(place: Path) -> tuple[Files, list[str], list[Path]]:
    """Return a bundle's derived files, the paths of unknown ones, and the bundles of runs that it began."""
    derived: Files = {}
    unknown: list[str] = []
    with Directory.look(place) as directory:
        paths = list(_paths(directory, ""))
        children = [place / path.removesuffix(f"/{LOG}") for path in paths if path.endswith(f"/{LOG}")]
        within = tuple(f"{child.relative_to(place)}/" for child in children)
        for path in paths:
            if _NOT_DERIVED.fullmatch(path) or (within and path.startswith(within)):
                continue
            if _DERIVED.fullmatch(path):
                derived[path] = directory.read(path, LARGEST_FILE_BYTES) or b""
            else:
                unknown.append(path)
    return derived, unknown, children


def _paths(directory: Directory, below: str) -> Iterator[str]:
    for name in directory.names(below):
        path = f"{below}/{name}" if below else name
        if path == "private":
            continue
        if (directory.path / path).is_dir() and not (directory.path / path).is_symlink():
            yield from _paths(directory, path)
        else:
            yield path


def due(
    spec: MachineSpec, records: Sequence[Record], lines: Sequence[bytes], heads: Sequence[str], known: int | None
) -> list[Files]:
    """Return the files that a log derives: from all records, from all but the last, and from as many as are ``known``.

    ``known``: the number of records that the summary in the bundle says that it knows.
    """
    counts = dict.fromkeys((len(records), len(records) - 1, known or 0))
    return [
        files
        for count in counts
        if 0 < count <= len(records)
        for files in _derived(spec, records[:count], lines[:count], heads[count - 1])
    ]


def _derived(spec: MachineSpec, records: Sequence[Record], lines: Sequence[bytes], head: str) -> Iterator[Files]:
    """Yield the files of a log that was written so far: by a working process, and after that died."""
    state = fold(records)
    files = {**_steps(records), **_of_machine(spec, records, lines, state)}
    for dead in (False, True) if state.status == "running" else (False,):
        summary = summary_bytes(summarise(state, records, head=head, dead=dead))
        yield {**files, f"{spec.name}.summary.json": summary}


def _steps(records: Sequence[Record]) -> Files:
    steps, files = StepFiles(), Files()
    for record in records:
        files.update({f"steps/{name}": body for name, body in steps.add(record).items()})
    return files


def _of_machine(spec: MachineSpec, records: Sequence[Record], lines: Sequence[bytes], state: RunState) -> Files:
    """Return what only such a machine's bundle has."""
    if spec.name not in ("drill", "failback"):
        return {}
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        if spec.name == "drill":
            uri = f"s3://{state.inputs.get('bucket')}/{home_of(str(state.inputs.get('journal_prefix')), state.run_id)}"
            DrillFiles(spec, place, lambda: lines, uri, None).write(records, state)
        elif state.ended:
            AlarmHistoryFile(place, lambda: lines, check=False).write(records)
        return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def comparable(files: Mapping[str, bytes]) -> Files:
    """Return files without what they say of the machine that wrote them."""
    return {path: _without_place(path, content) for path, content in files.items()}


def _without_place(path: str, content: bytes) -> bytes:
    if path == FETCHED:
        lines = content.splitlines(keepends=True)
        return b"".join(line for line in lines if not line.startswith(f"{_HERE[1]}=".encode()))
    if path == RESTORED and (says := object_in(content)) is not None and says.pop(_HERE[0], None) is not None:
        return (json.dumps(says, indent=2, ensure_ascii=False) + "\n").encode()
    return content


def receipts(files: Mapping[str, bytes], *, todays: Mapping[str, bytes]) -> Iterator[Finding]:
    """Yield each receipt that does not fit its schema. ``todays``: what this version of drfsm derives."""
    for path, content in sorted(files.items()):
        if not path.endswith(".json"):
            continue
        says = object_in(content)
        if says is None:
            yield Finding(0, "receipt_unreadable", f"{path} is no JSON object", file=path)
            continue
        version = (object_in(todays.get(path, b"")) or says).get("schema_version")
        if says.get("schema_version") != version:
            what = f"{path} has schema version {says.get('schema_version')}, today's is {version}: it was not checked"
            yield Finding(
                0, "receipt_of_other_schema", what, expected=version, found=says.get("schema_version"), file=path
            )
            continue
        for fault in check(says, _schema(path)):
            yield Finding(0, "receipt_not_as_declared", f"{path}: {fault}", file=path)


def _schema(path: str) -> Mapping[str, Any]:
    if path.startswith("phases/"):
        name = "phase.receipt"
    else:
        name = _SCHEMAS.get(path) or path.rpartition("/")[2].removesuffix(".json")
    file = shipped("receipts_schema") / f"{name}.schema.json"
    schema: dict[str, Any] = json.loads(file.read_bytes()) if file.is_file() else {}
    return schema
