"""From every state before the point of no return an abort ends as declared, also if it is killed itself."""

from typing import Any

import pytest

from drfsm.dr.sites.fence_statement import sid
from drfsm.errors import IllegalTransition
from drfsm.sandbox.seed import CRONJOB
from drfsm.spec import By
from tests.safety.conftest import Make
from tests.safety.test_validation import ECR_IMAGE, pulls_by_an_expired_token
from tests.safety.world import SPEC, Failback, Killed, Site, refused_with

# The state reached -> the inputs that lead there, beside the plain way.
WAYS: dict[str, dict[str, str]] = {
    "intent_confirmed": {}, "preflight_ok": {}, "primary_reachable": {}, "dr_reachable": {},
    "dr_promoted_confirmed": {},
    "primary_fenced": {"fence_primary": "asked"}, "primary_frozen": {}, "primary_silenced": {}, "primary_quiesced": {},
    "dr_frozen": {}, "dr_demoted": {}, "dr_quiesced": {}, "dr_fenced": {"fence_dr": "asked"},
    "dr_lost": {"dr_unreachable": "yes"}, "pointers_captured": {}, "dr_run_verified": {},
    "sync_complete": {"sync": "asked"},
    "sync_skipped": {"sync": "asked"}, "primary_restore_checked": {"restore_check": "asked"},
    "restore_check_skipped": {"restore_check": "asked"},
    "pull_secret_refreshed": {"refresh_pull_secret": "asked", "image_ref": ECR_IMAGE, "allow_image_drift": "yes"},
    "primary_healthy": {}, "validation_started": {},
    "validation_finished": {}, "primary_run_verified": {}, "no_divergence_confirmed": {}, "artifacts_published": {},
    "primary_publish_enabled": {}, "provider_switched": {"fence_dr": "asked"},
    "dr_run_kept": {"keep": "yes"}, "primary_publish_enabled_for_next": {"keep": "yes"},
}  # fmt: skip
OF_ENDPOINTS = {
    "active_site_adopted", "endpoints_tried", "endpoint_ttl_lowered", "endpoints_ready",
    "dr_gate_closed", "writes_refused", "writes_settled",
}  # fmt: skip
"""tests/endpoints/test_sandbox_whole.py tries these: an abort gives gate and TTL back."""
SKIPS = {"sync_skipped": "skip_sync", "restore_check_skipped": "skip_restore_check"}


def test_every_state_from_which_an_abort_is_declared_is_tried_here() -> None:
    """The tables hold exactly the states that the declaration lets abort from."""
    declared = {row.source for row in SPEC.rows if row.trigger == "abort" and row.by is By.OPERATOR}
    assert declared == {*WAYS, *OF_ENDPOINTS}


def brought_to(site: Site, failback: Make, state: str) -> Failback:
    """Return a run that stands in a state."""
    given = dict(WAYS[state])
    keep = given.pop("keep", "")
    roles = {"fence_primary_role": site.role("primary"), "fence_dr_role": site.role("dr")}
    more: dict[str, Any] = {
        "sync_src_prefix": f"{site.prefix}/runs", "sync_dst_prefix": "copies/runs",
        "primary_restore_backup_uri": site.sandbox.backup_uri,
    }  # fmt: skip
    site.launch()
    if "refresh_pull_secret" in given:
        pulls_by_an_expired_token(site)
    run = failback(**given, **more, **(roles if "asked" in given.values() or "dr_unreachable" in given else {}))
    if keep:
        site.configure("primary", JOBINTEL_DIVERGE="other weather")
        run.start()
        run.when_in(state, run.interrupt)
        run.request("keep_dr_run")
    elif skip := SKIPS.get(state):
        run.when_in("dr_run_verified", run.interrupt)
        run.start()
        run.when_in(state, run.interrupt)
        run.request(skip)
    else:
        run.when_in(state, run.interrupt)
        run.start()
    assert (run.state.status, run.state.state) == ("held", state), run.words
    return run


def picture(site: Site, run: Failback) -> dict[str, Any]:
    """Return what an abort must leave as it was: DR, the pointers, all that is canonical, foreign policies."""
    canonical = {
        key: etag
        for key, etag in site.etags(f"{site.prefix}/").items()
        if "/drfsm/" not in key and "/state/" not in key  # pointers are compared by their fields
    }
    mine = [each for each in site.statements() if each.get("Sid") != sid("primary", "jobintel")]
    del run
    return {"dr": site.touchable("dr"), "pointers": site.pointers(), "canonical": canonical, "policy": mine,
            "runners": site.runners()}  # fmt: skip


