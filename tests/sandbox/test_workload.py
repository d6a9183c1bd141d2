"""The workload keeps the contract of DESIGN: keys, order, switches, sameness, and the ways to break it."""

import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from drfsm.dr import workload
from drfsm.sandbox.workload_contract import JOBINTEL

if TYPE_CHECKING:
    from tests.sandbox.conftest import Bench

RUN = "2026-02-27T00:22:29.934039+00:00"
PAIR_FILES = [
    "openai_ranked_families.cs.json",
    "openai_ranked_jobs.cs.csv",
    "openai_ranked_jobs.cs.json",
    "openai_shortlist.cs.md",
    "openai_top.cs.md",
]
STATEMENTS = ["artifacts/provider_availability_v1.json", "run_health.v1.json", "run_summary.v1.json"]
ARTIFACTS = [f"jobintel/runs/{RUN}/openai/cs/{each}" for each in PAIR_FILES]
LATEST = [f"jobintel/latest/openai/cs/{each}" for each in PAIR_FILES]
GLOBAL = ["jobintel/state/candidates/local/last_success.json"]
PROVIDER = ["jobintel/state/candidates/local/openai/cs/last_success.json"]
OLDER = ["jobintel/state/last_success.json", "jobintel/state/openai/cs/last_success.json"]
POINTERS = [*GLOBAL, *PROVIDER, *OLDER]
VOLATILE = {"run_id", "created_at_utc", "generated_at_utc", "started_at", "ended_at", "duration_sec"}
VOLATILE |= {"timestamps", "durations", "logs", "run_health"}


def steady(value: Any) -> Any:
    """Return a JSON value without time stamps, durations and run ids."""
    if isinstance(value, dict):
        return {name: steady(each) for name, each in value.items() if name not in VOLATILE}
    return [steady(each) for each in value] if isinstance(value, list) else value


def test_a_run_writes_exactly_the_keys_of_the_contract(bench: "Bench") -> None:
    """Five objects of the pair, the same five in latest, pointers under candidate and older keys, and nothing else."""
    code, log = bench.run(JOBINTEL_RUN_ID=RUN)
    assert code == 0
    assert f"JOBINTEL_RUN_ID={RUN}\n" in log
    assert bench.listing() == sorted([*ARTIFACTS, *LATEST, *POINTERS])


@pytest.mark.parametrize(
    ("step", "there"),
    [
        ("artifacts", ARTIFACTS),
        ("latest", [*ARTIFACTS, *LATEST]),
        ("global", [*ARTIFACTS, *LATEST, *GLOBAL]),
        ("provider", [*ARTIFACTS, *LATEST, *GLOBAL, *PROVIDER]),
        ("older", [*ARTIFACTS, *LATEST, *POINTERS]),
    ],
)
def test_it_writes_artifacts_then_latest_then_pointers(bench: "Bench", step: str, there: list[str]) -> None:
    """Killed after a step, it has written that step and those before it, and nothing of those after it."""
    code, _ = bench.run(JOBINTEL_RUN_ID=RUN, SANDBOX_DIE_AFTER=step)
    assert code == -signal.SIGKILL
    assert bench.listing() == sorted(there)


def test_the_pointers_are_written_one_by_one_in_the_contracts_order(bench: "Bench") -> None:
    """Killed after each single write of a pointer, the newest key is the next of the contract's order."""
    order = POINTERS
    already = len(ARTIFACTS) + len(LATEST)
    for count in range(1, len(order) + 1):
        for key in bench.listing():
            bench.s3.delete_object(Bucket=bench.bucket, Key=key)
        bench.run(JOBINTEL_RUN_ID=RUN, SANDBOX_DIE_AFTER_WRITES=str(already + count))
        assert [key for key in order if key in bench.listing()] == order[:count]


