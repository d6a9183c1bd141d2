"""What refuses a drill before anything is brought up, and what the command line refuses before that."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from drfsm.adapters.ec2 import RUN_TAG
from drfsm.cli import main
from drfsm.cli.outcome import exit_code
from drfsm.errors import ExitCode, UsageFault
from drfsm.sandbox.cloud import MACHINE_IMAGE
from drfsm.sandbox.seed import CRONJOB
from tests.drill.conftest import Make
from tests.drill.test_canonical import edited
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
    """A restore and a teardown in one go need the flag, or the variable; a part without both doesn't."""
    with environment(ALLOW_FULL_DRILL=""):
        whole = drill()
        refused(site, whole, "scope_is_allowed", "--allow-full-drill")
        assert "--allow-full-drill, or ALLOW_FULL_DRILL=1" in whole.words  # not cut off by what was seen
        refused(site, drill("--stop-after", "restore", "--teardown", "true"), "scope_is_allowed")
        part = drill("--stop-after", "bringup", "--max-attempts", "1")
    part.when("commit", "run_preflight", part.interrupt)
    assert part.start().state == "preflight_ok"


def test_no_drill_beside_a_live_dr(site: Site, drill: Make) -> None:
    """While DR owns the pointers, by drfsm's own object, nothing is brought up."""
    site.own()
    refused(site, drill(), "dr_does_not_own", "no drill runs beside a live DR")


def test_the_primary_or_an_unknown_owner_is_no_reason_to_refuse(site: Site, drill: Make) -> None:
    """Only DR's ownership refuses a drill; who owns is on record."""
    site.own(site="primary")
    run = drill()
    run.when("commit", "run_preflight", run.interrupt)
    run.start()
    assert (run.state.state, run.state.facts["pointer_owner"].value) == ("preflight_ok", "primary")


def test_somebody_elses_runner_refuses_and_lives_on(site: Site, drill: Make) -> None:
    """A DR runner that this drill did not start may be a live DR."""
    from drfsm.sandbox.seed import launch_runner

    stranger = launch_runner(site.sandbox.cloud)
    refused(site, drill(), "nobody_elses_runners", stranger)
    assert stranger in site.alive()


def test_an_earlier_drills_runner_is_told_with_what_takes_it_down(site: Site, drill: Make) -> None:
    """The refusal names the run that its tag names, and the command for that run's bundle."""
    tags = [{"Key": "Purpose", "Value": "jobintel-dr"}, {"Key": RUN_TAG, "Value": "drill-of-friday"}]
    specification = [{"ResourceType": "instance", "Tags": tags}]
    site.ec2.run_instances(ImageId=MACHINE_IMAGE, MinCount=1, MaxCount=1, TagSpecifications=specification)
    refused(site, drill(), "drfsm drill --receipt-dir <bundle of drill-of-friday> --start-at teardown")


def test_before_anything_is_changed_a_drill_can_be_given_up(site: Site, drill: Make) -> None:
    """Held before its preflight, it is refused by a person's word, and holds nobody's lease any more."""
    run = drill()
    run.when("commit", "confirm_scope", run.interrupt)
    assert run.start().state == "scope_confirmed"
    state = run.abort()
    assert (state.status, state.state, site.alive()) == ("refused", "refused", {})


def test_an_ownership_object_that_nobody_can_read_is_no_permission(site: Site, drill: Make) -> None:
    """It may name DR: the drill is held before any machine runs, until it is mended or the drill given up."""
    site.put(f"{site.prefix}/drfsm/ownership.json", b"{")
    state = drill().start()
    assert (state.status, state.state, site.alive()) == ("held", "scope_confirmed", {})
    assert "pointer_owner is unknown" in state.reason


