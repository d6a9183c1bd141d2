"""Whatever phase fails, and however: what was brought up is taken down, and the end says phase and cause."""

from collections.abc import Callable

import pytest

from tests.drill.conftest import Make
from tests.drill.world import Drill, Site

pytestmark = pytest.mark.sandbox
ELSEWHERE = f"elsewhere.example/x@sha256:{'0' * 64}"


def ended_failed(run: Drill, phase: str, step: str, told: str) -> None:
    """Hold a failed drill against what it must leave: nothing of its own, and the phase and cause everywhere."""
    assert (run.state.status, run.state.state) == ("failed", "failed")
    assert run.state.stage == step
    assert told in run.state.reason
    assert run.own == []
    receipt = run.phase(phase)
    assert (receipt["outcome"], receipt["cause"]["step"]) == ("failed", step)
    assert told in receipt["cause"]["reason"]
    assert run.phase("teardown")["outcome"] == "complete"
    assert told in run.words
    last = (run.directory / "phases" / receipt["logs"][-1]).read_text(encoding="utf-8")
    assert told in last
    assert run.file("drill.summary.json")["failed_stage"] == step


def test_a_site_that_never_boots_fails_the_bring_up(site: Site, drill: Make) -> None:
    """Three attempts wait for a kubeconfig, with one repair in between; the machine is gone in the end."""
    site.runners.boots = False
    run = drill("--boot-timeout", "1")
    run.start()
    ended_failed(run, "bringup", "reach_site", "provided no kubeconfig")
    assert [each["attempt"] for each in run.of("failed", "reach_site")] == [1, 2, 3]
    assert len(run.of("repaired")) == 1
    assert run.phase("bringup")["attempts"] == 3


def test_a_corrupt_backup_fails_the_restore(site: Site, drill: Make) -> None:
    """A backup with one wrong bit restores nothing: every attempt reads all of it again."""
    uri = site.backup("corrupt")
    run = drill(backup=uri)
    run.when("commit", "run_preflight", lambda: site.flip(f"{site.prefix}/backups/corrupt/state.tar.zst"))
    run.start()
    ended_failed(run, "restore", "check_backup", "state.tar.zst")
    assert "objects_restored" not in run.reached
    assert [each["action"] for each in run.of("repaired")] == ["reread_backup"]
    assert run.of("repaired")[0]["result"]["damaged"]


def test_a_backup_that_is_corrupt_already_starts_no_machine(site: Site, drill: Make) -> None:
    """It is read before anything is brought up: refused, and nothing costs money."""
    uri = site.backup("corrupt")
    site.flip(f"{site.prefix}/backups/corrupt/state.tar.zst")
    run = drill(backup=uri)
    run.start()
    assert (run.state.status, run.own) == ("refused", [])
    assert "backup_is_intact: would hold at restore_objects: backup_contents is damaged" in run.state.reason


def test_a_bundle_with_a_wrong_hash_fails_the_restore(site: Site, drill: Make) -> None:
    """A control plane whose bytes are not those that current.json names is applied nowhere."""
    (bundle,) = site.etags(f"{site.prefix}/control-plane/bundles/")
    site.flip(bundle)
    run = drill("--max-attempts", "2")
    run.start()
    ended_failed(run, "restore", "apply_control_plane", "its SHA-256 is")
    assert len(run.of("failed", "apply_control_plane")) == 2


@pytest.mark.parametrize(
    ("options", "cause", "attempts"),
    [
        (("--validation-env", "SANDBOX_FAIL=1"), "other", 1),
        (("--validation-env", "SANDBOX_DIE_AFTER=artifacts", "--max-attempts", "2"), "memory", 2),
        (("--image-ref", ELSEWHERE, "--startup-timeout", "1", "--no-retry"), "image_pull", 1),
    ],
)  # fmt: skip
def test_a_job_that_fails_fails_the_validation(
    drill: Make, options: tuple[str, ...], cause: str, attempts: int
) -> None:
    """It is tried again only where that can help, and the cause is told with its evidence."""
    run = drill(*options)
    run.start()
    ended_failed(run, "validate", "await_validation", f"the validation failed ({cause}): ")
    assert len(run.of("commit", "start_validation")) == attempts
    assert len(run.of("commit", "remove_validation")) == attempts - 1
    assert run.phase("validate")["attempts"] == attempts
    seen = run.of("sampled", "await_validation")[-1]["facts"]["validation_result"]["seen"]
    assert (seen["cause"], bool(seen["evidence"])) == (cause, True)
    assert seen["evidence"][0] in run.state.reason
    (row,) = [row for row in run.phase("validate")["rows"] if row["trigger"] == "await_validation"]
    assert (row["outcome"], row["attempts"]) == ("failed", attempts)
    assert row["last_error"] == run.phase("validate")["cause"]["reason"] == run.state.reason


