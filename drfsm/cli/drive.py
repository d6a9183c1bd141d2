"""Wires a run: bundle, journal, world, lease, subscribers, signals; then hands over to the Runner.

Used by every verb that moves something (failback, resume, abort, request, resolve). Holds no rules.
"""

import hashlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, TypeVar

import click
from attrs import evolve, field, frozen

from drfsm.adapters.fenced import fenced
from drfsm.adapters.file_journal import FileJournal
from drfsm.adapters.s3_journal import MirroredJournal
from drfsm.claims import printable
from drfsm.cli import bundle
from drfsm.cli.child_runs import ChildRuns
from drfsm.cli.derived import derived_by
from drfsm.cli.progress import listener
from drfsm.cli.receipt_files import hold as hold_to_schema
from drfsm.cli.say import say, say_text
from drfsm.cli.site_world import SiteCluster, kubeconfig_of, pinned, provisioner
from drfsm.engine import Runner, SystemClock
from drfsm.engine.runner import check_inputs, new_run_id
from drfsm.errors import EvidenceFault, ExitCode, LeaseHeld, LeaseLost, Unreachable, UsageFault
from drfsm.evidence.steps import StepFiles
from drfsm.evidence.story import standing
from drfsm.evidence.summary import summarise, summary_bytes
from drfsm.journal import Record, RunState, fold, read
from drfsm.resources import shipped
from drfsm.spec import MachineSpec, load_machine

if TYPE_CHECKING:
    from drfsm.adapters.s3_lease import S3Lease
    from drfsm.world import World

TRIES = 3

output = click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="What stdout carries; progress goes to stderr.",
)

Act = Callable[[Runner], RunState]
Done = TypeVar("Done")


def prompted(words: str) -> str:
    """Return what a person types at a terminal; "" where nobody sits at one."""
    if not sys.stdin.isatty():
        return ""
    return str(click.prompt(printable(words), err=True, default="", show_default=False))


def tokens(first: str | None, second: str | None, dr_run_id: str) -> dict[str, str]:
    """Return the two tokens: as given, else asked for on a terminal, else empty (which is wrong)."""
    if first is None or second is None:
        say(f"This makes the primary canonical again instead of DR's run {dr_run_id}.", err=True)
    given = {
        "confirm1": prompted("Type FAILBACK to go on") if first is None else first,
        "confirm2": prompted(f"Type CONFIRM-{dr_run_id}") if second is None else second,
    }
    right = ("FAILBACK", f"CONFIRM-{dr_run_id}")
    # What is typed instead of a token may be anything, also a password: it is not kept.
    return {name: each if each in ("", *right) else "(something else)" for name, each in given.items()}


def new_workload_run_id() -> str:
    """Return an id for the run that validates the primary, as the workload would give it: the time."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def both_or_none(given: Mapping[str, Any], one: str, other: str) -> str:
    """Return ``asked`` or ``none`` for two options that go together. Raises UsageFault for only one."""
    if bool(given[one]) != bool(given[other]):
        raise UsageFault(f"--{one.replace('_', '-')} and --{other.replace('_', '-')} go together")
    return "asked" if given[one] else "none"


@frozen
class Who:
    """Who acts, and what the command line says beside the run's inputs."""

    operator: str = ""
    take_over: str = ""
    output: str = "text"
    kubeconfigs: Mapping[str, str] = field(factory=dict)  # site -> file, where it lies elsewhere than when started


def start(
    machine: str,
    inputs: Mapping[str, Any],
    who: Who,
    *,
    dry_run: bool,
    receipt_dir: str | None,
    run_id: str = "",
    scope: str = "live",
    then: Act = lambda runner: runner.state,
    before: Callable[[Path], object] = lambda _place: None,
) -> int:
    """Start a run in a new bundle; return the exit code. ``then`` is done where it got to, under the same lease.

    ``before`` lays into the bundle what the run needs there.
    """
    named = run_id or new_run_id(machine)

    def act(runner: Runner) -> RunState:
        runner.start(inputs, run_id=named, dry_run=dry_run, scope=scope)
        return then(runner)

    with _new(machine, inputs, who, named, receipt_dir, before) as run:
        return run.drive(act)


def start_quietly(
    machine: str, inputs: Mapping[str, Any], who: Who, run_id: str, place: Path, scope: str, *, above: Path
) -> RunState:
    """Start a run on behalf of another one, whose bundle is ``above``; say nothing of it on stdout."""
    with _new(machine, inputs, who, run_id, str(place), lambda _place: None) as run:
        return run.work(lambda runner: runner.start(inputs, run_id=run_id, scope=scope), above=above)


