"""Which requests a log of each version had to settle, before a row and before the end: the rules, in memory."""

from typing import Any

import pytest
from attrs import evolve

from drfsm.evidence.audit.late import unsettled, unsettled_before
from drfsm.journal import InFlight
from drfsm.spec import MachineSpec
from tests.journal.flights import SPEC, TOUCHED, WAITED, flight, row, state

LATE = {"shut": TOUCHED, "rekey": WAITED}
QUIET = evolve(SPEC, rows=tuple(evolve(row, lands_late=False) for row in SPEC.rows))  # as declared until 0.3.0
DRILL = evolve(QUIET, name="drill")


@pytest.mark.parametrize(
    ("spec", "version", "owes"),
    [
        (QUIET, "0.1.0", False), (QUIET, "0.2.9", False), (QUIET, "0.3.0", False), (QUIET, "0.4.0", True),
        (QUIET, "0.5.0", True), (QUIET, "0.6.0", True), (QUIET, "10.1.0", True), (QUIET, "6.0.1.", True),
        (SPEC, "0.1.0", True), (SPEC, "0.3.0", True),
        (DRILL, "0.3.0", False), (DRILL, "0.4.0", False), (DRILL, "0.4.9", False), (DRILL, "0.5.0", True),
    ],
)  # fmt: skip
def test_a_run_owes_at_its_end_what_its_version_could_settle(spec: MachineSpec, version: str, owes: bool) -> None:
    """An older one settled nothing, and its declaration says of no row that it lands late."""
    assert bool(list(unsettled(spec, state(flight("shut"), version=version), LATE))) is owes


@pytest.mark.parametrize(
    ("version", "owes"),
    [("0.1.0", False), ("0.3.9", False), ("0.4.0", False), ("0.5.0", False), ("0.6.0", True), ("1.0.5.", True)],
)
def test_a_run_owes_before_a_row_since_0_6_0(version: str, owes: bool) -> None:
    """Before that, it settled before an undo and before the end."""
    assert bool(list(unsettled_before(SPEC, state(flight("shut"), version=version), row("look"), LATE))) is owes


TRIED: dict[str, Any] = {"not_excluded": "its site did not answer"}


@pytest.mark.parametrize(
    ("request_", "late", "undone", "owes"),
    [
        (flight("shut"), LATE, "", True),
        (flight("shut", **TRIED), LATE, "", False),
        (flight("shut"), None, "", False),
        (flight("rekey"), None, "", True),
        (flight("rekey", **TRIED), None, "", False),
        (flight("rekey", committed=True), LATE, "", False),
        (flight("rekey", committed=True), LATE, "rekey", True),
        (flight("rekey", committed=True), LATE, "shut", False),
        (flight("rekey", committed=True), None, "rekey", False),
        (flight("shut", committed=True), LATE, "shut", False),
    ],
)
def test_what_may_still_land_is_owed_at_the_end(request_: InFlight, late: Any, undone: str, owes: bool) -> None:
    """Unless it was told that this could not be excluded; of an action that was done, where it was undone."""
    left = list(unsettled(SPEC, state(request_, undone=undone, version="0.6.0"), late))
    assert left == ([request_] if owes else [])


def test_every_request_is_named() -> None:
    """Of several, each that is owed; before a row only what was not tried in vain."""
    both = (flight("shut"), flight("rekey"))
    assert list(unsettled(SPEC, state(*both, version="0.6.0"), LATE)) == list(both)
    tried = state(flight("shut", **TRIED), flight("rekey"), version="0.6.0")
    for trigger in ("look", "finish"):
        assert [one.trigger for one in unsettled_before(SPEC, tried, row(trigger), LATE)] == ["rekey"]