def test_a_pointer_has_every_field_and_all_pointers_are_alike(bench: "Bench") -> None:
    """The global and the provider pointers carry one body that names the run, its path and its pairs."""
    bench.run(JOBINTEL_RUN_ID=RUN, JOBINTEL_PROVIDERS="openai, anthropic", JOBINTEL_PROFILES="cs")
    pointers = [key for key in bench.listing() if key.endswith("last_success.json")]
    assert len(pointers) == 6
    assert len({bench.body(key) for key in pointers}) == 1
    pointer = json.loads(bench.body(GLOBAL[0]))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", pointer.pop("ended_at"))
    assert pointer == {
        "schema_version": 1,
        "run_id": RUN,
        "run_path": f"jobintel/runs/{RUN}",
        "providers": ["openai", "anthropic"],
        "profiles": ["cs"],
        "provider_profiles": {"openai:cs": RUN, "anthropic:cs": RUN},
    }


def test_another_candidate_has_its_own_runs_and_no_older_keys(bench: "Bench") -> None:
    """Another candidate's run lies under candidates/ and leaves the older pointers alone."""
    bench.run(JOBINTEL_RUN_ID=RUN, JOBINTEL_CANDIDATE="ana")
    homes = (
        "jobintel/candidates/ana/runs/",
        "jobintel/candidates/ana/latest/",
        "jobintel/state/candidates/ana/",
    )
    assert all(key.startswith(homes) for key in bench.listing())
    pointer = json.loads(bench.body("jobintel/state/candidates/ana/openai/cs/last_success.json"))
    assert pointer["run_path"] == f"jobintel/candidates/ana/runs/{RUN}"


def test_the_prefix_holds_for_reads_and_writes(bench: "Bench") -> None:
    """With a prefix of its own a run sees only that prefix's last success and writes only there."""
    bench.run(JOBINTEL_RUN_ID=RUN)
    before = set(bench.listing())
    beside = "jobintel/validations/one"
    _, log = bench.run(JOBINTEL_S3_PREFIX=beside)
    assert "last success before this run: none" in log
    assert all(key.startswith(f"{beside}/") for key in set(bench.listing()) - before)
    _, log = bench.run(JOBINTEL_S3_PREFIX="jobintel")
    assert f"last success before this run: {RUN}" in log


def test_pointers_are_overwritten_unconditionally(bench: "Bench") -> None:
    """An older run that comes later overwrites a newer run's pointers: nothing in the workload forbids it."""
    bench.run(JOBINTEL_RUN_ID=RUN)
    older = "2025-01-01T00:00:00.000001+00:00"
    bench.run(JOBINTEL_RUN_ID=older)
    assert {json.loads(bench.body(key))["run_id"] for key in POINTERS} == {older}


@pytest.mark.parametrize(
    ("switches", "code", "said"),
    [
        ({"PUBLISH_S3": "0"}, 0, "publishing is off"),
        ({"PUBLISH_S3": "0", "PUBLISH_S3_REQUIRE": "1"}, 0, "publishing is off"),
        ({"PUBLISH_S3_DRY_RUN": "1"}, 0, "nothing of 14 objects published"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, 0, "publish failed"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "PUBLISH_S3_REQUIRE": "1"}, 2, "counts as failed"),
        ({"JOBINTEL_S3_BUCKET": ""}, 0, "JOBINTEL_S3_BUCKET is not set"),
        ({"JOBINTEL_S3_BUCKET": "no-such-bucket", "PUBLISH_S3_REQUIRE": "1"}, 2, "no bucket no-such-bucket"),
        ({"AWS_ACCESS_KEY_ID": "", "PUBLISH_S3_REQUIRE": "1"}, 2, "no credentials"),
        ({"SANDBOX_DIE_AFTER": "lunch"}, 2, "SANDBOX_DIE_AFTER=lunch"),
    ],
)
def test_the_switches_and_failures_decide_what_a_run_is_worth(
    bench: "Bench", switches: dict[str, str], code: int, said: str
) -> None:
    """Off and dry run publish nothing and succeed; a publish that fails counts only if it was required."""
    ended, log = bench.run(**switches)
    assert (ended, said in log, bench.listing()) == (code, True, [])


