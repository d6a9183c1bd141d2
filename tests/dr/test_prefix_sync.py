"""A sync copies what is missing or different, on the server; it deletes nothing and touches nothing that decides."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from drfsm.dr.artifacts.prefix_sync import ACTIONS, FACTS, execute, is_protected, plan
from drfsm.dr.progress import Progress
from drfsm.dr.workload import shipped
from drfsm.errors import ActionFailed, Interrupted, Unreachable, Unreadable, UsageFault
from drfsm.world import Stat
from tests.bench.faulty import Fault, Front
from tests.dr.memory import MemoryStore

if TYPE_CHECKING:
    from tests.dr.conftest import Bench

RUN = "2026-02-27T00:22:29.934039+00:00"
KEYS = (f"{RUN}/openai/cs/run_summary.v1.json", "with space/a+b%41", "ümläut", "folder/", "a//b")
GUARDED = (
    "state/last_success.json",
    "state/candidates/local/last_success.json",
    "state/openai/cs/last_success.json",
    "latest/openai/cs/openai_ranked_jobs.cs.json",
    "control-plane/current.json",
    "drfsm/ownership.json",
    "drfsm/lease.json",
    "candidates/ana/latest/openai/cs/openai_ranked_jobs.cs.json",
    "candidates/ana/state/last_success.json",
    "validations/some-run/state/last_success.json",
)


def copied(front: Front) -> list[str]:
    """Return the paths that were copied to, in order."""
    return [path for method, path in front.seen if method == "PUT"]


def synced(bench: "Bench", source: str, target: str) -> Any:
    """Return a run whose inputs ask for this sync."""
    return bench.run(inputs={**bench.inputs, "sync_src_prefix": source, "sync_dst_prefix": target})


def test_everything_is_copied_once_and_then_nothing(bench: "Bench", front: Front) -> None:
    """Odd keys too; the second plan finds everything equal and copies nothing."""
    for key in KEYS:
        bench.put(f"src/{key}", key.encode())
    store = bench.store_at(front.endpoint)
    planned = plan(store, "src", "dst/deep", shipped())
    assert sorted(each.target for each in planned.copies) == sorted(f"dst/deep/{key}" for key in KEYS)
    done = execute(store, planned)
    assert (done.objects, done.size_bytes) == (len(KEYS), sum(len(key.encode()) for key in KEYS))
    found = bench.everything()
    assert {key: found[f"dst/deep/{key}"] for key in KEYS} == {key: key.encode() for key in KEYS}
    again = plan(store, "/src/", f"s3://{bench.bucket}/dst/deep/", shipped())
    assert (again.copies, again.equal) == ((), len(KEYS))


def test_what_differs_is_replaced_and_said_so_and_nothing_is_deleted(bench: "Bench") -> None:
    """A flipped byte of the same size is different; what only the destination has stays."""
    for key in ("equal", "flipped", "longer"):
        bench.put(f"src/{key}", b"abc")
        bench.put(f"dst/{key}", b"abc")
    bench.flip("dst/flipped")
    bench.put("dst/longer", b"abcd")
    bench.put("dst/only here", b"x")
    planned = plan(bench.store, "src", "dst", shipped())
    assert (planned.equal, sorted(planned.replaced)) == (1, ["dst/flipped", "dst/longer"])
    execute(bench.store, planned)
    found = bench.everything()
    assert [found[f"dst/{key}"] for key in ("equal", "flipped", "longer", "only here")] == [b"abc"] * 3 + [b"x"]


def test_an_etag_of_parts_proves_nothing_so_the_bytes_are_read(bench: "Bench", front: Front) -> None:
    """Equal bytes under different ETags are skipped, different bytes of one size are copied: both are read."""
    part = 5 << 20
    for key, last in (("src/equal", b"a"), ("src/other", b"a"), ("dst/other", b"b")):
        upload = bench.s3.create_multipart_upload(Bucket=bench.bucket, Key=key)["UploadId"]
        named = {"Bucket": bench.bucket, "Key": key, "UploadId": upload}
        parts = [
            {"ETag": bench.s3.upload_part(**named, PartNumber=number, Body=body)["ETag"], "PartNumber": number}
            for number, body in ((1, bytes(part)), (2, last))
        ]
        bench.s3.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
    bench.put("dst/equal", bytes(part) + b"a")
    planned = plan(bench.store_at(front.endpoint), "src", "dst", shipped())
    assert ([each.target for each in planned.copies], planned.equal) == (["dst/other"], 1)
    read = {path.removeprefix(f"/{bench.bucket}/") for method, path in front.seen if method == "GET"}
    assert {"src/equal", "dst/equal", "src/other", "dst/other"} <= read


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("jobintel", "mirror"),
        ("mirror", "jobintel"),
        ("mirror/team", "team"),
    ],
)
def test_protected_keys_are_touched_on_neither_side(bench: "Bench", front: Front, source: str, target: str) -> None:
    """Pointers, latest, the current control plane and drfsm's own, of candidates too: not read, not written."""
    prefix = "team/jobintel" if target == "team" else "jobintel"
    root = f"{source}/jobintel" if target == "team" else source
    for key in GUARDED:
        bench.put(f"{root}/{key}", b"new")
    there = f"{target}/{root.removeprefix(source).strip('/')}".strip("/")
    for key in GUARDED[:3]:
        bench.put(f"{there}/{key}", b"old")
    for key in (f"runs/{RUN}/state/a", "control-plane/bundles/b.tar.gz", "candidates/ana/runs/r/a", "statement"):
        bench.put(f"{root}/{key}", b"x")
    before = bench.everything()
    store = bench.store_at(front.endpoint)
    planned = plan(store, source, target, shipped(), guarded=[prefix])
    execute(store, planned)
    assert sorted(planned.protected) == sorted(f"{root}/{key}" for key in GUARDED)
    after = bench.everything()
    assert {key: after[key] for key in before} == before
    assert sorted(key.removeprefix(f"{there}/") for key in after if key not in before) == sorted(
        [f"runs/{RUN}/state/a", "control-plane/bundles/b.tar.gz", "candidates/ana/runs/r/a", "statement"]
    )
    touched = {path.removeprefix(f"/{bench.bucket}/") for _, path in front.seen}
    assert not touched & {f"{home}/{key}" for home in (root, there) for key in GUARDED}


