"""How long ten thousand objects take with 25 ms latency: ``python -m tests.bench.objects``.

Verify, sync, sync again (everything equal), and a comparison's reading of two runs, through the store as the
CLI makes it; beside it boto3 in a loop, on a sample. Prints seconds and ratios; asserts counts, never times.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from drfsm.adapters.aws import S3Store, connect
from drfsm.dr.artifacts.prefix_sync import execute, plan
from drfsm.dr.artifacts.publish import verify
from drfsm.dr.layout import Layout
from drfsm.dr.workload import legacy
from tests.bench.server import LATENCY_SECONDS, serving

OBJECTS, SAMPLE, IN_FLIGHT = 10_000, 200, 128
RUNS = ("2026-02-27T00:22:29.934039+00:00", "2026-02-28T13:00:00.000001+00:00")
LAYOUT = Layout("jobintel", workload=legacy())


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)  # noqa: T201  what a bench is for


def run_objects(run_id: str) -> Iterator[tuple[str, bytes]]:
    """Yield the objects of one run: small JSON files, and the report that names them."""
    entries = {}
    for number in range(OBJECTS):
        path = f"openai/cs/artifacts/extra/{number:05}.json"
        body = json.dumps({"number": number, "text": f"{number} " * 60}).encode()
        entries[f"openai:cs:extra_{number:05}"] = {
            "path": path,
            "sha256": hashlib.sha256(body).hexdigest(),
            "bytes": len(body),
        }
        yield f"{LAYOUT.run(run_id)}/{path}", body
    report = {"run_id": run_id, "verifiable_artifacts": entries}
    yield f"{LAYOUT.run(run_id)}/run_report.json", json.dumps(report).encode()


def verified(store: S3Store) -> int:
    """Verify one run; return how many artifacts were checked."""
    found = verify(store, LAYOUT, RUNS[0])
    assert found.verdict == "verified"
    return found.checked


def synced(store: S3Store) -> int:
    """Copy one run elsewhere; return how many objects were looked at."""
    planned = plan(store, LAYOUT.run(RUNS[0]), "archive/run", LAYOUT.workload, guarded=[LAYOUT.prefix])
    execute(store, planned)
    return planned.equal + len(planned.copies) - 1  # the report


def both_read(store: S3Store) -> int:
    """Read two runs with their bytes, as a comparison does; return how many objects one has."""
    read = [
        {key.rpartition("/")[2]: blob.body for key, blob in store.get_many(keys) if blob is not None}
        for keys in ([each.key for each in store.list(f"{LAYOUT.run(run_id)}/")] for run_id in RUNS)
    ]
    assert len(read[0]) == len(read[1]) == OBJECTS + 1
    return len(read[0]) - 1


def boto_read(store: S3Store) -> int:
    """Read a sample one by one."""
    found = [store.sha256(f"{LAYOUT.run(RUNS[0])}/openai/cs/artifacts/extra/{n:05}.json") for n in range(SAMPLE)]
    assert all(found)
    return len(found)


def boto_copied(store: S3Store) -> int:
    """Copy a sample one by one."""
    for number in range(SAMPLE):
        store.copy(f"{LAYOUT.run(RUNS[0])}/openai/cs/artifacts/extra/{number:05}.json", f"boto/{number:05}.json")
    return SAMPLE


@contextmanager
def credentials() -> Iterator[None]:
    """Set credentials, which the server does not check, and take them away again."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    kept = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "bench"))
    try:
        yield
    finally:
        for name, value in kept.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def timed(name: str, work: Callable[[S3Store], int], store: S3Store) -> float:
    """Do the work; print and return the seconds for each thousand objects."""
    started, processor = time.monotonic(), time.process_time()
    objects = work(store)
    seconds, busy = time.monotonic() - started, time.process_time() - processor
    each = seconds / objects * 1000
    say(
        f"{name:<44} {objects:>6} objects {seconds:7.2f} s ({busy:5.2f} s of processor) {each:7.3f} s a thousand",
    )
    return each


def main() -> int:
    """Measure and print."""
    bodies = dict(pair for run_id in RUNS for pair in run_objects(run_id))
    floor = OBJECTS / IN_FLIGHT * LATENCY_SECONDS
    say(f"latency {LATENCY_SECONDS * 1000:.0f} ms, {IN_FLIGHT} in flight: no reading can be faster than {floor:.2f} s")
    with credentials(), serving(bodies) as endpoint:
        store = connect(bucket="bench", endpoint_url=endpoint, region="us-east-1").store
        store.get(f"{LAYOUT.run(RUNS[0])}/run_report.json")  # loads boto3: not what is measured here
        one_by_one = timed("boto3, one after another: read and hash", boto_read, store)
        copies = timed("boto3, one after another: copy", boto_copied, store)
        reading = timed("verify", verified, store)
        copying = timed("sync", synced, store)
        timed("sync again: all equal", synced, store)
        comparing = timed("compare: both runs with their bytes", both_read, store)
    for name, ratio in (
        ("verify", one_by_one / reading),
        ("sync", copies / copying),
        ("compare", 2 * one_by_one / comparing),
    ):
        say(f"{name}: {ratio:.0f} times as fast as boto3 in a loop")
    return 0


if __name__ == "__main__":
    sys.exit(main())