def test_a_dry_run_names_every_object_that_a_run_would_write(bench: "Bench") -> None:
    """The keys that a dry run says are the keys that the run then writes."""
    _, log = bench.run(JOBINTEL_RUN_ID=RUN, PUBLISH_S3_DRY_RUN="1")
    told = re.findall(rf"would write s3://{bench.bucket}/(.*)", log)
    bench.run(JOBINTEL_RUN_ID=RUN)
    assert sorted(told) == bench.listing()


def test_an_unsuccessful_run_moves_no_pointer_and_no_latest(bench: "Bench") -> None:
    """A failed run exits 1, publishes no artifact, moves nothing; its report, if that is published, says so."""
    bench.run(JOBINTEL_RUN_ID=RUN)
    before = {key: bench.body(key) for key in (*LATEST, *POINTERS)}
    code, _ = bench.run(JOBINTEL_RUN_ID="failed", SANDBOX_FAIL="1", JOBINTEL_PUBLISH_RUN_REPORT="1")
    assert code == 1
    assert {key: bench.body(key) for key in before} == before
    assert [key for key in bench.listing() if "/runs/failed/" in key] == ["jobintel/runs/failed/run_report.json"]
    assert json.loads(bench.body("jobintel/runs/failed/run_report.json"))["status"] == "failed"
    assert not (bench.state / "last_success.json").exists()


def test_an_unchanged_second_run_says_so_and_publishes_nothing(bench: "Bench", tmp_path: Path) -> None:
    """With the last success in its state and the same input it exits 0 and moves nothing; new input is work again."""
    kept = {"JOBINTEL_STATE_DIR": str(tmp_path / "kept/state")}
    bench.run(JOBINTEL_RUN_ID=RUN, **kept)
    before = {key: bench.body(key) for key in bench.listing()}
    code, log = bench.run(JOBINTEL_RUN_ID="2026-02-28T00:00:00Z", **kept)
    assert (code, "\nNo changes detected" in log) == (0, True)
    assert {key: bench.body(key) for key in bench.listing()} == before
    left = [path for path in (tmp_path / "kept/state/runs/20260228T000000Z").rglob("*") if path.is_file()]
    assert [path.name for path in left] == ["provider_availability_v1.json"]
    _, log = bench.run(JOBINTEL_RUN_ID="three", JOBINTEL_SNAPSHOT="2026-02-21", **kept)
    assert "No changes detected" not in log
    assert json.loads(bench.body(GLOBAL[0]))["run_id"] == "three"


def test_a_run_that_had_to_publish_and_could_not_is_no_last_success(bench: "Bench", tmp_path: Path) -> None:
    """The next run with the same input does the work again, and publishes."""
    kept = {"JOBINTEL_STATE_DIR": str(tmp_path / "kept/state")}
    bench.run(AWS_ENDPOINT_URL="http://127.0.0.1:9", PUBLISH_S3_REQUIRE="1", **kept)
    code, _ = bench.run(JOBINTEL_RUN_ID=RUN, **kept)
    assert (code, json.loads(bench.body(GLOBAL[0]))["run_id"]) == (0, RUN)


def test_the_same_input_gives_the_same_artifacts_but_for_volatile_fields(bench: "Bench") -> None:
    """Two runs have identical files, and statements, if they are published, that differ in time stamps and ids only."""
    bench.run(JOBINTEL_RUN_ID="one", JOBINTEL_PUBLISH_STATEMENTS="1")
    bench.run(JOBINTEL_RUN_ID="two", JOBINTEL_PUBLISH_STATEMENTS="1")
    for file in (*PAIR_FILES, *STATEMENTS):
        one, two = (bench.body(f"jobintel/runs/{run}/openai/cs/{file}") for run in ("one", "two"))
        if file in PAIR_FILES:
            assert one == two
        else:
            assert one != two
            assert steady(json.loads(one)) == steady(json.loads(two))


