"""The record of an exercise: it says what was said, in order, can't be altered unseen, and lies in each bundle."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from drfsm.adapters.file_journal import LOG
from drfsm.errors import EvidenceFault, ExitCode
from drfsm.evidence.exercises import checked_record
from drfsm.evidence.kit import verify_bundle
from drfsm.runs import exercises
from drfsm.runs.bundle_archive import files_of
from tests.command import Drfsm
from tests.recorded import BUNDLES

NAME = "2026-q4-failback"
KIT = Path(verify_bundle.__file__)
PLAN: dict[str, Any] = {
    "exercise": NAME,
    "title": "Failback of the pipeline",
    "scenario": "The primary's region was lost for a day",
    "kind": "full",
    "procedures": {"failback": {"recovery_time_seconds": 3600}, "drill": {"recovery_time_seconds": 5}},
    "objectives": ["Show that the primary can take over"],
    "success_criteria": ["The failback ends complete", "Nobody waits for ten minutes"],
    "roles": [{"role": "operator", "person": "Ann Lee"}],
    "third_parties": [{"name": "AWS", "service": "S3", "part": "exercised"}],
    "next_due": "2027-11-30",
}
ATTEST = ("exercise", "attest", "passed", "--name", "Ann Lee", "--role", "head of operations")
MET = ("--criterion", "1=met", "--criterion", "2=met")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Return a copy of the recorded drill, which was validated."""
    return Path(shutil.copytree(BUNDLES / "0.5.0" / "drill", tmp_path / "drill"))


def planned(tmp_path: Path, **fields: Any) -> Path:
    """Return the file of a plan in which some fields are others; None takes one away."""
    plan = {name: value for name, value in {**PLAN, **fields}.items() if value is not None}
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(plan), encoding="utf-8")
    return path


def begun(drfsm: Drfsm, tmp_path: Path, *bundles: Path) -> None:
    """Start the exercise, with these runs."""
    assert drfsm("exercise", "start", planned(tmp_path)).code == ExitCode.DONE
    for place in bundles:
        assert drfsm("exercise", "include", place).code == ExitCode.DONE


def shown(drfsm: Drfsm) -> Any:
    """Return the record as a program reads it."""
    return drfsm("exercise", "show", NAME, "-o", "json").json


def test_an_exercise_from_its_plan_to_its_close(drfsm: Drfsm, tmp_path: Path, bundle: Path) -> None:
    """What can be filled from the run is filled; the record lies in the bundle, fits its schema, and can be checked."""
    begun(drfsm, tmp_path, bundle)
    assert drfsm("exercise", "note", "The runbook named a number that is gone").code == ExitCode.DONE
    found = ("exercise", "deficiency", "Nobody on call may approve", "--owner", "Ben Ito", "--due", "2027-03-31")
    assert drfsm(*found).code == ExitCode.DONE
    attested = drfsm(*ATTEST, *MET, "--notes", "as planned")
    assert "recovery time" in attested.err  # five seconds were the objective, and the run took ten
    assert drfsm("exercise", "close").code == ExitCode.DONE
    record = shown(drfsm)
    (run,) = record["runs"]
    assert (run["machine"], run["scope"], run["verdict"]) == ("drill", "drill", "holds with remarks")
    assert run["recovery_time"]["within"] is False
    assert run["recovery_time"]["spent"].keys() == {"working", "waiting", "person", "down"}
    assert run["journal"]["records"] == len((bundle / LOG).read_bytes().splitlines())
    assert (record["result"], record["attestation"]["name"]) == ("passed", "Ann Lee")
    assert record["attestation"]["proven"]["os_user"]["uid"] >= 0
    assert [criterion["met"] for criterion in record["success_criteria"]] == [True, True]
    assert drfsm("exercise", "deficiency", "--close", 1, "--retest", "drill of March", "--exercise", NAME).code == 0
    pinned = bundle / "exercise" / f"{NAME}.yaml"
    assert yaml.safe_load(pinned.read_bytes()) == shown(drfsm)
    assert shown(drfsm)["deficiencies"][0]["status"] == "closed"
    assert drfsm("receipts", "check", pinned).code == ExitCode.DONE
    assert drfsm("replay", "--quiet", bundle).code == ExitCode.DONE  # the run itself is untouched
    assert "passed" in drfsm("exercise", "show").out


