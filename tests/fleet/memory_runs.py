"""Runs of the shipped machines whose world is a file for each pair: what a worker drives, without two sites.

Everything that makes a run safe is real: the Runner, the journal in a mirror alone, the lease, the take-over rules, the
lease's check before each write. The world outlives every worker, so that it can be compared afterwards.
"""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, MutableMapping
from functools import cache
from pathlib import Path
from typing import Any

from attrs import define, field

from drfsm.adapters.file_journal import FileJournal
from drfsm.adapters.s3_journal import MirroredJournal, fetch
from drfsm.adapters.s3_lease import S3Lease
from drfsm.engine import Runner
from drfsm.fleet.process import Process
from drfsm.fleet.sessions import Serve
from drfsm.fleet.takeover import may_take_over
from drfsm.fleet.tasks import Task
from drfsm.fleet.workflows import TAKE_OVER
from drfsm.journal import fold
from drfsm.journal.mirror import home_of
from drfsm.resources import shipped
from drfsm.spec import MachineSpec, load_machine
from drfsm.testing.world import binding_of, data_of, inputs_of, quiet
from tests.fleet.folder_store import FolderStore

PREFIX = "memory"


@cache
def machine(procedure: str) -> tuple[MachineSpec, bytes]:
    """Return a shipped machine, and its text."""
    text = (shipped("machines") / f"{procedure}.yaml").read_bytes()
    return load_machine(text, source=f"{procedure}.yaml"), text


def inputs_for(spec: MachineSpec) -> dict[str, Any]:
    """Return a run's inputs, which name the bucket that its mirror lies in."""
    places = {"bucket": "memory", "prefix": PREFIX, "journal_prefix": PREFIX}
    return inputs_of(spec, **{name: place for name, place in places.items() if name in spec.inputs})


class FileData(MutableMapping[str, str]):
    """Keys and values in one file, written whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def all(self) -> dict[str, str]:
        """Return every key with its value."""
        return dict(json.loads(self._path.read_text("utf-8")))

    def __getitem__(self, key: str) -> str:
        return self.all()[key]

    def __setitem__(self, key: str, value: str) -> None:
        half = self._path.with_suffix(f".{os.getpid()}")
        half.write_text(json.dumps({**self.all(), key: value}), "utf-8")
        half.replace(self._path)

    def __delitem__(self, key: str) -> None:
        raise NotImplementedError

    def __iter__(self) -> Iterator[str]:
        return iter(self.all())

    def __len__(self) -> int:
        return len(self.all())


@define
class FileWorld:
    """What tests.testing.world.World is, in a file, behind the lease: each write checks it first, as fenced.py does."""

    data: FileData
    lease: S3Lease
    slow_seconds: float = 0.0
    seen: list[tuple[str, ...]] = field(factory=list)

    def get(self, key: str) -> str:
        """Read one key."""
        return self.data.get(key, "")

    def put(self, key: str, value: str) -> None:
        """Write one key, if this process still has the lease."""
        self.lease.check()
        time.sleep(self.slow_seconds)
        self.data[key] = value


@define
class MemoryRuns:
    """Runs below a directory: ``<directory>/<pair>/world.json``, ``<directory>/<pair>/store/``."""

    directory: Path
    process: Process
    slow_seconds: float = 0.0
    poisoned: tuple[str, ...] = ()  # pairs whose runs raise what no worker expects
    requests: dict[str, int] = field(factory=dict)

    def opened(self, task: Task, serve: Serve) -> object:
        """Open a run from its mirror, or begin it."""
        if task.pair in self.poisoned:
            raise ZeroDivisionError("a poisoned run")
        spec, text = machine(task.procedure)
        store = self.store(task.pair)
        scratch = Path(tempfile.mkdtemp(prefix="drfsm-memory-"))
        try:
            lines = fetch(store, home_of(PREFIX, task.run_id))  # type: ignore[arg-type]
            (scratch / "state_transitions.log").write_bytes(b"".join(lines)) if lines else None
            with FileJournal.open(scratch) if lines else FileJournal.create(scratch) as journal:
                return self._served(task, spec, text, store, journal, serve)
        finally:
            self.requests[task.run_id] = self.requests.get(task.run_id, 0) + store.requests
            shutil.rmtree(scratch, ignore_errors=True)

    def _served(
        self, task: Task, spec: MachineSpec, text: bytes, store: Any, journal: FileJournal, serve: Serve
    ) -> object:
        drill = task.procedure == "drill"
        lease = S3Lease(
            store, PREFIX, bundle=str(self.process), keeps_records=True,
            take_over_from=task.run_id if task.trigger == TAKE_OVER else None,
            known_epoch=lambda: fold(journal.records()).epoch, has_changed=lambda: fold(journal.records()).touched,
            may_take_over=lambda held: may_take_over(held, fold(journal.records()), lambda _machine: False),
        )  # fmt: skip
        mirrored = MirroredJournal(
            journal, store, PREFIX, task.run_id, text, is_elsewhere=lease.is_elsewhere, alone=True
        )
        lease.look()
        mirrored.catch_up(lambda _lines: None)
        world = FileWorld(FileData(self.directory / task.pair / "world.json"), lease, self.slow_seconds)
        asked = self._hold(task.run_id)
        runner = Runner(
            spec, binding_of(spec), world, mirrored, lease=lease, operator=task.who, settle_seconds=0.0,
            hold_asked=lambda: asked.read_text("utf-8") if asked.exists() else "",
        )  # fmt: skip
        if not journal.records():
            runner.begin(inputs_for(spec), run_id=task.run_id, scope="drill" if drill else "live")
        asked.unlink(missing_ok=True)
        try:
            return serve(runner)
        finally:
            if not runner.state.ended:
                lease.leave(task.run_id)

    def ask_hold(self, run_id: str, operator: str, reason: str) -> None:
        """Ask an open run to hold."""
        self._hold(run_id).write_text(f"{operator} asked to hold: {reason}", "utf-8")

    def nothing_begun(self, task: Task) -> bool:
        """Whether a run has no record."""
        return not task.began and not fetch(self.store(task.pair), home_of(PREFIX, task.run_id))  # type: ignore[arg-type]

    def store(self, pair: str) -> FolderStore:
        """Return a pair's bucket."""
        return FolderStore(self.directory / pair / "store")

    def _hold(self, run_id: str) -> Path:
        return self.directory / f"{run_id}.hold"


def make_pair(directory: Path, pair: str, procedure: str) -> None:
    """Make a pair in whose world every guard of a procedure holds."""
    spec, _ = machine(procedure)
    (directory / pair).mkdir(parents=True)
    (directory / pair / "world.json").write_text(json.dumps(data_of(spec, quiet(spec))), "utf-8")
