"""A run whose account nobody confirmed says so: in what was seen, which the receipt holds, and in a dry run."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from drfsm.dr.sites.preflight import FACTS
from drfsm.engine import Run
from drfsm.evidence.standing import standing
from drfsm.journal import RunState
from drfsm.resources import shipped
from drfsm.spec import load_machine
from drfsm.world import World

OURS = "123456789012"
IDENTITY = SimpleNamespace(account=lambda: OURS, region=lambda: "eu-west-1", bucket_region=lambda: "eu-west-1")


@pytest.mark.parametrize(
    ("expected", "value", "confirmed"),
    [(OURS, "expected", "yes"), ("", "expected", "no: neither"), ("999999999999", "mismatched", "yes")],
)
def test_what_was_seen_says_whether_the_account_was_confirmed(expected: str, value: str, confirmed: str) -> None:
    """Without an expectation any account is accepted, and that nobody confirmed it stands beside it."""
    inputs: dict[str, Any] = {"expect_account": expected}
    run = cast("Run", SimpleNamespace(inputs=inputs))
    seen = FACTS["cloud_identity"].observe(cast("World", SimpleNamespace(identity=IDENTITY)), run)
    assert FACTS["cloud_identity"].judge(seen, inputs) == value
    assert seen["confirmed"].startswith(confirmed)


@pytest.mark.parametrize("machine", ["failback", "promote", "drill"])
def test_every_receipt_holds_it(machine: str) -> None:
    """The receipt's table takes it from what preflight saw."""
    spec = load_machine((shipped("machines") / f"{machine}.yaml").read_bytes(), source=machine)
    assert "seen run_preflight cloud_identity" in " ".join(str(each) for each in spec.receipt.values())


def test_a_dry_run_says_it() -> None:
    """Where an account is expected there is nothing to say."""
    told = [
        " ".join(
            standing(RunState(run_id="x", status="dry_run", dry_run=True, inputs={"expect_account": expected}), "x")
        )
        for expected in ("", OURS)
    ]
    assert ["account: not confirmed" in line for line in told] == [True, False]
