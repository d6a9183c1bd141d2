"""When a plan counts as used: a start holds it while it lives, and for good once its run has a first record."""

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from drfsm.errors import ActionFailed
from drfsm.runs import bundle, reserved_plans

PLAN, RESERVED = "a" * 64, reserved_plans.Reserved("failback-1", "")
START = f"""
from drfsm.runs import bundle, reserved_plans
bundle.new("failback-1", None)
reserved_plans.use("{PLAN}", reserved_plans.Reserved("failback-1", ""))
print("used", flush=True)
input()
"""


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "subprocess.Popen[str]":
    """Return a start in a process of its own, which has used the plan, and has recorded nothing."""
    monkeypatch.setenv("DRFSM_HOME", str(tmp_path / "home"))
    process = subprocess.Popen([sys.executable, "-c", START], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "used\n"
    return process


def refused() -> bool:
    """Return whether another start would be, and by both questions."""
    asked = partial(reserved_plans.refuse_used, RESERVED, mirrored=False)
    answers = [is_refused(ask) for ask in (asked, partial(reserved_plans.use, PLAN, RESERVED))]
    assert len(set(answers)) == 1, answers
    return answers[0]


def is_refused(ask: Callable[[], None]) -> bool:
    """Return whether the plan counts as used."""
    try:
        ask()
    except ActionFailed:
        return True
    return False


@pytest.mark.parametrize(("left", "expected"), [("nothing", False), ("a record", True), ("no bundle", True)])
def test_a_start_that_was_killed_before_its_first_record_used_nothing(
    start: "subprocess.Popen[str]", left: str, expected: bool
) -> None:
    """While it lives the plan is its own; a bundle with a record, or one that is gone, keeps the plan used."""
    place = bundle.home() / "runs" / "failback-1"
    assert refused()
    if left == "a record":
        (place / bundle.LOG).write_text("{}\n")
    if left == "no bundle":
        place.rmdir()
    start.kill()
    start.wait()
    assert refused() is expected
    if not expected:
        with pytest.raises(ActionFailed):  # this process has it now
            reserved_plans.use(PLAN, RESERVED)
    with pytest.raises(ActionFailed):
        reserved_plans.refuse_used(RESERVED, mirrored=True)
