"""What `drfsm status --by-hand` prints for each thing that a run may have changed, line by line.

Each case is a run's records in memory. All lines of all cases are in tests/data/transcripts/by-hand.txt;
``DRFSM_REGENERATE=1`` writes it anew: explain the diff before you commit it. tests/safety/test_by_hand.py runs such
lines by bash, against real clients.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from drfsm.journal import Record
from drfsm.runs.by_hand import _EDIT_POLICY, commands
from tests.journal.fold_stories import STARTED, Step, commit, failed, intent, row

TRANSCRIPT = Path(__file__).parents[1] / "data" / "transcripts" / "by-hand.txt"
INPUTS = {
    "bucket": "results", "prefix": "jobintel", "namespace": "jobs-here", "configmap": "settings", "region": "eu-1",
    "endpoint_url": "http://s3.example", "kubeconfig_primary": "/home/ann/the primary.yaml", "taker": "dr",
    "dr_run_id": "2026-11-29T10:30:00Z",
    "staged_prefix": "jobintel/promotes/r", "candidate": "local",
}  # fmt: skip
POINTER = {"run_id": "2026-11-29T09:52:21Z", "run_path": "jobintel/runs/2026-11-29T09:52:21Z", "schema_version": 1}
MINE = json.dumps({"run": "r", "suspend": False})
HEAD = """\
# Puts back by hand what r changed, newest first. Read each line before you run it.
# First be sure that no process works on the run, on any computer: it would change everything again.
# A line with --if-match, or of route53, overwrites nobody. Every other line overwrites what others wrote
# since; drfsm abort, where it still goes on, does not.
"""
FEW: Mapping[str, Any] = {
    "where": "jobintel/runs/new", "equal": {"total": 1, "first": ["a b"]}, "other": {"total": 1, "first": ["c"]},
}  # fmt: skip


def one(fact: str, seen: Any) -> tuple[Step, ...]:
    """Return what a run adds to its records that began to change one thing."""
    return (intent("go", {fact: seen}),)


def machines(before: Mapping[str, Any], result: Any) -> tuple[Step, ...]:
    """Return such a run that brought up a site."""
    return (
        intent("bring_up_site", {"runner": before}, row=row("bring_up_site")),
        commit("bring_up_site", result=result),
    )


CASES: Mapping[str, tuple[Step, ...]] = {
    "nothing was changed": (),
    "an intent without a snapshot": (intent("go", {}),),
    # a site's objects
    "a CronJob that was on": one("primary_schedules", {"daily": {"suspend": False, "before": None}}),
    "a CronJob that another run had suspended": one("dr_schedules", {"daily": {"suspend": True, "before": MINE}}),
    "two CronJobs": one("primary_schedules", {name: {"suspend": False, "before": None} for name in ("b", "a")}),
    "a Deployment with pods": one(
        "primary_schedules", {"Deployment/worker": {"suspend": False, "before": '{"run": "q", "replicas": 3}'}},
    ),
    "a Deployment without pods": one("primary_schedules", {"Deployment/worker": {"suspend": True, "before": None}}),
    "a Deployment whose pods nobody counted": one(
        "primary_schedules",
        {
            "Deployment/worker": {"suspend": False, "before": None},
            "Deployment/other": {"suspend": False, "before": "no JSON"},
            "daily": {"suspend": False, "before": None},
        },
    ),
    "publishing that was on": one("dr_publishing", {"PUBLISH_S3": "1", "before": None}),
    "publishing that an earlier run had turned off": one("primary_publishing", {"PUBLISH_S3": "0", "before": MINE}),
    "publishing without a record of before": one("primary_publishing", {"PUBLISH_S3": "it's on"}),
    "a site that does not exist": one("secondary_schedules", {"daily": {"suspend": False, "before": None}}),
    # the bucket
    "a fence that was not there": one("dr_fence", {"statements": []}),
    "a fence of which nothing was said": one("primary_fence", {}),
    "a fence that was there": one("primary_fence", {"statements": [{"Sid": "old", "Effect": "Deny"}]}),
    "pointers": one("global_pointer", {"jobintel/state/a b.json": POINTER, "jobintel/state/new.json": None}),
    "pointers of providers": one("provider_pointers", {"jobintel/state/openai/cs/last_success.json": POINTER}),
    "a pointer that could not be read": one("global_pointer", {"k": "no JSON", "l": None}),
    "artifacts where nothing was": one("artifacts", {"where": "jobintel/runs/new"}),
    "artifacts where some were before": one("artifacts", FEW),
    "artifacts where more were before than are named": one("artifacts", {**FEW, "equal": {"total": 2, "first": ["a"]}}),
    "artifacts of which others are not named": one("artifacts", {**FEW, "other": {"total": 9, "first": ["c"]}}),
    "a validation": one("validation_job", {"jobs": [], "pods": [], "objects": 0}),
    "a validation beside earlier Jobs": one("validation_job", {"jobs": ["j"]}),
    "a validation beside earlier pods": one("validation_job", {"pods": ["p"]}),
    "a validation beside earlier files": one("validation_job", {"objects": 3}),
    # endpoints; tests/endpoints/test_by_hand.py runs such lines
    "a gate with a switch": one(
        "dr_gate",
        {"document": {"site": "dr", "writes": "open"}, "switches": {"API_WRITES": "1", "before": None}},
    ),
    "the gate of a site that is out of reach": one(
        "primary_gate", {"document": {"site": "primary", "writes": "open"}, "switches": {"not_asked": "lost"}},
    ),
    "an active site of which there was no document": one("active_site", {"site": None}),
    "an active site that nobody could read": one("active_site", {"site": "unreadable", "why": "no schema"}),
    "a claim that was written anew": one("endpoint_insync", {"api": {"listed": None, "served": {}}}),
    "a name that the contract does not declare": one("endpoint_ttl", {"api": {"records": []}}),
    # machines
    "a machine that was started": machines({"machines": {}}, {"instance_ids": ["i-1", "i-2"]}),
    "a machine beside one that was there": machines({"machines": {"i-1": 0}}, {"instance_ids": ["i-1", "i-2"]}),
    "no machine but one that was there": machines({"machines": {"i-1": 0}}, {"instance_ids": ["i-1"]}),
    "a machine of which nothing was said": machines({}, {"instance_ids": ["i-1"]}),
    "a machine whose start nobody saw the end of": one("runner", {"machines": {}}),
    "a site of terraform": machines({"by": "terraform", "machines": {}}, {"instance_ids": ["i-1"]}),
    # what nobody can put back
    **{
        f"{fact}, which no command puts back": one(fact, {"x": 1})
        for fact in (
            "owner", "promotion_run", "runner_plan", "runner_ready", "site_kubeconfig", "restored_manifests",
            "restored_state", "dr_control_plane", "something_new",
        )
    },
    "a snapshot that says nothing": one("primary_schedules", None),
    "a snapshot of another shape": (
        intent("go", {"primary_schedules": {"daily": "on"}, "dr_fence": {"statements": [1]}}),
    ),
    "a schedule that says nothing": one("primary_schedules", {"daily": {}}),
    # which changes, and in which order
    "the newest change comes first": (
        *one("primary_publishing", {"PUBLISH_S3": "1"}),
        commit("go"),
        intent("more", {"dr_publishing": {"PUBLISH_S3": "0"}}),
    ),
    "of a row that was tried again the first snapshot counts": (
        intent("go", {"primary_schedules": {"a": {"suspend": False, "before": None}}}),
        failed("go", "mixed"),
        intent(
            "go",
            {"primary_schedules": {n: {"suspend": True, "before": MINE} for n in ("a", "b")}, "dr_publishing": {}},
            attempt=2,
        ),
    ),
    "what stays is named": (intent("go", {"primary_publishing": {"A": "1"}}, kept="the primary stays silent"),),
    "what was put back already": (
        intent("go", {"primary_publishing": {"A": "1"}}, undo="back"),
        commit("go"),
        intent("undo", {"primary_publishing": {"A": "0"}}, undoes=row("go"), row=row("undo")),
        commit("undo", undoes=row("go"), row=row("undo")),
    ),
    "past the point of no return": (intent("go", {"primary_publishing": {"A": "1"}}, final_write=True),),
    "nothing of what was begun can be put back": (
        intent("go", {"owner": {"x": 1}}, kept="it stays"), intent("more", {"runner_plan": {"x": 1}}),
    ),
    "words for a terminal are shown as they are": (intent("go\x1b[2J", {"own\x1b[2Jer": {"A": "1"}}),),
}  # fmt: skip


def records_of(steps: tuple[Step, ...], **started: Any) -> Iterator[Record]:
    """Yield the records of a case: a run that started with ``INPUTS``, and went on."""
    began: Step = ("run_started", {**STARTED[1], "inputs": INPUTS, **started})
    for number, (kind, body) in enumerate((began, *steps)):
        yield Record(number, kind, f"2026-02-27T00:00:{number:02d}.000000Z", body)


def script(*steps: Step, **started: Any) -> str:
    """Return what is printed of a run."""
    return "\n".join(commands(list(records_of(steps, **started))))


@pytest.mark.parametrize("name", CASES)
def test_what_a_run_changed_is_put_back_by_these_lines(name: str) -> None:
    """Or named as what can't be; every line is what the transcript has."""
    text = script(*CASES[name])
    text = text.removeprefix(HEAD) if name != "nothing was changed" else text  # once is enough
    stories = dict(story.split("\n", 1) for story in TRANSCRIPT.read_text().removeprefix("## ").split("\n\n## "))
    if os.environ.get("DRFSM_REGENERATE"):
        stories[name] = text
        TRANSCRIPT.write_text("\n\n".join(f"## {case}\n{stories.get(case, '?').strip()}" for case in CASES) + "\n")
    assert text == stories[name].strip()


