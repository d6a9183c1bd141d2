"""What `drfsm replay` prints of a promote is what the committed transcript says (tests/transcripts.py)."""

from tests.promote.conftest import Make
from tests.promote.world import TEXT, Ready
from tests.transcripts import held


def test_the_transcript_of_a_promote(ready: Ready, promote: Make) -> None:
    """It waits for a person, who approves the plan that was shown; then DR becomes canonical."""
    run = promote()
    run.start()
    run.approve(reason="the primary's region is gone")
    assert run.state.status == "complete", run.words
    sandbox = ready.site.sandbox
    names = {
        ready.site.bucket: "artifacts",
        sandbox.primary_run_id: "<the run of the primary>",
        ready.receipt["run_id"]: "<the run of DR>",
        str(sandbox.dr.kubeconfig): "dr.kubeconfig.yaml",
        str(sandbox.primary.kubeconfig): "primary.kubeconfig.yaml",
    }
    held("promote", run.directory, TEXT, names)
