"""Journals to be proven: runs of a small machine and of the real failback, in worlds that are a dictionary."""

import json
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from drfsm.engine import Binding, Fact, Late, MemoryJournal, NoLease, Run, Runner
from drfsm.errors import ActionFailed, DrfsmError, Unreachable
from drfsm.evidence.audit import Verdict, audit
from drfsm.evidence.summary import summarise
from drfsm.journal import Record, RunState, digest, encode, fold, lines
from drfsm.spec import MachineSpec, load_machine

ROOT = Path(__file__).parents[2]
LAST_RECORD = 10_000

MILL = b"""
machine: mill
because: "The mill is handed over to the new miller, without a wheel turning unseen"
initial: start
finals: {handed_over: complete, given_back: aborted, refused: refused}
inputs:
  miller: {because: "who takes it over"}
  confirm1: {because: "the token"}
  sacks: {values: [asked, none], because: "whether the sacks are counted"}
  patience: {because: "seconds to wait for the wheel"}
facts:
  confirmation: {values: [right, wrong], local: true}
  sluices: {values: [open, shut, mixed], initial: [open]}
  wheel: {values: [turning, still]}
  mute: {values: [yes, no], initial: [no]}
  keys: {values: [old, new], initial: [old]}
  bell: {values: [rung, silent], initial: [silent]}
  owner: {values: [old, new], initial: [old]}
guards:
  token_is_right: {requires: {confirmation: right}, because: "A person wants exactly this"}
  wheel_is_still: {requires: {wheel: still}, because: "A turning wheel grinds for the old miller"}
  sluices_are_shut: {requires: {sluices: shut}, because: "Open sluices turn the wheel"}
  old_owner: {requires: {owner: old}, because: "It can be handed over only once"}
  new_owner: {requires: {owner: new}, because: "Else nothing was handed over"}
environment:
  - {when: {sluices: [open, mixed]}, sets: {wheel: turning}}
  - {when: {wheel: turning}, sets: {wheel: still}}
never:
  - {name: turning_at_the_end, when: {wheel: turning}, states: [keyed, owned, handed_over], because: "Alone"}
  - {name: two_millers, when: {keys: new, mute: no}, because: "The old miller could still ring"}
frozen:
  - {when: {sluices: shut}, because: "the sluices are shut"}
  - {when: {mute: yes}, because: "the old miller can't ring"}
  - {when: {mute: yes, owner: old}, because: "nobody can publish"}
transitions:
  - {from: start, trigger: confirm, to: confirmed, guards: [token_is_right], because: "It is wanted"}
  - {from: confirmed, trigger: look, to: seen, guards: [old_owner], attempts: {max: 2}, because: "It is there"}
  - {from: seen, trigger: shut_sluices, to: dammed, action: shut, sets: {sluices: shut}, effect: idempotent,
     attempts: {max: 3, backoff_seconds: 1, repair: grease}, undo: reopen, because: "No water comes any more"}
  - {from: dammed, trigger: silence, to: silenced, action: silence, sets: {mute: yes}, effect: idempotent,
     not_undone_because: "the old miller stays silent", because: "He rings no more"}
  - {from: silenced, trigger: await_still, to: stilled, guards: [sluices_are_shut, wheel_is_still],
     wait: {every_seconds: 2, limit: patience, consecutive: 2}, because: "The wheel stands"}
  - {from: stilled, trigger: count_sacks, to: counted, when: {sacks: asked}, guards: [wheel_is_still], action: tally,
     effect: none, attempts: {max: 2}, because: "What is there is written down"}
  - {from: stilled, trigger: change_keys, to: keyed, when: {sacks: none}, guards: [wheel_is_still], action: rekey,
     sets: {keys: new}, effect: idempotent, attempts: {max: 2}, undo: unkey, lands_late: true,
     because: "The new miller can get in"}
  - {from: counted, trigger: change_keys, to: keyed, guards: [wheel_is_still], action: rekey, sets: {keys: new},
     effect: idempotent, attempts: {max: 2}, undo: unkey, lands_late: true, because: "The new miller can get in"}
  - {from: keyed, trigger: hand_over, to: owned, guards: [wheel_is_still, sluices_are_shut], action: sign,
     sets: {owner: new}, effect: idempotent, attempts: {max: 2}, point_of_no_return: true, because: "It is his"}
  - {from: owned, trigger: ring, to: rung, guards: [new_owner], action: ring, sets: {bell: rung}, effect: once,
     because: "Everybody hears it, once"}
  - {from: rung, trigger: finish, to: handed_over, guards: [new_owner], because: "It is done"}
  - {from: silenced, trigger: believe_still, to: stilled, by: operator, because: "A person answers for the wheel"}
  - {from: [start, confirmed], trigger: refuse, to: refused, by: failure, because: "Nothing was changed"}
  - {from: [confirmed, seen, dammed, silenced, stilled, counted, keyed], trigger: abort, to: aborting, by: operator,
     because: "Everything is given back"}
  - {from: aborting, trigger: undo_newest, to: aborting, foreach: undo, attempts: {max: 2}, because: "The newest first"}
  - {from: aborting, trigger: finish_abort, to: given_back, because: "It is as it was"}
  - {from: aborting, trigger: waive_undo, to: aborting, by: operator, foreach: undo, because: "A person answers for it"}
receipt:
  miller: input miller
  shut_at: intent_at shut_sluices
  sluices_before: before shut_sluices sluices
  first_sluice: seen shut_sluices sluices upper
  wheel: value await_still wheel
  sacks: result count_sacks sacks
  signed_at: commit_at hand_over
  aborted_because: args abort reason
  still: seen await_still wheel | seen change_keys wheel
"""
GIVEN = {"miller": "Jo", "confirm1": "YES-HAND-IT-OVER", "sacks": "none", "patience": "30"}
TOKEN = GIVEN["confirm1"]


