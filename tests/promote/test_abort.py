"""From every state before the point of no return an abort ends with the primary as it was, killed or not."""

from typing import Any

import pytest

from drfsm.errors import IllegalTransition
from drfsm.spec import By
from tests.promote.conftest import Make
from tests.promote.world import SPEC, Promote, Ready
from tests.safety.test_validation import ECR_IMAGE, pulls_by_an_expired_token
from tests.safety.world import Killed, Site, refused_with

# The state reached -> what leads there: plain, fenced, with the primary lost, or with a pull Secret that is renewed.
WAYS: dict[str, str] = {
    "preflight_ok": "", "pull_secret_refreshed": "renewed",
    "dr_validated": "", "dr_run_verified": "", "approved": "", "primary_fenced": "fenced",
    "primary_not_fenced": "",
    "primary_frozen": "fenced", "primary_silenced": "", "primary_quiesced": "fenced", "primary_lost": "lost",
    "pointers_captured": "", "artifacts_published": "fenced", "provider_switched": "fenced",
}  # fmt: skip
ELSEWHERE = {
    "start": "test_primary.py: an unreachable primary",
    "validation_due": "test_receipts.py: an abort takes its own validation away",
    "validation_started": "likewise",
    "validation_finished": "likewise",
    "active_site_adopted": "tests/endpoints/test_procedures.py: an abort gives the gate back",
    "endpoints_ready": "likewise",
    "primary_gate_closed": "likewise",
    "writes_refused": "likewise",
    "writes_settled": "likewise",
}


def test_every_state_from_which_an_abort_is_declared_is_tried() -> None:
    """The table holds the states that the declaration lets abort from into the undoing."""
    declared = {row.source for row in SPEC.rows if (row.trigger, row.to, row.by) == ("abort", "aborting", By.OPERATOR)}
    assert declared == set(WAYS) | set(ELSEWHERE)


def picture(site: Site) -> dict[str, Any]:
    """Return all that an abort must leave as it was."""
    canonical = {key: etag for key, etag in site.etags(f"{site.prefix}/").items() if "/drfsm/" not in key}
    return {
        "primary": site.touchable("primary"), "dr": site.touchable("dr"), "pointers": site.pointers(),
        "canonical": {key: etag for key, etag in canonical.items() if "/state/" not in key},
        "policy": site.statements(),
    }  # fmt: skip


def inputs_for(ready: Ready, state: str) -> dict[str, Any]:
    """Return what leads to a state."""
    renewed = {"refresh_pull_secret": "asked", "image_ref": ECR_IMAGE, "allow_image_drift": "yes"}
    return {"": {}, "fenced": ready.fence(), "lost": ready.lost(), "renewed": renewed}[WAYS[state]]


def ended(site: Site, run: Promote, before: dict[str, Any]) -> None:
    """Hold what aborted means: the primary publishes as before, DR stands by, no pointer names DR's run."""
    assert run.state.status == "aborted", run.words
    assert picture(site) == before
    assert run.inputs["dr_run_id"] not in site.named()
    assert site.publishing("dr") == ("0", "1")
    assert site.owner() in (None, "primary")


@pytest.mark.parametrize("state", list(WAYS))
def test_an_abort_gives_everything_back_also_when_it_is_killed_on_its_way(
    ready: Ready, site: Site, promote: Make, state: str
) -> None:
    """Newest first: pointers, artifacts, publishing, schedules, fence; killed between and within, it goes on."""
    if WAYS[state] == "renewed":
        pulls_by_an_expired_token(site, "dr")
    before = picture(site)
    run = promote(**inputs_for(ready, state))
    run.brought_to(state)
    if run.state.undo:
        killed_while_it_gives_back(run)
    else:
        run.abort()
    ended(site, run, before)


def killed_while_it_gives_back(run: Promote) -> None:
    """Abort a run, killed before and after its first undo, to its end."""

    def cut() -> None:
        raise Killed

    run.when("intent", "undo_newest", cut)  # in the journal, and not done
    run.killed(run.abort)
    run.when("commit", "undo_newest", cut)  # done, and not told
    run.killed(run.abort)
    run.resume()


@pytest.mark.parametrize("after", ["switch_global_pointer", "enable_dr_publish", "schedule_dr"])
def test_after_the_point_of_no_return_an_abort_is_refused(site: Site, promote: Make, after: str) -> None:
    """DR is canonical: the refusal is on record, and the run can only go on."""
    run = promote()
    run.stop_after(after)
    run.promoted()
    refused_with(run.abort, IllegalTransition)
    assert "abort" not in run.next_actions
    assert any(each.kind == "rejected" for each in run.records)
    assert site.owner() == "dr"
    run.resume()
    assert run.state.status == "complete"


def test_a_pointer_that_somebody_else_moved_is_not_written_over(ready: Ready, site: Site, promote: Make) -> None:
    """Moved by hand between the captures and the switch: held; the abort leaves that one to a person, with a reason."""
    run = promote()
    key = site.pointer_keys()[2]
    run.when_in("provider_switched", lambda: site.point(key, "2027-05-05"))
    run.promoted()
    assert (run.state.status, run.state.state) == ("held", "provider_switched"), run.words
    assert "pointers_as_captured" in run.state.reason
    run.abort()
    assert run.state.status == "held"
    run.request("waive_undo")
    assert run.state.status == "aborted", run.words
    assert site.pointers()[key]["run_id"] == "2027-05-05"
    assert ready.receipt["run_id"] not in site.named()
