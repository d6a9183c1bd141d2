"""The validation as one step: started or found again, followed to its end, and tried again only where that can help.

Why a validation failed is told with its evidence, and classified:

    image_pull   the image could not be pulled (ErrImagePull, ImagePullBackOff): a registry may answer again
    memory       too little of it (OOMKilled, exit code 137 of a pod that nobody ended, no node with enough)
    other        everything else: trying again would only cost time, so it is final

A retry first removes the failed Job and what it published. Owns the fact ``validation_result`` (as validation.py
judges it, and with what the Job publishes as). Bound to the drill; the Job itself is validation.py's.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from drfsm.dr.objects import redacted
from drfsm.dr.terms import terms_of
from drfsm.dr.validation import job as validation_job
from drfsm.dr.validation.job import POLL_SECONDS
from drfsm.engine import Fact, Run
from drfsm.errors import ActionFailed
from drfsm.world import Manifest, World

PULL = ("ErrImagePull", "ImagePullBackOff")
KILLED = 137  # 128 + SIGKILL, as the kernel ends what has no memory left
MENDABLE = ("image_pull", "memory")
TOLD_SECONDS = 10.0


def _observe(world: World, run: Run) -> dict[str, Any]:
    seen: dict[str, Any] = validation_job.FACTS["validation_result"].observe(world, run)
    job = validation_job.job_of(world, run, "validation")
    if job is None:
        return seen
    seen["publishes_as"] = validation_job.publishes_as(job)
    if validation_job.FACTS["validation_result"].judge(seen, run.inputs) == "failed":
        seen["cause"], seen["evidence"] = cause(job, _pods(world, run, job))
    return seen


def _pods(world: World, run: Run, job: Manifest) -> Sequence[Manifest]:
    terms = terms_of(run.inputs)
    name = job["metadata"]["name"]
    return world.site(terms.target_site).list("Pod", terms.namespace, labels=f"job-name={name}")


def cause(job: Manifest, pods: Sequence[Manifest]) -> tuple[str, list[str]]:
    """Say why a Job failed: image_pull, memory or other, and what shows it. Pure."""
    ended_by_time = any(
        each.get("reason") == "DeadlineExceeded" for each in (job.get("status") or {}).get("conditions") or ()
    )
    pulls = [told for pod in pods for told in _pulls(pod)]
    memory = [told for pod in pods for told in _memory(pod, ended=ended_by_time)]
    for kind, evidence in (("memory", memory), ("image_pull", pulls)):
        if evidence:
            return kind, [redacted(each) for each in evidence]
    return "other", [redacted(told) for pod in pods for told in _ends(pod)]


def _containers(pod: Manifest) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (pod and container, status) of every container."""
    for kind in ("initContainerStatuses", "containerStatuses"):
        for each in (pod.get("status") or {}).get(kind) or ():
            yield f"pod {pod['metadata']['name']}, container {each['name']}", each


def _pulls(pod: Manifest) -> Iterator[str]:
    for where, status in _containers(pod):
        waiting = (status.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in PULL:
            yield f"{where}: {waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")


def _memory(pod: Manifest, *, ended: bool) -> Iterator[str]:
    status = pod.get("status") or {}
    for where, each in _containers(pod):
        for moment in ("state", "lastState"):
            over = (each.get(moment) or {}).get("terminated") or {}
            by_itself = not ended and not pod["metadata"].get("deletionTimestamp")
            if over.get("reason") == "OOMKilled" or (over.get("exitCode") == KILLED and by_itself):
                yield f"{where}: {over.get('reason') or 'killed'}, exit code {over.get('exitCode')}"
    for each in status.get("conditions") or ():
        if each["type"] == "PodScheduled" and "Insufficient memory" in str(each.get("message")):
            yield f"pod {pod['metadata']['name']} finds no node: {each['message']}"
    if status.get("reason") == "Evicted" and "memory" in str(status.get("message")):
        yield f"pod {pod['metadata']['name']} was evicted: {status['message']}"


def _ends(pod: Manifest) -> Iterator[str]:
    for where, status in _containers(pod):
        state = status.get("state") or {}
        if over := state.get("terminated"):
            yield f"{where}: {over.get('reason') or 'ended'}, exit code {over.get('exitCode')}"
        elif waiting := state.get("waiting"):
            yield f"{where} waits: {waiting.get('reason')}"


def _validate(world: World, run: Run) -> dict[str, Any]:
    """Have the site do its work once, beside. Raises ActionFailed, with cause and evidence, where it doesn't."""
    terms = terms_of(run.inputs)
    seen = _observe(world, run)
    if seen["job"] != "absent" and _verdict(seen, run) == "failed":
        _give_up_unless_mendable(seen)
        run.note(f"the last validation failed ({seen['cause']}): it is removed before the next")
        validation_job.ACTIONS["remove_validation"](world, run)
    elif seen["job"] == "absent" and _left(world, run):
        validation_job.ACTIONS["remove_validation"](world, run)  # killed in the middle of a removal
    validation_job.ACTIONS["start_validation"](world, run)
    seen = _followed(world, run)
    if _verdict(seen, run) == "failed":
        _give_up_unless_mendable(seen)
        raise ActionFailed(_told(seen), hint="the log of this attempt has the evidence")
    return {"run_id": terms.new_run, "publishes_to": terms.staged(run.id).prefix, **seen["publishes_as"]}


def _left(world: World, run: Run) -> bool:
    return any(validation_job.FACTS["validation_job"].observe(world, run).values())


def _followed(world: World, run: Run) -> dict[str, Any]:
    began, limit = run.clock.monotonic(), terms_of(run.inputs).validation_timeout
    said = began
    while True:
        seen = _observe(world, run)
        if _verdict(seen, run) != "pending":
            return seen
        run.check()
        waited = run.clock.monotonic() - began
        if waited > limit:
            message = f"the validation has not ended within {limit:.0f} s"
            raise ActionFailed(f"{message}; {'; '.join(seen.get('trouble', ()))}".rstrip("; "), final=True)
        if run.clock.monotonic() - said > TOLD_SECONDS:
            said = run.clock.monotonic()
            run.note(f"the validation runs, since {waited:.0f} s")
        run.clock.sleep(POLL_SECONDS)


def _verdict(seen: Mapping[str, Any], run: Run) -> str | None:
    return validation_job.FACTS["validation_result"].judge(seen, run.inputs)


def _give_up_unless_mendable(seen: Mapping[str, Any]) -> None:
    if seen.get("cause") not in MENDABLE:
        raise ActionFailed(_told(seen), hint="trying again would not mend it", final=True)


def _told(seen: Mapping[str, Any]) -> str:
    evidence = [*seen.get("evidence", ()), *seen.get("trouble", ()), *seen.get("log", ())[-1:]]
    return (
        f"the validation failed ({seen.get('cause', 'other')}): {'; '.join(dict.fromkeys(evidence)) or 'no evidence'}"
    )


FACTS = {"validation_result": Fact(_observe, validation_job.FACTS["validation_result"].judge)}
ACTIONS = {"validate_site": _validate}
