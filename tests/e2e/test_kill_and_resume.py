"""A failback is killed at exact places, in every row that matters, and goes on to the same end.

One world dies many times on its way: each case walks the whole procedure and is killed at the same place of
every row. What must come out is what an undisturbed run leaves behind, whatever it was that died.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from drfsm.errors import ExitCode
from tests.e2e.requests_of import Counted, assert_as_told
from tests.e2e.sites import SECOND, MakeSite, OnCluster, Place, Site, at, at_call, at_first, at_write

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]

CRONJOB = ("--cronjob", "jobintel-daily")
STATE = "/state/"
ON = {"PUBLISH_S3": "1", "PUBLISH_S3_DRY_RUN": "0"}
OFF = {"PUBLISH_S3": "0", "PUBLISH_S3_DRY_RUN": "1"}


def first_write(trigger: str, when: str = "before") -> Place:
    """Return the place of a row's first write to the world."""
    places: dict[str, Place] = {
        "confirm_dr_promoted": at_write("drfsm/ownership.json", when),
        "freeze_dr": OnCluster("dr", "PATCH", "cronjobs/jobintel-daily", when),
        "demote_dr": OnCluster("dr", "PATCH", "configmaps/jobintel-config", when),
        "start_validation": OnCluster("primary", "POST", "namespaces/jobintel/jobs", when),
        "publish_artifacts": at_write("jobintel/runs/", when),
        "enable_primary_publish": OnCluster("primary", "PATCH", "configmaps/jobintel-config", when),
        "switch_provider_pointers": at_write("state/candidates/local/openai/cs/last_success.json", when),
        "switch_global_pointer": at_write("drfsm/ownership.json", when, body=b'"site": "primary"'),
        "switch_latest": at_write("/latest/", when),
        "resume_primary": OnCluster("primary", "PATCH", "cronjobs/jobintel-daily", when),
        "tear_down_dr": at_call(b"TerminateInstances", when),
    }
    return places[trigger]


def second_write(trigger: str) -> Place:
    """Return the place between the writes of a row that makes several."""
    places: dict[str, Place] = {
        "freeze_dr": OnCluster("dr", "PATCH", f"cronjobs/{SECOND}", "before"),
        "publish_artifacts": at_write("jobintel/runs/", "before", 2),
        "switch_provider_pointers": at_write("state/openai/cs/last_success.json", "before"),
        "switch_global_pointer": at_write("state/candidates/local/last_success.json", "before"),
        "switch_latest": at_write("/latest/", "before", 2),
        "resume_primary": OnCluster("primary", "PATCH", f"cronjobs/{SECOND}", "before"),
    }
    return places[trigger]


def last_write(trigger: str) -> Place:
    """Return the place after a row's last write, before anything is read again."""
    places: dict[str, Place] = {
        "freeze_dr": OnCluster("dr", "PATCH", f"cronjobs/{SECOND}", "after"),
        "publish_artifacts": at_write("jobintel/runs/", "after", 5),
        "switch_provider_pointers": at_write("state/openai/cs/last_success.json", "after"),
        "switch_global_pointer": at_write("jobintel/state/last_success.json", "after"),
        "switch_latest": at("commit", trigger, "before"),
        "resume_primary": OnCluster("primary", "PATCH", f"cronjobs/{SECOND}", "after"),
    }
    return places.get(trigger) or first_write(trigger, "after")


SINGLE = ("confirm_dr_promoted", "demote_dr", "start_validation", "enable_primary_publish", "tear_down_dr")
"""The rows that make one write."""
ROWS = (
    "confirm_dr_promoted", "freeze_dr", "demote_dr", "start_validation", "publish_artifacts", "enable_primary_publish",
    "switch_provider_pointers", "switch_global_pointer", "switch_latest", "resume_primary", "tear_down_dr",
)  # fmt: skip
PAIRS = ("freeze_dr", "switch_provider_pointers", "switch_global_pointer")
PLACES: Mapping[str, Callable[[str], list[Place]]] = {
    "before its intent, or when its commit lies in S3 only": lambda row: [
        at("commit", row, "after") if ROWS.index(row) % 2 else at("intent", row, "before")
    ],
    "between intent and action": lambda row: [first_write(row)],
    "in the middle of its writes": lambda row: [] if row in SINGLE else [second_write(row)],
    "after its action, before its commit": lambda row: [last_write(row)],
    "again and again": lambda row: (
        [at("intent", row, "after"), second_write(row), at("commit", row, "before")] if row in PAIRS else []
    ),
}
IN_THE_MIDDLE, DONE_ALREADY = "in the middle of its writes", "after its action, before its commit"


