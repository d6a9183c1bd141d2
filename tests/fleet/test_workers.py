"""Runs on Temporal's own server: workers that die anywhere, the server too, and people who ask for what is illegal.

The worlds are files (memory_runs.py); the server, the workers, the journal in its mirror, the lease and the rules are
real. Afterwards every journal passes the audit, and every world is as after a run that nobody disturbed.
"""

import asyncio
import json
import random
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from drfsm.evidence.audit import audit
from drfsm.fleet.workflows import FLEET, ILLEGAL, RUN
from drfsm.journal import RunState, fold, read
from drfsm.journal.mirror import home_of
from drfsm.sandbox.temporal_server import Server
from drfsm.testing.world import binding_of
from tests.fleet.conftest import Workers, with_temporal
from tests.fleet.folder_store import FolderStore
from tests.fleet.memory_runs import PREFIX, FileData, machine, make_pair
from tests.fleet.test_stale_workers import undisturbed

pytestmark = [with_temporal, pytest.mark.timeout(300)]

HOME_SECONDS, BEAT_SECONDS = 2.0, 2.0
SEED = 20261129  # of the moments at which workers are killed

Handle = WorkflowHandle[Any, Any]


def task(pair: str, procedure: str, **more: Any) -> dict[str, Any]:
    """Return what a run's workflow starts with."""
    sha256 = machine(procedure)[0].sha256
    return {
        "run_id": f"{procedure}-20261129t000000z-{pair}", "pair": pair, "procedure": procedure, "started_by": "ada",
        "machine_sha256": sha256, "entry_sha256": "0" * 64, "home_seconds": HOME_SECONDS,
        "heartbeat_seconds": BEAT_SECONDS, "longest_history": 60,
        "workflow_id": f"{pair}-{sha256[:6]}", **more,
    }  # fmt: skip


async def begun(client: Client, workers: Workers, pair: str, procedure: str, **more: Any) -> Handle:
    """Start a run of a new pair."""
    make_pair(workers.directory, pair, procedure)
    return await client.start_workflow(
        RUN, task(pair, procedure, **more), id=f"{workers.queue}-{pair}", task_queue=workers.queue
    )


def state_of(workers: Workers, pair: str, procedure: str) -> RunState:
    """Return where a run stands, by its mirror."""
    return fold(read(lines_of(workers, pair, procedure)).records)


def lines_of(workers: Workers, pair: str, procedure: str) -> tuple[bytes, ...]:
    """Return a run's journal."""
    from drfsm.adapters.s3_journal import fetch

    store: Any = FolderStore(workers.directory / pair / "store")
    return fetch(store, home_of(PREFIX, task(pair, procedure)["run_id"]))


def assert_whole(workers: Workers, pair: str, procedure: str) -> None:
    """Assert that a run is complete, sealed and audited, and that its world is as after any such run."""
    lines, spec = lines_of(workers, pair, procedure), machine(procedure)[0]
    state = fold(read(lines).records)
    assert (state.status, state.sealed) == ("complete", True), (pair, state.state, state.reason)
    verdict = audit(b"".join(lines), spec, judges=binding_of(spec).judges)
    assert verdict.ok, f"{pair}: " + "\n".join(verdict.lines())
    assert FileData(workers.directory / pair / "world.json").all() == undisturbed(procedure), pair


def ended(position: Mapping[str, Any]) -> bool:
    """Whether a run has ended, by its workflow."""
    return bool(position.get("ended"))


async def fired(handle: Handle, trigger: str, **args: str) -> Mapping[str, Any]:
    """Fire a trigger; return where the run stands then."""
    asked = {"trigger": trigger, "operator": "grace", "args": {"reason": "a test", **args}}
    return dict(await asyncio.wait_for(handle.execute_update("fire", asked), 60))