def test_a_source_inside_what_is_protected_has_nothing_to_copy(bench: "Bench") -> None:
    """Asked for the pointers themselves, or for nothing, the action refuses with the reason; nothing is written."""
    bench.put("jobintel/state/last_success.json", b"{}")
    run = synced(bench, "jobintel/state", "mirror/state")
    seen = FACTS["sync"].observe(bench.world, run)
    assert FACTS["sync"].judge(seen, run.inputs) == "pending"
    with pytest.raises(ActionFailed, match="1 protected objects"):
        ACTIONS["sync_prefix"](bench.world, run)
    with pytest.raises(ActionFailed, match="nothing to copy lies below"):
        ACTIONS["sync_prefix"](bench.world, synced(bench, "typo", "mirror"))
    assert list(bench.everything()) == ["jobintel/state/last_success.json"]


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ("a", "a", "lies in the source"),
        ("a", "a/b", "lies in the source"),
        ("a/b", "a", "into the source"),
        ("", "a", "is no prefix"),
        ("a", "/", "is no prefix"),
        ("a", "b/../a", "is no prefix"),
        ("s3://another-bucket/a", "b", "another-bucket"),
        ("s3://", "b", "lies in the bucket"),
    ],
)
def test_a_sync_into_itself_or_elsewhere_is_refused(bench: "Bench", source: str, target: str, words: str) -> None:
    """What would recurse, and what is no folder of this bucket, is a wrong call; nothing is written."""
    bench.put("a/b/b/c", b"x")
    with pytest.raises(UsageFault, match=words):
        plan(bench.store, source, target, shipped())
    assert list(bench.everything()) == ["a/b/b/c"]


def test_a_source_inside_the_destination_is_fine_where_nothing_falls_back_into_it(bench: "Bench") -> None:
    """A backup that lies below the prefix can be copied up; a name that only begins alike is another folder."""
    bench.put("a/backup/runs/r", b"x")
    bench.put("ab/c", b"y")
    execute(bench.store, plan(bench.store, "a/backup", "a", shipped()))
    execute(bench.store, plan(bench.store, "a", "ab", shipped()))
    assert bench.body("a/runs/r") == bench.body("ab/runs/r") == b"x"


