"""`drfsm status --by-hand`: what it prints is run by bash, with the real kubectl, and the world is as before the run.

The `aws` lines are run by the AWS CLI where it is installed, and everywhere by aws_commands.py, which does the few
commands that occur over boto3.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import evolve

from drfsm.adapters.file_journal import FileJournal, read_chain
from drfsm.dr.sites.fence_statement import sid
from drfsm.errors import ExitCode
from drfsm.runs.by_hand import commands
from drfsm.sandbox.cloud import ACCESS_KEY_ID, SECRET_ACCESS_KEY
from tests.command import Answer, as_a_process
from tests.safety.conftest import Make
from tests.safety.test_abort import brought_to, picture
from tests.safety.world import Failback, Killed, Site

HERE = Path(__file__).parent
BUNDLES = HERE.parent / "data/bundles"
AWS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY, "AWS_PAGER": ""}
needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
CLIENTS = [
    "boto3",
    pytest.param("aws", marks=pytest.mark.skipif(shutil.which("aws") is None, reason="the AWS CLI is not installed")),
]


def printed(run: Failback, home: Path) -> Answer:
    """Return what `status --by-hand` prints of a run's bundle, as a process of its own with nothing but the bundle."""
    return as_a_process(["status", "--by-hand", str(run.directory)], {"DRFSM_HOME": str(home)})


def run_by_bash(script: str, place: Path, client: str) -> None:
    """Run a script, each line of which must succeed."""
    (place / "bin").mkdir(parents=True)
    if client == "boto3":
        aws = place / "bin/aws"
        aws.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {HERE}/aws_commands.py "$@"\n')
        aws.chmod(0o755)
    path = f"{place}/bin:{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=place, env={**os.environ, **AWS, "PATH": path},
        capture_output=True, text=True, check=False, timeout=150,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr


@needs_kubectl
@pytest.mark.parametrize("client", CLIENTS)
def test_what_it_prints_puts_everything_back(site: Site, failback: Make, tmp_path: Path, client: str) -> None:
    """Schedules, publishing, the fence beside a foreign statement, the validation, artifacts and pointers."""
    foreign = {"Sid": "Theirs", "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteBucket",
               "Resource": f"arn:aws:s3:::{site.bucket}"}  # fmt: skip
    site.policy({"Version": "2012-10-17", "Statement": [foreign]})
    before = picture(site, failback())
    run = brought_to(site, failback, "provider_switched")
    assert picture(site, run) != before
    answer = printed(run, tmp_path / "home")
    assert answer.code == ExitCode.DONE, answer
    run_by_bash(answer.out, tmp_path / "hands", client)
    assert picture(site, run) == {**before, "runners": site.runners()}
    assert [statement["Sid"] for statement in site.statements()] == ["Theirs"]
    assert not site.run_keys(run.primary_run_id)
    assert not [job for job in site.jobs("primary") if job["metadata"]["name"].startswith("drfsm-")]
    assert "# freeze_primary: not put back: the primary's schedules stay suspended" in answer.out


@needs_kubectl
def test_files_that_somebody_else_put_at_the_run_s_place_stay(site: Site, failback: Make, tmp_path: Path) -> None:
    """Only what has the name of a file of the validation is the run's; drfsm's own undo leaves the rest, too."""
    run = brought_to(site, failback, "provider_switched")
    theirs = f"{site.prefix}/runs/{run.primary_run_id}/notes of somebody.txt"
    site.store.put(theirs, b"mine")
    run_by_bash(printed(run, tmp_path / "home").out, tmp_path / "hands", "boto3")
    assert site.run_keys(run.primary_run_id) == [theirs]
    site.store.delete(theirs)


