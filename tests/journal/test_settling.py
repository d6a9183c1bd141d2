"""Which requests may still take effect, and before which rows they are settled: the rules, in memory."""

from typing import Any

import pytest

from drfsm.journal import InFlight
from drfsm.journal.settling import may_land, owed
from tests.journal.flights import OVERWRITES, SPEC, TOUCHED, WAITED, flight, row, state


@pytest.mark.parametrize(
    ("request_", "late", "undone", "may"),
    [
        # a request with a condition: until its action was done by another one
        (flight("shut"), {"shut": TOUCHED}, "", True),
        (flight("shut", committed=True), {"shut": TOUCHED}, "", False),
        (flight("shut", committed=True), {"shut": TOUCHED}, "shut", False),
        # one that replaces what others wrote since: always
        (flight("shut", committed=True), {"shut": OVERWRITES}, "", True),
        # one without a condition: always until its action was done; then where that was undone, or it lands late
        (flight("shut"), {"shut": WAITED}, "", True),
        (flight("shut", committed=True), {"shut": WAITED}, "", False),
        (flight("shut", committed=True), {"shut": WAITED}, "rekey", False),
        (flight("shut", committed=True), {"shut": WAITED}, "shut", True),
        (flight("rekey", committed=True), {"rekey": WAITED}, "", True),
        (flight("rekey", committed=True), {"rekey": TOUCHED}, "", False),
        # of an action that the binding does not name, what the declaration says
        (flight("rekey"), {}, "", True),
        (flight("rekey", committed=True), {}, "", True),
        (flight("shut"), {}, "", False),
        (flight("shut"), {"rekey": WAITED, "reopen": WAITED}, "", False),
        (flight("rekey"), None, "", True),
        (flight("shut"), None, "", False),
        # of an undo: its own action; that the row lands late says nothing of its undo
        (flight("shut", undo=True), {"reopen": TOUCHED}, "", True),
        (flight("shut", undo=True), {"shut": TOUCHED}, "", False),
        (flight("rekey", undo=True), {"rekey": WAITED}, "", False),
        (flight("rekey", undo=True), None, "", False),
        (flight("rekey", undo=True, committed=True), {"unkey": WAITED}, "", False),
        (flight("rekey", undo=True, committed=True), {"unkey": WAITED}, "rekey", True),
        # of a row that the machine does not have
        (flight("shut", row="a --b--> c"), {"shut": TOUCHED}, "", False),
    ],
)
def test_a_request_may_still_take_effect(request_: InFlight, late: Any, undone: str, may: bool) -> None:
    """By what its action's binding and its row say, and by what was done and undone since."""
    assert may_land(SPEC, state(request_, undone=undone), request_, late) is may


TRIED = flight("shut", not_excluded="the site did not answer")
LATE = {"shut": TOUCHED, "reopen": TOUCHED}


@pytest.mark.parametrize(
    ("trigger", "requests", "owes"),
    [
        ("look", (flight("shut"), flight("rekey")), ["shut", "rekey"]),
        ("look", (flight("shut", committed=True), flight("rekey")), ["rekey"]),
        ("shut", (flight("shut"), flight("rekey")), ["rekey"]),
        ("shut", (flight("shut", undo=True),), ["undo_newest"]),
        ("abort", (flight("shut"), flight("rekey")), []),
        ("undo_newest", (flight("shut"), flight("rekey")), []),
        ("finish_abort", (flight("shut"), flight("rekey")), ["shut", "rekey"]),
        ("look", (TRIED, flight("rekey")), ["rekey"]),
        ("finish", (TRIED, flight("rekey")), ["shut", "rekey"]),
        ("stop", (TRIED,), ["shut"]),
        ("finish_abort", (TRIED,), ["shut"]),
        ("look", (), []),
    ],
)
def test_requests_are_settled_before_the_rows_whose_guards_they_could_change(
    trigger: str, requests: tuple[InFlight, ...], owes: list[str]
) -> None:
    """Not before their own row, and not on the way to an undo; what was tried in vain only before the end again."""
    assert [one.trigger for one in owed(SPEC, state(*requests), row(trigger), LATE)] == owes