def test_a_run_that_is_damaged_afterwards_fails_the_promotion(site: Site, drill: Make) -> None:
    """The promote checks what it is handed, and believes nothing; the drill then fails in that phase."""
    reported = ("--validation-env", "JOBINTEL_PUBLISH_RUN_REPORT=1")  # without its report damage can't be told
    run = drill("--auto-promote", "true", "--allow-promote-bypass", "true", *reported)

    def damage() -> None:
        staged = site.etags(f"{run.inputs['staged_prefix']}/runs/")
        site.flip(next(key for key in staged if not key.endswith("run_report.json")))

    run.when("commit", "measure_recovery", damage)
    run.start()
    ended_failed(run, "promote", "finish_promotion", "the promote promote-")
    child = run.of("failed", "finish_promotion")[-1]["facts"]["promotion"]["seen"]
    assert child["status"] in ("failed", "refused")


def test_without_a_teardown_a_failure_leaves_the_site_standing(drill: Make) -> None:
    """--teardown false holds in a failure too, and the end says so."""
    run = drill("--validation-env", "SANDBOX_FAIL=1", "--teardown", "false")
    run.start()
    assert (run.state.status, len(run.own)) == ("failed", 1)
    assert run.phase("teardown")["outcome"] == "skipped"
    assert run.reached[-2:] == ["site_left_after_failure", "failed"]
    assert "LEFT STANDING AFTER A FAILURE" in run.words


def test_an_abort_takes_down_what_was_brought_up(drill: Make) -> None:
    """Given up in the middle of the restore, the machine is gone, and the run is aborted."""
    run = drill()
    run.when("commit", "restore_objects", run.interrupt)
    assert run.start().status == "held"
    assert len(run.own) == 1
    assert run.abort().status == "aborted"
    assert run.own == []


def test_a_missing_secret_holds_the_run_until_it_is_there(site: Site, drill: Make) -> None:
    """What a backup leaves out is named, nothing is torn down, and `resume` goes on once it is made."""
    run = drill()
    kept: list[dict[str, object]] = []

    def take_away() -> None:
        store = site.cluster(run.id).store
        kept.append(store.get("secrets", "jobintel", "jobintel-secrets"))
        store.delete("secrets", "jobintel", "jobintel-secrets")

    run.when("commit", "apply_control_plane", take_away)
    state = run.start()
    assert (state.status, state.state) == ("held", "control_plane_applied")
    assert "jobintel-secrets" in state.reason
    assert len(run.own) == 1
    metadata = {"name": "jobintel-secrets", "namespace": "jobintel"}
    site.cluster(run.id).apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": kept[0]["data"]})
    assert run.resume().status == "complete"


def test_a_site_that_somebody_promoted_is_not_taken_down(site: Site, drill: Make) -> None:
    """It is live now: the teardown is refused, the run is held, and a person may leave it standing."""
    run = drill()
    run.when("commit", "skip_promotion", lambda: site.own(site.cluster(run.id).uid))
    state = run.start()
    assert (state.status, state.state) == ("held", "promotion_skipped")
    assert "site_is_not_canonical" in state.reason
    assert run.request("keep_site", teardown="false").status == "complete"
    assert len(run.own) == 1


@pytest.mark.parametrize("phase", ["restore", "validate"])
def test_a_promotion_elsewhere_stops_a_drill_that_works(site: Site, drill: Make, phase: str) -> None:
    """DR owns the pointers from one step to the next: nothing more is done beside it, and our machine goes."""
    before = {"restore": ("check_backup", "restore_objects"), "validate": ("check_site", "start_validation")}[phase]
    run = drill()
    deed: Callable[[], None] = lambda: site.own("another cluster")  # noqa: E731  a deed
    run.when("commit", before[0], deed)
    run.start()
    ended_failed(run, phase, before[1], "dr_does_not_own")
