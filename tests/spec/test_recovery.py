"""The recovery table: every combination matches exactly one lettered row, and does what the row says."""

from itertools import product

import pytest

from drfsm.spec import Effect
from drfsm.spec.recovery import CASES, Probe, RecoveryAction, decide, probe

ALL = list(product((True, False), Effect, Probe))
TABLE = {
    # open, effect, probe -> letter
    **{(False, effect, seen): "A" for effect in Effect for seen in Probe},
    **{(True, Effect.NONE, seen): "B" for seen in Probe},
    (True, Effect.IDEMPOTENT, Probe.DONE): "C",
    (True, Effect.ONCE, Probe.DONE): "C",
    (True, Effect.IDEMPOTENT, Probe.NOT_DONE): "D",
    (True, Effect.IDEMPOTENT, Probe.MIXED): "D",
    (True, Effect.ONCE, Probe.NOT_DONE): "E",
    (True, Effect.ONCE, Probe.MIXED): "E",
    (True, Effect.IDEMPOTENT, Probe.UNKNOWN): "F",
    (True, Effect.ONCE, Probe.UNKNOWN): "F",
}
DOES = {
    "A": RecoveryAction.START,
    "B": RecoveryAction.START,
    "C": RecoveryAction.COMMIT,
    "D": RecoveryAction.REDO,
    "E": RecoveryAction.HOLD,
    "F": RecoveryAction.HOLD,
}


@pytest.mark.parametrize(("begun", "effect", "seen"), ALL)
def test_every_combination_matches_exactly_one_row(begun: bool, effect: Effect, seen: Probe) -> None:
    """The one that matches is the one that the design's table says, and no other."""
    matching = [case for case in CASES if case.open_intent == begun and effect in case.effects and seen in case.probes]
    assert [case.letter for case in matching] == [TABLE[begun, effect, seen]]
    case = decide(open_intent=begun, effect=effect, probe=seen)
    assert (case.letter, case.do) == (matching[0].letter, DOES[matching[0].letter])


def test_what_may_be_done_once_is_never_redone() -> None:
    """No combination redoes or starts an action of effect once whose intent is open."""
    assert all(
        decide(open_intent=True, effect=Effect.ONCE, probe=seen).do in (RecoveryAction.COMMIT, RecoveryAction.HOLD)
        for seen in Probe
    )


@pytest.mark.parametrize(
    ("now", "before", "expected"),
    [
        ({"a": "on", "b": "on"}, {"a": "off", "b": "off"}, Probe.DONE),
        ({"a": "off", "b": "off"}, {"a": "off", "b": "off"}, Probe.NOT_DONE),
        ({"a": "on", "b": "off"}, {"a": "off", "b": "off"}, Probe.MIXED),
        ({"a": "half", "b": "off"}, {"a": "off", "b": "off"}, Probe.MIXED),
        ({"a": None, "b": "on"}, {"a": "off", "b": "off"}, Probe.UNKNOWN),
        ({"a": "off", "b": "off"}, {"a": None, "b": "off"}, Probe.MIXED),
        ({"a": "off", "b": "off"}, {}, Probe.MIXED),
        ({"a": "on", "b": "on"}, {"a": "on", "b": "on"}, Probe.DONE),
    ],
)
def test_a_probe_tells_done_not_done_and_what_lies_between(
    now: dict[str, str | None], before: dict[str, str | None], expected: Probe
) -> None:
    """All as wanted, all as before, neither, or not to be told; done wins where before was as wanted."""
    assert probe({"a": "on", "b": "on"}, now, before) is expected
