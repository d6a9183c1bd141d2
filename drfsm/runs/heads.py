"""What this machine knows about its runs outside their bundles: the heads that it wrote, the places of their sites.

    <home>/heads/<run id>    number and SHA-256 of every record that this machine wrote, or that was vouched for here
    <home>/places/<run id>   of a run that began elsewhere: kubeconfigs, endpoint and the like, as given here

A run continues without a question if its journal's last head is recorded here, unless this machine wrote more records
than the journal holds: then its end was cut off. A head is recorded BEFORE its record is written anywhere, so a crash
between the two needs no person. Nothing here comes from a bucket.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from drfsm.claims import name_of, object_of
from drfsm.files import Directory
from drfsm.runs import bundle

_LINE = re.compile(r"([0-9]{8}) ([0-9a-f]{64})", re.ASCII)
_LARGEST_BYTES = 64 << 20  # nearly a million records


class Heads:
    """The heads of one run, kept in the user's home."""

    def __init__(self, run_id: str, home: Path | None = None) -> None:
        name_of("drfsm run", run_id, "the run's id")  # BEFORE it becomes a path
        self._home = home or bundle.home()
        self._path, self._places = f"heads/{run_id}", f"places/{run_id}"
        self._loaded: dict[str, int] | None = None

    @property
    def _numbers(self) -> dict[str, int]:
        """The number of each record, counted from 0, by its hash."""
        if self._loaded is None:
            lines = map(_LINE.fullmatch, self._read(self._path).decode("ascii", "replace").split("\n"))
            self._loaded = {line[2]: int(line[1]) for line in lines if line}
        return self._loaded

    def knows(self, head: str) -> bool:
        """Return whether a record with this hash was written here, or was vouched for here."""
        return head in self._numbers

    @property
    def written(self) -> int:
        """How many records the run has at least: the last that was noted may not have been written."""
        return max(self._numbers.values(), default=0)

    def note(self, heads: Sequence[str], first: int) -> None:
        """Write down the heads of records ``first``, ``first + 1``, … durably.

        Raises DiskFault if they can't be: then nothing may be written elsewhere.
        """
        new = {head: number for number, head in enumerate(heads, first) if not self.knows(head)}
        if not new:
            return
        body = "".join(f"{number:08d} {head}\n" for head, number in new.items()).encode()
        with Directory.make(self._home) as directory:
            half = directory.size(self._path) % bundle.HEAD_BYTES  # a line that a dying process left half written
            directory.append(self._path, b"\n" * bool(half) + body, durable=True)
        self._numbers.update(new)

    @property
    def places(self) -> Mapping[str, str] | None:
        """Where the sites of a run that began elsewhere lie, as given on this machine; None for a run of this one."""
        raw = self._read(self._places)
        what = str(self._home / self._places)
        return None if not raw else {str(name): str(value) for name, value in object_of(raw, what).items()}

    def keep_places(self, places: Mapping[str, str]) -> None:
        """Remember where the sites of a run that began elsewhere lie on this machine."""
        with Directory.make(self._home) as directory:
            directory.write(self._places, (json.dumps(dict(places), indent=2) + "\n").encode(), durable=True)

    def _read(self, name: str) -> bytes:
        if not self._home.is_dir():
            return b""
        with Directory.look(self._home) as directory:
            return directory.read(name, _LARGEST_BYTES) or b""
