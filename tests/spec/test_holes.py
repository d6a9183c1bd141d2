"""What a check must not say can't happen: small machines whose real run reaches what their ``never`` rule forbids.

Each hole is a machine, and the moment (a state and the values of facts) that is forbidden. The Runner gets there in
memory (explored.py), by the danger that is named. So a check that says "holds" is wrong.
"""

import random
from collections.abc import Mapping

import pytest
from attrs import evolve, field, frozen

from drfsm.errors import DeclarationFault
from drfsm.spec import MachineSpec, load_machine
from drfsm.spec.check import check
from tests.spec.explored import Explored, explore, first_worlds
from tests.spec.processes import process
from tests.spec.shaken_world import Dangers, Moment, Rig

PROCESSES = 3000
QUIET = Dangers(**dict.fromkeys(Dangers.__annotations__, False))
HEAD = """
machine: hole
because: "a small machine with a hole in its proof"
initial: start
finals: {done: complete%s}
%s
never:
  - {name: forbidden, when: {%s}, states: [%s], because: "it can't happen"}
transitions:
%s
"""
ABORT = """
  - {from: [start], trigger: abort, to: going, by: operator, because: "back"}
  - {from: going, trigger: undo_newest, to: going, foreach: undo, because: "newest first"}
  - {from: going, trigger: finish_abort, to: back, because: "as before"}
"""
FINISH = '  - {from: %s, trigger: finish, to: done, because: "it is over"}\n'


@frozen
class Hole:
    """A machine, what can't happen by its rule, and what makes it happen."""

    why: str
    tables: str
    rows: str
    state: str
    facts: Mapping[str, str]
    dangers: Mapping[str, bool] = field(factory=dict)

    @property
    def spec(self) -> MachineSpec:
        """The machine, with the one rule that forbids the moment."""
        finals = ", back: aborted" if "to: back" in self.rows else ""
        when = ", ".join(f"{name}: {value}" for name, value in self.facts.items())
        return load_machine(HEAD % (finals, self.tables, when, self.state, self.rows), source="hole.yaml")

    def is_there(self, spec: MachineSpec, moment: Moment) -> bool:
        """Whether a moment is the forbidden one."""
        values = dict(zip(spec.facts, moment[1], strict=True))
        return moment[0] == self.state and all(values[name] == value for name, value in self.facts.items())

    def reach(self) -> Explored:
        """Explore until the forbidden moment is there."""
        spec = self.spec
        dangers = evolve(QUIET, **self.dangers)
        return explore(spec, 1, dangers=dangers, processes=PROCESSES, until=lambda moment: self.is_there(spec, moment))


SHUT = "  tap: {values: [shut, open], initial: [shut]}\n"
PIPES = "  tap: {values: [shut, open, mixed], initial: [shut]}\n"
WORD = 'inputs:\n  word: {values: [a, b], because: "read by loss"}\n'
TELL = '  - {from: gone, trigger: tell, amends: [word], by: operator, because: "a person says so"}\n'
OPEN = """
  - {from: start, trigger: open, to: opened, action: open, sets: {tap: open}, effect: idempotent,
     not_undone_because: "it stays", because: "water"}
"""

