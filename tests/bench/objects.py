"""Many objects of one bucket at 25 ms latency: drfsm beside s5cmd, the AWS command line and threads of boto3.

``python -m tests.bench.objects WORK ENDPOINT OBJECTS TARGET`` does one piece of work and prints one line of JSON:
seconds (without the start of Python and its imports), and the most memory that the process had. The bench starts it,
and holds a listing of its own against what was copied.
"""

import hashlib
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from drfsm.adapters.aws import S3Store, connect
from drfsm.dr.artifacts.prefix_sync import execute, plan
from drfsm.dr.artifacts.publish import verify
from drfsm.dr.layout import Layout
from drfsm.dr.workload import legacy
from tests.bench.server import BUCKET

RUNS = ("2026-02-27T00:22:29.934039+00:00", "2026-02-28T13:00:00.000001+00:00")
LAYOUT = Layout("jobintel", workload=legacy())
FOLDER = "openai/cs/artifacts/extra"
THREADS = 32
Work = Callable[[S3Store, int, str], int]


def source(run_id: str = RUNS[0]) -> str:
    """Return where a run's objects lie."""
    return f"{LAYOUT.run(run_id)}/{FOLDER}"


def run_objects(run_id: str, objects: int) -> Iterator[tuple[str, bytes]]:
    """Yield the objects of one run: small JSON files, and the report that names them."""
    entries = {}
    for number in range(objects):
        path = f"{FOLDER}/{number:05}.json"
        body = json.dumps({"number": number, "text": f"{number} " * 60}).encode()
        sha256 = hashlib.sha256(body).hexdigest()
        entries[f"openai:cs:extra_{number:05}"] = {"path": path, "sha256": sha256, "bytes": len(body)}
        yield f"{LAYOUT.run(run_id)}/{path}", body
    report = {"run_id": run_id, "verifiable_artifacts": entries}
    yield f"{LAYOUT.run(run_id)}/run_report.json", json.dumps(report).encode()


def verified(store: S3Store, objects: int, _target: str) -> int:
    """Read every object of a run, and hold its hash against the run's report."""
    found = verify(store, LAYOUT, RUNS[0])
    assert (found.verdict, found.checked) == ("verified", objects)
    return found.checked


def synced(store: S3Store, objects: int, target: str) -> int:
    """Copy what the target lacks; return how many objects were looked at."""
    planned = plan(store, source(), target, LAYOUT.workload, guarded=[LAYOUT.prefix])
    execute(store, planned)
    assert planned.equal + len(planned.copies) == objects
    return objects


def both_read(store: S3Store, objects: int, _target: str) -> int:
    """Read two runs with their bytes, as a comparison does."""
    for run_id in RUNS:
        keys = [entry.key for entry in store.list(f"{source(run_id)}/")]
        assert sum(blob is not None for _, blob in store.get_many(keys)) == objects
    return objects


def downloaded(store: S3Store, objects: int, _target: str) -> int:
    """Read one run with its bytes."""
    keys = [entry.key for entry in store.list(f"{source()}/")]
    assert sum(len(blob.body) > 0 for _, blob in store.get_many(keys) if blob is not None) == objects
    return objects


def copied_by_threads(store: S3Store, objects: int, target: str) -> int:
    """Copy with boto3 from many threads."""
    keys = [entry.key for entry in store.list(f"{source()}/")]
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(lambda key: store.copy(key, f"{target}/{key.rpartition('/')[2]}"), keys))
    assert len(keys) == objects
    return objects


WORKS: dict[str, Work] = {
    "sync": synced, "verify": verified, "compare": both_read, "download": downloaded, "threads": copied_by_threads,
}  # fmt: skip


def main(work: str, endpoint: str, objects: int, target: str) -> dict[str, Any]:
    """Do the work; return what was measured."""
    store = connect(bucket=BUCKET, endpoint_url=endpoint, region="us-east-1").store
    store.get(f"{LAYOUT.run(RUNS[0])}/run_report.json")  # loads boto3: not what is measured here
    began, processor = time.monotonic(), time.process_time()
    WORKS[work](store, objects, target)
    seconds, processor = time.monotonic() - began, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "cpu": processor, "peak_mib": peak}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])))  # noqa: T201  what it is for
