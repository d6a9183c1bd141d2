"""Wires a run: bundle, journal, world, lease, subscribers, signals; then hands over to the Runner.

Used by every verb that moves something (failback, resume, abort, request, resolve). Holds no rules: whether records
are gone on with is trust.py's matter.
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
from drfsm.adapters.ssh_signatures import signer_of, verifier_of
from drfsm.claims import LARGEST_BYTES, bounded, name_of, printable, yaml_of
from drfsm.cli.progress import listener
from drfsm.cli.say import say, say_lines, say_text
from drfsm.engine import Run, Runner, SystemClock
from drfsm.engine.recheck import in_words
from drfsm.engine.runner import check_inputs, new_run_id
from drfsm.errors import (
    ActionFailed,
    DiskFault,
    EvidenceFault,
    ExitCode,
    FileDamaged,
    LeaseHeld,
    LeaseLost,
    Unreachable,
    Unreadable,
    UsageFault,
    WorldDiffers,
)
from drfsm.evidence.narrative import standing
from drfsm.evidence.signatures import RECORD
from drfsm.evidence.step_logs import StepFiles
from drfsm.evidence.summary import summarise, summary_bytes
from drfsm.files import Directory
from drfsm.journal import Record, RunState, digest, fold
from drfsm.resources import shipped
from drfsm.runs import bundle, mirrors, trust
from drfsm.runs.children import ChildRuns
from drfsm.runs.clusters import SiteCluster, kubeconfig_of, pinned, provisioner
from drfsm.runs.derived import derived_by
from drfsm.runs.heads import Heads
from drfsm.runs.identity import asked, process_owner
from drfsm.runs.mirrors import own_prefix
from drfsm.runs.receipts import hold as hold_to_schema
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
    places: Mapping[str, str] = field(factory=dict)  # endpoint_url, region, terraform_dir: likewise
    word: trust.Word = field(factory=trust.Word)  # on whose word records are gone on with

    @property
    def given(self) -> dict[str, str]:
        """Where the sites lie, as said on the command line: input -> value."""
        files = {f"kubeconfig_{site}": str(Path(file).absolute()) for site, file in self.kubeconfigs.items() if file}
        return {**files, **{name: value for name, value in self.places.items() if value}}


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
    check_keys()
    for name in ("kubeconfig_dr", "kubeconfig_primary"):
        if inputs.get(name):
            check_kubeconfig(f"--{name.replace('_', '-')}", Path(inputs[name]))
    place = bundle.new(run_id, receipt_dir)
    bundle.replace(place / f"{machine}.yaml", text)
    before(place)
    with FileJournal.create(place) as journal:
        yield _Wired(place, spec, text, journal, run_id, inputs, who)


def check_keys() -> None:
    """Raise UsageFault for keys that the environment names and that can't be used, before anything is made."""
    verifier_of()
    if (signer := signer_of()) is not None:
        signer.sign(RECORD, b"drfsm asks whether this key signs")


def check_kubeconfig(option: str, path: Path) -> None:
    """Raise UsageFault for what is no kubeconfig at all. Runs nothing of it: the tokens come first."""
    if not path.is_file():
        raise UsageFault(f"{option}: there is no file {path}")
    try:
        found = yaml_of(path.read_bytes(), str(path))
    except (OSError, Unreadable):
        found = None
    if not isinstance(found, dict) or not found.get("clusters") or not found.get("contexts"):
        # Never the file's contents: they may hold credentials.
        raise UsageFault(f"{option}: {path} is no kubeconfig", hint=f"kubectl --kubeconfig {quote(str(path))} version")


def go_on(named: str | None, act: Act, who: Who, *, recheck: str = "all") -> int:
    """Take up a run where its bundle says that it stands; return the exit code. ``named`` may be a mirror's URI.

    ``recheck`` says what is read again where nothing but a person's word stands behind the records: ``all``, what is
    ``readable``, or the ``snapshots`` that an abort would give back, which are held against the objects always.
    """
    place, who = looked_up(named, who)
    return _gone_on(place, who, lambda run: _as_expected(run).drive(act, recheck))


def looked_up(named: str | None, who: Who) -> tuple[Path, Who]:
    """Return a run's bundle, fetched from its mirror where ``named`` is one, and whoever vouched for it meanwhile."""
    return fetched(named, who) if mirrors.is_mirror(named) else (bundle.find(named), who)


def _as_expected(run: "_Wired") -> "_Wired":
    """Return a run that a person named, once it is the one whose head he named."""
    trust.check_expected(run.lines(), run.word)
    return run


