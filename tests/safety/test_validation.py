"""The primary does the work once, beside; what keeps it from that is told, and it is never started twice."""

import base64
import json
from datetime import timedelta
from typing import Any

import pytest

from drfsm.dr.sites import pull_secret
from drfsm.journal import encode
from drfsm.sandbox import ecr_tokens
from drfsm.sandbox.seed import IMAGE_REF, REPOSITORY
from tests.safety.conftest import Make
from tests.safety.world import Failback, Killed, Site, one_after_another, soon

UNKNOWN_IMAGE = f"registry.example/nobody-has-this@sha256:{'1' * 64}"
LONG = timedelta(seconds=120)  # more than a pod gets to start


def killed() -> None:
    """Cut the power."""
    raise Killed


def told(run: Failback) -> dict[str, Any]:
    """Return what was last seen of the validation."""
    return dict(run.seen("validation_result"))


def ours(site: Site) -> list[dict[str, Any]]:
    """Return the validation's Jobs."""
    return [each for each in site.jobs("primary") if each["metadata"]["name"].startswith("drfsm-validation")]


def waits_too_long(run: Failback) -> None:
    """Let more time pass than a pod gets to start."""
    run.clock.ahead = LONG


def test_it_publishes_beside_and_touches_no_canonical_key(site: Site, failback: Make) -> None:
    """All that is canonical is byte for byte as before, whatever the site's environment says."""
    site.configure("primary", JOBINTEL_S3_PREFIX=site.prefix, JOBINTEL_RUN_ID="2020-01-01T00:00:00.000001+00:00")
    before = {key: etag for key, etag in site.etags().items() if "/drfsm/" not in key}
    run = failback()
    run.stop_after("confirm_no_divergence")
    run.start()
    assert run.state.state == "no_divergence_confirmed", run.words
    after = {key: etag for key, etag in site.etags().items() if "/drfsm/" not in key}
    assert {key: etag for key, etag in after.items() if "/validations/" not in key} == before
    home = f"{site.prefix}/validations/{run.id}"
    assert all(key.startswith(f"{home}/") for key in after.keys() - before.keys())
    assert json.loads(site.body(f"{home}/state/last_success.json"))["run_id"] == run.primary_run_id


