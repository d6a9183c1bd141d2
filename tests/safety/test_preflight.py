"""Everything that could stop a failback in the middle is asked beforehand, all findings at once, and nothing moves."""

import http.client
import threading
from collections.abc import Callable, Iterator
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

from drfsm.dr.sites.preflight import FACTS
from drfsm.evidence.narrative import tell
from drfsm.sandbox.seed import CONFIGMAP, CRONJOB, DASHBOARD, IMAGE_REF, NAMESPACE, REPOSITORY, job_from
from tests.safety.conftest import Make
from tests.safety.test_one_cause import progress_of
from tests.safety.world import Failback, Site, container_of, soon

OTHER_IMAGE = f"{REPOSITORY}@sha256:{'0' * 64}"


def refused(site: Site, run: Failback) -> str:
    """Run it; hold that it ends refused with nothing moved, and return its reason."""
    before = [site.touchable("primary"), site.touchable("dr"), site.pointers(), site.statements()]
    run.start()
    assert run.state.status == "refused", run.words
    assert [site.touchable("primary"), site.touchable("dr"), site.pointers(), site.statements()] == before
    assert "Frozen now" not in run.words
    return run.state.reason


def test_all_findings_are_told_at_once(site: Site, failback: Make) -> None:
    """Permissions that either site lacks, a wrong account, a tag, an unknown alarm, no ARN: one refusal."""
    site.cluster("dr").deny("patch", "batch", "cronjobs")
    site.cluster("primary").deny("get", "", "pods/log")
    site.cluster("primary").deny("create", "batch", "jobs")
    run = failback(
        expect_account="999999999999", image_ref=f"{REPOSITORY}:latest", alarms="no-such-alarm",
        fence_dr="asked", fence_dr_role="jobintel-dr",
    )  # fmt: skip
    told = refused(site, run)
    for finding in (
        "dr: patch cronjobs.batch in jobintel",
        "primary: get pods/log in jobintel",
        "primary: create jobs.batch in jobintel",
        '"expected_account": "999999999999"',
        "image is loose",
        "image_drift is differs",
        "the alarm no-such-alarm does not exist",
        "the identity to fence on dr: jobintel-dr is no ARN of one role or user",
    ):
        assert finding in told


@pytest.mark.parametrize("what", ["list", "get"])
def test_what_may_not_even_be_read_is_a_finding_too(site: Site, failback: Make, what: str) -> None:
    """Where a cluster doesn't let us look, that is told beside everything else."""
    site.cluster("primary").deny(what, "*", "*")
    told = refused(site, failback())
    assert "permissions is missing" in told
    assert f"primary: {what} cronjobs.batch in jobintel" in told


def test_one_cluster_under_both_names_is_refused(site: Site, failback: Make) -> None:
    """Else freezing DR would freeze the primary."""
    run = failback(kubeconfig_primary=str(site.cluster("dr").kubeconfig))
    assert "clusters is same" in refused(site, run)


def test_wrong_tokens_are_refused_before_any_call(site: Site, failback: Make) -> None:
    """With both clusters and the store out of reach, a wrong token is still told as that."""
    for name in ("primary", "dr"):
        site.outage(name)
    run = failback(endpoint_url="http://127.0.0.1:9", confirm2="CONFIRM-another")
    run.start()
    assert (run.state.status, run.reached) == ("refused", ["refused"])
    assert "confirmation is wrong" in run.state.reason
    assert "CONFIRM-another" not in run.state.reason


def test_a_site_out_of_reach_says_nothing_about_it_and_is_tried_again(site: Site, failback: Make) -> None:
    """Held, not refused: the network may be back in a minute; then the same run goes on."""
    site.outage("primary")
    before = site.touchable("dr")
    run = failback()
    run.start()
    assert (run.state.status, site.touchable("dr")) == ("held", before)
    assert run.state.reason.startswith("run_preflight refused: Cannot reach primary (connection refused): https://"), (
        run.words
    )
    site.outage("primary", on=False)
    run.stop_after("reach_dr")
    run.resume()
    assert run.state.state == "dr_reachable", run.words


