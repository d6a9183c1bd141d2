"""The pytest plugin: names for parametrised pairs and crash points, and transcripts with a switch to rewrite them.

Loaded by its entry point in every pytest run of an environment that has drfsm: it imports nothing of drfsm before a
test asks for it.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

REWRITE = "DRFSM_REWRITE_TRANSCRIPTS"  # drfsm.testing.transcripts reads it


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch that rewrites committed transcripts."""
    group = parser.getgroup("drfsm", "tests of declared machines (drfsm.testing)")
    group.addoption(
        "--rewrite-transcripts",
        action="store_true",
        help="Write the transcripts of runs anew instead of comparing them; look at the diff.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Hand the switch on."""
    if config.getoption("--rewrite-transcripts"):
        os.environ[REWRITE] = "1"


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name a test after its pair or its crash point: ``test_killed_anywhere[007-after-the-action-promote]``."""
    pairs, crashes = (sys.modules.get(f"drfsm.testing.{name}") for name in ("pairs", "crashes"))
    ours = tuple(kind for kind in (getattr(pairs, "Pair", None), getattr(crashes, "CrashPoint", None)) if kind)
    return str(val) if ours and isinstance(val, ours) else None


@pytest.fixture
def transcript(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Return a function that holds a run's story against ``transcripts/<name>.txt`` beside the test.

    ``transcript(name, records, machine, judges, names)``: see drfsm.testing.transcript_of.
    """
    from drfsm.testing.transcripts import assert_transcript, transcript_of

    def held(
        name: str,
        records: Sequence[Any],
        machine: Any,
        judges: Mapping[str, Any] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        __tracebackhide__ = True
        place: Path = request.path.parent / "transcripts" / f"{name}.txt"
        assert_transcript(place, transcript_of(records, machine, judges, names))

    return held
