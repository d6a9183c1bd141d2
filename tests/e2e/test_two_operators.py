"""Two operators at once: one goes on, and whoever lost the lease writes nothing any more, wherever he wakes up."""

import json
from collections.abc import Callable

import pytest

from drfsm.errors import ExitCode
from tests.e2e.sites import Deadly, MakeSite, OnCluster, Place, Request, Site, at, at_write, ended

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]

CRONJOB = ("--cronjob", "jobintel-daily")


def take_over(site: Site, verb: str = "resume", *more: str) -> list[str]:
    """Return the command by which somebody goes on with a site's run from another machine."""
    sandbox = site.sandbox
    return [
        verb, site.mirror, "--take-over", site.run_id, "--kubeconfig-dr", str(sandbox.dr.kubeconfig),
        "--kubeconfig-primary", str(sandbox.primary.kubeconfig), "--expect-head", site.mirror_head(), *more,
    ]  # fmt: skip


def test_while_one_works_a_second_moves_nothing_and_is_told_who_works(make_site: MakeSite) -> None:
    """A second failback, a resume of the same bundle, pointers by hand: exit 5 each; the first then completes."""
    site = make_site()
    first = site.put_to_sleep(site.failback(), at("intent", "freeze_dr", "stop-before"))
    before = site.world()

    other = site.elsewhere("bob")
    told = other.run(*other.failback(), operator="bob", victim=False)
    assert told.code == ExitCode.LEASE_HELD, told
    assert site.world() == before
    summary = other.assert_told_truly("refused")
    assert f"held by the run {site.run_id}, started by ann" in summary["reason"]
    assert f"drfsm resume {site.bundle}" in told.err

    told = site.run("resume", str(site.bundle), operator="bob", victim=False)
    assert told.code == ExitCode.LEASE_HELD, told
    assert f"process {first.pid} on " in told.err
    told = site.run("abort", str(site.bundle), "--reason", "mine", victim=False)
    assert told.code == ExitCode.LEASE_HELD, told
    sandbox = site.sandbox
    run_id = sandbox.primary_run_id
    told = other.run(
        "pointers", "set", run_id, "--bucket", sandbox.bucket, "--confirm", f"CONFIRM-{run_id}", "--reason", "r",
        victim=False,
    )  # fmt: skip
    assert told.code == ExitCode.LEASE_HELD, told
    assert site.world() == before

    site.wire.wake()
    told = ended(first)
    assert told.code == ExitCode.DONE, told
    assert site.owner() == "primary"
    site.assert_told_truly("complete")


def at_kind(kind: str, when: str) -> Deadly:
    """Stop at the first record of a kind."""
    return lambda request: when if request.record.get("kind") == kind else ""


SLEEPS: dict[str, Callable[[], Place]] = {
    "between two freezes": lambda: OnCluster("dr", "PATCH", "cronjobs/jobintel-daily", "after"),
    "with a pointer on its way": lambda: at_write("state/openai/cs/last_success.json", "stop-before"),
    "with a pointer written, before its commit": lambda: at("commit", "switch_provider_pointers", "stop-before"),
    "while it waits": lambda: at_kind("sampled", "stop-before"),
}


@pytest.mark.parametrize("sleep", SLEEPS)
def test_who_was_taken_over_in_his_sleep_writes_nothing_any_more(make_site: MakeSite, sleep: str) -> None:
    """SIGSTOP in the middle, taken over and ended elsewhere, SIGCONT: LeaseLost, exit 5, and not one write."""
    site = make_site()
    site.second_cronjob()
    first = site.put_to_sleep(site.failback(*CRONJOB), SLEEPS[sleep]())

    other = site.elsewhere("bob")
    aborts = sleep == "between two freezes"
    end, status = (ExitCode.ABORTED, "aborted") if aborts else (ExitCode.DONE, "complete")
    verb = ["abort", "--reason", "too late tonight"] if aborts else ["resume"]
    unasked = [each for each in take_over(site, *verb) if each not in ("--take-over", site.run_id)]
    alone = other.run(*unasked, victim=False)
    assert alone.code == ExitCode.LEASE_HELD, alone
    assert f"--take-over {site.run_id}" in alone.err
    told = other.run(*take_over(site, *verb), operator="bob", victim=False)
    assert told.code == end, told
    before, records = site.world(), site.records()

    site.wire.wake()
    told = ended(first)
    assert told.code == ExitCode.LEASE_HELD, told
    assert site.world() == before
    assert site.records() == records
    assert "this process stops" in told.err or "the run continues elsewhere" in told.err
    site.assert_told_truly("interrupted")

    # The sleeper's bundle learns what became of the run, and says so from then on.
    told = site.run("resume", str(site.bundle), "--expect-head", site.mirror_head())
    assert told.code == end, told
    summary = site.assert_told_truly(status)
    assert summary["operators"] == ["ann", "bob"]
    assert site.world() == before
    assert site.run("replay", str(site.bundle), "--quiet").code == ExitCode.DONE


def test_of_two_who_resume_in_the_same_moment_exactly_one_goes_on(make_site: MakeSite) -> None:
    """From two homes, held at the gate until both are about to take the lease: one completes, one is told."""
    site = make_site()
    site.killed(site.failback(), at("commit", "freeze_primary", "before"))
    left = [2]

    def both(request: Request) -> str:
        if request.method == "PUT" and request.key.endswith("lease.json") and left[0]:
            left[0] -= 1
            return "gate-before"
        return ""

    site.wire.deadly = both
    operators = [site.elsewhere(name) for name in ("bob", "cleo")]
    processes = [each.start(*take_over(site), operator=each.directory.name) for each in operators]
    told = [ended(each) for each in processes]
    assert left == [0]
    assert sorted(each.code for each in told) == [ExitCode.DONE, ExitCode.LEASE_HELD], told
    winner = operators[[each.code for each in told].index(ExitCode.DONE)]
    lines = (winner.home / "runs" / site.run_id / "state_transitions.log").read_bytes().splitlines(keepends=True)
    home = f"jobintel/drfsm/runs/{site.run_id}"
    assert [site.body(f"{home}/{number:06d}.json") for number in range(len(lines))] == lines
    assert site.owner() == "primary"
    assert len(site.jobs("validation")) == len(site.jobs("soak")) == 1
    assert json.loads(site.body("jobintel/drfsm/lease.json"))["held"] is False
    assert winner.run("replay", site.run_id, "--quiet").code == ExitCode.DONE