@contextmanager
def _new(
    machine: str,
    inputs: Mapping[str, Any],
    who: Who,
    run_id: str,
    receipt_dir: str | None,
    before: Callable[[Path], object],
) -> Iterator["_Wired"]:
    """Wire a run in a new bundle."""
    text = (shipped("machines") / f"{machine}.yaml").read_bytes()
    spec = load_machine(text, source=f"{machine}.yaml")
    check_inputs(spec, inputs)
    for name in ("kubeconfig_dr", "kubeconfig_primary"):
        if inputs.get(name):
            check_kubeconfig(f"--{name.replace('_', '-')}", Path(inputs[name]))
    place = bundle.new(run_id, receipt_dir)
    bundle.replace(place / f"{machine}.yaml", text)
    before(place)
    with FileJournal.create(place) as journal:
        yield _Wired(place, spec, text, journal, run_id, inputs, who)


def check_kubeconfig(option: str, path: Path) -> None:
    """Raise UsageFault for what is no kubeconfig at all. Runs nothing of it: the tokens come first."""
    import yaml

    if not path.is_file():
        raise UsageFault(f"{option}: there is no file {path}")
    try:
        found = yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, OSError, ValueError):
        found = None
    if not isinstance(found, dict) or not found.get("clusters") or not found.get("contexts"):
        # Never the file's contents: they may hold credentials.
        raise UsageFault(f"{option}: {path} is no kubeconfig", way=f"kubectl --kubeconfig {quote(str(path))} version")


def go_on(named: str | None, act: Act, who: Who) -> int:
    """Take up a run where its bundle says that it stands; return the exit code. ``named`` may be a mirror's URI."""
    place = bundle.find(fetched(named) if named and named.startswith("s3://") else named)
    return _gone_on(place, who, lambda run: run.drive(act))


def go_on_quietly(place: Path, who: Who, *, above: Path) -> RunState:
    """Go on with a run on behalf of another one, whose bundle is ``above``; say nothing of it on stdout."""
    return _gone_on(place, who, lambda run: run.work(lambda runner: runner.resume(), above=above))


def _gone_on(place: Path, who: Who, do: Callable[["_Wired"], Done]) -> Done:
    """Wire a run that was begun, and do something with it."""
    with FileJournal.open(place) as journal:
        state = fold(journal.records())
        if not state.machine:
            raise UsageFault(f"{place} holds a journal without a run", way="start a new one; nothing was moved here")
        spec, text = declaration(place, state)
        run = _Wired(place, spec, text, journal, state.run_id, state.inputs, who)
        for _ in range(TRIES):
            run.catch_up()
            run.pin()
            try:
                return do(run)
            except LeaseLost:
                # Whoever we took it over from wrote one more record in that moment, his last: read it, begin again.
                if not run.overtaken:
                    raise
        raise LeaseHeld(f"somebody else goes on with {state.run_id} all the time", way="talk to them")


def declaration(place: Path, state: RunState) -> tuple[MachineSpec, bytes]:
    """Return the declaration that a run is pinned to, from its bundle. Raises EvidenceFault if it is another."""
    path = place / f"{state.machine}.yaml"
    try:
        text = path.read_bytes()
    except OSError:
        raise EvidenceFault(f"the bundle lacks its declaration {path.name}", way="put it back from a copy") from None
    if hashlib.sha256(text).hexdigest() != state.machine_sha256:
        raise EvidenceFault(
            f"{path} is not the declaration that the run is pinned to ({state.machine_sha256[:12]}…)",
            way="put the right one back from a copy of the bundle",
        )
    return load_machine(text, source=path.name), text


def fetched(uri: str) -> str:
    """Bring a mirrored run to this machine, as a bundle; return its directory."""
    from drfsm.adapters import aws
    from drfsm.adapters.s3_journal import fetch

    bucket, _, home = uri.removeprefix("s3://").rstrip("/").partition("/")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    store = aws.connect(bucket=bucket, endpoint_url=os.environ.get("AWS_ENDPOINT_URL"), region=region).store
    lines = fetch(store, home)
    if not lines:
        raise UsageFault(f"{uri} holds no run", way="s3://<bucket>/<prefix>/drfsm/runs/<run>")
    state = fold(read(lines).records)
    text = store.get(f"{home}/{state.machine}.yaml")
    if text is None:
        raise EvidenceFault(f"{uri} lacks the declaration {state.machine}.yaml", way="put it back from a copy")
    place = bundle.home() / "runs" / state.run_id
    if not (place / bundle.LOG).exists():
        _lay(bundle.new(state.run_id, None), state, text.body, lines)
    return str(place)


