"""Makes every mutant of the declared machines, finds out what kills it, and writes the tables of that.

    make mutants-machines                               all of them: minutes the first time, and after each change
    python -m tests.mutants.machines failback           those of one machine

What was found out is kept in build/mutants by the digest of machine and claims, so that a run that was stopped goes on
where it was. The tables (machine_MACHINE.tsv) are committed: what killed a mutant last time is tried first, and
test_machine_table.py holds the digests against today's machines. Exits with 1 if a mutant survives unexplained.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from tests.mutants.machine_changes import MACHINES, Mutant, declared, digest, mutants
from tests.mutants.machine_equal import shown_equal
from tests.mutants.machine_reasons import explained
from tests.mutants.machine_rules import Witnesses
from tests.mutants.machine_search import Verdict, judged, proofs, searched_out, unproven
from tests.spec.table_claims import MODULES

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build" / "mutants"
CLAIMS = "".join(Path(str(module.__file__)).read_text(encoding="utf-8") for module in MODULES)

DIGEST = "digest"

Verdicts = dict[str, Verdict]  # by the mutant's key


def table(machine: str) -> tuple[str, Verdicts]:
    """Return the committed table of a machine: its digest, and what killed each of its mutants."""
    path = HERE / f"machine_{machine}.tsv"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    rows = [line.split("\t") for line in lines]
    return rows[0][2] if rows else "", {key: Verdict(by, which) for key, by, which in rows[1:]}


def found_out(machine: str) -> Iterator[tuple[Mutant, Verdict]]:
    """Yield every mutant of a machine with what kills it; the rules' mutants last, since others are their witnesses."""
    known, before = _Kept(machine), table(machine)[1]
    made = list(mutants(machine))
    witnesses = Witnesses(machine)
    for mutant in made:
        if not mutant.kind.startswith("rule "):
            last = before.get(mutant.key)
            verdict = known.get(mutant) or known.keep(mutant, _judged(mutant, last))
            witnesses.add(mutant, verdict)
            yield mutant, verdict
    for mutant in made:
        if mutant.kind.startswith("rule "):
            same = Verdict("same", mutant.same) if mutant.same else None
            yield mutant, known.get(mutant) or known.keep(mutant, same or witnesses.judged(mutant))


def _judged(mutant: Mutant, last: Verdict | None) -> Verdict:
    if mutant.same:
        return Verdict("same", mutant.same)
    last_rule = last.which if last and last.by == "rule" else ""
    for ask in (judged, shown_equal, partial(searched_out, first=[last_rule])):
        verdict = ask(mutant)
        if verdict.by not in ("", "cut off"):
            return verdict
    return verdict


class _Kept:
    """The verdicts of one machine as it is today, in a file that only grows."""

    def __init__(self, machine: str) -> None:
        stand = digest({"machine": declared(machine), "claims": CLAIMS})
        self._path = BUILD / f"{machine}-{stand}.jsonl"
        BUILD.mkdir(parents=True, exist_ok=True)
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
        self._verdicts: Verdicts = {key: Verdict(by, which) for key, by, which in map(json.loads, lines)}

    def get(self, mutant: Mutant) -> Verdict | None:
        return self._verdicts.get(mutant.key)

    def keep(self, mutant: Mutant, verdict: Verdict) -> Verdict:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([mutant.key, verdict.by, verdict.which]) + "\n")
        return verdict


def figures(verdicts: Iterable[tuple[str, Verdict]]) -> str:
    """Return how many mutants were killed by what, in one line."""
    count = Counter(_by(key, verdict) for key, verdict in verdicts)
    return f"{sum(count.values())} mutants: " + ", ".join(f"{number} {by}" for by, number in count.most_common())


BY = ("loader", "claim", "rule", "dead row", "says nothing", "witness", "equal", "covered", "same", "explained")


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


def written(machines: Iterable[str]) -> int:
    """Find out what kills each mutant of these machines, and write the tables. Return how many survive unexplained."""
    left = 0
    for machine in machines:
        _say(
            f"{machine}: {len(proofs(machine))} rules are proven; not proven: {', '.join(unproven(machine)) or 'none'}"
        )
        verdicts: Verdicts = {}
        for mutant, verdict in found_out(machine):
            verdicts[mutant.key] = verdict
            if len(verdicts) % 50 == 0:
                _say(f"{machine}: {figures(verdicts.items())}")
        _say(f"{machine}: {figures(verdicts.items())}")
        rows = [(machine, DIGEST, digest(declared(machine)))]
        rows += [(key, verdict.by, verdict.which) for key, verdict in sorted(verdicts.items())]
        text = "".join("\t".join(row) + "\n" for row in rows)
        (HERE / f"machine_{machine}.tsv").write_text(text, encoding="utf-8")
        survivors = [key for key, verdict in verdicts.items() if verdict.by in ("", "cut off") and not explained(key)]
        for key in survivors:
            _say(f"  SURVIVES {key}")
        left += len(survivors)
    return left


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  what it is for


if __name__ == "__main__":
    sys.exit(1 if written(sys.argv[1:] or MACHINES) else 0)
