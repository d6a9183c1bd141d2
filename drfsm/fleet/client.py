"""What people ask of Temporal: start a fleet, answer a run, approve a wave, look, schedule. Asynchronous.

Workflow ids are made of names, so that nobody has to note one down:

    drfsm/<pair>                          the run of a pair: one at a time, or Temporal refuses the second
    drfsm-fleet/<procedure>/<name>        a fleet that was started by hand, or by a schedule
    drfsm-fleet/<procedure>               the schedule

Every failure of Temporal becomes an error of drfsm's, with what to do.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from drfsm.claims import bounded
from drfsm.errors import DrfsmError, IllegalTransition, Unreachable, UsageFault
from drfsm.fleet.pairs import Fleet, Pair
from drfsm.fleet.workflows import FLEET, ILLEGAL

if TYPE_CHECKING:
    from temporalio.client import Client, WorkflowHandle

CONNECT_SECONDS, QUERY_SECONDS, ACCEPT_SECONDS = 10.0, 5.0, 15.0
HOME_SECONDS = 10.0  # how long a row waits for the worker that has its run open
HEARTBEAT_SECONDS = 30.0

T = TypeVar("T")


async def connected(address: str, namespace: str) -> "Client":
    """Return a client. Raises Unreachable, UsageFault for a namespace that is not there."""
    from temporalio.client import Client

    async with _understood(f"Temporal at {address}"):
        async with asyncio.timeout(CONNECT_SECONDS):
            return await Client.connect(address, namespace=namespace)


def run_id_of(pair: str) -> str:
    """Return the workflow id of a pair's run."""
    return f"drfsm/{pair}"


def fleet_id_of(procedure: str, name: str) -> str:
    """Return the workflow id of a fleet's start."""
    return f"drfsm-fleet/{procedure}/{name}" if name else f"drfsm-fleet/{procedure}"


def start_of(
    fleet: Fleet,
    pairs: Sequence[Pair],
    procedure: str,
    *,
    machine_sha256: str,
    operator: str,
    given: Mapping[str, str],
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
) -> dict[str, Any]:
    """Return what a fleet's workflow starts with: for each pair a task, in waves; no path, no address, no secret."""

    def task(pair: Pair) -> dict[str, Any]:
        return {
            "workflow_id": run_id_of(pair.name), "pair": pair.name, "procedure": procedure,
            "machine_sha256": machine_sha256, "entry_sha256": pair.sha256(procedure), "started_by": operator,
            "given": dict(given), "home_seconds": HOME_SECONDS, "heartbeat_seconds": heartbeat_seconds,
        }  # fmt: skip

    return {
        "waves": [[task(pair) for pair in wave] for wave in fleet.waves(pairs)],
        "at_once": fleet.number("at_once"),
        "stop_after": fleet.number("stop_after"),
        "approval": fleet.approval,
    }


async def start(client: "Client", fleet: Fleet, workflow_id: str, body: Mapping[str, Any]) -> None:
    """Start a fleet. Raises UsageFault where one of that name runs."""
    async with _understood(f"the fleet {workflow_id}"):
        await client.start_workflow(FLEET, dict(body), id=workflow_id, task_queue=fleet.temporal["task_queue"])


async def fire(client: "Client", pair: str, trigger: str, operator: str, args: Mapping[str, str]) -> dict[str, Any]:
    """Fire a trigger of a pair's run; return where the run stands then. Raises IllegalTransition: nothing moved."""
    async with _understood(f"the run of {pair}", trigger):
        asked = {"trigger": trigger, "operator": operator, "args": dict(args)}
        return await _updated(client.get_workflow_handle(run_id_of(pair)), "fire", asked)


async def update_fleet(client: "Client", workflow_id: str, name: str, by: Mapping[str, Any]) -> dict[str, Any]:
    """Approve the next wave of a fleet (``approve``), or start no more of it (``stop``). Raises IllegalTransition."""
    async with _understood(f"the fleet {workflow_id}", name):
        return await _updated(client.get_workflow_handle(workflow_id), name, dict(by))


async def _updated(handle: "WorkflowHandle[Any, Any]", name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Ask for an update; wait for a worker to accept it as long as one may take, for its answer as long as it takes."""
    from temporalio.client import WorkflowUpdateStage

    async with asyncio.timeout(ACCEPT_SECONDS):
        asked = await handle.start_update(name, dict(body), wait_for_stage=WorkflowUpdateStage.ACCEPTED)
    return dict(await asked.result())


async def standing(client: "Client", workflow_id: str) -> dict[str, Any]:
    """Return where a fleet stands. Raises Unreachable, also where no worker answers."""
    async with _understood(f"the fleet {workflow_id}"):
        async with asyncio.timeout(QUERY_SECONDS):
            return dict(await client.get_workflow_handle(workflow_id).query("standing"))


async def positions(client: "Client", pairs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return where the runs of pairs stand, as their workflows were told last; nothing of those that don't answer."""

    async def one(pair: str) -> dict[str, Any]:
        async with _understood(f"the run of {pair}"), asyncio.timeout(QUERY_SECONDS):
            return dict(await client.get_workflow_handle(run_id_of(pair)).query("position"))

    answers = await asyncio.gather(*(one(pair) for pair in pairs), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, DrfsmError):
            raise answer
    return {pair: answer for pair, answer in zip(pairs, answers, strict=True) if isinstance(answer, dict)}


async def pollers(client: "Client", task_queue: str) -> int:
    """Return how many workers serve a task queue, as the server saw them in the last minutes."""
    from temporalio.api.enums.v1 import TaskQueueType
    from temporalio.api.taskqueue.v1 import TaskQueue
    from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest

    async with _understood(f"the task queue {task_queue}"):
        answer = await client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=client.namespace,
                task_queue=TaskQueue(name=task_queue),
                task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
            )
        )
        return len(answer.pollers)


