"""Receipts that a noun leaves behind: a directory, files that appear whole, JSON held to its schema."""

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
    """Hold a receipt against its schema. Raises EvidenceFault if it isn't as that wants it: a defect of ours."""
    shape = json.loads((shipped("receipts_schema") / f"{schema}.schema.json").read_bytes())
    if faults := check(record, shape):
        raise EvidenceFault(f"the receipt {path} is not as its schema wants it: {'; '.join(faults)}", fault="drfsm")


def env_bytes(values: Mapping[str, object]) -> bytes:
    """Return a file that a shell can source."""
    return "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in values.items()).encode()


def fetch_values(uri: str, sha256: str, files: Mapping[str, int], *, directory: str, at: str) -> dict[str, object]:
    """Return what control-plane/fetch/fetch.summary.env says. ``directory`` is "" where nothing was kept."""
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
"""What commands leave in a directory of receipts; several may leave theirs in one."""
_DRAFT = re.compile(r"\.(.+)\.[0-9]+\.[0-9]+")  # of a command that was killed (files.py)


class ReceiptFiles:
    """The receipts of one command. ``directory`` is made when the first one is written.

    A directory of the person's own may hold receipts, and nothing else.
    """

    def __init__(self, given: str, name: str) -> None:
        self.directory = Path(given).absolute() if given else bundle.home() / "receipts" / name
        self._checked = False

    def json(self, path: str, record: Mapping[str, Any], schema: str = "") -> None:
        """Write a receipt. Raises EvidenceFault if it isn't as its schema wants it: then it isn't written."""
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
                    f"{printable(self.directory)} holds what is no receipt: {printable(foreign[0])}; nothing was"
                    " written there",
                    hint="name another --receipt-dir, that is empty or holds receipts only",
                )
            self._checked = True
            directory.write(path, body)


def _is_receipt(name: str) -> bool:
    draft = _DRAFT.fullmatch(name)
    return (draft[1] if draft else name) in RECEIPTS