def test_diverging_input_changes_some_records_and_no_others(bench: "Bench") -> None:
    """JOBINTEL_DIVERGE changes title and score of every eighth record; snapshot and count stay."""
    bench.run(JOBINTEL_RUN_ID="one")
    bench.run(JOBINTEL_RUN_ID="two", JOBINTEL_DIVERGE="live")
    file = "openai/cs/openai_ranked_jobs.cs.json"
    one, two = (
        {job["job_id"]: job for job in json.loads(bench.body(f"jobintel/runs/{run}/{file}"))} for run in ("one", "two")
    )
    changed = [job_id for job_id in one if one[job_id] != two[job_id]]
    assert (len(one), sorted(one) == sorted(two), len(changed)) == (24, True, 3)
    assert all(two[job_id]["title"] == f"{one[job_id]['title']} [live]" for job_id in changed)
    assert all(two[job_id]["score"] != one[job_id]["score"] for job_id in changed)


def test_another_snapshot_gives_other_records(bench: "Bench") -> None:
    """The snapshot is the input: another one ranks other jobs."""
    bench.run(JOBINTEL_RUN_ID="one")
    bench.run(JOBINTEL_RUN_ID="two", JOBINTEL_SNAPSHOT="2026-02-21")
    file = "openai/cs/openai_ranked_jobs.cs.json"
    assert bench.body(f"jobintel/runs/one/{file}") != bench.body(f"jobintel/runs/two/{file}")


def test_the_report_is_always_local_and_published_only_on_demand(bench: "Bench") -> None:
    """run_report.json names every artifact by its path in the data folder; S3 holds it only with the knob."""
    bench.run(JOBINTEL_RUN_ID=RUN)
    key = f"jobintel/runs/{RUN}/run_report.json"
    local = bench.state / "runs" / "20260227T002229934039+0000" / "run_report.json"
    assert key not in bench.listing()
    entries = json.loads(local.read_bytes())["verifiable_artifacts"]
    names = ("ranked_csv", "ranked_families_json", "ranked_json", "shortlist_md", "top_md")
    assert sorted(entries) == [f"openai:cs:{name}" for name in names]
    for entry in entries.values():
        file = Path(entry["path"]).name
        body = bench.body(f"jobintel/runs/{RUN}/openai/cs/{file}")
        assert (hashlib.sha256(body).hexdigest(), len(body)) == (entry["sha256"], entry["bytes"])
        assert (bench.state.parent / "data" / entry["path"]).read_bytes() == body
        assert (local.parent / "openai/cs" / file).read_bytes() == body
    bench.run(JOBINTEL_RUN_ID=RUN, JOBINTEL_PUBLISH_RUN_REPORT="1")
    assert json.loads(bench.body(key))["verifiable_artifacts"] == entries


def test_its_own_run_id_is_a_time_and_stands_raw_in_the_keys(bench: "Bench") -> None:
    """Without a run id from outside it takes the time, in seconds; its ``:`` stay."""
    _, log = bench.run()
    found = re.search(r"^JOBINTEL_RUN_ID=(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)$", log, re.MULTILINE)
    assert found
    assert f"jobintel/runs/{found[1]}/openai/cs/openai_top.cs.md" in bench.listing()


def test_state_lies_below_the_containers_root(bench: "Bench", tmp_path: Path) -> None:
    """An absolute state directory means one inside the container."""
    bench.run(JOBINTEL_RUN_ID="one", JOBINTEL_STATE_DIR="", DRFSM_SANDBOX_ROOT=str(tmp_path / "root"))
    assert (tmp_path / "root/app/state/runs/one/run_report.json").exists()


