"""Each guard refuses, names itself, and leaves everything as it was."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from drfsm.dr.pointers import pointers
from drfsm.engine import Run
from drfsm.errors import ActionFailed, GuardRefused
from drfsm.sandbox.seed import CONFIGMAP, CRONJOB, DASHBOARD
from tests.promote.conftest import Make
from tests.promote.test_abort import picture
from tests.promote.test_approval import NEWER, shown_now
from tests.promote.world import Promote
from tests.safety.world import Site, refused_with

Spoil = Callable[[Site], object]


def own(site: Site, whose: str) -> None:
    """Let drfsm's ownership object name a site of another cluster."""
    body = f'{{"site": "{whose}", "cluster_uid": "another", "epoch": 1}}'
    site.put(f"{site.prefix}/drfsm/ownership.json", body.encode())


def argo(site: Site, where: str) -> None:
    """Let a GitOps controller keep a CronJob."""
    mark = {"argocd.argoproj.io/tracking-id": "x"}
    site.edit(where, "CronJob", CRONJOB, lambda live: live["metadata"].setdefault("annotations", {}).update(mark))


def serve(site: Site) -> None:
    """Give the standby's dashboard a pod, which a restore left without any."""
    site.edit("dr", "Deployment", DASHBOARD, lambda live: live["spec"].update(replicas=1))


def schedule(site: Site) -> None:
    """Let everything of the standby run."""
    site.suspend("dr", suspend=False)
    serve(site)


FINDINGS: dict[str, tuple[Spoil, dict[str, Any], str]] = {
    "another account": (lambda _: None, {"expect_account": "999999999999"}, "cloud_identity is mismatched"),
    "one cluster twice": (lambda _: None, {"kubeconfig_primary": "DR"}, "clusters is same"),
    "an image by tag": (
        lambda site: site.container("dr", image="registry.example/jobintel:latest"),
        {"image_ref": "registry.example/jobintel:latest"}, "image is loose",
    ),
    "another image": (
        lambda site: site.container("dr", image=f"registry.example/other@sha256:{'0' * 64}"), {}, "image is",
    ),
    "no permission": (
        lambda site: site.cluster("primary").deny("patch", "batch", "cronjobs"), {}, "primary: patch cronjobs",
    ),
    "a controller on DR": (partial(argo, where="dr"), {}, "dr: CronJob"),
    "a controller on the primary": (partial(argo, where="primary"), {}, "primary: CronJob"),
    "a CronJob that heeds nobody": (
        lambda site: site.container("primary", env=[{"name": "PUBLISH_S3", "value": "1"}]), {},
        "publishing_switch is overridden",
    ),
    "a DR that publishes elsewhere": (
        lambda site: site.configure("dr", JOBINTEL_S3_PREFIX="elsewhere"), {}, "publishing_place is elsewhere",
    ),
    "no schedule to run": (
        lambda site: site.edit("dr", "CronJob", CRONJOB, lambda live: live["metadata"].pop("annotations")), {},
        "schedule_plan is unclear",
    ),
    "DR publishes": (
        lambda site: site.configure("dr", PUBLISH_S3="1", PUBLISH_S3_DRY_RUN="0"), {}, "dr_publishing is on",
    ),
    "DR is scheduled": (schedule, {}, "dr_schedules is on"),
    "DR's schedule alone is on": (lambda site: site.suspend("dr", suspend=False), {}, "dr_schedules is mixed"),
    "DR's pods alone are on": (serve, {}, "dr_schedules is mixed"),
    "a DR Job runs": (
        lambda site: site.work("dr", "busy", NEWER, SANDBOX_SLEEP_SECONDS="60"), {}, "dr_inflight is yes",
    ),
    "DR can take no pod": (lambda site: site.cordon("dr"), {}, "dr_health is degraded"),
    "DR owns already": (partial(own, whose="dr"), {}, "owner is other"),
    "a stranger owns": (partial(own, whose="somebody"), {}, "owner is other"),
}  # fmt: skip


@pytest.mark.parametrize("finding", list(FINDINGS))
def test_a_finding_before_anything_moved_refuses_the_run(site: Site, promote: Make, finding: str) -> None:
    """The refusal says what was seen; pointers, sites, artifacts and policy are as they were."""
    spoil, given, words = FINDINGS[finding]
    spoil(site)
    if given.get("kubeconfig_primary") == "DR":
        given = {"kubeconfig_primary": str(site.sandbox.dr.kubeconfig)}
    before = picture(site)
    run = promote(**given)
    run.start()
    assert run.state.status == "refused", run.words
    assert words in run.state.reason
    assert picture(site) == before


def test_another_owner_is_passed_over_only_by_a_persons_word(site: Site, promote: Make) -> None:
    """The primary was made canonical by hand while the object names DR: --adopt-ownership says so, on record."""
    own(site, "dr")
    run = promote(adopt_ownership="yes", reason="failed back by hand in March")
    run.promoted()
    assert run.state.status == "complete", run.words
    assert run.results("check_receipt")["in_place_of"] == "dr"


