"""Opens a run of a pair in a worker: begins it, goes on with it from this machine, or takes it up from its mirror.

Everything that names a file, an address or a bucket is the worker's own, by its fleet file. Called by worker.py, in a
session's thread.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from attrs import evolve, frozen

from drfsm.adapters import limits
from drfsm.errors import DrfsmError, EvidenceFault, UsageFault
from drfsm.fleet.pairs import Fleet, Pair
from drfsm.fleet.process import Process
from drfsm.fleet.sessions import Serve
from drfsm.fleet.takeover import may_take_over
from drfsm.fleet.tasks import Task
from drfsm.fleet.workflows import TAKE_OVER
from drfsm.journal.mirror import home_of, key_of
from drfsm.resources import shipped
from drfsm.runs import bundle, mirrors, trust, wiring
from drfsm.runs.invocation import Invocation
from drfsm.runs.rows import here, known


@frozen
class Beginning:
    """What a new run begins with: the inputs of its machine, and its scope (live or drill)."""

    inputs: Mapping[str, Any]
    scope: str


Resolve = Callable[[Pair, str, str, Mapping[str, str]], Beginning]
"""Pair, procedure, run id, what the starter gave -> what the run begins with. Raises UsageFault."""


class Runs(Protocol):
    """What a worker needs of runs, wherever they live."""

    def opened(self, task: Task, serve: Serve) -> object:
        """Open a task's run and let ``serve`` take its rows. Raises what the run raises."""

    def ask_hold(self, run_id: str, operator: str, reason: str) -> None:
        """Ask an open run to hold before its next step."""

    def nothing_begun(self, task: Task) -> bool:
        """Whether a task's run has no record anywhere, as far as can be seen."""


@frozen
class PairRuns:
    """Runs of the pairs of a fleet file. ``mirror_alone``: nothing on this machine outlives this process."""

    fleet: Fleet
    resolve: Resolve
    invocation: Invocation
    process: Process
    mirror_alone: bool

    def opened(self, task: Task, serve: Serve) -> object:
        """Open a task's run and let ``serve`` take its rows. Raises what the run raises, UsageFault, EvidenceFault."""
        with limits.metered(_sent(task.position.get("requests"))):
            return self._opened(task, serve)

    def _opened(self, task: Task, serve: Serve) -> object:
        pair = self.fleet.named(task.pair)
        invocation = self._invocation(pair, task)
        if here(task.run_id) is not None:
            return wiring.resume(task.run_id, serve, invocation)
        if self._has_mirror(pair, task):
            return wiring.resume(f"s3://{pair.bucket}/{home_of(_prefix(pair, task), task.run_id)}", serve, invocation)
        if task.began:
            raise EvidenceFault(
                f"Temporal knows {task.position.get('records')} records of {task.run_id}, and there is none: neither"
                f" here nor in s3://{pair.bucket}/{_prefix(pair, task)}",
                hint="find out who deleted them; a worker on the machine where the run began may still have its bundle",
            )
        self._check(pair, task)
        begin = self.resolve(pair, task.procedure, task.run_id, task.given)
        return wiring.start(
            task.procedure, begin.inputs, invocation, dry_run=False, receipt_dir=None, run_id=task.run_id,
            scope=begin.scope, then=serve, by_rows=True,
        )  # fmt: skip

    def ask_hold(self, run_id: str, operator: str, reason: str) -> None:
        """Ask an open run to hold before its next step."""
        bundle.ask_hold(known(run_id), operator, reason)

    def nothing_begun(self, task: Task) -> bool:
        """Whether a task's run has no record anywhere; a store that does not answer says nothing."""
        if task.began or here(task.run_id) is not None:
            return False
        with suppress(DrfsmError):
            return not self._has_mirror(self.fleet.named(task.pair), task)
        return True

    # --- pieces -----------------------------------------------------------------------------------------

    def _check(self, pair: Pair, task: Task) -> None:
        """Raise UsageFault for a run that was started for another entry, or another declaration."""
        text = shipped("machines") / f"{task.procedure}.yaml"
        if not text.is_file() or (task.machine_sha256 and trust.sha256_of(text.read_bytes()) != task.machine_sha256):
            raise UsageFault(
                f"the run was started for another declaration of {task.procedure} than this drfsm ships",
                hint="start it again with the drfsm of the workers, or upgrade the workers",
            )
        if pair.sha256(task.procedure) != task.entry_sha256:
            raise UsageFault(
                f"the run was started by another entry of {pair.name} than {self.fleet.path} has on this worker",
                hint="bring the fleet file of all workers up to date, then start again",
            )

    def _invocation(self, pair: Pair, task: Task) -> Invocation:
        places, sites = pair.places, dict(pair.places)
        if task.procedure == "drill":  # it names its site by itself, or brings it up: never the standing one
            options = pair.options.get("drill", {})
            sites = {f"kubeconfig_{site}": str(options.get(name) or "")
                     for site, name in (("dr", "kubeconfig"), ("primary", "kubeconfig_primary"))}  # fmt: skip
        return evolve(
            self.invocation,
            operator=task.who,
            take_over=task.run_id if task.trigger == TAKE_OVER else "",
            kubeconfigs={site: sites.get(f"kubeconfig_{site}", "") for site in ("dr", "primary")},
            places={name: places.get(name, "") for name in ("endpoint_url", "region", "terraform_dir")},
            mirror_alone=self.mirror_alone,
            leaves=True,
            as_holder=str(self.process),
            may_take_over=partial(may_take_over, terminated=partial(_terminated, pair)),
        )

    def _has_mirror(self, pair: Pair, task: Task) -> bool:
        store = mirrors.store_of(pair.bucket, pair.places)
        return store.stat(key_of(home_of(_prefix(pair, task), task.run_id), 0)) is not None


def _sent(told: object) -> dict[str, int]:
    """Return how many requests a run has sent before, by kind, as its workflow was told."""
    counts = told if isinstance(told, dict) else {}
    return {str(kind): count for kind, count in counts.items() if isinstance(count, int) and count >= 0}


def _prefix(pair: Pair, task: Task) -> str:
    return journal_prefix(pair, task.procedure, task.run_id)


def journal_prefix(pair: Pair, procedure: str, run_id: str) -> str:
    """Return the prefix that a run's journal and lease lie below: a drill has its own."""
    return f"{pair.prefix}/drills/{run_id}" if procedure == "drill" else pair.prefix


def _terminated(pair: Pair, instance: str) -> bool:
    """Whether the cloud shows a machine of a pair's account as terminated; one that it doesn't list is not shown."""
    from drfsm.adapters.aws_session import Services, call

    services = Services(pair.places.get("endpoint_url") or None, pair.places.get("region") or None)
    with suppress(DrfsmError):
        asked = [{"Name": "instance-id", "Values": [instance]}]
        answer = call("asking for a machine", lambda: services.client("ec2").describe_instances(Filters=asked))
        states = {
            machine["InstanceId"]: machine["State"]["Name"]
            for reservation in answer["Reservations"]
            for machine in reservation["Instances"]
        }
        return states.get(instance) == "terminated"
    return False
