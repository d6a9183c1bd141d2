"""`drfsm audit` as it is typed: verdicts, exit codes, and what other programs read."""

import json
import shutil
from pathlib import Path

import pytest
from junitparser import JUnitXml
from sarif_pydantic import Sarif

from drfsm.adapters.file_journal import LOG
from drfsm.cli.main import run as drfsm
from drfsm.errors import ExitCode
from drfsm.evidence.audit.codes import CODES, RULES
from tests.recorded import BUNDLES

PROMOTE, DRILL = BUNDLES / "0.5.0" / "promote", BUNDLES / "0.5.0" / "drill"


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DRFSM_HOME", str(tmp_path / "home"))


def broken(tmp_path: Path) -> Path:
    """Return a bundle whose log lacks its last line."""
    place = Path(shutil.copytree(PROMOTE, tmp_path / "cut"))
    (place / LOG).write_bytes(b"".join((place / LOG).read_bytes().splitlines(keepends=True)[:-1]))
    return place


def test_the_exit_code_says_the_verdict(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Remarks are no fault unless --strict; what does not hold exits with 6, a damaged log with 7."""
    assert drfsm(["audit", str(PROMOTE)]) == ExitCode.DONE
    assert "the evidence holds as far as it goes" in capfd.readouterr().out
    assert drfsm(["audit", str(PROMOTE), "--strict"]) == ExitCode.EVIDENCE
    cut = broken(tmp_path)
    assert drfsm(["audit", str(cut), str(DRILL)]) == ExitCode.EVIDENCE
    told = capfd.readouterr().out
    assert "[log_cut_off]\n    expected: 33\n    found:    32" in told
    assert "the evidence does NOT hold: one finding in 32 records." in told
    assert "3 bundles: 2 hold with remarks, 1 does NOT hold." in told  # the drill's promote is one of its own
    (cut / LOG).write_bytes((cut / LOG).read_bytes().replace(b'"seq":3', b'"seq":4'))
    assert drfsm(["audit", str(cut)]) == ExitCode.DAMAGED
    assert drfsm(["audit", str(cut), str(DRILL), "--expect-head", "0"]) == ExitCode.USAGE
    assert drfsm(["audit", str(cut), "--store", "results"]) == ExitCode.USAGE
    assert drfsm(["audit", str(tmp_path / "nowhere")]) == ExitCode.USAGE
    for name, value in (("AWS_ENDPOINT_URL", "http://127.0.0.1:9"), ("AWS_REGION", "us-east-1")):
        monkeypatch.setenv(name, value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    assert drfsm(["audit", "s3://results/p/drfsm/runs/promote-1", str(PROMOTE)]) == ExitCode.UNREACHABLE


def test_other_programs_read_what_was_found(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """SARIF with another implementation of it, JUnit with the library's reader: each finding, each rule."""
    cut = broken(tmp_path)
    assert drfsm(["audit", str(cut), "-o", "json"]) == ExitCode.EVIDENCE
    (audited,) = json.loads(capfd.readouterr().out)["bundles"]
    assert drfsm(["audit", str(cut), "-o", "sarif"]) == ExitCode.EVIDENCE
    (run,) = Sarif.model_validate_json(capfd.readouterr().out).runs
    assert [each.rule_id for each in run.results or ()] == [each["code"] for each in audited["findings"]]
    assert [each.level.value for each in run.results or () if each.level][:1] == ["error"]
    assert drfsm(["audit", str(cut), "-o", "junit"]) == ExitCode.EVIDENCE
    (suite,) = JUnitXml.fromstring(capfd.readouterr().out.encode())
    assert (suite.tests, suite.failures) == (len(RULES), 1)
    assert suite.skipped == sum(outcome == "not_asked" for outcome in audited["rules"].values())


def test_each_code_is_explained(capfd: pytest.CaptureFixture[str]) -> None:
    """What it means, what to do, and who finds it; every code of the table is known by name."""
    assert drfsm(["explain", "log_cut_off"]) == ExitCode.DONE
    told = capfd.readouterr().out
    assert "weighs: error" in told
    assert "found by: a head that was copied to another place" in told
    assert drfsm(["explain", "-o", "json"]) == ExitCode.DONE
    known = {each["name"] for each in json.loads(capfd.readouterr().out)}
    assert known >= CODES.keys()
    assert all(code.means and code.to_do and code.rule in RULES for code in CODES.values())
