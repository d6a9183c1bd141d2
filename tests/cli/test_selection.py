"""Which run a command without a name speaks of: the open one, never a newer one that was refused, dry or ended."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from drfsm.adapters.file_journal import read_chain
from drfsm.errors import ExitCode
from drfsm.evidence.receipts import check
from drfsm.journal import lines as journal_lines
from drfsm.resources import shipped
from drfsm.runs import bundle
from tests.cli.conftest import given
from tests.command import Answer, Drfsm

BUNDLES = Path(__file__).parents[1] / "data" / "bundles" / "0.3.0"
NOBODY = "NOBODY CAN PUBLISH"
MOVING = ("resume", "abort", "hold", "skip", "approve")


def begun(machine: str, *, interrupted: bool = False) -> str:
    """Lay a recorded run that is open into this computer's home; return its id. ``interrupted``: killed at work."""
    raw = (BUNDLES / machine / bundle.LOG).read_bytes().splitlines(keepends=True)
    run_id = str(json.loads(raw[0])["body"]["run_id"])
    place = bundle.home() / "runs" / run_id
    shutil.copytree(BUNDLES / machine, place, ignore=shutil.ignore_patterns("*.summary.json"))
    (place / bundle.LOG).write_bytes(b"".join(raw[:-1] if interrupted else raw))
    for path in (bundle.home(), bundle.home() / "runs", place):
        path.chmod(0o700)
    for path in place.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return run_id


def refused(drfsm: Drfsm, tmp_path: Path) -> None:
    """Start a failback with a wrong token."""
    assert drfsm(*given(tmp_path, confirm1="FAIL", receipt_dir=tmp_path / "refused")).code == ExitCode.REFUSED


def dry(drfsm: Drfsm, tmp_path: Path) -> None:
    """Make a dry run, on sites that nobody can reach."""
    told = drfsm(*given(tmp_path, receipt_dir=tmp_path / "dry"), "--dry-run")
    assert told.code in (ExitCode.REFUSED, ExitCode.DONE), told


def typed(drfsm: Drfsm, verb: str) -> Answer:
    """Type a verb without a name."""
    more = {"approve": ["--ticket", "CHG-1"], "resume": []}.get(verb, ["--reason", "a test"])
    return drfsm(verb, *more)


Newer = Callable[[Drfsm, Path], None]


@pytest.mark.parametrize("newer", [refused, dry], ids=["refused", "dry"])
@pytest.mark.parametrize("interrupted", [True, False], ids=["killed", "held"])
def test_a_newer_run_that_changed_nothing_is_not_the_one_that_is_meant(
    drfsm: Drfsm, tmp_path: Path, newer: Newer, *, interrupted: bool
) -> None:
    """A failback has both sites frozen; a later start was refused, or dry: every bare verb speaks of the failback."""
    run_id = begun("failback", interrupted=interrupted)
    time.sleep(0.01)
    newer(drfsm, tmp_path)
    told = drfsm("status")
    assert told.code == ExitCode.DONE, told
    lines = told.out.splitlines()
    assert (lines[0], NOBODY in lines[1]) == ("Frozen now:", True), told
    word = "INTERRUPTED" if interrupted else "HELD"
    assert any(line.startswith(f"{run_id} ") and word in line for line in lines), told
    assert told.out.count("DR's schedules are suspended") == 1, "it is said once"
    assert drfsm("replay", "--quiet").out == drfsm("replay", "--quiet", run_id).out
    told = drfsm("hold", "--reason", "a test")
    assert (told.code, "nobody works on this run" in told.out) == (ExitCode.DONE, True), told


def test_status_of_another_run_begins_with_what_is_frozen_here(drfsm: Drfsm, tmp_path: Path) -> None:
    """The refused run is asked for by its name: the first lines are about the run that froze both sites."""
    run_id = begun("failback", interrupted=True)
    refused(drfsm, tmp_path)
    told = drfsm("status", tmp_path / "refused")
    lines = told.out.splitlines()
    assert lines[0].startswith(f"Frozen now by another run, {run_id}, INTERRUPTED in "), told
    assert NOBODY in lines[1]
    assert f"  more about it: drfsm status {run_id}" in lines
    assert any("ended: refused" in line for line in lines)


