"""A failback that an execution drives: one worker is killed in the middle of a step, the next one falls asleep.

Each is a process of its own on the same machine. The execution notices by the heartbeats, asks again with a new token,
and the journal knows what was done: no step is done twice, and the end is that of any failback.
"""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from drfsm.errors import ExitCode
from drfsm.sandbox.executions import executions_of
from drfsm.spec.asl import asl
from tests.e2e.sites import Site, Sites, at_write
from tests.e2e.test_kill_and_resume import assert_whole, intents
from tests.orchestrators.orchestra import Orchestra, soon, whole_procedures
from tests.orchestrators.test_export import spec_of

pytestmark = [pytest.mark.sandbox, whole_procedures, pytest.mark.timeout(600)]

HEARTBEAT_SECONDS, LOST_SECONDS = 4, 1


@pytest.fixture
def site(tmp_path: Path, operator_keys: None) -> Iterator[Site]:  # noqa: ARG001  the test looks at executions itself
    """Return a seeded site whose account runs executions."""
    sites = Sites(tmp_path)
    made = sites()
    with executions_of(made.sandbox.cloud):
        yield made
    sites.close()


def worker(site: Site, queue_url: str, *more: str) -> list[str]:
    """Return the command of a worker on this site's machine."""
    sandbox = site.sandbox
    return [
        "worker", "--queue", queue_url, "--bucket", sandbox.bucket, "--prefix", sandbox.prefix, "--kubeconfig-dr",
        str(sandbox.dr.kubeconfig), "--kubeconfig-primary", str(sandbox.primary.kubeconfig), "--heartbeat", "1", *more,
    ]  # fmt: skip


def test_a_failback_whose_worker_is_killed_and_whose_next_one_sleeps_ends_as_any_other(site: Site) -> None:
    """Killed while it publishes; asleep, for longer than its heartbeat, at the provider pointers; then complete."""
    orchestra = Orchestra(site.sandbox.cloud)
    work_queue = orchestra.queue()
    machine = asl(
        spec_of("failback"), work_queue=work_queue, questions_queue=orchestra.queue_url,
        heartbeat_seconds=HEARTBEAT_SECONDS, lost_seconds=LOST_SECONDS,
    )  # fmt: skip
    begun = site.run(*site.failback("--soak", "none", "--reason", "a rehearsal", "--as-execution-input"))
    assert begun.code == ExitCode.DONE, begun
    given = begun.summary
    site.bundle = site.home / "runs" / given["drfsm_run"]
    arn = orchestra.start(machine, **given)
    site.killed(worker(site, work_queue), at_write("jobintel/runs/", "before", 2))
    assert "publish_artifacts" in intents(site)
    sleeper = site.put_to_sleep(worker(site, work_queue), at_write("state/openai/cs/last_success.json", "stop-after"))
    lost = "silent for longer than its heartbeat"
    soon(lost, lambda: orchestra.tasks(arn)[-1].ended == "TaskTimedOut")
    time.sleep(LOST_SECONDS)
    site.wire.wake()
    assert orchestra.ended(arn) == "SUCCEEDED"
    sleeper.send_signal(signal.SIGTERM)
    assert site.summary()["status"] == "complete"
    assert_whole(site)
    assert {trigger for trigger, begun in intents(site).items() if len(begun) > 1} <= {"publish_artifacts"}
    assert len(site.transitions()) == len(set(site.transitions()))
    assert site.owner() == "primary"
    orchestra.close()