HOLES = {
    "a person's row amends the input that a local fact is judged by": Hole(
        "the fact counted as a constant, as no row sets it",
        WORD + "facts:\n  loss: {values: [a, b], local: true, reads: [word]}\n"
        'guards:\n  not_lost: {requires: {loss: a}, because: "so"}\n',
        '  - {from: start, trigger: go, to: gone, guards: [not_lost], because: "on"}\n' + TELL + FINISH % "gone",
        "gone",
        {"loss": "b"},
    ),
    "a person's row amends an input that the judge of an observed fact reads": Hole(
        "the fact counted as a constant, as no row sets it",
        WORD + "facts:\n  loss: {values: [a, b], initial: [a], reads: [word]}\n"
        'guards:\n  not_lost: {requires: {loss: a}, because: "so"}\n',
        '  - {from: start, trigger: go, to: gone, guards: [not_lost], because: "on"}\n' + TELL + FINISH % "gone",
        "gone",
        {"loss": "b"},
    ),
    "a run starts with the input whose fact is declared to be otherwise at first": Hole(
        "initial hid the runs that start with the other input",
        WORD + "facts:\n  loss: {values: [a, b], initial: [a], reads: [word]}\n"
        'guards:\n  lost: {requires: {loss: b}, because: "so"}\n',
        '  - {from: start, trigger: give_up, to: given_up, by: operator, guards: [lost], because: "it is lost"}\n'
        + TELL.replace("from: gone", "from: given_up")
        + FINISH % "given_up",
        "given_up",
        {"loss": "b"},
    ),
    "a fact that depends on another changes long after that one did": Hole(
        "a dependent fact changed only at the instant of the change",
        "facts:\n  job: {values: [absent, present], initial: [absent]}\n"
        "  result: {values: [pending, passed, failed], initial: [pending], depends: [job]}\n"
        'guards:\n  passed: {requires: {result: passed}, because: "so"}\n',
        '  - {from: start, trigger: begin, to: begun, action: begin, sets: {job: present}, effect: idempotent,\n'
        '     not_undone_because: "it stays", because: "a job"}\n'
        '  - {from: begun, trigger: confirm, to: confirmed, guards: [passed], because: "it passed"}\n'
        + FINISH % "confirmed",
        "confirmed",
        {"result": "failed"},
        {"lasting_depends": True},
    ),
    "the world moves between a guard's reading and the action": Hole(
        "guard and action were one step",
        "facts:\n" + SHUT + "  weather: {values: [calm, rough], initial: [calm]}\n"
        'guards:\n  it_is_calm: {requires: {weather: calm}, because: "so"}\n'
        "environment:\n  - {when: {tap: shut}, sets: {weather: rough}}\n",
        OPEN.replace("action:", "guards: [it_is_calm], action:") + FINISH % "opened",
        "opened",
        {"tap": "open", "weather": "rough"},
        {"early_guards": True},
    ),
    "the world moves between a guard's reading and the commit of a row without action": Hole(
        "guard and commit were one step",
        "facts:\n  weather: {values: [calm, rough], initial: [calm]}\n"
        'guards:\n  it_is_calm: {requires: {weather: calm}, because: "so"}\n'
        "environment:\n  - {states: [start], sets: {weather: rough}}\n",
        '  - {from: start, trigger: go, to: gone, guards: [it_is_calm], because: "on"}\n' + FINISH % "gone",
        "gone",
        {"weather": "rough"},
        {"early_guards": True},
    ),
    "the world moves between two clear samples and the commit of a wait": Hole(
        "the last sample and the commit were one step",
        "facts:\n  weather: {values: [calm, rough]}\n"
        'guards:\n  it_is_calm: {requires: {weather: calm}, because: "so"}\n'
        "environment:\n  - {states: [start], sets: {weather: rough}}\n",
        "  - {from: start, trigger: go, to: gone, guards: [it_is_calm],\n"
        '     wait: {every_seconds: 1, limit: 50, consecutive: 2}, because: "on"}\n' + FINISH % "gone",
        "gone",
        {"weather": "rough"},
        {"early_guards": True},
    ),
    "an action that is cut off leaves a fact at its own word for half done": Hole(
        "only the word mixed was known for what is half done",
        "facts:\n  files: {values: [absent, published, partial], initial: [absent]}\n",
        "  - {from: start, trigger: publish, to: published, action: publish, sets: {files: published},\n"
        '     effect: idempotent, not_undone_because: "they stay", because: "files"}\n' + FINISH % "published",
        "start",
        {"files": "partial"},
    ),
    "a part of a request lands late": Hole(
        "what landed late landed as a whole",
        "facts:\n" + PIPES + 'guards:\n  tap_is_shut: {requires: {tap: shut}, because: "so"}\n',
        OPEN.replace('because: "water"', 'lands_late: true, because: "water"') + FINISH % "[opened, given_up]"
        + '  - {from: start, trigger: give_up, to: given_up, by: failure, guards: [tap_is_shut], because: "dry"}\n',
        "given_up",
        {"tap": "mixed"},
        {"partial_late": True},
    ),
    "a request with a condition lands after its row was given up for another": Hole(
        "its condition was thought to fail: it does only once somebody else has written",
        "facts:\n" + SHUT + 'guards:\n  tap_is_shut: {requires: {tap: shut}, because: "so"}\n',
        OPEN + FINISH % "[opened, given_up]"
        + '  - {from: start, trigger: give_up, to: given_up, by: failure, guards: [tap_is_shut], because: "dry"}\n',
        "given_up",
        {"tap": "open"},
        {"late_conditional": True},
    ),
    "a process that lost the run while its action was on its way goes on with it": Hole(
        "one process at a time",
        "facts:\n" + SHUT + '  hand: {values: [steady, shaking], initial: [steady]}\n'
        'guards:\n  tap_is_shut: {requires: {tap: shut}, because: "so"}\n'
        '  hand_is_steady: {requires: {hand: steady}, because: "so"}\n'
        "environment:\n  - {when: {tap: shut}, sets: {hand: shaking}}\n",
        OPEN.replace("action:", "guards: [hand_is_steady], action:") + FINISH % "[opened, given_up]"
        + '  - {from: start, trigger: give_up, to: given_up, by: failure, guards: [tap_is_shut],\n'
        '     overrides_open_intent: true, because: "dry"}\n',
        "given_up",
        {"tap": "open"},
        {"early_guards": True, "take_over": True},
    ),
    "a process sleeps behind its look at the lease, and acts when the run has been aborted": Hole(
        "a process that has looked at its lease has it until its action is done",
        "facts:\n" + SHUT,
        OPEN.replace('not_undone_because: "it stays"', "undo: shut") + FINISH % "opened" + ABORT,
        "back",
        {"tap": "open"},
        {"stale": True},
    ),
    "a person says that nothing was done of an action once begun, and the run is aborted": Hole(
        "an open intent that a person has closed stayed open for ever",
        "facts:\n  tap: {values: [shut, open, dripping], initial: [shut]}\n"
        "  flag: {values: [down, up], initial: [down]}\n"
        "environment:\n  - {when: {tap: shut}, sets: {tap: dripping, flag: up}}\n",
        OPEN.replace("idempotent", "once").replace('not_undone_because: "it stays"', "undo: shut")
        + FINISH % "opened" + ABORT,
        "back",
        {"tap": "shut", "flag": "up"},
    ),
}  # fmt: skip
SHUT_BY_THE_ENGINE = (
    "a part of a request lands late",
    "a request with a condition lands after its row was given up for another",
    "a process that lost the run while its action was on its way goes on with it",
    "a process sleeps behind its look at the lease, and acts when the run has been aborted",
)
REACHED = [name for name in HOLES if name not in SHUT_BY_THE_ENGINE]


