"""Why a validation failed, as its pods show it; and what is noted while it runs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from drfsm.dr.objects import RUN_LABEL
from drfsm.dr.validation.failure import FACTS, cause
from drfsm.engine import Run
from drfsm.world import World
from tests.dr.conftest import DRFSM_RUN, Bench

NOW = datetime(2026, 2, 28, 13, tzinfo=UTC)
FAILED = {"status": {"conditions": [{"type": "Failed", "status": "True"}]}}
TOO_LATE = {"status": {"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]}}
Json = dict[str, Any]


def pod(status: Json, **metadata: str) -> Json:
    """Return a pod of the Job."""
    return {"metadata": {"name": "p", **metadata}, "status": status}


def container(**state: Json) -> Json:
    """Return the status of a pod with one container."""
    return {"containerStatuses": [{"name": "main", "state": state}]}


NO_NODE = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes: Insufficient memory"}
KILLED = container(terminated={"reason": "Error", "exitCode": 137})
CASES = {
    "an image that can't be pulled": (
        FAILED, pod(container(waiting={"reason": "ErrImagePull", "message": "no such host"})),
        "image_pull", "pod p, container main: ErrImagePull: no such host",
    ),
    "a container that was out of memory": (
        FAILED, pod(container(terminated={"reason": "OOMKilled", "exitCode": 137})),
        "memory", "pod p, container main: OOMKilled, exit code 137",
    ),
    "a container that the kernel killed": (
        FAILED, pod(KILLED), "memory", "pod p, container main: Error, exit code 137",
    ),
    "a container that was killed at the Job's deadline": (
        TOO_LATE, pod(KILLED), "other", "pod p, container main: Error, exit code 137",
    ),
    "a container of a pod that somebody deleted": (
        FAILED, pod(KILLED, deletionTimestamp="2026-02-28T13:00:00Z"),
        "other", "pod p, container main: Error, exit code 137",
    ),
    "no node with enough memory": (
        FAILED, pod({"conditions": [NO_NODE]}), "memory", "pod p finds no node: 0/1 nodes: Insufficient memory",
    ),
    "a pod that was evicted": (
        FAILED, pod({"reason": "Evicted", "message": "The node was low on resource: memory."}),
        "memory", "pod p was evicted: The node was low on resource: memory.",
    ),
    "a workload that fails": (
        FAILED, pod(container(terminated={"exitCode": 1})), "other", "pod p, container main: ended, exit code 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_cause_is_told_with_what_shows_it(case: str) -> None:
    """Only what shows that it may pass is image_pull or memory."""
    job, of_pod, kind, evidence = CASES[case]
    assert cause(job, [of_pod]) == (kind, [evidence])


class Cluster:
    """A site with one Job of this run, and its pod."""

    name = "dr"

    def __init__(self, age: float, **job: Json) -> None:
        born = (NOW - timedelta(seconds=age)).isoformat()
        pod_spec = {"containers": [{"image": "an/image"}]}
        metadata = {"name": "drfsm-validation", "creationTimestamp": born, "labels": {RUN_LABEL: DRFSM_RUN}}
        self.objects: Json = {
            "Job": [{"metadata": metadata, "spec": {"template": {"spec": pod_spec}}, **job}],
            "Pod": [pod(container(terminated={"exitCode": 1}) if job else container(running={}))],
        }

    def list(self, kind: str, _namespace: str, **_: str) -> Any:
        """Return them."""
        return self.objects.get(kind, [])

    def log(self, *_: str, **__: int) -> str:
        """Return the last words of the pod."""
        return "Traceback\nKeyError: 'x'\n"

    def now(self) -> datetime:
        """Return the site's time."""
        return NOW


def on_site(bench: Bench, site: Cluster) -> tuple[World, Run, list[str]]:
    """Return a world with this site, a run in it, and the list that its notes go to."""
    notes: list[str] = []
    inputs = {
        **bench.inputs, "target_site": "dr", "taker": "dr", "namespace": "jobintel", "provider": "openai",
        "profile": "cs", "startup_timeout": 900, "staged_prefix": "",
    }  # fmt: skip
    parts: Json = {"dr": site}
    world = evolve(bench.world, **parts)
    return world, bench.run(inputs=inputs, say=lambda words, **_: notes.append(words)), notes


def look(bench: Bench, site: Cluster) -> tuple[Json, list[str]]:
    """Return what is seen of the validation, and what is noted."""
    world, run, notes = on_site(bench, site)
    return FACTS["validation_result"].observe(world, run), notes


@pytest.mark.sandbox
@pytest.mark.parametrize(("age", "note"), [(4.0, []), (31.5, ["the validation has not ended after 30 s"]), (37.0, [])])
def test_a_running_validation_is_noted_every_ten_seconds(bench: Bench, age: float, note: list[str]) -> None:
    """By the site's time since its Job was made, so a resumed drill counts on; what is seen does not change by it."""
    seen, notes = look(bench, Cluster(age))
    assert (seen["job"], notes) == ("unfinished", note)
    assert "in_words" not in seen
    assert str(age) not in str(seen)


@pytest.mark.sandbox
def test_a_running_validation_says_in_words_what_keeps_it_from_working(bench: Bench) -> None:
    """So that one that is late is no JSON in the message."""
    site = Cluster(60)
    site.objects["Pod"] = [pod({"conditions": [{**NO_NODE, "status": "False", "reason": "Unschedulable"}]})]
    seen, _ = look(bench, site)
    words = "the validation has not ended: Unschedulable: 0/1 nodes: Insufficient memory"
    assert (seen["job"], seen["in_words"]) == ("unfinished", words)


@pytest.mark.sandbox
def test_a_validation_whose_job_somebody_suspended_is_not_called_running(bench: Bench) -> None:
    """Nobody waits an hour for a Job that starts no pod."""
    site = Cluster(31.5)
    site.objects["Job"][0]["spec"]["suspend"] = True
    seen, notes = look(bench, site)
    assert seen["in_words"] == "the validation has not ended: it is suspended, so it starts no pod"
    assert any(note.endswith(": it is suspended, so it starts no pod") for note in notes)
    assert "running" not in str((seen, notes))


@pytest.mark.sandbox
def test_a_failed_validation_says_so_in_words(bench: Bench) -> None:
    """Cause, evidence and the last line of its log in one sentence; and the cause is the second fact's value."""
    seen, _ = look(bench, Cluster(60, **FAILED))
    words = "the validation failed (other): pod p, container main: ended, exit code 1; KeyError: 'x'"
    assert seen["in_words"] == words
    assert FACTS["validation_failure"].judge(seen, {}) == "other"


@pytest.mark.sandbox
def test_a_validation_whose_job_is_gone_has_failed_by_nothing_that_may_pass(bench: Bench) -> None:
    """Somebody deleted it: no cause, so there is no other try."""
    site = Cluster(60)
    site.objects = {}
    seen, _ = look(bench, site)
    assert (seen["job"], seen["in_words"]) == ("absent", "the validation failed (other): no evidence")
    assert FACTS["validation_failure"].judge(seen, {}) == "none"