def go_on_quietly(place: Path, who: Who, *, above: Path) -> RunState:
    """Go on with a run on behalf of another one, whose bundle is ``above``; say nothing of it on stdout."""
    return _gone_on(place, who, lambda run: run.work(lambda runner: runner.resume(), above=above))


def connected(place: Path, who: Who) -> tuple[RunState, "World", Who]:
    """Return where a run stands, its world, and ``who`` with what was said meanwhile. Raises as ``vouch`` does."""
    return _gone_on(place, who, lambda run: (run.state, run.world, _said(who, run.vouched, run.state)))


def _gone_on(place: Path, who: Who, do: Callable[["_Wired"], Done]) -> Done:
    """Wire a run that was begun, and do something with it."""
    with FileJournal.open(place) as journal:
        bundle.check_not_emptied(place, journal.records())
        state = trust.sound(journal.records())
        if not state.machine:
            raise UsageFault(
                f"{place} holds a journal without a record: a start was cut off before it moved anything, or its"
                " records were removed",
                hint="look into the run's mirror (s3://<bucket>/<prefix>/drfsm/runs/<run>); where there is none, start"
                " a new run in another directory",
            )
        spec, text = declaration(place, state)
        trust.check_origin(spec, who.word.machines)
        run = _Wired(place, spec, text, journal, state.run_id, state.inputs, who)
        for _ in range(TRIES):
            run.catch_up()
            if told := bundle.contradiction(place, spec.name, journal.lines()):
                raise EvidenceFault(f"{place}: {told}", hint="keep it; go on from its mirror, or from a whole copy")
            run.vouch(journal.lines())  # AFTER what the mirror has more: one word is enough for all of it
            run.pin()
            run.check_account()
            try:
                return do(run)
            except LeaseLost:
                # Whoever we took it over from wrote one more record in that moment, his last: read it, begin again.
                if not run.overtaken:
                    raise
        raise LeaseHeld(f"somebody else goes on with {state.run_id} all the time", hint="talk to them")


def declaration(place: Path, state: RunState) -> tuple[MachineSpec, bytes]:
    """Return the declaration that a run is pinned to, from its bundle. Raises EvidenceFault if it is another."""
    path = place / f"{name_of('machine', state.machine, 'the machine that the journal names')}.yaml"
    with Directory.look(place) as directory:
        text = directory.read(path.name, LARGEST_BYTES)
    if text is None:
        raise EvidenceFault(f"the bundle lacks its declaration {path.name}", hint="put it back from a copy")
    if hashlib.sha256(text).hexdigest() != state.machine_sha256:
        raise EvidenceFault(
            f"{path} is not the declaration that the run is pinned to ({state.machine_sha256[:12]}…)",
            hint="put the right one back from a copy of the bundle",
        )
    return load_machine(text, source=path.name), text


def fetched(uri: str, who: Who) -> tuple[Path, Who]:
    """Bring a mirrored run to this machine, as a bundle, once somebody vouches for it.

    Returns its directory, and ``who`` with what was said meanwhile. Raises EvidenceFault, UntrustedRecords.
    """
    mirror = mirrors.open_mirror(uri, who.places)
    place = bundle.home() / "runs" / mirror.run_id
    if (place / bundle.LOG).exists():
        return place.resolve(), who
    spec, text, state = _of_mirror(mirror, who)
    heads = Heads(state.run_id)
    _here(state.inputs, who, heads, mirror.lines)  # what is missing is told BEFORE anybody is asked for his word
    vouched = trust.vouch(mirror.journal(spec), heads, who.word)
    who = _said(who, vouched, state)
    place = bundle.new(mirror.run_id, None)
    _lay(place, state, text, mirror.lines)
    return place.resolve(), who


def _of_mirror(mirror: mirrors.Mirror, who: Who) -> tuple[MachineSpec, bytes, RunState]:
    """Return a mirror's declaration and where its run stands, each held against where it lies. Raises EvidenceFault."""
    state = mirrors.state_of(mirror)
    text = mirrors.declaration_of(mirror, state)
    spec = load_machine(text, source=f"{state.machine}.yaml")
    trust.check_origin(spec, who.word.machines)
    return spec, text, state


def _said(who: Who, vouched: trust.Vouched, state: RunState) -> Who:
    """Return ``who`` with what was typed, so that it is asked for once."""
    if vouched.how == "own":
        return who
    plan = str(state.args.get("approve", {}).get("approved_plan", ""))
    heads = (*who.word.heads, vouched.head) if vouched.by_person else who.word.heads
    plans = (*who.word.approved_plans, plan) if plan else who.word.approved_plans
    return evolve(who, word=evolve(who.word, heads=heads, approved_plans=plans))