def test_every_value_is_one_word_of_the_shell() -> None:
    """A blank, a quote or a dollar in what a site called its objects runs nothing."""
    odd = "$(reboot) '; x"
    (line,) = [
        line
        for line in script(*one("primary_schedules", {odd: {"suspend": False, "before": odd}})).splitlines()
        if not line.startswith("#")
    ]
    words = shlex.split(line)
    assert words[:6] == ["kubectl", "--kubeconfig", "/home/ann/the primary.yaml", "-n", "jobs-here", "patch"]
    assert words[6:10] == [f"cronjob/{odd}", "--type", "merge", "-p"]
    assert json.loads(words[10]) == {
        "spec": {"suspend": False}, "metadata": {"annotations": {"drfsm/before": odd}},
    }  # fmt: skip
    assert len(words) == 11


def test_a_dry_run_changed_nothing() -> None:
    """It says so, and offers no command."""
    text = script(dry_run=True)
    assert "# This was a dry run: it changed nothing." in text.splitlines()
    assert "dry run" not in script()
    assert text.splitlines()[-1] == "# Nothing is left to put back."


ENDED: Step = ("ended", {"status": "complete", "state": "b", "reason": "", "frozen": [], "kept": [], "ways": []})


def test_a_complete_run_has_nothing_to_put_back_until_a_person_asks_for_it() -> None:
    """No command but in words; asked for, the same commands as ever, below a head that says what they would do."""
    steps = (*one("dr_publishing", {"A": "1"}), commit("go"), ENDED)
    text = script(*steps)
    assert all(line.startswith("#") for line in text.splitlines())
    assert "# Nothing needs to be put back." in text.splitlines()
    assert text.splitlines()[-1].endswith("drfsm status --by-hand --roll-back r")
    asked = "\n".join(commands(list(records_of(steps)), complete_too=True))
    assert "# THIS RUN IS COMPLETE, and nothing needs to be put back." in asked
    assert asked.splitlines()[-1].endswith(
        """'{"data": {"A": "1"}, "metadata": {"annotations": {"drfsm/before": null}}}'"""
    )