THAWED: dict[str, tuple[Spoil, str]] = {
    "the primary is scheduled again": (lambda site: site.suspend("primary", suspend=False), "primary_schedules is on"),
    "the primary publishes again": (
        lambda site: site.configure("primary", PUBLISH_S3="1", PUBLISH_S3_DRY_RUN="0"), "primary_publishing is on",
    ),
    "DR is woken": (lambda site: site.configure("dr", PUBLISH_S3="1", PUBLISH_S3_DRY_RUN="0"), "dr_publishing is on"),
    "a Job of the primary is started by hand": (
        lambda site: site.work("primary", "by-hand", NEWER, SANDBOX_SLEEP_SECONDS="60"), "primary_inflight is yes",
    ),
    "an artifact is altered": (
        lambda site: site.flip(next(k for k in site.etags(f"{site.prefix}/promotes/") if k.endswith(".csv"))),
        "approval is stale",
    ),
}  # fmt: skip


STATES = ["primary_quiesced", "artifacts_published", "provider_switched"]


@pytest.mark.parametrize(
    ("thaw", "state"),
    [*((thaw, "provider_switched") for thaw in THAWED), *zip(THAWED, STATES, strict=False)][: len(THAWED) + 2],
)
def test_what_changes_behind_our_back_holds_the_run_at_every_row_up_to_the_switch(
    site: Site, promote: Make, thaw: str, state: str
) -> None:
    """A frozen site thawed, DR woken, a Job by hand, an artifact altered: held, named, the global pointer unmoved."""
    spoil, words = THAWED[thaw]
    run = promote()
    run.when_in(state, lambda: spoil(site))
    run.promoted()
    assert (run.state.status, run.state.state) == ("held", state), run.words
    assert words in run.state.reason
    assert site.pointers()[site.pointer_keys()[0]]["run_id"] == site.sandbox.primary_run_id
    assert site.owner() == "primary"
    assert "abort" in run.next_actions


def test_the_configmaps_annotation_says_how_publishing_was(site: Site, promote: Make) -> None:
    """What the promote's freeze found is kept on the primary's objects, for the failback."""
    run = promote()
    run.promoted()
    kept = site.cluster("primary").store.get("configmaps", run.inputs["namespace"], CONFIGMAP)["metadata"][
        "annotations"
    ]
    assert '"PUBLISH_S3": "1"' in kept["drfsm/before"]


def run_of(run: Promote) -> Run:
    """Return what an action of this run may know."""
    return Run(
        id=run.id, inputs=run.state.inputs, operator="ann", epoch=1, dry_run=False, trigger="capture_pointers",
        results=run.state.results, args=run.state.args, clock=run.clock,
    )  # fmt: skip


@pytest.mark.parametrize("which", range(1, 4))
def test_a_missing_pointer_is_found_before_anybody_is_asked(site: Site, promote: Make, which: int) -> None:
    """Any other than the one that decides: refused at once; held where it goes missing later; with what to type."""
    key = site.pointer_keys()[which]
    body = site.body(key)
    site.delete(key)
    before = picture(site)
    run = promote()
    run.start()
    assert run.state.status == "refused", run.words
    assert "pointers_are_complete: would hold at verify_dr_run: pointers_present is some_missing" in run.state.reason
    assert key in run.state.reason
    site.put(key, body)
    run = promote()
    run.when("commit", "run_preflight", lambda: site.delete(key))
    run.start()
    assert (run.state.status, run.state.state) == ("held", "dr_validated"), run.words
    assert "pointers_present is some_missing" in run.state.reason
    assert key in run.state.reason
    assert f"drfsm pointers set {site.sandbox.primary_run_id} --bucket {site.bucket}" in run.state.reason
    assert picture(site) == before
    site.put(key, body)
    run.resume()
    assert run.state.state == "dr_run_verified", run.words


@pytest.mark.parametrize("state", ["dr_run_verified", "primary_quiesced"])
def test_no_plan_is_approved_over_a_missing_pointer(site: Site, promote: Make, state: str) -> None:
    """Deleted where the run waits: refused, also in the plan as it is now; the capture itself names the way on."""
    key = site.pointer_keys()[3]
    run = promote()
    run.brought_to(state)
    site.delete(key)
    told = refused_with(lambda: run.request("approve", **shown_now(run)), GuardRefused)
    assert "pointers_present is some_missing" in told
    assert "approval is" not in told
    world, _ = run.world()
    with pytest.raises(ActionFailed, match="does not exist") as caught:
        pointers.ACTIONS["capture_pointers"](world, run_of(run))
    assert f"drfsm pointers set {site.sandbox.primary_run_id}" in caught.value.hint
    assert f"--take-over {run.id}" in caught.value.hint