def prepared(make_site: MakeSite) -> Site:
    """Return a site on which every action of these rows has several things to do."""
    site = make_site()
    site.second_cronjob()
    for key in site.objects("jobintel/latest/"):  # like runs have like files: there would be nothing to switch
        site.s3.delete_object(Bucket=site.sandbox.bucket, Key=key)
    return site


def end_of(site: Site) -> dict[str, Any]:
    """Return what a run leaves behind, without what differs from run to run: ids and times."""
    validated = site.records()[0]["body"]["inputs"]["primary_run_id"]
    soaked = str(json.loads(site.body("jobintel/state/last_success.json"))["run_id"])
    assert soaked not in (site.sandbox.dr_run_id, site.sandbox.primary_run_id, validated)
    plain = json.dumps([site.pointers(), site.sites(), sorted(site.objects("jobintel/latest/"))])
    for name, run_id in {"<validated>": validated, "<soaked>": soaked}.items():
        plain = plain.replace(run_id, name)
    plain = re.sub(r'"ended_at": "[^"]+"', '"ended_at": "<then>"', plain).replace(site.sandbox.dr_run_id, "<dr>")
    plain = plain.replace(site.run_id, "<run>")
    pointers, sites, latest = json.loads(plain)
    return {
        "pointers": pointers, "sites": sites, "latest": latest, "owner": site.owner(),
        "validations": len(site.jobs("validation")), "soaks": len(site.jobs("soak")),
        "runner": site.sandbox._runner_state(),
    }  # fmt: skip


def assert_right_end(site: Site) -> None:
    """Assert what every complete failback leaves behind, said in plain words."""
    end = end_of(site)
    assert [each["run_id"] for each in end["pointers"].values()] == ["<soaked>"] * 4
    assert {each["run_path"] for each in end["pointers"].values()} == {"jobintel/runs/<soaked>"}
    primary, dr = end["sites"]["primary"], end["sites"]["dr"]
    assert primary["cronjobs"] == {"jobintel-daily": [False, {}], SECOND: [False, {}]}
    assert primary["config"][0].items() >= ON.items()
    assert primary["config"][1] == {}
    frozen = json.dumps({"run": "<run>", "suspend": False})
    assert dr["cronjobs"] == {name: [True, {"drfsm/before": frozen}] for name in ("jobintel-daily", SECOND)}
    assert dr["config"][0].items() >= OFF.items()
    assert json.loads(dr["config"][1]["drfsm/before"]) == {"data": ON, "run": "<run>"}
    assert len(end["latest"]) == 5
    assert (end["owner"], end["validations"], end["soaks"], end["runner"]) == ("primary", 1, 1, "terminated")


def assert_whole(site: Site, status: str = "complete") -> None:
    """Assert that the evidence holds: summary, replay, and the mirror, byte for byte."""
    summary = site.summary()
    assert (summary["status"], summary["journal"]["sealed"]) == (status, True)
    assert summary["journal"]["records"] == len(site.records())
    told = site.run("replay", str(site.bundle), "--quiet", "--expect-head", summary["journal"]["head"])
    assert told.code == ExitCode.DONE, told
    assert "The evidence holds" in told.out
    lines = (site.bundle / "state_transitions.log").read_bytes().splitlines(keepends=True)
    home = f"jobintel/drfsm/runs/{site.run_id}"
    assert [site.body(f"{home}/{number:06d}.json") for number in range(len(lines))] == lines


