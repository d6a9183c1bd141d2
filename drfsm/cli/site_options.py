"""What the commands on one site share: its options, its cluster, and how they tell what they did."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drfsm.cli.options import Command, endpoint_url, region
from drfsm.cli.say import say as say_line
from drfsm.cli.say import say_json, say_lines
from drfsm.errors import UsageFault

if TYPE_CHECKING:
    from drfsm.adapters.kube import KubeCluster


def at_prefix(command: Command) -> Command:
    """Add what says which part of which bucket."""
    options = (
        click.option("--bucket", default="", help="Where both sites publish."),
        click.option("--prefix", default="jobintel", show_default=True, help="The part of the bucket that is theirs."),
        endpoint_url,
        region,
    )
    return _with(command, options)


def at_site(*variables: str) -> Callable[[Command], Command]:
    """Add what says which site; the kubeconfig stands in one of these variables by default."""
    told = ", ".join(f"${each}" for each in variables)
    options = (
        click.option(
            "--kubeconfig",
            default=lambda: next((os.environ[each] for each in variables if os.environ.get(each)), ""),
            help=f"Leads to the site's cluster.  [default: {told}]",
        ),
        click.option("--namespace", default="jobintel", show_default=True),
    )
    return lambda command: _with(command, options)


def _with(command: Command, options: tuple[Callable[[Command], Command], ...]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


receipt_dir = click.option("--receipt-dir", default="", help="Where receipts go.  [default: below $DRFSM_HOME]")
force_conflicts = click.option("--force-conflicts", is_flag=True, help="Take over the fields that others have set.")


def cluster_of(kubeconfig: str) -> "KubeCluster":
    """Return the cluster that a kubeconfig leads to. Raises UsageFault where none is named."""
    if not kubeconfig:
        raise UsageFault("no kubeconfig is named", hint="give --kubeconfig")
    if not Path(kubeconfig).is_file():
        raise UsageFault(f"--kubeconfig: there is no file {kubeconfig}")
    from drfsm.adapters.kube import KubeCluster

    return KubeCluster(f"the cluster of {Path(kubeconfig).name}", Path(kubeconfig))


def say(words: str) -> None:
    """Tell progress."""
    say_line(f"  · {words}", err=True)


def out(output: str, record: Any, lines: list[str]) -> None:
    """Tell a result."""
    if output == "json":
        say_json(record)
    else:
        say_lines(lines)


def stamp() -> str:
    """Return the time for a name: 20260227T002229Z."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
