"""`drfsm report`: a run, or a period's exercises, as one HTML page for whoever has no terminal. Offline."""

from pathlib import Path

import click

from drfsm.cli.reading_options import bundle_or_mirror
from drfsm.cli.say import say, say_lines
from drfsm.errors import ExitCode, UsageFault


@click.command()
@bundle_or_mirror
@click.option(
    "--html", "out", required=True, type=click.Path(dir_okay=False), metavar="FILE", help="Where to write it."
)
@click.option("--period", metavar="YEAR", help="The exercises and runs of a year (2026) instead.")
@click.option(
    "--trust-machine",
    "machines",
    multiple=True,
    metavar="SHA256",
    help="Trust this declaration like one of drfsm's own.  [$DRFSM_TRUST_MACHINES]",
)
def report(bundle_: str | None, out: str, period: str | None, machines: tuple[str, ...]) -> int:
    """Write a run as one self-contained page: the verdict first, then what happened, who decided, what was seen.

    It needs no network and no script, can be printed, and is the same for everybody who has the bundle. Exits with 6 if
    the evidence does not hold; the page is written then, too, and says so.
    """
    from drfsm.evidence.report.page import check_installed

    check_installed()
    if period is not None:
        if bundle_ is not None:
            raise UsageFault("--period and a bundle do not go together", hint="leave one of the two out")
        return _year(period, out)
    return _run(bundle_, out, machines)


def _run(named: str | None, out: str, machines: tuple[str, ...]) -> int:
    from drfsm import __version__
    from drfsm.cli.judging import beside, judged_run
    from drfsm.evidence.course import course_of
    from drfsm.evidence.report.document import document
    from drfsm.evidence.report.page import DRAWING, run_page
    from drfsm.runs import exercises
    from drfsm.spec.svg import svg

    run = judged_run(named, machines)
    course = course_of(run.records, run.spec)  # a journal without a run: EvidenceFault
    pinned, faults = exercises.pinned(beside(run.place), run.run_id)
    page = document(
        run.records, run.spec, run.judged.remarked(faults), head=run.head, source=f"{run.spec.name}.yaml",
        objectives=exercises.objectives(pinned, run.spec.name), exercises=pinned,
    )  # fmt: skip
    Path(out).write_bytes(run_page(page, svg(run.spec, course, within=DRAWING), __version__))
    say(f"{run.place}: {run.judged.verdict}; written: {out}")
    if run.judged.holds:
        return int(ExitCode.DONE)
    say_lines(run.judged.findings, err=True)
    return int(ExitCode.EVIDENCE)


def _year(period: str, out: str) -> int:
    from drfsm import __version__
    from drfsm.evidence.report.page import year_page
    from drfsm.runs import exercises

    page = exercises.year(period)
    Path(out).write_bytes(year_page(page, __version__))
    say(f"{len(page['exercises'])} exercises and {len(page['runs'])} runs of {period}; written: {out}")
    return int(ExitCode.DONE)
