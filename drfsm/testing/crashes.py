"""A run killed everywhere: before and after each record, each action and each request to the world, then continued.

``crash_points`` plays the run once and returns a point for each place; a point kills a fresh run there. Facts are what
two ends are compared by, since they are what the machine promises; of the in-memory ``World`` every key is, too.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from attrs import field, frozen

from drfsm.engine import Binding
from drfsm.evidence.audit import audit
from drfsm.spec import MachineSpec
from drfsm.testing.play import Decision, Play, Played
from drfsm.testing.world import World, inputs_of


@frozen
class CrashPoint:
    """One place at which a run is killed."""

    number: int
    words: str  # before or after what
    play: Play = field(repr=False)

    def __str__(self) -> str:
        return f"{self.number:03d}-{re.sub(r'[^a-zA-Z0-9_.]+', '-', self.words).strip('-')}"

    def killed(self) -> Played:
        """Return what a run leaves that is killed here."""
        return self.play.killed_at(self.number)

    def assert_resumes(self) -> None:
        """Assert that a run killed here and resumed ends as an undisturbed one, with a journal that the audit holds."""
        __tracebackhide__ = True
        self._ends_undisturbed(self._ended(self.killed()))

    def assert_aborts(self) -> None:
        """Assert that a run killed here and aborted gives back what its rows undo, and keeps what they declare.

        Where an abort is not legal any more, or not yet, the run must end as an undisturbed one.
        """
        __tracebackhide__ = True
        left = self.killed()
        if not left.records:
            return self._ends_undisturbed(self._ended(left))
        aborted = self.play.process(left, lambda runner: runner.abort("a test"))
        end = aborted if aborted.over else self._ended(aborted)
        if end.state.status != "aborted":
            return self._ends_undisturbed(end)
        self._audited(end)
        now, at_first = self.play.values(end), self.play.values_at_first
        left_over = {name: (at_first[name], now[name]) for name in self._undone(end) if now[name] != at_first[name]}
        assert not left_over, f"{self}: the abort did not give back {_in_words(left_over)}"
        return None

    def _ended(self, left: Played) -> Played:
        """Go on to the end. Raises AssertionError, with this point's name, where there is none."""
        __tracebackhide__ = True
        try:
            return self.play.to_the_end(left)
        except AssertionError as fault:
            raise AssertionError(f"{self}: {fault}") from None

    def _undone(self, end: Played) -> set[str]:
        """Return the facts that must be as at first after an abort: those that only rows with an undo have set."""
        rows = [row for row in self.play.machine.rows if row.sets]
        kept = {name for row in rows if row.key in end.state.snapshots and not row.undo for name in row.sets}
        return {name for row in rows if row.undo for name in row.sets} - self.play.machine.depending_on(kept)

    def _ends_undisturbed(self, end: Played) -> None:
        __tracebackhide__ = True
        self._audited(end)
        wanted, got = self.play.undisturbed, end
        stands = (got.state.status, got.state.state)
        due = (wanted.state.status, wanted.state.state)
        assert stands == due, f"{self}: ended {stands}, undisturbed {due}"
        values, others = self.play.values_in_the_end, self.play.values(got)
        differing = {name: (values[name], others[name]) for name in values if values[name] != others[name]}
        assert not differing, f"{self}: the world differs from that of an undisturbed run: {_in_words(differing)}"
        if isinstance(got.world, World):
            assert got.world.data == wanted.world.data, f"{self}: {got.world.data} != {wanted.world.data}"

    def _audited(self, end: Played) -> None:
        __tracebackhide__ = True
        verdict = audit(self.play.log_of(end), self.play.machine, judges=self.play.binding.judges)
        assert verdict.ok, f"{self}: the audit of its journal:\n" + "\n".join(verdict.lines())


def _in_words(values: Mapping[str, tuple[str | None, str | None]]) -> str:
    return ", ".join(f"{name}: {due} became {got}" for name, (due, got) in values.items())


def crash_points(
    machine: MachineSpec,
    binding: Binding,
    make_world: Callable[[], Any],
    *,
    inputs: Mapping[str, Any] | None = None,
    decisions: Mapping[str, Decision] | None = None,
    by_hand: Callable[[Any, str], str] | None = None,
    record_calls: bool = True,
) -> list[CrashPoint]:
    """Return each place at which a run can be killed: see ``Play`` for what the arguments mean.

    Raises AssertionError where the run that nobody kills does not end.
    """
    run_inputs = inputs_of(machine) if inputs is None else inputs
    play = Play(machine, binding, make_world, run_inputs, decisions or {}, by_hand, record_calls)
    return [CrashPoint(number, words, play) for number, words in enumerate(play.undisturbed.points)]
