"""What is reached from where, against the plain definition; and how the cost of loading grows with the rows."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drfsm.spec import load_machine
from drfsm.spec.graph import closure, components, on_circles, onward
from tests.bench.machines import procedure
from tests.growth import growth

STEPS = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh")), max_size=20)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_a_group_holds_what_leads_to_each_other_and_follows_all_that_it_leads_to(steps: list[tuple[str, str]]) -> None:
    """Two things are in one group exactly if each is reached from the other; and each thing is in one group."""
    leads_to = onward(steps)
    groups = components(leads_to)
    place = {name: number for number, group in enumerate(groups) for name in group}
    assert len(place) == sum(map(len, groups)) == len({name for step in steps for name in step})
    for one, its_place in place.items():
        for other in closure({one}, leads_to):
            assert (place[other] == its_place) == (one in closure({other}, leads_to))
            assert place[other] <= its_place


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_a_thing_is_on_a_circle_if_a_step_from_it_leads_back(steps: list[tuple[str, str]]) -> None:
    """One step on, and then any number of steps."""
    leads_to = onward(steps)
    assert on_circles(leads_to) == {name for name in leads_to if name in closure(leads_to[name], leads_to)}


def test_a_machine_of_ten_times_as_many_rows_takes_about_ten_times_as_long_to_load() -> None:
    """Rows, facts and guards grow together, the way can be given up anywhere, and parts are tried again in rounds."""

    def loading(rows: int) -> Callable[[], object]:
        text = procedure(rows)
        turns = iter(range(100))
        return lambda: load_machine(f"{text}# {next(turns)}\n")  # another text each time: none is loaded twice

    assert growth(loading, 100) < 25


@pytest.mark.parametrize("rows", [50, 333])
def test_the_machine_of_the_bench_has_as_many_rows_as_asked_for(rows: int) -> None:
    """The rows that are written; a row with several sources is one."""
    spec = load_machine(procedure(rows))
    assert len({row.line for row in spec.rows}) == rows