@pytest.mark.parametrize("verb", [*MOVING, "replay", "status"])
def test_several_open_runs_are_refused_with_a_list(drfsm: Drfsm, verb: str) -> None:
    """A drill and a failback are open: each is named, with what it froze; the one that froze something comes first."""
    drill, failback = begun("drill"), begun("failback")
    before = {path: path.read_bytes() for path in bundle.home().rglob("*") if path.is_file()}
    told = typed(drfsm, verb) if verb in MOVING else drfsm(verb)
    assert told.code == ExitCode.USAGE, told
    assert "2 runs are open on this computer" in told.err
    assert told.err.index(failback) < told.err.index(drill)
    assert f"drfsm status {failback}" in told.err
    assert f"frozen now: nothing, by {drill}" in told.err
    assert f"{NOBODY}" in told.err
    assert (verb == "status") == (NOBODY in told.out)
    assert before == {path: path.read_bytes() for path in bundle.home().rglob("*") if path.is_file()}


@pytest.mark.parametrize("verb", MOVING)
def test_where_no_run_is_open_nothing_is_moved_and_the_newest_is_named(drfsm: Drfsm, tmp_path: Path, verb: str) -> None:
    """A refused run is all there is: that is said, and how it ended."""
    refused(drfsm, tmp_path)
    told = typed(drfsm, verb)
    assert told.code == ExitCode.USAGE, told
    assert "no run is open on this computer" in told.err
    assert "ended: refused" in told.err
    assert drfsm("status").out.splitlines()[0] == "Frozen now: nothing, as far as the runs of this computer know."


def test_what_an_unreadable_run_left_frozen_is_said_to_be_unknown(drfsm: Drfsm, tmp_path: Path) -> None:
    """Its records are damaged: nobody can tell, and `status` of another run says so."""
    run_id = begun("failback")
    log = bundle.home() / "runs" / run_id / bundle.LOG
    log.write_bytes(log.read_bytes().replace(b'"seq":3', b'"seq":4', 1))
    refused(drfsm, tmp_path)
    told = drfsm("status")
    assert told.out.splitlines()[0].startswith(f"Frozen by {run_id}: UNKNOWN. Its records cannot be read: "), told


