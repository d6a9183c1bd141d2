"""What the fold says after every record of every story: the committed transcript tests/data/transcripts/fold.txt.

``DRFSM_REGENERATE=1 pytest tests/journal/test_fold_transcript.py`` writes it anew; explain the diff before you commit.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from drfsm.journal import fold
from drfsm.journal.record_types import KINDS
from drfsm.journal.replay import RunState, covers
from tests.journal.fold_stories import STORIES, records_of

TRANSCRIPT = Path(__file__).parents[1] / "data" / "transcripts" / "fold.txt"
COUNTED = ("length", "last_at")  # of every record, so they are asserted and not told


def plain(value: Any) -> Any:
    """Return a value as JSON; of objects only the fields that say something."""
    if attrs.has(type(value)):
        fields = {field.name: plain(getattr(value, field.name)) for field in attrs.fields(type(value))}
        return {name: said for name, said in fields.items() if said not in ("", None, [], {}, False)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    return [plain(item) for item in value] if isinstance(value, Sequence) and not isinstance(value, str) else value


def told_of(story: str) -> Iterator[str]:
    """Yield the lines of a story: each record, and each field of the state that it changed."""
    yield f"# {story}"
    state = RunState()
    for record in records_of(story):
        before, state = state, fold([record], state)
        assert (state.length, state.last_at) == (before.length + 1, record.at)
        yield f"{record.seq:2} {record.kind} {record.body.get('row') or record.body.get('trigger') or ''}".rstrip()
        for field in attrs.fields(RunState):
            now = getattr(state, field.name)
            if field.name not in COUNTED and now != getattr(before, field.name):
                yield f"     {field.name}: {json.dumps(plain(now), ensure_ascii=False)}"


@pytest.mark.parametrize("story", STORIES)
def test_each_record_changes_exactly_what_the_transcript_says(story: str) -> None:
    """Every field of the state, after every record: no more and no less."""
    if os.environ.get("DRFSM_REGENERATE"):
        TRANSCRIPT.write_text("\n\n".join("\n".join(told_of(name)) for name in STORIES) + "\n")
    told = {text.splitlines()[0]: text.splitlines() for text in TRANSCRIPT.read_text().split("\n\n")}
    assert list(told_of(story)) == told[f"# {story}"]


def test_the_transcript_tells_every_story_and_every_kind_of_record() -> None:
    """None is left out, and none is told that is gone."""
    text = TRANSCRIPT.read_text().splitlines()
    assert [line.removeprefix("# ") for line in text if line.startswith("# ")] == list(STORIES)
    assert {record.kind for story in STORIES for record in records_of(story)} == set(KINDS)


def test_before_the_first_record_nothing_is_known() -> None:
    """No run, no lease, nothing touched: every field is empty, and the status is none."""
    said = {field.name: plain(getattr(RunState(), field.name)) for field in attrs.fields(RunState)}
    assert {name: value for name, value in said.items() if value} == {"status": "none", "scope": "live"}
    assert [type(value) for value in said.values()].count(bool) == 6
    assert all(
        value == {} for name, value in said.items() if name in ("inputs", "receipt", "attempts", "facts", "args")
    )


@pytest.mark.parametrize(
    ("what", "changed"),
    [
        ({}, False),
        ({"touched": True}, True),
        ({"touched": True, "dry_run": True}, False),
        ({"touched": True, "status": "complete"}, True),
        ({"touched": True, "status": "aborted"}, False),
        ({"touched": True, "status": "aborted", "waived": True}, True),
        ({"touched": True, "status": "aborted", "not_excluded": ("a late write",)}, True),
    ],
)
def test_a_site_is_changed_unless_an_abort_undid_it_all(what: Mapping[str, Any], changed: bool) -> None:
    """Touched by a real run, and not given back, or not surely."""
    assert RunState(**what).changed_sites is changed


@pytest.mark.parametrize(
    ("observation", "snapshot", "covered"),
    [
        ({"a": 1, "later": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 1, "gone": 2}, False),
        ({"a": {"b": 1, "later": 2}}, {"a": {"b": 1}}, True),
        ({"a": {"b": 2}}, {"a": {"b": 1}}, False),
        ({"a": 1}, 1, False),
        (1, {"a": 1}, False),
        ({}, 1, False),
        (1, {}, False),
        (1, 1, True),
        (1, 2, False),
    ],
)
def test_an_observation_covers_a_snapshot_that_it_has_whole(observation: Any, snapshot: Any, covered: bool) -> None:
    """What appeared later does not matter; what is gone, or another, does."""
    assert covers(observation, snapshot) is covered