def test_more_objects_are_more_artifacts(bench: "Bench") -> None:
    """SANDBOX_OBJECTS adds that many small artifacts to the run and to its report."""
    bench.run(JOBINTEL_RUN_ID=RUN, SANDBOX_OBJECTS="5")
    extra = [key for key in bench.listing() if "/artifacts/extra/" in key]
    local = bench.state / "runs" / "20260227T002229934039+0000" / "run_report.json"
    assert len(extra) == 5
    assert len(json.loads(local.read_bytes())["verifiable_artifacts"]) == 10


def test_sigterm_ends_it_before_it_publishes(bench: "Bench") -> None:
    """A run that is told to stop while it works publishes nothing and exits 143."""
    process = bench.start(SANDBOX_SLEEP_SECONDS="20")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("JOBINTEL_RUN_ID=")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 143
    process.stdout.close()
    assert bench.listing() == []


def test_a_run_can_be_held_before_its_pointers(bench: "Bench") -> None:
    """Told to wait before its pointers, a run stands still, artifacts out and pointers not."""
    process = bench.start(JOBINTEL_RUN_ID=RUN, SANDBOX_WAIT_FOR_BEFORE_POINTERS="go")
    deadline = time.monotonic() + 60
    while set(bench.listing()) != {*ARTIFACTS, *LATEST} and time.monotonic() < deadline:
        time.sleep(0.02)
    assert bench.listing() == sorted([*ARTIFACTS, *LATEST])
    bench.s3.put_object(Bucket=bench.bucket, Key="go", Body=b"")
    process.communicate(timeout=10)
    assert set(POINTERS) < set(bench.listing())


def test_a_pause_before_publishing_and_one_before_the_pointers_are_kept(bench: "Bench") -> None:
    """The two pauses add up to at least what was asked for."""
    started = time.monotonic()
    code, _ = bench.run(SANDBOX_SLEEP_SECONDS="0.2", SANDBOX_SLEEP_BEFORE_POINTERS_SECONDS="0.2")
    assert (code, time.monotonic() - started > 0.4) == (0, True)


def test_it_starts_without_loading_an_sdk_or_a_line_of_drfsm_proper() -> None:
    """The workload is an outsider: neither boto3 nor any other floor of drfsm comes with it."""
    code = "import sys, drfsm.sandbox.workload; print(*sorted(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = [name for name in told.stdout.split() if name.partition(".")[0] in ("boto3", "botocore", "drfsm")]
    rooms = ("workload", "workload_artifacts", "workload_contract", "workload_local", "workload_store")
    assert loaded == ["drfsm", "drfsm.sandbox", *(f"drfsm.sandbox.{each}" for each in rooms)]


SECOND = """
workload: prices
switches:
  on: {UPLOAD: "yes"}
  off: {UPLOAD: "no"}
variables: {bucket: BUCKET_NAME, prefix: KEY_PREFIX, run_id: BATCH, validation: {MUST_UPLOAD: 1}}
defaults: {provider: north, profile: retail}
keys: {runs: "batches/{run_id}", latest: current, pair: "{profile}/{provider}"}
files: {required: ["{provider}.{profile}.csv", "{provider}.{profile}.txt"], latest: ["{provider}.{profile}.csv"]}
pointers: {name: newest.json, home: "pointers/{candidate}", fields: {run_id: batch, run_path: at}}
run_ids: {form: name, prefix: batch-, marker: "BATCH="}
unchanged: "nothing to do"
"""
"""Another workload, of other names everywhere."""


