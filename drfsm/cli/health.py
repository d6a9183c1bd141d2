"""`drfsm health`: is what is published fresh and correct? For people, for cron, for Prometheus and CloudWatch.

Looks only: it changes nothing in the bucket and starts no procedure. Exit codes: 0 healthy; 11 stale or incorrect; 9
not known, because something could not be read, or a measurement could not be handed over; 2 wrong usage.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from drfsm.cli.options import Amount, at_bucket, connected, pair
from drfsm.cli.outcome import output
from drfsm.cli.say import say, say_json, say_lines
from drfsm.cli.textfiles import check_name, put_in_place
from drfsm.errors import DrfsmError, ExitCode

if TYPE_CHECKING:
    from drfsm.dr.detection import Health

CODES = {"healthy": ExitCode.DONE, "unknown": ExitCode.UNREACHABLE}


@click.command()
@at_bucket
@pair
@click.option(
    "--max-age",
    type=Amount(87_840, positive=True),
    default=6,
    show_default=True,
    envvar="DRFSM_MAX_AGE",
    show_envvar=True,
    metavar="HOURS",
    help="How long ago the published run may have ended.",
)
@click.option(
    "--look-again",
    type=Amount(600),
    default=15,
    show_default=True,
    metavar="SECONDS",
    help="Look again after this time before saying that something is wrong: a Job may just be publishing. 0: don't.",
)
@click.option(
    "--prometheus", default="", metavar="FILE", help="Write a textfile for Prometheus' node exporter (FILE.prom)."
)
@click.option("--cloudwatch", default="", metavar="NAMESPACE", help="Write metrics to this namespace of CloudWatch.")
@click.option("--project", default="", help="Label or dimension of all measurements.  [default: the workload's name]")
@output
def health(
    max_age: float, look_again: float, prometheus: str, cloudwatch: str, project: str, output: str, **given: Any
) -> int:
    """Say whether what is published is fresh and correct. Reads only; never starts anything.

    Exits with 0 if it is, with 11 if it is stale or incorrect, with 9 if something could not be read or handed over.
    """
    from drfsm.dr.detection import look, measurements, textfile
    from drfsm.dr.terms import terms_of

    check_name(prometheus, "--prometheus")
    store, layout = connected(given), terms_of(given).layout
    project = project or layout.workload.name
    found = look(
        store,
        layout,
        (given["provider"], given["profile"]),
        max_age * 3600,
        again_seconds=look_again,
        sleep=time.sleep,
    )
    if output == "json":
        say_json(found.record)
    else:
        say_lines(_lines(found, given))
    note = say if output == "text" else lambda _words: None
    refused = False  # one receiver that fails keeps the measurements from no other
    if prometheus:
        text = textfile(found, project, datetime.now(UTC))
        refused |= is_refused(
            lambda: put_in_place(prometheus, text, "--prometheus"), note, f"the textfile {prometheus}"
        )
    if cloudwatch:
        metrics = measurements(found, project)
        to = f"{len(metrics)} metrics to the namespace {cloudwatch}"
        refused |= bool(metrics) and is_refused(lambda: _to_cloudwatch(given, cloudwatch, metrics), note, to)
        if not metrics:
            note(f"  nothing is known to write to the namespace {cloudwatch}")
    code = CODES.get(found.verdict, ExitCode.DIFFERENT)
    return int(ExitCode.UNREACHABLE if refused and code == ExitCode.DONE else code)


def _lines(found: "Health", given: Mapping[str, Any]) -> list[str]:
    """Return what was found: the verdict, every check, and where it is not healthy what to type next."""
    lines = [f"{found.verdict.upper()}: {found.run_id or 'no run'}"]
    lines += [f"  {check.status if check.status == 'ok' else check.status.upper():<8} {check.name:<10} {check.words}"
              for check in found.checks]  # fmt: skip
    lines += [f"  note     {remark}" for remark in found.remarks]
    where = " ".join(f"--{name} {quote(str(given[name]))}" for name in ("bucket", "prefix", "candidate"))
    if found.verdict == "incorrect":
        lines.append(f"  next: drfsm pointers show {where}; drfsm runs verify {quote(found.run_id or 'RUN')} {where}")
    elif found.verdict == "stale":
        lines.append("  next: look at the site's CronJob and its last Job; a person decides whether to `drfsm promote`")
    elif found.verdict == "unknown":
        lines.append(f"  next: {found.advice or 'check network and credentials, then look again'}")
    return lines


def is_refused(hand_over: Callable[[], None], note: Callable[[str], None], what: str) -> bool:
    """Hand measurements over and say so; return whether that failed. Nobody must take silence there for health."""
    try:
        hand_over()
    except DrfsmError as fault:
        say_lines((f"drfsm: {line}" for line in fault.lines()), err=True)
        return True
    note(f"  wrote    {what}")
    return False


def _to_cloudwatch(given: Mapping[str, Any], namespace: str, metrics: Any) -> None:
    from drfsm.adapters import aws

    aws.metrics(endpoint_url=given["endpoint_url"] or None, region=given["region"] or None).put(namespace, metrics)
