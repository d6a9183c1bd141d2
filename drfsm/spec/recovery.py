"""What to do about an action that was killed, or cut off in another way, before its end was recorded: a table.

The action's intent is on record, its commit is not. So the facts that it changes are read again (the probe), and the
table says what follows.

      open intent   effect             probe sees        -> do
    A   no            any                any                 start
    B   yes           none               any                 start
    C   yes           idempotent, once   done                commit
    D   yes           idempotent         not_done, mixed     redo
    E   yes           once               not_done, mixed     hold
    F   yes           idempotent, once   unknown             hold

A: nothing was begun. B: whatever it did, it changed nothing. C: it was done and the crash came before the
commit. D: doing it again ends the same. E: doing it again might do it twice. F: nobody can see what is.
Every combination matches exactly one row (tests/spec/test_recovery.py tries them all).
"""

from collections.abc import Mapping
from enum import StrEnum

from attrs import frozen

from drfsm.spec.model import Effect


class Probe(StrEnum):
    """What the facts that a row sets say, read again."""

    DONE = "done"  # as the row sets them
    NOT_DONE = "not_done"  # as before the action
    MIXED = "mixed"  # neither: half done, or changed by somebody else
    UNKNOWN = "unknown"  # one of them can't be read


class RecoveryAction(StrEnum):
    """What the next attempt does: the whole row, its commit only, the action again, or nothing (a person decides)."""

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
        each for each in CASES if each.open_intent == open_intent and effect in each.effects and probe in each.probes
    )
    return case


def probe(wanted: Mapping[str, str], now: Mapping[str, str | None], before: Mapping[str, str | None]) -> Probe:
    """Say what facts read again mean: as wanted, as before, neither, or not to be told."""
    if any(now.get(name) is None for name in wanted):
        return Probe.UNKNOWN
    if all(now[name] == value for name, value in wanted.items()):
        return Probe.DONE
    if all(name in before and now[name] == before[name] for name in wanted):
        return Probe.NOT_DONE
    return Probe.MIXED
