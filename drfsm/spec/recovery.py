"""The recovery table: what to do about an action that was interrupted before its end was recorded.

The action's intent is on record, its commit is not. So the facts that it changes are read again (the probe), and the
table gives the next action.

      open intent   effect             probe sees        -> do
    A   no            any                any                 start
    B   yes           none               any                 start
    C   yes           idempotent, once   done                commit
    D   yes           idempotent         not_done, mixed     redo
    E   yes           once               not_done, mixed     hold
    F   yes           idempotent, once   unknown             hold

A: nothing was begun. B: whatever it did, it changed nothing. C: it was done and the crash came before the
commit. D: doing it again ends the same. E: doing it again might do it twice. F: its effect can't be seen.
Every combination matches exactly one row (tests/spec/test_recovery.py tries them all).
"""

from collections.abc import Mapping
from enum import StrEnum

from attrs import frozen

from drfsm.spec.model import Effect


class Probe(StrEnum):
    """The facts that a row sets, read again."""

    DONE = "done"  # as the row sets them
    NOT_DONE = "not_done"  # as before the action
    MIXED = "mixed"  # neither: half done, or changed by somebody else
    UNKNOWN = "unknown"  # one of them can't be read


class RecoveryAction(StrEnum):
    """What the next attempt does: the row, only its commit, the action again, or nothing (an operator decides)."""

    START = "start"
    COMMIT = "commit"
    REDO = "redo"
    HOLD = "hold"


@frozen
class RecoveryCase:
    """One lettered row of the table."""

    letter: str
    open_intent: bool
    effects: tuple[Effect, ...]
    probes: tuple[Probe, ...]
    do: RecoveryAction
    reason: str


_ANY_EFFECT, _ANY_PROBE = tuple(Effect), tuple(Probe)
_CHANGES = (Effect.IDEMPOTENT, Effect.ONCE)
_UNDONE = (Probe.NOT_DONE, Probe.MIXED)

OPEN, NOT_OPEN = True, False

START, COMMIT, REDO, HOLD = RecoveryAction

CASES = (
    RecoveryCase("A", NOT_OPEN, _ANY_EFFECT, _ANY_PROBE, START, "nothing was begun"),
    RecoveryCase("B", OPEN, (Effect.NONE,), _ANY_PROBE, START, "it changes nothing, so it is done again"),
    RecoveryCase("C", OPEN, _CHANGES, (Probe.DONE,), COMMIT, "it was done; only its commit is missing"),
    RecoveryCase("D", OPEN, (Effect.IDEMPOTENT,), _UNDONE, REDO, "doing it again ends the same"),
    RecoveryCase("E", OPEN, (Effect.ONCE,), _UNDONE, HOLD, "doing it again might do it twice: a person decides"),
    RecoveryCase("F", OPEN, _CHANGES, (Probe.UNKNOWN,), HOLD, "what it did can't be seen: a person decides"),
)


def decide(*, open_intent: bool, effect: Effect, probe: Probe) -> RecoveryCase:
    """Return the one case that matches."""
    (case,) = (
        case for case in CASES if case.open_intent == open_intent and effect in case.effects and probe in case.probes
    )
    return case


def probe(expected: Mapping[str, str], now: Mapping[str, str | None], before: Mapping[str, str | None]) -> Probe:
    """Judge the facts read again: as the row sets them, as before, neither, or unknown."""
    if any(now.get(name) is None for name in expected):
        return Probe.UNKNOWN
    if all(now[name] == value for name, value in expected.items()):
        return Probe.DONE
    if all(name in before and now[name] == before[name] for name in expected):
        return Probe.NOT_DONE
    return Probe.MIXED
