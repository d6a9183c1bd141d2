"""The declaration that a run is pinned to, as its bundle holds it.

Refuses any other: what a run may do is what was declared when it started. Called by wiring.py before a run continues,
and by derived.py for what a declaration says of a run's files.
"""

import hashlib
from pathlib import Path

from drfsm.claims import LARGEST_BYTES, name_of
from drfsm.errors import EvidenceFault
from drfsm.files import Directory
from drfsm.journal import RunState
from drfsm.spec import MachineSpec, load_machine


def declaration(place: Path, state: RunState) -> tuple[MachineSpec, bytes]:
    """Return the declaration that a run is pinned to, from its bundle. Raises EvidenceFault if it is another."""
    path = place / f"{name_of('machine', state.machine, 'the machine that the journal names')}.yaml"
    with Directory.look(place) as directory:
        text = directory.read(path.name, LARGEST_BYTES)
    if text is None:
        raise EvidenceFault(f"the bundle lacks its declaration {path.name}", hint="put it back from a copy")
    if hashlib.sha256(text).hexdigest() != state.machine_sha256:
        raise EvidenceFault(
            f"{path} is not the declaration that the run is pinned to ({state.machine_sha256[:12]}…)",
            hint="put the right one back from a copy of the bundle",
        )
    return load_machine(text, source=path.name, recorded=True), text
