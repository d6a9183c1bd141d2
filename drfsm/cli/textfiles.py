"""Textfiles for Prometheus' node exporter: put in place whole, readable for its user. Used by health and metrics."""

import os
import tempfile
from pathlib import Path

from drfsm.claims import printable
from drfsm.errors import UsageFault


def check_name(path: str, option: str) -> None:
    """Raise UsageFault for a file that the node exporter would not read. ``path``: "" for none."""
    if path and not path.endswith(".prom"):
        raise UsageFault(f"{option} {path}: the node exporter reads *.prom only", hint="name it FILE.prom")


def put_in_place(path: str, text: str, option: str) -> None:
    """Write a file whole: its reader, another user, sees the old one or the new one. Raises UsageFault."""
    draft = ""
    try:
        there = Path(path)
        handle, draft = tempfile.mkstemp(dir=there.parent, prefix=f".{there.name}.", suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o644)
        Path(draft).replace(there)
    except (OSError, ValueError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else "it is no path"
        raise UsageFault(
            f"{option} {printable(path)}: can't be written: {reason}",
            hint="name a file in a directory that exists, and that this user may write to",
        ) from None
    finally:
        if draft:
            Path(draft).unlink(missing_ok=True)