@pytest.fixture
def deaf(site: Site) -> Iterator[str]:
    """Return the address of a store that ignores every condition on a write."""
    address = urlsplit(site.sandbox.cloud.endpoint).netloc

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {n: v for n, v in self.headers.items() if n.lower() not in ("if-match", "if-none-match")}
            upstream = http.client.HTTPConnection(address, timeout=30)
            upstream.request(self.command, self.path, body, headers)
            answer = upstream.getresponse()
            content = answer.read()
            upstream.close()
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass  # noqa: N815  http.server's names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_store_that_ignores_conditional_writes_is_refused(site: Site, failback: Make, deaf: str) -> None:
    """Two operators could not be told apart there, so no pointer is moved on it."""
    told = refused(site, failback(endpoint_url=deaf))
    assert "does not honour conditional writes (If-Match, If-None-Match)" in told
    assert not site.etags(f"{site.prefix}/drfsm/probes/")


Change = Callable[[Site], Any]


def one_after_another_on(*changes: Change) -> Change:
    """Return one change of a site of many."""

    def change(site: Site) -> None:
        for each in changes:
            each(site)

    return change


OVERRIDES: dict[str, tuple[Change, str]] = {
    "by itself": (
        lambda site: site.container("primary", env=[{"name": "PUBLISH_S3", "value": "1"}]),
        "primary: CronJob jobintel-daily, container jobintel sets PUBLISH_S3 by itself",
    ),
    "under another name": (
        lambda site: site.edit(
            "dr", "CronJob", CRONJOB, lambda live: container_of(live)["envFrom"][0].update(prefix="X_")
        ),
        "dr: CronJob jobintel-daily, container jobintel does not take its environment from ConfigMap jobintel-config",
    ),
    "from a later ConfigMap": (
        one_after_another_on(
            lambda site: site.cluster("dr").apply({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "louder", "namespace": "jobintel"},
                "data": {"PUBLISH_S3": "1"},
            }),
            lambda site: site.edit("dr", "CronJob", CRONJOB, lambda live: container_of(live)["envFrom"].append(
                {"configMapRef": {"name": "louder"}})),
        ),
        "takes a switch from ConfigMap louder, which comes after jobintel-config",
    ),
    "in an init container": (
        lambda site: site.edit("primary", "CronJob", CRONJOB, lambda live:
            live["spec"]["jobTemplate"]["spec"]["template"]["spec"].update(initContainers=[
                {"name": "first", "image": IMAGE_REF, "env": [{"name": "PUBLISH_S3", "value": "1"}]}])),
        "primary: CronJob jobintel-daily, container first sets PUBLISH_S3 by itself",
    ),
    "for good": (
        lambda site: site.edit("primary", "ConfigMap", CONFIGMAP, lambda live: live.update(immutable=True)),
        "primary: ConfigMap jobintel-config is immutable, so publishing can't be switched",
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", list(OVERRIDES))
def test_a_cronjob_that_would_not_heed_the_configmap_is_found(site: Site, failback: Make, how: str) -> None:
    """Silencing it would change nothing, or could not be done: which, and why, is told before anything is frozen."""
    change, told = OVERRIDES[how]
    try:
        change(site)
        reason = refused(site, failback())
        assert told in reason
        assert "environment can't" not in reason  # what the guard says is true of each of these
    finally:
        if how == "for good":  # nobody can change it back
            site.remove("primary", "ConfigMap", CONFIGMAP)


def test_a_configmap_that_is_not_there_is_found(site: Site, failback: Make) -> None:
    """A misspelt --configmap is told on both sites."""
    told = refused(site, failback(configmap="jobintel-konfig"))
    for site_name in ("primary", "dr"):
        assert f"{site_name}: ConfigMap jobintel-konfig does not exist; name the right one with --configmap" in told


def test_another_image_than_the_cronjobs_needs_a_persons_word(site: Site, failback: Make) -> None:
    """What was validated would not be what runs next: refused, and with --allow-image-drift accepted."""
    told = refused(site, failback(image_ref=OTHER_IMAGE))
    assert "--allow-image-drift accepts it" in told
    run = failback(image_ref=OTHER_IMAGE, allow_image_drift="yes")
    run.stop_after("start_validation")
    run.start()
    (job,) = [each for each in site.jobs("primary") if "drfsm/run" in each["metadata"].get("labels", {})]
    assert job["spec"]["template"]["spec"]["containers"][0]["image"] == OTHER_IMAGE
    run.abort()
    assert run.state.status == "aborted", run.words


def test_a_primary_that_is_not_healthy_is_found_beforehand_and_a_person_may_go_on(site: Site, failback: Make) -> None:
    """A dashboard that pulls no image: refused with where it would hold and the way on; with a reason it goes on."""
    live = site.cluster("primary").store.get("deployments", NAMESPACE, DASHBOARD)
    broken = deepcopy(live)
    broken["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example/unknown:1"
    site.cluster("primary").apply(broken)
    soon("the dashboard pulls no image", lambda: "ImagePullBackOff" in refused(site, failback()))
    told = refused(site, failback())
    assert "primary_is_healthy: would hold at assess_primary: primary_health is degraded" in told
    assert "--allow-degraded --reason" in told
    run = failback()
    run.dry_run()
    assert (run.state.status, run.summary["foreseen"][0]["would"]) == ("refused", "refuse")
    assert "ImagePullBackOff" in run.state.reason  # as a real run says it
    run = failback(allow_degraded="yes", reason="the dashboard is not needed")
    run.stop_after("assess_primary")
    run.start()
    assert run.state.state == "primary_healthy", run.words
    accepted = "ACCEPTED: the primary is not healthy: the dashboard is not needed (seen: pod jobintel-dashboard-"
    progress = progress_of(run)
    for text in (run.words, "\n".join(tell(run.records, brief=True)), "\n".join(progress)):
        assert accepted in text, text
    (line,) = [number for number, line in enumerate(progress) if accepted in line]
    assert progress[line - 1].startswith("✓ primary_healthy ")
    run.abort()
    assert run.state.status == "aborted", run.words


def test_a_primary_that_falls_ill_later_is_accepted_by_a_person_with_a_reason(site: Site, failback: Make) -> None:
    """Held where it is assessed: an operator's row goes on from there, and the reason is on record."""
    run = failback()
    run.when_in("dr_run_verified", lambda: site.cordon("primary"))
    run.start()
    assert (run.state.status, run.state.stage) == ("held", "assess_primary"), run.words
    assert "accept_degraded_primary" in run.next_actions
    run.stop_after("assess_primary")
    run.request("accept_degraded_primary", allow_degraded="yes", reason="one node is enough")
    assert run.state.state == "primary_healthy", run.words
    decision = run.summary["decisions"][-1]
    assert (decision["what"], decision["reason"]) == ("accept_degraded_primary", "one node is enough")
    assert "ACCEPTED RISK" in run.words
    assert "ACCEPTED: the primary is not healthy: one node is enough" in run.words
    run.abort()
    assert run.state.status == "aborted", run.words


@pytest.mark.parametrize("name", ["primary", "dr"])
def test_a_job_that_never_ends_is_found_before_its_site_is_frozen(site: Site, failback: Make, name: str) -> None:
    """A one-off Job that is suspended: refused, with the command that ends it."""
    cluster = site.cluster(name)
    job = job_from(cluster.store.get("cronjobs", NAMESPACE, CRONJOB), "manual", {})
    job["spec"]["suspend"] = True
    cluster.apply(job)
    told = refused(site, failback())
    assert f"{name}_can_drain: would hold at freeze_{name}: {name}_backlog is stuck" in told
    kubeconfig = site.sandbox.primary.kubeconfig if name == "primary" else site.sandbox.dr.kubeconfig
    assert f"kubectl --kubeconfig {kubeconfig} -n jobintel delete job manual" in told


def test_a_job_template_that_makes_suspended_jobs_is_found(site: Site, failback: Make) -> None:
    """The validation Job would never start: nobody sees it in spec.suspend of the CronJob."""
    site.edit("primary", "CronJob", CRONJOB, lambda live: live["spec"]["jobTemplate"]["spec"].update(suspend=True))
    told = refused(site, failback())
    assert "primary_can_start_jobs: would hold at start_validation" in told
    assert "take `suspend: true` out of its spec.jobTemplate.spec" in told


def test_a_run_of_dr_that_is_damaged_is_found_before_the_freeze(site: Site, failback: Make) -> None:
    """Nothing can be compared with it."""
    site.flip(site.run_keys(site.dr_run_id)[0])
    assert "dr_run_is_whole: would hold at verify_dr_run: dr_run is damaged" in refused(site, failback())


def test_a_comparison_that_no_run_could_pass_is_found_before_the_freeze(site: Site, failback: Make) -> None:
    """A file of DR's run is not what the profile reads: it doesn't even pass against itself."""
    (key,) = (key for key in site.run_keys(site.dr_run_id) if key.endswith("openai_ranked_jobs.cs.json"))
    site.put(key, b"{")
    told = refused(site, failback())
    assert "profile_can_pass: would hold at verify_dr_run: comparison_profile is never_passes" in told
    assert "dr_run_is_whole: would hold at verify_dr_run: dr_run is damaged" in told


def test_what_is_running_only_warns(site: Site, failback: Make) -> None:
    """A Job that ends by itself is waited for: the warning is on record and in the status."""
    site.work("dr", "at-work", "2026-03-01T00:00:00.000001+00:00", SANDBOX_WAIT_FOR="gate/at-work")
    run = failback()
    run.stop_after("run_preflight")
    run.start()
    assert "dr_is_drained: would wait at confirm_dr_quiesced: dr_inflight is yes" in run.words
    site.release("at-work")
    run.abort()


def test_a_primary_that_would_stay_mute_is_found_before_it_is_too_late(site: Site, failback: Make) -> None:
    """Suspended, and nobody recorded that it ran: the operator must name what is to run, and name it right."""
    site.edit("primary", "CronJob", CRONJOB, lambda live: live["metadata"].update(annotations={}))
    assert "name them with --resume-cronjobs" in refused(site, failback())
    assert '"not_there": ["jobintel-dayly"]' in refused(site, failback(resume_cronjobs="jobintel-dayly"))
    run = failback(resume_cronjobs=CRONJOB)
    run.start()
    assert run.state.status == "complete", run.words
    assert site.schedules("primary") == {CRONJOB: (False, None)}


def test_a_set_that_is_not_whole_at_the_start_is_refused_with_the_way(site: Site, failback: Make) -> None:
    """While DR still publishes nothing is mended by the failback: it says which command completes a half-moved set."""
    site.point(site.pointer_keys()[2], "2026-01-01T00:00:00.000001+00:00")
    told = refused(site, failback())
    assert "provider_pointers is other" in told
    assert "drfsm pointers set" in told


def test_a_dry_run_walks_all_of_it_and_changes_nothing(site: Site, failback: Make) -> None:
    """Neither site, no pointer, not even a lease; and it never ends as a success."""
    before = [site.touchable("primary"), site.touchable("dr"), site.everything()]
    run = failback()
    run.dry_run()
    assert run.state.status == "dry_run"
    assert [site.touchable("primary"), site.touchable("dr"), site.everything()] == before
    assert run.summary["forecast"]["findings"] == []


@pytest.mark.parametrize(("name", "value"), [("JOBINTEL_S3_PREFIX", "elsewhere"), ("JOBINTEL_S3_BUCKET", "another")])
def test_a_primary_that_would_publish_elsewhere_is_found(site: Site, failback: Make, name: str, value: str) -> None:
    """Its own settings name another place: validated beside, it would then move no canonical pointer."""
    site.configure("primary", **{name: value})
    told = refused(site, failback())
    assert "publishing_place is elsewhere" in told
    assert value in told


def test_a_setting_of_the_cronjob_itself_wins_over_the_configmap(site: Site, failback: Make) -> None:
    """An env entry goes before what is mapped; with a slash at its end it is the same prefix."""
    env = [{"name": "JOBINTEL_S3_PREFIX", "value": f"{site.prefix}/"}]
    site.configure("primary", JOBINTEL_S3_PREFIX="elsewhere")
    site.edit("primary", "CronJob", CRONJOB, lambda live: container_of(live).update(env=env))
    run = failback()
    run.start()
    assert run.state.status == "complete", run.words


_STORE = {"account": "123456789012", "expected_account": "", "region": "us-east-1", "bucket_region": "us-east-1"}


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, "expected"),
        ({"expected_account": "123456789012"}, "expected"),
        ({"expected_account": "999999999999"}, "mismatched"),
        ({"bucket_region": "eu-west-1"}, "mismatched"),
        ({"account": "untold: STS does not answer at http://store"}, "expected"),
        ({"account": "untold: STS does not answer", "expected_account": "123456789012"}, None),
        ({"bucket_region": "untold: the store does not answer"}, "expected"),
        ({"bucket_region": "untold: the store does not answer", "expected_account": "999999999999"}, "mismatched"),
    ],
    ids=str,
)
def test_what_nobody_tells_blocks_only_where_it_was_asked_for(changed: dict[str, str], verdict: str | None) -> None:
    """A store that is not AWS's: without an expected account it goes on, with one the fact is unknown."""
    assert FACTS["cloud_identity"].judge({**_STORE, **changed}, {}) == verdict