def test_a_sync_that_was_killed_is_gone_on_with(bench: "Bench", front: Front) -> None:
    """Killed with SIGKILL in the middle, the next sync copies what is left, each object once in all."""
    for number in range(60):
        bench.put(f"src/{number:02}", str(number).encode())
    stuck = Fault("close", delay_seconds=5)
    front.rule = lambda method, path: stuck if method == "PUT" and int(path[-2:]) >= 20 else None
    code = (
        "import sys; from drfsm.adapters.aws import connect; from drfsm.dr.workload import shipped\n"
        "from drfsm.dr.artifacts.prefix_sync import execute, plan\n"
        "store = connect(bucket=sys.argv[1], endpoint_url=sys.argv[2], region='us-east-1').store\n"
        "execute(store, plan(store, 'src', 'dst', shipped()))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, bench.bucket, front.endpoint], env=dict(os.environ))
    deadline = time.monotonic() + 60
    while len(bench.everything()) < 80 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    front.rule = lambda _method, _path: None
    there = {key for key in bench.everything() if key.startswith("dst/")}
    assert there == {f"dst/{number:02}" for number in range(20)}
    front.seen.clear()
    run = synced(bench, "src", "dst")
    world = bench.world_of(bench.store_at(front.endpoint))
    result = ACTIONS["sync_prefix"](world, run)
    assert (result["copied"], result["equal"], len(copied(front))) == (40, 20, 40)
    assert {path.removeprefix(f"/{bench.bucket}/") for path in copied(front)}.isdisjoint(there)
    seen = FACTS["sync"].observe(world, run)
    assert (FACTS["sync"].judge(seen, run.inputs), seen["equal"]) == ("done", 60)
    assert {key for key in bench.everything() if key.startswith("dst/")} == {f"dst/{n:02}" for n in range(60)}


def test_the_fact_tells_what_is_pending(bench: "Bench") -> None:
    """Pending before, done after, pending again when an object of the source changes; its record is JSON."""
    bench.work(RUN)
    run = synced(bench, "jobintel/runs", "archive/runs")
    seen = FACTS["sync"].observe(bench.world, run)
    assert (FACTS["sync"].judge(seen, run.inputs), seen["pending"]["total"]) == ("pending", 7)
    assert json.loads(json.dumps(seen)) == seen
    result = ACTIONS["sync_prefix"](bench.world, run)
    assert (result["copied"], result["equal"], result["replaced"]["total"]) == (7, 0, 0)
    assert FACTS["sync"].judge(FACTS["sync"].observe(bench.world, run), run.inputs) == "done"
    bench.flip(f"jobintel/runs/{RUN}/openai/cs/run_summary.v1.json")
    seen = FACTS["sync"].observe(bench.world, run)
    assert (FACTS["sync"].judge(seen, run.inputs), seen["replacing"]["total"]) == ("pending", 1)


def test_a_5xx_in_the_middle_is_an_error_and_what_was_copied_stays(bench: "Bench", front: Front) -> None:
    """One copy that fails ends the sync with its key; it is never counted as copied."""
    for number in range(30):
        bench.put(f"src/{number:02}", b"x")
    front.rule = lambda method, path: Fault(status=500) if method == "PUT" and path.endswith("/17") else None
    store = bench.store_at(front.endpoint)
    with pytest.raises(Unreachable, match="dst/17"):
        execute(store, plan(store, "src", "dst", shipped()))
    assert "dst/17" in {each.target for each in plan(store, "src", "dst", shipped()).copies}


def test_it_stops_when_it_is_told_to(bench: "Bench") -> None:
    """The check is asked while copying, and what it raises gets out."""
    for number in range(5):
        bench.put(f"src/{number}", b"x")

    def check() -> None:
        raise Interrupted("enough")

    planned = plan(bench.store, "src", "dst", shipped())
    with pytest.raises(Interrupted):
        execute(bench.store, planned, check=check)


def test_progress_is_told_at_a_bounded_rate_with_the_time_left() -> None:
    """Ten thousand objects in a moment are one line at the end; a slow one is told in between with what is left."""
    lines: list[str] = []
    fast = Progress(lines.append, "copied", 10_000, 10_000)
    for _ in range(10_000):
        fast.add(1)
    fast.end()
    assert len(lines) == 1
    assert lines[0].startswith("copied 10000 objects, 0.0 MB, in ")
    slow = Progress(lines.append, "copied", 4, 4_000_000)
    slow._last_report -= 2
    slow._started -= 6
    slow.add(1_000_000)
    assert lines[-1] == "copied 1 of 4 objects, 1.0 MB of 4.0 MB, about 18 s left"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("p/state/x", True),
        ("p/candidates/ana/state/x", True),
        ("p/candidates/ana/runs/r/state/x", False),
        ("p/control-plane/current.json", True),
        ("p/control-plane/current.json.bak", False),
        ("p/stateful/x", False),
        ("p/runs/r/latest/x", False),
        ("q/state/x", False),
    ],
)
def test_what_is_protected_is_told_by_its_place(key: str, *, expected: bool) -> None:
    """Seen from the prefix, a folder or exactly a key; elsewhere the same words mean nothing."""
    assert is_protected(key, ["p/"], shipped()) is expected


class Forgetful(MemoryStore):
    """A store that reports a copy which it did not make, or shows it in no listing yet."""

    lost, late = "", ""

    def copy(self, source: str, target: str) -> None:
        """Copy, unless it is the one that gets lost."""
        if target != self.lost:
            super().copy(source, target)

    def list(self, prefix: str) -> Iterator[Stat]:
        """List, without what comes late."""
        yield from (stat for stat in super().list(prefix) if stat.key != self.late)


@pytest.mark.parametrize("fault", ["lost", "late", "none"])
def test_one_listing_shows_that_a_thousand_copies_are_there(fault: str) -> None:
    """A copy that the store only reported is found out; one that no listing shows yet is asked for by itself."""
    store = Forgetful()
    for number in range(1000):
        store.lay(f"src/{number:04}", b"x" * number)
    planned = plan(store, "src", "dst", shipped())
    setattr(store, fault, "dst/0500")
    if fault == "lost":
        with pytest.raises(Unreadable, match=r"src/0500 to s3://.*/dst/0500: the store reported success, but the copy"):
            execute(store, planned)
    else:
        assert execute(store, planned).objects == 1000
