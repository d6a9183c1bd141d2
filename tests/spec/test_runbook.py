"""The runbook of a machine: each state where a run may stop, what is frozen then, and what may be typed there."""

import re

import pytest

from drfsm.spec import load_machine
from drfsm.spec.model import By
from drfsm.spec.runbook import Runbook
from tests.pages import runbooks
from tests.test_docs import MACHINES, declared

PUMP = load_machine(
    """
machine: pump
because: "The pump is changed"
initial: running
finals: {changed: complete, refused: refused, stopped: aborted}
inputs:
  drain: {values: [yes, no], because: "whether the tank is drained first"}
  limit: {because: "seconds until the tank must be empty"}
  accept: {values: [no, yes], because: "whether a leak is accepted"}
facts:
  pump: {values: [on, off], because: "Whether it pumps"}
  valve: {values: [open, shut], because: "Whether water can flow"}
  tank: {values: [full, empty], because: "What is in the tank"}
  leak: {values: [none, some, accepted], reads: [accept], because: "Whether it leaks"}
guards:
  can_stop: {requires: {pump: [on, off]}, because: "A <pump> that says nothing is none"}
  tank_is_empty: {requires: {tank: empty}, because: "The floor would be wet"}
  nothing_leaks: {requires: {leak: [none, accepted]}, because: "Water would be lost", mend: "tighten it"}
frozen:
  - {when: {pump: off}, because: "no water"}
  - {when: {pump: off, valve: shut}, because: "no water, not even by the valve"}
  - {when: {valve: shut}, because: "the valve is shut"}
transitions:
  - {from: running, trigger: refuse, to: refused, by: failure, because: "Nothing was touched"}
  - {from: running, trigger: stop, to: off, guards: [can_stop], action: stop, sets: {pump: off}, effect: idempotent,
     undo: start, attempts: {max: 3, backoff_seconds: 2}, because: "The pump stands"}
  - {from: off, trigger: shut, to: shut, when: {drain: yes}, action: shut, sets: {valve: shut}, effect: idempotent,
     undo: open, because: "The valve is shut"}
  - {from: off, trigger: go_on, to: dry, when: {drain: no}, guards: [nothing_leaks], because: "It may be changed"}
  - {from: shut, trigger: drain, to: dry, guards: [tank_is_empty], wait: {every_seconds: 5, limit: limit},
     because: "It may be changed"}
  - {from: [off, shut], trigger: accept_leak, to: off, by: operator, amends: [accept], because: "A leak is accepted"}
  - {from: dry, trigger: change, to: changed, by: operator, because: "A person changed it"}
  - {from: [off, shut], trigger: abort, to: undoing, by: operator, because: "All is given back"}
  - {from: undoing, trigger: undo_newest, to: undoing, foreach: undo, because: "The newest change is undone"}
  - {from: undoing, trigger: finish, to: stopped, because: "All is as before"}
""",
    source="pump.yaml",
)


def sections(page: str) -> dict[str, str]:
    """Return what a page says of each state."""
    parts = re.split(r"^### (\S+)$", page, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.fixture(scope="module")
def pump() -> dict[str, str]:
    """Return the runbook of the pump, by state."""
    return sections(Runbook(PUMP, {"limit": 60}).page())


def test_what_is_frozen_on_every_way_is_told_apart_from_what_is_on_some(pump: dict[str, str]) -> None:
    """`shut` can only be reached with pump and valve shut; `dry` with or without the valve."""
    assert "**Frozen by then:** no water; the valve is shut." in pump["shut"]
    assert "Depending" not in pump["shut"]
    assert "**Frozen by then:** no water." in pump["dry"]
    assert "**Depending on the run:** the valve is shut." in pump["dry"]
    assert "**Frozen by then:** nothing, by this run." in pump["undoing"]  # perhaps all is given back


def test_a_guard_is_told_with_its_mend_and_with_the_person_who_may_pass_it(pump: dict[str, str]) -> None:
    """accept_leak amends what nothing_leaks reads; no row changes what the tank holds."""
    assert (
        "| `nothing_leaks` | leak is none or accepted | Water would be lost | tighten it; or `accept_leak` |"
        in pump["off"]
    )
    assert "| The floor would be wet | mend it, `drfsm resume` |" in pump["shut"]


def test_how_long_it_lasts_is_told(pump: dict[str, str]) -> None:
    """Of a wait, of attempts, of what waits for a person."""
    assert "looks every 5 s, for at most the seconds of `--limit` (60 if not given)" in pump["shut"]
    assert "**It waits for a person**" in pump["dry"]


def test_what_ends_as_refused_is_one_section_and_no_tag_is_lost() -> None:
    """Nothing is resumed there: what it says is to start again."""
    page = Runbook(PUMP).page()
    assert "running" not in sections(page)
    assert "| `can_stop` | pump is on or off | A &lt;pump> that says nothing is none | mend it, start again |" in page


@pytest.mark.parametrize("name", MACHINES)
def test_every_way_on_that_a_person_has_is_typed_in_its_state(name: str) -> None:
    """And each state where a run may stop after something moved has its section."""
    spec = declared(name)
    told = sections(runbooks.page(spec))
    early = {row.source for row in spec.rows if row.by is By.FAILURE and spec.finals.get(row.to) == "refused"}
    assert set(told) == set(spec.states) - set(spec.finals) - early
    for row in spec.rows:
        if row.by is By.OPERATOR and row.source in told:
            verb = row.trigger if row.trigger in ("abort", "approve", "decline") else f"request {row.trigger}"
            assert f"\ndrfsm {verb} " in told[row.source], row.key
