"""Makes every mutant of the declared machines, finds out what kills it, and writes the tables of that.

    make mutants-machines                               all of them: minutes the first time, and after each change
    python -m tests.mutants.machines failback           those of one machine; --processes 2: two at a time

What was found out is kept in build/mutants by the digest of the machine (and of the claims, where they matter), so that
a run that was stopped goes on where it was. The tables (machine_MACHINE.tsv) are committed: what killed a mutant last
time is tried first, and test_machine_table.py holds the digests against today's machines. Exits with 1 if a mutant
survives unexplained.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from tests.mutants.machine_changes import MACHINES, Mutant, declared, digest, keys, mutants
from tests.mutants.machine_equal import shown_equal
from tests.mutants.machine_reasons import explained
from tests.mutants.machine_rules import Witnesses
from tests.mutants.machine_search import BUILD, Verdict, judged, obstacles_of, proofs, searched_out, unproven
from tests.spec.table_claims import MODULES

HERE = Path(__file__).parent
CLAIMS = "".join(Path(str(module.__file__)).read_text(encoding="utf-8") for module in MODULES)

DIGEST = "digest"
LIVES = ("", "cut off")
NOT_JUDGED = "not judged"

Verdicts = dict[str, Verdict]  # by the mutant's key


def table(machine: str) -> tuple[str, Verdicts]:
    """Return the committed table of a machine: its digest, and what killed each of its mutants."""
    path = HERE / f"machine_{machine}.tsv"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    rows = [line.split("\t") for line in lines]
    return rows[0][2] if rows else "", {key: Verdict(by, which) for key, by, which in rows[1:]}


def known_so_far(machine: str) -> Verdicts:
    """Return what was found out of each mutant, and which are not judged yet."""
    known = _Kept(machine)
    return {key: known.verdicts.get(key, Verdict(NOT_JUDGED)) for key in keys(machine)}


def found_out(machine: str, processes: int) -> Verdicts:
    """Return what kills each mutant of a machine. The rules' mutants come last, since others are their witnesses."""
    proven, not_proven = proofs(machine), ", ".join(unproven(machine))
    _say(f"{machine}: {len(proven)} rules are proven; not proven: {not_proven or 'none'}")
    _say(f"{machine}: every run can end, except: {', '.join(sorted(obstacles_of(machine))) or 'none'}")
    known, before = _Kept(machine), table(machine)[1]
    made = list(mutants(machine))
    of_rules = [mutant for mutant in made if mutant.kind.startswith("rule ")]
    others = [mutant for mutant in made if mutant not in of_rules]
    last = {mutant.key: known.lived.get(mutant.key) or before.get(mutant.key, Verdict("")) for mutant in others}
    _mutants[:] = [(mutant, last[mutant.key], mutant.key in known.lived) for mutant in others]
    numbers = {mutant.key: number for number, mutant in enumerate(others)}
    _in_processes(known, _judged_by_number, numbers, processes)
    verdicts = _in_processes(known, _searched_by_number, numbers, processes)
    _witnesses[:] = [Witnesses(machine)]
    for mutant in others:
        _witnesses[0].add(mutant, verdicts[mutant.key])
    _mutants[:] = [(mutant, Verdict(""), False) for mutant in of_rules]
    return verdicts | _in_processes(
        known, _rule_judged_by_number, {mutant.key: n for n, mutant in enumerate(of_rules)}, processes
    )


_mutants: list[tuple[Mutant, Verdict, bool]] = []
"""What a forked process is to judge, by number: a mutant, its last verdict, and whether it lived in every search."""

_witnesses: list[Witnesses] = []


def _in_processes(
    known: "_Kept", judge: Callable[[int], tuple[str, Verdict | None]], numbers: Mapping[str, int], processes: int
) -> Verdicts:
    """Judge what is not known yet, side by side, and keep it."""
    todo = [number for key, number in numbers.items() if key not in known.verdicts]
    _say(f"{len(numbers)} mutants, of which {len(todo)} are to be judged")
    with ProcessPoolExecutor(processes, mp_context=get_context("fork")) as pool:
        for key, verdict in pool.map(judge, todo, chunksize=4):
            if verdict:
                known.keep(key, verdict)
    return {key: known.verdicts[key] for key in numbers if key in known.verdicts}


def _judged_by_number(number: int) -> tuple[str, Verdict | None]:
    """Judge a mutant without a search; None where only a search can tell."""
    mutant, last, lived = _mutants[number]
    verdict = Verdict("same", mutant.same) if mutant.same else judged(mutant)
    return mutant.key, verdict if verdict.by else last if lived else None


