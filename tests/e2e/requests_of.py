"""How many requests a failback makes, by verb, held against the table in docs/requests.md.

What waits (for a drain, a Job, the soak) asks again as time goes by, so the numbers of a run vary a little. More than
the table allows is a fact that is read without need; far fewer is a table that is out of date.
"""

import os
from collections import Counter
from pathlib import Path

from drfsm.sandbox.kubernetes.faults import Fault
from tests.e2e.sites import Site

PAGE = Path(__file__).parents[2] / "docs" / "requests.md"
SITES, VERBS = ("primary", "dr"), ("GET", "POST", "PATCH", "PUT", "DELETE")
SLACK, FEW = 0.25, 4  # what a busy machine adds or leaves out: a share of the number, and some
ROW = "| {where} | {what} | {count} |"


class Counted:
    """The requests that reach a world from now on."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._rules: dict[tuple[str, str], Fault] = {
            (name, verb): getattr(site.sandbox, name).faults.add(verb, "", times=1 << 30)
            for name in SITES
            for verb in VERBS
        }

    def table(self) -> dict[tuple[str, str], int]:
        """Return the number of requests by (where, what)."""
        found = Counter(("store", _what(request.method, request.key)) for request in self._site.wire.passed)
        return {**found, **{place: rule.hits for place, rule in self._rules.items() if rule.hits}}


def _what(method: str, key: str) -> str:
    if method == "POST":
        return "POST (identity, machines, alarms)"
    return method if key else f"{method} of the bucket (listings, its settings)"


def assert_as_told(counted: Counted) -> None:
    """Assert that a whole failback made the requests of the table; rewrite it where DRFSM_REGENERATE is set."""
    found = counted.table()
    head, _, _ = PAGE.read_text(encoding="utf-8").partition("| where |")
    if os.environ.get("DRFSM_REGENERATE"):
        rows = [ROW.format(where=where, what=what, count=count) for (where, what), count in sorted(found.items())]
        PAGE.write_text(
            "\n".join([head + "| where | what | requests |", "|---|---|---:|", *rows, ""]), encoding="utf-8"
        )
    told = told_in(PAGE)
    assert found.keys() == told.keys()
    wrong = {
        place: (count, told[place])
        for place, count in found.items()
        if abs(count - told[place]) > FEW + SLACK * told[place]
    }
    assert wrong == {}, "DRFSM_REGENERATE=1, once it is clear why; docs/requests.md"


def told_in(page: Path) -> dict[tuple[str, str], int]:
    """Return the table of the page."""
    cells = [
        line.strip("| ").split(" | ") for line in page.read_text(encoding="utf-8").splitlines() if line[:2] == "| "
    ]
    return {(where, what): int(count) for where, what, count in cells if count.isdigit()}