def test_a_store_without_an_endpoint_or_a_region_is_the_environments() -> None:
    """No option is given for what the run did not record; a kubeconfig is asked of the environment by its name."""
    bare = {"bucket": "bb", "prefix": "p", "namespace": "n", "configmap": "c"}
    text = script(*one("global_pointer", {"k": None}), *one("dr_publishing", {"A": "1"}), inputs=bare)
    assert "&& aws s3api delete-object --bucket bb --key k; else " in text
    again = script(intent("on", {"dr_publishing": {"A": "1"}}), inputs=bare)
    assert '\nkubectl --kubeconfig "$KUBECONFIG_DR" -n n patch configmap/c ' in again


@pytest.mark.parametrize(
    ("policy", "ours", "left"),
    [
        ([{"Sid": "Theirs"}, {"Sid": "Mine"}], [], [{"Sid": "Theirs"}]),
        ([{"Sid": "Mine"}], [], None),
        ([{"Sid": "Theirs"}], [{"Sid": "Mine", "old": 1}], [{"Sid": "Theirs"}, {"Sid": "Mine", "old": 1}]),
        ([{"Sid": "Mine", "new": 1}, {}], [{"Sid": "Mine", "old": 1}], [{}, {"Sid": "Mine", "old": 1}]),
        (None, [{"Sid": "Mine"}], [{"Sid": "Mine"}]),
        (None, [], None),
    ],
)
def test_an_edit_of_a_policy_leaves_every_other_statement(policy: Any, ours: list[Any], left: Any) -> None:
    """The statement of one Sid goes out or comes back; an empty line says that nothing of the policy is left."""
    given = json.dumps({"Version": "2012-10-17", "Id": "x", "Statement": policy}) if policy is not None else ""
    ended = subprocess.run(
        [sys.executable, "-c", _EDIT_POLICY, "Mine", json.dumps(ours)], input=given, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    edited = json.loads(ended.stdout) if ended.stdout.strip() else None
    assert edited == (None if left is None else {**json.loads(given or '{"Version": "2012-10-17"}'), "Statement": left})
