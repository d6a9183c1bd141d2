"""The seed's commands, with `drfsm failback` in place of the script's name, as they stand there."""

import json
import os
import pty
import select
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from attrs import asdict

from drfsm.errors import ExitCode
from drfsm.resources import shipped
from drfsm.spec import load_machine
from drfsm.spec.model import By
from tests.e2e.sites import WHOLE, MakeSite, Site, Told, counted

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]

INTERACTIVE = """
drfsm failback \\
  --bucket "$BUCKET" \\
  --prefix jobintel \\
  --dr-run-id "$DR_RUN_ID" \\
  --kubeconfig-dr "$KUBECONFIG_DR" \\
  --kubeconfig-primary "$KUBECONFIG_PRIMARY" \\
  --image-ref "$IMAGE_REF" \\
  --namespace jobintel \\
  --provider openai \\
  --profile cs"""
NON_INTERACTIVE = """
drfsm failback \\
  --bucket "$BUCKET" \\
  --prefix jobintel \\
  --dr-run-id "$DR_RUN_ID" \\
  --kubeconfig-dr "$KUBECONFIG_DR" \\
  --kubeconfig-primary "$KUBECONFIG_PRIMARY" \\
  --confirm1 FAILBACK \\
  --confirm2 "CONFIRM-$DR_RUN_ID" """
DRY_RUN = f"{NON_INTERACTIVE.rstrip()} \\\n  --dry-run"


def typed(site: Site, line: str, answers: Mapping[str, str]) -> Told:
    """Run a line in a shell on a terminal; type each answer when the terminal shows its question."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        ["sh", "-c", line], env=site.typing(), stdin=slave, stderr=slave, stdout=subprocess.PIPE, text=True
    )
    os.close(slave)
    shown, left, until = "", dict(answers), time.monotonic() + WHOLE
    try:
        while time.monotonic() < until:
            if select.select([master], [], [], 0.2)[0]:
                try:
                    shown += os.read(master, 65536).decode()
                except OSError:  # the other side is closed
                    break
            for question in [each for each in left if each in shown]:
                os.write(master, (left.pop(question) + "\n").encode())
        out, _ = process.communicate(timeout=WHOLE)
    finally:
        process.kill()
        os.close(master)
    assert not left, (left, shown)
    assert "Traceback" not in shown
    return Told(process.returncode, out, shown)


def test_the_interactive_command_runs_as_it_stands_in_an_evaluated_environment(make_site: MakeSite) -> None:
    """`eval "$(drfsm sandbox env)"`, the seed's command, both tokens typed; --teardown false leaves DR's runner."""
    site = make_site()
    place = site.directory / "sandbox"
    place.mkdir()
    (place / "sandbox.json").write_text(json.dumps(asdict(site.sandbox.state)))
    bundle = f"--teardown false --receipt-dir {site.bundle}"
    line = f'eval "$(drfsm sandbox env --dir {place})" && {INTERACTIVE.strip()} {bundle}'
    second = f"CONFIRM-{site.sandbox.dr_run_id}"
    told = typed(site, line, {"Type FAILBACK to continue": "FAILBACK", f"Type {second}": second})
    assert told.code == ExitCode.DONE, told
    assert f"canonical again, instead of DR's run {site.sandbox.dr_run_id}" in told.err
    assert "DR stays, frozen and demoted" in told.err
    assert "complete" in told.out
    assert site.sandbox._runner_state() == "running"
    assert site.sites()["dr"]["cronjobs"]["jobintel-daily"][0] is True
    assert site.owner() == "primary"
    site.assert_told_truly("complete")


@pytest.fixture
def untouched(shared: Site) -> Site:
    """Return the shared site, with a bundle of its own; the test must leave the world alone."""
    shared.fresh()
    return shared


WRONG = {
    "a wrong first token": {"Type FAILBACK": "failback", "Type CONFIRM-": "{second}"},
    "a wrong second token": {"Type FAILBACK": "FAILBACK", "Type CONFIRM-": "CONFIRM-hunter2-my-password"},
    "nothing typed": {"Type FAILBACK": "", "Type CONFIRM-": ""},
}


@pytest.mark.parametrize("given", WRONG)
def test_a_wrong_token_ends_the_run_before_any_call(untouched: Site, given: str) -> None:
    """Refused, exit 3, on a terminal: no request was seen by S3 or a cluster, and what was typed is not kept."""
    site, second = untouched, f"CONFIRM-{untouched.sandbox.dr_run_id}"
    before, seen, asked = site.world(), len(site.wire.seen), counted(site)
    answers = {question: answer.format(second=second) for question, answer in WRONG[given].items()}
    told = typed(site, f"{INTERACTIVE.strip()} --receipt-dir {site.bundle}", answers)
    assert told.code == ExitCode.REFUSED, told
    assert (len(site.wire.seen), asked()) == (seen, 0)
    assert site.world() == before
    summary = site.assert_told_truly("refused")
    assert summary["failed_stage"] == "confirm_intent"
    assert "tokens_match" in summary["reason"]
    assert "hunter2" not in (site.bundle / "state_transitions.log").read_text()


@pytest.mark.parametrize(
    "tokens",
    [
        ["--confirm1", "FAILBACK", "--confirm2", "CONFIRM-2020-01-01T00:00:00.000000+00:00"],
        ["--confirm1", "no", "--confirm2", "CONFIRM-$DR_RUN_ID"],
        ["--confirm1", "", "--confirm2", ""],
        [],
    ],
    ids=["another run's", "a wrong first one", "empty ones", "none, and nobody at a terminal"],
)
def test_a_wrong_token_on_the_command_line_is_refused_likewise(untouched: Site, tokens: list[str]) -> None:
    """Refused, exit 3, no request at all; nobody is asked where nobody sits."""
    site = untouched
    before, seen, asked = site.world(), len(site.wire.seen), counted(site)
    given = " ".join(f'"{each}"' for each in [*tokens, "--receipt-dir", str(site.bundle)])
    told = site.shell(f"{INTERACTIVE.strip()} {given}")
    assert told.code == ExitCode.REFUSED, told
    assert (len(site.wire.seen), asked()) == (seen, 0)
    assert site.world() == before
    site.assert_told_truly("refused")


STEPS = [
    "confirm_intent", "run_preflight", "reach_primary", "reach_dr", "confirm_dr_promoted", "freeze_primary",
    "silence_primary", "confirm_primary_quiesced", "freeze_dr", "demote_dr", "confirm_dr_quiesced", "capture_pointers",
    "verify_dr_run", "assess_primary", "start_validation", "await_validation", "verify_primary_run",
    "confirm_no_divergence", "publish_artifacts", "enable_primary_publish", "switch_provider_pointers",
    "switch_global_pointer", "switch_latest", "unfence_primary", "start_soak", "resume_primary", "confirm_soak",
    "tear_down_dr", "finish",
]  # fmt: skip
"""The whole way of a failback without options."""


def hint(inputs: Mapping[str, str]) -> Iterator[str]:
    """Yield the triggers of the machine's own way from its start to its end for these inputs."""
    spec = load_machine((shipped("machines") / "failback.yaml").read_bytes(), source="failback.yaml")
    state = spec.initial
    while state not in spec.finals:
        row = next(iter(spec.rows_from(state, inputs, By.RUNNER)))
        yield row.trigger
        state = row.to


