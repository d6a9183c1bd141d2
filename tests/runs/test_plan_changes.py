"""What a row would change, object by object: from an observation, and from there on from what earlier rows leave."""

import json
from typing import Any

import pytest

from drfsm.dr import workload
from drfsm.dr.procedures import MACHINES
from drfsm.resources import shipped
from drfsm.runs.plan_changes import OBJECTS, SUBJECTS, Projected, projected, subject
from drfsm.spec import load_machine
from drfsm.spec.model import By

SPECS = [load_machine((shipped("machines") / f"{name}.yaml").read_bytes(), source=name) for name in MACHINES]
INPUTS: dict[str, Any] = {
    "workload": workload.canonical(workload.shipped()), "bucket": "b", "prefix": "p", "candidate": "local",
    "namespace": "ns", "configmap": "cm", "dr_run_id": "2026-11-28T08:02:45Z", "primary_run_id": "2026-11-29T08:02:45Z",
    "resume_cronjobs": "", "fence_dr_role": "arn:aws:iam::1:role/dr",
}  # fmt: skip


def change(fact: str, value: str, seen: Any) -> Projected:
    """Return what a failback would change of a fact's objects."""
    return projected(fact, value, seen, INPUTS, "failback-1")


def words(change: Projected) -> list[str]:
    """Return each change on one line."""
    return [f"{each.object} | {each.before} -> {each.after}" for each in change.touched]


def test_every_fact_that_a_shipped_machine_sets_is_known_with_its_objects() -> None:
    """A row that is added to a machine needs a line in the table, or its plan would not say what it changes."""
    set_by_rows = {fact for spec in SPECS for row in spec.rows if row.by is By.RUNNER for fact in row.sets}
    assert set_by_rows - OBJECTS.keys() == set()
    assert OBJECTS.keys() - set_by_rows == set()


def test_the_subjects_are_facts_of_a_shipped_machine() -> None:
    """A fact that was renamed would be compared by its value alone."""
    assert SUBJECTS.keys() <= {fact for spec in SPECS for fact in spec.facts}
    assert subject("clusters", {"primary": "u1", "dr": "u2", "more": 1}) == {"primary": "u1", "dr": "u2"}
    assert subject("owner", {"site": "dr"}) == subject("clusters", None) == {}


def test_a_freeze_names_only_what_runs_and_the_thaw_what_ran_before() -> None:
    """A CronJob that was suspended before stays so, from the freeze to the thaw, though both are planned at once."""
    seen = {"daily": {"suspend": False, "before": None}, "old": {"suspend": True, "before": None}}
    freeze = change("primary_schedules", "off", seen)
    assert words(freeze) == ["primary: CronJob ns/daily | suspend: false -> suspend: true"]
    thaw = change("primary_schedules", "on", freeze.seen)
    assert words(thaw) == ["primary: CronJob ns/daily | suspend: true -> suspend: false"]
    assert thaw.seen == seen


def test_a_site_that_is_frozen_already_is_not_changed() -> None:
    """As the primary is after a promote; its thaw goes back to what was recorded on it."""
    recorded = json.dumps({"run": "promote-1", "suspend": False})
    freeze = change("primary_schedules", "off", {"daily": {"suspend": True, "before": recorded}})
    assert words(freeze) == []
    assert words(change("primary_schedules", "on", freeze.seen)) == [
        "primary: CronJob ns/daily | suspend: true -> suspend: false"
    ]


def test_publishing_goes_off_and_back_to_exactly_what_it_was() -> None:
    """Another spelling of yes is given back as it was; what is off is not changed."""
    seen = {"PUBLISH_S3": "true", "PUBLISH_S3_DRY_RUN": None, "before": None}
    silence = change("dr_publishing", "off", seen)
    assert words(silence) == [
        "DR: ConfigMap ns/cm | PUBLISH_S3: true -> PUBLISH_S3: 0",
        "DR: ConfigMap ns/cm | PUBLISH_S3_DRY_RUN: none -> PUBLISH_S3_DRY_RUN: 1",
    ]
    assert words(change("dr_publishing", "off", silence.seen)) == []
    assert change("dr_publishing", "on", silence.seen).seen == seen


POINTERS = {"p/a": {"run_id": INPUTS["dr_run_id"]}, "p/b": None, "p/c": {"run_id": INPUTS["primary_run_id"]}}


@pytest.mark.parametrize(
    ("fact", "value", "seen", "expected"),
    [
        ("owner", "dr", {"site": None}, ["s3://b/p/drfsm/ownership.json | site: none -> site: dr"]),
        ("owner", "dr", {"site": "dr"}, []),
        (
            "global_pointer", "primary", POINTERS,
            [f"s3://b/p/a | run_id: {INPUTS['dr_run_id']} -> run_id: {INPUTS['primary_run_id']}",
             f"s3://b/p/b | run_id: none -> run_id: {INPUTS['primary_run_id']}"],
        ),
        ("primary_fence", "down", {"statements": []}, []),
        (
            "runners", "gone", {"recorded": ["i-1", "i-2"], "states": {"i-1": "running", "i-2": "terminated"}},
            ["machine i-1 | running -> terminated"],
        ),
        ("validation_job", "present", None, ["primary: Job ns/drfsm-validation-failback-1 | none -> runs"]),
    ],
    ids=["nobody owns", "DR owns already", "pointers", "no fence", "one machine left", "a Job"],
)  # fmt: skip
def test_an_object_is_named_with_what_it_is_and_what_it_would_be(
    fact: str, value: str, seen: Any, expected: list[str]
) -> None:
    """What is as it should be is not named."""
    assert words(change(fact, value, seen)) == expected


def test_a_fence_that_is_raised_is_one_that_can_be_lifted_later_in_the_same_plan() -> None:
    """It names whom it denies."""
    raised = change("dr_fence", "up", {"statements": []})
    assert raised.touched[0].after == "denies arn:aws:iam::1:role/dr the pointers"
    assert [each.after for each in change("dr_fence", "down", raised.seen).touched] == ["none"]
    assert words(change("dr_fence", "up", raised.seen)) == []
