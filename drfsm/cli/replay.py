"""`drfsm replay`: tells a run's story from its journal and audits it. Offline, but for a mirror (``s3://…``) or --otlp.

Adopts, executes and writes nothing.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drfsm.adapters.file_journal import each_line
from drfsm.claims import LARGEST_BYTES
from drfsm.cli.reading_options import bundle_or_mirror, output_format
from drfsm.cli.say import say, say_json, say_lines
from drfsm.errors import EvidenceFault, ExitCode, UsageFault
from drfsm.evidence.narrative import tell
from drfsm.evidence.wording import clock_remarks
from drfsm.files import Directory
from drfsm.journal import Record, Scan
from drfsm.runs import bundle, selection

if TYPE_CHECKING:
    from drfsm.adapters.otlp import Collector
    from drfsm.spec import MachineSpec

Lines = Callable[[], Iterable[bytes]]
_FEW = 2000  # records that are kept while they are told


@click.command()
@bundle_or_mirror
@output_format
@click.option("--quiet", is_flag=True, help="Only audit; do not tell the story.")
@click.option("-v", "--verbose", is_flag=True, help="Show every observation and every guard.")
@click.option(
    "--expect-head", metavar="SHA256", help="Head of the journal, from a summary that was copied to another place."
)
@click.option("--expect-records", type=int, metavar="N", help="Number of records, from that summary.")
@click.option(
    "--trust-machine",
    "machines",
    multiple=True,
    metavar="SHA256",
    help="Trust this declaration like one of drfsm's own.  [$DRFSM_TRUST_MACHINES]",
)
@click.option(
    "--under",
    metavar="FILE",
    help="Judge what was recorded by this declaration instead: where it would hold, refuse or allow. Exits with 11 if"
    " it would decide otherwise.",
)
@click.option(
    "--otlp", is_flag=True, help="Also send the run's trace to the collector that $OTEL_EXPORTER_OTLP_ENDPOINT names."
)
def replay(
    bundle_: str | None,
    output: str,
    expect_head: str | None,
    expect_records: int | None,
    machines: tuple[str, ...],
    under: str | None,
    *,
    quiet: bool,
    verbose: bool,
    otlp: bool,
) -> int:
    """Tell a run's story from its journal, then audit it: chain, legality, guards, seal. Offline, except for S3_URI.

    Exits with 6 if the evidence does not hold, with 7 if the journal cannot be read at all. A journal alone does not
    show that its end was cut off; the head in a summary that was copied to another place does.
    """
    from drfsm.evidence.audit import audit
    from drfsm.runs import approvals, trust

    if under is not None:
        return _under(bundle_, under, output, verbose=verbose)
    collector = _collector() if otlp else None  # BEFORE the story: whoever asks for it in vain hears that first
    lines, spec, beside = logged(bundle_)
    records = _records(lines)
    origin = trust.origin_of(spec.sha256, trust.trusted_machines(machines, os.environ))
    judges, late, pairs = bound(spec.name)
    verdict = audit(
        lines(), spec, judges=judges, late=late, bound=pairs, origin=origin, beside=beside, plan=plan_beside(bundle_),
        expected_head=expect_head, expected_records=expect_records, **approvals.checking(),
    )  # fmt: skip
    if output == "json":
        say_json(verdict.record)
    else:
        if not quiet:
            for line in tell(records(), brief=not verbose):
                say(line)
        if any(finding.code == "time_runs_back" for finding in verdict.remarks):
            say_lines(clock_remarks(records()))
        say_lines(verdict.lines())
    if collector is not None:
        from drfsm.evidence.traces import spans

        finished = list(spans(list(records())))
        collector.take(finished)
        say(f"{len(finished)} spans were sent to the collector of traces", err=True)
    if verdict.ok:
        return int(ExitCode.DONE)
    return int(ExitCode.DAMAGED if any(finding.rule == "chain" for finding in verdict.findings) else ExitCode.EVIDENCE)


def plan_beside(named: str | None) -> dict[str, Any] | None:
    """Return the plan that a bundle holds, None where there is none, and for a mirror."""
    from drfsm.runs import plan_files

    if named is not None and named.startswith("s3://"):
        return None
    return plan_files.in_bundle(selection.find(named, to_read=True))


def _under(named: str | None, under: str, output: str, *, verbose: bool) -> int:
    """Judge a run by another declaration. Returns 0 where it would decide the same everywhere, else 11."""
    from drfsm.cli.machine_named import load_named
    from drfsm.dr.procedures import with_defaults
    from drfsm.evidence.counterfactual import counterfactual

    lines, spec, _ = logged(named)
    judged = counterfactual(list(readable(lines())), spec, load_named(under), with_defaults(spec.name, {}))
    if output == "json":
        say_json(judged.json)
    else:
        say_lines(judged.lines(verbose=verbose))
    return int(ExitCode.DONE if judged.same else ExitCode.DIFFERENT)


def _collector() -> "Collector":
    """Return the collector of traces. Raises UsageFault where the environment names none that can be used."""
    from drfsm.adapters import otlp

    if not otlp.is_wanted(os.environ):
        raise UsageFault(
            f"--otlp needs a collector of traces, and the environment names none ({otlp.ENDPOINTS[1]})",
            hint=f"export {otlp.ENDPOINTS[1]}=http://COLLECTOR:4318",
        )
    return otlp.Collector(os.environ)


def logged(named: str | None) -> tuple[Lines, "MachineSpec", tuple[str, int] | None]:
    """Return a journal's lines, its declaration, and the head that the summary beside it names."""
    from drfsm.spec import load_machine

    if named is None or not named.startswith("s3://"):
        place = selection.find(named, to_read=True)
        bundle.check_not_emptied(place, list(islice(readable(each_line(place)), 1)))
        spec = _declared(place)
        return partial(each_line, place), spec, bundle.anchor(place, spec.name)
    from drfsm.runs import mirrors

    mirror = mirrors.open_mirror(named, {})
    state = mirrors.state_of(mirror)
    text = mirrors.declaration_of(mirror, state)
    return lambda: mirror.lines, load_machine(text, source=f"{state.machine}.yaml", recorded=True), None


