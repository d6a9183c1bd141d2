"""Two workers for one run, one of them stale: wherever it stopped, it does nothing more, and the run ends as any other.

The first worker is stopped at a point: before one of its writes to the bucket (journal, lease), or in the middle of a
request to a site, after it looked whether it still has the lease. A second worker, without anything of the first
one's disk, takes the run over and brings it to its end. Then the first one wakes up. Requests to a site carry a
condition, as drfsm's do: what they replace must be as it was.
"""

import os
import shutil
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

from drfsm.adapters.file_journal import FileJournal
from drfsm.adapters.s3_journal import MirroredJournal, fetch
from drfsm.adapters.s3_lease import S3Lease
from drfsm.engine import MemoryJournal, Runner
from drfsm.errors import ActionFailed, DrfsmError, LeaseHeld, LeaseLost
from drfsm.evidence.audit import audit
from drfsm.fleet.process import Process
from drfsm.fleet.takeover import may_take_over
from drfsm.journal import fold, read
from drfsm.journal.mirror import home_of
from drfsm.testing.fuse import MemoryClock
from drfsm.testing.world import World, binding_of, data_of, inputs_of, quiet
from tests.fleet.folder_store import MemoryStore
from tests.fleet.memory_runs import PREFIX, inputs_for, machine

pytestmark = pytest.mark.timeout(900)  # some 20 s of work at every point, on a machine that may be busy

RUN = "drill-20261129t000000z-000000000001"
STALE = Process("boot-a", "1", 10, "100")
SECOND = Process("boot-b", "1", 20, "200")
EVERY = 1 if os.environ.get("DRFSM_FLEET") else 7  # make test-fleet: at every point
FAR = 10_000  # a point that no run reaches


@define
class Gate:
    """Stops one thread at the n-th point that it passes, until it is opened."""

    at: int = FAR
    passed: int = 0
    stopped: threading.Event = field(factory=threading.Event)
    opened: threading.Event = field(factory=threading.Event)
    thread: int = 0

    def pass_(self, _words: str = "") -> None:
        """Pass a point; only the watched thread has any."""
        if threading.get_ident() != self.thread:
            return
        if self.passed == self.at:
            self.stopped.set()
            assert self.opened.wait(60)
        self.passed += 1


@define
class Sites:
    """What two workers act on: keys with versions."""

    data: dict[str, str]
    versions: dict[str, int] = field(factory=dict)


@define
class Seen:
    """The sites as one worker sees them: behind its lease, each write under the condition of what it replaces."""

    sites: Sites
    lease: S3Lease
    gate: Gate
    seen: list[tuple[str, ...]] = field(factory=list)

    @property
    def data(self) -> dict[str, str]:
        """Every key with its value."""
        return self.sites.data

    def get(self, key: str) -> str:
        """Read one key."""
        return self.sites.data.get(key, "")

    def put(self, key: str, value: str) -> None:
        """Write one key: the lease first, then, whenever the request arrives, its condition."""
        self.lease.check()
        version = self.sites.versions.get(key, 0)
        self.gate.pass_(key)
        if self.sites.versions.get(key, 0) != version:
            raise ActionFailed(f"{key} was changed in between")
        self.sites.data[key] = value
        self.sites.versions[key] = version + 1