class Crash(BaseException):
    """The process is gone."""


class Time:
    """A clock that a test owns: every look at it costs a millisecond."""

    def __init__(self) -> None:
        self._passed = 0.0

    def now(self) -> str:
        """Return the time."""
        self._passed += 0.001
        minutes, seconds = divmod(self._passed, 60)
        hours, minutes = divmod(int(minutes), 60)
        return f"2026-02-27T{hours:02}:{minutes:02}:{seconds:09.6f}Z"

    def monotonic(self) -> float:
        """Return seconds."""
        self._passed += 0.001
        return self._passed

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self._passed += seconds


class MortalJournal(MemoryJournal):
    """A journal whose process dies before or after one record is written."""

    def __init__(self, records: Iterable[Record], *, dies_at: int, after: bool) -> None:
        super().__init__(tuple(records))
        self._dies_at, self._after = dies_at, after

    def append(self, kind: str, body: Mapping[str, Any], at: str) -> Record:
        """Append, or die."""
        dies = len(self.records()) == self._dies_at
        if dies and not self._after:
            raise Crash
        record = super().append(kind, body, at)
        if dies:
            raise Crash
        return record


class Play:
    """One run, in however many processes, and what can be proven of it."""

    def __init__(self, spec: MachineSpec, binding: Binding, world: dict[str, Any], given: Mapping[str, Any]) -> None:
        self.spec, self.binding, self.world, self.given = spec, binding, world, given
        self.clock, self.lease = Time(), NoLease()
        self.records: tuple[Record, ...] = ()
        self.heard: list[tuple[Record, RunState]] = []

    def process(
        self,
        act: Callable[[Runner], Any],
        *,
        dies_at: int = LAST_RECORD,
        after: bool = False,
        operator: str = "ann",
        proven: Mapping[str, Any] | None = None,
    ) -> "Play":
        """Do something in a process of its own, which may die; what it recorded stays."""
        journal = MortalJournal(self.records, dies_at=dies_at, after=after)
        runner = Runner(
            self.spec, self.binding, self.world, journal, lease=self.lease, clock=self.clock,
            operator=operator, host="desk", proven=proven,
            on_record=[lambda record, state: self.heard.append((record, state))],
        )  # fmt: skip
        try:
            act(runner)
        except (Crash, DrfsmError):
            pass
        finally:
            self.records = tuple(journal.records())
        return self

    def start(self, *, dry_run: bool = False, **how: Any) -> "Play":
        """Start the run."""
        return self.process(lambda runner: runner.start(self.given, run_id="run-1", dry_run=dry_run), **how)

    def resume(self, **how: Any) -> "Play":
        """Go on."""
        return self.process(lambda runner: runner.resume(), **how)

    def request(
        self, trigger: str, reason: str = "because I say so", *, given: Mapping[str, str] | None = None, **how: Any
    ) -> "Play":
        """Fire an operator's row."""
        return self.process(lambda runner: runner.request(trigger, {"reason": reason, **(given or {})}), **how)

    def resolve(self, outcome: str, **how: Any) -> "Play":
        """Settle an open intent."""
        return self.process(lambda runner: runner.resolve(outcome, "I looked"), **how)

    @property
    def raw(self) -> bytes:
        """The log's bytes."""
        return b"".join(lines(self.records))

    @property
    def written(self) -> tuple[Record, ...]:
        """The records as they are read from the log."""
        return tuple(
            Record(found["seq"], found["kind"], found["at"], found["body"])
            for found in map(json.loads, self.raw.splitlines())
        )

    @property
    def state(self) -> RunState:
        """Where the log says that the run stands."""
        return fold(self.written)

    def summary(self, *, dead: bool = False) -> dict[str, Any]:
        """Return the summary as the CLI would write it."""
        head = digest(self.raw.splitlines(keepends=True)[-1])
        return summarise(self.state, self.written, head=head, dead=dead)

    def judges(self) -> dict[str, Any]:
        """Return the judges that an audit is handed."""
        return {name: fact.judge for name, fact in self.binding.facts.items()}

    def audit(self, raw: bytes | None = None, **expected: Any) -> Verdict:
        """Audit the log, or other bytes in its place."""
        raw = self.raw if raw is None else raw
        return audit(raw, self.spec, **{"judges": self.judges(), "late": self.binding.late, **expected})

    def edited(self, edit: Callable[[list[dict[str, Any]]], Any]) -> bytes:
        """Return the log as somebody who can count and hash would forge it: edited, chained and sealed anew."""
        draft = [json.loads(line) for line in self.raw.splitlines()]
        edit(draft)
        return chained(draft)


