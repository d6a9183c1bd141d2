"""The summary is right after every way of ending, `status` names what to type, and what it names works as printed."""

import json
import signal
from collections.abc import Callable
from copy import deepcopy
from shlex import split

import pytest

from drfsm.errors import ExitCode
from tests.e2e.sites import Site, at, ended

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]

CRONJOB = ("--cronjob", "jobintel-daily")


@pytest.fixture
def site(shared: Site) -> Site:
    """Return the shared site, with a bundle of its own; each test ends with the world that it found."""
    shared.fresh()
    return shared


def printed(site: Site) -> list[str]:
    """Return the commands that `status` prints, as they are printed."""
    told = site.run("status", str(site.bundle))
    assert told.code == ExitCode.DONE, told
    after = told.out.partition("Next:\n")[2].splitlines()
    return [line.strip().split("  ")[0] for line in after if line.strip().startswith("drfsm ")]


def type_abort(site: Site) -> None:
    """Abort a run with the command that `status` prints for it, typed as it is printed."""
    (line,) = [each for each in printed(site) if each.startswith("drfsm abort")]
    told = site.shell(line)
    assert told.code == ExitCode.ABORTED, (line, told)
    summary = site.assert_told_truly("aborted")
    assert summary["kept"]
    assert summary["ways_on"] == []
    (replay,) = printed(site)
    assert site.shell(replay).code == ExitCode.DONE


def a_long_job(site: Site) -> str:
    """Start a Job on DR, from its CronJob, that works for a while; return its name."""
    dr = site.sandbox.dr
    template = deepcopy(dr.store.get("cronjobs", "jobintel", "jobintel-daily")["spec"]["jobTemplate"])
    container = template["spec"]["template"]["spec"]["containers"][0]
    more = {"SANDBOX_SLEEP_SECONDS": "600", "PUBLISH_S3": "0"}
    container["env"] = [*container.get("env", []), *({"name": name, "value": more[name]} for name in more)]
    name = f"by-hand-{site.bundle.name}"
    dr.apply({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": "jobintel"},
        "spec": template["spec"],
    })  # fmt: skip
    return name


def test_a_drain_that_takes_too_long_holds_and_says_what_is_frozen_and_how_to_go_on(site: Site) -> None:
    """Held, exit 4: the Job is named, DR is told to be frozen since when, and every command works as printed."""
    before, job = site.sites(), a_long_job(site)
    told = site.run(*site.failback("--drain-timeout", "1", *CRONJOB))
    assert told.code == ExitCode.HELD, told
    summary = site.assert_told_truly("held")
    assert (summary["state"], summary["failed_stage"]) == ("dr_demoted", "confirm_dr_quiesced")
    assert job in summary["reason"]
    assert {each["what"] for each in summary["frozen"]} >= {"DR's schedules are suspended", "DR's publishing is off"}
    assert isinstance(summary["nobody_can_publish_since"], str)
    status = site.run("status", str(site.bundle))
    assert "HELD in dr_demoted" in status.out
    assert "NOBODY CAN PUBLISH, since" in status.out
    assert site.run("status", str(site.bundle), "-o", "json").summary == summary
    resume = printed(site)[0]
    assert resume.startswith("drfsm resume")
    assert summary["ways_on"][0]["type"].startswith("drfsm resume")
    told = site.shell(resume)
    assert told.code == ExitCode.HELD, told
    assert site.assert_told_truly("held")["state"] == "dr_demoted"
    type_abort(site)
    assert site.sites() == before
    site.sandbox.dr.store.delete("jobs", "jobintel", job)


@pytest.mark.parametrize("stop", ["SIGINT", "SIGTERM"])
def test_one_signal_stops_at_the_next_clean_point(site: Site, stop: str) -> None:
    """The step in hand is finished and on record; held, exit 130; resume, as printed, goes on from there."""
    site.wire.deadly = at("intent", "freeze_dr", f"{stop}-before")
    told = site.run(*site.failback(*CRONJOB))
    assert told.code == ExitCode.INTERRUPTED, told
    assert "stopping at the next clean point" in told.err
    summary = site.assert_told_truly("held")
    assert site.transitions()[-1][1] == summary["state"]
    assert summary["ways_on"][0]["type"].startswith("drfsm resume")
    site.wire.deadly = at("intent", "capture_pointers", f"{stop}-after")
    told = site.run(*split(printed(site)[0])[1:])
    assert told.code == ExitCode.INTERRUPTED, told
    assert site.assert_told_truly("held")["state"] == "pointers_captured"
    type_abort(site)


