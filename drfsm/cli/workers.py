"""`drfsm worker`: takes the rows of runs that executions of Step Functions drive, from a queue."""

import os
from functools import partial
from typing import Any

import click

from drfsm.cli.notify_options import notifying, taken
from drfsm.cli.options import Amount, address, operator, region, take_over
from drfsm.cli.prompts import at_terminal
from drfsm.cli.run_verbs import digests
from drfsm.cli.say import say
from drfsm.cli.sealing_options import sealed_as, sealing
from drfsm.errors import ExitCode
from drfsm.runs.notices import EVENTS, HELD
from drfsm.runs.trust import Assurances, trusted_machines


@click.command()
@click.option("--queue", "queue_url", required=True, metavar="URL", help="SQS queue of the exported machine's rows.")
@click.option("--bucket", required=True, help="Bucket to which both sites publish: no run elsewhere is worked on.")
@click.option("--prefix", required=True, help="Prefix below which both sites publish, likewise.")
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
@sealing
def worker(*, queue_url: str, bucket: str, prefix: str, heartbeat: float, idle_exit: float, **options: Any) -> int:
    """Take rows of runs that an execution drives, one a task: guards, journal and lease are as ever.

    Ctrl-C or SIGTERM ends it at the next clean point; its run is then taken by the next worker. See
    docs/step-functions.md.
    """
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
        sealing=sealed_as(options),
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
