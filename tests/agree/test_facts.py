"""Every fact has a table of worlds with the value that it must have, and reads the inputs that it says it reads.

A new fact, or a new value of one, fails here until its table has it: see cases.py, and of_*.py by what is asked.
"""

from collections.abc import Mapping

import pytest

from drfsm.spec.model import FactSpec
from tests.agree.reading import TABLES, cases_of, declared, laid, read

FACTS = [pytest.param(machine, fact, id=f"{machine}-{fact.name}") for machine, fact in declared()]


def test_no_table_is_of_a_fact_that_no_machine_has() -> None:
    """A table that outlived its fact, or one of its values, would be thought to prove something."""
    known = dict[str, set[str]]()
    for _, fact in declared():
        known.setdefault(fact.name, set()).update(fact.values)
    assert TABLES.keys() == known.keys(), "write the table of each fact, and no other: tests/agree/of_*.py"
    stray = {
        name: case.value for name, table in TABLES.items() for case in table if case.value not in {None, *known[name]}
    }
    assert not stray, "no machine declares these values any more: take their cases out"


@pytest.mark.parametrize(("machine", "fact"), FACTS)
def test_every_value_of_a_fact_has_a_world(machine: str, fact: FactSpec) -> None:
    """Each declared value is what the fact is in some world of its table, and each world gives the value it must."""
    wrong = list[str]()
    for case in cases_of(machine, fact):
        found = read(laid(machine, case), fact.name)
        if found.value != case.value:
            wrong.append(
                f"{case.claim}: {found.value} instead of {case.value} ({found.reading.why or found.reading.seen})"
            )
    assert not wrong
    missing = set(fact.values) - {case.value for case in cases_of(machine, fact)}
    assert not missing, f"add worlds of {machine}'s {fact.name} with these values to its table in tests/agree/of_*.py"


ASKED_IF_IT_ANSWERS: Mapping[tuple[str, str], tuple[set[str], str]] = {
    ("primary_answers", "primary"): ({"no"}, "that nobody answers is what it asks"),
    ("runner_ready", "dr"): ({"no"}, "that nobody answers is what it asks"),
    ("lasting_state", "store"): ({"not_required"}, "a forecast: where no state is required, it stops nothing"),
    ("image_fit", "registry"): ({"possible"}, "a registry may want a login: what can't be told is no failure"),
    ("site_baseline", "registry"): ({"fit", "not_ready", "unfit"}, "likewise: the rest of the site decides"),
    **{
        (f"{what}_serving", "https"): ({"fails"}, "a site that gives no answer does not serve")
        for what in ("primary", "dr", "endpoint")
    },
    ("endpoint_replication", "https"): (
        {"behind", "accepted"},
        "likewise: nobody shows that the new owner has every write",
    ),
    ("endpoint_resolvers", "names"): ({"stale"}, "it is shown and guards nothing: nobody is led by a silent resolver"),
    ("image_drift", "registry"): ({"differs"}, "two names are different images, unless their registry tells otherwise"),
}
"""(fact, port) -> the values that it may have though that port is silent, and why."""


@pytest.mark.parametrize(("machine", "fact"), FACTS)
def test_a_fact_whose_source_is_silent_is_unknown(machine: str, fact: FactSpec) -> None:
    """In each world of its table, with each port silent that it asks there."""
    told = dict[tuple[str, str], set[str]]()
    for case in cases_of(machine, fact):
        asked = read(laid(machine, case), fact.name).asked
        assert not (fact.local and asked), "a local fact asks nobody"
        for port in asked:
            if (value := read(laid(machine, case), fact.name, silent=port).value) is not None:
                told.setdefault((fact.name, port), set()).add(value)
    excused = {key: values for key, (values, _) in ASKED_IF_IT_ANSWERS.items() if key in told}
    assert told == {key: excused.get(key, set()) for key in told}