def chained(draft: Iterable[Mapping[str, Any]]) -> bytes:
    """Return records as a log whose chain, numbers and seal are right."""
    head, written = "0" * 64, b""
    for seq, each in enumerate(draft):
        body = dict(each["body"])
        if each["kind"] == "seal":
            body = {**body, "records": seq, "head": head}
        line = encode(Record(seq, each["kind"], each["at"], body), head)
        head = digest(line)
        written += line
    return written


# --- the mill ---------------------------------------------------------------------------------------------


def mill_world() -> dict[str, Any]:
    """Return a mill at work. ``fails``: action -> how often it fails first; ``lost``: facts that can't be read."""
    return {
        "sluices": {"upper": "open", "lower": "open"},
        "wheel": ["turning", "turning", "still"],
        "mute": {"miller": False},
        "keys": {"door": "old"},
        "bell": {"rung": 0},
        "owner": {"name": "old"},
        "fails": {},
        "lost": set(),
    }


@cache
def mill_spec() -> MachineSpec:
    """Return the mill's machine, read once: a test plays hundreds of runs of it."""
    return load_machine(MILL, source="mill.yaml")


def mill() -> tuple[MachineSpec, Binding, dict[str, Any]]:
    """Return the mill's machine, binding and world."""
    return mill_spec(), Binding(_mill_facts(), _mill_actions()), mill_world()


def _sight(name: str) -> Callable[[Any, Run], Any]:
    def observe(world: dict[str, Any], _run: Run) -> Any:
        if name in world["lost"]:
            raise Unreachable(f"nobody can see the {name}")
        if name == "wheel":
            left = world["wheel"]
            return {"spokes": left.pop(0) if len(left) > 1 else left[0]}
        return deepcopy(world[name])

    return observe


