"""`drfsm metrics`: the runs of this computer in Prometheus' text format, for textfiles of node-exporter. Offline."""

from datetime import UTC, datetime
from pathlib import Path

import click

from drfsm.cli.completing import run_ids
from drfsm.cli.say import say, say_text
from drfsm.cli.textfiles import check_name, put_in_place
from drfsm.errors import ExitCode
from drfsm.evidence.exposition import exposition
from drfsm.runs import bundle, selection
from drfsm.runs.run_metrics import families


@click.command()
@click.argument("bundles", metavar="[BUNDLE]...", nargs=-1, shell_complete=run_ids)
@click.option(
    "--out", default="", metavar="FILE", help="Write a textfile for Prometheus' node exporter (FILE.prom), whole."
)
def metrics(bundles: tuple[str, ...], out: str) -> int:
    """Print metrics of runs: ends, last success, open runs, and how long nobody has been able to publish.

    Of all runs of this computer, or of these BUNDLEs (directories or ids). Run it by cron or a systemd timer.
    """
    check_name(out, "--out")
    runs = list(selection.known_runs())
    if bundles:
        chosen = {place: named for named in bundles for place in [bundle.find(named)]}
        known = {run.place: run for run in runs}
        runs = [known.get(place) or selection.read_run(place) for place in chosen]
    text = exposition(families(_newest_first(runs), datetime.now(UTC)))
    if not out:
        say_text(text)
        return int(ExitCode.DONE)
    put_in_place(out, text, "--out")
    say(f"wrote the metrics of {len(runs)} runs to {Path(out)}", err=True)
    return int(ExitCode.DONE)


def _newest_first(runs: list[selection.KnownRun]) -> list[selection.KnownRun]:
    return sorted(runs, key=lambda run: run.state.started_at, reverse=True)