def test_a_seal_stays_good_when_an_exercise_is_pinned_beside_it(drfsm: Drfsm, tmp_path: Path, bundle: Path) -> None:
    """What is added after a run's end is no part of its seal, and goes into its archive; whoever checks it says so."""
    assert drfsm("bundle", "seal", bundle, "--no-checkpoint").code == ExitCode.DONE
    begun(drfsm, tmp_path, bundle)
    findings = drfsm("bundle", "verify", bundle, "-o", "json").json["findings"]
    assert [finding["rule"] for finding in findings] == ["unsigned"]
    assert "exercise/" not in drfsm("audit", bundle).out
    assert "was added" not in by_the_kit(bundle)
    assert f"exercise/{NAME}.log" in files_of(bundle)
    (bundle / "added.json").write_text("{}", encoding="utf-8")
    assert drfsm("bundle", "verify", bundle).code == ExitCode.EVIDENCE
    assert "added.json is not in seals/0001.statement.json: it was added" in by_the_kit(bundle)


def by_the_kit(bundle: Path) -> str:
    """Return what the verifier in one file says of a bundle."""
    return subprocess.run([sys.executable, KIT, bundle], check=False, capture_output=True, text=True).stdout


def test_the_report_of_a_run_names_its_exercise_and_its_objective(drfsm: Drfsm, tmp_path: Path, bundle: Path) -> None:
    """The bundle has it: nothing of this computer's home is needed."""
    begun(drfsm, tmp_path, bundle)
    assert drfsm(*ATTEST, *MET).code == ExitCode.DONE
    shutil.rmtree(tmp_path / "home")
    out = tmp_path / "run.html"
    assert drfsm("report", bundle, "--html", out).code == ExitCode.DONE
    text = out.read_text(encoding="utf-8")
    assert "The exercise: Failback of the pipeline" in text
    assert "OVER the objective of 5.0 s" in text


WRONG: dict[str, dict[str, Any]] = {
    "no scenario": {"scenario": None},
    "an empty scenario": {"scenario": ""},
    "a blank one": {"scenario": "   "},
    "a placeholder": {"scenario": "TBD"},
    "another": {"title": "<title>"},
    "n/a for a role": {"roles": [{"role": "n/a", "person": "Ann Lee"}]},
    "nobody in a role": {"roles": []},
    "no criterion": {"success_criteria": []},
    "an empty criterion": {"success_criteria": ["..."]},
    "a kind that there is not": {"kind": "fire"},
    "a procedure that there is not": {"procedures": {"backup": {}}},
    "a negative objective": {"procedures": {"drill": {"recovery_time_seconds": -1}}},
    "a name that leads elsewhere": {"exercise": "../home"},
    "a field that there is not": {"more": "x"},
    "a day that is none": {"next_due": "soon"},
}


@pytest.mark.parametrize("fields", WRONG.values(), ids=WRONG.keys())
def test_a_plan_that_says_nothing_is_refused(fields: dict[str, Any], drfsm: Drfsm, tmp_path: Path) -> None:
    """With the field that is wrong; nothing is begun."""
    refused = drfsm("exercise", "start", planned(tmp_path, **fields))
    assert refused.code == ExitCode.USAGE
    assert f"$.{next(iter(fields))}" in refused.err or next(iter(fields)) in refused.err
    assert exercises.known() == []


def test_a_plan_that_is_no_yaml_or_not_there_is_refused(drfsm: Drfsm, tmp_path: Path) -> None:
    """Also an alias, a program's tag, two documents, and a day without quotes that YAML reads as one."""
    for text in ("[", "a: &x 1\nb: *x", "!!python/object:os.system {}", "a: 1\n---\nb: 2", "- 1"):
        path = tmp_path / "plan.yaml"
        path.write_text(text, encoding="utf-8")
        assert drfsm("exercise", "start", path).code in (ExitCode.USAGE, ExitCode.UNREACHABLE)
    assert drfsm("exercise", "start", tmp_path / "none.yaml").code == ExitCode.USAGE
    path = planned(tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace("'2027-11-30'", "2027-11-30"), encoding="utf-8")
    assert drfsm("exercise", "start", path).code == ExitCode.DONE
    assert shown(drfsm)["next_due"] == "2027-11-30"


