"""Two runs of the real workload in a real S3 (moto), compared: what differs is told, and what it weighs."""

import csv
import hashlib
import io
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from drfsm.dr.artifacts import publish
from drfsm.dr.artifacts.compare import comparison
from drfsm.dr.artifacts.compare.comparison import (
    Comparison,
    Difference,
    DirectoryRun,
    Profile,
    StoreRun,
    compare,
    default_profile,
    load,
)
from drfsm.dr.artifacts.compare.declare import DEFAULT
from drfsm.dr.workload import shipped
from drfsm.engine import Run
from drfsm.engine.ports import SystemClock
from drfsm.errors import DeclarationFault, UsageFault
from drfsm.sandbox.cloud import ACCESS_KEY_ID, SECRET_ACCESS_KEY, Cloud
from drfsm.world import Blob, Check, Hashed, ObjectStore
from tests.direct_store import DirectStore
from tests.growth import growth

DR, PRIMARY = "2026-02-27T00:22:29.934039+00:00", "2026-02-28T01:00:00.000001+00:00"
DRFSM_RUN = "failback-20260228T005900Z-0001"
BUCKET = "comparison"
JOBS, CSV, FAMILIES = (
    f"openai/cs/openai_ranked_{each}" for each in ("jobs.cs.json", "jobs.cs.csv", "families.cs.json")
)
SUMMARY, HEALTH = "openai/cs/run_summary.v1.json", "openai/cs/run_health.v1.json"
AVAILABILITY = "openai/cs/artifacts/provider_availability_v1.json"