def _sluices(seen: Mapping[str, str], _given: Mapping[str, Any]) -> str:
    found = set(seen.values())
    return found.pop() if len(found) == 1 else "mixed"


def _mill_facts() -> dict[str, Fact]:
    return {
        "confirmation": Fact(
            lambda _world, run: {"right": run.inputs["confirm1"] == TOKEN},
            lambda seen, _given: "right" if seen["right"] else "wrong",
        ),
        "sluices": Fact(_sight("sluices"), _sluices),
        "wheel": Fact(_sight("wheel"), lambda seen, _given: seen["spokes"]),
        "mute": Fact(_sight("mute"), lambda seen, _given: "yes" if seen["miller"] else "no"),
        "keys": Fact(_sight("keys"), lambda seen, _given: seen["door"]),
        "bell": Fact(_sight("bell"), lambda seen, _given: "rung" if seen["rung"] else "silent"),
        "owner": Fact(_sight("owner"), lambda seen, given: "new" if seen["name"] == given["miller"] else seen["name"]),
    }


def _mill_actions() -> dict[str, Any]:
    def act(name: str, change: Callable[[dict[str, Any], Run], Any]) -> Callable[[dict[str, Any], Run], Any]:
        def take(world: dict[str, Any], run: Run) -> Any:
            how = world["fails"].get(name, [])
            fault = how.pop(0) if how else None
            if fault == "before":
                raise ActionFailed(f"{name} is stuck")
            if fault == "die":
                raise Crash
            if fault == "half":
                world["sluices"]["upper"] = "shut"
                raise ActionFailed(f"{name} is stuck half way")
            result = change(world, run)
            if fault == "blind":
                world["lost"] |= set(world)
            if fault in ("after", "blind"):
                raise Unreachable(f"the word of {name} got lost")
            if fault == "die after":
                raise Crash
            return result

        return take

    def restore(fact: str) -> Callable[[dict[str, Any], Run], Any]:
        return lambda world, run: world[fact].update(run.undoing[fact])

    return {
        "shut": act("shut", lambda world, _run: world["sluices"].update(upper="shut", lower="shut")),
        "grease": act("grease", lambda _world, _run: {"greased": True}),
        "reopen": act("reopen", restore("sluices")),
        "silence": act("silence", lambda world, _run: world["mute"].update(miller=True)),
        "tally": act("tally", lambda _world, _run: {"sacks": 12}),
        "rekey": act("rekey", lambda world, _run: world["keys"].update(door="new")),
        "unkey": act("unkey", restore("keys")),
        "sign": act("sign", lambda world, run: world["owner"].update(name=run.inputs["miller"])),
        "ring": act("ring", lambda world, _run: world["bell"].update(rung=world["bell"]["rung"] + 1)),
    }


# --- the failback, in a world of words ------------------------------------------------------------------


@cache
def failback_spec() -> MachineSpec:
    """Return the shipped failback, read once."""
    return load_machine((ROOT / "machines" / "failback.yaml").read_bytes(), source="failback.yaml")


def failback() -> tuple[MachineSpec, Binding, dict[str, Any]]:
    """Return the real declaration, bound to a world in which every fact is a word that its rows change."""
    spec = failback_spec()
    facts = {
        name: Fact(_word(name), lambda seen, _given: seen["value"])
        for name, fact in spec.facts.items()
        if not fact.hidden
    }
    facts |= {name: Fact(_pointer(name), _pointed) for name in ("global_pointer", "provider_pointers")}
    actions: dict[str, Any] = {}
    for row in spec.rows:
        if row.action:
            actions.setdefault(row.action, _set(row.sets))
        for name in (row.undo, row.attempts.repair):
            if name:
                actions.setdefault(name, _give_back)
    actions["survey_sites"] = lambda _world, _run: {"caller": "arn:aws:iam::123456789012:user/ann"}
    return spec, Binding(facts, actions), _sound_world(spec)


def _word(name: str) -> Callable[[Any, Run], Any]:
    return lambda world, _run: {"value": world[name], "run_id": f"run that {name} names"}


