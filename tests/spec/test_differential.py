"""Whatever the real Runner reaches, the checker finds: random small machines, explored in memory, against the search.

Each machine is drawn from a seed (random_machines.py) and explored with the real Runner (explored.py). Two claims:
every pair of a state and of fact values that it reached is among those that the search finds when it follows all facts;
and a rule that forbids some of the facts of such a moment does not hold, however few facts and states the check then
looks at. A miss is printed with the seed, the declaration and the story.

DRFSM_DIFFERENTIAL_SECONDS=3600 goes on with further seeds for that long, in each of the blocks that run at once, and
makes the machine of a miss smaller; DRFSM_DIFFERENTIAL_FROM=100000 begins with another seed; with
DRFSM_DIFFERENTIAL_COUNTS=FILE each block adds a line to a file.
"""

import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import product
from pathlib import Path

import pytest
from attrs import define, evolve

from drfsm.spec import MachineSpec, load_machine
from drfsm.spec.check import check, reachable
from drfsm.spec.model import Rule
from tests.spec.explored import Explored, explore
from tests.spec.random_machines import Drawn, Parts, draw
from tests.spec.reduced import reduced
from tests.spec.shaken_world import Dangers, Moment

BLOCKS = 4  # that may run at once
MACHINES = 5  # a block, where no time is given
PROCESSES = 130  # a machine
MOMENTS = 200_000  # of a search that follows all facts; a machine with more is left out, and counted
RULES = 6  # a machine: rules that forbid something of what was reached
SLICED = 20  # machines of which rules are searched with few facts and with all
SECONDS = float(os.environ.get("DRFSM_DIFFERENTIAL_SECONDS", "0"))
FROM = int(os.environ.get("DRFSM_DIFFERENTIAL_FROM", "0"))
COUNTS = os.environ.get("DRFSM_DIFFERENTIAL_COUNTS", "")  # a file that gets a line for each block
MOST_MISSES = 5  # that a block collects before it stops
DEEPER = 4  # times as many processes where time is given
PARTS = Parts()
DANGERS = Dangers()


def forbidding(spec: MachineSpec, moment: Moment, facts: Iterable[str]) -> MachineSpec:
    """Return the machine with one rule: that some facts never have the values that they had at a moment."""
    values = dict(zip(spec.facts, moment[1], strict=True))
    rule = Rule(name="reached", when={name: (values[name],) for name in facts}, states=(moment[0],), reason="seen")
    return evolve(spec, never=(rule,))


@define
class Count:
    """What a block compared."""

    machines: int = 0
    processes: int = 0
    moments: int = 0  # that the Runner reached
    too_large: int = 0  # machines that have too many moments to be searched
    exhausted: int = 0  # machines of which everything within the bounds was tried

    def add(self, explored: Explored) -> None:
        """Count one machine."""
        self.machines += 1
        self.processes += explored.processes
        self.moments += len(explored.reached)
        self.exhausted += explored.exhausted


Question = Callable[..., tuple[str, ...]]
"""The story of a moment of a machine (explored by a seed) that the checker is wrong about; () where there is none."""


def run_on(spec: MachineSpec, seed: int) -> Explored:
    """Explore one machine."""
    return explore(spec, seed, dangers=DANGERS, processes=PROCESSES * (DEEPER if SECONDS else 1))


def missed(spec: MachineSpec, seed: int, explored: Explored | None = None) -> tuple[str, ...]:
    """Return the shortest story of what was reached and not found."""
    reached = (explored or run_on(spec, seed)).reached
    misses = reached.keys() - (reachable(spec, MOMENTS) or reached.keys())
    return min((reached[moment] for moment in misses), key=len, default=())


def held_wrongly(spec: MachineSpec, seed: int, explored: Explored | None = None) -> tuple[str, ...]:
    """Return the story by which a rule was broken that the check says holds."""
    reached, pick = (explored or run_on(spec, seed)).reached, random.Random(seed)  # noqa: S311  a sample, no secret
    for moment in pick.sample(list(reached), min(RULES, len(reached))):
        facts = sorted(pick.sample(list(spec.facts), pick.randint(1, len(spec.facts))))
        report = check(forbidding(spec, moment, facts), limit=MOMENTS)
        if not (report.findings or report.unproven):
            return (*reached[moment], f"and a rule over {', '.join(facts)} is said to hold")
    return ()


def told(drawn: Drawn, question: Question, story: tuple[str, ...]) -> str:
    """Return a miss in words; in its smallest machine, too, where time is given."""
    words = [f"seed {drawn.seed}, {question.__name__}:", drawn.text, *story]
    if SECONDS:
        text = reduced(drawn.words, lambda spec: bool(question(spec, drawn.seed)))
        words += ["made smaller:", text, *question(load_machine(text), drawn.seed)]
    return "\n".join(words)


def seeds(block: int) -> Iterator[int]:
    """Yield the seeds of a block: a few, or as many as there is time for."""
    until = time.monotonic() + SECONDS
    number = FROM + block
    while time.monotonic() < until or number < FROM + block + MACHINES * BLOCKS:
        yield number
        number += BLOCKS