def test_a_run_in_another_directory_is_found_and_named_by_its_id(drfsm: Drfsm, tmp_path: Path) -> None:
    """--receipt-dir put its bundle elsewhere: the commands that are offered name its id."""
    run_id = begun("failback")
    place = bundle.home() / "runs" / run_id
    shutil.move(place, tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    refused(drfsm, tmp_path)
    told = drfsm("status", tmp_path / "refused")
    assert f"  more about it: drfsm status {run_id}" in told.out.splitlines()


def test_the_list_has_each_run_once_and_marks_a_dry_one(drfsm: Drfsm, tmp_path: Path) -> None:
    """A second drill lies beside the first one and is linked by its id; a dry run that was refused is a dry one."""
    run_id = begun("drill")
    place = bundle.home() / "runs" / run_id
    shutil.move(place, bundle.home() / "runs" / "drill-before.2")
    place.symlink_to("drill-before.2")
    told = drfsm(*given(tmp_path, confirm1="FAIL", receipt_dir=tmp_path / "dry"), "--dry-run")
    assert told.code == ExitCode.REFUSED
    refused(drfsm, tmp_path)
    lines = drfsm("list").out.splitlines()
    assert [line.startswith("refused ") for line in lines] == [True, True, False]
    assert [line.endswith("  (dry run)") for line in lines] == [False, True, False]
    assert lines[2].endswith(f"  {run_id}")
    assert [row["dry_run"] for row in json.loads(drfsm("list", "-o", "json").out)] == [False, True, False]


def test_a_run_that_was_taken_over_is_not_the_one_that_is_meant(drfsm: Drfsm) -> None:
    """The run that took it over changed the sites since: bare verbs speak of that one, and the old one says by whom."""
    dead, heir = begun("failback"), begun("promote")
    log = bundle.home() / "runs" / heir / bundle.LOG
    records = [
        evolve(record, body={**record.body, "taken_from": {"run_id": dead, "why": "taken_over"}})
        if record.kind == "lease_acquired"
        else record
        for record in read_chain(log.parent).records
    ]
    log.write_bytes(b"".join(journal_lines(records)))
    told = drfsm("status")
    assert any(line.startswith(f"{heir} ") for line in told.out.splitlines()), told
    assert dead not in told.out
    told = drfsm("status", dead)
    assert told.out.splitlines()[0].startswith(f"{dead} was TAKEN OVER by {heir}, which has changed the sites since"), (
        told
    )
    assert NOBODY not in told.out.partition("Frozen now by another run")[0]
    next_line = f"Next: drfsm status {heir}   (drfsm replay {dead} tells what this run did)"
    own = told.out.partition(f"\n{dead} is HELD")[2]
    assert own.splitlines()[-1] == next_line
    assert not any(verb in own for verb in ("drfsm resume", "drfsm abort"))


def other_runs(told: Answer) -> list[dict[str, Any]]:
    """Return what `drfsm status -o json` says of the other runs; it fits its schema."""
    shown: dict[str, Any] = json.loads(told.out)
    assert check(shown, json.loads((shipped("receipts_schema") / "status.schema.json").read_bytes())) == []
    others: list[dict[str, Any]] = shown["other_runs"]
    return others


def clock(at: str) -> str:
    """Return a time as `status` shows it."""
    return f"{at[:19].replace('T', ' ')}Z"


def test_status_as_json_says_of_other_runs_what_the_head_of_its_text_says(drfsm: Drfsm, tmp_path: Path) -> None:
    """A refused run is shown: the one that froze both sites stands beside its summary, with each word and its time."""
    run_id = begun("failback", interrupted=True)
    refused(drfsm, tmp_path)
    text, told = drfsm("status", tmp_path / "refused"), drfsm("status", tmp_path / "refused", "-o", "json")
    (other,) = other_runs(told)
    assert (other["run_id"], other["status"], other["open"]) == (run_id, "interrupted", True)
    assert text.out.splitlines()[0] == f"Frozen now by another run, {run_id}, INTERRUPTED in {other['state']}:"
    assert f"  more about it: {other['type']}" in text.out.splitlines()
    loud = [frozen for frozen in other["frozen"] if frozen["what"].startswith(NOBODY.lower())]
    for frozen in other["frozen"]:
        assert frozen in loud or f"{frozen['what']}, since {clock(frozen['since'])}" in text.out
    (said,) = [line for line in text.out.splitlines() if NOBODY in line]
    assert said.startswith(f"  {NOBODY}, since {clock(min(frozen['since'] for frozen in loud))} (")
    summary = json.loads((tmp_path / "refused" / "failback.summary.json").read_bytes())
    assert json.loads(told.out) == {**summary, "other_runs": [other]}
    assert other_runs(drfsm("status", run_id, "-o", "json")) == []


def test_where_several_are_open_status_as_json_lists_them_all(drfsm: Drfsm) -> None:
    """No run can be shown, exit 2: the document still says which are open, and what is frozen, also by none."""
    drill, failback = begun("drill"), begun("failback")
    told = drfsm("status", "-o", "json")
    assert (told.code, json.loads(told.out).keys()) == (ExitCode.USAGE, {"other_runs"})
    said = {run["run_id"]: (run["open"], bool(run["frozen"])) for run in other_runs(told)}
    assert said == {drill: (True, False), failback: (True, True)}


def test_a_run_whose_records_cannot_be_read_is_unknown_in_json_too(drfsm: Drfsm, tmp_path: Path) -> None:
    """Its status, and what it left frozen, are not said to be nothing."""
    run_id = begun("failback")
    log = bundle.home() / "runs" / run_id / bundle.LOG
    log.write_bytes(log.read_bytes().replace(b'"seq":3', b'"seq":4', 1))
    refused(drfsm, tmp_path)
    (other,) = other_runs(drfsm("status", tmp_path / "refused", "-o", "json"))
    assert other["run_id"] == run_id
    assert all("its records cannot be read" in other[name]["unknown"] for name in ("status", "state", "open", "frozen"))