@define
class Play:
    """One run that two workers may have: its bucket, its sites."""

    procedure: str
    gate: Gate
    store: MemoryStore = field(factory=MemoryStore)
    sites: Sites = field(init=False)
    fault: DrfsmError | None = None

    def __attrs_post_init__(self) -> None:
        """Make the sites, in which every guard holds."""
        spec, _ = machine(self.procedure)
        self.sites = Sites(data_of(spec, quiet(spec)))
        self.store.before_put = self.gate.pass_

    def work(self, process: Process) -> Runner:
        """Let a worker take the run as far as it goes. Raises what stops it."""
        spec, text = machine(self.procedure)
        scratch = Path(tempfile.mkdtemp(prefix="drfsm-stale-"))
        try:
            store: Any = self.store
            lines = fetch(store, home_of(PREFIX, RUN))
            (scratch / "state_transitions.log").write_bytes(b"".join(lines))
            with FileJournal.open(scratch) as journal:
                lease = S3Lease(
                    store, PREFIX, bundle=str(process), keeps_records=True, clock=MemoryClock(),
                    known_epoch=lambda: fold(journal.records()).epoch,
                    has_changed=lambda: fold(journal.records()).touched,
                    may_take_over=lambda held: may_take_over(held, fold(journal.records()), lambda _machine: False),
                )  # fmt: skip
                mirrored = MirroredJournal(
                    journal, store, PREFIX, RUN, text, is_elsewhere=lease.is_elsewhere, alone=True
                )
                lease.look()
                mirrored.catch_up(lambda _lines: None)
                runner = Runner(
                    spec, binding_of(spec), Seen(self.sites, lease, self.gate), mirrored, lease=lease,
                    clock=MemoryClock(), operator="op", host="here", settle_seconds=0.0,
                )  # fmt: skip
                if not journal.records():
                    scope = "drill" if self.procedure == "drill" else "live"
                    runner.begin(inputs_for(spec), run_id=RUN, scope=scope)
                while not runner.state.sealed:
                    runner.advance()
                return runner
        finally:
            shutil.rmtree(scratch)

    def stale(self) -> threading.Thread:
        """Begin the first worker in a thread; its end is kept in ``fault``."""

        def go() -> None:
            self.gate.thread = threading.get_ident()
            try:
                self.work(STALE)
            except DrfsmError as fault:
                self.fault = fault
            finally:
                self.gate.stopped.set()

        thread = threading.Thread(target=go, daemon=True)
        thread.start()
        assert self.gate.stopped.wait(60)
        return thread

    def wake(self, thread: threading.Thread) -> None:
        """Let the first worker go on, and wait for its end."""
        self.gate.opened.set()
        thread.join(60)
        assert not thread.is_alive()

    def lines(self) -> tuple[bytes, ...]:
        """Return the journal."""
        store: Any = self.store
        return fetch(store, home_of(PREFIX, RUN))


@cache
def undisturbed(procedure: str) -> dict[str, str]:
    """Return the sites after a run that nobody disturbs."""
    spec, _ = machine(procedure)
    world = World(data_of(spec, quiet(spec)))
    runner = Runner(spec, binding_of(spec), world, MemoryJournal(), clock=MemoryClock(), operator="op")
    assert runner.start(inputs_of(spec), scope="drill").status == "complete"
    return world.data


@cache
def points(procedure: str) -> int:
    """Return how many points the first worker passes if nobody stops it."""
    play = Play(procedure, Gate())
    play.wake(play.stale())
    assert play.fault is None
    return play.gate.passed


def assert_whole(play: Play, words: str) -> None:
    """Assert that the journal holds, that the run is complete, and that the sites are as after any run."""
    spec, _ = machine(play.procedure)
    lines = play.lines()
    state = fold(read(lines).records)
    assert (state.status, state.sealed) == ("complete", True), words
    verdict = audit(b"".join(lines), spec, judges=binding_of(spec).judges)
    assert verdict.ok, f"{words}: " + "\n".join(verdict.lines())
    assert play.sites.data == undisturbed(play.procedure), words


def test_a_stale_worker_of_a_drill_does_nothing_more_wherever_it_stopped() -> None:
    """At every point of a drill: the second worker finishes it, the first one learns that it lost the lease."""
    silent = []
    for point in range(0, points("drill"), EVERY):
        play = Play("drill", Gate(point))
        thread = play.stale()
        play.work(SECOND)
        before = (play.lines(), dict(play.sites.data))
        play.wake(thread)
        words = f"stopped at point {point}"
        assert (play.lines(), play.sites.data) == before, f"{words}: the stale worker changed something"
        assert play.fault is None or isinstance(play.fault, LeaseLost | LeaseHeld), f"{words}: {play.fault!r}"
        if play.fault is None:
            silent.append(point)
        assert_whole(play, words)
    # Only one that had nothing left to do (its end, its seal, its lease were all there) ends without a word.
    assert len(silent) <= 3, silent


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_live_run_is_not_taken_from_a_silent_worker(share: float) -> None:
    """A heartbeat that is missed is only time: the second worker is refused, and the first one finishes the run."""
    play = Play("failback", Gate(int(points("failback") * share)))
    thread = play.stale()
    before = (play.lines(), dict(play.sites.data))
    with pytest.raises(LeaseHeld):
        play.work(SECOND)
    assert (play.lines(), play.sites.data) == before
    play.wake(thread)
    assert play.fault is None
    assert_whole(play, "the live run")
