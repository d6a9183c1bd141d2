"""`drfsm coverage` and `drfsm replay --under`: which runs are counted, and what a script may rely on."""

import json
import shutil
from pathlib import Path

import pytest

from drfsm.adapters.file_journal import LOG
from drfsm.errors import ExitCode
from drfsm.runs import mirrors
from tests.cli.test_watch import Bucket
from tests.command import Drfsm
from tests.recorded import BUNDLES


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return the directory of this computer's runs, with a drill, the promote inside it, and a failback."""
    runs = tmp_path / "home" / "runs"
    runs.mkdir(parents=True)
    for machine in ("drill", "failback"):
        shutil.copytree(BUNDLES / "0.5.0" / machine, runs / f"{machine}-1")
    return runs


def test_all_runs_of_this_computer_are_counted_once(drfsm: Drfsm, home: Path, tmp_path: Path) -> None:
    """Also one inside another's bundle; a copy of a run counts no second time; the drawing is written."""
    shutil.copytree(home / "failback-1", tmp_path / "copy")
    told = drfsm("coverage", "failback", "-o", "json").json
    assert (told["runs"], told["left_out"]) == (1, [])
    twice = drfsm("coverage", "failback", "--bundle", home / "failback-1", "--bundle", tmp_path / "copy", "-o", "json")
    assert twice.json == told
    out = tmp_path / "failback.svg"
    answer = drfsm("coverage", "failback", "--never", "--svg", out)
    assert answer.code == ExitCode.DONE
    assert "NEVER" in answer.out
    assert "under an older declaration only" in out.read_text(encoding="utf-8")
    assert drfsm("coverage", "promote", "-o", "json").json["runs"] == 1  # the rehearsal that the drill began


def test_a_run_whose_evidence_does_not_hold_counts_for_nothing(drfsm: Drfsm, home: Path) -> None:
    """It is named, with the finding; so is one that can't be read."""
    log = home / "failback-1" / LOG
    log.write_bytes(log.read_bytes().replace(b'"value":"dr"', b'"value":"primary"', 1))
    told = drfsm("coverage", "failback", "-o", "json").json
    assert told["runs"] == 0
    assert [run["why"] for run in told["left_out"] if "does not hold" in run["why"]]
    assert {part["covered"] for part in told["parts"]} == {"never"}
    log.write_bytes(b"")
    assert len(drfsm("coverage", "failback", "-o", "json").json["left_out"]) == 1
    assert "NOT counted" in drfsm("coverage", "failback").err


def test_a_mirror_counts_like_a_bundle_and_the_same_run_once(
    drfsm: Drfsm, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run of the bucket is the one that is here, but for the records that it has more of."""
    bucket = Bucket()
    monkeypatch.setattr(mirrors, "store_of", lambda _bucket, _places: bucket)
    log = home / "failback-1" / LOG
    started = json.loads(log.read_bytes().splitlines()[0])["body"]
    inputs = started["inputs"]
    prefix = str(inputs.get("journal_prefix") or inputs["prefix"]).strip("/")
    at = f"{prefix}/drfsm/runs/{started['run_id']}"
    for number, line in enumerate(log.read_bytes().splitlines(keepends=True)):
        bucket.put(f"{at}/{number:06d}.json", line)
    bucket.put(f"{at}/failback.yaml", (home / "failback-1" / "failback.yaml").read_bytes())
    bucket.bucket = inputs["bucket"]
    argv = ("coverage", "failback", "--mirror", f"s3://{inputs['bucket']}/{prefix}", "-o", "json")
    both = drfsm(*argv).json
    assert (both["runs"], both["left_out"]) == (1, [])
    shutil.rmtree(home / "failback-1")
    assert drfsm(*argv).json == both
    assert drfsm("coverage", "failback", "--mirror", "results/jobs").code == ExitCode.USAGE


def test_a_script_learns_from_the_exit_code_whether_a_change_decides_otherwise(drfsm: Drfsm, tmp_path: Path) -> None:
    """0 and 11; both with the same document's `same`; the file may be a name, a path or a bundle."""
    bundle = BUNDLES / "0.5.0" / "failback"
    assert drfsm("replay", bundle, "--under", bundle).code == ExitCode.DONE
    assert drfsm("replay", bundle, "--under", "failback").code in (ExitCode.DONE, ExitCode.DIFFERENT)
    changed = tmp_path / "failback.yaml"
    text = (bundle / "failback.yaml").read_text(encoding="utf-8")
    old = 'because: "Both confirmation tokens are given; no site was called yet"'
    assert old in text
    changed.write_text(text.replace("requires: {confirmation: right}", "requires: {confirmation: wrong}"), "utf-8")
    answer = drfsm("replay", bundle, "--under", changed, "-o", "json")
    assert answer.code == ExitCode.DIFFERENT
    told = answer.json
    assert (told["same"], told["decisions"][0]["now"]) == (False, "refused")
    assert told["first_difference"] == told["decisions"][0]["seq"]
    assert json.dumps(told).isprintable()
    assert drfsm("replay", bundle, "--under", tmp_path / "none.yaml").code == ExitCode.USAGE