@needs_kubectl
@pytest.mark.parametrize("client", CLIENTS)
def test_a_pointer_that_somebody_else_moved_stays_and_ends_the_script(
    site: Site, failback: Make, tmp_path: Path, client: str
) -> None:
    """It names a run that was not there before and is not this run's: the message says so. Deleted, it comes back."""
    run = brought_to(site, failback, "provider_switched")
    lines = [line for line in printed(run, tmp_path / "home").out.splitlines() if "put-object" in line]
    assert len(lines) == 2
    key, gone = (re.search(r"--key (\S+)", line)[1] for line in lines)  # type: ignore[index]
    theirs = json.dumps({**json.loads(site.body(key)), "run_id": "theirs"}).encode()
    site.put(key, theirs)
    with pytest.raises(AssertionError, match="names theirs: another process moved this pointer since"):
        run_by_bash("\n".join([lines[0], "touch went-on"]), tmp_path / "hands", client)
    assert not (tmp_path / "hands/went-on").exists()
    assert site.body(key) == theirs
    moved = json.loads(site.body(gone))["run_id"]
    site.store.delete(gone)
    run_by_bash(lines[1], tmp_path / "again", client)
    assert json.loads(site.body(gone))["run_id"] != moved == run.primary_run_id


def test_a_complete_run_has_no_command_unless_it_is_asked_for(tmp_path: Path) -> None:
    """--roll-back is the word, and means nothing without --by-hand: 2."""
    environment = {"DRFSM_HOME": str(tmp_path)}
    bundle = str(max(BUNDLES.glob("*/failback")))
    assert as_a_process(["status", "--roll-back", bundle], environment).code == ExitCode.USAGE
    held = [as_a_process(["status", "--by-hand", *more, bundle], environment).out for more in ([], ["--roll-back"])]
    assert held[0] == held[1] != ""


def test_no_word_of_a_record_becomes_a_command_of_the_shell(tmp_path: Path) -> None:
    """The name of a site is part of a variable's name, where nothing can be quoted: only the two sites are taken."""
    records = read_chain(max(BUNDLES.glob("*/promote"))).records
    pwned = tmp_path / "PWNED"
    evil = f'dr"; PLACE={pwned}; : >$PLACE; "'
    started, *others = records
    inputs = {**started.body["inputs"], "taker": evil, "kubeconfig_dr": "", "dr_run_id": "a'b", "primary_run_id": "a'b"}
    script = "\n".join(commands([evolve(started, body={**started.body, "inputs": inputs}), *others]))
    assert (
        "CANNOT BE PUT BACK: validation_job: the records can't be read as drfsm writes them: there is no site" in script
    )
    bash = shutil.which("bash") or "bash"
    subprocess.run([bash, "-c", script], cwd=tmp_path, env={"PATH": ""}, capture_output=True, check=False)
    assert not pwned.exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [("namespace", "--kubeconfig=/x"), ("bucket", "file:///x"), ("prefix", "../x"), ("staged_prefix", "a//b")],
)
def test_a_record_that_names_what_is_no_name_gives_no_command(name: str, value: str) -> None:
    """What reaches kubectl and aws as a word of its own keeps to the grammar of its kind, or there is no script."""
    started, *others = read_chain(max(BUNDLES.glob("*/promote"))).records
    forged = evolve(started, body={**started.body, "inputs": {**started.body["inputs"], name: value}})
    lines = list(commands([forged, *others]))
    assert f"{name} {value}" in lines[-1]
    assert all(line.startswith("#") for line in lines)


@pytest.mark.parametrize("staged", ["", "/latest", "/runs", "/state/x"])
def test_only_the_place_of_a_validation_is_removed(staged: str) -> None:
    """A record that names the bucket's prefix, or another part of it, as the validation's place removes nothing."""
    started, *others = read_chain(max(BUNDLES.glob("*/promote"))).records
    inputs = {**started.body["inputs"], "staged_prefix": f"{started.body['inputs']['prefix']}{staged}"}
    script = "\n".join(commands([evolve(started, body={**started.body, "inputs": inputs}), *others]))
    assert "is no place of a validation" in script
    assert "--recursive" not in script