def ended_as_declared(site: Site, run: Failback, before: dict[str, Any]) -> None:
    """Hold what `aborted` means."""
    assert run.state.status == "aborted", run.words
    assert picture(site, run) == {**before, "runners": site.runners()}
    assert len(site.runners()) == 1  # an abort tears nothing down
    assert run.primary_run_id not in site.named()
    assert not site.run_keys(run.primary_run_id)
    assert not [e for e in site.jobs("primary") if e["metadata"]["name"].startswith("drfsm-")]
    suspended, annotation = site.schedules("primary")[CRONJOB]
    assert suspended
    assert '"suspend": false' in str(annotation).replace('":false', '": false')  # how it ran is not forgotten
    assert site.publishing("primary") == ("0", "1")
    assert site.owner() in (None, "dr")
    fences = {each["Sid"] for each in site.statements()}
    assert fences == ({sid("primary", "jobintel")} if "primary_fenced" in run.reached else set())


@pytest.mark.parametrize("state", list(WAYS))
def test_an_abort_ends_as_declared_also_when_it_is_killed_on_its_way(site: Site, failback: Make, state: str) -> None:
    """DR publishes exactly as before, and nothing of the primary's run is canonical; killed, it goes on."""
    shown = failback()
    before = picture(site, shown)
    run = brought_to(site, failback, state)

    def cut() -> None:
        raise Killed

    to_undo = len(run.state.undo)
    run.when("intent", "undo_newest", cut)  # in the journal, and not done
    if to_undo:
        run.killed(run.abort)
        run.when("commit", "undo_newest", cut)  # done, and not told
        run.killed(run.abort)
        if to_undo > 1:
            run.on("after", "dr", "patch", "ConfigMap", cut)  # done, and not in the journal
            try:
                run.resume()
            except Killed:
                run.resume()
        else:
            run.resume()
    else:
        run.abort()
    ended_as_declared(site, run, before)


@pytest.mark.parametrize("state", ["dr_demoted", "provider_switched"])
def test_a_plain_abort_ends_the_same(site: Site, failback: Make, state: str) -> None:
    """Nothing interrupts it: the same end, with what was not given back said in the words that the declaration has."""
    shown = failback()
    before = picture(site, shown)
    run = brought_to(site, failback, state)
    run.abort("we think again")
    ended_as_declared(site, run, before)
    assert "we think again" in run.words
    assert "the primary's schedules stay suspended" in run.words


@pytest.mark.parametrize(
    "after",
    ["switch_global_pointer", "unfence_primary", "resume_primary", "confirm_soak"],
)
def test_after_the_point_of_no_return_an_abort_is_refused_with_the_reason(
    site: Site, failback: Make, after: str
) -> None:
    """The primary is canonical: nothing is undone, the refusal is on record, and the run can only go on."""
    run = failback(soak="now")
    run.stop_after(after)
    run.start()
    told = refused_with(run.abort, IllegalTransition)
    assert "abort is not legal in state" in told
    assert "abort" not in run.next_actions
    assert run.records[-1].kind in ("rejected", "held")
    assert any(each.kind == "rejected" for each in run.records)
    assert site.dr_run_id not in site.named()
    assert site.owner() == "primary"


@pytest.mark.parametrize("way", ["back", "forth"])
def test_with_only_the_intent_of_the_last_move_written_both_ways_are_open(site: Site, failback: Make, way: str) -> None:
    """Killed between the intent and the first byte: an abort shuts the move out first, a resume completes."""

    def cut() -> None:
        raise Killed

    run = failback()
    before = site.named()
    run.when("intent", "switch_global_pointer", cut)
    run.killed(run.start)
    assert site.pointers()[site.pointer_keys()[0]]["run_id"] == site.dr_run_id
    if way == "forth":
        run.resume()
        assert run.state.status == "complete", run.words
        return
    run.abort()
    assert run.state.status == "aborted", run.words
    assert any(each.kind == "settled" and each.body["how"] == "touched" for each in run.records)
    assert (site.owner(), site.named(), site.publishing("dr")) == ("dr", before, ("1", "0"))
