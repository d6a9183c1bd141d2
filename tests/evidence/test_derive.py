"""A receipt's field without a value says which of two it is: unknown, or none. Pointers stand with their run's site."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from drfsm.evidence.derive import derive, faults
from drfsm.journal.record_types import Commit

if TYPE_CHECKING:
    from tests.evidence.conftest import Play

Make = Callable[..., "Play"]


def field(run: "Play", said: str, **inputs: str) -> Any:
    """Return what an expression is of a run, whose inputs may be other ones."""
    state = evolve(run.state, inputs={**run.state.inputs, **inputs})
    return derive({"it": said}, state, run.written)["it"]


def under_way(play: Make) -> "Play":
    """Return a run that waits for its wheel."""
    return play(wheel=["turning"]).start()


def complete(play: Make) -> "Play":
    """Return a run that ended well, and had its sacks counted."""
    return play(given={"sacks": "asked"}).start()


def dry(play: Make) -> "Play":
    """Return a dry run."""
    return play().start(dry_run=True)


WITHOUT: dict[str, tuple[Callable[[Make], "Play"], str, dict[str, str]]] = {
    "it may still come": (
        under_way, "commit_at hand_over", {"unknown": "hand_over has not been reached"},
    ),
    "one of two may still come": (
        under_way, "commit_at hand_over | because finish",
        {"unknown": "hand_over has not been reached; finish has not been reached"},
    ),
    "the run ended without it": (
        complete, "commit_at abort | args abort reason", {"none": "the run ended complete without abort"},
    ),
    "a dry run does nothing": (
        dry, "intent_at hand_over", {"none": "this was a dry run: hand_over was not done"},
    ),
    "the inputs exclude it, long before the end": (
        under_way, "result count_sacks sacks | none sacks none", {"none": "this run has none: its input sacks is none"},
    ),
    "an input that is empty excludes it": (
        under_way, "commit_at hand_over | none miller", {"none": "this run has none: its input miller is empty"},
    ),
    "the inputs do not exclude it": (
        under_way, "commit_at hand_over | none sacks asked", {"unknown": "hand_over has not been reached"},
    ),
    "it was done, and the result has no such part": (
        complete, "result count_sacks weight", {"unknown": "the result of count_sacks has no weight"},
    ),
    "it was done, and one part is known not to be there": (
        complete, "args believe_still reason | result count_sacks weight | commit_at abort",
        {"unknown": "the result of count_sacks has no weight"},
    ),
    "the declaration is of no version that this one knows": (
        complete, "guess miller", {"unknown": "the declaration has 'guess miller', which is no receipt expression"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "said", "told"), WITHOUT.values(), ids=WITHOUT.keys())
def test_a_field_without_a_value_is_unknown_or_none_never_both(
    make: Callable[[Make], "Play"], said: str, told: dict[str, str], play: Make
) -> None:
    """Unknown is what could not be read, was lost or may still come; none is what this run will never have."""
    inputs = {"miller": ""} if said.endswith("none miller") else {}
    assert field(make(play), said, **inputs) == told


def test_a_result_that_was_lost_in_a_crash_stays_unknown_after_the_end(play: Make) -> None:
    """The action was done, and its commit found done: there was a result, and nobody has it."""
    run = play(fails={"sign": ["die after"]}).start().resume()
    assert run.state.status == "complete"
    assert field(run, "result hand_over told") == {"unknown": "no result of hand_over is on record"}


def test_a_reading_that_failed_stays_unknown_after_the_end_and_null_is_none(play: Make) -> None:
    """A fact that could not be read is unknown, with its reason; one that was read and has a null has none."""
    run = complete(play)

    def seen(record: Any, **reading: Any) -> Any:
        body = {**record.body, "facts": {**record.body["facts"], "owner": {"value": None, "seen": None, **reading}}}
        return evolve(record, body=body) if getattr(record.content, "trigger", "") == "look" else record

    def told(**reading: Any) -> Any:
        records = [seen(record, **reading) if isinstance(record.content, Commit) else record for record in run.written]
        return derive({"it": "seen look owner name"}, run.state, records)["it"]

    assert told(why="nobody can see the owner") == {"unknown": "nobody can see the owner"}
    assert told(value="old", seen={"name": None}) == {"none": "what was seen of owner in look has no name"}
    assert told(value="old", seen={"name": "Jo"}) == "Jo"


def test_pointers_are_labelled_by_the_site_whose_run_they_name(failback_play: Make) -> None:
    """By the run's own inputs: DR's run, the primary's, neither's; and a pointer that was not there."""
    run = failback_play().start()
    expression = "by_site seen capture_pointers global_pointer"
    (labelled,) = field(run, expression).values()
    named = labelled["run_id"]
    assert labelled == {"site": "other", "run_id": named, "pointer": {"run_id": named}}
    assert next(iter(field(run, expression, dr_run_id=named).values()))["site"] == "dr"
    assert next(iter(field(run, expression, primary_run_id=named).values()))["site"] == "primary"
    records = list(run.written)
    for at, record in enumerate(records):
        if isinstance(record.content, Commit) and record.content.trigger == "capture_pointers":
            facts = {
                **record.body["facts"],
                "global_pointer": {"value": "dr", "seen": {"a": None, "b": {"run_id": ""}}},
            }
            records[at] = evolve(record, body={**record.body, "facts": facts})
    told = derive({"it": expression}, run.state, records)["it"]
    assert told["a"] == {"none": "there was no pointer"}
    assert told["b"]["run_id"] == {"none": "it names no run"}


def test_a_table_that_says_what_the_declaration_has_not_is_found(play: Make) -> None:
    """A verb, a name or a value that there is not; `by_site` alone says nothing."""
    spec = evolve(
        play().spec,
        receipt={
            "a": "none sacks some",
            "b": "none sack",
            "c": "by_site",
            "d": "by_site seen look luck",
            "e": "none sacks",
        },
    )
    assert faults(spec) == [
        "receipt a: the input sacks is never some",
        "receipt b: there is no input sack",
        *[fault for fault in faults(spec) if fault.startswith("receipt c: 'by_site' is no expression")],
        "receipt d: there is no fact luck",
        "receipt e: the input sacks is never empty",
    ]
    assert len(faults(spec)) == 5