def bound(machine: str) -> tuple[Mapping[str, Any], Mapping[str, Any] | None, tuple[Any, ...]]:
    """Return a shipped machine's judges, how it settles late requests, and what must agree; nothing of another one."""
    from drfsm.dr.procedures import MACHINES, binding
    from drfsm.dr.procedures import bound as agreeing

    bound = binding(machine) if machine in MACHINES else None
    return (bound.judges, bound.late, agreeing.pairs_of(machine)) if bound else ({}, None, ())


def readable(lines: Iterable[bytes]) -> Iterator[Record]:
    """Yield the records up to the first line that is damaged."""
    from drfsm.errors import JournalDamaged

    with suppress(JournalDamaged):
        yield from Scan(lines)


def _records(lines: Lines) -> Callable[[], Iterable[Record]]:
    """Return what gives the records of a journal: kept in memory, if there are few; else read anew each time."""
    first = tuple(islice(readable(lines()), _FEW + 1))
    return (lambda: first) if len(first) <= _FEW else (lambda: readable(lines()))


def _declared(place: Path) -> "MachineSpec":
    """Return the declaration in a bundle. Raises EvidenceFault if there is not exactly one."""
    from drfsm.spec import load_machine

    with Directory.look(place) as directory:
        names = [name for name in directory.names() if name.endswith(".yaml") and not name.startswith(".")]
        text = directory.read(names[0], LARGEST_BYTES) if len(names) == 1 else None
    if text is None:
        raise EvidenceFault(
            f"{place} holds {len(names)} declarations instead of one: legality cannot be checked",
            hint="restore the bundle's <machine>.yaml from a copy",
        )
    return load_machine(text, source=names[0], recorded=True)
