"""What the real workload publishes is verified and compared as it is: five files of a pair, and no report beside."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drfsm.cli.main import run as drfsm
from drfsm.dr import workload
from drfsm.dr.artifacts.compare import DirectoryRun, compare, default_profile, load, never_passes, profile_of
from drfsm.dr.artifacts.verification import verify_local
from drfsm.dr.control_plane import Bundle
from drfsm.dr.pointers import pointers
from drfsm.errors import Unreadable

CONTRACT = workload.shipped()
RUN = "2026-11-28T08:02:45Z"
PAIR = ("openai", "cs")
TOP, SHORTLIST = "openai/cs/openai_top.cs.md", "openai/cs/openai_shortlist.cs.md"
JOBS = [{"job_id": "a", "score": 35, "title": "Engineer"}, {"job_id": "b", "score": 29, "title": "Manager"}]
BODIES = (
    json.dumps(JOBS).encode(),
    b"job_id,score,title\na,35,Engineer\nb,29,Manager\n",
    json.dumps(JOBS).encode(),
    b"# Shortlist\n\nMin score: **40**\n\n## Changes since last run\nNo previous run to diff against.\n",
    b"# Top Jobs\n\n## Engineer - 35\n",
)


def publish(home: Path, **changed: bytes | None) -> Path:
    """Lay down a run of the real shape: its five files; ``changed`` by the end of a name, None for a missing one."""
    for path, body in zip(CONTRACT.required(PAIR), BODIES, strict=True):
        content = next((new for end, new in changed.items() if end in path), body)
        if content is not None:
            (home / path).parent.mkdir(parents=True, exist_ok=True)
            (home / path).write_bytes(content)
    return home


def report(**more: Any) -> dict[str, Any]:
    """Return the report of such a run, its paths relative to the workload's data folder."""
    entries = {
        f"openai:cs:{number}": {
            "path": f"ashby_cache/{path.rpartition('/')[2]}",
            "sha256": hashlib.sha256(body).hexdigest(),
            "bytes": len(body),
        }
        for number, (path, body) in enumerate(zip(CONTRACT.required(PAIR), BODIES, strict=True))
    }
    return {"run_id": RUN, "status": "success", "success": True, "verifiable_artifacts": entries, **more}


def remove(*runs: Path) -> None:
    """Take a required file away from runs."""
    for run in runs:
        (run / TOP).unlink()


# --- the recorded runs --------------------------------------------------------------------------------------