def fetched_into(place: Path, inputs: Mapping[str, Any], run_id: str) -> bool:
    """Bring a mirrored run into a directory; return whether there is one. The run's inputs say where it would lie."""
    from drfsm.adapters.s3_journal import fetch
    from drfsm.journal.mirror import home_of

    store = connect(inputs, "", place)[0].store
    home = home_of(own_prefix(inputs), run_id)
    if not (lines := fetch(store, home)):
        return False
    state = fold(read(lines).records)
    text = store.get(f"{home}/{state.machine}.yaml")
    if text is None:
        raise EvidenceFault(f"{home} lacks the declaration {state.machine}.yaml", way="put it back from a copy")
    _lay(bundle.new(run_id, str(place)), state, text.body, lines)
    return True


def _lay(place: Path, state: RunState, declared: bytes, lines: Sequence[bytes]) -> None:
    bundle.replace(place / f"{state.machine}.yaml", declared)
    bundle.replace(place / bundle.LOG, b"".join(lines))
    say(f"fetched {len(lines)} records of {state.run_id} into {place}", err=True)


def own_prefix(inputs: Mapping[str, Any]) -> str:
    """Return the prefix that a run's journal and lease lie below: its own, where it has one."""
    return str(inputs.get("journal_prefix") or inputs["prefix"]).strip("/")


class _Wired:
    """A run with its journal, world, lease and subscribers."""

    def __init__(
        self,
        place: Path,
        spec: MachineSpec,
        text: bytes,
        journal: FileJournal,
        run_id: str,
        inputs: Mapping[str, Any],
        who: Who,
    ) -> None:
        self._place, self._spec, self._who = place, spec, who
        here = {**inputs, **_elsewhere(who)}
        world, self._lease = connect(here, who.take_over, place, run_id)
        children = ChildRuns(place, run_id, who, kubeconfig_of(here, place))
        self._world = fenced(evolve(world, procedures=children), self._lease)
        self._journal = MirroredJournal(journal, world.store, own_prefix(inputs), run_id, text)
        self._derived = derived_by(spec.name, place, journal, self._journal, world.store)

    @property
    def overtaken(self) -> bool:
        """Whether the last try ended because somebody else wrote a record where the first of ours was to lie."""
        return self._journal.overtaken

    def catch_up(self) -> None:
        """Take over what the mirror knows more than this machine. A store that can't be reached says nothing yet."""
        try:
            self._lease.look()  # BEFORE the records are read: who takes it in between wins
            more, vanished = self._journal.catch_up()
        except Unreachable as fault:
            say(f"the mirror could not be read ({fault.what})", err=True)
            return
        if more:
            say(f"the run went on elsewhere: {more} records were fetched from {self._journal.uri}", err=True)
        if vanished:
            told = ", ".join(map(str, vanished))
            say(
                f"{self._journal.uri} lacks record {told}: look for who deleted it. It is put back from the journal"
                " here, which is whole",
                err=True,
            )

    def pin(self) -> None:
        """Hold every site to the cluster that the run saw under its name, whatever a kubeconfig leads to by now."""
        results = fold(self._journal.records()).results
        self._world = evolve(
            self._world,
            primary=pinned(self._world.primary, "primary", results),
            dr=pinned(self._world.dr, "dr", results),
        )

    def drive(self, act: Act) -> int:
        """Let the runner act; say where the run stands; return the exit code."""
        return _end(self._place, self._journal, self.work(act), self._who.output)

    def work(self, act: Act, *, above: Path | None = None) -> RunState:
        """Let the runner act. ``above``: the bundle of the run that this one belongs to; who holds that, holds this."""
        from drfsm.dr.bindings import binding

        progress = listener(sys.stderr)
        written = Written(self._place, self._spec, self._journal)
        runner = Runner(
            self._spec,
            binding(self._spec.name),
            self._world,
            self._journal,
            lease=self._lease,
            clock=SystemClock(),
            on_record=[written, *self._derived, progress.on_record],
            say=progress.say,
            operator=self._who.operator,
            hold_asked=lambda: bundle.asked_hold(self._place) or (above is not None and bundle.asked_hold(above)) or "",
        )
        bundle.asked_hold(self._place, forget=True)
        try:
            with _signals(runner):
                return act(runner)
        finally:
            written.leave()


def _elsewhere(who: Who) -> dict[str, str]:
    return {f"kubeconfig_{site}": str(Path(file).absolute()) for site, file in who.kubeconfigs.items() if file}


