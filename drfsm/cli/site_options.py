"""What the commands on one site share: their options, the site's cluster, and how they print."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drfsm.cli.options import (
    Command,
    endpoint_url,
    expect_account,
    namespace,
    prefix,
    region,
    with_options,
    workload_file,
)
from drfsm.cli.say import say as say_line
from drfsm.cli.say import say_json, say_lines
from drfsm.errors import UsageFault

if TYPE_CHECKING:
    from drfsm.adapters.kube import KubeCluster


def at_prefix(command: Command) -> Command:
    """Add the options that name a bucket and a prefix."""
    options = (
        click.option("--bucket", default="", help="Bucket to which both sites publish."),
        workload_file,
        prefix,
        expect_account,
        endpoint_url,
        region,
    )
    return with_options(command, options)


def at_site(*variables: str) -> Callable[[Command], Command]:
    """Add the options that name a site; ``workload_file`` must be there, too.

    The kubeconfig's default is the first of these variables that is set.
    """
    names = ", ".join(f"${name}" for name in variables)
    options = (
        click.option(
            "--kubeconfig",
            default=lambda: next((os.environ[name] for name in variables if os.environ.get(name)), ""),
            help=f"Path to the site's kubeconfig.  [default: {names}]",
        ),
        namespace,
    )
    return lambda command: with_options(command, options)


receipt_dir = click.option("--receipt-dir", default="", help="Directory for receipts.  [default: below $DRFSM_HOME]")
force_conflicts = click.option(
    "--force-conflicts", is_flag=True, help="Take over fields that another field manager set."
)


def cluster_of(kubeconfig: str) -> "KubeCluster":
    """Return the cluster that a kubeconfig leads to. Raises UsageFault where none is named."""
    if not kubeconfig:
        raise UsageFault("no kubeconfig is named", hint="add --kubeconfig PATH")
    if not Path(kubeconfig).is_file():
        raise UsageFault(f"--kubeconfig: there is no file {kubeconfig}", hint="check the path")
    from drfsm.adapters.kube import KubeCluster

    return KubeCluster(f"the cluster of {Path(kubeconfig).name}", Path(kubeconfig))


def server_of(kubeconfig: str) -> str:
    """Return, in words, which server a kubeconfig leads to. Raises ActionFailed for one that isn't understood."""
    from drfsm.adapters.private import described

    return f"{described(Path(kubeconfig).read_bytes(), kubeconfig, own=True).server} (kubeconfig {kubeconfig})"


def say(words: str) -> None:
    """Print progress."""
    say_line(f"  · {words}", err=True)


def out(output: str, record: Any, lines: list[str]) -> None:
    """Print a result."""
    if output == "json":
        say_json(record)
    else:
        say_lines(lines)


def stamp() -> str:
    """Return the time as bundles and receipts have it: 20260227T002229Z. It is no name: two commands may share it."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