def fetched_into(place: Path, inputs: Mapping[str, Any], run_id: str, who: Who) -> bool:
    """Bring a mirrored run into a directory; return whether there is one. The run's inputs say where it would lie."""
    account, _ = connect(inputs, "", place)
    mirror = mirrors.mirror_at(account.store, own_prefix(inputs), run_id)
    if not mirror.lines:
        return False
    spec, text, state = _of_mirror(mirror, who)
    trust.vouch(mirror.journal(spec), Heads(run_id), who.word)
    _lay(bundle.new(run_id, str(place)), state, text, mirror.lines)
    return True


def _lay(place: Path, state: RunState, declared: bytes, lines: Sequence[bytes]) -> None:
    bundle.replace(place / f"{state.machine}.yaml", declared)
    bundle.replace(place / bundle.LOG, b"".join(lines))
    say(f"fetched {len(lines)} records of {state.run_id} into {place}", err=True)


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
        from drfsm.dr.procedures.bindings import with_defaults

        self._place, self._spec, self._who = place, spec, who
        self._local = journal
        self._heads, self._vouched = Heads(run_id), trust.Vouched("own")
        self._pending: Sequence[str] = ()  # heads that somebody vouches for, not yet remembered
        inputs = with_defaults(spec.name, inputs)
        self._here = here = _here(inputs, who, self._heads, journal.lines())
        self._proven = process_owner()
        world, self._lease = connect(here, who.take_over, place, run_id)
        children = ChildRuns(place, run_id, _for_children(who, here, self._heads), kubeconfig_of(here, place))
        self._unfenced = evolve(world, procedures=children)  # for looking only, before the lease is ours
        self._world = fenced(self._unfenced, self._lease)
        self._journal = MirroredJournal(
            journal, world.store, own_prefix(inputs), run_id, text, note=self._heads.note, signer=signer_of()
        )
        self._derived = derived_by(spec.name, place, journal, self._journal, world.store)

    @property
    def overtaken(self) -> bool:
        """Whether the last try ended because somebody else wrote a record where the first of ours was to lie."""
        return self._journal.overtaken

    def catch_up(self) -> None:
        """Take over what the mirror knows more than this machine. A store that can't be reached says nothing yet."""
        try:
            self._lease.look()  # BEFORE the records are read: who takes it in between wins
            more, vanished = self._journal.catch_up(self.vouch)
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
        self._world, self._unfenced = (
            evolve(each, primary=pinned(each.primary, "primary", results), dr=pinned(each.dr, "dr", results))
            for each in (self._world, self._unfenced)
        )

    def _prove(self) -> None:
        """Ask the cloud and the clusters who acts: it is recorded beside the name."""
        if self.state.ended or self.state.status == "none":
            return  # a run that starts asks nobody before its tokens are right; its survey asks afterwards
        here = self._here
        primary = Path(here.get("kubeconfig_primary") or os.devnull)
        self._proven = asked(self._world, here, {"primary": primary, "dr": kubeconfig_of(here, self._place)})

    @property
    def state(self) -> RunState:
        """Where the run stands."""
        return fold(self._journal.records())

    def lines(self) -> Sequence[bytes]:
        """Return the raw lines of its journal."""
        return self._local.lines()

    @property
    def word(self) -> trust.Word:
        """What the person at the keyboard says about records."""
        return self._who.word

    @property
    def vouched(self) -> trust.Vouched:
        """Who answers for the records."""
        return self._vouched

    @property
    def world(self) -> "World":
        """What the run acts on, for looking at it."""
        return self._unfenced

    def vouch(self, lines: Sequence[bytes]) -> None:
        """Find out who answers for these lines. Raises EvidenceFault, UntrustedRecords: nothing was done."""
        if self._pending and self._pending[-1] == digest(lines[-1]):
            return
        journal = mirrors.journal_of(lines, self._spec, self._journal.uri, self._world.store, self._journal.home)
        vouched = trust.vouch(journal, self._heads, self._who.word)
        if vouched.how != "own":
            self._vouched, self._pending = vouched, [digest(line) for line in lines]

    def check_account(self) -> None:
        """Hold the cloud's account against what the run recorded, where the records were not written here."""
        state = self.state
        recorded = (state.results.get("run_preflight") or {}).get("account")
        if self._vouched.how == "own" or not recorded:
            return
        for line in trust.differing_places(state.inputs, self._here):
            say(line, err=True)
        try:
            account = self._world.identity.account()
        except (Unreachable, ActionFailed) as fault:
            say(f"the run recorded the account {bounded(recorded)}; ours can't be asked: {fault.what}", err=True)
            return
        if account != str(recorded):
            raise ActionFailed(
                f"these credentials are of the account {account}; the run worked in {bounded(recorded)}",
                hint="use the credentials of that account",
                fault="operator",
            )

    def _recheck(self, what: str) -> None:
        """Read again what a person's word alone stands for, then remember the word. Raises WorldDiffers."""
        from drfsm.dr.procedures.bindings import binding
        from drfsm.dr.sites import snapshots

        if self._vouched.by_person:
            runner = Runner(self._spec, binding(self._spec.name), self._unfenced, self._journal)
            undo = runner.undoable
            findings = list(snapshots.forged(self._unfenced, observer(runner.state), undo)) if undo else []
            if what != "snapshots":
                differences = runner.recheck()
                passed_over = [each for each in differences if each.unreadable and what != "all"]
                findings += in_words(each for each in differences if each not in passed_over)
                say_lines((f"not known: {words}" for words in in_words(passed_over)), err=True)
            if findings:
                raise WorldDiffers(findings)
        if self._vouched.how != "own":
            if not self._heads.knows(self._pending[0]):
                self._heads.keep_places({name: str(self._here.get(name) or "") for name in trust.PLACES})
            self._heads.note(self._pending, 0)

    def drive(self, act: Act, recheck: str = "all") -> int:
        """Let the runner act; say where the run stands; return the exit code."""
        return _end(self._place, self._journal, self.work(act, recheck=recheck), self._who.output)

    def work(self, act: Act, *, above: Path | None = None, recheck: str = "all") -> RunState:
        """Let the runner act. ``above``: the bundle of the run that this one belongs to; who holds that, holds this."""
        from drfsm.dr.procedures.bindings import binding

        self._prove()
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
            proven=self._proven,
            hold_asked=lambda: bundle.asked_hold(self._place) or (above is not None and bundle.asked_hold(above)) or "",
            vouched=self._vouched.record,
        )
        self._recheck(recheck)
        bundle.asked_hold(self._place, forget=True)
        try:
            with _signals(runner):
                return act(runner)
        finally:
            written.leave()


