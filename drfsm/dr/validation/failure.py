"""Why a validation failed: the drill's reading of its result, with a cause and the evidence for it.

    image_pull   the image could not be pulled (ErrImagePull, ImagePullBackOff): a registry may answer again
    memory       too little of it (OOMKilled, exit code 137 of a pod that nobody ended, no node with enough)
    other        everything else: another try would only cost time

Owns the fact ``validation_result`` as a drill observes it (job.py judges it; here it also says as what the Job
publishes, and in words why it failed or what keeps its pods from working) and the fact ``validation_failure``, by which
machines/drill.yaml decides whether there is another try. Changes nothing. The Job itself is job.py's.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from drfsm.claims import moment, seconds_between
from drfsm.dr.objects import redacted, time_of
from drfsm.dr.pod_troubles import PULLS
from drfsm.dr.terms import terms_of
from drfsm.dr.validation import job as validation_job
from drfsm.dr.validation.job import POLL_SECONDS
from drfsm.engine import Fact, Run
from drfsm.world import Manifest, World

KILLED = 137  # 128 + SIGKILL, as the kernel ends what has no memory left
NOTE_SECONDS = 10

_judge = validation_job.FACTS["validation_result"].judge


def _observe(world: World, run: Run) -> dict[str, Any]:
    """See how the validation stands; of one that failed also why. Notes now and then for how long it has run."""
    seen: dict[str, Any] = validation_job.FACTS["validation_result"].observe(world, run)
    job = validation_job.job_of(world, run, "validation")
    if job is not None:
        seen["publishes_as"] = validation_job.publishes_as(job)
    result = _judge(seen, run.inputs)
    if result == "failed":
        if job is not None:
            seen["cause"], seen["evidence"] = cause(job, _pods(world, run, job))
        seen["in_words"] = _in_words(seen)
    elif result == "pending" and job is not None:
        if seen.get("trouble"):
            seen["in_words"] = f"the validation has not ended: {'; '.join(seen['trouble'])}"
        _note_progress(world, run, job)
    return seen


def _pods(world: World, run: Run, job: Manifest) -> Sequence[Manifest]:
    terms = terms_of(run.inputs)
    name = job["metadata"]["name"]
    return world.site(terms.target_site).list("Pod", terms.namespace, labels=f"job-name={name}")


def _in_words(seen: Mapping[str, Any]) -> str:
    evidence = [*seen.get("evidence", ()), *seen.get("trouble", ()), *seen.get("log", ())[-1:]]
    words = "; ".join(dict.fromkeys(evidence)) or "no evidence"
    return f"the validation failed ({seen.get('cause', 'other')}): {words}"


def _note_progress(world: World, run: Run, job: Manifest) -> None:
    """Note how old the Job is, in the first samples after every ten seconds: a fact remembers nothing."""
    born = moment(job["metadata"].get("creationTimestamp"))
    if born is None:
        return
    seconds = seconds_between(born, time_of(world.site(terms_of(run.inputs).target_site), run))
    if seconds >= NOTE_SECONDS and seconds % NOTE_SECONDS < 2 * POLL_SECONDS:
        run.note(f"the validation has not ended after {seconds - seconds % NOTE_SECONDS:.0f} s")


def cause(job: Manifest, pods: Sequence[Manifest]) -> tuple[str, list[str]]:
    """Say why a Job failed: image_pull, memory or other, and what shows it. Pure."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    ended_by_time = any(condition.get("reason") == "DeadlineExceeded" for condition in conditions)
    pulls = [words for pod in pods for words in _pulls(pod)]
    memory = [words for pod in pods for words in _memory(pod, ended=ended_by_time)]
    for kind, evidence in (("memory", memory), ("image_pull", pulls)):
        if evidence:
            return kind, [redacted(words) for words in evidence]
    return "other", [redacted(words) for pod in pods for words in _ends(pod)]


def _containers(pod: Manifest) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (pod and container, status) of every container."""
    for kind in ("initContainerStatuses", "containerStatuses"):
        for status in (pod.get("status") or {}).get(kind) or ():
            yield f"pod {pod['metadata']['name']}, container {status['name']}", status


def _pulls(pod: Manifest) -> Iterator[str]:
    for container, status in _containers(pod):
        waiting = (status.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in PULLS:
            yield f"{container}: {waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")


def _memory(pod: Manifest, *, ended: bool) -> Iterator[str]:
    status = pod.get("status") or {}
    for container, of_container in _containers(pod):
        for when in ("state", "lastState"):
            end = (of_container.get(when) or {}).get("terminated") or {}
            by_itself = not ended and not pod["metadata"].get("deletionTimestamp")
            if end.get("reason") == "OOMKilled" or (end.get("exitCode") == KILLED and by_itself):
                yield f"{container}: {end.get('reason') or 'killed'}, exit code {end.get('exitCode')}"
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and "Insufficient memory" in str(condition.get("message")):
            yield f"pod {pod['metadata']['name']} finds no node: {condition['message']}"
    if status.get("reason") == "Evicted" and "memory" in str(status.get("message")):
        yield f"pod {pod['metadata']['name']} was evicted: {status['message']}"


def _ends(pod: Manifest) -> Iterator[str]:
    for container, status in _containers(pod):
        state = status.get("state") or {}
        if end := state.get("terminated"):
            yield f"{container}: {end.get('reason') or 'ended'}, exit code {end.get('exitCode')}"
        elif waiting := state.get("waiting"):
            yield f"{container} waits: {waiting.get('reason')}"


FACTS = {
    "validation_result": Fact(_observe, _judge),
    "validation_failure": Fact(_observe, lambda seen, _inputs: str(seen.get("cause", "none"))),
}
