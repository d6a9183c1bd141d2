"""Runs the contenders of one piece of work in turn, several rounds, and says what came of it in medians and ratios.

Each contender is a process of its own that does the work, checks that it was done, and prints one line of JSON. They
take turns, so that a busy minute of the machine meets all of them; a ratio is the median of the rounds' own ratios. A
process that fails, or whose check fails, ends the bench: a time of work that was not done is none.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from attrs import frozen

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build"
WORK = BUILD / "bench"
Measured = Mapping[str, Any]


@frozen
class Contender:
    """Who does the work: a name, and what runs it in a round. ``run`` returns what it measured, by name."""

    name: str
    run: Callable[[int], Measured]


@frozen
class Figure:
    """What one contender needed: each round's figure, in the unit of the work."""

    name: str
    rounds: tuple[float, ...]

    @property
    def middle(self) -> float:
        """The median."""
        return median(self.rounds)

    @property
    def spread(self) -> str:
        """The least and the greatest."""
        return f"{shown(min(self.rounds))}-{shown(max(self.rounds))}"

    def times(self, other: "Figure") -> float:
        """Return how many times as much as another one this one needed: the median over the rounds."""
        return median(mine / theirs for mine, theirs in zip(self.rounds, other.rounds, strict=True))


@frozen
class Outcome:
    """One line of the report: a piece of work, its unit, the figures (drfsm's first), which of them is the floor."""

    work: str
    unit: str
    figures: tuple[Figure, ...]
    floor: str = ""
    target: str = ""
    note: str = ""

    def figure(self, name: str) -> Figure:
        """Return the figure of a contender."""
        return next(figure for figure in self.figures if figure.name == name)


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)  # noqa: T201  what a bench is for


def in_turn(contenders: Sequence[Contender], rounds: int) -> dict[str, tuple[Measured, ...]]:
    """Return what each contender measured in each round."""
    measured: dict[str, list[Measured]] = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        for contender in contenders:
            measured[contender.name].append(contender.run(number))
    return {name: tuple(told) for name, told in measured.items()}


def figures(measured: Mapping[str, Sequence[Measured]], key: str) -> tuple[Figure, ...]:
    """Return one figure of every contender that has it."""
    return tuple(
        Figure(name, tuple(float(told[key]) for told in rounds))
        for name, rounds in measured.items()
        if all(key in told for told in rounds)
    )


def process(
    command: Sequence[str | Path], *, seconds: float = 900, environ: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run a process that prints one line of JSON; return it, with its ``wall`` seconds. Raises where it fails."""
    began = time.monotonic()
    ended = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "", **(environ or {})},
    )  # fmt: skip
    wall = time.monotonic() - began
    if ended.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {ended.returncode}:\n{ended.stderr[-2000:]}")
    told = ended.stdout.strip().splitlines()
    return {"wall": wall, **(json.loads(told[-1]) if told and told[-1].startswith("{") else {})}


def own(module: str, *words: object) -> list[str | Path]:
    """Return the command that runs a module of the bench with drfsm's own interpreter."""
    return [sys.executable, "-m", module, *map(str, words)]


def folders(name: str) -> Iterator[Path]:
    """Yield fresh places for what contenders write; what was there before is removed."""
    shutil.rmtree(WORK / name, ignore_errors=True)
    (WORK / name).mkdir(parents=True)
    number = 0
    while True:
        number += 1
        yield WORK / name / str(number)


def shown(number: float) -> str:
    """Return a number with three digits that count."""
    if number >= 100:
        return f"{number:.0f}"
    return f"{number:.1f}" if number >= 10 else f"{number:.2f}" if number >= 1 else f"{number:.3f}"
