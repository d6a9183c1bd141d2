"""A sandboxed pair of sites, drilled through Temporal by `drfsm worker`: real commands, real servers, no disk."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drfsm.cli.fleet_worker import serve
from drfsm.errors import ExitCode, UsageFault
from drfsm.runs.notices import Notify
from drfsm.sandbox.fleet_demo import Stage
from tests.fleet.conftest import with_temporal

pytestmark = [with_temporal, pytest.mark.sandbox, pytest.mark.timeout(400)]

PAIR = "pair-01"
MOST_REQUESTS = 1500  # of one drill to S3, with a worker that is lost on the way; docs/scale.md has the figure


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Return one pair, whose primary is canonical, and Temporal."""
    made = Stage(tmp_path_factory.mktemp("stage"), lambda _line: None)
    if why := made.start({PAIR: "primary"}):
        made.stop()
        pytest.skip(why)
    yield made
    made.stop()


def standing(stage: Stage) -> dict[str, object]:
    """Return where the pair stands, by `drfsm fleet status`."""
    _, said = stage.drfsm("fleet", "status", "-o", "json")
    (pair,) = json.loads(said)["pairs"]
    return dict(pair)


def until_ended(stage: Stage, start: str) -> str:
    """Wait until a start has ended; return how the pair's run did."""
    deadline = time.monotonic() + 200
    while not (ends := stage.standing(start).get("ends")):
        assert time.monotonic() < deadline, standing(stage)
        time.sleep(1)
    return ends[PAIR]


def test_a_drill_whose_worker_is_lost_with_its_disk_ends_complete_and_its_journal_holds(stage: Stage) -> None:
    """Killed with SIGKILL between and in rows; the next worker has the bucket and a key, and nothing else."""
    code, said = stage.drfsm("fleet", "doctor")
    assert (code, "no worker serves it" in said) == (11, True)
    worker = stage.worker()
    start = stage.must("fleet", "run", "drill")
    deadline = time.monotonic() + 100
    while int(str(standing(stage)["records"])) < 12:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    worker.kill()
    stage.worker()
    assert until_ended(stage, start) == "complete", standing(stage)
    end = standing(stage)
    assert end["status"] == "complete"
    there = {**stage.environ, "AWS_ENDPOINT_URL": stage.pairs[PAIR].endpoint}
    replayed = [sys.executable, "-m", "drfsm", "replay", str(end["mirror"]), "--quiet"]
    assert subprocess.run(replayed, env=there, check=False).returncode == 0
    assert stage.drfsm("fleet", "doctor")[0] == 0
    requests = stage.requests(PAIR)
    assert 0 < requests["s3"] < MOST_REQUESTS, requests
    log = "".join(path.read_text() for path in stage.directory.glob("worker-*.log"))
    assert "fetched" in log, "the second worker never took the run from its mirror"


def test_an_entry_that_is_another_on_the_worker_begins_nothing(stage: Stage) -> None:
    """The fleet file was changed for those who start, not for the workers: refused, and no record is written."""
    before = standing(stage)["run_id"]
    changed = stage.file.with_name("changed.toml")
    changed.write_text(stage.file.read_text("utf-8").replace("allow_full_drill = true", "allow_full_drill = false"))
    start = stage.must("fleet", "run", "drill", "--name", "changed", "--fleet", str(changed))
    assert until_ended(stage, start) == "refused"
    assert standing(stage)["run_id"] == before


def test_a_schedule_is_set_paused_and_deleted_and_what_has_ended_is_asked_nothing(stage: Stage) -> None:
    """By the commands that the documents name; a pair's run that has ended answers to nothing any more."""
    stage.must("fleet", "schedule", "set", "--cron", "0 3 * * 1", "--jitter", "30m")
    stage.must("fleet", "schedule", "set", "--cron", "0 4 * * 1")
    stage.must("fleet", "schedule", "pause", "--reason", "a change freeze", "--operator", "ada")
    said = stage.must("fleet", "schedule", "show")
    assert said.startswith("PAUSED: ada: a change freeze")
    assert "T04:00:00" in said
    stage.must("fleet", "schedule", "resume")
    assert stage.must("fleet", "schedule", "show").startswith("active")
    stage.must("fleet", "schedule", "delete")
    assert stage.drfsm("fleet", "schedule", "show")[0] == ExitCode.USAGE
    assert stage.drfsm("fleet", "answer", PAIR, "hold", "--reason", "too late")[0] == ExitCode.USAGE
    assert stage.drfsm("fleet", "approve", "drfsm-fleet/drill/nobody", "2", "--ticket", "X")[0] == ExitCode.USAGE
    report = stage.directory / "fleet.html"
    stage.must("fleet", "report", "--out", str(report), "--prometheus", str(stage.directory / "fleet.prom"))
    assert "1 of 1 green" in report.read_text("utf-8")
    assert f'pair="{PAIR}"' in (stage.directory / "fleet.prom").read_text("utf-8")


def test_a_worker_without_keys_does_not_start(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its records could be anybody's; nor does one whose own key nobody trusts."""
    options: dict[str, Any] = {
        "namespace": "", "task_queue": "", "fleet_file": str(stage.file), "journal": "mirror", "instance_id": "",
        "runs_at_once": 1, "machines": (), "operator": "", "notify": Notify(),
    }  # fmt: skip
    monkeypatch.delenv("DRFSM_SIGNING_KEY", raising=False)
    with pytest.raises(UsageFault, match="needs keys"):
        serve("127.0.0.1:1", **options)
    nobody = tmp_path / "signers"
    nobody.write_text("", encoding="ascii")
    monkeypatch.setenv("DRFSM_SIGNING_KEY", str(stage.directory / "key"))
    monkeypatch.setenv("DRFSM_ALLOWED_SIGNERS", str(nobody))
    with pytest.raises(UsageFault, match="is not among those"):
        serve("127.0.0.1:1", **options)
