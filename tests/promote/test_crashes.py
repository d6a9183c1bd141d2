"""Killed after any record, before and after any write, a promote goes on and ends as it would have."""

from collections.abc import Callable

import pytest

from drfsm.journal import Record
from drfsm.sandbox.seed import CRONJOB
from tests.promote.conftest import Make
from tests.promote.test_stories import dr_publishes_alone
from tests.promote.world import Promote, Ready
from tests.safety.world import Killed, Site, _Hook

AGAIN = ("resumed", "lease_acquired", "held", "ended", "seal")  # what a new process writes before it goes on


def cut() -> None:
    """Cut the power."""
    raise Killed


def killed_everywhere(run: Promote, verb: Callable[[], object]) -> int:
    """Do something, killed after each kind of record of each row, once; return how often."""
    killed: set[tuple[str, str]] = set()

    def fits(record: Record) -> bool:
        here = (record.kind, str(record.body.get("row", "")))
        fresh = record.kind not in AGAIN and here not in killed
        killed.add(here)
        return fresh

    while True:
        run._hooks.append(_Hook(fits, cut))
        try:
            verb()
        except Killed:
            verb = run.resume
        else:
            run._hooks.clear()
            return len(killed)


def test_killed_after_each_record_it_still_waits_for_the_approval_and_then_ends_alone(
    ready: Ready, site: Site, promote: Make
) -> None:
    """One process a record: nothing is done twice, nothing forgotten, and no kill stands in for the approval."""
    run = promote(**ready.fence())
    kills = killed_everywhere(run, run.start)
    assert run.state.state == "dr_run_verified", run.words
    kills += killed_everywhere(run, run.approve)
    assert run.state.status == "complete", run.words
    assert kills > 30
    dr_publishes_alone(site, ready.receipt["run_id"])
    assert site.publishing("primary") == ("0", "1")
    suspended, before = site.schedules("primary")[CRONJOB]
    assert suspended
    assert '"suspend": false' in str(before)
    assert run.summary["receipt"]["operator"] == "ann"


WRITES = [
    ("policy", "write", ""), ("primary", "patch", "CronJob"), ("primary", "patch", "ConfigMap"),
    ("store", "put", "/state/candidates/local/last_success.json"), ("dr", "patch", "ConfigMap"),
    ("dr", "patch", "CronJob"),
]  # fmt: skip


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_around_each_write_it_ends_the_same(ready: Ready, site: Site, promote: Make, moment: str) -> None:
    """The fence, both freezes, the pointers, both thaws: half done by a dead process, done by the next."""
    run = promote(**ready.fence())
    run.start()
    first, *rest = WRITES
    run.on(moment, *first, cut)
    run.killed(run.approve)
    for each in rest:
        run.on(moment, *each, cut)
        run.killed(run.resume)
    run.resume()
    assert run.state.status == "complete", run.words
    dr_publishes_alone(site, ready.receipt["run_id"])
    assert len(site.statements()) == 1
