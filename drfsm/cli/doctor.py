"""`drfsm doctor`: is this machine ready, are these sites, and until when? For people, cron and Prometheus.

Exit codes: 0 ready (warnings may stand); 11 not ready; 9 something could not be read, so nobody knows; 2 wrong usage.
"""

import re
import sys
from pathlib import Path
from typing import Any

import click

from drfsm.claims import printable
from drfsm.cli.documents import output_option
from drfsm.cli.health import is_refused
from drfsm.cli.options import Amount, Duration, at_bucket, configmap, namespace, pair
from drfsm.cli.say import columns, folded, say, say_json, say_lines, say_text
from drfsm.cli.textfiles import put_in_place
from drfsm.errors import ExitCode, UsageFault
from drfsm.runs.doctor.codes import MEND

CODES = {"ready": ExitCode.DONE, "not_ready": ExitCode.DIFFERENT, "unknown": ExitCode.UNREACHABLE}
_PATHS = ("kubeconfig_dr", "kubeconfig_primary")
_COMMAND = re.compile(r"(?:^|[:;,]) *(?:drfsm|kubectl|aws|export|ssh-keygen) ")
"""A command that stands in a mend without `backquotes`."""


@click.command()
@at_bucket
@pair
@namespace
@configmap
@click.option("--kubeconfig-dr", default="", type=click.Path(), help="Path to DR's kubeconfig.")
@click.option("--kubeconfig-primary", default="", type=click.Path(), help="Path to the primary's kubeconfig.")
@click.option("--cronjob", default="", help="CronJob that publishes.  [default: the only one]")
@click.option("--cronjob-selector", default="", help="Label selector of the CronJobs to suspend.  [default: all]")
@click.option("--fence-primary-role", default="", metavar="ARN", help="IAM role with which the primary publishes.")
@click.option("--fence-dr-role", default="", metavar="ARN", help="IAM role with which DR publishes.")
@click.option(
    "--recovery-point-objective", default="", metavar="SECONDS", help="How old the backup may be.  [default: any age]"
)
@click.option(
    "--drill-interval",
    type=Duration(positive=True),
    default=None,
    help="How long a green drill proves readiness, in seconds, or as 12h, 30d.  [default: without end]",
)
@click.option(
    "--max-age",
    type=Amount(87_840, positive=True),
    default=6,
    show_default=True,
    metavar="HOURS",
    help="How long ago the published run may have ended.",
)
@click.option(
    "--accept",
    multiple=True,
    metavar="CODE[:SUBJECT]",
    help="Tell this finding, and let it count for nothing; for one subject, or for all.",
)
@click.option("--read-only", is_flag=True, help="Write nothing at all: no probe of conditional writes.")
@click.option(
    "--prometheus", default="", metavar="FILE", help="Write a textfile for Prometheus' node exporter (FILE.prom)."
)
@output_option("What stdout carries.", more=("prometheus",))
def doctor(
    drill_interval: float | None,
    max_age: float,
    accept: tuple[str, ...],
    prometheus: str,
    output: str,
    *,
    read_only: bool,
    **options: Any,
) -> int:
    """Say whether this machine and these sites are ready for a disaster, and until when.

    Reads this machine, the store and both sites; asks everything that the preflight of the next procedure asks; reads
    again what the last green drill relied on. Exits with 0 if all is ready, with 11 if not, with 9 if something could
    not be read. See docs/doctor.md.
    """
    from drfsm.dr.backup import objective
    from drfsm.runs.doctor.examination import examine

    if not options["bucket"]:
        raise UsageFault("no bucket is named", hint="add --bucket, or set bucket in drfsm.toml (docs/config.md)")
    if not options["prefix"].strip("/"):
        raise UsageFault("--prefix is empty", hint="add --prefix")
    if prometheus and not prometheus.endswith(".prom"):
        raise UsageFault(f"--prometheus {prometheus}: the node exporter reads *.prom only", hint="name it FILE.prom")
    objective(options["recovery_point_objective"])  # refuses what is none
    _check_accepted(accept)
    given = {**options, "prefix": options["prefix"].strip("/"), **{name: _path(options[name]) for name in _PATHS}}
    found = examine(
        given,
        drill_interval_seconds=drill_interval,
        max_age_seconds=max_age * 3600,
        accepted=accept,
        read_only=read_only,
    )
    if output == "json":
        say_json(found.record)
    elif output == "prometheus":
        say_text(found.textfile())
    else:
        width = columns(sys.stdout)
        say_lines(part for line in found.lines() for part in _fitting(printable(line), width))
    code = CODES[found.verdict]
    note = say if output == "text" else lambda _words: None
    if prometheus and is_refused(
        lambda: put_in_place(prometheus, found.textfile(), "--prometheus"), note, f"the textfile {prometheus}"
    ):
        return int(ExitCode.UNREACHABLE if code == ExitCode.DONE else code)
    return int(code)


def _fitting(line: str, width: int | None) -> list[str]:
    """Return a line in parts that fit the terminal. A mend with a command stays whole, so that it can be pasted."""
    return [line] if line.startswith(MEND) and _COMMAND.search(line) else folded(line, width, indent=6)


def _path(named: str) -> str:
    return str(Path(named).expanduser().absolute()) if named else ""


def _check_accepted(accepted: tuple[str, ...]) -> None:
    """Raise UsageFault for a code that there is not: it would accept nothing, in silence."""
    from drfsm.cli.explanations import finding_codes
    from drfsm.cli.nearest import did_you_mean

    known = list(finding_codes())
    for text in accepted:
        if (code := text.partition(":")[0]) not in known:
            question = did_you_mean(code, known)
            raise UsageFault(
                f"--accept {text}: no finding has this code. {question}".strip(), hint="docs/doctor.md lists them"
            )
