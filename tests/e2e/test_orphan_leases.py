"""A start that died, was refused, or was held before any change keeps nobody out; no epoch comes again.

Real processes, killed and stopped at exact requests. Nothing is moved on either site, so that all share one world.
"""

import json
import signal
from itertools import count
from typing import Any

import pytest

from drfsm.errors import ExitCode
from tests.e2e.sites import Deadly, Request, Site, Told, at

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]

LEASE = "jobintel/drfsm/lease.json"
REFUSED = ("--expect-account", "999999999999")
"""What preflight refuses: such a run takes the lease, moves nothing, and ends."""
NUMBERS = count()


def at_record(number: int, when: str) -> Deadly:
    """Die where a journal's n-th record is written to S3."""
    ending = f"/{number:06d}.json"
    return lambda request: when if request.method == "PUT" and request.key.endswith(ending) else ""


def at_lease(count: int, when: str) -> Deadly:
    """Die at the n-th write of the lease."""
    left = [count]

    def deadly(request: Request) -> str:
        if request.method != "PUT" or request.key != LEASE:
            return ""
        left[0] -= 1
        return when if left[0] == 0 else ""

    return deadly


def interrupted(request: Request) -> str:
    """Get Ctrl-C where the commit of the preflight is written: the run is held right after it."""
    return at("commit", "run_preflight", "SIGINT-before")(request)


def lease(site: Site) -> dict[str, Any]:
    """Return the lease."""
    content: dict[str, Any] = json.loads(site.body(LEASE))
    return content


def begin_elsewhere(shared: Site, name: str) -> Site:
    """Return the sites as a machine sees them on which nobody has worked yet."""
    return shared.elsewhere(f"{name}-{next(NUMBERS)}")


def refused_run(shared: Site) -> Site:
    """Let another operator begin a run that preflight refuses; return where he did."""
    other = begin_elsewhere(shared, "bob")
    told = other.run(*other.failback(*REFUSED), operator="bob", victim=False)
    assert told.code == ExitCode.REFUSED, told
    assert lease(shared)["held"] is False
    assert other.run("replay", str(other.bundle), "--quiet", victim=False).code == ExitCode.DONE
    return other


def taken_from(site: Site) -> Any:
    """Return from whom the lease was taken, by the run's own record."""
    (record,) = [record for record in site.records() if record["kind"] == "lease_acquired"]
    return record["body"].get("taken_from")


def without_lease(world: tuple[dict[str, str], dict[str, str]]) -> Any:
    """Return a world without the lease's version."""
    objects, versions = world
    return {key: etag for key, etag in objects.items() if key != LEASE}, versions


def test_a_start_that_was_killed_before_its_first_record_blocks_nobody(shared: Site) -> None:
    """The next start takes the lease and says why; the dead run can't come back: it ends refused, told by whom."""
    dead = begin_elsewhere(shared, "ann")
    dead.killed(dead.failback(), at_record(0, "before"))
    assert (lease(shared)["held"], lease(shared)["run_id"]) == (True, dead.run_id)
    epoch = lease(shared)["epoch"]
    home = f"jobintel/drfsm/runs/{dead.run_id}/"
    assert shared.objects(home) == {}

    other = refused_run(shared)
    assert taken_from(other) == {"run_id": dead.run_id, "why": "no_record"}
    assert lease(shared)["epoch"] == epoch + 1
    assert list(shared.objects(home)) == [f"{home}000000.json"]
    assert json.loads(shared.body(f"{home}000000.json"))["body"]["revoked_by"] == other.run_id

    before = without_lease(shared.world())
    told = dead.run("resume", str(dead.bundle))
    assert told.code == ExitCode.LEASE_HELD, told
    assert f"was revoked by the run {other.run_id} (bob on " in told.err
    assert f"drfsm status {other.mirror}" in told.err
    dead.assert_told_truly("refused")
    assert lease(shared)["held"] is False
    assert without_lease(shared.world()) == before
    assert dead.run("replay", str(dead.bundle), "--quiet").code == ExitCode.DONE

    told = dead.run("status", dead.mirror)
    assert (told.code, "was revoked by the run" in told.err) == (ExitCode.LEASE_HELD, True), told
    rows = json.loads(dead.run("list", f"s3://{shared.sandbox.bucket}/jobintel", "-o", "json").out)
    (row,) = [row for row in rows if row["run_id"] == dead.run_id]
    assert row["status"] == "refused"


def test_a_starter_that_wakes_up_late_fails_at_its_first_record(shared: Site) -> None:
    """SIGSTOP between the lease and the first record, another run since, SIGCONT: refused, and not one write."""
    late = begin_elsewhere(shared, "ann")
    process = late.put_to_sleep(late.failback(), at_record(0, "stop-before"))
    other = refused_run(shared)
    assert taken_from(other)["why"] == "no_record"
    before = shared.world()
    shared.wire.wake()
    out, err = process.communicate(timeout=240)
    told = Told(process.wait(), out, err)
    assert told.code == ExitCode.LEASE_HELD, told
    assert f"was revoked by the run {other.run_id}" in told.err
    assert shared.world() == before
    late.assert_told_truly("refused")
    assert late.run("replay", str(late.bundle), "--quiet").code == ExitCode.DONE


