"""A drill under a policy: from a plan that somebody else approved, and not without."""

import json
from pathlib import Path

import pytest

from drfsm.cli import main
from drfsm.errors import ExitCode
from drfsm.evidence.receipts import check
from drfsm.resources import shipped
from tests.drill.test_validate import standing_by
from tests.drill.world import Site

pytestmark = pytest.mark.sandbox


def test_a_drill_waits_for_its_approval_and_records_it(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused without; declined, refused; approved by another name, done, and judged again by the audit."""
    rules = "[policies.drill]\napprovals = 1\ndistinct = false\n"
    (tmp_path / "drfsm.toml").write_text(rules, encoding="utf-8")
    monkeypatch.setenv("DRFSM_CONFIG", str(tmp_path / "drfsm.toml"))
    plan, bundle = tmp_path / "drill.plan.json", tmp_path / "bundle"
    argv = ["--backup-uri", site.backup_uri, *standing_by(site), "--validate-only", "--teardown", "false"]
    assert main.run(["plan", "drill", *argv, "--receipt-dir", str(bundle), "--out", str(plan)]) == ExitCode.DONE
    digest = json.loads(plan.read_bytes())["sha256"]
    start = ["drill", "--plan", str(plan)]
    assert main.run(start) == ExitCode.REFUSED
    assert "approvals_missing: 1 needed, 0 valid" in capsys.readouterr().err
    assert main.run(["approve", str(plan), "--ticket", "CHG-7", "--plan", digest, "--operator", "ann"]) == ExitCode.DONE
    no = tmp_path / "no.json"
    assert (
        main.run(["decline", str(plan), "--reason", "not now", "--operator", "bob", "--out", str(no)]) == ExitCode.DONE
    )
    assert main.run([*start, "--approval", str(no)]) == ExitCode.REFUSED
    assert "plan_declined: by bob (not signed): not now" in capsys.readouterr().err
    assert not bundle.exists()
    assert main.run(start) == ExitCode.DONE
    summary = json.loads((bundle / "drill.summary.json").read_bytes())
    assert check(summary, json.loads((shipped("receipts_schema") / "drill.summary.schema.json").read_bytes())) == []
    (given,) = summary["approvals"]["given"]
    assert (given["by"], given["ticket"]) == ("ann", "CHG-7")
    assert main.run(["replay", str(bundle), "--quiet"]) == ExitCode.DONE
    lines = (bundle / "state_transitions.log").read_bytes()
    assert json.loads(lines.splitlines()[0])["body"]["approval"]["plan_sha256"] == digest
