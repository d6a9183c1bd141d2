"""What `drfsm replay` prints of three failbacks is what the committed transcripts say (tests/transcripts.py)."""

from collections.abc import Mapping

from tests.safety.conftest import Make
from tests.safety.world import TEXT, Failback, Killed, Site
from tests.transcripts import held


def names(site: Site, run: Failback) -> Mapping[str, str]:
    """Return what stands for what differs from sandbox to sandbox."""
    return {
        site.bucket: "artifacts",
        site.dr_run_id: "<the run of DR>",
        run.primary_run_id: "<the run of the primary>",
        str(site.sandbox.dr.kubeconfig): "dr.kubeconfig.yaml",
        str(site.sandbox.primary.kubeconfig): "primary.kubeconfig.yaml",
    }


def test_the_transcript_of_a_failback(site: Site, failback: Make) -> None:
    """From the start to the end, with nothing in between."""
    run = failback(reason="")
    run.start()
    assert run.state.status == "complete", run.words
    held("failback", run.directory, TEXT, names(site, run))


def test_the_transcript_of_a_failback_that_was_killed_and_resumed(site: Site, failback: Make) -> None:
    """Killed when one of the two keys of the global pointer was written: its intent is open, and is done again."""

    def die() -> None:
        raise Killed

    run = failback(reason="")
    run.on("after", "store", "put", site.pointer_keys()[0].removeprefix(f"{site.prefix}/"), die)
    run.killed(run.start)
    run.resume()
    assert run.state.status == "complete", run.words
    held("failback-killed", run.directory, TEXT, names(site, run))


def test_the_transcript_of_a_failback_that_was_aborted(site: Site, failback: Make) -> None:
    """Held once the provider pointers had moved, then aborted: all is undone, but for what is kept on purpose."""
    run = failback(reason="")
    run.stop_after("switch_provider_pointers")
    run.start()
    run.abort("the maintenance window is over")
    assert run.state.status == "aborted", run.words
    held("failback-aborted", run.directory, TEXT, names(site, run))