@pytest.mark.parametrize("name", SHUT_BY_THE_ENGINE)
def test_the_runner_does_not_get_there_any_more(name: str) -> None:
    """What it sent is settled before another row's guards are read, and who was overtaken begins nothing."""
    hole, spec = HOLES[name], HOLES[name].spec
    explored = hole.reach()
    assert not [moment for moment in explored.reached if hole.is_there(spec, moment)]
    assert explored.exhausted or explored.processes == PROCESSES
    report = check(spec)
    assert not report.findings, "\n".join(report.lines())
    assert not report.unproven


@pytest.mark.parametrize("name", REACHED)
def test_the_runner_really_gets_there(name: str) -> None:
    """The real Runner, in memory, reaches what the machine's rule says can't happen."""
    hole, spec = HOLES[name], HOLES[name].spec
    explored = hole.reach()
    stories = [story for moment, story in explored.reached.items() if hole.is_there(spec, moment)]
    assert stories, f"not reached by {explored.processes} processes"


@pytest.mark.parametrize("name", REACHED)
def test_the_check_finds_it(name: str) -> None:
    """The check says that the rule does not hold."""
    report = check(HOLES[name].spec)
    assert [finding.name for finding in report.findings] == ["forbidden"], "\n".join(report.lines())


# --- what no single exploration shows -----------------------------------------------------------------------------

TWO_RUNS = Hole(
    "another run of the machine, which the lease allows while this one has changed nothing, moved the world",
    "facts:\n" + SHUT + 'guards:\n  tap_is_shut: {requires: {tap: shut}, because: "so"}\n',
    '  - {from: start, trigger: look, to: looked, guards: [tap_is_shut], because: "it is shut"}\n'
    '  - {from: looked, trigger: choose, to: chosen, by: operator, because: "a person says so"}\n'
    + OPEN.replace("from: start", "from: chosen")
    + FINISH % "opened",
    "looked",
    {"tap": "open"},
)


def test_a_run_does_not_go_on_by_what_it_saw_before_another_run_changed_it() -> None:
    """A run that waits and has changed nothing gives the lease back; what another one changed is read again."""
    rig = Rig(TWO_RUNS.spec, QUIET)
    (start,) = first_worlds(rig, random.Random(0), 1)  # noqa: S311  no secret
    waits = process(rig, start, "start", ()).left
    assert (waits.state.state, waits.state.lease_released) == ("looked", True)
    other = start
    for verb in ("start", "choose", "resume", "resume"):
        other = process(rig, other, verb, ()).left
    assert other.state.status == "complete"
    behind = evolve(waits, data=other.data, others=5)
    for verb in ("resume", "choose"):
        again = process(rig, behind, verb, ()).left
        assert (again.state.state, again.state.status) == ("looked", "held")
        assert "tap is open; the records say that it is shut" in again.state.reason
    unchanged = evolve(waits, others=5)
    assert process(rig, unchanged, "choose", ()).left.state.state == "chosen"


def test_facts_that_depend_on_each_other_in_a_circle_are_a_fault_of_the_declaration() -> None:
    """Which of two facts follows the other can't be told: the loader names both."""
    facts = "facts:\n  tap: {values: [a, b], depends: [pump]}\n  pump: {values: [a, b], depends: [tap]}\n"
    with pytest.raises(DeclarationFault) as refused:
        load_machine(HEAD % ("", facts, "tap: a, pump: a", "start", FINISH % "start"), source="circle.yaml")
    (fault,) = refused.value.faults
    assert {"tap", "pump"} <= set(fault.replace(",", " ").split())
