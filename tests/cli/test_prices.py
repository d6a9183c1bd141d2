"""`drfsm status --prices`: what a stopped drill costs, with prices that are given now."""

import json
from pathlib import Path

import pytest

from drfsm.errors import ExitCode
from drfsm.runs import bundle
from tests.cli.test_selection import begun
from tests.command import Drfsm

PRICES = {"currency": "USD", "instance_hour": {"t3.large": "1.20"}, "disk_gb_month": "7.30"}


def test_status_counts_with_prices_that_are_given_by_option_or_environment(
    drfsm: Drfsm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without them it names the command, which counts; so does the environment; the summary is left as it was."""
    run_id, prices = begun("drill"), tmp_path / "prices.json"
    prices.write_text(json.dumps(PRICES), encoding="utf-8")
    told = drfsm("status", run_id).out
    assert f"no prices were given. With your prices: drfsm status {run_id} --prices FILE" in told
    assert "each further hour 1.6000 USD" in drfsm("status", run_id, "--prices", prices).out
    monkeypatch.setenv("DRFSM_PRICES", str(prices))
    assert "each further hour 1.6000 USD" in drfsm("status", run_id).out
    assert json.loads(drfsm("status", run_id, "-o", "json").out)["running_machines"]["amount_an_hour"] == "1.6000"
    summary = json.loads((bundle.home() / "runs" / run_id / "drill.summary.json").read_bytes())
    assert summary["running_machines"]["amount_an_hour"] == {"unknown": "no prices were given"}


@pytest.mark.parametrize(
    ("body", "why"), [(None, "No such file"), ("{", "is no JSON file"), ("[]", "holds no JSON object")]
)
def test_a_file_of_prices_that_can_not_be_used_is_wrong_usage(
    drfsm: Drfsm, tmp_path: Path, body: str | None, why: str
) -> None:
    """It is said which file, and what is wrong with it."""
    run_id, prices = begun("drill"), tmp_path / "prices.json"
    if body is not None:
        prices.write_text(body, encoding="utf-8")
    told = drfsm("status", run_id, "--prices", prices)
    assert (told.code, why in told.err, str(prices) in told.err) == (ExitCode.USAGE, True, True), told
