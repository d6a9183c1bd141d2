"""Wires a run: bundle, journal, world, lease, subscribers, signals; then hands over to the Runner.

Used by every verb that moves something (failback, resume, abort, request, resolve). Holds no rules.
"""

import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from drfsm.adapters.file_journal import FileJournal
from drfsm.cli import bundle
from drfsm.cli.progress import Progress
from drfsm.engine import Runner, SystemClock
from drfsm.engine.ports import Lease
from drfsm.engine.runner import check_inputs, new_run_id
from drfsm.errors import EvidenceFault, ExitCode, UsageFault
from drfsm.evidence.steps import StepFiles
from drfsm.evidence.story import standing
from drfsm.evidence.summary import summarise, summary_bytes
from drfsm.journal import Record, RunState, fold
from drfsm.resources import shipped
from drfsm.spec import MachineSpec, load_machine

output = click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="What stdout carries; progress goes to stderr.",
)

Act = Callable[[Runner], RunState]


def tokens(first: str | None, second: str | None, dr_run_id: str) -> dict[str, str]:
    """Return the two tokens: as given, else asked for on a terminal, else empty (which is wrong)."""
    if sys.stdin.isatty() and (first is None or second is None):
        click.echo(f"This makes the primary canonical again instead of DR's run {dr_run_id}.", err=True)
        if first is None:
            first = click.prompt("Type FAILBACK to go on", err=True, default="", show_default=False)
        if second is None:
            second = click.prompt(f"Type CONFIRM-{dr_run_id}", err=True, default="", show_default=False)
    return {"confirm1": first or "", "confirm2": second or ""}


def new_workload_run_id() -> str:
    """Return an id for the run that validates the primary, as the workload would give it: the time."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def both_or_none(given: Mapping[str, Any], one: str, other: str) -> str:
    """Return ``asked`` or ``none`` for two options that go together. Raises UsageFault for only one."""
    if bool(given[one]) != bool(given[other]):
        raise UsageFault(f"--{one.replace('_', '-')} and --{other.replace('_', '-')} go together")
    return "asked" if given[one] else "none"


def start(
    machine: str,
    inputs: Mapping[str, Any],
    *,
    dry_run: bool,
    receipt_dir: str | None,
    operator: str,
    take_over: str,
    output: str,
) -> int:
    """Start a run in a new bundle; return the exit code."""
    text = (shipped("machines") / f"{machine}.yaml").read_bytes()
    spec = load_machine(text, source=f"{machine}.yaml")
    check_inputs(spec, inputs)
    for name in ("kubeconfig_dr", "kubeconfig_primary"):
        if not Path(inputs[name]).is_file():
            raise UsageFault(f"--{name.replace('_', '-')}: there is no file {inputs[name]}")
    run_id = new_run_id(machine)
    place = bundle.new(run_id, receipt_dir)
    bundle.replace(place / f"{machine}.yaml", text)
    with FileJournal.create(place) as journal:
        return _drive(
            place, spec, journal, inputs, lambda runner: runner.start(inputs, run_id=run_id, dry_run=dry_run),
            operator=operator, take_over=take_over, output=output,
        )  # fmt: skip


def go_on(named: str | None, act: Act, *, operator: str, take_over: str = "", output: str) -> int:
    """Take up a run where its bundle says that it stands; return the exit code."""
    place = bundle.find(named)
    with FileJournal.open(place) as journal:
        state = fold(journal.records())
        if not state.machine:
            raise UsageFault(f"{place} holds a journal without a run", way="start a new one; nothing was moved here")
        spec = declaration(place, state)
        return _drive(place, spec, journal, state.inputs, act, operator=operator, take_over=take_over, output=output)


def declaration(place: Path, state: RunState) -> MachineSpec:
    """Return the declaration that a run is pinned to, from its bundle. Raises EvidenceFault if it is another."""
    path = place / f"{state.machine}.yaml"
    try:
        spec = load_machine(path.read_bytes(), source=path.name)
    except OSError:
        raise EvidenceFault(f"the bundle lacks its declaration {path.name}", way="put it back from a copy") from None
    if spec.sha256 != state.machine_sha256:
        raise EvidenceFault(
            f"{path} is not the declaration that the run is pinned to ({state.machine_sha256[:12]}…)",
            way="put the right one back from a copy of the bundle",
        )
    return spec


def _drive(
    place: Path, spec: MachineSpec, journal: FileJournal, inputs: Mapping[str, Any], act: Act,
    *, operator: str, take_over: str, output: str,
) -> int:  # fmt: skip
    from drfsm.dr import failback

    world, lease = connect(inputs, take_over)
    progress = Progress(click.get_text_stream("stderr"))
    runner = Runner(
        spec,
        failback.binding(),
        world,
        journal,
        lease=lease,
        clock=SystemClock(),
        on_record=[Written(place, spec, journal), progress.on_record],
        say=progress.say,
        operator=operator,
    )
    with _signals(runner):
        state = act(runner)
    return _end(place, spec, journal, state, output)


class Written:
    """The subscriber that keeps the bundle's derived files true: the summary and the steps."""

    def __init__(self, place: Path, spec: MachineSpec, journal: FileJournal) -> None:
        self._place, self._spec, self._journal = place, spec, journal
        self._steps = StepFiles()
        (place / "steps").mkdir(exist_ok=True)
        for record in journal.records():
            self._steps.add(record)

    def __call__(self, record: Record, state: RunState) -> None:
        """Write what this record changed."""
        for name, body in self._steps.add(record).items():
            bundle.replace(self._place / "steps" / name, body)
        write_summary(self._place, self._spec, self._journal.records(), self._journal.head, state)


