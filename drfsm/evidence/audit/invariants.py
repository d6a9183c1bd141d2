"""The machine's ``never`` rules, held against the facts at every point of a run.

A rule is judged only where each of its facts is known and *current*: one that only the run's own rows can
change stays as it was last seen; one that the world may change by itself (``environment``, or what depends
on it) is current only in the record that read it. What an action may have changed and nobody read again is
not current. A rule says nothing of a run with other inputs than it names, and nothing any more once a row was begun or
taken that it excepts. Called by kinds.py.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from drfsm.evidence.audit.findings import Findings
from drfsm.journal.record_types import Reading
from drfsm.spec.model import MachineSpec, holds


class Invariants:
    """Follows the facts of one run."""

    def __init__(self, spec: MachineSpec, findings: Findings) -> None:
        self._spec, self._findings = spec, findings
        moved = {name for rule in spec.environment for name in rule.sets}
        self._steady = set(spec.facts) - spec.depending_on(moved)
        self.current: dict[str, str | None] = {}  # replaced, never changed in place
        self._broken: set[str] = set()
        self._rules = spec.never

    def begun(self, inputs: Mapping[str, Any]) -> None:
        """Leave the rules that speak of runs with these inputs."""
        chosen = {name: str(value) for name, value in inputs.items()}
        self._rules = tuple(rule for rule in self._spec.never if holds(rule.inputs, chosen))

    def taken(self, trigger: str) -> None:
        """Leave the rules that speak of runs in which such a row was begun or taken."""
        self._rules = tuple(rule for rule in self._rules if trigger not in rule.unless_taken)

    def read(self, facts: Mapping[str, Reading]) -> None:
        """Take in what a record read."""
        kept = {name: value for name, value in self.current.items() if name in self._steady}
        self.current = kept | {name: reading.value for name, reading in facts.items()}

    def changed(self, names: Iterable[str], *, but: Iterable[str] = ()) -> None:
        """Forget what an action changed or may have changed, except what was read again afterwards."""
        forgotten = self._spec.depending_on(set(names)) - set(but)
        self.current = {name: value for name, value in self.current.items() if name not in forgotten}

    @property
    def is_broken(self) -> bool:
        """Whether a rule is broken now."""
        return bool(self._broken)

    def forget(self) -> None:
        """Forget everything: time has passed unseen."""
        self.current = {}

    def hold(self, seq: int, state: str) -> None:
        """Find the rules that are broken now; one that stays broken is said once."""
        broken = {
            rule.name: rule.reason
            for rule in self._rules
            if (not rule.states or state in rule.states) and holds(rule.when, self.current)
        }
        for name in broken.keys() - self._broken:
            self._findings.add(seq, "never_rule_broken", f"{name} in {state}: {broken[name]}")
        self._broken = set(broken)
