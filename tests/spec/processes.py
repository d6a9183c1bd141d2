"""One process after the other: a Runner that does one verb in a world where anything may happen.

A *process* is one Runner that does one verb (start, resume, a person's trigger, a verdict) and stops after one row. Its
actions write key by key. They may be cut off, be refused or get no answer at any write, with any of their writes done
and the others on their way; another process may take the run over meanwhile. Called by explored.py.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import product
from typing import Any

from attrs import define, evolve, field, frozen

from drfsm.engine import Act, Binding, Fact, Late, Run, Runner
from drfsm.engine.late import SETTLE_SECONDS
from drfsm.errors import ActionFailed, DrfsmError, LeaseLost, Unreachable
from drfsm.journal import Record
from drfsm.spec.model import Row
from tests.spec.shaken_world import Crash, Flight, Left, Moment, Rig, World, compared, decisive

SUBSETS = 8  # of the writes of an action that are tried for one crash
NAP = 20.0  # seconds that pass in one pause, however short it was meant to be
ROWS_OF_ANOTHER = (1, 3)  # that a process takes which takes the run over

Plan = tuple[tuple[int, str], ...]  # (number of the point, what happens there), in order


@define
class Journal:
    """A journal in memory. Each record is written where none is yet: a process that was overtaken writes no more."""

    world: World
    written: list[Record]
    commits: int = 0  # of this process
    head: str = "0" * 64

    def records(self) -> Sequence[Record]:
        """Return every record so far, oldest first."""
        return tuple(self.written)

    def append(self, kind: str, body: Mapping[str, Any], at: str) -> Record:
        """Append, unless the process dies before it."""
        stale = kind == "intent" and self.world.dangers.stale
        takes = [f"taken_over:{verb}" for verb in _others(self.world)] if stale else []
        ends = kind == "commit" and body["to"] in self.world.spec.finals and not self.world.dangers.late_end
        if happens := self.world.point("dies", *takes, moves=False if ends else None):
            take_over(self.world, happens.partition(":")[2])
        if len(self.world.journal.written) > len(self.written):
            raise LeaseLost("the run was continued elsewhere: its mirror has another record in this one's place")
        record = Record(len(self.written), kind, at, dict(body))
        self.written.append(record)
        self.commits += kind == "commit"
        if self.world.journal is self:
            self._applied(kind, body)
        return record

    def _applied(self, kind: str, body: Mapping[str, Any]) -> None:
        world = self.world
        world.trail.append(f"record {kind} {body.get('row', '')}".strip())
        if kind == "run_started":
            world.state, world.inputs = body["state"], {name: str(value) for name, value in body["inputs"].items()}
        elif kind == "commit":
            world.state = body["to"]
            world.inputs |= {name: str(value) for name, value in body.get("amends", {}).items()}
        world.note()


@define
class Lease:
    """The right to act: whoever acquired it last has it."""

    world: World
    taken_from: Mapping[str, str] = field(factory=dict)

    def acquire(self, run_id: str, operator: str, host: str) -> int:  # noqa: ARG002  the protocol's shape
        """Take it, from whomever."""
        self.world.holder = self
        self.world.epoch += 1
        return self.world.epoch

    def check(self) -> None:
        """Raise LeaseLost once another process has it."""
        if self.world.holder is not self:
            raise LeaseLost("another process has the lease")

    def release(self, run_id: str) -> None:
        """Give it back."""


@define
class Clock:
    """Time that passes only in pauses, and then a good deal of it."""

    world: World

    def now(self) -> str:
        """Return a time that always looks the same."""
        return "2026-02-27T00:00:00.000000Z"

    def monotonic(self) -> float:
        """Return the seconds that have passed."""
        return self.world.seconds

    def sleep(self, seconds: float) -> None:
        """Pause: anything may happen meanwhile."""
        self.world.point("dies", moves=True)
        self.world.pass_time(max(seconds, NAP))


@lru_cache(maxsize=8)
def binding_of(rig: Rig) -> Binding:
    """Bind every fact to its keys, and every action to writing what its row sets, key by key."""
    spec = rig.spec
    acts: dict[str, Act] = {}
    late: dict[str, Late] = {}
    for row in spec.rows:
        for name in (row.action, row.undo):
            if name:
                acts[name] = _act(rig, name)
        if row.action and row.sets:
            unconditional = Late(settles="it has no condition", overwrites=True)
            late[row.action] = unconditional if row.lands_late else Late(_touch(rig, row))
        if row.undo:
            late[row.undo] = Late(_touch(rig, row))
        if row.attempts.repair:
            acts[row.attempts.repair] = lambda _world, _run: None
    facts = {name: _fact(rig, name) for name, fact in spec.facts.items() if not fact.hidden}
    return Binding(facts, acts, late=late)


def _fact(rig: Rig, name: str) -> Fact:
    keys = rig.keys[name]

    def observe(world: World, _run: Run) -> Any:
        if keys and world.point("unreachable"):
            raise Unreachable(f"{name} does not answer")
        return {key: world.data[key] for key in keys}

    return Fact(observe, lambda seen, inputs: rig.judged(name, seen, inputs))


def _touch(rig: Rig, row: Row) -> Act:
    """Return what gives everything that the row's action may change a new version."""

    def touch(world: World, run: Run) -> None:
        for key in (key for fact in run.undoing or row.sets for key in rig.keys[fact]):
            world.write(key, world.data[key])

    return touch