def _pointer(name: str) -> Callable[[Any, Run], Any]:
    return lambda world, _run: {f"state/{name}.json": {"run_id": world[name]}}


def _pointed(seen: Mapping[str, Mapping[str, str]], _given: Mapping[str, Any]) -> str:
    (pointer,) = seen.values()
    return pointer["run_id"]


def _set(sets: Mapping[str, str]) -> Callable[[dict[str, Any], Run], Any]:
    def change(world: dict[str, Any], _run: Run) -> dict[str, Any]:
        world.update(sets)
        return {"set": dict(sets)}

    return change


def _give_back(world: dict[str, Any], run: Run) -> None:
    for name, image in run.undoing.items():
        world[name] = image["value"] if "value" in image else _pointed(image, {})


def _sound_world(spec: MachineSpec) -> dict[str, Any]:
    """Return a world in which every guard holds at once, but for what the machine's own rows set."""
    set_by_rows = {name for row in spec.rows for name in row.sets}
    world = {name: (fact.initial or fact.values)[0] for name, fact in spec.facts.items()}
    for guard in spec.guards.values():
        world |= {name: values[0] for name, values in guard.requires.items() if name not in set_by_rows}
    return world | {
        "owner": "dr", "global_pointer": "dr", "provider_pointers": "dr", "latest": "dr", "captured": "unmoved",
        "primary_schedules": "on", "primary_publishing": "on", "dr_schedules": "on", "dr_publishing": "on",
        "primary_inflight": "no", "dr_inflight": "no", "divergence": "none", "validation_result": "succeeded",
        "validation_job": "absent", "artifacts": "absent", "soak_job": "absent", "soak_result": "passed",
        "runners": "present", "sync": "pending", "users": "stay",
    }  # fmt: skip


def failback_inputs(spec: MachineSpec, **given: str) -> dict[str, str]:
    """Return inputs for a failback."""
    inputs = {
        name: next((word for word in ("none", "no") if word in each.values and name != "soak"), (*each.values, "")[0])
        or f"the {name}"
        for name, each in spec.inputs.items()
    }
    limits = dict.fromkeys((name for name in inputs if name.endswith("timeout")), "60")
    named = {"dr_run_id": "2026-02-27T00:22:29+00:00", "endpoint_url": "https://key:hidden@s3.example", "profile": ""}
    return {**inputs, **limits, **named, "confirm1": "FAILBACK", "confirm2": "CONFIRM-2026-02-27", **given}


# --- fixtures ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def mill_text() -> bytes:
    """Return the mill's declaration."""
    return MILL


@pytest.fixture
def play() -> Callable[..., Play]:
    """Return a maker of runs of the mill. ``world`` and ``fails`` say how the mill is, ``given`` the inputs.

    ``late``: how late requests are settled; nothing of the mill lands late unless a test says so.
    """

    def make(
        *,
        fails: Mapping[str, list[str]] | None = None,
        given: Mapping[str, str] | None = None,
        late: Mapping[str, Late] | None = None,
        **world: Any,
    ) -> Play:
        spec, binding, room = mill()
        room.update({"fails": dict(fails or {}), **world})
        return Play(spec, evolve(binding, late=late or {}), room, {**GIVEN, **(given or {})})

    return make


@pytest.fixture
def failback_play() -> Callable[..., Play]:
    """Return a maker of runs of the real failback in a world of words."""

    def make(*, given: Mapping[str, str] | None = None, **world: Any) -> Play:
        spec, binding, words = failback()
        return Play(spec, binding, {**words, **world}, failback_inputs(spec, **(given or {})))

    return make


@pytest.fixture
def deaths() -> Callable[..., list[Play]]:
    """Return what yields the run that ``act`` leaves when its process dies before, and after, each of its records."""

    def die(begin: Callable[[], Play], act: Callable[..., Play]) -> list[Play]:
        first, last = len(begin().records), len(act(begin()).records)
        assert first < last, "nothing is written, so nothing can die"
        places = ((place, after) for place in range(first, last) for after in (False, True))
        return [act(begin(), dies_at=place, after=after) for place, after in places]

    return die
