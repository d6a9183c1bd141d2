"""A plan says of each row what it changes of endpoints; done once, there is nothing left to change."""

import pytest

from drfsm.dr.endpoints import ACTIONS, FACTS
from drfsm.runs.plan_changes import projected
from tests.endpoints.conftest import Benches
from tests.endpoints.test_gates import Switched

CLOSED, OPENED = ("writes: open", "writes: closed"), ("writes: closed", "writes: open")
ROWS = (
    # action, the fact that its row sets, its value, and what a plan says before it
    ("lower_endpoint_ttl", "endpoint_ttl", "low", {("TTL: 300 s", "TTL: 60 s")}),
    ("close_source_gate", "primary_gate", "closed", {CLOSED, ("API_WRITES: 1", "API_WRITES: 0")}),
    ("declare_active_site", "active_site", "new", {("site: primary, writes: closed", "site: dr, writes: closed")}),
    ("move_endpoints", "endpoint_site", "new", {("leads to: primary", "leads to: dr (127.0.0.2)")}),
    ("open_target_gate", "dr_gate", "open", {OPENED, ("API_WRITES: 0", "API_WRITES: 1")}),
)  # fmt: skip


@pytest.mark.parametrize("gate", ["document", "configmap"])
def test_a_plan_says_what_each_row_changes_and_then_that_it_is_done(benches: Benches, gate: str) -> None:
    """In the rows' order, each from the world that the one before left."""
    bench = benches()
    switched = Switched(bench)
    if gate == "document":
        bench.inputs = {}
    for action, fact, value, said in ROWS:
        expected = said if gate == "configmap" else {words for words in said if "API_WRITES" not in words[0]}
        assert touched(switched, fact, value) == expected
        ACTIONS[action](switched.world, bench.run())
        assert touched(switched, fact, value) == set()


def touched(switched: Switched, fact: str, value: str) -> set[tuple[str, str]]:
    """Return (before, after) of each object that a row would change now."""
    run = switched.bench.run()
    seen = FACTS[fact].observe(switched.world, run)
    return {(each.before, each.after) for each in projected(fact, value, seen, run.inputs, run.id).touched}