REFUSED: dict[str, tuple[tuple[object, ...], str]] = {
    "closed without an attestation": (("exercise", "close"), "nobody has attested"),
    "an empty note": (("exercise", "note", "n/a"), "says nothing"),
    "a deficiency of nobody": (("exercise", "deficiency", "It broke", "--due", "2027-03-31"), "--owner"),
    "a deficiency for ever": (("exercise", "deficiency", "It broke", "--owner", "Ann"), "--due"),
    "a deficiency with a placeholder": (
        ("exercise", "deficiency", "tbd", "--owner", "Ann", "--due", "2027-03-31"), "says nothing",
    ),
    "a retest of what was not found": (("exercise", "deficiency", "--close", 1, "--retest", "x"), "no deficiency 1"),
    "a retest without evidence": (("exercise", "deficiency", "--close", 1), "--retest"),
    "attested by nobody": ((*ATTEST[:3], "--name", "n/a", "--role", "auditor"), "--name"),
    "a criterion that there is not": ((*ATTEST, "--criterion", "3=met"), "no criterion 3"),
    "passed though one was not met": ((*ATTEST, "--criterion", "1=not_met"), "was not met"),
    "a word for met": ((*ATTEST, "--criterion", "1=yes"), "--criterion"),
    "the same exercise again": (("exercise", "start", "plan.yaml"), "was started already"),
    "another exercise's note": (("exercise", "note", "x y", "--exercise", "other"), "no exercise is named"),
}  # fmt: skip


