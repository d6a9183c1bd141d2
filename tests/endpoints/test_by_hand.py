"""`drfsm status --by-hand` of a run that moved users: bash runs its lines by real clients, and all is as before.

The records of the run are made here, from what the facts see; what tests/safety/test_by_hand.py shows of a whole run is
not shown again.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from drfsm.runs.by_hand import commands
from drfsm.sandbox.cloud import REGION
from drfsm.sandbox.serving_sites import ADDRESSES, HOST
from tests.endpoints.conftest import Bench, Benches
from tests.endpoints.test_routing import by_hand, claimed, listed
from tests.journal.fold_stories import Step, intent, row
from tests.runs.test_by_hand_rules import records_of
from tests.safety.test_by_hand import run_by_bash

ROWS = [
    ("lower_endpoint_ttl", "endpoint_ttl"), ("close_source_gate", "primary_gate"),
    ("declare_active_site", "active_site"), ("move_endpoints", "endpoint_site"),
    ("await_endpoints_insync", "endpoint_insync"), ("open_target_gate", "dr_gate"),
]  # fmt: skip
"""The actions that move users, and the fact that each one's row sets."""


class Moved:
    """A promote that moved its users as far as an action, and its script."""

    def __init__(self, bench: Bench, last: str = ROWS[-1][0], *, kill: bool = False) -> None:
        self.bench, steps = bench, []
        for action, fact in ROWS:
            before = bench.seen(fact)
            steps.append(intent(action, {fact: before}, row=row(action)))
            if not (kill and action == last):
                bench.act(action)
            if action == last:
                break
        self.script = self._script(steps)

    def _script(self, steps: list[Step]) -> str:
        run = self.bench.run()
        inputs = {**run.inputs, "endpoint_url": self.bench.cloud.endpoint, "region": REGION}
        return "\n".join(commands(list(records_of(tuple(steps), inputs=inputs, run_id=run.id))))

    @property
    def lines(self) -> list[str]:
        """The commands, the newest change first."""
        return [line for line in self.script.splitlines() if not line.startswith("#")]


def world(bench: Bench) -> dict[str, Any]:
    """Return what users and servers see: where the name leads, its records, and who takes writes."""
    document = bench.document()
    return {
        "records": listed(bench), "address": bench.sites.client().address(HOST), "site": bench.fact("endpoint_site"),
        "document": (document["site"], document["writes"]),
        "gates": (bench.fact("primary_gate"), bench.fact("dr_gate")),
    }  # fmt: skip


@pytest.mark.parametrize("routing", ["weighted", "health_check"])
def test_users_are_led_back_by_hand(benches: Benches, tmp_path: Path, routing: str) -> None:
    """Records with their TTL, the claim, the document and both gates; the oldest line again writes nothing."""
    bench = benches(routing)
    before, epoch = world(bench), bench.document()["epoch"]
    moved = Moved(bench)
    assert world(bench)["address"] == ADDRESSES["dr"]
    assert "CANNOT BE PUT BACK: endpoint_insync: a claim was written anew" in moved.script
    assert moved.script.count("CANNOT") == 1
    run_by_bash(moved.script, tmp_path / "hands", "boto3")
    assert world(bench) == before
    assert bench.document()["epoch"] == epoch + 3 + 3  # servers notice each change, there and back
    claim, document = claimed(bench), bench.document()
    assert claim is not None
    assert claim.until >= bench.clock.now()[:19]  # caches may still have what was there
    run_by_bash(moved.lines[-1], tmp_path / "again", "boto3")
    assert (claimed(bench), bench.document()) == (claim, document)


def test_a_run_that_was_killed_before_an_action_has_nothing_of_it_to_put_back(bench: Bench, tmp_path: Path) -> None:
    """The intent is on record and the action was not made: its line changes nothing, the others put back the rest."""
    before = world(bench)
    moved = Moved(bench, "move_endpoints", kill=True)
    run_by_bash(moved.script, tmp_path / "hands", "boto3")
    assert world(bench) == before


def test_what_another_process_changed_since_ends_the_line_and_stays(bench: Bench, tmp_path: Path) -> None:
    """A record, a claim and the document: each by another hand. The message says whose, and nothing is written."""
    moved = Moved(bench)
    *_, move, declare, _close, lower = moved.lines
    bench.epoch = 9  # another run, with a newer lease
    bench.act("await_endpoints_insync")
    document = {**bench.document(), "run": "promote-2"}
    body = json.dumps(document).encode()
    bench.world().store.put(f"{bench.prefix}/drfsm/active.json", body)
    now = (listed(bench), claimed(bench), bench.document())
    for number, (line, words) in enumerate([(move, "has a claim of another run"), (declare, "written by promote-2")]):
        with pytest.raises(AssertionError, match=f"{words}.*another process changed it since. Nothing was written"):
            run_by_bash(f"{line}\ntouch went-on", tmp_path / f"{number}", "boto3")
        assert not (tmp_path / f"{number}/went-on").exists()
    by_hand(bench, Weight=9)
    with pytest.raises(AssertionError, match=f"{HOST} has other records than this run made"):
        run_by_bash(lower, tmp_path / "lower", "boto3")
    by_hand(bench, Weight=0)
    assert (listed(bench), claimed(bench), bench.document()) == now
