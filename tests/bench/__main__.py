"""drfsm beside its peers, in one run: ``python -m tests.bench [--quick] [PART ...]``.

The whole writes docs/performance.md; a part, or the quick bench, build/performance.md. Ratios, not promises: the
machine is named, and it was busy with other things.
"""

import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench import environment
from tests.bench.contest import BUILD, ROOT, Outcome, say, shown
from tests.bench.parts import PARTS, QUICK, SLOW, WHOLE, Size

HEAD = """\
# Performance

How long drfsm takes beside others that do the same work, and beside the floor: what the machine itself needs for the
least that must be done. `make bench` runs all of it in turns, in one run, checks after each that the work was really
done, and writes this page; `make bench QUICK=1` ends in two minutes. Ratios are medians over the rounds: a figure of
another machine, or of a busier minute, says nothing here.

"Times drfsm" is how many times as much as drfsm somebody needs: above 1, drfsm is quicker.

Measured on {machine}; at most {rounds} rounds. Peers: {peers}.
"""


def machine() -> str:
    """Return what kind of machine this is."""
    cores = Path("/proc/cpuinfo").read_text().count("processor\t:") if Path("/proc/cpuinfo").exists() else 0
    return f"{platform.system()} ({platform.machine()}, {cores} cores, shared), Python {platform.python_version()}"


def told(outcome: Outcome) -> Iterator[str]:
    """Yield the lines of one piece of work: a table, drfsm first, the floor last."""
    yield f"### {outcome.work[0].upper()}{outcome.work[1:]}"
    yield ""
    mine = outcome.figures[0]
    floor = outcome.figure(outcome.floor) if outcome.floor else None
    if floor is None:
        yield from (f"| what | {outcome.unit}, median | least-most |", "|---|---|---|")
        yield from (f"| {figure.name} | {shown(figure.middle)} | {figure.spread} |" for figure in outcome.figures)
        yield from ("", *_words(outcome))
        return
    yield f"| who | {outcome.unit}, median | least-most | times the floor | times drfsm |"
    yield "|---|---|---|---|---|"
    for figure in sorted(outcome.figures, key=lambda each: each.name == outcome.floor):
        others = shown(figure.times(mine)) if figure is not mine else ""
        middle, over = shown(figure.middle), shown(figure.times(floor))
        yield f"| {figure.name} | {middle} | {figure.spread} | {over} | {others} |"
    yield from ("", *_words(outcome))


def _words(outcome: Outcome) -> Iterator[str]:
    if outcome.note:
        yield from (outcome.note, "")
    if outcome.target:
        yield f"Target: {outcome.target}."


def main(words: Sequence[str]) -> int:
    """Measure and write."""
    quick = "--quick" in words
    names = [word for word in words if not word.startswith("--")] or list(PARTS)
    size: Size = QUICK if quick else WHOLE
    whole = not quick and names == list(PARTS)
    page: list[str] = []
    for name in (name for name in names if not quick or name not in SLOW):
        page += [f"## {name.capitalize()}", ""]
        for outcome in PARTS[name](size):
            lines = [*told(outcome), ""]
            say("\n".join(lines))
            page += lines
    peers = ", ".join(environment.versions())
    place = ROOT / "docs" / "performance.md" if whole else BUILD / "performance.md"
    head = HEAD.format(machine=machine(), rounds=size.rounds, peers=peers)
    place.write_text("\n".join([head, *page]).rstrip() + "\n", encoding="utf-8")
    say(f"written to {place.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
