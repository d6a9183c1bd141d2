"""A run's records as a trace: which spans there are, what is in them, and that a kill changes none of them."""

from collections.abc import Sequence
from typing import Any

import pytest

from drfsm.evidence.traces import Span, spans, trace_id
from drfsm.journal import Record
from tests.journal.fold_stories import STARTED, Step, commit, failed, held, intent

RESUMED: Step = ("resumed", {"operator": "bea", "host": "desk-2", "state": "a"})


def told(*steps: Step) -> list[Record]:
    """Return records of these steps, a second apart."""
    return [
        Record(seq=number, kind=kind, at=f"2026-02-27T03:00:{number:02d}.000000Z", body=body)
        for number, (kind, body) in enumerate(steps)
    ]


def ended(status: str = "complete", reason: str = "") -> Step:
    """Return an end."""
    return "ended", {"state": "z", "status": status, "reason": reason, "frozen": [], "ways": [], "kept": []}


def seconds(span: Span) -> tuple[int, int]:
    """Return when a span begins and ends, in seconds of the story."""
    return tuple(round(at / 1e9) % 60 for at in (span.begins, span.ends))  # type: ignore[return-value]


def shape(of: Sequence[Span]) -> list[tuple[str, tuple[int, int], list[str], str]]:
    """Return name, times, events and error of each span."""
    return [(span.name, seconds(span), [event.name for event in span.events], span.error) for span in of]


STORIES: dict[str, tuple[tuple[Step, ...], list[tuple[str, tuple[int, int], list[str], str]]]] = {
    "a row with two attempts, and the end": (
        (STARTED, intent("go", {}), failed("go", "not_done"), intent("go", {}, attempt=2), commit("go"), ended()),
        [
            ("go", (0, 4), ["attempt", "attempt failed", "attempt"], ""),
            ("drfsm m", (0, 5), [], ""),
        ],
    ),
    "a row, held, resumed by another person, done": (
        (STARTED, intent("go", {}), failed("go", "not_done"), held(), RESUMED, intent("go", {}), commit("go")),
        [
            ("go", (0, 3), ["attempt", "attempt failed"], "stuck"),
            ("held", (3, 4), ["held"], ""),
            ("go", (4, 6), ["attempt"], ""),
        ],
    ),
    "killed within a row: its span holds the time without a process": (
        (STARTED, intent("go", {}), RESUMED, commit("go", how="found")),
        [("go", (0, 3), ["attempt", "resumed"], "")],
    ),
    "held for an approval that the same process gets": (
        (STARTED, commit("look"), held(stage="approve"), commit("approve", by="operator"), ended("failed", "no site")),
        [
            ("look", (0, 1), [], ""),
            ("approve", (2, 3), ["held"], ""),
            ("drfsm m", (0, 4), [], "no site"),
        ],
    ),
    "a failure's row": (
        (
            STARTED, intent("go", {}), failed("go", "not_done"),
            commit("give_up", by="failure", args={"reason": "no answer"}), ended("aborted"),
        ),
        [
            ("give_up", (0, 3), ["attempt", "attempt failed"], "no answer"),
            ("drfsm m", (0, 4), [], "aborted"),
        ],
    ),
    "no start": ((commit("go"), ended()), []),
}  # fmt: skip


@pytest.mark.parametrize("name", STORIES)
def test_a_run_is_a_trace_a_row_a_span_an_attempt_an_event(name: str) -> None:
    """Spans in the order in which they ended; all of one trace, below the root."""
    steps, expected = STORIES[name]
    made = list(spans(told(*steps)))
    assert shape(made) == expected
    assert len({span.span_id for span in made}) == len(made)
    root = [span for span in made if not span.parent]
    assert [span.name for span in root] == [name for name, *_ in expected if name == "drfsm m"]
    assert {span.parent for span in made if span.parent} <= {span.span_id for span in root} or not root


def test_the_spans_of_a_run_that_is_not_over_are_those_of_the_whole_run_so_far() -> None:
    """Whoever exports early, or again after a kill, makes the same spans under the same ids."""
    for steps, _ in STORIES.values():
        records = told(*steps)
        whole = list(spans(records))
        for cut in range(len(records)):
            early = list(spans(records[:cut]))
            assert early == whole[: len(early)]
            assert all(span.closed_by < cut for span in early)


def test_the_trace_of_a_run_has_its_id_from_the_runs_and_another_run_another() -> None:
    """32 hex digits; the ids of its spans are the run's, too."""
    assert trace_id("run-1") == trace_id("run-1") != trace_id("run-2")
    assert len(trace_id("run-1")) == 32
    other = ("run_started", {**STARTED[1], "run_id": "other"})
    ids = [{span.span_id for span in spans(told(start, commit("go"), ended()))} for start in (STARTED, other)]
    assert not ids[0] & ids[1]


def test_what_a_row_says_is_in_its_span_and_no_argument_or_result_is() -> None:
    """Words of the table; not what was seen, typed or answered."""
    secret: Any = {"confirm1": "t0k3n"}
    (span,) = spans(told(STARTED, intent("go", {"fact": secret}), commit("go", args=secret, result=secret)))
    assert span.attributes == {
        "drfsm.run_id": "r", "drfsm.procedure": "m", "drfsm.from": "a", "drfsm.to": "b", "drfsm.by": "runner",
        "drfsm.how": "acted", "drfsm.because": "so", "drfsm.attempts": 1,
    }  # fmt: skip
    assert "t0k3n" not in str(span)


def test_hostile_words_are_bounded_and_plain_and_a_clock_that_goes_back_makes_no_negative_span() -> None:
    """A reason of a megabyte; a record that is earlier than the one before it; a time that is none."""
    records = told(STARTED, failed("go", "not_done", error="\x1b[2J" + "x" * 1_000_000), commit("go"))
    back = [records[0], records[1], Record(seq=2, kind="commit", at="1999-01-01T00:00:00Z", body=records[2].body)]
    for story in (records, back):
        (span,) = spans(story)
        assert span.ends >= span.begins
        (event,) = span.events
        assert len(str(event.attributes["error"])) < 2000
        assert "\x1b" not in str(event.attributes["error"])
