"""Every run that this computer can read: its own bundles, the runs inside them, and mirrors in buckets.

Each run once: of a run that is both here and in a mirror, the longer journal counts. Reads only; which of them hold is
the caller's question. Used by cli/coverage.py.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from drfsm.errors import DrfsmError, UsageFault
from drfsm.files import Directory
from drfsm.runs import bundle


def places() -> Iterator[Path]:
    """Yield every bundle of this computer, the bundles of child runs inside another one included, each once."""
    seen: set[str] = set()
    for link in bundle.runs():
        place = Path(os.path.realpath(link))
        for inside in (place, *_inside(place)):
            if str(inside) not in seen:
                seen.add(str(inside))
                yield inside


def _inside(place: Path) -> Iterator[Path]:
    """Yield the bundles of child runs: a drill's promote lies in the drill's bundle."""
    try:
        with Directory.look(place) as directory:
            names = directory.names()
    except DrfsmError:
        return
    yield from (place / name for name in names if os.path.lexists(place / name / bundle.LOG))


def mirrors_below(addresses: Iterable[str]) -> Iterator[str]:
    """Yield the address of each run that is mirrored below ``s3://<bucket>/<prefix>``.

    Raises UsageFault for another address, Unreachable.
    """
    from drfsm.runs import mirrors

    for address in addresses:
        if not address.startswith("s3://"):
            raise UsageFault(f"--mirror {address}: it is no address", hint="--mirror s3://<bucket>/<prefix>")
        base = address.rstrip("/").removesuffix("/drfsm/runs").removesuffix("/drfsm")
        for name in mirrors.names_below(address, {}):
            yield f"{base}/drfsm/runs/{name}"
