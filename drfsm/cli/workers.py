"""`drfsm worker`: takes the rows of runs that something else drives: executions of Step Functions, or Temporal."""

import os
from collections.abc import Mapping
from functools import partial
from typing import Any

import click

from drfsm.cli.notify_options import notifying, taken
from drfsm.cli.options import Amount, address, operator, region, take_over
from drfsm.cli.prompts import at_terminal
from drfsm.cli.run_verbs import digests
from drfsm.cli.say import say
from drfsm.errors import ExitCode, UsageFault
from drfsm.runs.notices import EVENTS, HELD
from drfsm.runs.trust import Assurances, trusted_machines

_OF_QUEUE = ("bucket", "prefix", "kubeconfig_dr", "kubeconfig_primary", "terraform_dir", "heads", "take_over")


def _refuse_with_temporal(options: Mapping[str, Any]) -> None:
    """Raise UsageFault for what a fleet's worker would not read: its fleet file says it, pair by pair."""
    if given := [name for name in _OF_QUEUE if options[name]]:
        words = ", ".join(f"--{'expect-head' if name == 'heads' else name.replace('_', '-')}" for name in given)
        raise UsageFault(
            f"{words}: not with --temporal", hint="the fleet file says where each pair is; a take-over is said by drfsm"
            " fleet answer PAIR take_over",
        )  # fmt: skip


_OF_TEMPORAL = ("namespace", "task_queue", "fleet_file", "journal", "instance_id", "runs_at_once")


@click.command()
@click.option("--queue", "queue_url", default="", metavar="URL", help="SQS queue of the exported machine's rows.")
@click.option("--bucket", default="", help="With --queue: bucket to which both sites publish; no other run is taken.")
@click.option("--prefix", default="", help="With --queue: prefix below which both sites publish, likewise.")
@click.option(
    "--temporal", default="", metavar="HOST:PORT", help="Serve a fleet's runs on this Temporal. Needs --fleet."
)
@click.option("--namespace", default="", metavar="NAME", help="Namespace of Temporal.  [default: the fleet file's]")
@click.option("--task-queue", default="", metavar="NAME", help="Task queue of Temporal.  [default: the fleet file's]")
@click.option(
    "--fleet", "fleet_file", default="", type=click.Path(), metavar="FILE", help="The fleet file of this worker."
)
@click.option(
    "--journal",
    type=click.Choice(["mirror", "file"]),
    default="mirror",
    show_default=True,
    help="With --temporal: the journal lies in the bucket alone, or in files below $DRFSM_HOME, too.",
)
@click.option(
    "--instance-id",
    default="",
    envvar="DRFSM_INSTANCE_ID",
    show_envvar=True,
    metavar="ID",
    help="With --temporal: the cloud's id of this machine, so that its end can be seen.",
)
@click.option("--runs-at-once", type=click.IntRange(1), default=20, show_default=True, help="With --temporal.")
@click.option("--kubeconfig-dr", default="", type=click.Path(), help="Path to DR's kubeconfig.  [$DRFSM_KUBECONFIG_DR]")
@click.option(
    "--kubeconfig-primary",
    default="",
    type=click.Path(),
    help="Path to the primary's kubeconfig.  [$DRFSM_KUBECONFIG_PRIMARY]",
)
@click.option("--terraform-dir", default="", type=click.Path(), help="Path to the Terraform module on this machine.")
@click.option(
    "--heartbeat",
    type=Amount(3600, positive=True),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="How often a heartbeat is sent: well below the heartbeat that the machine was exported with.",
)
@click.option(
    "--idle-exit",
    type=Amount(),
    default=0,
    metavar="SECONDS",
    help="End after so long without a task; 0: never.",
)
@click.option(
    "--expect-head", "heads", multiple=True, metavar="SHA256", help="Accept another machine's records with this head."
)
@click.option(
    "--trust-machine", "machines", multiple=True, metavar="SHA256",
    help="Trust this declaration.  [$DRFSM_TRUST_MACHINES]",
)  # fmt: skip
@click.option("--endpoint-url", default="", callback=address, help="Endpoint of the cloud.")
@region
@operator
@take_over
@notifying
def worker(
    *, queue_url: str, bucket: str, prefix: str, heartbeat: float, idle_exit: float, temporal: str, **options: Any
) -> int:
    """Take rows of runs that something else drives, one a task: guards, journal and lease are as ever.

    Either executions of Step Functions (--queue, docs/step-functions.md) or workflows of Temporal (--temporal,
    docs/fleet.md). Ctrl-C or SIGTERM ends it at the next clean point; its runs are then taken by the next worker.
    """
    of_temporal = {name: options.pop(name) for name in _OF_TEMPORAL}
    if bool(queue_url) == bool(temporal):
        raise UsageFault("a worker serves one of --queue and --temporal", hint="give one of the two")
    if temporal:
        from drfsm.cli.fleet_worker import serve

        _refuse_with_temporal({**options, "bucket": bucket, "prefix": prefix})
        machines = options["machines"]
        return serve(temporal, **of_temporal, machines=machines, operator=options["operator"], notify=taken(options))
    if not (bucket.strip() and prefix.strip()):
        raise UsageFault("--queue needs --bucket and --prefix", hint="add them: no run elsewhere is worked on")
    from drfsm.adapters.aws_session import Services
    from drfsm.adapters.queues import Queue
    from drfsm.runs.worker import Place, Worker

    kubeconfigs = {
        site: options[f"kubeconfig_{site}"] or os.environ.get(f"DRFSM_KUBECONFIG_{site.upper()}", "")
        for site in ("dr", "primary")
    }
    invocation = at_terminal(
        operator=options["operator"],
        take_over=options["take_over"],
        notify=taken(options, EVENTS - {HELD}),  # of a question: once the execution asks it (runs/worker.py)
        kubeconfigs=kubeconfigs,
        places={name: options[name] for name in ("endpoint_url", "region", "terraform_dir")},
        assurances=Assurances(
            heads=digests("--expect-head", options["heads"]), machines=trusted_machines(options["machines"], os.environ)
        ),
    )
    services = Services(options["endpoint_url"] or None, options["region"] or None)
    say(f"waiting for rows in {queue_url}, of runs at s3://{bucket}/{prefix.strip('/')}", err=True)
    Worker(
        services,
        Queue(services, queue_url),
        Place(bucket, prefix.strip("/")),
        invocation,
        tell=partial(say, err=True),
        beat_seconds=heartbeat,
        idle_seconds=idle_exit,
    ).serve()
    return int(ExitCode.DONE)