class Written:
    """The subscriber that keeps the bundle's derived files true: the summary and the steps."""

    def __init__(self, place: Path, spec: MachineSpec, journal: MirroredJournal) -> None:
        self._place, self._spec, self._journal = place, spec, journal
        self._steps: StepFiles = StepFiles()
        (place / "steps").mkdir(exist_ok=True)
        for record in journal.records():
            self._steps.add(record)

    def __call__(self, record: Record, state: RunState) -> None:
        """Write what this record changed."""
        for name, body in self._steps.add(record).items():
            bundle.replace(self._place / "steps" / name, body)
        summary = self._summarise(state)
        body = summary_bytes(summary)
        if record.kind in ("held", "ended", "seal"):
            self._check(summary)
            self._journal.keep_summary(body)

    def leave(self) -> None:
        """Write the summary of whatever was reached, here and off this machine, for whatever reason it stopped.

        A run that still reads as running is said to be interrupted: nobody works on it any more.
        """
        state = fold(self._journal.records())
        if state.status != "none":
            with suppress(OSError):  # what stopped it is what must be told
                self._journal.settle(summary_bytes(self._summarise(state, dead=state.status == "running")))

    def _summarise(self, state: RunState, *, dead: bool = False) -> dict[str, Any]:
        head = self._journal.head
        summary = summarise(state, self._journal.records(), head=head, dead=dead)
        bundle.replace(self._place / f"{self._spec.name}.summary.json", summary_bytes(summary))
        return summary

    def _check(self, summary: Mapping[str, Any]) -> None:
        """Hold the summary against its schema. Raises EvidenceFault: a receipt that is wrong is a defect of ours."""
        name = f"{self._spec.name}.summary"
        hold_to_schema(f"{name}.json", summary, name)


def connect(inputs: Mapping[str, Any], take_over: str, place: Path, run_id: str = "") -> tuple["World", "S3Lease"]:
    """Return the world that a run's inputs lead to, and the lease of the bundle at ``place``. Makes no call yet."""
    from drfsm.adapters import aws
    from drfsm.adapters.kube import KubeCluster
    from drfsm.adapters.registry import ImageRegistry
    from drfsm.adapters.s3_lease import S3Lease
    from drfsm.dr.infrastructure import charter_for as charter_of
    from drfsm.world import World

    account = aws.connect(
        bucket=inputs["bucket"], endpoint_url=inputs["endpoint_url"] or None, region=inputs["region"] or None
    )
    world = World(
        **account._asdict(),
        # A site that was never named leads nowhere: asking it is refused as wrong usage.
        primary=KubeCluster("primary", Path(inputs.get("kubeconfig_primary") or os.devnull)),
        dr=KubeCluster("dr", Path(inputs.get("kubeconfig_dr") or os.devnull)),
    )
    if (gives := provisioner(inputs, place)) is not None:
        charter = charter_of(run_id, inputs)
        dr = SiteCluster(kubeconfig_of(inputs, place), gives, charter)
        world = evolve(world, dr=dr, provisioner=gives, registry=ImageRegistry())
    return world, S3Lease(
        account.store, own_prefix(inputs), take_over_from=take_over or None, bundle=str(place.resolve())
    )


@contextmanager
def _signals(runner: Runner) -> Iterator[None]:
    """Stop at the next clean point on the first Ctrl-C (or SIGTERM), at once on the second."""
    asked = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        say("stopping at the next clean point (again: at once)", err=True)
        for each in _AT_WORK:  # a run, and the one that started it
            each.interrupt()

    before = {each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM)}
    _AT_WORK.append(runner)
    try:
        yield
    finally:
        _AT_WORK.remove(runner)
        for each, old in before.items():
            signal.signal(each, old)


_AT_WORK: list[Runner] = []


def _end(place: Path, journal: MirroredJournal, state: RunState, output: str) -> int:
    if output == "json":
        say_text(summary_bytes(summarise(state, journal.records(), head=journal.head)).decode())
    else:
        for line in standing(state, str(place)):
            say(line)
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


def exit_code(state: RunState, records: Sequence[Record]) -> ExitCode:
    """Return what a verb's process exits with for where the run stands."""
    last = next((each for each in reversed(records) if each.kind in ("held", "ended")), None)
    if state.status == "held" and last and last.body.get("interrupted"):
        return ExitCode.INTERRUPTED
    if state.status == "dry_run" and last and last.body.get("findings"):
        return ExitCode.REFUSED
    if state.status == "refused" and any(each.get("error") == "LeaseHeld" for each in state.args.values()):
        return ExitCode.LEASE_HELD
    return STATUS_CODES.get(state.status, ExitCode.DEFECT)
