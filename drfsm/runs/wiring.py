"""One run, wired: bundle, journal, world, lease, subscribers and signals; then the Runner has it.

Used by every command that moves something. Holds no rules: whether records are gone on with is trust.py's matter,
what a bundle holds derived_files.py's and summary_files.py's. Prints nothing: a command tells what became of a run.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import evolve, frozen

from drfsm.adapters.fenced import fenced
from drfsm.adapters.file_journal import FileJournal
from drfsm.adapters.s3_journal import MirroredJournal
from drfsm.adapters.ssh_signatures import signer_of, verifier_of
from drfsm.claims import bounded, yaml_of
from drfsm.engine import Run, Runner, SystemClock
from drfsm.engine.inputs import check_inputs
from drfsm.engine.recheck import in_words
from drfsm.engine.runner import new_run_id
from drfsm.errors import (
    ActionFailed,
    EvidenceFault,
    LeaseHeld,
    LeaseLost,
    Unreachable,
    Unreadable,
    UsageFault,
    WorldDiffers,
)
from drfsm.evidence.signatures import RECORD
from drfsm.journal import Record, RunState, digest, fold
from drfsm.resources import shipped
from drfsm.runs import bundle, mirrors, trust
from drfsm.runs.children import ChildRuns, Verbs
from drfsm.runs.clusters import SiteCluster, kubeconfig_of, pinned, provisioner
from drfsm.runs.declared import declaration
from drfsm.runs.derived import derived_by
from drfsm.runs.fetching import fetched_into, inputs_here, looked_up, with_word
from drfsm.runs.heads import Heads
from drfsm.runs.identity import asked, process_owner
from drfsm.runs.invocation import Invocation
from drfsm.runs.mirrors import own_prefix
from drfsm.runs.signals import stopping
from drfsm.runs.summary_files import SummaryFiles
from drfsm.spec import MachineSpec, load_machine

if TYPE_CHECKING:
    from drfsm.adapters.s3_lease import S3Lease
    from drfsm.world import World

TRIES = 3

Act = Callable[[Runner], RunState]
Answer = TypeVar("Answer")


@frozen
class Outcome:
    """Where a run stands after a command: its bundle, its state, its records and the hash of the last of them."""

    place: Path
    state: RunState
    records: Sequence[Record]
    head: str


def start(
    machine: str,
    inputs: Mapping[str, Any],
    invocation: Invocation,
    *,
    dry_run: bool,
    receipt_dir: str | None,
    run_id: str = "",
    scope: str = "live",
    then: Act = lambda runner: runner.state,
    before: Callable[[Path], object] = lambda _place: None,
) -> Outcome:
    """Start a run in a new bundle; return where it stands. ``then`` is done where it got to, under the same lease.

    ``before`` lays into the bundle what the run needs there.
    """
    named = run_id or new_run_id(machine)

    def act(runner: Runner) -> RunState:
        runner.start(inputs, run_id=named, dry_run=dry_run, scope=scope)
        return then(runner)

    with _new(machine, inputs, invocation, named, receipt_dir, before) as run:
        return run.outcome(run.work(act))


def start_child(
    machine: str,
    inputs: Mapping[str, Any],
    invocation: Invocation,
    run_id: str,
    place: Path,
    scope: str,
    *,
    above: Path,
) -> RunState:
    """Start a run on behalf of another one, whose bundle is ``above``."""
    with _new(machine, inputs, invocation, run_id, str(place), lambda _place: None) as run:
        return run.work(lambda runner: runner.start(inputs, run_id=run_id, scope=scope), above=above)


@contextmanager
def _new(
    machine: str,
    inputs: Mapping[str, Any],
    invocation: Invocation,
    run_id: str,
    receipt_dir: str | None,
    before: Callable[[Path], object],
) -> Iterator["RunContext"]:
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
        yield RunContext(place, spec, text, journal, run_id, inputs, invocation)


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


def resume(named: str | None, act: Act, invocation: Invocation, *, recheck: str = "all") -> Outcome:
    """Take up a run where its bundle says that it stands. ``named`` may be a mirror's URI.

    ``recheck`` says what is read again where nothing but a person's word stands behind the records: ``all``, what is
    ``readable``, or the ``snapshots`` that an abort would give back, which are held against the objects always.
    """
    place, invocation = looked_up(named, invocation)
    return _taken_up(place, invocation, lambda run: run.outcome(_as_expected(run).work(act, recheck=recheck)))


def _as_expected(run: "RunContext") -> "RunContext":
    """Return a run that a person named, once it is the one whose head he named."""
    trust.check_expected(run.lines(), run.word)
    return run


def resume_child(place: Path, invocation: Invocation, *, above: Path) -> RunState:
    """Resume a run on behalf of another one, whose bundle is ``above``."""
    return _taken_up(place, invocation, lambda run: run.work(lambda runner: runner.resume(), above=above))


def connected(place: Path, invocation: Invocation) -> tuple[RunState, "World", Invocation]:
    """Return where a run stands, its world, and ``invocation`` with what was typed. Raises as ``vouch`` does."""
    return _taken_up(
        place, invocation, lambda run: (run.state, run.world, with_word(invocation, run.vouched, run.state))
    )


def _taken_up(place: Path, invocation: Invocation, do: Callable[["RunContext"], Answer]) -> Answer:
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
        trust.check_origin(spec, invocation.word.machines)
        run = RunContext(place, spec, text, journal, state.run_id, state.inputs, invocation)
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


class RunContext:
    """A run with its journal, world, lease and subscribers."""

    def __init__(
        self,
        place: Path,
        spec: MachineSpec,
        text: bytes,
        journal: FileJournal,
        run_id: str,
        inputs: Mapping[str, Any],
        invocation: Invocation,
    ) -> None:
        from drfsm.dr.procedures import with_defaults

        self._place, self._spec, self._invocation = place, spec, invocation
        self._local = journal
        self._heads, self._vouched = Heads(run_id), trust.Vouched("own")
        self._pending: Sequence[str] = ()  # heads that somebody vouches for, not yet remembered
        inputs = with_defaults(spec.name, inputs)
        self._here = here = inputs_here(inputs, invocation, self._heads, journal.lines())
        self._proven = process_owner()
        world, self._lease = connect(here, invocation.take_over, place, run_id)
        for_children = _for_children(invocation, here, self._heads)
        verbs = Verbs(start_child, resume_child, fetched_into)
        children = ChildRuns(place, run_id, for_children, kubeconfig_of(here, place), verbs)
        self._unfenced = evolve(world, procedures=children)  # for looking only, before the lease is ours
        self._world = fenced(self._unfenced, self._lease)
        self._journal = MirroredJournal(
            journal, world.store, own_prefix(inputs), run_id, text, note=self._heads.note, signer=signer_of()
        )
        self._derived = derived_by(spec, place, journal, self._journal, world.store)

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
            self._tell(f"the mirror could not be read ({fault.what})")
            return
        if more:
            self._tell(f"the run went on elsewhere: {more} records were fetched from {self._journal.uri}")
        if vanished:
            told = ", ".join(map(str, vanished))
            self._tell(
                f"{self._journal.uri} lacks record {told}: look for who deleted it. It is put back from the journal"
                " here, which is whole"
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

    def _tell(self, line: str) -> None:
        self._invocation.word.tell(line)

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
        return self._invocation.word

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
        vouched = trust.vouch(journal, self._heads, self._invocation.word)
        if vouched.how != "own":
            self._vouched, self._pending = vouched, [digest(line) for line in lines]

    def check_account(self) -> None:
        """Hold the cloud's account against what the run recorded, where the records were not written here."""
        state = self.state
        recorded = (state.results.get("run_preflight") or {}).get("account")
        if self._vouched.how == "own" or not recorded:
            return
        for line in trust.differing_places(state.inputs, self._here):
            self._tell(line)
        try:
            account = self._world.identity.account()
        except (Unreachable, ActionFailed) as fault:
            self._tell(f"the run recorded the account {bounded(recorded)}; ours can't be asked: {fault.what}")
            return
        if account != str(recorded):
            raise ActionFailed(
                f"these credentials are of the account {account}; the run worked in {bounded(recorded)}",
                hint="use the credentials of that account",
                fault="operator",
            )

    def _recheck(self, what: str) -> None:
        """Read again what a person's word alone stands for, then remember the word. Raises WorldDiffers."""
        from drfsm.dr.procedures import binding
        from drfsm.dr.sites import snapshots

        if self._vouched.by_person:
            runner = Runner(self._spec, binding(self._spec.name), self._unfenced, self._journal)
            undo = runner.undoable
            findings = list(snapshots.forged(self._unfenced, observer(runner.state), undo)) if undo else []
            if what != "snapshots":
                differences = runner.recheck()
                passed_over = [each for each in differences if each.unreadable and what != "all"]
                findings += in_words(each for each in differences if each not in passed_over)
                for words in in_words(passed_over):
                    self._tell(f"not known: {words}")
            if findings:
                raise WorldDiffers(findings)
        if self._vouched.how != "own":
            if not self._heads.knows(self._pending[0]):
                self._heads.keep_places({name: str(self._here.get(name) or "") for name in trust.PLACES})
            self._heads.note(self._pending, 0)

    def outcome(self, state: RunState) -> Outcome:
        """Return a state with the records behind it."""
        return Outcome(self._place, state, self._journal.records(), self._journal.head)

    def work(self, act: Act, *, above: Path | None = None, recheck: str = "all") -> RunState:
        """Let the runner act. ``above``: the bundle of the run that this one belongs to; who holds that, holds this."""
        from drfsm.dr.procedures import binding

        self._prove()
        listener = self._invocation.listen()
        written = SummaryFiles(self._place, self._spec, self._journal)
        runner = Runner(
            self._spec,
            binding(self._spec.name),
            self._world,
            self._journal,
            lease=self._lease,
            clock=SystemClock(),
            on_record=[written, *self._derived, listener.on_record],
            say=listener.say,
            operator=self._invocation.operator,
            proven=self._proven,
            hold_asked=lambda: bundle.asked_hold(self._place) or (above is not None and bundle.asked_hold(above)) or "",
            vouched=self._vouched.record,
        )
        self._recheck(recheck)
        bundle.asked_hold(self._place, forget=True)
        try:
            with stopping(runner, self._tell):
                return act(runner)
        finally:
            written.leave()


def _for_children(invocation: Invocation, here: Mapping[str, Any], heads: Heads) -> Invocation:
    """Return ``who`` for the runs that this one starts: where sites lie on this machine goes for them, too."""
    if heads.places is None and not invocation.given:
        return invocation
    files = {site: str(here.get(f"kubeconfig_{site}") or "") for site in ("dr", "primary")}
    places = {name: str(here.get(name) or "") for name in trust.PLACES if not name.startswith("kubeconfig")}
    return evolve(invocation, kubeconfigs=files, places=places)


def observer(state: RunState) -> Run:
    """Return what a fact may know of a run, for whoever only looks."""
    from drfsm.dr.procedures import with_defaults

    return Run(
        id=state.run_id, inputs=with_defaults(state.machine, state.inputs), operator="", epoch=0, dry_run=False,
        trigger="approve", results=state.results, args=state.args, clock=SystemClock(),
    )  # fmt: skip


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