def comparing(question: Question, numbers: Iterable[int]) -> tuple[Count, list[str]]:
    """Draw and explore the machines of some seeds; return what was compared, and the misses in words."""
    count, misses = Count(), list[str]()
    for seed in numbers:
        drawn = draw(seed, PARTS)
        if reachable(drawn.spec, MOMENTS) is None:
            count.too_large += 1
            continue
        explored = run_on(drawn.spec, seed)
        count.add(explored)
        if story := question(drawn.spec, seed, explored):
            misses.append(told(drawn, question, story))
        if len(misses) >= MOST_MISSES:
            break
    if COUNTS:
        with Path(COUNTS).open("a") as file:
            file.write(f"{question.__name__}: {count}, {len(misses)} misses\n")
    return count, misses


@pytest.mark.long
@pytest.mark.timeout(600 + 2 * SECONDS)
@pytest.mark.parametrize("block", range(BLOCKS))
def test_the_checker_finds_all_that_the_runner_reaches(block: int) -> None:
    """No run of any machine reaches a state with fact values that the search does not find."""
    count, misses = comparing(missed, seeds(block))
    assert not misses, "\n\n".join(misses)
    assert count.moments > 4 * count.machines
    assert count.too_large * 5 <= count.machines


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_rule_that_a_run_breaks_is_not_said_to_hold() -> None:
    """However few facts and states the check looks at for a rule, it finds what the Runner really reached."""
    _, misses = comparing(held_wrongly, range(FROM, FROM + MACHINES))
    assert not misses, "\n\n".join(misses)


def is_broken(moments: Iterable[Moment], state: str, wanted: Mapping[int, str]) -> bool:
    """Whether one of these moments is in a state, with the wanted values of facts (by their place)."""
    return any(at == state and all(values[place] == word for place, word in wanted.items()) for at, values in moments)


def test_a_rule_that_is_searched_with_few_facts_is_judged_as_with_all() -> None:
    """What the search over all facts reaches is never said to hold; seldom is broken what that one does not reach."""
    asked = invented = 0
    for seed in range(FROM, FROM + SLICED):
        spec, pick = draw(seed, PARTS).spec, random.Random(seed)  # noqa: S311  a sample, no secret
        moments = reachable(spec, MOMENTS) or set()
        every = [
            (state, values) for state in spec.states for values in product(*(f.values for f in spec.facts.values()))
        ]
        for state, values in pick.sample(every, min(RULES, len(every))):
            places = pick.sample(range(len(values)), pick.randint(1, len(values)))
            rule = forbidding(spec, (state, values), [list(spec.facts)[place] for place in places])
            report = check(rule, limit=MOMENTS)
            if not moments or report.unproven:
                continue
            broken = is_broken(moments, state, {place: values[place] for place in places})
            assert report.findings or not broken, f"seed {seed}: {rule.never[0]} is said to hold"
            asked, invented = asked + 1, invented + bool(report.findings and not broken)
    assert asked > 2 * SLICED
    assert invented * 100 <= asked


def test_a_seed_draws_the_same_machine_and_explores_it_alike() -> None:
    """A failure can be looked at again: machine, moments and stories follow from the seed alone."""
    one, other = draw(7), draw(7)
    assert one.text == other.text
    first, second = (explore(drawn.spec, 7, dangers=Dangers(), processes=60) for drawn in (one, other))
    assert first == second


USES = {
    "unless": '"unless"',
    "mixed": '"mixed"',
    "amends": '"amends"',
    "depends": '"depends"',
    "lands_late": '"lands_late"',
    "point of no return": '"point_of_no_return"',
    "once": '"once"',
    "wait": '"wait"',
    "undo": '"undo"',
    "kept": '"not_undone_because"',
    "failure": '"failure"',
    "overrides": '"overrides_open_intent"',
    "rounds": '"rounds"',
    "hidden": '"hidden"',
    "attempts": '"attempts"',
    "environment in some states": '"sets": {"door"',
    "when": '"when": {"way"',
    "a waiver": '"waive"',
    "watched": '"watched"',
    "compares": '"compares"',
    "settled_when": '"settled_when"',
    "reads": '"reads"',
    "partial": '"partial"',
}


def test_the_machines_use_all_of_the_language() -> None:
    """Among some machines each part of a declaration is used; none of them was written by hand."""
    texts = "\n".join(draw(seed).text for seed in range(60))
    assert not [name for name, words in USES.items() if words not in texts]


def test_a_miss_is_made_smaller() -> None:
    """Of a machine all is taken away without which the miss is there, too; what is left loads."""

    def lands_at_the_end(spec: MachineSpec) -> bool:
        return any(row.lands_late and (row.source, row.to) == ("s0", "done") for row in spec.rows)

    drawn = next(drawn for drawn in map(draw, range(200)) if lands_at_the_end(drawn.spec))
    text = reduced(drawn.words, lands_at_the_end)
    spec = load_machine(text)
    assert len(text) < len(drawn.text)
    assert (len(spec.rows), len(spec.facts), spec.environment, dict(spec.guards)) == (1, 1, (), {})