async def until(
    handle: Handle, holds: Callable[[Mapping[str, Any]], bool], query: str = "position"
) -> Mapping[str, Any]:
    """Wait until what a workflow answers to a query is so; return it."""
    answer: Mapping[str, Any] = {}
    for _ in range(1200):
        with suppress(RPCError):  # the workflow is in the memory of a worker that sleeps, for a while
            answer = dict(await handle.query(query))
        if answer and holds(answer):
            return answer
        await asyncio.sleep(0.05)
    raise AssertionError(f"it never came so far: {answer}")


def test_workers_and_the_server_killed_at_random_harm_no_run(server: Server, workers: Workers) -> None:
    """Twelve runs, three workers, one killed each second, and the server in the middle: all complete."""
    chance = random.Random(SEED)  # noqa: S311  moments, no secrets
    pairs = {f"p{number}": "failback" if number % 4 == 3 else "drill" for number in range(12)}

    async def play() -> None:
        client = await Client.connect(server.address)
        for _ in range(3):
            workers.start(slow_seconds=0.02)
        runs = {pair: await begun(client, workers, pair, procedure) for pair, procedure in pairs.items()}
        ends = asyncio.gather(*(handle.result() for handle in runs.values()))
        for blow in range(10):
            await asyncio.sleep(1 + chance.random())
            victim = chance.choice([process for process in workers.processes if process.poll() is None])
            victim.kill()
            workers.start(slow_seconds=0.02)
            if blow == 4:
                await asyncio.to_thread(server.kill)
                assert not await asyncio.to_thread(server.start)
        for end in await asyncio.wait_for(ends, 200):
            assert end["status"] == "complete", end

    asyncio.run(play())
    for pair, procedure in pairs.items():
        assert_whole(workers, pair, procedure)
    leases = [line for pair in pairs for line in lines_of(workers, pair, pairs[pair]) if b"lease_acquired" in line]
    assert len(leases) > len(pairs), "no run was ever taken over: the workers were killed too late"


def test_what_is_illegal_is_refused_and_moves_nothing(server: Server, workers: Workers) -> None:
    """In each state that the run is held in, every trigger but the legal ones is refused, without a record."""

    async def play() -> None:
        client = await Client.connect(server.address)
        handle = await begun(client, workers, "p", "failback")
        workers.start(slow_seconds=0.05)
        spec, held_in = machine("failback")[0], set[str]()
        position: Mapping[str, Any]
        while not (position := dict(await handle.query("position"))).get("ended"):
            if position.get("status") != "held":
                asked = await fired(handle, "hold") if len(held_in) < 6 else await until(handle, ended)
                position = asked
            if position["status"] != "held":
                continue
            before = lines_of(workers, "p", "failback")
            for trigger in sorted({*spec.triggers, "hold", "no_such_trigger"} - set(position["ways"])):
                with pytest.raises(WorkflowUpdateFailedError) as refused:
                    await fired(handle, trigger)
                cause = refused.value.cause
                assert isinstance(cause, ApplicationError)
                assert cause.type == ILLEGAL, trigger
            assert lines_of(workers, "p", "failback") == before
            held_in.add(position["state"])
            await fired(handle, "resume")
            await until(handle, lambda now, left=position["state"]: now.get("state") != left)  # type: ignore[misc]
        assert len(held_in) >= 4, held_in

    asyncio.run(play())
    assert_whole(workers, "p", "failback")


def test_an_abort_is_done_by_a_worker_and_gives_all_back(server: Server, workers: Workers) -> None:
    """Asked for in the middle of a row: the row ends at its next clean point, then everything is undone."""

    async def play() -> Mapping[str, Any]:
        client = await Client.connect(server.address)
        handle = await begun(client, workers, "p", "failback")
        workers.start(slow_seconds=0.05)
        await until(handle, lambda position: int(position.get("moves") or 0) >= 8)
        await fired(handle, "abort")
        return dict(await asyncio.wait_for(handle.result(), 60))

    assert asyncio.run(play())["status"] == "aborted"
    state = state_of(workers, "p", "failback")
    assert (state.status, state.undo) == ("aborted", ())


