"""Jobs in flight: what counts as ended, what is out of sight, and in which words it is told; beside test_drain.py."""

from datetime import timedelta
from typing import Any

import pytest

from drfsm.dr.sites.drain import FACTS
from drfsm.engine import Run, SystemClock
from tests.dr.test_drain import (
    HASH,
    INPUTS,
    JOB_FAILED,
    LOST,
    NOW,
    READY,
    RUN,
    TAKES,
    Manifest,
    Site,
    an,
    observed,
    pod,
)

SINCE = (NOW - timedelta(seconds=95)).isoformat()
ENDED: Manifest = {"conditions": [{"type": "Complete", "status": "True"}]}


def job(name: str = "j", *, going: bool = False, status: Manifest | None = None, **spec: Any) -> Manifest:
    """Return a Job of 95 seconds."""
    metadata = {"creationTimestamp": SINCE, **({"deletionTimestamp": NOW.isoformat()} if going else {})}
    return an("Job", name, metadata=metadata, spec=spec, status=status or {})


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        ({}, "yes"),
        (ENDED, "no"),
        (JOB_FAILED, "no"),
        ({**ENDED, "terminating": 1}, "yes"),
        ({**JOB_FAILED, "active": 1}, "yes"),
        ({**JOB_FAILED, "active": 1, "terminating": 1}, "yes"),
        ({**ENDED, "terminating": 0, "active": None}, "no"),
        ({"conditions": [{"type": "Complete", "status": "False"}]}, "yes"),
        ({"conditions": [{"type": "FailureTarget", "status": "True"}]}, "yes"),
    ],
    ids=[
        "no status", "complete", "failed", "complete, a pod still terminating", "failed, a pod still active",
        "failed, one of each",
        "complete, none left", "not complete", "about to fail",
    ],
)  # fmt: skip
def test_a_job_has_ended_with_its_last_pod(status: Manifest, verdict: str) -> None:
    """A condition alone is not enough: a terminating pod may publish until its grace period is over."""
    assert observed(Site([READY, job(status=status)]), "primary_inflight")[0] == verdict


def test_a_job_that_is_being_deleted_counts() -> None:
    """Its pods run on until the node has ended them."""
    value, seen, _ = observed(Site([READY, job(going=True)]), "primary_inflight")
    assert (value, seen["jobs"][0]["state"], seen["jobs"][0]["words"]) == ("yes", "being deleted", "being deleted")


@pytest.mark.parametrize(
    ("nodes", "verdict"), [(["lost", "lost"], "out_of_sight"), (["lost", "here"], "yes"), ([], "yes")]
)
def test_a_job_is_out_of_sight_where_all_of_its_pods_are(nodes: list[str], verdict: str) -> None:
    """One pod in sight, or none at all, says that it runs."""
    pods = [pod(f"p{number}", owner=("Job", "j"), node=node) for number, node in enumerate(nodes)]
    value, seen, _ = observed(Site([READY, LOST, job(), *pods]), "primary_inflight")
    assert (value, seen["jobs"][0]["out_of_sight"]) == (verdict, verdict == "out_of_sight")


def test_another_jobs_pods_say_nothing_of_a_job() -> None:
    """Each Job is held against its own pods."""
    objects = [READY, LOST, job("a"), pod("p", owner=("Job", "b"), node="lost")]
    value, seen, _ = observed(Site(objects), "primary_inflight")
    assert (value, seen["jobs"][0]["out_of_sight"]) == ("yes", False)


