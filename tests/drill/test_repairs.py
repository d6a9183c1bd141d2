"""Each repair mends what it is there for, after one real failure; attempts are counted, and can be limited to one."""

import pytest

from drfsm.sandbox.seed import REPOSITORY
from tests.drill.conftest import Make
from tests.drill.world import Drill, Site

pytestmark = pytest.mark.sandbox


def mended(run: Drill, step: str, action: str) -> None:
    """Hold that a step failed once, was repaired once, and then was done."""
    assert run.state.status == "complete", run.words
    assert [each["attempt"] for each in run.of("failed", step)] == [1]
    assert [each["action"] for each in run.of("repaired", step)] == [action]


def test_an_address_that_is_shut_out_is_let_in(site: Site, drill: Make) -> None:
    """The site's API answers nobody until the repair lets this machine's address in; the rule goes with the site."""
    site.runners.guarded = True
    run = drill("--reach-timeout", "15", "--stop-after", "bringup", "--teardown", "true")
    run.start()
    mended(run, "reach_site", "refresh_allowed_address")
    assert run.of("repaired")[0]["result"] == {"allowed": "203.0.113.7/32"}
    groups = site.ec2.describe_security_groups()["SecurityGroups"]
    assert not [each for group in groups for each in group["IpPermissions"] if each.get("FromPort") == 6443]
    assert run.phase("bringup")["attempts"] == 2
    assert (run.directory / "phases/bringup.attempt-2.log").is_file()


def test_a_backup_that_was_still_being_written_is_read_again(site: Site, drill: Make) -> None:
    """Torn at first, whole a moment later: the contract is re-read, and the restore goes on with what is there now."""
    uri = site.backup("torn")
    torn = f"{site.prefix}/backups/torn/manifests.tar.zst"
    run = drill("--stop-after", "restore", "--teardown", "true", backup=uri)
    run.when("commit", "run_preflight", lambda: site.flip(torn))
    run.when("failed", "check_backup", lambda: site.flip(torn))
    run.start()
    mended(run, "check_backup", "reread_backup")
    assert run.of("repaired")[0]["result"] == {"missing": [], "damaged": []}


def test_a_kubeconfig_that_went_stale_is_fetched_again(site: Site, drill: Make) -> None:
    """A token that the site no longer takes fails the validation once; the site's own parameter has the right one."""
    run = drill()

    def stale() -> None:
        file = run.directory / "private/dr.kubeconfig.yaml"
        file.write_text(file.read_text(encoding="utf-8").replace("token: ", "token: no"), encoding="utf-8")

    run.when("intent", "start_validation", stale)
    run.start()
    mended(run, "start_validation", "renew_kubeconfig")
    assert site.alive() == {}


def test_a_kubeconfig_that_goes_stale_while_the_job_runs_is_fetched_again(drill: Make) -> None:
    """A site that can't be read is no reason to wait for the Job's limit: the wait ends, is repaired, and goes on."""
    run = drill()

    def stale() -> None:
        file = run.directory / "private/dr.kubeconfig.yaml"
        file.write_text(file.read_text(encoding="utf-8").replace("token: ", "token: no"), encoding="utf-8")

    run.when("commit", "start_validation", stale)
    run.start()
    assert run.state.status == "complete", run.words
    assert [each["action"] for each in run.of("repaired", "await_validation")] == ["renew_kubeconfig"]
    assert run.of("sampled", "await_validation")[0]["facts"]["validation_result"]["value"] is None
    assert (len(run.of("commit", "start_validation")), run.phase("validate")["attempts"]) == (1, 2)
    (row,) = [row for row in run.phase("validate")["rows"] if row["trigger"] == "await_validation"]
    assert (row["outcome"], row["attempts"]) == ("done", 2)
    assert row["last_error"].startswith("validation_result is unknown")


def test_an_image_that_can_be_pulled_again_is_tried_again(site: Site, drill: Make) -> None:
    """The registry has it a moment later: the failed Job and its pods are removed, and the next one does the work."""
    image = f"late.example/jobintel@sha256:{'1' * 64}"
    run, jobs = drill("--image-ref", image, "--startup-timeout", "15"), list[str]()

    def published() -> None:
        jobs.extend(each["metadata"]["uid"] for each in site.cluster(run.id).store.list("jobs", "jobintel")[0])
        images = site.cluster(run.id).images
        images["late.example/jobintel"] = images[REPOSITORY]

    def look() -> None:
        jobs.extend(each["metadata"]["uid"] for each in site.cluster(run.id).store.list("jobs", "jobintel")[0])

    run.when("commit", "retry_validation", published)
    run.when("commit", "await_validation", look)
    run.start()
    assert run.state.status == "complete", run.words
    (retried,) = run.of("commit", "retry_validation")
    assert "(image_pull)" in retried["args"]["reason"]
    (row,) = [row for row in run.phase("validate")["rows"] if row["trigger"] == "await_validation"]
    assert (row["outcome"], row["attempts"], row["last_error"]) == ("done", 2, retried["args"]["reason"])
    assert len(run.of("commit", "remove_validation")) == 1
    assert run.phase("validate")["attempts"] == 2
    assert len(set(jobs)) == len(jobs) == 2  # one at a time: the first was gone when the second had run
    assert run.file("validation.receipt.json")["image"] == image


def test_a_teardown_that_is_refused_is_waited_for_and_tried_again(site: Site, drill: Make) -> None:
    """A machine that was protected a moment ago goes in the second attempt, and is seen to be gone."""
    run = drill("--stop-after", "bringup", "--teardown", "true")

    def protect(*, on: bool) -> None:
        (own,) = run.own
        site.ec2.modify_instance_attribute(InstanceId=own, DisableApiTermination={"Value": on})

    run.when("intent", "tear_down_site", lambda: protect(on=True))
    run.when("failed", "tear_down_site", lambda: protect(on=False))
    run.start()
    mended(run, "tear_down_site", "await_teardown")
    assert run.own == []


def test_a_teardown_that_never_succeeds_holds_the_run(site: Site, drill: Make) -> None:
    """It is never called complete with a machine left: the run is held, and `resume` tears down when that is mended."""
    run = drill("--stop-after", "bringup", "--teardown", "true", "--max-attempts", "2")

    def protect(*, on: bool) -> None:
        (own,) = run.own
        site.ec2.modify_instance_attribute(InstanceId=own, DisableApiTermination={"Value": on})

    run.when("intent", "tear_down_site", lambda: protect(on=True))
    assert run.start().status == "held"
    assert len(run.own) == 1
    protect(on=False)
    assert run.resume().status == "complete"
    assert run.own == []


@pytest.mark.parametrize(("option", "attempts"), [(("--no-retry",), 1), (("--max-attempts", "2"), 2)])
def test_attempts_are_as_many_as_asked_for(site: Site, drill: Make, option: tuple[str, ...], attempts: int) -> None:
    """Every attempt is on record with its number, and the last one ends the phase."""
    uri = site.backup("gone")
    run = drill(*option, backup=uri)
    run.when("commit", "run_preflight", lambda: site.delete(f"{site.prefix}/backups/gone/state.tar.zst"))
    run.start()
    assert [each["attempt"] for each in run.of("failed", "check_backup")] == list(range(1, attempts + 1))
    assert len(run.of("repaired")) == attempts - 1
    assert (run.state.status, run.phase("restore")["attempts"]) == ("failed", attempts)
    assert site.alive() == {}
