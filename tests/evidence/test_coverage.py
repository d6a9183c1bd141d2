"""Evidence coverage: exactly what a run did is counted, under the right declaration, and nothing else."""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from drfsm.evidence.coverage import Coverage, Part, document, lines, paint
from drfsm.evidence.receipts import check
from drfsm.evidence.schemas.judged import COVERAGE
from drfsm.spec.svg import svg

if TYPE_CHECKING:
    from tests.evidence.conftest import Play

Make = Callable[..., "Play"]
Deaths = Callable[..., list["Play"]]


def covered(*runs: "Play") -> dict[tuple[str, ...], Part]:
    """Return what runs exercised: (kind, name, state) -> the part."""
    coverage = Coverage(runs[0].spec)
    for run in runs:
        coverage.add(run.written)
    assert not coverage.gone
    return {(part.kind, part.name, part.state): part for part in coverage.parts if part.verdict != "never"}


EXERCISED: dict[str, tuple[Callable[[Make], "Play"], set[tuple[str, ...]]]] = {
    "a hold in a wait": (
        lambda play: play(wheel=["turning"], given={"patience": "3"}).start(),
        {("hold", "await_still", "silenced")},
    ),
    "a person's row, and then the rest": (
        lambda play: play(wheel=["turning"] * 9 + ["still"], given={"patience": "3"}).start().request("believe_still"),
        {
            ("row", "believe_still", "silenced"), ("hold", "await_still", "silenced"),
            ("hold", "change_keys", "stilled"),  # the person was wrong: the wheel still turns
        },
    ),
    "an abort undoes what can be undone": (
        lambda play: play(wheel=["turning"], given={"patience": "3"}).start().request("abort"),
        {
            ("row", "abort", "silenced"), ("undo", "reopen", "seen"), ("row", "undo_newest", "aborting"),
            ("row", "finish_abort", "aborting"), ("hold", "await_still", "silenced"),
        },
    ),
    "a failure's row": (lambda play: play(owner={"name": "new"}).start(), {("failure", "refuse", "confirmed")}),
}  # fmt: skip


@pytest.mark.parametrize(("begin", "parts"), EXERCISED.values(), ids=EXERCISED.keys())
def test_what_a_run_did_is_counted(begin: Callable[[Make], "Play"], parts: set[tuple[str, ...]], play: Make) -> None:
    """Its kind, its name and its state; and beside it only rows of the way there."""
    told = set(covered(begin(play)))
    assert parts <= told
    assert {kind for kind, *_ in told - parts} <= {"row"}


def test_every_commit_is_one_row_and_every_death_one_case_at_most(play: Make, deaths: Deaths) -> None:
    """Killed before and after each record, and resumed: rows counted are commits written; C and D are both met."""
    letters: Counter[str] = Counter()
    for run in deaths(lambda: play(), lambda run, **how: run.start(**how)):  # noqa: PLW0108  a maker of runs
        if not run.records:
            continue
        run.resume()
        coverage = Coverage(run.spec)
        coverage.add(run.written)
        commits = sum(record.kind == "commit" for record in run.written)
        rows = sum(part.times for part in coverage.parts if part.kind in ("row", "failure"))
        cases = [part.name for part in coverage.parts if part.kind == "recovery" and part.times]
        assert (rows, coverage.gone) == (commits, {})
        assert len(cases) <= 1
        letters.update(cases)
    assert {"C", "D"} <= letters.keys()


def test_a_case_that_a_person_must_decide_is_told_apart(play: Make) -> None:
    """E: the bell is rung once, and was or was not; F: nobody can read the keys."""
    bell = next(
        run
        for place in range(60)
        if (run := play(fails={"ring": ["before"]}).start(dies_at=place, after=True)).state.open
        and run.state.open.trigger == "ring"
    )
    assert ("recovery", "E", "owned") in covered(bell.resume())
    keys = play(fails={"rekey": ["before"]})
    keys.start(dies_at=next(place for place in range(60) if _opens(play, place, "change_keys")), after=True)
    keys.world["lost"].add("keys")
    assert ("recovery", "F", "stilled") in covered(keys.resume())


def _opens(play: Make, place: int, trigger: str) -> bool:
    """Say whether a run that dies after a record has this trigger's intent open."""
    intent = play(fails={"rekey": ["before"]}).start(dies_at=place, after=True).state.open
    return intent is not None and intent.trigger == trigger


def test_a_dry_run_exercises_nothing(play: Make) -> None:
    """It is counted as one."""
    run = play().start(dry_run=True)
    coverage = Coverage(run.spec)
    coverage.add(run.written)
    assert (coverage.runs, coverage.dry_runs) == (0, 1)
    assert {part.verdict for part in coverage.parts} == {"never"}


def test_a_drill_and_another_declaration_are_told_apart(play: Make) -> None:
    """Live stands before drill, drill before older; the last use is the one under this declaration."""
    run = play().start()
    other = evolve(run.spec, sha256="0" * 64)
    older = Coverage(other)
    older.add(run.written)
    assert {part.verdict for part in older.parts} == {"older", "never"}
    drilled = Coverage(run.spec)
    drilled.add(
        [
            evolve(record, body={**record.body, "scope": "drill"}) if record.kind == "run_started" else record
            for record in run.written
        ]
    )
    assert {part.verdict for part in drilled.parts} == {"drill", "never"}
    drilled.add(run.written)
    assert {part.verdict for part in drilled.parts} == {"live", "never"}
    part = next(part for part in drilled.parts if part.verdict == "live")
    assert (part.times, set(part.uses)) == (2, {"drill", "live"})


def test_what_the_machine_has_no_more_is_counted_apart(play: Make) -> None:
    """A row that was taken away since is no part, and is not lost."""
    run = play().start()
    spec = evolve(run.spec, rows=tuple(row for row in run.spec.rows if row.trigger != "ring"), sha256="0" * 64)
    coverage = Coverage(spec)
    coverage.add(run.written)
    assert coverage.gone == {"row owned --ring--> rung": 1}


def test_the_document_fits_its_schema_and_the_words_and_colours_say_the_same(play: Make) -> None:
    """As JSON, as lines, as a drawing."""
    run = play(wheel=["turning"], given={"patience": "3"}).start().request("abort")
    coverage = Coverage(run.spec)
    coverage.add(run.written)
    told = document(coverage, [{"run": "x", "why": "its evidence does not hold"}])
    assert check(told, COVERAGE.schema) == []
    never = sum(part["covered"] == "never" for part in told["parts"])
    assert never == sum(counts["never"] for counts in told["summary"].values())
    written = list(lines(coverage))
    assert any(line.split()[:2] == ["live", "shut_sluices"] for line in written)
    assert any("NEVER  hand_over" in line for line in written)
    assert not any(line.strip().startswith("live ") for line in lines(coverage, only_never=True))
    drawn = svg(run.spec, paint=paint(coverage))
    assert 'class="box happy live"' in drawn
    assert 'class="box happy never"' in drawn
    assert "in a drill only" in drawn
