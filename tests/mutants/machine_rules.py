"""Whether a rule's faulty copy says less: it must miss a mutant that the whole rule finds.

A rule that is left out can be found by no search. It is missed where a mutant of the rows was killed by it: that mutant
is a *witness* of the rule. A weaker rule is killed by a witness that it no longer finds. Where it finds all of them,
what was left out is passed only together with what is still in it: the copy is as good as the rule ("covered").
Called by machines.py.
"""

from collections import defaultdict
from itertools import islice

from drfsm.spec import MachineSpec
from drfsm.spec.model import Rule
from tests.mutants.machine_changes import Mutant
from tests.mutants.machine_search import Proof, Verdict, proofs, read, searched, spec_of, touched

ENOUGH = 5  # witnesses that are tried of a rule
OF_A_WITNESS = 100_000  # moments that are searched for it
MOST = 60  # mutants that are searched for a first witness, of those that something else killed before

TELLING = (
    "guard gone",
    "guard off",
    "sets other",
    "undo kept",
    "targets exchanged",
)  # kinds that a rule is likely to find


class Witnesses:
    """The mutants of one machine's rows that each of its rules finds."""

    def __init__(self, machine: str) -> None:
        self._machine = machine
        self._of: dict[str, list[Mutant]] = defaultdict(list)
        self._others: list[Mutant] = []
        self._read: dict[str, MachineSpec | Verdict] = {}  # by the mutant's key

    def add(self, mutant: Mutant, verdict: Verdict) -> None:
        """Remember what a rule killed, and what it may kill, too."""
        if verdict.by == "rule":
            self._of[verdict.which].append(mutant)
        if verdict.by in ("rule", "claim") and mutant.kind in TELLING:
            self._others.append(mutant)
            self._others.sort(key=lambda mutant: TELLING.index(mutant.kind))

    def _all_of(self, name: str) -> list[Mutant]:
        """Return the mutants that a rule killed; if others came first everywhere, the first that it finds, too."""
        rule = next(rule for rule in spec_of(self._machine).never if rule.name == name)
        if not self._of[name]:
            proof = [proof for proof in proofs(self._machine) if proof.rule.name == name]
            may_be = (mutant for mutant in self._others if proof and self._touches(mutant, proof[0]))
            witnesses = (mutant for mutant in islice(may_be, MOST) if self._finds(rule, mutant))
            self._of[name] = list(islice(witnesses, ENOUGH))
        return self._of[name]

    def judged(self, mutant: Mutant) -> Verdict:
        """Return which witness a faulty rule misses; "covered" where it misses none, "" where there is no witness."""
        spec = read(mutant.words, mutant.machine)
        if isinstance(spec, Verdict):
            return spec
        rules = {rule.name: rule for rule in spec.never}
        name = mutant.name.split(":")[0]
        witnesses = self._all_of(name)
        if name not in rules or not witnesses:
            return Verdict("witness", witnesses[0].key) if witnesses else Verdict("")
        if self._says_nothing(rules[name]):
            return Verdict("says nothing", name)
        missed = (witness.key for witness in witnesses[:ENOUGH] if not self._finds(rules[name], witness))
        return next((Verdict("witness", key) for key in missed), Verdict("covered", name))

    def _says_nothing(self, rule: Rule) -> bool:
        return bool(rule.states) and not set(rule.states) & set(searched(spec_of(self._machine), rule).states)

    def _finds(self, rule: Rule, witness: Mutant) -> bool:
        spec = self._spec(witness)
        return not isinstance(spec, Verdict) and searched(spec, rule, OF_A_WITNESS).broken

    def _touches(self, mutant: Mutant, proof: Proof) -> bool:
        spec = self._spec(mutant)
        return not isinstance(spec, Verdict) and any(touched(self._machine, spec, [proof]))

    def _spec(self, mutant: Mutant) -> MachineSpec | Verdict:
        if mutant.key not in self._read:
            self._read[mutant.key] = read(mutant.words, mutant.machine)
        return self._read[mutant.key]