@pytest.mark.parametrize(
    ("objects", "words"),
    [
        ([job()], ["Job j, without a pod, 90 s old"]),
        ([job(suspend=True)], ["Job j, suspended, 90 s old"]),
        ([job(going=True)], ["Job j, being deleted, 90 s old"]),
        ([job(), pod("p", owner=("Job", "j"))], ["Job j, running, 90 s old", "pod p, running, 0 s old"]),
        ([job(), pod("p", owner=("Job", "j"), phase="Pending")],
         ["Job j, waiting for its pod to start, 90 s old", "pod p, not started, 0 s old"]),
        ([pod("p", owner=("Job", "j"), going=True)], ["pod p, being deleted, 0 s old"]),
        ([pod("p", owner=("ReplicaSet", "web-5f6d"), labels=HASH, **TAKES)],
         ["pod p of Deployment web, running, 0 s old"]),
        ([pod("p", owner=("ReplicaSet", "web"), **TAKES)], ["pod p of ReplicaSet web, running, 0 s old"]),
    ],
)  # fmt: skip
def test_what_is_in_flight_is_told_with_its_state_its_owner_and_its_age(
    objects: list[Manifest], words: list[str]
) -> None:
    """To ten seconds, so that only a change is told again."""
    notes = observed(Site([READY, *objects]), "primary_inflight")[2]
    assert notes == [f"on primary: {line}" for line in words]


def test_what_is_out_of_sight_is_told_with_the_nodes_that_do_not_answer() -> None:
    """Each of them: a pod that was deleted by force there is not listed anywhere."""
    gone = an("Node", "away", spec={}, status={})
    _, seen, notes = observed(Site([READY, LOST, gone, pod("p", owner=("Job", "j"), node="lost")]), "primary_inflight")
    assert seen["nodes_out_of_sight"] == ["away", "lost"]
    assert notes == [
        "on primary: pod p, out of sight, its node does not answer, 0 s old",
        "on primary: node away does not answer: a pod that was deleted by force while it ran there may run on",
        "on primary: node lost does not answer: a pod that was deleted by force while it ran there may run on",
    ]


def test_a_pod_of_unknown_phase_is_out_of_sight_wherever_it_is() -> None:
    """Its kubelet stopped telling."""
    assert observed(Site([READY, pod(owner=("Job", "j"), phase="Unknown")]), "primary_inflight")[0] == "out_of_sight"


@pytest.mark.parametrize("label", ["job-name", "batch.kubernetes.io/job-name"])
def test_a_pod_is_a_jobs_also_by_its_label_alone(label: str) -> None:
    """An orphan whose Job was deleted without it publishes as before, whatever its environment says."""
    assert observed(Site([READY, pod(labels={label: "j"})]), "primary_inflight")[0] == "yes"


def test_what_an_excluded_cronjob_started_is_beside_and_what_has_ended_is_not_told() -> None:
    """Its Jobs and their pods; another CronJob's are asked, whatever the selector."""
    objects = [
        READY, an("CronJob", "other", spec={}), an("CronJob", "daily", metadata={"labels": {"role": "batch"}}, spec={}),
        an("Job", "o", owner=("CronJob", "other"), spec={}), an("Job", "d", owner=("CronJob", "daily"), spec={}),
        pod("o-1", owner=("Job", "o"), phase="Succeeded"), pod("bare", owner=("Job", "gone"), phase="Succeeded"),
    ]  # fmt: skip
    value, seen, notes = observed(Site(objects), "primary_inflight", cronjob_selector="role=batch")
    assert (value, [each["name"] for each in seen["jobs"]]) == ("yes", ["d"])
    assert [words for words in notes if "not waited for" in words] == []


@pytest.mark.parametrize("fact", ["primary_inflight", "dr_inflight", "primary_backlog", "dr_backlog"])
def test_each_fact_asks_its_own_site(fact: str) -> None:
    """Never the other one."""
    asked = []

    class Two:
        def site(self, name: str) -> Site:
            asked.append(name)
            return Site([READY], name=name)

    world: Any = Two()
    run = Run(
        id=RUN, inputs=INPUTS, operator="ann", epoch=1, dry_run=False, trigger="t", results={}, args={},
        clock=SystemClock(), say=lambda *_, **__: None,
    )  # fmt: skip
    FACTS[fact].observe(world, run)
    assert set(asked) == {fact.partition("_")[0]}