@needs_kubectl
@pytest.mark.parametrize("cut_at", ["intent", "commit"])
def test_a_run_that_was_killed_in_an_action_and_whose_journal_is_damaged_is_put_back_too(
    site: Site, failback: Make, tmp_path: Path, cut_at: str
) -> None:
    """The intent is on record: however far its action came, the object is as before. Damage after it is said: 7."""
    before = picture(site, failback())
    run = failback(fence_dr="asked", fence_primary_role=site.role("primary"), fence_dr_role=site.role("dr"))

    def cut() -> None:
        raise Killed

    run.when(cut_at, "fence_dr", cut)
    run.killed(run.start)
    fenced = sid("dr", site.prefix) in {statement["Sid"] for statement in site.statements()}
    assert fenced == (cut_at == "commit")  # cut before: the bucket has no policy at all
    log = run.directory / "state_transitions.log"
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"prev":"nothing"}\n')
    answer = printed(run, tmp_path / "home")
    log.write_bytes(whole)  # the audit at the end of each test holds it to be true
    assert answer.code == ExitCode.DAMAGED
    assert answer.out.startswith("# THE JOURNAL IS DAMAGED (state_transitions.log: line ")
    run_by_bash(answer.out, tmp_path / "hands", "boto3")
    assert picture(site, run) == before


def test_past_the_point_of_no_return_it_warns_and_names_what_cannot_be_put_back() -> None:
    """A promote that was killed while it moved the deciding pointer: drfsm would only go forward."""
    place = max(BUNDLES.glob("*/promote"))
    answer = as_a_process(["status", "--by-hand", str(place)], {})
    assert "# THE POINT OF NO RETURN IS PASSED" in answer.out
    assert "# CANNOT BE PUT BACK: owner: " in answer.out
    order = [
        answer.out.index(f"# {trigger}: ") for trigger in ("switch_global_pointer", "silence_primary", "fence_primary")
    ]
    assert order == sorted(order)


@pytest.mark.parametrize("place", sorted(BUNDLES.glob("*/*/state_transitions.log")), ids=lambda log: str(log.parent))
def test_every_recorded_bundle_has_a_script_that_bash_parses_and_that_shows_no_secret(place: Path) -> None:
    """Of each version of drfsm and each machine; what is no comment is a command that is meant."""
    answer = as_a_process(["status", "--by-hand", str(place.parent)], {})
    assert answer.code == ExitCode.DONE, answer
    parsed = subprocess.run(["bash", "-n", "-c", answer.out], capture_output=True, text=True, check=False)
    assert (parsed.returncode, parsed.stderr) == (0, "")
    commands = [line for line in answer.out.splitlines() if not line.startswith("#")]
    assert {line.split()[0] for line in commands} <= {"kubectl", "aws", "("}
    assert "CONFIRM-" not in answer.out


def test_a_process_that_works_on_the_run_is_named_first(tmp_path: Path) -> None:
    """Its lock keeps nobody from reading: the script is printed all the same. As JSON there is none: 2."""
    place = shutil.copytree(max(BUNDLES.glob("*/failback")), tmp_path / "bundle")
    with FileJournal(place, fresh=False):
        answer = as_a_process(["status", "--by-hand", str(place)], {"DRFSM_HOME": str(tmp_path)})
    assert answer.out.startswith(f"# PROCESS {os.getpid()} ON ")
    assert "patch cronjob/" in answer.out
    assert as_a_process(["status", "--by-hand", "-o", "json", str(place)], {}).code == ExitCode.USAGE


@needs_kubectl
def test_a_policy_that_cannot_be_read_is_not_written(site: Site, failback: Make, tmp_path: Path) -> None:
    """The fence's line fails as a whole where the store refuses; the policy stays as it is."""
    run = brought_to(site, failback, "dr_fenced")
    statements = site.statements()
    (fence,) = [line for line in printed(run, tmp_path).out.splitlines() if "get-bucket-policy" in line]
    unread = fence.replace(site.sandbox.cloud.endpoint, "http://127.0.0.1:9", 1)  # of its reading alone
    with pytest.raises(AssertionError, match="Could not connect"):
        run_by_bash(f"{unread} || {{ cat *.errors >&2; exit 1; }}", tmp_path / "hands", "boto3")
    assert site.statements() == statements
