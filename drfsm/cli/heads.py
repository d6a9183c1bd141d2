"""What this machine knows of its runs outside their bundles: the heads that it wrote, and where a fetched run lies.

    <home>/heads/<run id>    the SHA-256 of every record that this machine wrote, or that somebody vouched for here
    <home>/places/<run id>   of a run that began elsewhere: kubeconfigs, endpoint and the like, as given here

A journal whose last head stands here goes on without a question. A head is written down BEFORE its record lies
anywhere, so a crash between the two asks nothing of anybody. Nothing here comes from a bucket.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from drfsm.claims import is_name, name_of, object_of
from drfsm.cli import bundle
from drfsm.files import Directory

_LINE = 65  # a SHA-256 in hex and a newline
_LARGEST_BYTES = 64 << 20  # a million records


class Heads:
    """The heads of one run, kept in the user's home."""

    def __init__(self, run_id: str, home: Path | None = None) -> None:
        name_of("drfsm run", run_id, "the run's id")  # BEFORE it becomes a path
        self._home = home or bundle.home()
        self._path, self._places = f"heads/{run_id}", f"places/{run_id}"
        self._known: set[str] | None = None

    def knows(self, head: str) -> bool:
        """Return whether a record with this hash was written here, or was vouched for here."""
        if self._known is None:
            text = self._read(self._path).decode("ascii", "replace")
            self._known = {line for line in text.split("\n") if is_name("sha256", line)}
        return head in self._known

    def note(self, heads: Iterable[str]) -> None:
        """Write heads down durably. Raises DiskFault if they can't be: then nothing may be written elsewhere."""
        new = [head for head in heads if not self.knows(head)]
        if not new:
            return
        with Directory.make(self._home) as directory:
            half = directory.size(self._path) % _LINE  # a line that a dying process left half written ends here
            directory.append(
                self._path, b"\n" * bool(half) + "".join(f"{head}\n" for head in new).encode(), durable=True
            )
        assert self._known is not None  # noqa: S101  knows() filled it
        self._known.update(new)

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