def test_a_refused_run_that_was_killed_before_it_gave_the_lease_back_blocks_nobody(shared: Site) -> None:
    """Its end is on record in S3. A resume of the dead one gives back nothing that is another's by then."""
    dead = begin_elsewhere(shared, "ann")
    dead.killed(dead.failback(*REFUSED), at_lease(2, "before"))
    assert lease(shared)["held"] is True
    other = refused_run(shared)
    assert taken_from(other) == {"run_id": dead.run_id, "why": "ended"}
    before = shared.world()
    assert dead.run("resume", str(dead.bundle)).code == ExitCode.REFUSED
    assert shared.world() == before


def test_an_ended_run_gives_the_lease_back_when_it_is_resumed(shared: Site) -> None:
    """Killed before its goodbye, and resumed where it ran: the lease is free."""
    dead = begin_elsewhere(shared, "ann")
    dead.killed(dead.failback(*REFUSED), at_lease(2, "before"))
    assert dead.run("resume", str(dead.bundle)).code == ExitCode.REFUSED
    assert lease(shared)["held"] is False


def test_a_run_whose_lease_could_not_be_written_down_gives_it_back(shared: Site) -> None:
    """S3 takes the lease and loses every record: the run stops, and the next start is not kept waiting."""
    dumb = begin_elsewhere(shared, "ann")
    lost = "/drfsm/runs/"
    shared.wire.deadly = lambda request: "lose-before" if request.method == "PUT" and lost in request.key else ""
    told = dumb.run(*dumb.failback())
    shared.wire.deadly = lambda _request: ""
    assert told.code in (ExitCode.HELD, ExitCode.REFUSED), told
    assert lease(shared)["held"] is False
    assert taken_from(refused_run(shared)) is None


def test_a_run_that_is_held_in_preflight_keeps_no_lease_and_goes_on_with_a_higher_epoch(shared: Site) -> None:
    """Another run works meanwhile; the first is then aborted under an epoch of its own, and its evidence holds."""
    first = begin_elsewhere(shared, "ann")
    shared.wire.deadly = interrupted
    told = first.run(*first.failback())
    assert told.code == ExitCode.INTERRUPTED, told
    assert first.records()[-1]["body"]["lease"] == "released"
    assert lease(shared)["held"] is False
    assert taken_from(refused_run(shared)) is None
    told = first.run("abort", str(first.bundle), "--reason", "the other one was it")
    assert told.code == ExitCode.ABORTED, told
    epochs = [record["body"]["epoch"] for record in first.records() if record["kind"] == "lease_acquired"]
    assert epochs[1] == epochs[0] + 2
    assert first.run("replay", str(first.bundle), "--quiet").code == ExitCode.DONE


def test_a_hold_in_preflight_that_was_killed_before_it_gave_the_lease_back_blocks_nobody(shared: Site) -> None:
    """Its hold says on record that the lease may be taken."""
    dead = begin_elsewhere(shared, "ann")
    release = at_lease(2, "before")

    def deadly(request: Request) -> str:
        if interrupted(request) and shared.wire.victim:
            shared.wire.victim.send_signal(signal.SIGINT)
        return release(request)

    dead.killed(dead.failback(), deadly)
    assert lease(shared)["held"] is True
    assert taken_from(refused_run(shared)) == {"run_id": dead.run_id, "why": "released"}


@pytest.mark.parametrize("alive", [True, False], ids=["while it works", "after it was killed"])
def test_a_lease_that_is_deleted_breaks_no_evidence(shared: Site, *, alive: bool) -> None:
    """A process at work stops and is told that it was deleted; the next one has a higher epoch, and replay holds."""
    run = begin_elsewhere(shared, "ann")
    place = at("commit", "run_preflight", "stop-before" if alive else "before")
    if alive:
        process = run.put_to_sleep(run.failback(), place)
    else:
        run.killed(run.failback(), place)
    shared.s3.delete_object(Bucket=shared.sandbox.bucket, Key=LEASE)
    if alive:
        shared.wire.wake()
        out, err = process.communicate(timeout=240)
        told = Told(process.wait(), out, err)
        assert told.code == ExitCode.LEASE_HELD, told
        assert "somebody deleted it" in told.err
        assert "drfsm resume" in told.err
    told = run.run("abort", str(run.bundle), "--reason", "enough")
    assert told.code == ExitCode.ABORTED, told
    epochs = [record["body"]["epoch"] for record in run.records() if record["kind"] == "lease_acquired"]
    assert epochs == sorted(set(epochs))
    told = run.run("replay", str(run.bundle), "--quiet")
    assert told.code == ExitCode.DONE, told
    assert lease(shared)["epoch"] == epochs[-1]