def test_the_recorded_runs_are_verified_and_the_same(real_workload: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Offline, by the shipped contract: observed by itself, 5 of 5 with the recorded report, and alike."""
    one, other = sorted((real_workload / "s3" / "runs").iterdir())
    (recorded,) = (real_workload / "local" / "runs").glob("*/run_report.json")
    assert drfsm(["runs", "verify", "--offline", str(one)]) == 0
    assert drfsm(["runs", "verify", one.name, "--offline", str(one), "--run-report", str(recorded)]) == 0
    assert "verified (5 of 5 artifacts read, level declared)" in capsys.readouterr().out
    assert drfsm(["runs", "compare", "--offline", str(one), str(other)]) == 0
    assert "same: 0 differences of integrity, 0 of content; 5 files compared" in capsys.readouterr().out
    assert never_passes(DirectoryRun(one, one.name), default_profile(), CONTRACT) == ()


# --- verified -----------------------------------------------------------------------------------------------


def test_what_the_contract_requires_is_missed_without_any_report(tmp_path: Path) -> None:
    """Five files are a whole run; four are not, and the missing one is named."""
    whole = verify_local(publish(tmp_path / "whole"), CONTRACT)
    assert (whole.verdict, whole.level, whole.expected) == ("verified", "observed", 5)
    lacking = verify_local(publish(tmp_path / "lacking", top=None), CONTRACT)
    assert [(problem.path, problem.kind) for problem in lacking.problems] == [(TOP, "missing")]
    assert verify_local(publish(tmp_path / "none"), CONTRACT, pairs=[("acme", "de")]).verdict == "missing"


UPPER = {name: {**entry, "sha256": entry["sha256"].upper()} for name, entry in report()["verifiable_artifacts"].items()}
REPORTS: dict[str, tuple[bytes, str]] = {
    "one with the paths of the data folder": (json.dumps(report()).encode(), "verified"),
    "one with digests in upper case": (json.dumps(report(verifiable_artifacts=UPPER)).encode(), "verified"),
    "one that says that the run failed": (json.dumps(report(status="failed")).encode(), "damaged"),
    "one that says that the run was no success": (json.dumps(report(success=False)).encode(), "damaged"),
    "another run's": (json.dumps(report(run_id="2026-11-28T08:05:17Z")).encode(), "damaged"),
    "one with NaN": (json.dumps(report(cost=float("nan"))).encode(), "damaged"),
    "one with a key twice": (json.dumps(report())[:-1].encode() + b', "status": "success"}', "damaged"),
    "one with a byte order mark": (b"\xef\xbb\xbf" + json.dumps(report()).encode(), "damaged"),
}


@pytest.mark.parametrize(("body", "verdict"), REPORTS.values(), ids=REPORTS)
def test_a_report_is_read_as_the_contract_says(body: bytes, verdict: str, tmp_path: Path) -> None:
    """Its paths lead to the run's files; one that two readers could understand differently is refused."""
    verification = verify_local(publish(tmp_path / "run"), CONTRACT, run_id=RUN, report=body)
    assert (verification.verdict, verification.level) == (verdict, "declared")


# --- compared -----------------------------------------------------------------------------------------------

OTHER_SCORING = json.dumps(report(scoring_model={"config_sha256": "b" * 64})).encode()
SCORING = json.dumps(report(scoring_model={"config_sha256": "a" * 64})).encode()
Change = Callable[[Path, Path], object]
COMPARED: dict[str, tuple[Change, str, str]] = {
    "nothing differs": (lambda _one, _other: None, "none", ""),
    "only one run lacks a required file": (lambda one, _other: remove(one), "integrity", ""),
    "neither run has a required file": (
        remove, "none", "neither run has it"
    ),
    "the shortlist tells another history": (
        lambda one, _other: (one / SHORTLIST).write_bytes(BODIES[3] + b"New: 3\n"), "none", ""
    ),
    "the shortlist has another job": (
        lambda one, _other: (one / SHORTLIST).write_bytes(b"## Engineer\n" + BODIES[3]), "content", ""
    ),
    "another scoring configuration": (
        lambda one, other: (
            (one / "run_report.json").write_bytes(SCORING), (other / "run_report.json").write_bytes(OTHER_SCORING)
        ),
        "integrity", "not compared: candidate, provider registry (",
    ),
    "only one run has a report": (
        lambda one, _other: (one / "run_report.json").write_bytes(SCORING), "none", "scoring configuration"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "verdict", "remark"), COMPARED.values(), ids=COMPARED)
def test_two_runs_are_compared_by_what_the_workload_publishes(
    change: Change, verdict: str, remark: str, tmp_path: Path
) -> None:
    """What made a run and what only one run lacks blocks; what nobody can tell is a remark, and blocks nothing."""
    one, other = publish(tmp_path / "one"), publish(tmp_path / "other")
    change(one, other)
    comparison = compare(DirectoryRun(one), DirectoryRun(other), profile_of(CONTRACT), CONTRACT)
    assert comparison.verdict == verdict
    assert remark in "; ".join(comparison.remarks)


def test_a_profile_that_no_run_could_pass_is_found_on_one_run(tmp_path: Path) -> None:
    """A run that doesn't pass against itself passes against none: told before anything is frozen."""
    rule = {"name": "jobs", "match": "*/*/*_ranked_jobs.*.json", "read": "json_object", "presence": "required"}
    text = {"comparison_profile_schema_version": 1, "name": "wrong", "files": [rule]}
    wrong = load(json.dumps(text).encode(), "wrong.json")
    (why,) = never_passes(DirectoryRun(publish(tmp_path / "run"), label="dr"), wrong, CONTRACT)
    assert "where an object is expected" in why


def test_another_workloads_files_are_compared_by_their_values(tmp_path: Path) -> None:
    """A contract without a profile of its own: JSON by its values, all else by its bytes."""
    weather = workload.read(
        "workload: weather\nswitches: {on: {P: 1}, off: {P: 0}}\n"
        "variables: {bucket: B, prefix: X, run_id: R}\nfiles: {required: ['{provider}.json', '{profile}.txt']}\n"
    )
    for name, json_text, text in (("one", b'{"a": 1}', b"x"), ("other", b'{ "a":1 }', b"y")):
        home = tmp_path / name / "north" / "rain"
        home.mkdir(parents=True)
        (home / "north.json").write_bytes(json_text)
        (home / "rain.txt").write_bytes(text)
    one, other = DirectoryRun(tmp_path / "one"), DirectoryRun(tmp_path / "other")
    comparison = compare(one, other, profile_of(weather), weather)
    assert [difference.file for difference in comparison.differences] == ["north/rain/rain.txt"]


MODEL: dict[str, Any] = {
    "config_sha256": "a" * 64,
    "code_sha256": "b" * 64,
    "inputs": [
        {"path": "config/scoring.v1.json", "pointer_type": "scoring_config", "sha256": "c" * 64},
        {"path": "data/ashby_cache/openai_enriched_jobs.json", "pointer_type": "selected", "sha256": "d" * 64},
    ],
}
CONFIG, DATA = MODEL["inputs"]
MADE: dict[str, tuple[dict[str, Any], str]] = {
    "alike": ({}, "none"),
    "another scoring code": ({"scoring_model": {**MODEL, "code_sha256": "0" * 64}}, "integrity"),
    "a file of its configuration": (
        {"scoring_model": {**MODEL, "inputs": [{**CONFIG, "sha256": "0" * 64}, DATA]}}, "integrity"
    ),
    "a file of its configuration that is gone": ({"scoring_model": {**MODEL, "inputs": [DATA]}}, "integrity"),
    "its files in another order": ({"scoring_model": {**MODEL, "inputs": [DATA, CONFIG]}}, "none"),
    "other data, which is live input": (
        {"scoring_model": {**MODEL, "inputs": [CONFIG, {**DATA, "sha256": "0" * 64}]}}, "content"
    ),
    "another fingerprint of the flags": ({"config_fingerprint": "0" * 64}, "content"),
    "digests in upper case": (
        {"scoring_model": {**MODEL, "config_sha256": "A" * 64}, "config_fingerprint": "E" * 64}, "none"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changed", "verdict"), MADE.values(), ids=MADE)
def test_what_made_a_run_is_integrity_and_what_it_was_fed_is_content(
    changed: dict[str, Any], verdict: str, tmp_path: Path
) -> None:
    """No decision lets a run through that was made with another scoring, in whatever case its digests are written."""
    made = {"scoring_model": MODEL, "config_fingerprint": "e" * 64}
    one, other = publish(tmp_path / "one"), publish(tmp_path / "other")
    (one / "run_report.json").write_text(json.dumps(report(**made)))
    (other / "run_report.json").write_text(json.dumps(report(**{**made, **changed})))
    assert compare(DirectoryRun(one), DirectoryRun(other), profile_of(CONTRACT), CONTRACT).verdict == verdict


# --- pointers, and the control plane ------------------------------------------------------------------------


def test_a_set_of_only_older_pointers_is_told_as_that() -> None:
    """An older version of the workload writes the older keys alone: nobody was killed."""
    named = {"run_id": RUN, "ended_at": RUN}
    seen = {"decides": "state/x", "pointers": {"new/x": None, "state/x": named}, "older": ["state/x"]}
    judge = pointers.FACTS["pointer_set"].judge
    assert judge(seen, {}) == "older_only"
    assert judge({**seen, "pointers": {"new/x": named, "state/x": None}}, {}) == "torn"
    assert judge({**seen, "pointers": {"new/x": named, "state/x": named}}, {}) == "whole"


def test_a_pointers_fields_have_the_workloads_names_outside() -> None:
    """Inside drfsm they have drfsm's; a pointer that says a field under both names can't be relied on."""
    small = "workload: w\nswitches: {on: {P: 1}, off: {P: 0}}\nvariables: {bucket: B, prefix: X, run_id: R}\n"
    form = workload.read(small + "files: {required: [a]}\npointers: {fields: {run_id: run}}\n").pointers
    inside = {"run_id": RUN, "provider_profiles": {"openai:cs": RUN}}
    outside = form.outward(inside)
    assert outside == {"run": RUN, "provider_profiles": {"openai:cs": RUN}}
    assert pointers.fields(json.dumps(outside).encode(), "k", form) == inside
    with pytest.raises(Unreadable, match="under the workload's names and under drfsm's"):
        pointers.fields(json.dumps({**outside, "run_id": RUN}).encode(), "k", form)


def test_a_registry_is_no_candidate() -> None:
    """The numbers of a bundle are of what its files hold, not of the files."""
    sections = {
        "candidates": {"registry.json": b"{}", "local/candidate_profile.json": b"{}", "ana/a.json": b"", "ana/b": b""},
        "alerts": {"alerts.json": b'{"alerts": [{"name": "x"}, {"name": "y"}]}'},
        "providers": {"providers.json": b'{"providers": [{"provider_id": "openai"}]}', "one.json": b"{}"},
        "scoring": {"scoring.v1.json": b"{}"},
    }
    bundle = Bundle("", "", b"", sections)
    assert bundle.numbers == {"candidates": 2, "alerts": 2, "providers": 2, "scoring": 1}
