"""What refuses a drill before anything is brought up, and what the command line refuses before that."""

import pytest

from drfsm.cli import main
from drfsm.errors import UsageFault
from tests.drill.conftest import Make
from tests.drill.world import Drill, Site, environment

pytestmark = pytest.mark.sandbox


def refused(site: Site, run: Drill, *told: str) -> None:
    """Hold that a drill is refused with these words, and that nothing was started, nor any key of others touched."""
    before, alive = site.outside(run.id), site.alive()
    state = run.start()
    assert (state.status, state.state) == ("refused", "refused"), run.words
    for each in told:
        assert each in state.reason
    assert site.outside(run.id) == before
    assert site.alive() == alive


def test_a_full_drill_must_be_allowed(site: Site, drill: Make) -> None:
    """Bring-up, restore, validation and teardown in one go need the flag, or the variable; a part of it doesn't."""
    with environment(ALLOW_FULL_DRILL=""):
        refused(site, drill(), "scope_is_allowed", "--allow-full-drill")
        part = drill("--stop-after", "bringup", "--max-attempts", "1")
    part.when("commit", "run_preflight", part.interrupt)
    assert part.start().state == "preflight_ok"


def test_no_drill_beside_a_live_dr(site: Site, drill: Make) -> None:
    """While DR owns the pointers, by drfsm's own object, nothing is brought up."""
    site.own()
    refused(site, drill(), "dr_does_not_own", "no drill works beside a live DR")


def test_the_primary_or_an_unknown_owner_is_no_reason_to_refuse(site: Site, drill: Make) -> None:
    """Only DR's ownership refuses a drill; who owns is on record."""
    site.own(site="primary")
    run = drill()
    run.when("commit", "run_preflight", run.interrupt)
    run.start()
    assert (run.state.state, run.state.facts["pointer_owner"]["value"]) == ("preflight_ok", "primary")


def test_somebody_elses_runner_refuses_and_lives_on(site: Site, drill: Make) -> None:
    """A DR runner that this drill did not start may be a live DR."""
    from drfsm.sandbox.seed import launch_runner

    stranger = launch_runner(site.sandbox.cloud)
    refused(site, drill(), "nobody_elses_runners", stranger)
    assert stranger in site.alive()


def test_a_canonical_target_is_never_taken_down(site: Site, drill: Make) -> None:
    """--promote-target canonical with a teardown is refused before anything is called."""
    run = drill("--promote-target", "canonical", "--auto-promote", "true", "--allow-promote-bypass", "true")
    refused(site, run, "flags_are_safe", "--teardown false")
    assert run.state.epoch == 0


def test_an_image_by_tag_is_refused_unless_allowed(site: Site, drill: Make) -> None:
    """What a tag names may change; --allow-tag accepts it."""
    refused(site, drill("--image-ref", "registry.example/jobintel:latest"), "image_is_pinned", "--allow-tag")
    run = drill("--image-ref", "registry.example/jobintel:latest", "--allow-tag")
    run.when("commit", "run_preflight", run.interrupt)
    assert run.start().state == "preflight_ok"


def test_what_can_not_be_restored_is_found_before_machines_run(site: Site, drill: Make) -> None:
    """No backup of that name, and no published control plane: both are told at once."""
    site.s3.delete_object(Bucket=site.bucket, Key=f"{site.prefix}/control-plane/current.json")
    run = drill("--image-ref", site.sandbox.image_ref, backup=f"s3://{site.bucket}/{site.prefix}/backups/none")
    refused(site, run, "rights_suffice", "backups/none has no metadata.json", "none is published")


def test_a_backup_that_is_too_old_is_found_before_machines_run(site: Site, drill: Make) -> None:
    """Its age is held against the objective in preflight, and both are told."""
    refused(site, drill("--recovery-point-objective", "0.5"), "rights_suffice", "s old, the objective is")