# --- schedules -------------------------------------------------------------------------------------------


async def schedule(
    client: "Client", fleet: Fleet, procedure: str, body: Mapping[str, Any], *, cron: str, jitter_seconds: float
) -> None:
    """Start a fleet by a schedule, in place of an earlier one; no start while the one before goes on."""
    from temporalio.client import (
        Schedule,
        ScheduleActionStartWorkflow,
        ScheduleAlreadyRunningError,
        ScheduleOverlapPolicy,
        SchedulePolicy,
        ScheduleSpec,
        ScheduleUpdate,
    )

    made = Schedule(
        action=ScheduleActionStartWorkflow(
            FLEET, dict(body), id=fleet_id_of(procedure, "scheduled"), task_queue=fleet.temporal["task_queue"]
        ),
        spec=ScheduleSpec(cron_expressions=[cron], jitter=timedelta(seconds=jitter_seconds)),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP),
    )
    async with _understood(f"the schedule of {procedure}"):
        try:
            await client.create_schedule(fleet_id_of(procedure, ""), made)
        except ScheduleAlreadyRunningError:
            handle = client.get_schedule_handle(fleet_id_of(procedure, ""))
            await handle.update(lambda _before: ScheduleUpdate(schedule=made))


async def change_schedule(client: "Client", procedure: str, verb: str, note: str) -> None:
    """Pause, resume or delete a procedure's schedule. Raises UsageFault where there is none."""
    handle = client.get_schedule_handle(fleet_id_of(procedure, ""))
    async with _understood(f"the schedule of {procedure}"):
        if verb == "pause":
            await handle.pause(note=note)
        elif verb == "resume":
            await handle.unpause(note=note)
        else:
            await handle.delete()


async def scheduled(client: "Client", procedure: str) -> dict[str, Any]:
    """Return what a procedure's schedule says: whether it is paused, why, and its next starts. Raises UsageFault."""
    async with _understood(f"the schedule of {procedure}"):
        said = await client.get_schedule_handle(fleet_id_of(procedure, "")).describe()
    return {
        "paused": said.schedule.state.paused,
        "note": said.schedule.state.note or "",
        "next": [moment.isoformat() for moment in said.info.next_action_times[:3]],
    }


# --- failures --------------------------------------------------------------------------------------------


@asynccontextmanager
async def _understood(what: str, trigger: str = "") -> AsyncIterator[None]:
    """Turn a failure of Temporal into an error of drfsm's."""
    from temporalio.client import (
        WorkflowQueryFailedError,
        WorkflowUpdateFailedError,
        WorkflowUpdateRPCTimeoutOrCancelledError,
    )
    from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
    from temporalio.service import RPCError, RPCStatusCode

    try:
        yield
    except WorkflowUpdateFailedError as fault:
        cause = fault.cause
        if isinstance(cause, ApplicationError) and cause.type == ILLEGAL:
            refused = IllegalTransition(machine=what, state="(see below)", trigger=trigger, legal=())
            refused.what, refused.hint = f"{what}: {bounded(cause.message)}; nothing moved", "drfsm fleet status"
            raise refused from None
        raise DrfsmError(f"{what}: {bounded(cause)}", hint="drfsm fleet status") from None
    except WorkflowAlreadyStartedError:
        raise UsageFault(f"{what} is at work already", hint="drfsm fleet status; or give another --name") from None
    except WorkflowQueryFailedError as fault:
        raise Unreachable(f"{what} does not answer: {bounded(fault)}", hint="are workers running?") from None
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
        raise Unreachable(
            f"{what} does not answer in time", hint="check the address, and that workers run (drfsm fleet doctor)"
        ) from None
    except RPCError as fault:
        if fault.status is RPCStatusCode.NOT_FOUND:
            raise UsageFault(f"{what} is not there: {bounded(fault.message)}", hint="drfsm fleet status") from None
        raise Unreachable(f"{what} cannot be asked: {bounded(fault.message)}", hint="check Temporal's server") from None
    except RuntimeError as fault:  # what the client raises where nobody listens
        raise Unreachable(f"Cannot reach {what}: {bounded(fault)}", hint="check the address and the server") from None


def together(work: Awaitable[T]) -> T:
    """Run asynchronous work to its end."""

    async def all_of_it() -> T:
        return await work

    return asyncio.run(all_of_it())