def _act(rig: Rig, name: str) -> Act:
    """Return an act that writes key by key: as an undo the images before, else what its row sets."""
    row = next((row for row in rig.spec.rows if row.action == name), None)
    done = {key: value for fact, value in (row.sets if row else {}).items() for key in rig.keys[fact]}

    def act(world: World, run: Run) -> None:
        images = {key: value for image in run.undoing.values() for key, value in image.items()}
        todo = {key: value for key, value in (images or done).items() if world.data[key] != value}
        versions = {key: world.versions.get(key, 0) for key in todo}
        for number, (key, value) in enumerate(todo.items()):
            rest = dict(list(todo.items())[number:])
            sent = None if images else row
            options = _ways_to_fail(rest, first=number == 0, late=_may_land_late(world, sent))
            takes = [f"taken_over:{verb}" for verb in _others(world)] if world.dangers.take_over else []
            happens = world.point("dies", *options, *takes)
            if happens.startswith("taken_over"):
                began = world.seconds
                take_over(world, happens.partition(":")[2])
                if world.seconds - began >= SETTLE_SECONDS:
                    raise LeaseLost("the request took longer than any server waits")
            elif happens:
                _fail(world, sent, rest, happens)
            if sent and not compared(rig, sent, world):
                raise ActionFailed("what the request compares is not so any more")
            if world.versions.get(key, 0) != versions[key] and (images or not (row and row.lands_late)):
                raise ActionFailed(f"{key} was changed meanwhile")
            world.write(key, value)
            world.trail.append(f"{name} writes {key}={value}")

    return act


def _may_land_late(world: World, row: Row | None) -> bool:
    """Whether what an action, or an undo (None), has sent may land after it was given up. One at a time does."""
    if world.flights:
        return False
    return world.dangers.late_undo if row is None else row.lands_late or world.dangers.late_conditional


def _ways_to_fail(rest: Mapping[str, str], *, first: bool, late: bool) -> Iterator[str]:
    """Yield ``HOW:BITS:LATE``: how the action ends, which of its writes were done, whether the others may land late."""
    bits = ["".join(chosen) for chosen in product("01", repeat=len(rest))] if first else ["0" * len(rest)]
    if len(bits) > SUBSETS:
        bits = random.Random(len(rest)).sample(bits, SUBSETS)  # noqa: S311  a sample, no secret
    for how in ("cut_off", "refused", "lost"):
        for done in bits:
            if how != "cut_off" or first:
                yield f"{how}:{done}:-"
            if late and how != "refused" and "0" in done:
                yield f"{how}:{done}:late"