Files = dict[str, bytes]
numbers = itertools.count()


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """One moto server, and an operator's credentials for it."""
    with Cloud() as started, pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
        environment.setenv("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
        started.create_bucket(BUCKET)
        yield started


@pytest.fixture(scope="module")
def store(cloud: Cloud) -> ObjectStore:
    """Return the bucket, asked in this process."""
    return DirectStore(cloud, BUCKET)


@frozen
class World:
    """As much of a world as a comparison touches."""

    store: ObjectStore


@frozen
class Bench:
    """Three runs that really ran, and shelves for altered copies of them."""

    store: ObjectStore
    state: Path

    @property
    def dr(self) -> StoreRun:
        """DR's run, canonical."""
        return StoreRun(self.store, f"jobintel/runs/{DR}", DR, "dr")

    @property
    def primary(self) -> StoreRun:
        """The primary's run, beside, of the same input."""
        return StoreRun(self.store, f"jobintel/validations/{DRFSM_RUN}/runs/{PRIMARY}", PRIMARY, "primary")

    @property
    def diverging(self) -> StoreRun:
        """The primary's run, beside, of another input."""
        return StoreRun(self.store, f"jobintel/validations/diverging/runs/{PRIMARY}", PRIMARY, "primary")

    def files(self) -> Files:
        """Return the primary's files, to be altered."""
        return dict(self.primary.read(sorted(self.primary.names())))

    def put(self, files: Mapping[str, bytes]) -> StoreRun:
        """Return a run of the primary's id with these files."""
        prefix = f"altered/{next(numbers)}/runs/{PRIMARY}"
        for name, body in files.items():
            self.store.put(f"{prefix}/{name}", body)
        return StoreRun(self.store, prefix, PRIMARY, "primary")

    def against_dr(self, files: Mapping[str, bytes], **options: bool) -> Comparison:
        """Compare DR's run with these files."""
        return compare(self.dr, self.put(files), default_profile(), None, **options)


@pytest.fixture(scope="module")
def bench(cloud: Cloud, store: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Run the workload three times."""
    state = tmp_path_factory.mktemp("state")

    def run(run_id: str, **given: str) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "AWS_ENDPOINT_URL": cloud.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "JOBINTEL_S3_BUCKET": BUCKET,
            "JOBINTEL_STATE_DIR": str(state / given.get("JOBINTEL_S3_PREFIX", "canonical") / "state"),
            "JOBINTEL_PUBLISH_STATEMENTS": "1",
            "JOBINTEL_RUN_ID": run_id,
            "PUBLISH_S3": "1",
            "PUBLISH_S3_REQUIRE": "1",
        }
        subprocess.run([sys.executable, "-m", "drfsm.sandbox.workload"], env={**environment, **given}, check=True)

    run(PRIMARY, JOBINTEL_S3_PREFIX="jobintel/validations/diverging", JOBINTEL_DIVERGE="live")
    run(DR)
    run(PRIMARY, JOBINTEL_S3_PREFIX=f"jobintel/validations/{DRFSM_RUN}")
    return Bench(store, state)


def failback(**given: Any) -> Run:
    """Return what a fact is handed in a failback."""
    inputs = {
        "workload": "",
        "prefix": "jobintel",
        "candidate": "local",
        "dr_run_id": DR,
        "primary_run_id": PRIMARY,
    }
    return Run(
        id=DRFSM_RUN, inputs={**inputs, **given}, operator="test", epoch=1, dry_run=False,
        trigger="confirm_no_divergence", results={}, args={}, clock=SystemClock(),
    )  # fmt: skip


def observed(store: ObjectStore, **given: Any) -> tuple[Any, str | None]:
    """Return what the fact sees, and how it is judged."""
    run, fact = failback(**given), comparison.FACTS["divergence"]
    seen = fact.observe(World(store), run)
    return seen, fact.judge(seen, run.inputs)


# --- altering a run -------------------------------------------------------------------------------------


def encoded(value: Any) -> bytes:
    """Return JSON as the workload writes it."""
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def altered(files: Files, name: str, change: Callable[[Any], Any]) -> Files:
    """Return the files with one JSON document changed in place, or replaced by what ``change`` returns."""
    value = json.loads(files[name])
    again = change(value)
    return {**files, name: encoded(value if again is None else again)}


def set_to(*path: Any, value: Any) -> Callable[[Any], None]:
    """Return a change that sets one place of a document."""

    def change(document: Any) -> None:
        for each in path[:-1]:
            document = document[each]
        document[path[-1]] = value

    return change


def consistent(files: Files) -> Files:
    """Return the files with CSV and summary as the workload would have written them for these jobs."""
    rows = list(csv.DictReader(io.StringIO(files[CSV].decode())))
    known, text = {row["job_id"]: row for row in rows}, io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for job in json.loads(files[JOBS]):
        plain = {name: value for name, value in job.items() if isinstance(value, str | int | float)}
        writer.writerow({**known.get(job["job_id"], rows[0]), **plain})
    return described({**files, CSV: text.getvalue().encode()})


def described(files: Files) -> Files:
    """Return the files with the hashes and sizes in the summary as they are."""

    def describe(summary: Any) -> None:
        for (entry,) in summary["ranked_outputs"].values():
            body = files[f"openai/cs/{entry['path'].rpartition('/')[2]}"]
            entry |= {"sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)}

    return altered(files, SUMMARY, describe)


def told(found: Comparison) -> set[tuple[str, str, str, str]]:
    """Return every difference without its values."""
    return {(each.file, each.where, each.kind, each.weight) for each in found.differences}


# --- alike and not --------------------------------------------------------------------------------------


def test_two_runs_that_differ_in_ids_and_times_only_are_the_same(bench: Bench) -> None:
    """The same input on both sites gives no difference, although half of the files have other bytes."""
    found = compare(bench.dr, bench.primary, default_profile())
    assert (found.verdict, found.exit_code, list(found.differences)) == ("none", 0, [])
    assert (found.compared, found.identical, list(found.not_compared)) == (8, 5, [])
    assert found.left.records == found.right.records > 48
    assert (found.left.unverified, list(found.remarks)) == (0, [])


def test_the_fact_reads_dr_canonically_and_the_primary_beside(bench: Bench) -> None:
    """Divergence is none for the two real runs, read where the layout says, with ids that hold colons and a plus."""
    seen, value = observed(bench.store)
    assert value == "none"
    assert seen["left"]["where"] == f"s3://{BUCKET}/jobintel/runs/{DR}"
    assert seen["right"]["where"] == f"s3://{BUCKET}/jobintel/validations/{DRFSM_RUN}/runs/{PRIMARY}"


def test_another_input_is_a_difference_of_content(bench: Bench) -> None:
    """A diverging run is whole, so a person may decide; records, fields and both values are named."""
    found = compare(bench.dr, bench.diverging, default_profile())
    assert (found.verdict, found.exit_code) == ("content", 1)
    titles = [each for each in found.differences if each.file == JOBS and each.where.endswith(" title")]
    assert len(titles) == 3
    assert all(each.kind == "changed" and "[live]" in str(each.right) for each in titles)
    assert any(line.startswith("content") and "primary" in line and "job_id=" in line for line in found.lines())
    number, files = len(found.differences), sorted({each.file for each in found.differences})
    assert found.in_words.startswith(f"0 differences of integrity; {number} differences of content in {len(files)} of ")
    assert all(name in found.in_words for name in files[:1])


def test_the_fact_says_content_for_another_input(bench: Bench) -> None:
    """The fact of a diverging validation is ``content``, with counts and the first differences on record."""
    files = dict(bench.diverging.read(sorted(bench.diverging.names())))
    home = f"elsewhere/validations/{DRFSM_RUN}/runs/{PRIMARY}"
    for name, body in files.items():
        bench.store.put(f"{home}/{name}", body)
    for name, body in bench.dr.read(sorted(bench.dr.names())).items():
        bench.store.put(f"elsewhere/runs/{DR}/{name}", body)
    seen, value = observed(bench.store, prefix="elsewhere")
    assert value == "content"
    assert not any(seen["counts"]["integrity"].values())
    assert seen["first"]


def test_a_run_that_is_not_there_is_never_the_same(bench: Bench) -> None:
    """Without a single file of the primary's run the fact is ``integrity``, and a script gets exit code 2."""
    seen, value = observed(bench.store, primary_run_id="2026-03-01T00:00:00.000000+00:00")
    assert value == "integrity"
    assert "none of the files that matter" in seen["incomparable"]
    found = compare(bench.dr, StoreRun(bench.store, "nowhere", PRIMARY, "primary"), default_profile())
    assert (found.verdict, found.exit_code) == ("integrity", 2)


def test_other_providers_are_not_comparable(bench: Bench) -> None:
    """Two runs without a common provider and profile are not compared file by file."""
    moved = {name.replace("openai", "anthropic"): body for name, body in bench.files().items()}
    found = bench.against_dr(moved)
    assert found.exit_code == 2
    assert "dr has openai/cs, primary anthropic/cs" in found.incomparable


def test_a_record_of_other_runs_is_not_judged(bench: Bench) -> None:
    """The judge gives no value to an observation of other runs than the inputs name."""
    seen, _ = observed(bench.store)
    inputs = failback(dr_run_id="another").inputs
    assert comparison.FACTS["divergence"].judge(seen, inputs) is None


# --- integrity ------------------------------------------------------------------------------------------

DEEP = b"[" * 200_000 + b"]" * 200_000
BROKEN: Mapping[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "a truncated JSON": (JOBS, lambda raw: raw[: len(raw) // 2], "it is no JSON: "),
    "an empty file": (HEALTH, lambda _: b"", "it is empty"),
    "a byte order mark": (SUMMARY, lambda raw: b"\xef\xbb\xbf" + raw, "byte order mark"),
    "UTF-16": (SUMMARY, lambda raw: raw.decode().encode("utf-16"), "byte order mark"),
    "Latin-1": (SUMMARY, lambda _: '{"ä": 1}'.encode("latin-1"), "it is not UTF-8: byte 2"),
    "NaN": (JOBS, lambda _: b'[{"job_id": "a", "score": NaN}]', "NaN is no JSON number"),
    "a key that comes twice": (HEALTH, lambda _: b'{"status": "failed", "status": "success"}', "'status' twice"),
    "brackets without end": (JOBS, lambda _: DEEP, "more than 100 deep"),
    "a nest that the parser takes": (HEALTH, lambda _: b'{"a":' * 101 + b"1" + b"}" * 101, "more than 100 deep"),
    "a number of ten thousand digits": (JOBS, lambda _: b'[{"job_id": ' + b"9" * 10_000 + b"}]", "10000 characters"),
    "a number without bounds": (JOBS, lambda _: b'[{"score": 1e99999999999999999999}]', "no number is this big"),
    "an object for a list": (JOBS, lambda _: b"{}", "an object where a list"),
    "a list for an object": (SUMMARY, lambda _: b"[]", "a list where an object"),
    "a record that is none": (FAMILIES, lambda _: b'[{"family": "a"}, 7]', "record 2 is a number"),
    "a short CSV row": (CSV, lambda raw: raw + b"a,b\n", "has 2 columns, the header "),
    "an open quote in CSV": (CSV, lambda raw: raw + b'"', "it is no CSV"),
    "a CSV column that comes twice": (CSV, lambda raw: raw.replace(b"title", b"job_id", 1), "'job_id' twice"),
    "a CSV with a byte order mark": (CSV, lambda raw: b"\xef\xbb\xbf" + raw, "byte order mark"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_read_is_a_fault_of_its_side(bench: Bench, case: str) -> None:
    """A file that can't be read strictly is one fault of integrity that names the file and the reason."""
    name, damage, reason = BROKEN[case]
    files = bench.files()
    found = bench.against_dr({**files, name: damage(files[name])})
    assert found.verdict == "integrity"
    faults = [each for each in found.differences if each.file == name and each.where == ""]
    assert [(each.kind, each.left) for each in faults] == [("fault", None)]
    assert reason in faults[0].because


def _again(jobs: Any) -> None:
    jobs.append(dict(jobs[3]))


def _without_names(jobs: Any) -> None:
    for name in ("job_id", "apply_url", "detail_url"):
        del jobs[5][name]


WRONG: Mapping[str, tuple[str, Callable[[Any], Any], str, str]] = {
    "a run that failed": (HEALTH, set_to("status", value="failed"), "status", "must be success"),
    "a run of another id": (SUMMARY, set_to("run_id", value="2020"), "run_id", f"the run is {PRIMARY}"),
    "a run that names no id": (AVAILABILITY, lambda each: each.pop("run_id") and None, "run_id", "must be there"),
    "a status that is missing": (SUMMARY, lambda each: each.pop("status") and None, "status", "must be success"),
    "a described hash that is wrong": (
        SUMMARY,
        set_to("ranked_outputs", "ranked_csv", 0, "sha256", value="0" * 64),
        "ranked_outputs.ranked_csv.0.sha256",
        f"{CSV} has ",
    ),
    "a described size that is wrong": (
        SUMMARY,
        set_to("ranked_outputs", "ranked_json", 0, "bytes", value=1),
        "ranked_outputs.ranked_json.0.bytes",
        f"{JOBS} has ",
    ),
    "a description of nothing": (
        SUMMARY,
        set_to("ranked_outputs", "ranked_json", 0, value="ranked.json"),
        "ranked_outputs.ranked_json.0",
        "must describe a file",
    ),
    "a record without a name": (JOBS, _without_names, "", "has none of job_id"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_run_that_contradicts_itself_is_a_fault_of_integrity(bench: Bench, case: str) -> None:
    """What a run says of itself is held against its id and its own files, and the contradiction is named."""
    name, change, where, reason = WRONG[case]
    found = bench.against_dr(altered(bench.files(), name, change))
    faults = [each for each in found.differences if (each.file, each.where, each.kind) == (name, where, "fault")]
    assert found.verdict == "integrity"
    assert len(faults) == 1
    assert reason in faults[0].because


def test_two_records_of_one_name_are_told_with_their_places(bench: Bench) -> None:
    """A record that comes twice is a fault that names it and says which records they are, in JSON and in CSV."""
    found = bench.against_dr(consistent(altered(bench.files(), JOBS, _again)))
    faults = {each.file: each for each in found.differences if each.because == "one name, several records"}
    assert faults.keys() == {JOBS, CSV}
    assert {each.right for each in faults.values()} == {"records 4, 25"}
    assert faults[JOBS].where.startswith("job_id=")


def test_another_schema_version_is_a_difference_of_integrity(bench: Bench) -> None:
    """A file of another schema can't be compared by its content."""
    found = bench.against_dr(altered(bench.files(), SUMMARY, set_to("run_summary_schema_version", value=2)))
    assert told(found) == {(SUMMARY, "run_summary_schema_version", "changed", "integrity")}


@pytest.mark.parametrize("name", [JOBS, CSV, FAMILIES])
def test_a_missing_file_is_one_difference_of_integrity(bench: Bench, name: str) -> None:
    """A file that one run lacks is named, once, and seen from the other side it is an extra one."""
    files = bench.files()
    del files[name]
    found = bench.against_dr(files)
    assert told(found) == {(name, "", "missing", "integrity")}
    back = compare(bench.put(files), bench.dr, default_profile())
    assert told(back) == {(name, "", "extra", "integrity")}


def test_a_required_file_that_neither_has_is_a_remark(bench: Bench) -> None:
    """What no run of this workload has can't keep two of them apart: it is said, and weighs nothing."""
    files = bench.files()
    del files[FAMILIES]
    found = compare(bench.put(files), bench.put(files), default_profile())
    assert (found.verdict, list(found.remarks)) == (
        "none",
        ["openai/cs/*_ranked_families.*.json: required, and neither run has it"],
    )


REAL = shipped().required(("openai", "cs"))


@pytest.mark.parametrize(
    ("place", "remarks"),
    [
        pytest.param({}, 1, id="a contract with places for it"),
        pytest.param({"optional": (), "report": None}, 0, id="a contract with none"),
    ],
)
def test_what_made_the_runs_is_a_remark_once_where_a_file_could_say_it(
    bench: Bench, place: dict[str, Any], remarks: int
) -> None:
    """The real workload uploads no such file: one short remark. Where the contract knows no such file, none."""
    files = {name: body for name, body in bench.files().items() if name in REAL}
    known = evolve(shipped().files, optional=place.get("optional", shipped().files.optional))
    contract = evolve(shipped(), files=known, report=place.get("report", shipped().report))
    found = compare(bench.put(files), bench.put(files), default_profile(), contract)
    assert found.verdict == "none"
    assert (
        list(found.remarks)
        == ["not compared: candidate, scoring configuration, provider registry (no file of both runs says it)"][
            :remarks
        ]
    )


def test_a_pair_that_one_run_lacks_is_told_file_by_file(bench: Bench) -> None:
    """A second profile on one side only is five extra files of integrity, and the common profile is compared."""
    files = bench.files()
    more = {name.replace("/cs/", "/ml/").replace(".cs.", ".ml."): body for name, body in files.items()}
    found = bench.against_dr({**files, **more})
    assert {each[2:] for each in told(found)} == {("extra", "integrity")}
    assert len(found.differences) == 5


def test_a_csv_column_that_is_gone_is_told_once(bench: Bench) -> None:
    """A missing column is one difference of the header, not one of each of 24 records."""
    files = bench.files()
    rows = list(csv.reader(io.StringIO(files[CSV].decode())))
    files[CSV] = "".join(",".join(f'"{cell}"' for cell in row[:-1]) + "\r\n" for row in rows).encode()
    found = bench.against_dr(files)
    assert {(each.where, each.kind, each.left) for each in found.differences if each.file == CSV} == {
        ("header", "missing", '"why_top3"'),
    }


# --- content --------------------------------------------------------------------------------------------


def test_how_csv_is_quoted_and_ends_its_lines_does_not_matter(bench: Bench) -> None:
    """The same table with quotes and CRLF is the same content (only its described hash must fit)."""
    files = bench.files()
    rows = list(csv.reader(io.StringIO(files[CSV].decode())))
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerows(rows)
    files[CSV] = text.getvalue().encode()
    assert bench.against_dr(described(files)).verdict == "none"


def test_an_extra_record_is_one_difference_a_file_and_moves_nothing(bench: Bench) -> None:
    """A record more is told as extra; those below it are not told as moved."""
    more = {**json.loads(bench.files()[JOBS])[0], "job_id": "new", "title": "New"}
    found = bench.against_dr(consistent(altered(bench.files(), JOBS, lambda jobs: jobs.insert(0, more))))
    assert told(found) == {
        (JOBS, "job_id=new", "extra", "content"),
        (CSV, "job_id=new", "extra", "content"),
    }


def test_a_record_that_moved_is_the_only_one_told(bench: Bench) -> None:
    """The last record at the first place is one difference of order, with both ranks."""
    found = bench.against_dr(consistent(altered(bench.files(), JOBS, lambda jobs: jobs.insert(0, jobs.pop()))))
    assert {(each.file, each.kind, each.left, each.right) for each in found.differences} == {
        (JOBS, "order", "rank 24", "rank 1"),
        (CSV, "order", "rank 24", "rank 1"),
    }
    assert found.verdict == "content"


@pytest.mark.parametrize(("drift", "verdict"), [(0.001, "none"), (-0.001, "none"), (0.002, "content")])
def test_a_score_may_drift_within_its_tolerance(bench: Bench, drift: float, verdict: str) -> None:
    """Scores may differ by a thousandth, in JSON and CSV alike; beyond that the score is a difference."""
    jobs = json.loads(bench.files()[JOBS])
    score = round(jobs[0]["score"] + drift, 3)
    found = bench.against_dr(consistent(altered(bench.files(), JOBS, set_to(0, "score", value=score))))
    assert found.verdict == verdict
    name = f"job_id={jobs[0]['job_id']}"
    assert told(found) == ({(JOBS, f"{name} score", "changed", "content"), (CSV, f"{name} score", "changed", "content")}
                           if verdict == "content" else set())  # fmt: skip


def test_other_fields_have_no_tolerance(bench: Bench) -> None:
    """A number that no tolerance is declared for is compared exactly."""
    found = bench.against_dr(consistent(altered(bench.files(), FAMILIES, set_to(0, "jd_text_chars", value=1))))
    assert [(each.file, each.kind) for each in found.differences] == [(FAMILIES, "changed")]


def test_run_ids_are_differences_when_drift_is_not_allowed(bench: Bench) -> None:
    """Without drift the three statements' run ids are told, and nothing else."""
    found = compare(bench.dr, bench.primary, default_profile(), allow_run_id_drift=False)
    assert told(found) == {(name, "run_id", "changed", "content") for name in (SUMMARY, HEALTH, AVAILABILITY)}


def test_a_copy_of_the_others_run_is_not_passed_off_as_ones_own(bench: Bench) -> None:
    """Equal bytes are still held against each side's own run id: DR's files are not the primary's run."""
    copied = bench.dr.read(sorted(bench.dr.names()))
    found = bench.against_dr(dict(copied))
    assert told(found) == {(name, "run_id", "fault", "integrity") for name in (SUMMARY, HEALTH, AVAILABILITY)}


def test_what_the_profile_does_not_know_is_counted_and_named(bench: Bench) -> None:
    """Unknown files, and optional ones on one side only, are said to be not compared."""
    report = {"run_id": PRIMARY, "status": "success"}
    found = bench.against_dr({**bench.files(), "openai/cs/notes.txt": b"x", "run_report.json": encoded(report)})
    assert found.verdict == "none"
    assert list(found.not_compared) == ["openai/cs/notes.txt", "run_report.json"]
    assert "not compared: 2 files (openai/cs/notes.txt, run_report.json)" in list(found.lines())
    assert found.record["not_compared"] == 2


def test_a_local_copy_is_compared_like_the_store(bench: Bench, tmp_path: Path) -> None:
    """Offline, the workload's own folder is a run; its report, read there, is verified against the files."""
    home = bench.state / "canonical" / "state" / "runs" / DR.replace(":", "").replace("-", "").replace(".", "")
    local = DirectoryRun(home, DR, "local copy")
    found = compare(bench.dr, local, default_profile(), allow_run_id_drift=False)
    assert (found.verdict, found.identical) == ("none", 5)
    assert "run_report.json" in found.not_compared
    assert compare(local, DirectoryRun(home), default_profile()).verdict == "none"
    with pytest.raises(UsageFault, match="is no directory"):
        compare(bench.dr, DirectoryRun(tmp_path / "nothing"), default_profile())


# --- what is recorded -----------------------------------------------------------------------------------


def test_the_record_is_bounded_and_its_digest_binds_all(bench: Bench) -> None:
    """A thousand long differences make a small record; changing the last of them changes the digest."""
    jobs = [{"job_id": f"j{number}", "title": "x" * 5000, "score": 1} for number in range(1000)]
    other = [{**job, "title": "y" * 5000} for job in jobs]
    one, two, three = (
        bench.put(consistent({**bench.files(), JOBS: encoded(each)}))
        for each in (jobs, other, [*other[:-1], {**other[-1], "title": "y" * 4999 + "z"}])
    )
    found, again = compare(one, two, default_profile()), compare(one, three, default_profile())
    assert len(found.differences) == 2000
    assert len(json.dumps(found.record)) < 20_000
    assert found.record["counts"]["content"]["changed"] == 2000
    assert found.sha256 != again.sha256
    assert max(map(len, found.lines())) < 700
    assert found.in_words == f"0 differences of integrity; 2000 differences of content in 2 of 8 files ({CSV}, {JOBS})"


def test_what_somebody_else_published_can_neither_steer_a_terminal_nor_break_a_journal(bench: Bench) -> None:
    """Escape sequences and lone surrogates are told as their numbers."""
    hostile = set_to(0, "job_id", value="\x1b[2J\ud800\u202e")
    found = bench.against_dr(described(altered(bench.files(), JOBS, hostile)))
    text = "\n".join([*found.lines(), json.dumps(found.record, ensure_ascii=False)])
    assert text.replace("\n", " ").isprintable()
    assert text.encode()
    assert "\\u001b[2J\\ud800\\u202e" in text


def test_comparison_grows_with_the_number_of_records_and_not_with_its_square(bench: Bench) -> None:
    """Two reversed lists with changed scores: fifty thousand records take about ten times as long as five thousand."""

    def comparing(count: int) -> Callable[[], None]:
        jobs, changed = (
            [{"job_id": f"j{number}", "title": f"t{number}", "team": "a", "score": number + more} for number in numbers]
            for more, numbers in ((0, range(count)), (1, reversed(range(count))))
        )
        one, other = (bench.put(consistent({**bench.files(), JOBS: encoded(each)})) for each in (jobs, changed))

        def compare_both() -> None:
            content = compare(one, other, default_profile()).counts["content"]
            assert (content["changed"], content["order"]) == (2 * count, 2 * count - 2)

        return compare_both

    assert growth(comparing, 5_000, tries=1) < 50


# --- the profile ----------------------------------------------------------------------------------------

MINIMAL: Mapping[str, Any] = {
    "comparison_profile_schema_version": 1,
    "name": "minimal",
    "files": [
        {"name": "facts", "match": "facts.json", "read": "json_object", "presence": "required"},
        {"name": "blob", "match": "**/*.bin", "read": "bytes", "presence": "optional"},
        {
            "name": "jobs", "match": "jobs.json", "read": "json_records", "presence": "paired",
            "identify": ["id"], "order": True,
        },
        {"name": "heap", "match": "heap.json", "read": "json_records", "presence": "paired", "identify": ["id"]},
    ],
}  # fmt: skip


def profile(**changes: Any) -> Profile:
    """Return the minimal profile with its first rule changed."""
    first, *rest = MINIMAL["files"]
    return load(encoded({**MINIMAL, "files": [{**first, **changes}, *rest]}), "minimal.json")


@frozen
class Shelf:
    """A run in memory."""

    files: Mapping[str, bytes]
    run_id: str | None = None
    label: str = "shelf"
    where: str = "memory"

    def names(self) -> Mapping[str, int]:
        """Return sizes."""
        return {name: len(body) for name, body in self.files.items()}

    def read(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """Return bytes."""
        return {name: self.files[name] for name in names}


def facts(one: Any, other: Any, **changes: Any) -> Sequence[Difference]:
    """Compare two documents by a profile."""
    left, right = (Shelf({"facts.json": each if isinstance(each, bytes) else encoded(each)}) for each in (one, other))
    return compare(left, right, profile(**changes)).differences


def test_the_shipped_profile_is_the_one_that_the_documentation_shows() -> None:
    """docs/comparison.md shows the default profile word for word."""
    text = (Path(__file__).parent.parent.parent / "docs" / "comparison.md").read_text(encoding="utf-8")
    assert DEFAULT.read_text(encoding="utf-8") in text


def test_every_fault_of_a_profile_is_told_at_once() -> None:
    """Unknown keys, wrong values, missing keys and names that don't fit stand in one message, each with its place."""
    wrong = {
        "comparison_profile_schema_version": 2,
        "nmae": "x",
        "files": [
            {"name": "a", "match": "a//b", "read": "jsn", "presence": "required", "volatle": ["x"]},
            {"name": "b", "match": "../b", "read": "bytes", "presence": "always", "volatile": ["x"]},
            {"name": "c", "match": "c", "read": "csv_records", "presence": "required", "order": "yes"},
            {"name": "d", "match": "d", "read": "json_object", "presence": "required", "run_id": ["**.id"],
             "numbers": {"a..b": {"absolut": 1, "relative": -1}}, "expects": {}},
            7,
        ],
    }  # fmt: skip
    with pytest.raises(DeclarationFault) as caught:
        load(encoded(wrong), "mine.json")
    text = "\n".join(caught.value.faults)
    assert "mine.json is no comparison profile" in caught.value.what
    for part in (
        "the profile: has the unknown key nmae; did you mean name?",
        "the profile: lacks name",
        "comparison_profile_schema_version: must be 1",
        "files[0].match: must be a pattern relative to the run",
        "files[0].read: must be one of json_object",
        "files[0]: has the unknown key volatle; did you mean volatile?",
        "files[1].match: must be a pattern",
        "files[1].presence: must be one of required",
        "files[1].volatile: makes no sense for bytes",
        "files[2]: lacks identify",
        "files[2].order: must be true or false",
        "files[3].run_id[0]: **.id: ** is not possible here",
        "files[3].numbers: a..b has an empty part",
        "files[3].numbers.a..b: has the unknown key absolut; did you mean absolute?",
        "files[3].numbers.a..b.relative: must be a number, 0 or more",
        "files[3].expects: must be an object with something in it",
        "files[4]: must be an object",
    ):
        assert part in text, text


def test_rules_that_name_each_other_must_fit() -> None:
    """Counting the records of an unknown file, or of one that has none, is refused, and so is a name twice."""
    with pytest.raises(DeclarationFault) as caught:
        profile(name="heap", counts={"a": "nothing", "b": "blob"})
    assert set(caught.value.faults) == {
        "files: 2 of them are named heap",
        "heap: counts the records of nothing, which is none of the files",
        "heap: counts the records of blob, which has none",
    }


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"name": "a", "name": "b"}', b"\xff"])
def test_what_is_no_profile_is_refused(raw: bytes) -> None:
    """Bytes that are no JSON object, or say a thing twice, are refused with the file's name."""
    with pytest.raises(DeclarationFault, match=r"mine\.json is no comparison profile"):
        load(raw, "mine.json")


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (b'{"n": 1}', b'{"n": 1.0}', True),
        (b'{"n": 1e2}', b'{"n": 100}', True),
        (b'{"n": 9007199254740992}', b'{"n": 9007199254740993}', False),
        (b'{"n": 0.1}', b'{"n": 0.10000000000000000001}', False),
        (b'{"n": 1}', b'{"n": true}', False),
        (b'{"n": 1}', b'{"n": "1"}', False),
        (b'{"n": null}', b"{}", False),
        (b'{"n": "\\u00e9"}', b'{"n": "e\\u0301"}', False),
        (b'{"a": 1, "b": 2}', b'{"b": 2, "a": 1}', True),
        (b'{"n": [1, 2]}', b'{"n": [2, 1]}', False),
        (b'{"n": 1e999999}', b'{"n": 1e999998}', False),
    ],
)
def test_values_are_compared_exactly(one: bytes, other: bytes, alike: bool) -> None:
    """Numbers by their value without rounding, texts by their characters without normalisation, types apart."""
    assert (not facts(one, other)) is alike
    assert (not facts(other, one)) is alike


def test_a_relative_tolerance_is_the_same_from_both_sides() -> None:
    """One percent of the larger is allowed whichever side is larger; far beyond any number nothing is."""
    numbers = {"n": {"relative": 0.01}}
    assert not facts({"n": 100}, {"n": 101.005}, numbers=numbers)
    assert not facts({"n": 101.005}, {"n": 100}, numbers=numbers)
    assert facts({"n": 100}, {"n": 101.1}, numbers=numbers)
    assert facts(b'{"n": 1e999999}', b'{"n": 1.001e999999}', numbers=numbers)


def test_a_pattern_means_one_part_of_a_path_and_two_stars_any_number() -> None:
    """Volatile patterns cover exactly what they say; a dot of a name is written with a backslash."""
    one, other = {"a": {"at": 1, "b": {"at": 1}}, "x.y": 1}, {"a": {"at": 2, "b": {"at": 2}}, "x.y": 2}
    assert [each.where for each in facts(one, other, volatile=["*.at"])] == ["a.b.at", "x\\.y"]
    assert [each.where for each in facts(one, other, volatile=["**.at"])] == ["x\\.y"]
    assert not facts(one, other, volatile=["**.at", "x\\.y"])


def test_a_keyed_list_is_compared_by_names_not_by_ranks() -> None:
    """Elements that have names are matched by them; without the key the same change reads as two."""
    one = {"list": [{"id": "a", "v": 1}, {"id": "b", "v": 2}]}
    other = {"list": [{"id": "b", "v": 2}, {"id": "a", "v": 3}]}
    keyed = facts(one, other, keyed={"list": ["id"]})
    assert [(each.where, each.left, each.right) for each in keyed] == [("list.id=a.v", "1", "3")]
    assert len(facts(one, other)) == 4


def test_a_file_about_the_whole_run_counts_the_records_of_every_pair() -> None:
    """A count in a file of the whole run is the sum over all pairs; in a file of one pair it is that pair's."""
    jobs = {"match": "*/*/jobs.json", "read": "json_records", "presence": "paired", "identify": ["id"]}
    total = {"match": "**/total.json", "read": "json_object", "presence": "paired", "counts": {"n": "jobs"}}
    of_pair = {**total, "match": "*/*/total.json"}
    rules = [{"name": "jobs", **jobs}, {"name": "of_pair", **of_pair}, {"name": "total", **total}]
    counting = load(encoded({**MINIMAL, "files": rules}), "counting.json")
    shelf = {
        "a/b/jobs.json": b'[{"id": "x"}, {"id": "y"}]', "a/b/total.json": b'{"n": 2}',
        "c/d/jobs.json": b'[{"id": "x"}]', "c/d/total.json": b'{"n": 1}', "total.json": b'{"n": 3}',
    }  # fmt: skip
    assert not compare(Shelf(shelf), Shelf(shelf), counting).differences
    wrong = {name: body.replace(b'"n": 3', b'"n": 2').replace(b'"n": 1', b'"n": 3') for name, body in shelf.items()}
    found = compare(Shelf(shelf), Shelf(wrong), counting).differences
    assert [(each.file, each.because) for each in found if each.kind == "fault"] == [
        ("c/d/total.json", "c/d/jobs.json has 1 records"),
        ("total.json", "a/b/jobs.json, c/d/jobs.json has 3 records"),
    ]


def test_bytes_are_compared_as_bytes() -> None:
    """A file that is read as bytes differs as a whole, told by size and hash."""
    left, right = (Shelf({"facts.json": b"{}", "a/b/c.bin": body}) for body in (b"one", b"other"))
    (found,) = compare(left, right, profile()).differences
    assert (found.file, found.kind, found.weight) == ("a/b/c.bin", "changed", "content")
    assert str(found.left).startswith("3 bytes, sha256 ")


def test_a_file_that_vanishes_between_listing_and_reading_is_a_fault() -> None:
    """What was listed and can't be read any more is never passed over."""

    @frozen
    class Vanishing(Shelf):
        def read(self, names: Sequence[str]) -> Mapping[str, bytes]:
            """Return nothing."""
            return dict.fromkeys(names[:0], b"")

    found = compare(Shelf({"facts.json": b"{}"}), Vanishing({"facts.json": b"{}"}), profile())
    assert [(each.kind, each.weight) for each in found.differences] == [("fault", "integrity")]


# --- what holds for all runs ----------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
RECORDS = st.dictionaries(
    st.text(min_size=1, max_size=4), st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3), max_size=6
).map(lambda named: [{**record, "id": name} for name, record in named.items()])
RUNS = st.builds(
    lambda document, jobs, heap: {
        "facts.json": json.dumps(document).encode(),
        "jobs.json": json.dumps(jobs).encode(),
        "heap.json": json.dumps(heap).encode(),
    },
    st.dictionaries(st.text(max_size=4), VALUES, max_size=4),
    RECORDS,
    RECORDS,
)
MINIMAL_PROFILE = profile()


@given(RUNS)
@settings(deadline=None)
def test_a_run_is_the_same_as_itself(files: Files) -> None:
    """Whatever a valid run holds, comparing it with itself, or with itself written otherwise, finds nothing."""
    again = {name: json.dumps(json.loads(body), indent=3).encode() for name, body in files.items()}
    assert compare(Shelf(files), Shelf(files), MINIMAL_PROFILE).verdict == "none"
    found = compare(Shelf(files), Shelf(again), MINIMAL_PROFILE)
    assert not found.differences
    assert found.exit_code == 0


@given(RUNS, RUNS)
@settings(max_examples=200, deadline=None)
def test_seen_from_the_other_side_every_difference_is_mirrored(files: Files, others: Files) -> None:
    """Exchanging the sides exchanges missing and extra, left and right, and changes neither verdict nor number."""
    found = compare(Shelf(files), Shelf(others), MINIMAL_PROFILE)
    back = compare(Shelf(others), Shelf(files), MINIMAL_PROFILE)
    assert found.verdict == back.verdict

    def but_order(differences: Sequence[Difference]) -> set[Difference]:
        return {each for each in differences if each.kind != "order"}

    assert but_order(found.differences) == {each.mirrored for each in but_order(back.differences)}
    # Which of two records moved past the other is a matter of view; how many moved is not.
    assert found.counts["content"]["order"] == back.counts["content"]["order"]


@given(RUNS, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_a_permutation_differs_in_order_only_and_only_where_order_matters(files: Files, random: Any) -> None:
    """Shuffled records are differences of order in the file whose order matters, and none in the other."""
    jobs, heap = json.loads(files["jobs.json"]), json.loads(files["heap.json"])
    before = [each["id"] for each in jobs]
    random.shuffle(jobs)
    random.shuffle(heap)
    shuffled = {**files, "jobs.json": json.dumps(jobs).encode(), "heap.json": json.dumps(heap).encode()}
    found = compare(Shelf(files), Shelf(shuffled), MINIMAL_PROFILE)
    assert {(each.file, each.kind) for each in found.differences} <= {("jobs.json", "order")}
    assert bool(found.differences) == (before != [each["id"] for each in jobs])


@given(st.binary(max_size=60) | RUNS.map(lambda files: files["jobs.json"][:-1]))
@settings(deadline=None)
def test_no_bytes_break_the_comparison(raw: bytes) -> None:
    """Any bytes whatsoever give a verdict that can be written into a journal, never an error."""
    files = {"facts.json": raw, "jobs.json": raw, "heap.json": raw}
    valid = {"facts.json": b"{}", "jobs.json": b"[]", "heap.json": b"[]"}
    found = compare(Shelf(files), Shelf(valid), MINIMAL_PROFILE)
    assert json.dumps(found.record, ensure_ascii=False, allow_nan=False).encode()
    assert list(found.lines())


# --- before anything is frozen -------------------------------------------------------------------------------


class Counting(DirectStore):
    """A store that notes which objects are read whole."""

    def __init__(self, cloud: Cloud, bucket: str) -> None:
        super().__init__(cloud, bucket)
        self.read: list[str] = []

    def get_many(
        self, keys: Iterable[str], *, check: Check | None = None, largest_bytes: int = 1 << 20
    ) -> Iterator[tuple[str, Blob | None]]:
        """Note the keys, and read them."""
        self.read += (named := list(keys))
        return super().get_many(named, check=check, largest_bytes=largest_bytes)

    def hash_many(self, keys: Iterable[str], *, check: Check | None = None) -> Iterator[Hashed]:
        """Note the keys, and hash them."""
        self.read += (named := list(keys))
        return super().hash_many(named, check=check)


def test_drs_run_is_read_once_for_its_verification_and_the_comparison_profile(cloud: Cloud, bench: Bench) -> None:
    """Facts of one reading share what was read of each file; another reading reads everything again."""
    facts = {"comparison_profile": comparison.PROFILE, "dr_run": publish.CANONICAL}
    store, files = Counting(cloud, BUCKET), set(bench.dr.names())
    inputs = {"comparison_profile": "", "provider": "openai", "profile": "cs"}
    for run in (failback(**inputs), failback(**inputs)):
        store.read.clear()
        seen = {name: facts[name].observe(World(store), run) for name in sorted(facts)}
        assert sorted(store.read) == sorted(f"jobintel/runs/{DR}/{name}" for name in files)
        alone = facts["dr_run"].observe(World(store), failback(**inputs))
        assert seen["dr_run"] == alone
        assert facts["dr_run"].judge(seen["dr_run"], run.inputs) == "verified"
        assert facts["comparison_profile"].judge(seen["comparison_profile"], run.inputs) == "fits"