def write_summary(
    place: Path, spec: MachineSpec, records: Any, head: str, state: RunState, *, dead: bool = False
) -> dict[str, Any]:
    """Derive the summary and write it; return it."""
    summary = summarise(state, records, head=head, receipt=spec.receipt, dead=dead)
    bundle.replace(place / f"{spec.name}.summary.json", summary_bytes(summary))
    return summary


def connect(inputs: Mapping[str, Any], take_over: str = "") -> tuple[Any, Lease]:
    """Return the world that a run's inputs lead to, and its lease. Makes no call yet."""
    from drfsm.adapters import aws
    from drfsm.adapters.kube import KubeCluster
    from drfsm.adapters.s3_lease import S3Lease
    from drfsm.world import World

    store, identity, infrastructure = aws.connect(
        bucket=inputs["bucket"], endpoint_url=inputs["endpoint_url"] or None, region=inputs["region"] or None
    )
    world = World(
        store=store,
        primary=KubeCluster("primary", Path(inputs["kubeconfig_primary"])),
        dr=KubeCluster("dr", Path(inputs["kubeconfig_dr"])),
        identity=identity,
        infrastructure=infrastructure,
    )
    return world, S3Lease(store, str(inputs["prefix"]).strip("/"), take_over_from=take_over or None)


@contextmanager
def _signals(runner: Runner) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM) stops at the next clean point, the second one at once."""
    asked = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        click.echo("stopping at the next clean point (again: at once)", err=True)
        runner.interrupt()

    before = {each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, old in before.items():
            signal.signal(each, old)


def _end(place: Path, spec: MachineSpec, journal: FileJournal, state: RunState, output: str) -> int:
    if output == "json":
        click.echo(
            summary_bytes(summarise(state, journal.records(), head=journal.head, receipt=spec.receipt)).decode(),
            nl=False,
        )
    else:
        for line in standing(state, str(place)):
            click.echo(line)
    return int(exit_code(state, journal.records()))


STATUS_CODES = {
    "complete": ExitCode.DONE,
    "dry_run": ExitCode.DONE,
    "refused": ExitCode.REFUSED,
    "held": ExitCode.HELD,
    "running": ExitCode.HELD,
    "aborted": ExitCode.ABORTED,
    "failed": ExitCode.ABORTED,
}


def exit_code(state: RunState, records: Any) -> ExitCode:
    """Return what a verb's process exits with for where the run stands."""
    last = next((each for each in reversed(records) if each.kind in ("held", "ended")), None)
    if state.status == "held" and last and last.body.get("interrupted"):
        return ExitCode.INTERRUPTED
    if state.status == "dry_run" and last and last.body.get("findings"):
        return ExitCode.REFUSED
    return STATUS_CODES.get(state.status, ExitCode.DEFECT)