def test_a_live_run_of_a_worker_that_may_be_alive_waits_for_a_person(server: Server, workers: Workers) -> None:
    """A worker is stopped, not killed: the other one may not take over, until a person says that it has ended."""

    async def play() -> None:
        client = await Client.connect(server.address)
        sleeper = workers.start(slow_seconds=0.1)
        handle = await begun(client, workers, "p", "failback", patience=2)
        await until(handle, lambda position: int(position.get("moves") or 0) >= 5)
        sleeper.send_signal(signal.SIGSTOP)
        workers.start()
        position = await until(handle, lambda position: position.get("status") == "held")
        assert "take_over" in position["ways"], position
        before = lines_of(workers, "p", "failback")
        with pytest.raises(WorkflowUpdateFailedError):
            await fired(handle, "abort")  # what the journal says is not known to anybody but its worker
        assert lines_of(workers, "p", "failback") == before
        await fired(handle, "take_over")
        sleeper.send_signal(signal.SIGCONT)  # it was only asleep: the person was wrong, and it does nothing more
        assert (await asyncio.wait_for(handle.result(), 60))["status"] == "complete"

    asyncio.run(play())
    assert_whole(workers, "p", "failback")


def test_a_fleet_goes_in_waves_waits_for_approval_and_stops_after_failures(server: Server, workers: Workers) -> None:
    """A poisoned run holds up no other; after one failure no wave begins; an approval must name the wave that waits."""

    async def play() -> None:
        client = await Client.connect(server.address)
        for pair in "abcdef":
            make_pair(workers.directory, pair, "drill")
        workers.start(poisoned="c")
        waves = [[{**task(pair, "drill"), "run_id": ""} for pair in wave] for wave in ("ab", "cd", "ef")]
        body = {"waves": waves, "at_once": 2, "stop_after": 1, "approval": "after_first"}
        handle: Handle = await client.start_workflow(FLEET, body, id=workers.queue, task_queue=workers.queue)
        said = await until(handle, lambda standing: bool(standing["waits_for_approval"]), "standing")
        assert said["ends"] == {"a": "complete", "b": "complete"}
        for wrong in ({"wave": 1, "operator": "eve", "ticket": "X"}, {"wave": 2, "operator": "eve", "ticket": ""}):
            with pytest.raises(WorkflowUpdateFailedError):
                await handle.execute_update("approve", wrong)
        await handle.execute_update("approve", {"wave": 2, "operator": "grace", "ticket": "CHG-1"})
        end = dict(await asyncio.wait_for(handle.result(), 60))
        assert end["ends"] == {"a": "complete", "b": "complete", "c": "refused", "d": "complete"}
        assert "c" in end["stopped"]
        assert [by["operator"] for by in end["approvers"]] == ["grace"]

    asyncio.run(play())


def test_a_worker_that_is_asked_to_end_leaves_its_runs_to_any_other(server: Server, workers: Workers) -> None:
    """SIGTERM in the middle of a live run: its last write says that it left, so nobody has to vouch for its end."""

    async def play() -> None:
        client = await Client.connect(server.address)
        first = workers.start(slow_seconds=0.1)
        handle = await begun(client, workers, "p", "failback")
        await until(handle, lambda position: int(position.get("moves") or 0) >= 5)
        first.terminate()
        assert await asyncio.to_thread(first.wait, 30) == 0
        lease = FolderStore(workers.directory / "p" / "store").get(f"{PREFIX}/drfsm/lease.json")
        assert lease is not None
        assert json.loads(lease.body)["left"] is True
        workers.start()
        assert (await asyncio.wait_for(handle.result(), 60))["status"] == "complete"

    asyncio.run(play())
    assert_whole(workers, "p", "failback")
    assert not any(b"taken_over" in line for line in lines_of(workers, "p", "failback"))