def _fail(world: World, row: Row | None, rest: Mapping[str, str], happens: str) -> None:
    """End an action before its end. What was sent without an answer may land late."""
    how, bits, late = happens.split(":")
    for (key, value), done in zip(rest.items(), bits, strict=True):
        if done == "1" and (row is None or compared(world.rig, row, world)):
            world.write(key, value)
            world.trail.append(f"writes {key}={value}")
            world.note()
    if late == "late":
        called, conditional = (row.key, not row.lands_late) if row else ("an undo", True)
        world.flights += [
            Flight(called, key, value, conditional, SETTLE_SECONDS)
            for (key, value), done in zip(rest.items(), bits, strict=True)
            if done == "0"
        ]
    world.trail.append(f"the action is {how}" + (", and what is left of it may land late" if late == "late" else ""))
    if how == "cut_off":
        raise Crash
    if how == "refused":
        raise ActionFailed("the world refuses")
    raise Unreachable("no answer")


# --- one process after the other ------------------------------------------------------------------------------


@frozen
class Processed:
    """What one process did."""

    left: Left
    offered: tuple[tuple[str, ...], ...]
    seen: Mapping[Moment, int]


def process(rig: Rig, left: Left, verb: str, plan: Plan) -> Processed:
    """Let one process do one verb, and happen what the plan says."""
    world = World(rig, left, dict(plan))
    journal = world.journal = Journal(world, list(left.records))
    world.trail.append(f"--- {verb}")
    try:
        _run(world, journal, verb, rows=1)
    except Crash:
        pass
    except DrfsmError as fault:
        world.trail.append(f"{type(fault).__name__}: {fault.what}"[:100])
    world.note()
    return Processed(leaves(world), tuple(world.offered), world.seen)


def leaves(world: World) -> Left:
    """Return what a process leaves behind."""
    story = (*world.left.story, *world.trail)
    return evolve(
        world.left,
        data=tuple(sorted(world.data.items())),
        flights=tuple(world.flights),
        moved=frozenset(world.moved),
        records=tuple(world.journal.written),
        story=story,
        state=world.run,
        run=world.left.run if world.run is world.left.state else decisive(world.run),
    )


def _run(world: World, journal: Journal, verb: str, *, rows: int) -> None:
    """Let a Runner do a verb, and stop after so many rows."""
    runner = Runner(
        world.spec,
        binding_of(world.rig),
        world,
        journal,
        clock=Clock(world),
        lease=Lease(world),
        operator="op",
        host="here",
        hold_asked=lambda: "enough" if journal.commits >= rows else "",
    )
    try:
        _do(runner, verb, world.left.inputs)
    finally:
        if world.journal is journal:
            world.run = runner.state


def _do(runner: Runner, verb: str, inputs: Iterable[tuple[str, str]]) -> None:
    name, _, arguments = verb.partition(" ")
    if name == "start":
        runner.start(dict(inputs), run_id="run-1")
    elif name == "resume":
        runner.resume()
    elif name == "resolve":
        runner.resolve(arguments, "looked at it")
    else:
        runner.request(name, dict(pair.split("=") for pair in arguments.split()))


def _others(world: World) -> tuple[str, ...]:
    """Return what a process may do that takes the run over."""
    if world.journal is None or "--- taken over" in world.trail:
        return ()
    abort = any(row.trigger == "abort" and row.source == world.state for row in world.spec.rows)
    return tuple(f"{verb}:{rows}" for verb in ("resume", *["abort"] * abort) for rows in ROWS_OF_ANOTHER)


def take_over(world: World, how: str) -> None:
    """Let another process take the run over and go on with it; the first one does not know yet."""
    if not how:
        return
    verb, rows = how.split(":")
    first = world.journal
    assert first is not None
    world.trail += ["--- taken over", f"--- {verb}"]
    second = world.journal = Journal(world, list(first.written))
    try:
        _run(world, second, verb, rows=int(rows))
    except DrfsmError as fault:
        world.trail.append(f"{type(fault).__name__}: {fault.what}"[:100])
    world.trail.append("--- the first process goes on")
