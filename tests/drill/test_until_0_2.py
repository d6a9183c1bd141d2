"""A drill that 0.2.0 started is pinned to its declaration, where the validation is one action: it goes on with that."""

import pytest

from drfsm.spec import load_machine
from tests.drill.conftest import Make
from tests.drill.world import Drill
from tests.recorded import BUNDLES

pytestmark = pytest.mark.sandbox
TEXT = (BUNDLES / "0.2.0" / "drill" / "drill.yaml").read_bytes()
DECLARED = load_machine(TEXT, source="drill.yaml").inputs
WHOLE = ("--stop-after", "validate", "--teardown", "true")


@pytest.fixture
def old_drill(drill: Make) -> Make:
    """Return what makes a drill as 0.2.0 did."""

    def make(*argv: str) -> Drill:
        run = drill(*WHOLE, *argv)
        run.text = TEXT
        run.inputs = {name: value for name, value in run.inputs.items() if name in DECLARED}
        return run

    return make


def test_a_validation_that_was_begun_then_is_gone_on_with(old_drill: Make) -> None:
    """Killed with its one action begun, and resumed by today's version: complete, by the row of then."""
    run = old_drill()
    run.kill_at("intent", "validate")
    run.killed(run.start)
    assert run.resume().status == "complete", run.words
    assert [each["trigger"] for each in run.of("commit") if "validat" in each["trigger"]] == [
        "validate",
        "verify_validation",
    ]
    assert run.state.results["validate"]["run_id"] == run.inputs["dr_run_id"]
    assert run.file("validation.receipt.json")["run_id"] == run.inputs["dr_run_id"]


@pytest.mark.parametrize(
    ("env", "cause", "attempts"), [("SANDBOX_DIE_AFTER=artifacts", "memory", 2), ("SANDBOX_FAIL=1", "other", 1)]
)
def test_a_validation_of_then_fails_as_it_did(old_drill: Make, env: str, cause: str, attempts: int) -> None:
    """Tried again within its row where that can help, and final where not; the cause is told with its evidence."""
    run = old_drill("--validation-env", env, "--max-attempts", "2")
    assert run.start().status == "failed", run.words
    assert (run.state.stage, run.own) == ("validate", [])
    assert run.state.reason.startswith(f"the validation failed ({cause}): ")
    assert len(run.of("failed", "validate")) == attempts
    assert run.phase("validate")["attempts"] == attempts