def test_two_signals_stop_at_once_and_the_summary_says_interrupted(site: Site) -> None:
    """Whatever was in hand stays open; the summary on disk doesn't say that anybody still works on it."""
    place = at("intent", "silence_primary", "stop-before")
    process = site.put_to_sleep(site.failback(*CRONJOB), place)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    site.wire.wake()
    told = ended(process)
    assert told.code == ExitCode.INTERRUPTED, told
    summary = site.assert_told_truly("interrupted")
    assert summary["state"] == "primary_frozen"
    assert "INTERRUPTED in primary_frozen" in site.run("status", str(site.bundle)).out
    assert site.assert_told_truly("interrupted") == summary
    type_abort(site)


def test_after_sigkill_the_next_status_makes_the_summary_true(site: Site) -> None:
    """Killed, the summary still reads as running; `status` finds nobody at work, says so, and mends the file."""
    site.killed(site.failback(*CRONJOB), at("commit", "freeze_dr", "before"))
    assert site.summary()["status"] == "running"
    told = site.run("status", str(site.bundle), "-o", "json")
    assert told.summary == site.assert_told_truly("interrupted")
    assert told.summary["state"] == "primary_quiesced"
    assert told.summary["open_intent"]["trigger"] == "freeze_dr"
    status = site.run("status", str(site.bundle)).out
    assert "INTERRUPTED in primary_quiesced: no process works on it" in status
    assert "unfinished action: freeze_dr" in status
    assert site.run("list").out.splitlines()[0].startswith("interrupted")
    type_abort(site)


REFUSALS: dict[str, Callable[[Site], list[str]]] = {
    "confirm_intent": lambda site: site.failback(*CRONJOB, confirm2="CONFIRM-another"),
    "run_preflight": lambda site: site.failback(*CRONJOB, "--expect-account", "210987654321"),
    "run_preflight, of a later row's guard": lambda site: [
        each.replace(site.sandbox.dr_run_id, site.sandbox.primary_run_id) for each in site.failback(*CRONJOB)
    ],
}


@pytest.mark.parametrize("stage", REFUSALS)
def test_a_refusal_says_where_and_why_and_leaves_nothing_to_resume(site: Site, stage: str) -> None:
    """Refused, exit 3, at this stage: nothing is frozen, nothing moved, and resume only says so again."""
    before = site.versions(), site.pointers()
    told = site.run(*REFUSALS[stage](site))
    assert told.code == ExitCode.REFUSED, told
    summary = site.assert_told_truly("refused")
    assert (summary["failed_stage"], summary["frozen"], summary["ways_on"]) == (stage.partition(",")[0], [], [])
    assert (site.versions(), site.pointers()) == before
    assert site.run("resume", str(site.bundle)).code == ExitCode.REFUSED
    told = site.run("abort", str(site.bundle), "--reason", "r")
    assert (told.code, "the run has ended: refused" in told.err) == (ExitCode.ILLEGAL, True), told
    if stage != "confirm_intent":
        assert json.loads(site.body("jobintel/drfsm/lease.json"))["held"] is False


def test_json_on_stdout_is_the_summary_and_nothing_else(site: Site) -> None:
    """`-o json` prints what lies on disk, for every verb that ends a run; progress goes to stderr."""
    told = site.run(*site.failback("-o", "json", "--dry-run", *CRONJOB))
    assert told.summary == site.assert_told_truly("dry_run")
    site.fresh()
    site.killed(site.failback(*CRONJOB), at("intent", "freeze_primary", "before"))
    told = site.run("abort", str(site.bundle), "--reason", "r", "-o", "json")
    assert told.code == ExitCode.ABORTED, told
    assert told.summary == site.assert_told_truly("aborted")


def test_hold_lets_the_step_in_hand_end_and_stops_before_the_next(site: Site) -> None:
    """Asked from another shell: held, exit 4, with who asked and why; resume goes on."""
    process = site.put_to_sleep(site.failback(*CRONJOB), at("intent", "freeze_dr", "stop-before"))
    told = site.run("hold", str(site.bundle), "--reason", "the network people are at work", victim=False)
    assert (told.code, f"process {process.pid} on " in told.out) == (ExitCode.DONE, True), told
    site.wire.wake()
    told = ended(process)
    assert told.code == ExitCode.HELD, told
    summary = site.assert_told_truly("held")
    assert summary["state"] == "dr_frozen"
    assert "ann asked to hold: the network people are at work" in summary["reason"]
    type_abort(site)