def test_a_bucket_that_nobody_has_is_told_by_its_option(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """What is asked before a run begins names the option that it was asked of."""
    assert main.run(["drill", "--bucket", "nobody-has-it", "--backup-uri", site.backup_uri]) == 3
    assert "--bucket nobody-has-it: cannot read which run is canonical" in capsys.readouterr().err


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


def test_the_image_of_a_sites_own_cronjob_is_looked_at_once_the_site_is_reached(site: Site, drill: Make) -> None:
    """Preflight asks no site; a tag in the CronJob then fails the validation, before any Job, and names the flag."""
    standby = site.sandbox.dr

    def tag(live: dict[str, Any]) -> None:
        live["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"] = "r.example/jobintel:latest"

    with edited(standby, "cronjobs", CRONJOB, tag):
        run = drill("--kubeconfig", str(standby.kubeconfig), "--validate-only")
        run.when("commit", "run_preflight", lambda: standby.outage(on=True))
        run.when("intent", "reach_site", lambda: standby.outage(on=False))
        state = run.start()
    assert state.status == "failed"
    assert "image_of_the_site_is_pinned" in state.reason
    assert "--allow-tag" in state.reason
    assert run.of("intent", "run_preflight")[0]["facts"]["image"]["value"] == "later"


def test_what_can_not_be_restored_is_found_before_machines_run(site: Site, drill: Make) -> None:
    """No backup of that name, and no published control plane: both are told at once."""
    site.delete(f"{site.prefix}/control-plane/current.json")
    run = drill("--image-ref", site.sandbox.image_ref, backup=f"s3://{site.bucket}/{site.prefix}/backups/none")
    refused(site, run, "rights_suffice", "backups/none has no metadata.json", "none is published")


def test_what_a_restore_does_not_bring_is_found_before_machines_run(site: Site, drill: Make) -> None:
    """A hostile backup whose checksums hold: object and field are told, and how to allow it by name."""
    uri = site.hostile_backup("hostile")
    told = (
        "Deployment/jobintel-dashboard: spec.template.spec.hostPID",
        "--allow-in-backup Deployment/jobintel-dashboard",
    )
    refused(site, drill(backup=uri), "rights_suffice", *told)
    run = drill("--allow-in-backup", "Deployment/jobintel-dashboard", backup=uri)
    run.when("commit", "run_preflight", run.interrupt)
    assert run.start().state == "preflight_ok"
    assert run.inputs["allow_in_backup"] == "Deployment/jobintel-dashboard"


def test_a_backup_that_is_not_the_pinned_one_is_found_before_machines_run(site: Site, drill: Make) -> None:
    """--expect-sha256 is held against the metadata in preflight, and both digests are told."""
    refused(site, drill("--expect-sha256", "0" * 64), "rights_suffice", "0" * 64, "the pinned backup has")


def test_a_backup_that_is_too_old_is_found_before_machines_run(site: Site, drill: Make) -> None:
    """Its age is held against the objective in preflight, and both are told."""
    refused(site, drill("--recovery-point-objective", "0.5"), "rights_suffice", "s old, the objective is")


def test_a_backup_without_lasting_state_is_refused_where_state_is_required(site: Site, drill: Make) -> None:
    """--require-state: its manifest shows an emptyDir, nothing is brought up, and the exit code is its own."""
    run = drill("--require-state")
    refused(site, run, "state_is_kept_where_required", "the backup holds no lasting state: emptyDir")
    assert exit_code(run.state, run.records) == ExitCode.NO_STATE


def test_a_backup_with_lasting_state_passes_where_state_is_required(site: Site, drill: Make) -> None:
    """--require-state: a CronJob with a claim, and metadata that name it, get through preflight."""
    run = drill("--require-state", backup=site.backup_with_a_claim("lasting"))
    run.when("commit", "run_preflight", run.interrupt)
    run.start()
    assert (run.state.state, run.state.facts["lasting_state"].value) == ("preflight_ok", "kept"), run.words


@pytest.mark.parametrize(
    ("backup", "told"),
    [({"claim": ""}, "the backup contains none"), ({"read_only": True}, "mounts it so")],
    ids=["the metadata name no claim", "the workload only reads it"],
)
def test_each_way_to_lack_state_is_known_from_the_manifest(
    site: Site, drill: Make, backup: dict[str, Any], told: str
) -> None:
    """A claim alone is no state: the backup must have saved it, and a restore must be able to write it."""
    run = drill("--require-state", backup=site.backup_with_a_claim("lacking", **backup))
    refused(site, run, "state_is_kept_where_required", told)
    assert exit_code(run.state, run.records) == ExitCode.NO_STATE


def test_without_the_flag_a_drill_says_in_preflight_that_no_state_will_be_restored(drill: Make) -> None:
    """It is said before the site is brought up, with the reason, and refuses nothing."""
    run = drill()
    run.when("commit", "run_preflight", run.interrupt)
    run.start()
    assert (run.state.state, run.state.facts["lasting_state"].value) == ("preflight_ok", "not_required")
    assert [line for line in run.said if line.startswith("NO LASTING STATE in this backup (emptyDir)")]


def test_require_state_without_a_restore_is_wrong_usage(drill: Make) -> None:
    """A drill that restores nothing can't show that state is restored."""
    with pytest.raises(UsageFault, match="--require-state is about a restore"):
        drill("--require-state", "--stop-after", "bringup")


def test_the_wrong_account_is_refused(site: Site, drill: Make) -> None:
    """--expect-account is held against the account that the credentials lead to."""
    refused(site, drill("--expect-account", "999999999999"), "cloud_is_expected", site.sandbox.cloud.account)


@pytest.mark.parametrize(
    ("flag", "missing"),
    [("--auto-promote", "--allow-promote-bypass true"), ("--allow-promote-bypass", "--auto-promote true")],
)
def test_one_promote_flag_promotes_nothing_and_names_the_other(drill: Make, flag: str, missing: str) -> None:
    """The promotion is skipped, no run of it is started, and the record says which flag was missing."""
    run = drill(flag, "true", "--stop-after", "bringup", "--teardown", "true")
    assert run.start().status == "complete"
    assert not (run.directory / "promote").exists()
    assert run.state.facts["promote_flags"].seen["missing"] == [missing]
    assert run.file("drill.summary.json")["receipt"]["promotion"]["missing"] == [missing]
    assert run.phase("promote")["outcome"] == "skipped"


def test_a_promotion_with_one_flag_is_refused_before_any_machine_starts(site: Site, drill: Make) -> None:
    """The machine itself refuses inputs that ask for a promotion with one flag only, whoever made them."""
    run = drill("--auto-promote", "true", "--stop-after", "bringup", "--teardown", "true")
    run.inputs = {**run.inputs, "promote": "asked", "validation_receipt": "{}"}
    assert run.start().status == "refused"
    assert "both_flags" in run.state.reason
    assert site.alive() == {}


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        ((), "no bucket is named"),
        (("--bucket", "b"), "--backup-uri is missing"),
        (("--backup-uri", "https://b/backups/x"), "names no backup"),
        (("--bucket", "b", "--start-at", "validate"), "needs an existing site"),
        (("--bucket", "b", "--start-at", "teardown"), "needs an existing site"),
        (("--bucket", "b", "--start-at", "promote", "--stop-after", "restore"), "comes after"),
        (("--bucket", "b", "--validate-only", "--stop-after", "restore"), "--validate-only goes without"),
        (("--bucket", "b", "--infrastructure", "existing"), "needs --kubeconfig"),
        (("--bucket", "b", "--infrastructure", "terraform"), "needs --terraform-dir"),
        (("--bucket", "b", "--kubeconfig", "KUBECONFIG", "--kubeconfig-primary", "KUBECONFIG", "--validate-only"),
         "lead to the same cluster"),
        (("--bucket", "b", "--kubeconfig", "KUBECONFIG", "--teardown", "true"), "takes down only what it brought up"),
        (("--bucket", "b", "--kubeconfig", "KUBECONFIG", "--infrastructure", "ec2"), "names an existing site"),
        (("--backup-uri", "s3://b/p/backups/x", "--recovery-time-objective", "soon"), "a number of seconds"),
        (("--backup-uri", "s3://b/p/backups/x", "--prices", "/nowhere.json"), "--prices: /nowhere.json: No such file"),
        (("--backup-uri", "s3://b/p/backups/x", "--validation-env", "API_TOKEN=x"), "looks like a secret"),
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
    before = site.etags()
    assert main.run(["drill", *given]) == 2
    assert told in capsys.readouterr().err
    assert site.etags() == before


def test_another_address_of_the_primary_is_the_primary(site: Site, drill: Make, tmp_path: Path) -> None:
    """The clusters are asked who they are: --kubeconfig that leads to the primary by another name is wrong usage."""
    primary = site.sandbox.primary.kubeconfig
    other = tmp_path / "other.yaml"
    other.write_text(primary.read_text(encoding="utf-8").replace("//127.0.0.1:", "//localhost:"), encoding="utf-8")
    assert other.read_bytes() != primary.read_bytes()
    with pytest.raises(UsageFault, match="a drill never works on the primary"):
        drill("--kubeconfig", str(other), "--kubeconfig-primary", str(primary), "--validate-only")


def test_a_site_that_was_taken_down_is_not_gone_on_with(drill: Make) -> None:
    """--receipt-dir of a drill that took its site down is wrong usage, but for a teardown of what came late."""
    first = drill("--stop-after", "bringup", "--teardown", "true", bundle="first")
    assert first.start().status == "complete"
    with pytest.raises(UsageFault, match="took its site down"):
        drill("--receipt-dir", str(first.directory), "--start-at", "validate")
    assert drill("--receipt-dir", str(first.directory), "--start-at", "teardown").inputs["only_teardown"] == "yes"


@pytest.mark.parametrize(("changed", "told"), [(False, "the working directory"), (True, "with uncommitted changes")])
def test_where_the_commit_is_from_is_on_record(
    drill: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, changed: bool, told: str
) -> None:
    """The flag, the working directory, with or without changes, or the published control plane."""
    assert drill("--git-sha", "c0ffee").inputs["git_sha_from"] == "--git-sha"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    run = drill("--stop-after", "bringup")
    run.when("commit", "run_preflight", run.interrupt)
    assert run.start().results["run_preflight"]["git_sha_from"] == "the published control plane"
    (tmp_path / "file").write_text("1", encoding="utf-8")
    as_somebody = ("-c", "user.name=a", "-c", "user.email=a@b.example")
    for argv in (("init", "-q"), ("add", "file"), (*as_somebody, "commit", "-q", "-m", "x")):
        subprocess.run(("git", *argv), check=True, cwd=tmp_path)
    if changed:
        (tmp_path / "file").write_text("2", encoding="utf-8")
    found = drill("--stop-after", "bringup").inputs
    assert (len(found["git_sha"]), found["git_sha_from"].endswith(told)) == (40, True)


def test_a_drill_that_has_not_ended_is_not_gone_on_with_by_another(drill: Make) -> None:
    """--receipt-dir of a held drill names how to go on with that one instead."""
    run = drill()
    run.when("commit", "run_preflight", run.interrupt)
    run.start()
    with pytest.raises(UsageFault, match="has not ended: it is held"):
        drill("--receipt-dir", str(run.directory))