@pytest.mark.parametrize(("argv", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_does_not_fit_is_refused_and_leaves_no_trace(
    argv: tuple[object, ...], words: str, drfsm: Drfsm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said in words, with the next step; the journal is as it was."""
    monkeypatch.chdir(tmp_path)
    begun(drfsm, tmp_path)
    before = (exercises.home() / NAME / exercises.LOG).read_bytes()
    refused = drfsm(*argv)
    assert refused.code in (ExitCode.USAGE, ExitCode.REFUSED)
    assert words in refused.err
    assert (exercises.home() / NAME / exercises.LOG).read_bytes() == before


def test_an_exercise_without_a_run_or_with_a_criterion_unsaid_is_not_closed(
    drfsm: Drfsm, tmp_path: Path, bundle: Path
) -> None:
    """Unless it was a tabletop; and a closed one takes no note."""
    begun(drfsm, tmp_path)
    assert drfsm(*ATTEST, "--criterion", "1=met").code == ExitCode.DONE
    refused = drfsm("exercise", "close")
    assert "includes no run" in refused.err
    assert "criterion 2" in refused.err
    assert drfsm("exercise", "include", bundle).code == ExitCode.DONE
    assert drfsm(*ATTEST, *MET).code == ExitCode.DONE
    assert drfsm("exercise", "close").code == ExitCode.DONE
    assert "is closed" in drfsm("exercise", "note", "too late", "--exercise", NAME).err
    assert drfsm("exercise", "start", planned(tmp_path, exercise="talk", kind="tabletop")).code == ExitCode.DONE
    assert drfsm(*ATTEST, *MET).code == ExitCode.DONE
    assert drfsm("exercise", "close").code == ExitCode.DONE


def test_no_byte_of_its_journal_can_be_altered_unseen(drfsm: Drfsm, tmp_path: Path, bundle: Path) -> None:
    """Each line altered, dropped, doubled, swapped, torn; the last one but its end is bound by the record's head."""
    begun(drfsm, tmp_path, bundle)
    drfsm("exercise", "note", "a note")
    drfsm(*ATTEST, *MET)
    log = exercises.home() / NAME / exercises.LOG
    lines = log.read_bytes().splitlines(keepends=True)
    head = checked_record(lines, "log")["journal"]["head"]
    forged: list[list[bytes]] = []
    for number, line in enumerate(lines):
        rest = lines[number + 1 :]
        forged += [
            [*lines[:number], line[:at] + bytes([line[at] ^ 1]) + line[at + 1 :], *rest]
            for at in range(0, len(line), max(1, len(line) // 40))
        ]
        forged += [[*lines[:number], *rest], [*lines[:number], line, line, *rest], [*lines[:number], line[:-1], *rest]]
        forged.append([*lines[:number], *rest[:1], line, *rest[1:]] if rest else [*lines[:number], line.lower()])
    unseen = 0
    for attempt in forged:
        try:
            unseen += checked_record(attempt, "log")["journal"]["head"] == head and attempt != lines
        except EvidenceFault:
            continue
    assert unseen == 0
    log.write_bytes(b"".join(lines[1:]))
    assert drfsm("exercise", "note", "go on").code == ExitCode.EVIDENCE


HOSTILE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a plan that is a list": lambda line: line["body"].update(plan=[]),
    "a plan without a name": lambda line: line["body"]["plan"].pop("exercise"),
    "criteria that are a number": lambda line: line["body"]["plan"].update(success_criteria=5),
    "a scenario with markup": lambda line: line["body"]["plan"].update(scenario="<script>alert(1)</script>\x1b[2J"),
    "another kind": lambda line: line.update(kind="exercise_closed"),
    "a body that is a text": lambda line: line.update(body="x"),
}


@pytest.mark.parametrize("alter", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_lies_in_a_bundle_is_read_as_a_strangers(
    alter: Callable[[dict[str, Any]], Any], drfsm: Drfsm, tmp_path: Path, bundle: Path
) -> None:
    """A pinned journal that is none is a remark of the report; markup in one that is stays text."""
    begun(drfsm, tmp_path, bundle)
    pinned = bundle / "exercise" / f"{NAME}.log"
    first, *rest = pinned.read_bytes().splitlines(keepends=True)
    line = json.loads(first)
    alter(line)
    from drfsm.journal import digest

    raw = json.dumps(line, separators=(",", ":")).encode() + b"\n"
    chained = [raw]
    for each in rest:
        following = {**json.loads(each), "prev": digest(chained[-1])}
        chained.append(json.dumps(following, separators=(",", ":")).encode() + b"\n")
    pinned.write_bytes(b"".join(chained))
    out = tmp_path / "run.html"
    assert drfsm("report", bundle, "--html", out).code == ExitCode.DONE
    text = out.read_text(encoding="utf-8")
    assert "<script>" not in text
    assert text.replace("\n", "").isprintable()
    assert (f"exercise/{NAME}.log" in text) != ("&lt;script&gt;alert(1)" in text)


def test_an_exercise_of_another_run_is_no_exercise_of_this_one(drfsm: Drfsm, tmp_path: Path, bundle: Path) -> None:
    """A copy that was laid into another bundle is a remark."""
    begun(drfsm, tmp_path, bundle)
    other = Path(shutil.copytree(BUNDLES / "0.5.0" / "failback", tmp_path / "failback"))
    shutil.copytree(bundle / "exercise", other / "exercise")
    out = tmp_path / "run.html"
    assert drfsm("report", other, "--html", out).code == ExitCode.DONE
    assert "does not include this run" in out.read_text(encoding="utf-8")


def test_the_year_on_one_page(drfsm: Drfsm, tmp_path: Path, bundle: Path) -> None:
    """Exercises, results, what is open and overdue, what is due; another year has none of them."""
    begun(drfsm, tmp_path, bundle)
    drfsm("exercise", "deficiency", "Nobody <b>may</b> approve", "--owner", "Ben Ito", "--due", "2020-01-01")
    drfsm(*ATTEST[:2], "failed", *ATTEST[3:], "--criterion", "1=not_met", "--criterion", "2=met")
    drfsm("exercise", "close")
    runs = tmp_path / "home" / "runs"
    for name in ("whole", "broken"):
        shutil.copytree(bundle, runs / name)
    (runs / "broken" / LOG).write_bytes(b"x\n")
    period = shown(drfsm)["started_at"][:4]
    out = tmp_path / "year.html"
    assert drfsm("report", "--period", period, "--html", out).code == ExitCode.DONE
    text = " ".join(out.read_text(encoding="utf-8").split())
    for words in ("1 failed", "OVERDUE", "NOT met", "Nobody &lt;b&gt;may&lt;/b&gt; approve", "2027-11-30",
                  "unreadable: 1, drill: 1", "line 1 does not start with"):  # fmt: skip
        assert words in text
    assert "<script" not in text
    assert drfsm("report", "--period", "1999", "--html", out).code == ExitCode.DONE
    assert "0 passed, 0 failed" in out.read_text(encoding="utf-8")
    for wrong in ("20", "2026-", "2026-13", "today", "2026-1"):
        assert drfsm("report", "--period", wrong, "--html", out).code == ExitCode.USAGE
    assert drfsm("report", bundle, "--period", "2026", "--html", out).code == ExitCode.USAGE
