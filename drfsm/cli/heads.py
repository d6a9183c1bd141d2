"""What this machine knows of its runs outside their bundles: the heads that it wrote, and where a fetched run lies.

    <home>/heads/<run id>    the SHA-256 of every record that this machine wrote, or that somebody vouched for here
    <home>/places/<run id>   of a run that began elsewhere: kubeconfigs, endpoint and the like, as given here

A journal whose last head stands here goes on without a question. A head is written down BEFORE its record lies
anywhere, so a crash between the two asks nothing of anybody. Nothing here comes from a bucket.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from drfsm.claims import is_name, name_of, object_of
from drfsm.cli import bundle
from drfsm.errors import DrfsmError

_LINE = 65  # a SHA-256 in hex and a newline
_LARGEST_BYTES = 64 << 20  # a million records


class Heads:
    """The heads of one run, kept in the user's home."""

    def __init__(self, run_id: str, home: Path | None = None) -> None:
        name_of("drfsm run", run_id, "the run's id")  # BEFORE it becomes a path
        self._path = (home or bundle.home()) / "heads" / run_id
        self._places = (home or bundle.home()) / "places" / run_id
        self._known: set[str] | None = None

    def knows(self, head: str) -> bool:
        """Return whether a record with this hash was written here, or was vouched for here."""
        if self._known is None:
            text = self._read(self._path).decode("ascii", "replace")
            self._known = {line for line in text.split("\n") if is_name("sha256", line)}
        return head in self._known

    def note(self, heads: Iterable[str]) -> None:
        """Write heads down durably. Raises DrfsmError if they can't be: then nothing may be written elsewhere."""
        new = [head for head in heads if not self.knows(head)]
        if not new:
            return
        self._write(self._path, "".join(f"{head}\n" for head in new).encode(), os.O_APPEND)
        assert self._known is not None  # noqa: S101  knows() filled it
        self._known.update(new)

    @property
    def places(self) -> Mapping[str, str] | None:
        """Where the sites of a run that began elsewhere lie, as given on this machine; None for a run of this one."""
        raw = self._read(self._places)
        return None if not raw else {str(name): str(value) for name, value in object_of(raw, str(self._places)).items()}

    def keep_places(self, places: Mapping[str, str]) -> None:
        """Remember where the sites of a run that began elsewhere lie on this machine."""
        self._write(self._places, (json.dumps(dict(places), indent=2) + "\n").encode(), os.O_TRUNC)

    def _read(self, path: Path) -> bytes:
        try:
            number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return b""
        except OSError as fault:
            raise _unusable(path, fault) from None
        with os.fdopen(number, "rb") as file:
            return file.read(_LARGEST_BYTES)

    def _write(self, path: Path, body: bytes, how: int) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | how, 0o600)
            try:
                if how == os.O_APPEND and os.fstat(number).st_size % _LINE:
                    body = b"\n" + body  # a line that a dying process left half written ends here
                os.write(number, body)
                os.fdatasync(number)
            finally:
                os.close(number)
        except OSError as fault:
            raise _unusable(path, fault) from None


def _unusable(path: Path, fault: OSError) -> DrfsmError:
    return DrfsmError(
        f"{path} can't be used ({fault.strerror}): what this machine wrote could not be told from a forgery",
        way="make room, or mend its permissions, then `drfsm resume`",
        fault="journal",
    )
