"""Transcripts of any machine: stable names in the text, compared with the committed one, rewritten on demand."""

import subprocess
import sys
from pathlib import Path

import pytest

from drfsm.testing import assert_transcript, transcript_of
from drfsm.testing.transcripts import REWRITE
from tests.engine.machines import mill_bench

BENCH = mill_bench()
RECORDS = BENCH.begin().left.records
TEXT = transcript_of(RECORDS, BENCH.spec, BENCH.binding.judges, {"host": "<host>"})


def test_what_differs_from_run_to_run_has_a_stable_name() -> None:
    """Hashes are numbered, times tick, the version is no matter; the story and the verdict are there."""
    assert transcript_of(RECORDS, BENCH.spec, BENCH.binding.judges, {"host": "<host>"}) == TEXT
    assert TEXT.startswith("10:00:00 #0   run-1 starts in asked")
    assert "sha256 <sha256 1>, drfsm <version>" in TEXT
    assert "let_down: seen -> dammed (done" in TEXT
    assert "The evidence holds: " in TEXT
    assert BENCH.spec.sha256 not in TEXT


def test_a_text_that_is_no_replay_is_refused() -> None:
    """Without a record there is nothing to tell."""
    with pytest.raises(ValueError, match="no replay"):
        transcript_of((), BENCH.spec)


def test_a_difference_is_shown_and_how_to_accept_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another text fails with the diff; with the switch it is written, and then holds."""
    monkeypatch.delenv(REWRITE, raising=False)
    place = tmp_path / "transcripts" / "mill.txt"
    with pytest.raises(AssertionError, match="--rewrite-transcripts"):
        assert_transcript(place, TEXT)
    assert not place.exists()
    monkeypatch.setenv(REWRITE, "1")
    assert_transcript(place, TEXT)
    monkeypatch.delenv(REWRITE)
    assert_transcript(place, TEXT)
    place.write_text("10:00:00 #0   run-1 starts\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"-10:00:00 #0   run-1 starts\n(.|\n)*\+10:00:00 #0   run-2 starts"):
        assert_transcript(place, "10:00:00 #0   run-2 starts\n")


TEST = """
from drfsm.testing import illegal_pairs, crash_points
from tests.engine.machines import mill_bench
import pytest

BENCH = mill_bench()

@pytest.mark.parametrize("pair", illegal_pairs(BENCH.spec, BENCH.inputs, states=["still"])[:1])
def test_pair(pair):
    pair.assert_rejected()

@pytest.mark.parametrize("number", [1])
def test_other(number):
    assert number

def test_story(transcript):
    transcript("mill", BENCH.begin().left.records, BENCH.spec)
"""


def test_the_plugin_names_tests_and_has_the_switch(tmp_path: Path) -> None:
    """In a pytest of its own: ids of pairs, others left alone, the fixture, and ``--rewrite-transcripts``."""
    (tmp_path / "test_mill.py").write_text(TEST, encoding="utf-8")

    def told(*words: str) -> str:
        command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-p", "drfsm.testing.plugin"]
        ended = subprocess.run(
            [*command, "-c", "/dev/null", "--rootdir", str(tmp_path), str(tmp_path), *words],
            capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        return ended.stdout

    first = told()
    assert "test_pair[still-ask] PASSED" in first
    assert "test_other[1] PASSED" in first
    assert "test_story FAILED" in first
    assert "3 passed" in told("--rewrite-transcripts")
    assert (tmp_path / "transcripts" / "mill.txt").read_text(encoding="utf-8").startswith("10:00:00 #0 ")
    assert "3 passed" in told()