def test_the_wrong_account_is_refused(site: Site, drill: Make) -> None:
    """--expect-account is held against the account that the credentials lead to."""
    refused(site, drill("--expect-account", "999999999999"), "cloud_is_expected", "123456789012")


@pytest.mark.parametrize(
    ("flag", "missing"),
    [("--auto-promote", "--allow-promote-bypass true"), ("--allow-promote-bypass", "--auto-promote true")],
)
def test_one_promote_flag_promotes_nothing_and_names_the_other(drill: Make, flag: str, missing: str) -> None:
    """The promotion is skipped, no run of it is started, and the record says which flag was missing."""
    run = drill(flag, "true", "--stop-after", "bringup", "--teardown", "true")
    assert run.start().status == "complete"
    assert not (run.directory / "promote").exists()
    assert run.state.facts["promote_flags"]["seen"]["missing"] == [missing]
    assert run.file("drill.summary.json")["receipt"]["promotion"]["missing"] == [missing]
    assert run.phase("promote")["outcome"] == "skipped"


def test_both_flags_are_looked_at_again_by_the_row_that_promotes(site: Site, drill: Make) -> None:
    """Inputs that ask for a promotion with one flag only are refused by the machine, whoever made them."""
    run = drill("--auto-promote", "true", "--stop-after", "bringup", "--teardown", "true")
    run.inputs = {**run.inputs, "promote": "asked", "validation_receipt": "{}"}
    assert run.start().status == "failed"
    assert "both_flags" in run.state.reason
    assert site.alive() == {}


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        ((), "no bucket is named"),
        (("--bucket", "b"), "--backup-uri is missing"),
        (("--backup-uri", "https://b/backups/x"), "names no backup"),
        (("--bucket", "b", "--start-at", "validate"), "needs a site that is there"),
        (("--bucket", "b", "--start-at", "teardown"), "needs a site that is there"),
        (("--bucket", "b", "--start-at", "promote", "--stop-after", "restore"), "comes after"),
        (("--bucket", "b", "--validate-only", "--stop-after", "restore"), "--validate-only goes without"),
        (("--bucket", "b", "--infrastructure", "existing"), "needs --kubeconfig"),
        (("--bucket", "b", "--infrastructure", "terraform"), "needs --terraform-dir"),
        (("--bucket", "b", "--kubeconfig", "KUBECONFIG", "--teardown", "true"), "takes down only what it brought up"),
        (("--bucket", "b", "--kubeconfig", "KUBECONFIG", "--infrastructure", "ec2"), "names a site that is there"),
        (("--backup-uri", "s3://b/p/backups/x", "--recovery-time-objective", "soon"), "a number of seconds"),
        (("--backup-uri", "s3://b/p/backups/x", "--prices", "/nowhere.json"), "is no JSON file"),
        (("--backup-uri", "s3://b/p/backups/x", "--validation-env", "API_TOKEN=x"), "must be no secret"),
        (("--backup-uri", "s3://b/p/backups/x", "--max-attempts", "0"), "--max-attempts"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_wrong_usage(
    site: Site, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], told: str
) -> None:
    """Nothing is touched, no bundle is made, and the exit code is 2."""
    kubeconfig = str(site.sandbox.dr.kubeconfig)
    given = [kubeconfig if each == "KUBECONFIG" else site.bucket if each == "b" else each for each in argv]
    given = [each.replace("s3://b/", f"s3://{site.bucket}/") for each in given]
    before = site.keys()
    assert main.run(["drill", *given]) == 2
    assert told in capsys.readouterr().err
    assert site.keys() == before


def test_a_drill_that_has_not_ended_is_not_gone_on_with_by_another(drill: Make) -> None:
    """--receipt-dir of a held drill names how to go on with that one instead."""
    run = drill()
    run.when("commit", "run_preflight", run.interrupt)
    run.start()
    with pytest.raises(UsageFault, match="has not ended: it is held"):
        drill("--receipt-dir", str(run.directory))