def intents(site: Site) -> Mapping[str, list[dict[str, Any]]]:
    """Return every intent of the journal, by trigger."""
    found: dict[str, list[dict[str, Any]]] = {}
    for each in site.records():
        if each["kind"] == "intent":
            found.setdefault(each["body"]["trigger"], []).append(each["body"])
    return found


def commits(site: Site, trigger: str) -> list[dict[str, Any]]:
    """Return the commits of a trigger."""
    return [e["body"] for e in site.records() if e["kind"] == "commit" and e["body"]["trigger"] == trigger]


def pointer_writes(site: Site) -> dict[str, int]:
    """Return how often drfsm itself wrote each pointer, and really reached S3 with it."""
    found: dict[str, int] = {}
    for each in site.wire.passed:
        if each.method == "PUT" and STATE in each.key:
            found[each.key] = found.get(each.key, 0) + 1
    return found


def test_an_undisturbed_failback_leaves_what_every_other_case_is_held_against(make_site: MakeSite) -> None:
    """Nothing disturbs it: every action is done once, and the primary publishes, owns, and is verified.

    It makes as many requests as docs/requests.md tells.
    """
    site = prepared(make_site)
    counted = Counted(site)
    told = site.run(*site.failback(*CRONJOB))
    assert told.code == ExitCode.DONE, told
    assert_as_told(counted)
    assert_right_end(site)
    assert_whole(site)
    assert {len(each) for each in intents(site).values()} == {1}
    assert set(pointer_writes(site).values()) == {1}


@pytest.mark.parametrize("place", PLACES)
def test_killed_in_every_row_it_ends_as_if_undisturbed(make_site: MakeSite, place: str) -> None:
    """SIGKILL at the same place of every row, each time resumed: the same end, and nothing is done twice unseen."""
    site = prepared(make_site)
    command = site.failback(*CRONJOB)
    for row in ROWS:
        for deadly in PLACES[place](row):
            site.killed(command, deadly)
            command = ["resume", str(site.bundle)]
    told = site.run(*command)
    assert told.code == ExitCode.DONE, told
    assert_right_end(site)
    assert_whole(site)
    assert set(pointer_writes(site).values()) == {1}
    for row in ROWS if place == IN_THE_MIDDLE else ():
        if PLACES[place](row):
            first, redone = intents(site)[row]
            assert (row, first["attempt"], redone["attempt"]) == (row, 1, 2)
            # It was read again, and saw its own half; an abort would still give back what the first look saw.
            assert (row, redone["before"]) != (row, first["before"])
    for row in ROWS if place == DONE_ALREADY else ():
        (committed,) = commits(site, row)
        # Done before the kill: the probe finds it, and only the commit is written.
        assert (row, committed["how"], committed["case"]) == (row, "found", "C")
        assert (row, len(intents(site)[row])) == (row, 1)


def test_killed_before_its_first_request_it_has_changed_nothing_anywhere(make_site: MakeSite) -> None:
    """Before the lease nothing is called; a resume then takes the whole way."""
    site = prepared(make_site)
    before = site.world()
    site.killed(site.failback(*CRONJOB), at_first("before"))
    assert site.wire.passed == []
    assert site.world() == before
    assert [each["kind"] for each in site.records()] == ["run_started", "commit"]
    told = site.run("resume", str(site.bundle))
    assert told.code == ExitCode.DONE, told
    assert_right_end(site)
    assert_whole(site)


def test_after_the_point_of_no_return_only_forward_is_left(make_site: MakeSite) -> None:
    """Killed after the first of the final writes: abort is illegal and moves nothing, resume completes."""
    site = prepared(make_site)
    site.killed(site.failback(*CRONJOB), first_write("switch_global_pointer", "after"))
    before = site.pointers(), site.sites()
    told = site.run("abort", str(site.bundle), "--reason", "second thoughts")
    assert told.code == ExitCode.ILLEGAL, told
    assert "point of no return" in told.err
    assert (site.pointers(), site.sites()) == before
    told = site.run("resume", str(site.bundle))
    assert told.code == ExitCode.DONE, told
    assert_right_end(site)
    assert_whole(site)
