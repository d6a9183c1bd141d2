"""Where a run's files come from: a prefix of an object store, or a directory.

A Reader lists names relative to the run and reads many of them at once; compare.py knows nothing else of
the world.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from attrs import define, field, frozen

from drfsm.dr.artifacts.run_report import Found
from drfsm.errors import UsageFault
from drfsm.world import Check, ObjectStore

LARGEST_FILE_BYTES = 256 << 20


class Reader(Protocol):
    """One run's files."""

    @property
    def label(self) -> str:
        """What people call this side."""

    @property
    def where(self) -> str:
        """Where the files lie, for people."""

    @property
    def run_id(self) -> str | None:
        """The run's id; None if only its files can tell."""

    def names(self) -> Mapping[str, int]:
        """Return the size in bytes of every file, by its name relative to the run."""

    def read(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """Return the content of these files; one that is gone by now is left out."""


@frozen
class StoreRun:
    """A run below a prefix of a store. ``check`` raises to stop."""

    store: ObjectStore
    prefix: str
    run_id: str | None = None
    label: str = "run"
    check: Check | None = None

    @property
    def where(self) -> str:
        """The run's URI."""
        return f"s3://{self.store.bucket}/{self.prefix}"

    def names(self) -> Mapping[str, int]:
        """List the prefix; markers of folders are no files."""
        home = f"{self.prefix}/"
        entries = ((entry.key.removeprefix(home), entry.size_bytes) for entry in self.store.list(home))
        return {name: size for name, size in entries if name and not name.endswith("/")}

    def read(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """Get the objects, many at once."""
        keys = {f"{self.prefix}/{name}": name for name in names}
        answers = self.store.get_many(keys, check=self.check, largest_bytes=LARGEST_FILE_BYTES)
        return {keys[key]: blob.body for key, blob in answers if blob is not None}


@define
class ReadOnce:
    """A run that is held against itself: each batch of files is read once. ``found``: SHA-256 and size of each file."""

    run: StoreRun
    found: dict[str, Found] = field(factory=dict)
    _names: Sequence[str] = ()
    _bodies: Mapping[str, bytes] = field(factory=dict)

    @property
    def label(self) -> str:
        """What people call the run."""
        return self.run.label

    @property
    def where(self) -> str:
        """The run's URI."""
        return self.run.where

    @property
    def run_id(self) -> str | None:
        """The run's id."""
        return self.run.run_id

    def names(self) -> Mapping[str, int]:
        """List the run."""
        return self.run.names()

    def read(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """Read these files, unless they were the last that were read."""
        if not self._names or tuple(names) != self._names:
            self._names, self._bodies = tuple(names), self.run.read(names)
            self.found |= {name: (sha256(body).hexdigest(), len(body)) for name, body in self._bodies.items()}
        return self._bodies


@frozen
class DirectoryRun:
    """A local copy of a run. Raises UsageFault for what can't be listed or read."""

    path: Path
    run_id: str | None = None
    label: str = "run"

    @property
    def where(self) -> str:
        """The directory."""
        return str(self.path)

    def names(self) -> Mapping[str, int]:
        """List regular files; links to directories are not followed."""
        if not self.path.is_dir():
            raise UsageFault(f"{self.path} is no directory", hint="name the directory that holds one run's files")
        try:
            entries = [entry for entry in self.path.rglob("*") if entry.is_file()]
            return {entry.relative_to(self.path).as_posix(): entry.stat().st_size for entry in entries}
        except OSError as fault:
            raise UsageFault(f"listing {self.path}: {fault.strerror}") from None

    def read(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """Read each file."""
        found = {}
        for name in names:
            try:
                found[name] = (self.path / name).read_bytes()
            except FileNotFoundError:
                continue
            except OSError as fault:
                raise UsageFault(f"reading {self.path / name}: {fault.strerror}") from None
        return found
