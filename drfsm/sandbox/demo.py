"""The demo: rehearsal, disaster, promote, failback (killed and resumed), audit.

It runs drfsm's own commands as processes on a sandbox of its own, and prints their output. The outage, the clusters of
the machines that the drill starts, and the SIGKILL are real: it is sent at some moment while an intent is open.
``drfsm sandbox demo`` (``make demo``) calls it. It raises DrfsmError if a step does not end as it must.
"""

import json
import os
import shutil
from pathlib import Path

from drfsm.errors import ExitCode
from drfsm.sandbox.demo_shell import Say, Shell, Stop, begun, chapter, first_match, must
from drfsm.sandbox.lifecycle import down, environment, up
from drfsm.sandbox.seed import GIT_SHA, Options

KILL_IN = "publish_artifacts"
FOLDERS = ("sandbox", "home", "rehearsal", "standby", "promote", "failback")
SITES = ("--bucket", "$BUCKET", "--prefix", "$PREFIX")


def tell(directory: Path, say: Say) -> Path:
    """Run the demo in a directory of its own; return the failback's bundle."""
    directory = directory.resolve()
    down(directory / "sandbox")
    for folder in FOLDERS:
        shutil.rmtree(directory / folder, ignore_errors=True)
    chapter(say, "Two sites on this computer. The primary publishes; DR is nothing but a launch template")
    say("$ drfsm sandbox up --canonical primary")
    state = up(directory / "sandbox", Options(pods_sleep_seconds=1, canonical="primary"))
    say(f"  the sandbox is up; every pointer names the primary's run {state.canonical_run_id}")
    try:
        ours = {"DRFSM_HOME": str(directory / "home"), "DRFSM_SANDBOX_DIR": str(directory / "sandbox")}
        ours["DRFSM_CONFIG"] = "none"  # whatever lies above this directory is of other sites
        shell = Shell({**os.environ, **environment(directory / "sandbox"), **ours}, say)
        _rehearsal(shell, directory, say)
        run_id = _disaster(shell, directory, say)
        _failback(shell, directory, run_id, say)
        _audit(shell, directory, say)
    finally:
        down(directory / "sandbox")
    bundle = directory / "failback"
    say("")
    say(f"The failback's bundle lies in {bundle}, beside those of the drills and the promote")
    for path in sorted(bundle.iterdir()):
        if not path.name.startswith("."):
            say(f"  {path.name}{'/' if path.is_dir() else ''}")
    return bundle


def _rehearsal(shell: Shell, directory: Path, say: Say) -> None:
    chapter(say, "A quiet day: the configuration is published, a backup is taken, and the disaster is rehearsed")
    shell.must(["control-plane", "publish", *SITES, "--image-ref-digest", "$IMAGE_REF", "--git-sha", GIT_SHA])
    taken = shell.must(["backup", "create", *SITES])
    shell.know("BACKUP_URI", first_match(r"^\s*(s3://\S+)$", taken))  # a note of a slow answer names more
    shell.must([
        "drill", *SITES, "--backup-uri", "$BACKUP_URI", "--image-ref", "$IMAGE_REF", "--auto-promote", "true",
        "--allow-promote-bypass", "true", "--allow-full-drill", "--receipt-dir", str(directory / "rehearsal"),
    ])  # fmt: skip


def _disaster(shell: Shell, directory: Path, say: Say) -> str:
    """Lose the primary and let DR take over; return the id of the run that is canonical then."""
    chapter(say, "DISASTER: the primary answers no more. DR is brought up, and this time it stays")
    shell.must(["sandbox", "outage", "primary"])
    standby = directory / "standby"
    shell.must([
        "drill", *SITES, "--backup-uri", "$BACKUP_URI", "--image-ref", "$IMAGE_REF", "--stop-after", "validate",
        "--teardown", "false", "--receipt-dir", str(standby),
    ])  # fmt: skip
    receipt = standby / "validation.receipt.json"
    shell.know("KUBECONFIG_DR", str(standby / "private/dr.kubeconfig.yaml"))
    chapter(say, "DR is to become canonical. Nobody but a person decides that, and approves exactly what is shown")
    code = shell.run([
        "promote", *SITES, "--validation-receipt", str(receipt), "--kubeconfig-dr", "$KUBECONFIG_DR",
        "--primary-unreachable", "--reason", "its region is out", "--fence-primary-role", "$PRIMARY_ROLE",
        "--fence-dr-role", "$DR_ROLE", "--receipt-dir", str(directory / "promote"),
    ])  # fmt: skip
    must(code == ExitCode.HELD, f"the promote was to wait for an approval, and ended with {code}")
    plan = first_match(r"--plan ([0-9a-f]{64})", shell.said)
    shell.must(["approve", "--ticket", "CHG-2042", "--plan", plan, "--operator", "ada"])
    return str(json.loads(receipt.read_bytes())["run_id"])


def _failback(shell: Shell, directory: Path, run_id: str, say: Say) -> None:
    chapter(say, "The primary is back. It is failed back to, and the process is killed in the middle of its work")
    shell.must(["sandbox", "outage", "primary", "--end"])
    shell.know("DR_RUN_ID", run_id)
    bundle = directory / "failback"
    failback = [
        "failback", *SITES, "--dr-run-id", "$DR_RUN_ID", "--kubeconfig-dr", "$KUBECONFIG_DR",
        "--kubeconfig-primary", "$KUBECONFIG_PRIMARY", "--image-ref", "$IMAGE_REF", "--confirm1", "FAILBACK",
        "--confirm2", "CONFIRM-$DR_RUN_ID", "--receipt-dir", str(bundle),
    ]  # fmt: skip
    shell.cut(failback, Stop(lambda: begun(bundle, KILL_IN)))
    chapter(say, "3 a.m. Somebody else sits down. Where does it stand?")
    shell.must(["status"])
    chapter(say, "Go on from exactly there")
    shell.must(["resume"])


def _audit(shell: Shell, directory: Path, say: Say) -> None:
    chapter(say, "The auditor's question: what happened, and was it allowed? From the logs alone, offline")
    shell.must(["replay", str(directory / "promote"), "--quiet"])
    shell.must(["replay", str(directory / "failback")])