def _searched_by_number(number: int) -> tuple[str, Verdict]:
    mutant, last, _ = _mutants[number]
    equal = shown_equal(mutant)
    return mutant.key, equal if equal.by else searched_out(mutant, first=[last.which] if last.by == "rule" else [])


def _rule_judged_by_number(number: int) -> tuple[str, Verdict]:
    mutant = _mutants[number][0]
    return mutant.key, Verdict("same", mutant.same) if mutant.same else _witnesses[0].judged(mutant)


class _Kept:
    """The verdicts of one machine as it is today, in files that only grow.

    What a search found out stays true when the claims change; what a claim found out is asked again then, and so is
    what lived: a new claim may find it.
    """

    def __init__(self, machine: str) -> None:
        BUILD.mkdir(parents=True, exist_ok=True)
        stand = digest({"machine": declared(machine)})
        claims = digest({"machine": declared(machine), "claims": CLAIMS})
        self._lasting, self._of_claims = BUILD / f"{machine}-{stand}.jsonl", BUILD / f"{machine}-{claims}.jsonl"
        lasting = _lines_of(self._lasting)
        self.lived = {key: verdict for key, verdict in lasting.items() if verdict.by in LIVES}
        searched = {key: verdict for key, verdict in lasting.items() if verdict.by not in LIVES}
        self.verdicts: Verdicts = searched | _lines_of(self._of_claims)

    def keep(self, key: str, verdict: Verdict) -> None:
        """Write down a verdict: what lived through the searches, also for other claims."""
        paths = [self._of_claims] if verdict.by in (*LIVES, "claim", "witness", "covered") else [self._lasting]
        if verdict.by in LIVES and ": rule " not in key and key not in self.lived:
            paths.append(self._lasting)
        for path in paths:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([key, verdict.by, verdict.which]) + "\n")
        self.verdicts[key] = verdict


def _lines_of(path: Path) -> Verdicts:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {key: Verdict(by, which) for key, by, which in map(json.loads, lines)}


def figures(verdicts: Iterable[tuple[str, Verdict]]) -> str:
    """Return how many mutants were killed by what, in one line."""
    count = Counter(_by(key, verdict) for key, verdict in verdicts)
    return f"{sum(count.values())} mutants: " + ", ".join(f"{number} {by}" for by, number in count.most_common())


BY = (
    *("loader", "claim", "rule", "dead row", "stuck", "says nothing", "witness"),
    *("equal", "covered", "same", "explained", NOT_JUDGED),
)


def figures_table(verdicts_of: Mapping[str, Verdicts]) -> str:
    """Return how many mutants of each machine were killed by what, as a Markdown table for the docs."""
    head = ("machine", "mutants", *BY)
    lines = [head, tuple("-" * len(cell) for cell in head)]
    for machine in MACHINES:
        count = Counter(_by(key, verdict) for key, verdict in verdicts_of[machine].items())
        lines.append((machine, str(sum(count.values())), *(str(count[by]) for by in BY)))
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _by(key: str, verdict: Verdict) -> str:
    return "explained" if explained(key) else verdict.by or "SURVIVES"


def written(machines: Iterable[str], processes: int) -> int:
    """Find out what kills each mutant of these machines, and write the tables. Return how many survive unexplained.

    Without a process only what is known so far is written down.
    """
    left = 0
    for machine in machines:
        verdicts = found_out(machine, processes) if processes else known_so_far(machine)
        _say(f"{machine}: {figures(verdicts.items())}")
        rows = [(machine, DIGEST, digest(declared(machine)))]
        rows += [(key, verdict.by, verdict.which) for key, verdict in sorted(verdicts.items())]
        text = "".join("\t".join(row) + "\n" for row in rows)
        (HERE / f"machine_{machine}.tsv").write_text(text, encoding="utf-8")
        survivors = [key for key, verdict in verdicts.items() if verdict.by in LIVES and not explained(key)]
        for key in survivors:
            _say(f"  SURVIVES {key}")
        left += len(survivors)
    return left


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  what it is for


if __name__ == "__main__":
    command = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    command.add_argument("machines", nargs="*", default=MACHINES)
    command.add_argument("--processes", type=int, default=1, help="how many at a time; 0: write what is known so far")
    asked = command.parse_args()
    sys.exit(1 if written(asked.machines, asked.processes) else 0)
