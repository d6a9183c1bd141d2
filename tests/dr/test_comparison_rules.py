"""What two runs differ in, and what each difference weighs: every rule of a profile, in memory.

Each case says in its name what was done to the right run, and beside it how heavy that is. All lines of all cases are
in tests/data/transcripts/comparison.txt; ``DRFSM_REGENERATE=1`` writes it anew: explain the diff before you commit it.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from drfsm.dr.artifacts.compare import compare, load, never_passes
from drfsm.dr.artifacts.compare.outcome import Comparison, Difference
from drfsm.dr.artifacts.compare.sources import LARGEST_FILE_BYTES

TRANSCRIPT = Path(__file__).parents[1] / "data" / "transcripts" / "comparison.txt"
Files = dict[str, bytes]
PROFILE = load(
    json.dumps(
        {
            "comparison_profile_schema_version": 1,
            "name": "every rule",
            "files": [
                {
                    "name": "jobs", "match": "*/*/jobs.json", "read": "json_records", "presence": "required",
                    "identify": ["id", "url"], "order": True, "integrity": ["sha", "deep.**"], "volatile": ["at*"],
                    "numbers": {"score": {"absolute": 0.01}, "*_share": {"relative": 0.1, "absolute": 0.001}},
                },
                {
                    "name": "table", "match": "*/*/jobs.csv", "read": "csv_records", "presence": "paired",
                    "identify": ["id"], "order": True, "as_many_as": "jobs", "delimiter": ";", "integrity": ["sha"],
                    "numbers": {"score": {"absolute": 0.01}},
                },
                {
                    "name": "unordered", "match": "*/*/loose.json", "read": "json_records", "presence": "optional",
                    "identify": ["id"],
                },
                {
                    "name": "summary", "match": "*/*/summary.json", "read": "json_object", "presence": "required",
                    "run_id": ["run_id", "runs.*"],
                    "expects": {"status": ["ok", "fine"], "kind": "full", "all.*": "yes"},
                    "counts": {"number": "jobs", "rows": "table", "loose": "unordered"},
                    "describes": ["files.*"], "integrity": ["*version"],
                    "made_with": {"model": ["model.sha", "model_sha"], "rules": ["rules_sha"]},
                    "volatile": ["at", "times", "files.*.bytes"], "keyed": {"parts": ["name"]},
                },
                {"name": "notes", "match": "notes.txt", "read": "text", "presence": "optional", "until": "--"},
                {"name": "blob", "match": "blob.bin", "read": "bytes", "presence": "paired"},
                {"name": "any", "match": "any.json", "read": "json", "presence": "optional"},
                {
                    "name": "report", "match": "report.json", "read": "json_object", "presence": "optional",
                    "succeeded": {"status": "success", "each.*": "done"}, "describes": ["made.*"],
                },
            ],
        }
    ).encode(),
    "the profile of this test",
)  # fmt: skip
JOBS, TABLE, LOOSE, SUMMARY = (f"p/c/{name}" for name in ("jobs.json", "jobs.csv", "loose.json", "summary.json"))
RECORDS: list[dict[str, Any]] = [
    {"id": "a", "score": 1.5, "a_share": 10, "sha": "x", "deep": {"er": [1, 2]}, "at": "noon", "words": ["u", "v"]},
    {"id": "b", "score": 1.4, "a_share": 20, "sha": "y", "more": None},
    {"url": "c", "score": 1.3, "flag": True, "number": 1, "text": "1"},
]


def files_of(run_id: str) -> Files:
    """Return the files of a run in which all is well."""
    jobs = json.dumps(RECORDS).encode()
    table = b"id;score;sha\na;1.5;x\nb;1.4;y\nc;1.3;z\n"
    summary = {
        "run_id": run_id, "runs": [run_id, run_id], "status": "ok", "kind": "full", "all": ["yes", "yes"],
        "number": 3, "rows": 3, "loose": 2, "schema_version": 1, "at": run_id,
        "model": {"sha": "AB" * 32}, "parts": [{"name": "u", "size": 1}, {"name": "v", "size": 2}], "list": [1, 2],
        "files": {
            "jobs": {"path": "/work/p/c/jobs.json", "bytes": len(jobs)}, "gone": {"path": "p/c/gone.json", "bytes": 1},
        },
    }  # fmt: skip
    return {
        JOBS: jobs, TABLE: table, LOOSE: b'[{"id": "a"}, {"id": "b"}]', SUMMARY: json.dumps(summary).encode(),
        "notes.txt": b"first\nsecond\n-- changes\nof today", "blob.bin": b"\x00\x01", "any.json": b"[1, 2]",
        "report.json": b'{"status": "success", "each": ["done", "done"]}', "unknown.txt": b"nobody knows",
    }  # fmt: skip


@frozen
class MemoryRun:
    """A run in memory."""

    files: Files
    run_id: str | None
    label: str = "left"
    where: str = "memory"
    sizes: Mapping[str, int] = {}

    def names(self) -> Mapping[str, int]:
        """Return what is there; a size may be said to be another."""
        return {**{name: len(body) for name, body in self.files.items() if body != b"gone"}, **self.sizes}

    def read(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """Return what is still there."""
        return {name: self.files[name] for name in names if self.files.get(name, b"late") != b"late"}


Edit = Callable[[Files], Any]


def said(name: str, **changed: Any) -> Edit:
    """Return the edit that says something else in a JSON object; None takes it out."""

    def edit(files: Files) -> None:
        kept = {**json.loads(files[name]), **changed}
        files[name] = json.dumps({key: value for key, value in kept.items() if value != "(out)"}).encode()

    return edit


def record(number: int, /, **changed: Any) -> Edit:
    """Return the edit that says something else in a record."""

    def edit(files: Files) -> None:
        records = json.loads(files[JOBS])
        kept = {**records[number], **changed}
        records[number] = {key: value for key, value in kept.items() if value != "(out)"}
        _write(files, records)

    return edit


def records(change: Callable[[list[dict[str, Any]]], Any]) -> Edit:
    """Return the edit that changes the list of records."""

    def edit(files: Files) -> None:
        kept = json.loads(files[JOBS])
        _write(files, change(kept) or kept)

    return edit


def _write(files: Files, kept: list[dict[str, Any]]) -> None:
    files[JOBS] = json.dumps(kept).encode()
    summary = json.loads(files[SUMMARY])
    summary["files"]["jobs"]["bytes"] = len(files[JOBS])
    files[SUMMARY] = json.dumps(summary).encode()


def body(name: str, raw: bytes) -> Edit:
    """Return the edit that writes a file."""
    return lambda files: files.update({name: raw})


def without(*names: str) -> Edit:
    """Return the edit that takes files out."""
    return lambda files: [files.pop(name) for name in names]


INTEGRITY, CONTENT, NONE = "integrity", "content", "none"
MIB = 1 << 20
CASES: dict[str, tuple[Edit, str]] = {
    "nothing": (lambda _files: None, NONE),
    # records
    "a number that differs by less than it may": (record(0, score=1.509), NONE),
    "a number that differs by as much as it may": (record(0, score=1.51), NONE),
    "a number that differs by more than it may": (record(0, score=1.511), CONTENT),
    "a share that differs by less than a tenth": (record(0, a_share=11), NONE),
    "a share that differs by more than a tenth": (record(0, a_share=11.2), CONTENT),
    "a number that is exact": (record(2, number=2), CONTENT),
    "a number as a text": (record(2, number="1"), CONTENT),
    "a text as a number": (record(2, text=1), CONTENT),
    "a truth as a number": (record(2, flag=1), CONTENT),
    "a number written in another way": (record(2, number=1.0), NONE),
    "a field that may differ": (record(0, at="midnight"), NONE),
    "a field of integrity": (record(0, sha="z"), INTEGRITY),
    "a field of integrity that is gone": (record(0, sha="(out)"), INTEGRITY),
    "a field of integrity deep inside": (record(0, deep={"er": [1, 3]}), INTEGRITY),
    "a list that is longer": (record(0, words=["u", "v", "w"]), CONTENT),
    "a list in another order": (record(0, words=["v", "u"]), CONTENT),
    "a field that is null instead of gone": (record(0, more=None), CONTENT),
    "a null that is gone": (record(1, more="(out)"), CONTENT),
    "an object where a text was": (record(1, sha={"x": 1}), INTEGRITY),
    "a record that is gone": (lambda files: (records(lambda kept: kept[:2])(files), said(SUMMARY, number=2)(files)),
                              INTEGRITY),
    "two records in another order": (records(lambda kept: kept[1::-1] + kept[2:]), CONTENT),
    "the first record moved to the end": (records(lambda kept: kept[1:] + kept[:1]), CONTENT),
    "two records of one name": (record(1, id="a"), INTEGRITY),
    "a record without a name": (record(1, id="(out)"), INTEGRITY),
    "a record named by its second key": (record(0, id="(out)", url="a"), CONTENT),
    "a record named by a number": (record(0, id=7), CONTENT),
    "a record named by a truth": (record(0, id=True), INTEGRITY),
    "a record with an empty name": (record(0, id=""), INTEGRITY),
    "six records of one name": (
        records(lambda kept: [{**kept[0], "score": 1} for _ in range(6)] + kept[1:]), INTEGRITY,
    ),
    "two more records, in order": (records(lambda kept: [*kept, {"id": "d"}, {"id": "e"}]), INTEGRITY),
    "all records the other way round": (records(lambda kept: kept[::-1]), CONTENT),
    "two more fields, in order": (record(0, new=1, newer=2), CONTENT),
    "an escape for a terminal": (record(0, words="\x1b[2J"), CONTENT),
    # a table
    "a cell that differs by less than it may": (body(TABLE, b"id;score;sha\na;1.505;x\nb;1.4;y\nc;1.3;z\n"), NONE),
    "a cell that is no number": (body(TABLE, b"id;score;sha\na;high;x\nb;1.4;y\nc;1.3;z\n"), CONTENT),
    "a cell of integrity": (body(TABLE, b"id;score;sha\na;1.5;z\nb;1.4;y\nc;1.3;z\n"), INTEGRITY),
    "a column that is gone": (body(TABLE, b"id;sha\na;x\nb;y\nc;z\n"), INTEGRITY),
    "a column that came": (body(TABLE, b"id;score;sha;new\na;1.5;x;1\nb;1.4;y;1\nc;1.3;z;1\n"), INTEGRITY),
    "columns in another order": (body(TABLE, b"id;sha;score\na;x;1.5\nb;y;1.4\nc;z;1.3\n"), CONTENT),
    "cells of which one is no number on either side": (
        body(TABLE, b"id;score;sha\na;;x\nb;1.4;y\nc;1.3;z\n"), CONTENT,
    ),
    "a header whose second column is named thrice": (body(TABLE, b"id;x;x;x\na;1;2;3\n"), INTEGRITY),
    "rows in another order": (body(TABLE, b"id;score;sha\nb;1.4;y\na;1.5;x\nc;1.3;z\n"), CONTENT),
    "another end of lines": (body(TABLE, b"id;score;sha\r\na;1.5;x\r\nb;1.4;y\r\n\r\nc;1.3;z\r\n"), NONE),
    "fewer rows than records": (body(TABLE, b"id;score;sha\na;1.5;x\nb;1.4;y\n"), INTEGRITY),
    "a row that is too short": (body(TABLE, b"id;score;sha\na;1.5\nb;1.4;y\nc;1.3;z\n"), INTEGRITY),
    "a header that names a column twice": (body(TABLE, b"id;id;sha\na;1.5;x\n"), INTEGRITY),
    "an empty table": (body(TABLE, b""), INTEGRITY),
    "a quote that never ends": (body(TABLE, b'id;score;sha\na;"1.5;x\n'), INTEGRITY),
    "loose records in another order": (body(LOOSE, b'[{"id": "b"}, {"id": "a"}]'), NONE),
    # what a run says of itself
    "the id of another run": (said(SUMMARY, run_id="another"), INTEGRITY),
    "the id of another run in a list": (said(SUMMARY, runs=["run-2", "another"]), INTEGRITY),
    "an id that is no text": (said(SUMMARY, run_id=7), INTEGRITY),
    "a list of ids that is gone": (said(SUMMARY, runs=[]), INTEGRITY),
    "a word in a list of what must be": (said(SUMMARY, all=["yes", "no"]), INTEGRITY),
    "two wrong words in a list of what must be": (said(SUMMARY, all=["no", "never"]), INTEGRITY),
    "another number of rows": (said(SUMMARY, rows=4), INTEGRITY),
    "no number of rows, and no other": (said(SUMMARY, rows="(out)", loose="(out)"), INTEGRITY),
    "two wrong numbers": (said(SUMMARY, number=5, loose=6), INTEGRITY),
    "no id of a run": (said(SUMMARY, run_id="(out)"), INTEGRITY),
    "another status that is well": (said(SUMMARY, status="fine"), CONTENT),
    "a status that is not well": (said(SUMMARY, status="failed"), INTEGRITY),
    "no status": (said(SUMMARY, status="(out)"), INTEGRITY),
    "another kind": (said(SUMMARY, kind="half"), INTEGRITY),
    "another number of records": (said(SUMMARY, number=4), INTEGRITY),
    "a truth as a number of records": (said(SUMMARY, number=True), INTEGRITY),
    "no number of records": (said(SUMMARY, number="(out)"), INTEGRITY),
    "another version": (said(SUMMARY, schema_version=2), INTEGRITY),
    "another time": (said(SUMMARY, at="later", times={"x": 1}), NONE),
    "parts in another order": (said(SUMMARY, parts=[{"name": "v", "size": 2}, {"name": "u", "size": 1}]), NONE),
    "a part of another size": (said(SUMMARY, parts=[{"name": "u", "size": 1}, {"name": "v", "size": 3}]), CONTENT),
    "parts of one name": (said(SUMMARY, parts=[{"name": "u", "size": 1}, {"name": "u", "size": 2}]), CONTENT),
    "a part that is no object": (said(SUMMARY, parts=[{"name": "u", "size": 1}, "v"]), CONTENT),
    "a list without names in another order": (said(SUMMARY, list=[2, 1]), CONTENT),
    "another model": (said(SUMMARY, model={"sha": "cd" * 32}), INTEGRITY),
    "the model's digest in lower case": (said(SUMMARY, model={"sha": "ab" * 32}), NONE),
    "no word of the model": (said(SUMMARY, model={"sha": None}), INTEGRITY),
    "the model said elsewhere": (said(SUMMARY, model={}, model_sha="AB" * 32), INTEGRITY),
    "a file described with another size": (said(SUMMARY, files={"jobs": {"path": JOBS, "bytes": 1}}), INTEGRITY),
    "a file described with another digest": (
        said(SUMMARY, files={"jobs": {"path": "elsewhere/jobs.json", "sha256": "0" * 64}}), INTEGRITY,
    ),
    "a file described without a path": (said(SUMMARY, files={"jobs": {"bytes": 1}}), INTEGRITY),
    "a description that is no object": (said(SUMMARY, files={"jobs": "jobs.json"}), INTEGRITY),
    "a report of no success": (said("report.json", status="failed"), INTEGRITY),
    "a report of one stage that failed": (said("report.json", each=["done", "failed"]), INTEGRITY),
    "a report of two stages that failed": (said("report.json", status="success", each=["x", "y"]), INTEGRITY),
    "a file described by the end of its path": (
        said(SUMMARY, files={"j": {"path": "blob.bin", "bytes": 3}}), INTEGRITY,
    ),
    "a file described by its name alone": (said(SUMMARY, files={"j": {"path": "/x/blob.bin", "bytes": 3}}), INTEGRITY),
    "a file described in upper case": (
        said(SUMMARY, files={"j": {"path": "blob.bin", "sha256": sha256(b"\x00\x01").hexdigest().upper()}}), CONTENT,
    ),
    "a report that says no status": (said("report.json", status="(out)"), NONE),
    "a report of a file that is another": (
        said("report.json", made={"x": {"path": "blob.bin", "bytes": 3}}), INTEGRITY,
    ),
    # files
    "a required file that is gone": (without(SUMMARY), INTEGRITY),
    "a paired file that is gone": (without("blob.bin"), INTEGRITY),
    "an optional file that is gone": (without("notes.txt"), NONE),
    "an unknown file that came": (body("another.txt", b"x"), NONE),
    "other bytes": (body("blob.bin", b"\x00\x02"), CONTENT),
    "another text": (body("notes.txt", b"first\nthird\n-- changes\nof today"), CONTENT),
    "another text after its end": (body("notes.txt", b"first\nsecond\n-- changes\nof tomorrow"), NONE),
    "a text without its end": (body("notes.txt", b"first\nsecond\nof today"), CONTENT),
    "another value": (body("any.json", b"[1, 3]"), CONTENT),
    "a value in other words": (body("any.json", b"[1.0,2]\n"), NONE),
    "a file that can't be read": (body("any.json", b"[1, 2"), INTEGRITY),
    "a byte order mark": (body("any.json", b"\xef\xbb\xbf[1, 2]"), INTEGRITY),
    "no UTF-8": (body("notes.txt", b"first\xff"), INTEGRITY),
    "a key twice": (body("report.json", b'{"status": "success", "status": "success"}'), INTEGRITY),
    "no number": (body("any.json", b"[1, NaN]"), INTEGRITY),
    "a number with too many digits": (body("any.json", b"[1, " + b"2" * 1001 + b"]"), INTEGRITY),
    "a number with as many digits as it may have": (body("any.json", b"[1, " + b"2" * 1000 + b"]"), CONTENT),
    "a number that is too big": (body("any.json", b"[1, 1e9999999999999999999]"), INTEGRITY),
    "a key twice, after others": (body("report.json", b'{"a": 1, "b": 2, "c": 3, "b": 4}'), INTEGRITY),
    "a text whose last line ends as its end begins": (
        body("notes.txt", b"first\nsecond\nthird --\n-- changes"), CONTENT,
    ),
    "too many levels": (body("any.json", b"[" * 101 + b"]" * 101), INTEGRITY),
    "as many levels as there may be": (body("any.json", b"[" * 100 + b"]" * 100), CONTENT),
    "an empty file": (body("any.json", b" "), INTEGRITY),
    "a list where an object is due": (body("report.json", b"[]"), INTEGRITY),
    "an object where records are due": (body(LOOSE, b"{}"), INTEGRITY),
    "a record that is no object": (body(LOOSE, b'[{"id": "a"}, 7]'), INTEGRITY),
    "a file that was listed and is gone": (body("blob.bin", b"late"), INTEGRITY),
    # runs that have nothing in common
    "nothing that matters": (without(JOBS, TABLE, SUMMARY, "blob.bin"), INTEGRITY),
    "another pair": (
        lambda files: files.update(
            {name.replace("p/c", "q/c"): files.pop(name) for name in (JOBS, TABLE, LOOSE, SUMMARY)}
        ),
        INTEGRITY,
    ),
    "a second pair": (body("q/c/jobs.json", b"[]"), INTEGRITY),
}  # fmt: skip


def runs(edit: Edit) -> tuple[MemoryRun, MemoryRun]:
    """Return two runs, the right one edited."""
    left, right = files_of("run-1"), files_of("run-2")
    edit(right)
    return MemoryRun(left, "run-1"), MemoryRun(right, "run-2", "right")


@cache
def alike() -> tuple[str, ...]:
    """Return what is said of two runs that are alike."""
    return tuple(compare(*runs(lambda _files: None), PROFILE).lines())


def told(comparison: Comparison) -> str:
    """Return what a comparison says but for what it says of any two runs, and what a journal keeps of it."""
    kept = {key: value for key, value in comparison.record.items() if key in ("counts", "incomparable", "remarks")}
    counts = ", ".join(
        f"{number} {kind} of {weight}"
        for weight, kinds in kept["counts"].items()
        for kind, number in kinds.items()
        if number
    )
    sizes = f"{comparison.left.files}/{comparison.right.files} files, unverified"
    sizes += f" {comparison.left.unverified}/{comparison.right.unverified}"
    lines = [*comparison.lines(), f"in words: {comparison.in_words}", f"kept: {counts or 'nothing'}; {sizes}"]
    return "\n".join(line for line in lines if line not in alike())


def _one_by_one(comparison: Comparison) -> list[Difference]:
    """Return the differences of single things: ranks, and why nothing is compared, are told from one side."""
    return [each for each in comparison.differences if each.kind != "order" and each.file]


@pytest.mark.parametrize("name", CASES)
def test_a_difference_weighs_what_its_rule_says(name: str) -> None:
    """As heavy as declared, on either side, with every line that the transcript has."""
    edit, verdict = CASES[name]
    left, right = runs(edit)
    comparison = compare(left, right, PROFILE)
    assert comparison.verdict == verdict
    assert comparison.exit_code == (2 if comparison.incomparable else 0 if verdict == NONE else 1)
    other = compare(right, left, PROFILE)
    assert other.verdict == verdict
    assert other.counts[CONTENT]["order"] == comparison.counts[CONTENT]["order"]
    assert sorted(map(str, (each.mirrored for each in _one_by_one(other)))) == sorted(map(str, _one_by_one(comparison)))
    text = told(comparison)
    stories = dict(story.split("\n", 1) for story in TRANSCRIPT.read_text().removeprefix("# ").split("\n\n# "))
    if os.environ.get("DRFSM_REGENERATE"):
        stories[name] = text
        TRANSCRIPT.write_text("\n\n".join(f"# {case}\n{stories.get(case, '?').strip()}" for case in CASES) + "\n")
    assert text == stories[name].strip()


def test_what_a_journal_keeps_of_a_comparison() -> None:
    """Which profile, both sides, how many of each kind, the first differences, and the digest of all."""
    left, right = runs(record(0, sha="z"))
    comparison = compare(left, right, PROFILE)
    (difference,) = comparison.differences
    side = {"label": "left", "where": "memory", "run_id": "run-1", "files": 8, "records": 8, "unverified": 1}
    first = {
        "file": JOBS, "where": "id=a sha", "kind": "changed", "weight": INTEGRITY, "left": '"x"', "right": '"z"',
        "because": "",
    }  # fmt: skip
    assert comparison.record == {
        "profile": "every rule", "profile_sha256": PROFILE.sha256, "left": side,
        "right": {**side, "label": "right", "run_id": "run-2"}, "incomparable": "", "compared": 8, "identical": 6,
        "not_compared": 1, "not_compared_first": ["unknown.txt"],
        "remarks": ["not compared: rules (no file of both runs says it)"],
        "counts": {
            INTEGRITY: {"missing": 0, "extra": 0, "changed": 1, "order": 0, "fault": 0},
            CONTENT: {"missing": 0, "extra": 0, "changed": 0, "order": 0, "fault": 0},
        },
        "first": [first],
        "differences_sha256": sha256(json.dumps(first, sort_keys=True).encode() + b"\n").hexdigest(),
    }  # fmt: skip
    assert difference.mirrored.mirrored == difference


def test_a_run_that_must_be_the_same_may_not_have_another_id() -> None:
    """Where no drift is allowed, the ids of the two sides are compared as well, and each with its own."""
    left, right = runs(lambda _files: None)
    comparison = compare(left, right, PROFILE, allow_run_id_drift=False)
    assert [(each.where, each.left, each.right) for each in comparison.differences] == [
        ("run_id", '"run-1"', '"run-2"'),
        ("runs.0", '"run-1"', '"run-2"'),
        ("runs.1", '"run-1"', '"run-2"'),
    ]


def test_without_an_id_the_files_of_a_run_must_agree() -> None:
    """The first that says one is believed, and told; another one is a fault."""
    left, right = runs(lambda files: files.update({"q/c/summary.json": files[SUMMARY].replace(b"run-2", b"run-3")}))
    named = MemoryRun(right.files, None, "right")
    comparison = compare(left, named, PROFILE)
    assert comparison.right.run_id == "run-2"
    both = {**right.files, "q/c/jobs.json": right.files[JOBS]}
    again = compare(MemoryRun(both, None), MemoryRun(both, None, "right"), PROFILE)
    assert {(each.file, each.where, each.because) for each in again.differences if each.where.startswith("run")} == {
        ("q/c/summary.json", where, "the run is run-2") for where in ("run_id", "runs.0", "runs.1")
    }


def test_a_file_that_is_too_big_is_a_fault_and_not_read() -> None:
    """It says so, with both sizes; the largest that is read is named."""
    left, right = runs(lambda _files: None)
    for size, faults in ((LARGEST_FILE_BYTES, 0), (LARGEST_FILE_BYTES + 1, 1)):
        big = MemoryRun(right.files, "run-2", "right", sizes={"blob.bin": size})
        comparison = compare(left, big, PROFILE)
        assert [each.because for each in comparison.differences] == [
            "more than 256 MiB: too big to be compared"
        ] * faults
        assert comparison.compared == 8 - faults


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (lambda _files: None, ()),
        (said(SUMMARY, status="failed"), ('p/c/summary.json: status: fault: left "failed" (must be ok or fine)',)),
        (without(JOBS, TABLE, SUMMARY, "blob.bin"), ("left (memory) has none of the files that matter",)),
    ],
)
def test_a_run_that_fails_against_itself_never_passes(edit: Edit, why: tuple[str, ...]) -> None:
    """That is found before anything is frozen; each reason is told once."""
    files = files_of("run-1")
    edit(files)
    lines = never_passes(MemoryRun(files, "run-1"), PROFILE)
    assert tuple(line.removeprefix("integrity  ") for line in lines) == why