def test_its_job_is_the_cronjobs_but_for_what_would_outlive_it(site: Site, failback: Make) -> None:
    """One try, no owner, an empty volume for each that it could leave something in; a companion keeps its own image."""
    claim = {"name": "jobintel-state", "persistentVolumeClaim": {"claimName": "state"}}
    fleeting = {"name": "tmp", "emptyDir": {}}
    certificates = {"name": "certificates", "hostPath": {"path": "/etc/ssl/certs"}}
    of_the_node = {"name": "jobintel-data", "hostPath": {"path": "/var/lib/jobintel"}}
    pod = {"volumes": [claim, fleeting, certificates, of_the_node], "restartPolicy": "OnFailure"}
    helper = {"name": "helper", "image": f"registry.example/jobintel-helper@sha256:{'2' * 64}"}

    def change(live: dict[str, Any]) -> None:
        template = live["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        template.update(pod)
        template["containers"].append(helper)
        mount = {"name": "certificates", "mountPath": "/etc/ssl/certs", "readOnly": True}
        template["containers"][0]["volumeMounts"].append(mount)
        live["spec"]["jobTemplate"]["spec"].update(backoffLimit=4, ttlSecondsAfterFinished=1)

    site.edit("primary", "CronJob", "jobintel-daily", change)
    metadata, wish = {"name": "state", "namespace": "jobintel"}, {"accessModes": ["ReadWriteOnce"], "resources": {}}
    site.cluster("primary").apply(
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": wish}
    )
    image = IMAGE_REF[:-1] + ("0" if IMAGE_REF[-1] != "0" else "1")
    run = failback(image_ref=image, allow_image_drift="yes", validation_env="JOBINTEL_SNAPSHOT=frozen=1\nPUBLISH_S3=0")
    run.stop_after("start_validation")
    run.start()
    (job,) = ours(site)
    assert "ownerReferences" not in job["metadata"]
    assert job["spec"]["backoffLimit"] == 0
    assert "ttlSecondsAfterFinished" not in job["spec"]
    spec = job["spec"]["template"]["spec"]
    names = [volume["name"] for volume in spec["volumes"]]
    empty = [volume["name"] for volume in spec["volumes"] if "emptyDir" in volume]
    assert (names, empty) == (
        ["jobintel-state", "tmp", "certificates", "jobintel-data"],
        ["jobintel-state", "tmp", "jobintel-data"],
    )
    assert spec["restartPolicy"] == "Never"
    assert [each["image"] for each in spec["containers"]] == [image, helper["image"]]
    environment = {each["name"]: each["value"] for each in spec["containers"][0]["env"]}
    assert environment["JOBINTEL_SNAPSHOT"] == "frozen=1"
    assert environment["PUBLISH_S3"] == "1"  # where it publishes, and that it does, is drfsm's alone
    run.abort()
    assert run.state.status == "aborted", run.words
    assert not ours(site)


def test_an_image_that_cant_be_pulled_is_told_with_the_clusters_own_words(site: Site, failback: Make) -> None:
    """After the start-up window it holds; the events are on record; aborted, nothing of the attempt is left."""
    run = failback(image_ref=UNKNOWN_IMAGE, allow_image_drift="yes")
    run.when("commit", "start_validation", lambda: waits_too_long(run))
    run.start()
    assert (run.state.status, run.state.state) == ("held", "validation_started"), run.words
    assert any(each.startswith(("ErrImagePull", "ImagePullBackOff")) for each in told(run)["trouble"])
    assert any(UNKNOWN_IMAGE in each for each in told(run)["events"])
    assert any("ImagePull" in each for each in run.said)
    run.abort()
    assert run.state.status == "aborted", run.words
    assert not ours(site)


ECR = "111122223333.dkr.ecr.us-east-1.amazonaws.com"
ECR_IMAGE = f"{ECR}/jobintel@sha256:{'1' * 64}"


def pulls_by_an_expired_token(site: Site, where: str = "primary") -> None:
    """Let a site pull with a Secret whose token has expired."""
    site.cluster(where).images.pop(f"{ECR}/jobintel", None)
    site.edit(
        where,
        "CronJob",
        "jobintel-daily",
        lambda live: live["spec"]["jobTemplate"]["spec"]["template"]["spec"].update(
            imagePullSecrets=[{"name": "ecr-pull"}]
        ),
    )
    password = base64.b64encode(json.dumps({"expiration": 1}).encode()).decode()
    auths = {ECR: {"auth": base64.b64encode(f"AWS:{password}".encode()).decode()}}
    body = base64.b64encode(json.dumps({"auths": auths}).encode()).decode()
    metadata = {"name": "ecr-pull", "namespace": "jobintel"}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": pull_secret.TYPE}
    site.cluster(where).apply({**secret, "data": {pull_secret.KEY: body}})


def registry_gives_the_image(site: Site) -> None:
    """Give the image to whoever has a token that the registry gave, as the kubelet would ask for it."""
    secret = site.cluster("primary").store.peek("secrets", "jobintel", "ecr-pull")
    auths = json.loads(base64.b64decode(secret["data"][pull_secret.KEY]))["auths"]
    password = base64.b64decode(auths[ECR]["auth"]).decode().partition(":")[2]
    assert ecr_tokens.is_good(password)
    images = site.cluster("primary").images
    images[f"{ECR}/jobintel"] = images[REPOSITORY]


@pytest.mark.parametrize("asked", ["no", "asked"])
def test_a_pull_secret_gets_a_new_token_and_no_record_holds_it(site: Site, failback: Make, asked: str) -> None:
    """Asked for beforehand, nothing stops the run; by a person afterwards, the same Job pulls and the run goes on."""
    run = failback(image_ref=ECR_IMAGE, allow_image_drift="yes", refresh_pull_secret=asked)
    if asked == "asked":
        pulls_by_an_expired_token(site)
        run.when("commit", "refresh_pull_secret", lambda: registry_gives_the_image(site))
        run.stop_after("await_validation")
        run.start()
    else:
        # Not before: preflight and this step's guard would find it.
        run.when("intent", "start_validation", lambda: pulls_by_an_expired_token(site))
        run.when("commit", "start_validation", lambda: waits_too_long(run))
        run.start()
        assert (run.state.status, run.state.state) == ("held", "validation_started"), run.words
        run.clock.ahead = timedelta()
        run.when("commit", "renew_pull_secret", lambda: registry_gives_the_image(site))
        run.stop_after("await_validation")
        run.request("renew_pull_secret")
    assert run.state.state == "validation_finished", run.words
    (renewed,) = [
        record.body["result"] for record in run.records
        if record.kind == "commit" and record.body["trigger"] in ("refresh_pull_secret", "renew_pull_secret")
    ]  # fmt: skip
    assert renewed["registry"] == ECR
    assert renewed["was"] == "replaced"
    said = json.dumps([record.body for record in run.records]) + "".join(run.said)
    assert not [password for password in ecr_tokens._given if password in said]


def test_a_pod_that_finds_no_node_is_told_and_goes_on_when_there_is_one(site: Site, failback: Make) -> None:
    """Cordoned after it was found healthy it is unschedulable; uncordoned, the same Job runs and it goes on."""
    run = failback()
    run.when("commit", "assess_primary", one_after_another(lambda: site.cordon("primary"), lambda: waits_too_long(run)))
    run.start()
    assert (run.state.status, run.state.state) == ("held", "validation_started"), run.words
    assert any(each.startswith("Unschedulable: 0/1 nodes are available") for each in told(run)["trouble"])
    site.cordon("primary", on=False)
    run.clock.ahead = timedelta()
    run.stop_after("confirm_no_divergence")
    run.resume()
    assert run.state.state == "no_divergence_confirmed", run.words
    assert len(ours(site)) == 1


def test_a_job_that_gets_no_pod_is_told_with_the_reason(site: Site, failback: Make) -> None:
    """A quota, a webhook, a missing ServiceAccount: the Job's own events say why nothing starts."""
    store = site.cluster("primary").store
    account = store.get("serviceaccounts", "jobintel", "jobintel")
    run = failback()

    def refuse() -> None:
        store.delete("serviceaccounts", "jobintel", "jobintel")
        waits_too_long(run)

    run.when("intent", "start_validation", refuse)  # before, the step's own guard would find it
    try:
        run.start()
    finally:
        site.cluster("primary").apply({k: v for k, v in account.items() if k != "status"})
    assert (run.state.status, run.state.state) == ("held", "validation_started"), run.words
    assert told(run)["trouble"] == ["no pod of it was created"]
    assert any(each.startswith("FailedCreate") for each in told(run)["events"])


def test_a_crash_is_told_with_its_last_words_but_for_credentials(site: Site, failback: Make) -> None:
    """The log's tail and the events are in the record; nothing in the whole journal looks like a credential."""
    secrets = ["wJalrXUtnFEMI", "hunter2", "eyJhbGciOi", "AKIAIOSFODNN7EXAMPLE", "p4ssw0rd"]
    lines = [
        f"AWS_SECRET_ACCESS_KEY={secrets[0]}/K7MDENG", f'{{"password": "{secrets[1]}"}}',
        f"sent Authorization: Bearer {secrets[2]}", f"using key {secrets[3]}",
        f"connecting to https://user:{secrets[4]}@db.example/x", "KeyError: no such candidate",
    ]  # fmt: skip
    script = "; ".join(f"echo '{each}'" for each in lines)
    site.container("primary", command=["sh", "-c", f"{script}; exit 3"])
    run = failback()
    run.start()
    assert (run.state.status, run.state.state) == ("held", "validation_started"), run.words
    assert told(run)["job"] == "failed"
    assert told(run)["log"][-1] == "KeyError: no such candidate"
    assert told(run)["log"][0] == "AWS_SECRET_ACCESS_KEY=…"
    assert told(run)["log"][4] == "connecting to https://…@db.example/x"
    everything = b"".join(encode(each, "") for each in run.records).decode() + "".join(run.said) + run.words
    assert not [each for each in secrets if each in everything]
    assert "KeyError: no such candidate" in run.state.reason


def test_a_job_that_succeeds_without_publishing_has_failed(site: Site, failback: Make) -> None:
    """It counts by what it published beside, not by its exit code; its last words are told all the same."""
    site.container("primary", command=["sh", "-c", "echo all done, nothing published"])
    run = failback()
    run.start()
    assert (run.state.status, run.state.state) == ("held", "validation_started"), run.words
    assert (told(run)["job"], told(run)["log"]) == ("complete", ["all done, nothing published"])


def test_a_pair_that_is_canonical_must_have_been_done(site: Site, failback: Make) -> None:
    """A primary that covers fewer profiles than DR would leave pointers that name nothing: it has failed."""
    newer = "2027-01-01T00:00:00.000001+00:00"
    site.configure("dr", JOBINTEL_PROFILES="cs,ml")
    site.work("dr", "two-profiles", newer)
    site.await_end("dr", "two-profiles")
    run = failback(dr_run_id=newer)
    run.start()
    assert (run.state.status, run.state.state) == ("held", "validation_started"), run.words
    assert [key for key, named in told(run)["published"].items() if named is None and "/ml/" in key]
    site.configure("primary", JOBINTEL_PROFILES="cs,ml")
    run.request("retry_validation")
    assert run.state.status == "complete", run.words
    assert site.named() == {run.primary_run_id}
    assert len(site.pointers()) == 6


@pytest.mark.parametrize("moment", ["before", "after"])
def test_it_is_never_started_twice(site: Site, failback: Make, moment: str) -> None:
    """Killed just before or after the Job was made, the resumed run finds it by its label, or makes the one."""
    run = failback()
    run.on(moment, "primary", "create", "Job", killed)
    run.killed(run.start)
    assert len(ours(site)) == (moment == "after")
    run.stop_after("await_validation")
    run.resume()
    assert run.state.state == "validation_finished", run.words
    assert len(ours(site)) == 1


def test_a_job_that_was_deleted_meanwhile_is_done_again(site: Site, failback: Make) -> None:
    """Gone before it ended, it has failed; a person has it done again."""
    site.configure("primary", SANDBOX_SLEEP_SECONDS="60")
    run = failback()
    run.when("commit", "start_validation", lambda: site.remove("primary", "Job", ours(site)[0]["metadata"]["name"]))
    run.start()
    assert (run.state.status, run.state.state) == ("held", "validation_started"), run.words
    assert told(run)["job"] == "absent"
    site.configure("primary", SANDBOX_SLEEP_SECONDS="0")
    run.stop_after("await_validation")
    run.request("retry_validation")
    assert run.state.state == "validation_finished", run.words


def test_a_pod_that_never_goes_holds_the_abort_with_words(site: Site, failback: Make) -> None:
    """On a lost node nothing ends: the abort waits so long, then says which pod may still write, and is waived."""
    site.configure("primary", SANDBOX_SLEEP_SECONDS="60")
    dr = site.touchable("dr")
    run = failback()
    run.stop_after("start_validation")
    run.start()
    soon("it runs", lambda: site.phase("primary", ours(site)[0]["metadata"]["name"]) == "Running")
    site.lose_node("primary")
    run.clock.speed = 1000
    run.abort()
    assert (run.state.status, run.state.state) == ("held", "aborting")
    assert "is not gone after 180 s: it may still write" in run.state.reason
    run.request("waive_undo", reason="the node is powered off")
    assert run.state.status == "aborted", run.words
    assert site.touchable("dr") == dr
