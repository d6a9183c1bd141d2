"""Tests for machines of your own, by pytest or by any other runner: the matrix of a team in ten lines.

    MACHINE = load_machine(Path("switchover.yaml").read_bytes(), source="switchover.yaml")

    def test_it_is_proven():
        assert_holds(MACHINE)

    @pytest.mark.parametrize("pair", illegal_pairs(MACHINE))
    def test_every_other_trigger_is_rejected(pair):
        pair.assert_rejected(BINDING, Databases())

    @pytest.mark.parametrize("point", crash_points(MACHINE, BINDING, Databases))
    def test_killed_anywhere_it_ends_the_same(point):
        point.assert_resumes()

The pytest plugin (plugin.py, loaded by its entry point) names these tests after the pair and the point, and has the
``transcript`` fixture with its switch ``--rewrite-transcripts``. Read in this order: ``fuse`` (a process that can die),
``world`` (a dictionary, and a binding for any machine), ``recorded`` (a world of your own behind a fuse), ``pairs``,
``play`` and ``crashes``, ``proof``, ``transcripts``. Nothing here imports pytest but the plugin.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drfsm.testing.crashes import CrashPoint, crash_points
    from drfsm.testing.fuse import Crash, DyingJournal, Fuse, MemoryClock
    from drfsm.testing.pairs import (
        Pair,
        assert_moves_as_declared,
        assert_rejects,
        illegal_pairs,
        illegal_triggers,
        runner_in,
        standing_in,
    )
    from drfsm.testing.play import Play, Played
    from drfsm.testing.proof import assert_holds
    from drfsm.testing.recorded import Recorded
    from drfsm.testing.transcripts import assert_transcript, transcript_of
    from drfsm.testing.world import World, binding_of, data_of, inputs_of, quiet

_HOMES = {
    "crashes": ("CrashPoint", "crash_points"),
    "fuse": ("Crash", "DyingJournal", "Fuse", "MemoryClock"),
    "pairs": ("Pair", "assert_moves_as_declared", "assert_rejects", "illegal_pairs", "illegal_triggers",
              "runner_in", "standing_in"),
    "play": ("Play", "Played"),
    "proof": ("assert_holds",),
    "recorded": ("Recorded",),
    "transcripts": ("assert_transcript", "transcript_of"),
    "world": ("World", "binding_of", "data_of", "inputs_of", "quiet"),
}  # fmt: skip
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["Crash", "CrashPoint", "DyingJournal", "Fuse", "MemoryClock", "Pair", "Play", "Played", "Recorded", "World",
           "assert_holds", "assert_moves_as_declared", "assert_rejects", "assert_transcript", "binding_of",
           "crash_points", "data_of", "illegal_pairs", "illegal_triggers", "inputs_of", "quiet", "runner_in",
           "standing_in", "transcript_of"]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"drfsm.testing.{_HOME[name]}"), name)
    raise AttributeError(f"module 'drfsm.testing' has no attribute {name!r}")
