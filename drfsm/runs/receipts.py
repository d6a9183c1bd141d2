"""Receipts of single commands: a directory of files, each written whole, JSON checked against its schema.

Used by cli/backups.py, cli/control_plane.py and diagnosis.py; derived_files.py writes the same files for a drill.
"""

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drfsm.claims import printable
from drfsm.errors import EvidenceFault, UsageFault
from drfsm.evidence.receipts import check
from drfsm.files import Directory
from drfsm.resources import shipped
from drfsm.runs import bundle

FETCHED = "control-plane/fetch/fetch.summary.env"
APPLIED = "control-plane/apply/apply.summary.json"
RESTORED = "dr_restore.control_plane.summary.json"


def hold(path: str, record: Mapping[str, Any], schema: str) -> None:
    """Check a receipt against its schema. Raises EvidenceFault if it does not fit: a defect in drfsm."""
    shape = json.loads((shipped("receipts_schema") / f"{schema}.schema.json").read_bytes())
    if faults := check(record, shape):
        raise EvidenceFault(
            f"the receipt {path} does not fit its schema: {'; '.join(faults)}",
            hint="report this defect; the journal has everything that was done",
            fault="drfsm",
        )


def env_bytes(values: Mapping[str, object]) -> bytes:
    """Return a file that a shell can source."""
    return "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in values.items()).encode()


def fetch_values(uri: str, sha256: str, files: Mapping[str, int], *, directory: str, at: str) -> dict[str, object]:
    """Return the variables of control-plane/fetch/fetch.summary.env.

    ``directory`` is where the bundle was unpacked: its files lie below it, in control-plane/, beside manifest.json. ""
    where they are not on this computer (derived_files.py says when).
    """
    return {
        "CONTROL_PLANE_BUNDLE_URI": uri,
        "CONTROL_PLANE_BUNDLE_SHA256": sha256,
        "CONTROL_PLANE_DIR": directory,
        **{f"CONTROL_PLANE_{section.upper()}_FILES": count for section, count in files.items()},
        "CONTROL_PLANE_FETCHED_AT": at,
    }


RECEIPTS = frozenset(
    {"control-plane", RESTORED, "dr_restore.summary.json", "dr_restore.refused.json", "diagnostics.receipt.json"}
)
"""The files that commands write into a directory of receipts; several commands may share one."""
_DRAFT = re.compile(r"\.(.+)\.[0-9]+\.[0-9]+")  # of a command that was killed (files.py)


class ReceiptFiles:
    """The receipts of one command. ``directory`` is made when the first one is written.

    A directory that the operator names may hold receipts, and nothing else.
    """

    def __init__(self, named_directory: str, name: str) -> None:
        self.directory = Path(named_directory).absolute() if named_directory else bundle.home() / "receipts" / name
        self._checked = False

    def json(self, path: str, record: Mapping[str, Any], schema: str = "") -> None:
        """Write a receipt. Raises EvidenceFault, and writes nothing, if it does not fit its schema."""
        hold(path, record, schema or path)
        self.write(path, (json.dumps(record, indent=2, sort_keys=True) + "\n").encode())

    def env(self, path: str, values: Mapping[str, object]) -> None:
        """Write a file that a shell can source."""
        self.write(path, env_bytes(values))

    def write(self, path: str, body: bytes) -> None:
        """Write a file below the directory. Raises UsageFault for a directory that can't be used, DiskFault."""
        with Directory.make(self.directory) as directory:
            if foreign := [] if self._checked else [name for name in directory.names() if not _is_receipt(name)]:
                raise UsageFault(
                    f"{printable(self.directory)} holds a file that is no receipt: {printable(foreign[0])}; nothing was"
                    " written there",
                    hint="name another --receipt-dir, which is empty or holds only receipts",
                )
            self._checked = True
            directory.write(path, body)


def _is_receipt(name: str) -> bool:
    draft = _DRAFT.fullmatch(name)
    return (draft[1] if draft else name) in RECEIPTS