def _here(inputs: Mapping[str, Any], who: Who, heads: Heads, lines: Sequence[bytes]) -> dict[str, Any]:
    """Return a run's inputs with where its sites lie on this machine: never as records from elsewhere have it."""
    kept = heads.places
    if kept is None and (not lines or heads.knows(digest(lines[0]))):
        return {**inputs, **who.given}
    return {**inputs, **trust.places_here(inputs, who.given, kept)}


def _for_children(who: Who, here: Mapping[str, Any], heads: Heads) -> Who:
    """Return ``who`` for the runs that this one starts: where sites lie on this machine goes for them, too."""
    if heads.places is None and not who.given:
        return who
    files = {site: str(here.get(f"kubeconfig_{site}") or "") for site in ("dr", "primary")}
    places = {name: str(here.get(name) or "") for name in trust.PLACES if not name.startswith("kubeconfig")}
    return evolve(who, kubeconfigs=files, places=places)


def observer(state: RunState) -> Run:
    """Return what a fact may know of a run, for whoever only looks."""
    from drfsm.dr.procedures.bindings import with_defaults

    return Run(
        id=state.run_id, inputs=with_defaults(state.machine, state.inputs), operator="", epoch=0, dry_run=False,
        trigger="approve", results=state.results, args=state.args, clock=SystemClock(),
    )  # fmt: skip


class Written:
    """The subscriber that keeps the bundle's derived files true: the summary and the steps."""

    def __init__(self, place: Path, spec: MachineSpec, journal: MirroredJournal) -> None:
        self._place, self._spec, self._journal = place, spec, journal
        self._steps: StepFiles = StepFiles()
        for record in journal.records():
            self._steps.add(record)

    def __call__(self, record: Record, state: RunState) -> None:
        """Write what this record changed."""
        with Directory.own(self._place) as directory:
            for name, body in self._steps.add(record).items():
                directory.write(f"steps/{name}", body)
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
            with suppress(DiskFault, FileDamaged, UsageFault):  # what stopped it is what must be told
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
    from drfsm.dr.infrastructure.provision import charter_for as charter_of
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
