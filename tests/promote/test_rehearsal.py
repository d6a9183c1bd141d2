"""A drill rehearses a promote: by both flags, on its own prefix, and nothing else is touched."""

import json
from typing import Any

import pytest

from drfsm.dr.procedures import rehearsal
from drfsm.errors import IllegalTransition
from tests.promote.conftest import Make
from tests.promote.world import Promote, Ready
from tests.safety.world import Killed, Site

DRILL = "drill-1"


def outside(site: Site) -> dict[str, str]:
    """Return every object of the bucket that is not the drill's, with its ETag."""
    own = f"{site.prefix}/drills/{DRILL}/"
    return {key: etag for key, etag in site.etags().items() if not key.startswith(own)}


def everything_else(site: Site) -> Any:
    """Return all that a rehearsal must leave as it is."""
    return outside(site), site.touchable("primary"), site.touchable("dr"), site.statements()


def rehearsed(site: Site, run: Promote) -> None:
    """Hold what a rehearsal leaves on the drill's own prefix."""
    home = f"{site.prefix}/drills/{DRILL}/rehearsal"
    found = site.everything(f"{home}/state/")
    assert len(found) == 4
    for each in map(json.loads, found.values()):
        assert each["run_id"] == run.inputs["dr_run_id"]
        assert each["run_path"] == f"{home}/runs/{run.inputs['dr_run_id']}"
        assert set(each["provider_profiles"].values()) == {run.inputs["dr_run_id"]}
    assert site.etags(f"{home}/runs/{run.inputs['dr_run_id']}/")
    assert site.etags(f"{home}/latest/")
    assert json.loads(site.body(f"{home}/drfsm/ownership.json"))["site"] == "dr"


def test_a_rehearsal_moves_the_drills_own_pointers_and_touches_nothing_else(
    ready: Ready, site: Site, promote: Make
) -> None:
    """Complete, with no approval asked for, no canonical key written, no site stopped, DR as quiet as before."""
    before = everything_else(site)
    run = promote(ready.rehearsal(DRILL))
    run.start()
    assert (run.state.status, run.state.state) == ("complete", "rehearsal_complete"), run.words
    assert everything_else(site) == before
    rehearsed(site, run)
    assert "Rehearsed" in run.summary["receipt"]["rehearsed"]
    assert not any(site_name == "primary" for site_name, *_ in run.asked)  # it was never even called
    assert not [e for e in run.records if e.body.get("trigger") == "approve"]


def test_where_nothing_is_canonical_yet_it_begins_with_pointers_of_its_own(
    ready: Ready, site: Site, promote: Make
) -> None:
    """Without any canonical pointer they are made of what the validated run left beside; the rest is the same."""
    for key in site.pointer_keys():
        site.delete(key)
    before = everything_else(site)
    run = promote(ready.rehearsal(DRILL, primary_run_id=""))
    run.start()
    assert (run.state.status, run.state.state) == ("complete", "rehearsal_complete"), run.words
    assert everything_else(site) == before
    rehearsed(site, run)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"auto_promote": "false"}, "no_auto_promote"),
        ({"allow_promote_bypass": "false"}, "no_bypass"),
        ({"auto_promote": "false", "allow_promote_bypass": "false"}, "neither"),
    ],
    ids=["only bypass", "only auto", "none"],
)
def test_with_a_flag_missing_it_is_refused_and_says_which(
    ready: Ready, site: Site, promote: Make, flags: dict[str, str], named: str
) -> None:
    """One flag is not enough, whichever: nothing of the drill is staged."""
    before = everything_else(site)
    run = promote(ready.rehearsal(DRILL) | flags)
    run.start()
    assert run.state.status == "refused", run.words
    assert f"promote_flags is {named}" in run.state.reason
    assert everything_else(site) == before
    assert not site.etags(f"{site.prefix}/drills/{DRILL}/rehearsal/state/")


def test_flags_do_not_promote_what_is_canonical(site: Site, promote: Make) -> None:
    """With both flags a promote of the canonical target waits for its approval like any other."""
    run = promote(auto_promote="true", allow_promote_bypass="true")
    run.start()
    assert (run.state.status, run.state.state) == ("held", "dr_run_verified")
    with pytest.raises(IllegalTransition):
        run.request("bypass_approval")
    assert site.named() == {site.sandbox.primary_run_id}


@pytest.mark.parametrize(
    "prefix", ["jobintel", "jobintel/state", "jobintel/drills/../x", "jobintel/drills/d", "other/drills/d/rehearsal"]
)
def test_elsewhere_than_in_a_drills_own_place_a_rehearsal_is_judged_canonical(prefix: str) -> None:
    """The canonical prefix, a path that climbs out of the drills, another's: all are judged as canonical keys."""
    assert rehearsal.judge_place({"prefix": prefix, "rehearses": "jobintel"}) == "canonical"


def test_a_rehearsal_on_canonical_keys_is_refused(ready: Ready, site: Site, promote: Make) -> None:
    """The canonical prefix: refused before anything is written."""
    run = promote(ready.rehearsal(DRILL) | {"prefix": site.prefix})
    run.start()
    assert run.state.status == "refused"
    assert "rehearsal_stays_beside" in run.state.reason
    assert site.named() == {site.sandbox.primary_run_id}


def test_a_dr_that_wakes_in_the_middle_fails_the_rehearsal(ready: Ready, site: Site, promote: Make) -> None:
    """Somebody switches DR's publishing on: the rehearsal ends failed, saying so; no canonical key was written."""
    run = promote(ready.rehearsal(DRILL))
    before = outside(site)
    run.when_in("rehearsal_captured", lambda: site.configure("dr", PUBLISH_S3="1", PUBLISH_S3_DRY_RUN="0"))
    run.start()
    assert (run.state.status, run.state.state) == ("failed", "rehearsal_failed"), run.words
    assert "dr_is_quiet" in run.state.reason
    assert outside(site) == before


def test_a_rehearsal_can_be_aborted_and_killed_like_anything(ready: Ready, site: Site, promote: Make) -> None:
    """Killed in the middle of its switch it goes on; aborted before, it ends with nothing else touched."""

    def cut() -> None:
        raise Killed

    before = everything_else(site)
    run = promote(ready.rehearsal(DRILL))
    run.when("intent", "switch_global_pointer", cut)
    run.killed(run.start)
    run.resume()
    assert run.state.status == "complete", run.words
    rehearsed(site, run)
    other = promote(ready.rehearsal("drill-2"))
    other.when_in("rehearsal_provider_switched", other.interrupt)
    other.start()
    other.abort()
    assert (other.state.status, other.state.state) == ("aborted", "rehearsal_aborted")
    rest = [key for key in outside(site) if not key.startswith(f"{site.prefix}/drills/drill-2/")]
    assert sorted(rest) == sorted(before[0])
    assert everything_else(site)[1:] == before[1:]
