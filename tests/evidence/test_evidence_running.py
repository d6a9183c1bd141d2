"""A drill that is stopped says which machines run on, how long by now, and what they cost where prices are known."""

from pathlib import Path

import pytest
from attrs import evolve

from drfsm.adapters.file_journal import read_chain
from drfsm.evidence.running import running, words
from drfsm.evidence.standing import standing
from drfsm.journal import RunState, fold
from drfsm.journal.record_types import Reading

ROOT = Path(__file__).parents[2]


def test_a_drill_that_was_stopped_says_what_runs_and_costs() -> None:
    """A recorded drill that is held: its instance, what it is, and since when; none where it was taken down."""
    place = ROOT / "tests" / "data" / "bundles" / "0.3.0" / "drill"
    state = fold(read_chain(place).records)
    text = "\n".join(standing(state, str(place)))
    assert "Running, and costing until this run takes it down" in text
    assert "  i-dbf44a86e8fe559b1 (t3.large, disk of 40 GB), since 2026-11-28 22:29:22Z" in text
    gone = evolve(state, known={**state.known, "runner": "absent"})
    assert "costing" not in "\n".join(standing(gone, str(place)))
    assert running(gone, gone.last_at) is None


PRICES = '{"currency":"USD","instance_hour":{"t3.large":"1.20"},"disk_gb_month":"7.30"}'
AN_INSTANCE = "i-dbf44a86e8fe559b1"


def stopped_drill(**inputs: str) -> RunState:
    """Return the recorded drill that is held, its machine launched at 22:29:22, with these inputs besides."""
    state = fold(read_chain(ROOT / "tests" / "data" / "bundles" / "0.3.0" / "drill").records)
    return evolve(state, inputs={**state.inputs, **inputs})


def test_the_amount_of_a_stopped_drill_is_counted_where_its_prices_are_known() -> None:
    """Two hours of the machine and of its disk, by the prices of the run, or by those that are given now."""
    now, named = "2026-11-29T00:29:22Z", "run-1"
    counted = "  so far: 1 machine, 2.00 machine hours, 3.2000 USD; each further hour 1.6000 USD"
    for state, prices in ((stopped_drill(prices=PRICES), ""), (stopped_drill(), PRICES)):
        lines = list(words(state, named, "bundle", now, prices))
        assert counted in lines
        assert not any("not known" in line for line in lines)


@pytest.mark.parametrize(
    ("prices", "why"),
    [
        ("", "no prices were given"),
        (PRICES.replace("t3.large", "t3.small"), "no price was given for t3.large"),
        ('{"currency":"USD","instance_hour":"t3.large","disk_gb_month":"1"}', "no price was given for t3.large"),
        (PRICES.replace('"1.20"', '"cheap"'), "not a price: instance_hour 'cheap'"),
    ],
)
def test_without_a_price_no_amount_is_made_up_and_the_way_to_give_one_is_named(prices: str, why: str) -> None:
    """Hours and machines are known all the same; the command is the one to type."""
    lines = list(words(stopped_drill(prices=prices), "run-1", "bundle", "2026-11-29T00:29:22Z"))
    assert "  so far: 1 machine, 2.00 machine hours" in lines
    command = "drfsm status run-1 --prices FILE (docs/drill.md shows the file)"
    assert lines[-1] == f"  what that costs is not known: {why}. With your prices: {command}"


def test_a_drill_that_left_its_site_standing_counts_to_its_end_only() -> None:
    """Another drill may have taken the site down since: what it cost after the end, this run's records do not say."""
    state = evolve(stopped_drill(prices=PRICES), status="complete", ended_at="2026-11-28T23:29:22Z")
    heading, _, counted = words(state, "run-1", "bundle", "2026-12-24T00:00:00Z")
    assert heading.startswith(
        "Left running at its end, and costing until `drfsm drill --receipt-dir bundle --start-at teardown`"
    )
    assert counted == "  until then: 1 machine, 1.00 machine hours, 1.6000 USD; each further hour 1.6000 USD"


def test_a_machine_whose_start_had_no_answer_is_named_all_the_same() -> None:
    """The fact saw it, no result did: its id is told, its type and hours are not made up; one that is gone is not."""
    state = stopped_drill(prices=PRICES)
    seen = {"machines": {AN_INSTANCE: "terminated", "i-late": "running"}}
    state = evolve(state, facts={**state.facts, "runner": Reading(value="present", seen=seen)})
    lines = list(words(state, "run-1", "bundle", "2026-11-29T00:29:22Z"))
    assert lines[1] == "  i-late (instance type not known, disk not known), since when is not known"
    assert not any(AN_INSTANCE in line for line in lines)
    assert "hours not known" in lines[2]
    found = running(state, state.last_at)
    assert found is not None
    assert set(found["amount"]) == {"unknown"}