def test_a_dry_run_walks_the_whole_machine_and_changes_nothing(untouched: Site) -> None:
    """Byte for byte the same store and sites; a forecast for every row; the end is dry_run, never a success."""
    site = untouched
    before, written = site.world(), len(site.wire.passed)
    told = site.shell(f"{DRY_RUN.strip()} --cronjob jobintel-daily --receipt-dir {site.bundle}")
    assert told.code == ExitCode.DONE, told
    assert site.world() == before
    assert {each.method for each in site.wire.passed[written:]} <= {"GET", "HEAD", "POST"}  # POST: STS and EC2
    summary = site.assert_told_truly("dry_run")
    assert (summary["dry_run"], summary["state"]) == (True, "start")
    assert [each["trigger"] for each in summary["forecast"]["steps"]] == STEPS
    assert list(hint(site.records()[0]["body"]["inputs"])) == STEPS
    assert {each["outcome"] for each in summary["forecast"]["steps"]} <= {"pass", "depends"}
    assert {each["kind"] for each in site.records()} == {"run_started", "forecast", "ended", "seal"}
    assert "DRY RUN: nothing was changed" in told.out
    assert "DRY RUN: nothing will be changed" in told.err
    for words in ("complete,", "complete in", "succe"):
        assert words not in told.out
    assert "dry run" in site.run("status", str(site.bundle)).out
    assert site.run("replay", str(site.bundle), "--quiet").code == ExitCode.DONE


def test_a_dry_run_that_meets_a_refusal_says_so_and_exits_3(untouched: Site) -> None:
    """What would be refused is listed with its reason, and no script can take it for a yes."""
    site = untouched
    before = site.world()
    loose = ["--image-ref", "registry.example/jobintel:latest", "--cronjob", "jobintel-daily"]
    told = site.run(*site.failback("--dry-run", *loose))
    assert told.code == ExitCode.REFUSED, told
    assert site.world() == before
    summary = site.assert_told_truly("refused")
    assert summary["dry_run"] is True
    found = summary["forecast"]["findings"]
    assert [each.split(" (")[0] for each in found] == [
        "run_preflight: image_is_pinned: image is loose, needed pinned",
        "run_preflight: image_is_the_cronjobs: image_drift is differs, needed none|accepted",
    ]
    assert "--allow-tag accepts it" in told.out + told.err


def test_an_image_that_is_not_pinned_is_refused_unless_it_is_allowed(untouched: Site) -> None:
    """Refused before anything moves, with the option that would accept it; accepted with it."""
    site = untouched
    before = site.versions(), site.pointers()
    loose = ["--image-ref", "registry.example/jobintel:latest", "--cronjob", "jobintel-daily"]
    told = site.run(*site.failback(*loose))
    assert told.code == ExitCode.REFUSED, told
    assert "image_is_pinned" in told.err
    assert "--allow-tag" in told.err
    assert (site.versions(), site.pointers()) == before
    site.assert_told_truly("refused")
    site.fresh()
    told = site.run(*site.failback("--dry-run", "--allow-tag", "--allow-image-drift", *loose))
    assert told.code == ExitCode.DONE, told


def test_half_of_a_sync_is_wrong_usage(untouched: Site, tmp_path: Path) -> None:
    """--sync-src-prefix without --sync-dst-prefix is told before anything is touched; no bundle is made."""
    told = untouched.run(*untouched.failback("--sync-src-prefix", "a/", bundle=tmp_path / "none"))
    assert (told.code, "go together" in told.err) == (ExitCode.USAGE, True), told
    assert not (tmp_path / "none").exists()
