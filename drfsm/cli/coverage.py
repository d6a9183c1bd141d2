"""`drfsm coverage`: what of a machine was ever exercised, by the records of its runs. Offline, but for mirrors."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drfsm.cli.machine_named import load_named, named_machine
from drfsm.cli.reading_options import output_format
from drfsm.cli.say import say, say_json, say_lines
from drfsm.errors import DrfsmError

if TYPE_CHECKING:
    from drfsm.evidence.coverage import Coverage
    from drfsm.spec import MachineSpec


@click.command()
@named_machine
@click.option(
    "--bundle", "bundles", multiple=True, metavar="DIR|S3_URI", help="Only these runs, instead of all of this computer."
)
@click.option(
    "--mirror", "mirrors", multiple=True, metavar="S3_URI", help="Also the runs that are mirrored below this prefix."
)
@click.option("--never", "only_never", is_flag=True, help="List only what was never exercised.")
@click.option("--svg", "drawing", type=click.Path(dir_okay=False), metavar="FILE", help="Also draw the machine.")
@click.option(
    "--trust-machine",
    "machines",
    multiple=True,
    metavar="SHA256",
    help="Trust this declaration like one of drfsm's own.  [$DRFSM_TRUST_MACHINES]",
)
@output_format
def coverage(
    named: str,
    bundles: tuple[str, ...],
    mirrors: tuple[str, ...],
    drawing: str | None,
    machines: tuple[str, ...],
    output: str,
    *,
    only_never: bool,
) -> None:
    """Say of each row, hold, undo and recovery case when it was last exercised: live, in a drill, or never.

    Counts every run of this computer whose evidence holds; a dry run exercises nothing. What runs did under another
    declaration is told apart.
    """
    from drfsm.evidence.coverage import document, lines, paint

    spec = load_named(named)
    counted, left_out = _counted(spec, bundles, mirrors, machines)
    if drawing is not None:
        from drfsm.spec.svg import svg

        Path(drawing).write_text(svg(spec, paint=paint(counted)), encoding="utf-8")
    if output == "json":
        say_json(document(counted, left_out))
        return
    say_lines(lines(counted, only_never=only_never))
    say(f"{counted.runs} runs of {spec.name} were counted; {counted.dry_runs} dry runs exercise nothing")
    for run in left_out:
        say(f"NOT counted: {run['run']}: {run['why']}", err=True)
    if drawing is not None:
        say(f"written: {drawing}")


def _counted(
    spec: "MachineSpec", bundles: Sequence[str], mirrors: Sequence[str], machines: Sequence[str]
) -> tuple["Coverage", list[dict[str, str]]]:
    """Return what the runs of a machine exercised, and which runs were left out, with the reason of each."""
    from drfsm.cli.judging import JudgedRun, judged_run
    from drfsm.evidence.coverage import Coverage
    from drfsm.runs import evidence

    named = list(bundles) or [str(place) for place in evidence.places()]
    named += evidence.mirrors_below(mirrors)
    runs: dict[str, JudgedRun] = {}
    left_out = []
    for place in named:
        try:
            run = judged_run(place, machines)
        except DrfsmError as fault:
            left_out.append({"run": place, "why": fault.what})
            continue
        if run.spec.name != spec.name:
            continue
        if not run.judged.holds:
            left_out.append({"run": place, "why": f"its evidence does not hold: {run.judged.findings[0]}"})
        elif len(run.records) > len(runs[run.run_id].records if run.run_id in runs else ()):
            runs[run.run_id] = run
    counted = Coverage(spec)
    for run in sorted(runs.values(), key=lambda run: run.records[0].at):
        counted.add(run.records)
    return counted, left_out
