"""`drfsm dashboard`: active sites, who can publish and write, what runs wait for; as a page and as JSON.

Exit codes: 0 shown or published, also where a part could not be read, which the page says; 2 wrong usage; 9 the bucket
can't be written.
"""

import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import click

from drfsm.claims import printable
from drfsm.cli.options import Command, at_bucket, configmap, connected, namespace, pair, with_options
from drfsm.cli.outcome import output
from drfsm.cli.say import columns, folded, say, say_json, say_lines
from drfsm.errors import ExitCode

_VALUES_BEGIN = 11  # columns: lines are folded below their values
_OF_SITES = (
    *(
        click.option(
            f"--kubeconfig-{site}",
            default="",
            type=click.Path(),
            envvar=[f"DRFSM_KUBECONFIG_{site.upper()}", f"KUBECONFIG_{site.upper()}"],
            show_envvar=True,
            help=f"Path to {words} kubeconfig; without it, what a run read last is shown.",
        )
        for site, words in (("dr", "DR's"), ("primary", "the primary's"))
    ),
    namespace,
    configmap,
)


def _of_a_dashboard(command: Command) -> Command:
    return at_bucket(pair(with_options(command, _OF_SITES)))


@click.group()
def dashboard() -> None:
    """Show active sites, who can publish and write, and what runs wait for: on a page, and as JSON."""


@dashboard.command()
@_of_a_dashboard
@output
def publish(output: str, **options: Any) -> int:
    """Read everything once, and put a page and its JSON into the bucket, below <prefix>/drfsm/dashboard/.

    The page says of when it is. What could not be read is said on it, and here.
    """
    from drfsm.dashboard import publish as bucket
    from drfsm.dashboard.gather import gather, source_of
    from drfsm.dashboard.lines import lines
    from drfsm.dashboard.page import check_installed

    check_installed()
    store = connected(options)
    document = gather(source_of(options))
    addresses = bucket.publish(store, document["prefix"], document)
    if output == "json":
        say_json(document)
        return int(ExitCode.DONE)
    width = columns(sys.stdout)
    told = (*lines(document), *_unread(document), *(f"wrote      {address}" for address in addresses))
    say_lines(part for line in told for part in folded(printable(line), width, _VALUES_BEGIN))
    return int(ExitCode.DONE)


@dashboard.command()
@_of_a_dashboard
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1.  [default: a free one]")
def serve(port: int, **options: Any) -> int:
    """Serve the page and its JSON on this computer alone, until Ctrl-C. Each request reads everything anew."""
    from drfsm.dashboard.gather import gather, source_of
    from drfsm.dashboard.page import check_installed
    from drfsm.dashboard.server import Server

    check_installed()
    connected(options)
    source = source_of(options)
    with Server(port, lambda: gather(source), partial(say, err=True)) as server, _until_stopped() as stopped:
        answering = threading.Thread(target=server.serve_forever, daemon=True)
        answering.start()
        say(server.url)
        say("  Ctrl-C ends it", err=True)
        stopped.wait()
        server.shutdown()
    say("the dashboard is stopped", err=True)
    return int(ExitCode.DONE)


@contextmanager
def _until_stopped() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C and SIGTERM set, instead of what they do otherwise."""
    stopped = threading.Event()
    before = {number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _unread(document: Mapping[str, Any]) -> Iterator[str]:
    for entry in document["unread"]:
        yield f"NOT READ   {entry['what']}: {entry['why']}"
