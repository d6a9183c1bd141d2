"""Killed at any moment, a drill goes on from exactly there, and ends as if it had not been.

One process is started and resumed by `python -m drfsm`; the others are forked (tests/starter.py).
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import pytest

from drfsm.adapters.file_journal import read_chain
from drfsm.journal import fold
from tests.drill.conftest import QUICK, Make
from tests.drill.world import Site, until
from tests.starter import Command

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(300)]

PLACES = [
    ("intent", "plan_site"),
    ("intent", "bring_up_site"),
    ("commit", "bring_up_site"),
    ("intent", "restore_objects"),
    ("intent", "apply_control_plane"),
    ("failed", "restore_state"),
    ("intent", "start_validation"),
    ("sampled", "await_validation"),
    ("commit", "verify_validation"),
    ("intent", "start_promotion"),
    ("intent", "finish_promotion"),
    ("intent", "tear_down_site"),
]


def test_killed_in_every_phase_it_ends_complete(site: Site, drill: Make) -> None:
    """One power cut after another, in each phase: one machine was ever started, one Job ran, nothing is left.

    Its run publishes a report, too; other drills' runs publish none.
    """
    report = ("--validation-env", "JOBINTEL_PUBLISH_RUN_REPORT=1")
    run = drill("--auto-promote", "true", "--allow-promote-bypass", "true", *report)
    before = site.outside(run.id)
    for number, (kind, trigger) in enumerate(PLACES):
        run.kill_at(kind, trigger)
        run.killed(run.resume if number else run.start)
    assert run.resume().status == "complete", run.words
    assert site.outside(run.id) == before
    assert run.own == []
    found = site.ec2.describe_instances(Filters=[{"Name": "tag:drfsm-run", "Values": [run.id]}])["Reservations"]
    assert len([each for page in found for each in page["Instances"]]) == 1
    receipts = {name: run.phase(name)["outcome"] for name in ("bringup", "restore", "validate", "promote", "teardown")}
    assert receipts == {**dict.fromkeys(receipts, "complete"), "restore": "state_not_restored"}
    assert run.file("dr_restore.control_plane.summary.json")["candidate_count"] == 1
    assert run.file("validation.receipt.json")["verification_level"] == "declared"


def test_a_failed_drill_that_is_killed_while_it_tears_down_ends_failed(drill: Make) -> None:
    """The way down after a failure can be killed, too: the end still says failed, and nothing is left."""
    run = drill("--validation-env", "SANDBOX_FAIL=1")
    for number, place in enumerate(
        [("commit", "fail_validate"), ("intent", "tear_down_site"), ("commit", "account_costs")]
    ):
        run.kill_at(*place)
        run.killed(run.resume if number else run.start)
    assert run.resume().status == "failed"
    assert (run.state.stage, run.own) == ("await_validation", [])


def test_a_validation_that_is_killed_on_its_way_back_is_done_again_once(drill: Make) -> None:
    """Killed when it has failed, in the removal, after it and in the next start: each Job is removed before another."""
    run = drill("--validation-env", "SANDBOX_DIE_AFTER=artifacts", "--max-attempts", "2")
    places = [
        ("commit", "retry_validation"),
        ("intent", "remove_validation"),
        ("commit", "remove_validation"),
        ("intent", "start_validation"),
    ]
    for number, place in enumerate(places):
        run.kill_at(*place)
        run.killed(run.resume if number else run.start)
    assert run.resume().status == "failed", run.words
    assert (run.state.stage, "(memory)" in run.state.reason, run.own) == ("await_validation", True, [])
    steps = [each["trigger"] for each in run.of("commit")]
    assert steps.count("start_validation") == 3  # a person who resumes gets both tries again
    assert steps.count("remove_validation") == 2


def _started(argv: list[str]) -> "subprocess.Popen[str]":
    program = [sys.executable, "-m", "drfsm", *argv]
    return subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _state_of(bundle: Path) -> str:
    try:
        return fold(read_chain(bundle).records).state
    except Exception:  # noqa: BLE001  it may be written to, or not be there yet
        return ""


def test_a_process_that_is_killed_in_the_validation_finds_its_job_again(site: Site, tmp_path: Path) -> None:
    """SIGKILL while the Job runs; `drfsm status` tells it, `drfsm resume` follows the same Job to its end."""
    bundle = tmp_path / "bundle"
    argv = ["drill", "--backup-uri", site.backup_uri, *QUICK, "--receipt-dir", str(bundle)]
    process = _started([*argv, "--validation-env", "SANDBOX_SLEEP_SECONDS=4"])
    until("the validation runs", lambda: _state_of(bundle) == "validation_started" or process.poll() is not None, 60)
    run_id = fold(read_chain(bundle).records).run_id
    cluster = site.cluster(run_id)
    until("its Job is there", lambda: cluster.store.list("jobs", "jobintel")[0])
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (job,) = cluster.store.list("jobs", "jobintel")[0]
    status = subprocess.run(
        [sys.executable, "-m", "drfsm", "status", str(bundle)], capture_output=True, text=True, check=False
    )
    assert "INTERRUPTED in validation_started" in status.stdout
    seen: list[str] = []
    resumed = _started(["resume", str(bundle)])
    while resumed.poll() is None:
        if run_id in site.alive().values() and site.runners.clusters:
            seen += [each["metadata"]["uid"] for each in cluster.store.list("jobs", "jobintel")[0]]
        try:
            resumed.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
    assert resumed.returncode == 0, resumed.stderr
    assert set(seen) == {job["metadata"]["uid"]}
    assert run_id not in site.alive().values()
    assert json.loads((bundle / "drill.summary.json").read_bytes())["status"] == "complete"


def _ended(argv: list[str], env: Mapping[str, str] = os.environ) -> tuple[int, str]:
    """Run a forked command to its end; return its exit code and what it said."""
    command = Command(argv, env)
    said = "".join(command.communicate(timeout=120))
    return command.wait(), said


def test_ctrl_c_while_the_promote_works_stops_both_and_resume_goes_on(site: Site, tmp_path: Path) -> None:
    """The signal reaches the child: both are held at a clean point; one `resume` of the drill completes both."""
    bundle = tmp_path / "bundle"
    flags = ["--auto-promote", "true", "--allow-promote-bypass", "true"]
    argv = ["drill", "--backup-uri", site.backup_uri, *QUICK, "--receipt-dir", str(bundle), *flags]
    process = Command(argv, os.environ)
    child = bundle / "promote" / "state_transitions.log"
    until("the promote runs", lambda: child.is_file() or process.poll() is not None, 60)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate()
    assert process.returncode == 130, told
    assert fold(read_chain(bundle).records).status == "held"
    assert fold(read_chain(bundle / "promote").records).status in ("held", "complete")
    code, told = _ended(["resume", str(bundle)])
    assert code == 0, told
    assert fold(read_chain(bundle / "promote").records).status == "complete"
    assert site.alive() == {}


def _heads(site: Site, run_id: str) -> list[str]:
    """Return what a person types who has looked at the mirrors of a drill and of its promote."""
    newest: dict[str, str] = {}
    for key in sorted(site.etags(f"{site.prefix}/drills/{run_id}/")):
        home, within, number = key.rpartition("/")
        if "/drfsm/runs/" in home and within and number.removesuffix(".json").isdigit():
            newest[home] = key
    return [word for key in newest.values() for word in ("--expect-head", sha256(site.body(key)).hexdigest())]


def test_a_lost_machine_strands_nobody(site: Site, tmp_path: Path) -> None:
    """From the drill's mirror alone another machine goes on: kubeconfig, promote and all are found again."""
    bundle = tmp_path / "bundle"
    flags = ["--auto-promote", "true", "--allow-promote-bypass", "true"]
    argv = ["drill", "--backup-uri", site.backup_uri, *QUICK, "--receipt-dir", str(bundle), *flags]
    process = Command(argv, os.environ)
    child = bundle / "promote" / "state_transitions.log"
    until("the promote works", lambda: child.is_file() and len(child.read_bytes().splitlines()) > 4, 60)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    run_id = fold(read_chain(bundle).records).run_id
    mirror = f"s3://{site.bucket}/{site.prefix}/drills/{run_id}/drfsm/runs/{run_id}"
    elsewhere = {**os.environ, "DRFSM_HOME": str(tmp_path / "elsewhere")}
    code, told = _ended(["resume", mirror, "--take-over", run_id, *_heads(site, run_id)], elsewhere)
    assert code == 0, told
    found = tmp_path / "elsewhere/runs" / run_id
    assert fold(read_chain(found / "promote").records).status == "complete"
    assert site.alive() == {}