def test_another_contract_gives_every_name_of_it(bench: "Bench", tmp_path: Path) -> None:
    """Variables, switches, keys, files, pointers and printed lines are the contract's, and nothing else is written."""
    file = tmp_path / "contract.json"
    file.write_text(workload.canonical(workload.read(SECOND)), encoding="utf-8")
    bench.contract = ("--contract", str(file))
    place = {"BUCKET_NAME": bench.bucket, "JOBINTEL_STATE_DIR": str(tmp_path / "kept/state")}
    assert "publishing is off (UPLOAD=no)" in bench.run(**place)[1]
    shutil.rmtree(tmp_path / "kept")
    code, log = bench.run(**place, UPLOAD="yes", MUST_UPLOAD="1")
    run_id = re.findall(r"^BATCH=(batch-\d{8}T\d{6}Z)$", log, re.MULTILINE)[0]
    files = ["north.retail.csv", "north.retail.txt"]
    wanted = [f"prices/batches/{run_id}/retail/north/{file}" for file in files]
    wanted += ["prices/current/retail/north/north.retail.csv"]
    wanted += ["prices/pointers/local/newest.json", "prices/pointers/local/north/retail/newest.json"]
    assert (code, bench.listing()) == (0, sorted(wanted))
    pointer = json.loads(bench.body("prices/pointers/local/newest.json"))
    assert (pointer["batch"], pointer["at"]) == (run_id, f"prices/batches/{run_id}")
    assert "\nnothing to do" in bench.run(**place, UPLOAD="yes")[1]


SWITCHED = """
workload: weather
switches: {on: {WX_PUBLISH: live, WX_SEND: 1, WX_ECHO: no}, off: {WX_PUBLISH: never, WX_SEND: 0, WX_ECHO: yes}}
variables: {bucket: WX_BUCKET, prefix: WX_PREFIX, run_id: WX_RUN, validation: {WX_STRICT: hard}}
files: {required: ["{provider}.csv"], optional: ["{provider}.md"], latest: ["{provider}.md"]}
"""
"""Three switches, one of each kind: a text, a yes, a brake. The validation's variable is a text, too."""


@pytest.mark.parametrize(
    ("switches", "words"),
    [
        pytest.param({"WX_PUBLISH": "live", "WX_SEND": "yes"}, "published 5 objects", id="all on"),
        pytest.param(
            {"WX_PUBLISH": "never", "WX_SEND": "1"}, "publishing is off (WX_PUBLISH=never)", id="the text off"
        ),
        pytest.param({"WX_PUBLISH": "1", "WX_SEND": "1"}, "publishing is off (WX_PUBLISH=never)", id="no text of it"),
        pytest.param({"WX_PUBLISH": "live"}, "publishing is off (WX_SEND=0)", id="the yes isn't set"),
        pytest.param(
            {"WX_PUBLISH": "live", "WX_SEND": "1", "WX_ECHO": "on"}, "dry run (WX_ECHO=yes)", id="the brake on"
        ),
    ],
)
def test_switches_of_every_kind_are_obeyed(
    bench: "Bench", tmp_path: Path, switches: dict[str, str], words: str
) -> None:
    """A run publishes only where every switch stands at its value for on, and names the one that doesn't."""
    file = tmp_path / "contract.json"
    file.write_text(workload.canonical(workload.read(SWITCHED)), encoding="utf-8")
    bench.contract = ("--contract", str(file))
    code, log = bench.run(WX_BUCKET=bench.bucket, **switches)
    assert (code, words in log) == (0, True), log
    assert bool(bench.listing()) == words.startswith("published")


def test_a_validation_s_variable_may_be_a_text(bench: "Bench", tmp_path: Path) -> None:
    """A publish that fails, fails the run where the validation's variable has the contract's value, and only then."""
    file = tmp_path / "contract.json"
    file.write_text(workload.canonical(workload.read(SWITCHED)), encoding="utf-8")
    bench.contract = ("--contract", str(file))
    place = {"WX_BUCKET": "no-such-bucket", "WX_PUBLISH": "live", "WX_SEND": "1"}
    assert [bench.run(**place, WX_STRICT=value)[0] for value in ("hard", "soft")] == [2, 0]


def test_the_workload_keeps_the_contract_that_is_shipped() -> None:
    """What the program has by itself is what drfsm takes for the real workload's."""
    shipped = json.loads(workload.canonical(workload.shipped()))
    for part, said in JOBINTEL.items():
        common = {name: shipped[part].get(name, "") for name in said} if isinstance(said, dict) else shipped[part]
        assert common == said, part
