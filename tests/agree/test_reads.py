"""What a fact's ``reads`` declares is what its code reads, of the inputs that an operator's row may amend.

The checker lets such a row change every fact whose ``reads`` names one of its inputs, and no other fact. So, over the
whole table of a fact: what the judge reads is declared; what is declared is read; and what only the observer reads is
declared, too, or never changes the value, or changes it only as LESS_IS_ASKED says.
"""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import pytest
from attrs import frozen

from drfsm.spec.model import By, FactSpec, Row
from tests.agree.reading import cases_of, declared, laid, read, spec_of
from tests.agree.world import NEXT_RUN, ROLES, Place

FACTS = [pytest.param(machine, fact, id=f"{machine}-{fact.name}") for machine, fact in declared()]
# What a person may give to the rows that amend inputs, besides each input's declared values.
GIVEN: Mapping[str, tuple[str, ...]] = {
    "reason": ("", "the region is gone"),
    "fence_primary_role": (ROLES["primary"], ""),
    "fence_dr_role": (ROLES["dr"], ""),
    "primary_run_id": (NEXT_RUN,),
    "dr_run_id": (NEXT_RUN,),
    "primary_pod_answered_for": ("its node was switched off",),
    "approved_plan": ("0" * 64,),
    "approved_by": ("bob",),
    "approved_at": ("2026-03-01T12:00:00+00:00",),
    "ticket": ("CHG-2",),
    "missing_writes_accepted": ("an hour of writes is lost", ""),
    "confirm2": ("CONFIRM-another",),
}


@frozen
class Less:
    """A fact of which a declared loss, or a fence, leaves a part out: what it may become by that, and from what."""

    becomes: Mapping[str, tuple[str, ...]]
    because: str


_LOST = "a site that was declared lost is not asked, so only what is wrong there is left out"
_LOST_GATE = "a lost site's switch is not asked: the document counts, and a fence, or a risk by name, stands in for it"
LESS_IS_ASKED: Mapping[str, Less] = {
    "clusters": Less({"distinct": ("same", "swapped")}, _LOST),
    "permissions": Less({"granted": ("missing",)}, _LOST),
    "gitops": Less({"absent": ("present", "paused", "fenced")}, _LOST),
    "publishing_switch": Less({"heeded": ("overridden",)}, _LOST),
    "schedule_plan": Less({"known": ("unclear",)}, _LOST),
    "owner": Less(
        {"primary": ("other",), "dr": ("other",)}, "whose cluster a lost owner is can't be asked: its name counts"
    ),
    "primary_gate": Less({"closed": ("open", "mixed")}, _LOST_GATE),
    "dr_gate": Less({"closed": ("open", "mixed")}, _LOST_GATE),
    "cloud_access": Less(
        {"granted": ("missing",), "missing": ("granted",)},
        "a fence that is asked for later is looked at by the guards of its own row: *_fence_target",
    ),
}
"""Why each is safe without ``reads``: all but the last only become what a run may have found at its start, so no run
goes on that the checker has not followed from there; the last is asked in a preflight alone, before any such row."""


def amending(machine: str) -> list[Row]:
    """Return the rows by which a person amends inputs, one of each trigger."""
    rows = {row.trigger: row for row in spec_of(machine).rows if row.amends and row.by is By.OPERATOR}
    return list(rows.values())


def amended(machine: str) -> set[str]:
    """Return every input that some row amends."""
    return {name for row in amending(machine) for name in row.amends}


def arguments(machine: str, row: Row) -> Iterator[dict[str, Any]]:
    """Yield what a person may give to a row."""
    inputs = spec_of(machine).inputs
    for values in product(*(inputs[name].values or GIVEN[name] for name in row.amends)):
        yield dict(zip(row.amends, values, strict=True))


def changes(machine: str, fact: FactSpec, wanted: set[str]) -> Iterator[tuple[str, str | None, str | None]]:
    """Yield (a world's claim, the value before, the value after) for every amendment that changes the value."""
    for case in cases_of(machine, fact):
        before = read(laid(machine, case), fact.name)
        for row in amending(machine):
            for args in arguments(machine, row) if wanted & before.observed & set(row.amends) else ():
                place = laid(machine, case)
                inputs = {**place.inputs, **args}
                if not permitted(place, row, inputs):
                    continue
                after = read(place, fact.name, inputs=inputs)
                if after.value != before.value:
                    yield case.claim, before.value, after.value


def permitted(place: Place, row: Row, inputs: Mapping[str, Any]) -> bool:
    """Whether a row's guards permit these inputs, as far as the inputs alone decide."""
    spec = spec_of(place.machine)
    required = [(fact, values) for _, fact, values in spec.wanted_of(row) if spec.facts[fact].local]
    return all(read(place, fact, inputs=inputs).value in values for fact, values in required)


def all_read(machine: str, fact: FactSpec) -> tuple[set[str], set[str]]:
    """Return the amended inputs that a fact's observer and its judge read, in all worlds of its table."""
    observed, judged = set[str](), set[str]()
    for case in cases_of(machine, fact):
        found = read(laid(machine, case), fact.name)
        observed |= found.observed
        judged |= found.judged
    return observed & amended(machine), judged & amended(machine)


@pytest.mark.parametrize(("machine", "fact"), FACTS)
def test_reads_names_what_is_read(machine: str, fact: FactSpec) -> None:
    """Both ways: nothing that the judge reads is left out, and nothing is named that nobody reads."""
    observed, judged = all_read(machine, fact)
    named = set(fact.reads) & amended(machine)
    assert judged <= named, f"{machine}.yaml: add to reads of {fact.name}: {sorted(judged - named)}"
    unread = named - observed - judged
    assert not unread, f"{machine}.yaml: nobody reads {sorted(unread)}: take it out of reads of {fact.name}"


@pytest.mark.parametrize(("machine", "fact"), FACTS)
def test_what_only_the_observer_reads_decides_nothing_that_is_not_declared(machine: str, fact: FactSpec) -> None:
    """An operator's row can't change the value by it, unless LESS_IS_ASKED says to what, from what, and why."""
    observed, _ = all_read(machine, fact)
    hidden = observed - set(fact.reads)
    if not hidden:
        return
    becomes = LESS_IS_ASKED[fact.name].becomes if fact.name in LESS_IS_ASKED else {}
    moved = list(changes(machine, fact, hidden))
    strange = [f"{claim}: {old} becomes {new}" for claim, old, new in moved if old not in becomes.get(str(new), ())]
    assert not strange, f"{machine}.yaml: add to reads of {fact.name} what decides that, of {sorted(hidden)}"
    assert moved or fact.name not in LESS_IS_ASKED, "nothing is left out any more: take it out of LESS_IS_ASKED"


def test_an_amended_input_has_values_to_try() -> None:
    """A new amended input needs values here, or a declaration of its own."""
    for machine in ("drill", "promote", "failback"):
        inputs = spec_of(machine).inputs
        lacking = [name for name in amended(machine) if not inputs[name].values and name not in GIVEN]
        assert not lacking, f"add values of {lacking} to GIVEN"
