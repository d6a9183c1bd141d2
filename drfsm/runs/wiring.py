"""One run, wired: its bundle, journal, world, lease, subscribers and signals come together, then the Runner works.

``start`` begins a run in a new bundle; ``resume`` takes up one that was begun; ``start_child`` and ``resume_child`` do
the same for a run that belongs to another one; ``look_at`` only reads. Every command that changes something comes in
by one of these. The rules lie elsewhere: trust.py decides whether a run may continue from its records, derived_files.py
and summary_files.py what a bundle holds. Prints nothing: the command tells the outcome.
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
from drfsm.runs.fetching import fetch_into, find_or_fetch, local_inputs, with_assurances_of
from drfsm.runs.heads import Heads
from drfsm.runs.identity import identify, process_owner
from drfsm.runs.invocation import Invocation
from drfsm.runs.mirrors import own_prefix
from drfsm.runs.signals import stopping
from drfsm.runs.summary_files import SummaryFiles
from drfsm.spec import MachineSpec, load_machine

if TYPE_CHECKING:
    from drfsm.adapters.s3_lease import S3Lease
    from drfsm.world import World

ATTEMPTS = 3  # to take up a run while another process still writes to it

Operation = Callable[[Runner], RunState]
Answer = TypeVar("Answer")


@frozen
class Outcome:
    """Where a run stands after a command: its bundle, its state, its records and the hash of the last of them."""

    place: Path
    state: RunState
    records: Sequence[Record]
    head: str


# --- a new run ------------------------------------------------------------------------------------------


def start(
    machine: str,
    inputs: Mapping[str, Any],
    invocation: Invocation,
    *,
    dry_run: bool,
    receipt_dir: str | None,
    run_id: str = "",
    scope: str = "live",
    then: Operation = lambda runner: runner.state,
    prepare: Callable[[Path], object] = lambda _place: None,
) -> Outcome:
    """Start a run in a new bundle; return where it stands.

    ``prepare`` puts into the new bundle what the run needs there. ``then`` follows the start, under the same lease.
    Raises UsageFault, before anything is made, for inputs, keys or kubeconfigs that can't be used.
    """
    run_id = run_id or new_run_id(machine)

    def start_then(runner: Runner) -> RunState:
        runner.start(inputs, run_id=run_id, dry_run=dry_run, scope=scope)
        return then(runner)

    with _new_run(machine, inputs, invocation, run_id, receipt_dir, prepare) as run:
        return run.outcome(run.work(start_then))


def start_child(
    machine: str,
    inputs: Mapping[str, Any],
    invocation: Invocation,
    run_id: str,
    place: Path,
    scope: str,
    *,
    parent: Path,
) -> RunState:
    """Start a run that belongs to another one. ``parent``: the bundle of that other run."""
    with _new_run(machine, inputs, invocation, run_id, str(place), lambda _place: None) as run:
        return run.work(lambda runner: runner.start(inputs, run_id=run_id, scope=scope), parent=parent)


@contextmanager
def _new_run(
    machine: str,
    inputs: Mapping[str, Any],
    invocation: Invocation,
    run_id: str,
    receipt_dir: str | None,
    prepare: Callable[[Path], object],
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
    prepare(place)
    with FileJournal.create(place) as journal:
        yield RunContext(place, spec, text, journal, run_id, inputs, invocation)


def check_keys() -> None:
    """Raise UsageFault for keys that the environment names and that can't be used, before anything is made."""
    verifier_of()
    if (signer := signer_of()) is not None:
        signer.sign(RECORD, b"drfsm asks whether this key signs")


def check_kubeconfig(option: str, path: Path) -> None:
    """Raise UsageFault for a file that is no kubeconfig. Starts no credential plugin: the tokens come first."""
    if not path.is_file():
        raise UsageFault(f"{option}: there is no file {path}", hint="check the path")
    try:
        content = yaml_of(path.read_bytes(), str(path))
    except (OSError, Unreadable):
        content = None
    if not isinstance(content, dict) or not content.get("clusters") or not content.get("contexts"):
        # Never the file's contents: they may hold credentials.
        raise UsageFault(f"{option}: {path} is no kubeconfig", hint=f"kubectl --kubeconfig {quote(str(path))} version")


# --- a run that was begun -------------------------------------------------------------------------------


def resume(named: str | None, operation: Operation, invocation: Invocation, *, recheck: str = "all") -> Outcome:
    """Continue a run from where its bundle says that it stands. ``named``: a bundle, a run's id or a mirror's URI.

    ``recheck`` says what is read again where only a person's word vouches for the records: ``all``; what is
    ``readable``; or only the ``snapshots`` that an abort would restore. These are always held against the objects.
    """

    def work(run: "RunContext") -> Outcome:
        trust.check_expected(run.lines(), run.assurances)
        return run.outcome(run.work(operation, recheck=recheck))

    place, invocation = find_or_fetch(named, invocation)
    return _with_begun_run(place, invocation, work)


def resume_child(place: Path, invocation: Invocation, *, parent: Path) -> RunState:
    """Continue a run that belongs to another one. ``parent``: the bundle of that other run."""
    return _with_begun_run(place, invocation, lambda run: run.work(lambda runner: runner.resume(), parent=parent))


def look_at(place: Path, invocation: Invocation) -> tuple[RunState, "World", Invocation]:
    """Return a run's state, its world for reading, and ``invocation`` with what the operator vouched for meanwhile."""
    return _with_begun_run(
        place, invocation, lambda run: (run.state, run.world, with_assurances_of(invocation, run.voucher, run.state))
    )


def _with_begun_run(place: Path, invocation: Invocation, use: Callable[["RunContext"], Answer]) -> Answer:
    """Wire a run that was begun, check it, and ``use`` it. Raises EvidenceFault, UntrustedRecords, LeaseHeld."""
    with FileJournal.open(place) as journal:
        bundle.check_not_emptied(place, journal.records())
        state = trust.sound(journal.records())
        if not state.machine:
            raise UsageFault(
                f"the journal in {place} has no record: the start was interrupted before it changed anything, or the"
                " records were removed",
                hint="look for the run's mirror (s3://<bucket>/<prefix>/drfsm/runs/<run>). If there is none, start a"
                " new run in another directory",
            )
        spec, text = declaration(place, state)
        trust.check_origin(spec, invocation.assurances.machines)
        run = RunContext(place, spec, text, journal, state.run_id, state.inputs, invocation)
        for _ in range(ATTEMPTS):
            run.prepare()
            try:
                return use(run)
            except LeaseLost:
                # The process that held the lease before us wrote one last record in that moment: read it, begin again.
                if not run.overtaken:
                    raise
        raise LeaseHeld(
            f"another process keeps writing records of {state.run_id}",
            hint="ask its operator to stop it; drfsm status shows where the run stands",
        )


class RunContext:
    """A run with its journal, world, lease and subscribers. Its methods stand in the order of a run's life."""

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
        self._file_journal = journal
        self._heads, self._voucher = Heads(run_id), trust.Voucher("own")
        self._heads_to_keep: Sequence[str] = ()  # somebody vouched for them; kept once the world was read again
        self._identity = process_owner()
        inputs = with_defaults(spec.name, inputs)
        self._inputs = local_inputs(inputs, invocation, self._heads, journal.lines())
        world, self._lease = connect(self._inputs, invocation.take_over, place, run_id)
        children = ChildRuns(
            place,
            run_id,
            _for_children(invocation, self._inputs, self._heads),
            kubeconfig_of(self._inputs, place),
            Verbs(start_child, resume_child, fetch_into),
        )
        self._unfenced = evolve(world, procedures=children)  # only for reading, before this process has the lease
        self._world = fenced(self._unfenced, self._lease)
        self._journal = MirroredJournal(
            journal, world.store, own_prefix(inputs), run_id, text, note=self._heads.note, signer=signer_of()
        )
        self._derived = derived_by(spec, place, journal, self._journal, world.store)

    # What a run is made of, for reading.

    @property
    def state(self) -> RunState:
        """Where the run stands."""
        return fold(self._journal.records())

    @property
    def world(self) -> "World":
        """What the run acts on."""
        return self._unfenced

    @property
    def assurances(self) -> trust.Assurances:
        """What the operator answers for."""
        return self._invocation.assurances

    @property
    def voucher(self) -> trust.Voucher:
        """Who answers for the records."""
        return self._voucher

    def lines(self) -> Sequence[bytes]:
        """Return the raw lines of its journal."""
        return self._file_journal.lines()

    def _tell(self, line: str) -> None:
        self.assurances.tell(line)

    # 1. A run that was begun: its records are completed and vouched for, and its sites are checked.

    def prepare(self) -> None:
        """Complete the records from the mirror, have them vouched for, and check sites and account.

        Raises EvidenceFault, UntrustedRecords, ActionFailed: then nothing was done.
        """
        self._catch_up()
        lines = self._file_journal.lines()
        if contradiction := bundle.contradiction(self._place, self._spec.name, lines):
            raise EvidenceFault(
                f"{self._place}: {contradiction}", hint="keep it; resume from its mirror, or from an undamaged copy"
            )
        self._vouch(lines)  # AFTER the mirror's records: one confirmation covers them all
        self._pin_clusters()
        self._check_account()

    def _catch_up(self) -> None:
        """Fetch the records that only the mirror has. A store that can't be reached stops nothing yet."""
        try:
            self._lease.look()  # BEFORE the records are read: a process that takes the lease in between is noticed
            fetched_count, missing = self._journal.catch_up(self._vouch)
        except Unreachable as fault:
            self._tell(f"cannot read the mirror: {fault.what}")
            return
        if fetched_count:
            self._tell(f"the run continued elsewhere: fetched {fetched_count} records from {self._journal.uri}")
        if missing:
            numbers = ", ".join(map(str, missing))
            self._tell(
                f"record {numbers} is missing in {self._journal.uri}: find out who deleted it. drfsm writes it again"
                " from the journal here, which is whole"
            )

    def _vouch(self, lines: Sequence[bytes]) -> None:
        """Find out who answers for these lines. Raises EvidenceFault, UntrustedRecords: then nothing was done."""
        if self._heads_to_keep and self._heads_to_keep[-1] == digest(lines[-1]):
            return
        journal = mirrors.journal_of(lines, self._spec, self._journal.uri, self._world.store, self._journal.home)
        voucher = trust.vouch(journal, self._heads, self.assurances)
        if voucher.how != "own":
            self._voucher, self._heads_to_keep = voucher, [digest(line) for line in lines]

    def _pin_clusters(self) -> None:
        """Hold every site to the cluster that the run recorded, whatever cluster a kubeconfig leads to now."""
        results = fold(self._journal.records()).results
        self._world, self._unfenced = (
            evolve(world, primary=pinned(world.primary, "primary", results), dr=pinned(world.dr, "dr", results))
            for world in (self._world, self._unfenced)
        )

    def _check_account(self) -> None:
        """Compare the cloud account with the recorded one, if other machines wrote records. Raises ActionFailed."""
        state = self.state
        recorded = (state.results.get("run_preflight") or {}).get("account")
        if self._voucher.how == "own" or not recorded:
            return
        for line in trust.differing_places(state.inputs, self._inputs):
            self._tell(line)
        try:
            account = self._world.identity.account()
        except (Unreachable, ActionFailed) as fault:
            self._tell(
                f"the run recorded the account {bounded(recorded)}; cannot ask for the current one: {fault.what}"
            )
            return
        if account != str(recorded):
            raise ActionFailed(
                f"these credentials belong to the account {account}; the run worked in {bounded(recorded)}",
                hint="use credentials of that account",
                fault="operator",
            )

    @property
    def overtaken(self) -> bool:
        """Whether the last attempt ended because another process wrote the record that ours was to be."""
        return self._journal.overtaken

    # 2. The runner works.

    def work(self, operation: Operation, *, parent: Path | None = None, recheck: str = "all") -> RunState:
        """Let the runner work. ``parent``: the bundle of the run that this one belongs to; a hold of it holds both."""
        from drfsm.dr.procedures import binding

        self._identify()
        listener = self._invocation.listen()
        summary = SummaryFiles(self._place, self._spec, self._journal)
        runner = Runner(
            self._spec,
            binding(self._spec.name),
            self._world,
            self._journal,
            lease=self._lease,
            clock=SystemClock(),
            on_record=[summary, *self._derived, listener.on_record],
            say=listener.say,
            operator=self._invocation.operator,
            proven=self._identity,
            hold_asked=lambda: bundle.asked_hold(self._place) or (bundle.asked_hold(parent) if parent else ""),
            vouched=self._voucher.record,
        )
        self._recheck(recheck)
        self._keep_heads()
        bundle.asked_hold(self._place, forget=True)
        try:
            with stopping(runner, self._tell):
                return operation(runner)
        finally:
            summary.leave()

    def _identify(self) -> None:
        """Ask the cloud and the clusters who the caller is: a record carries that beside the operator's name."""
        if self.state.ended or self.state.status == "none":
            return  # a new run asks nobody before its tokens are right; its preflight asks afterwards
        primary = Path(self._inputs.get("kubeconfig_primary") or os.devnull)
        kubeconfigs = {"primary": primary, "dr": kubeconfig_of(self._inputs, self._place)}
        self._identity = identify(self._world, self._inputs, kubeconfigs)

    def _recheck(self, scope: str) -> None:
        """Read the world again where only a person's word vouches for the records. Raises WorldDiffers."""
        from drfsm.dr.procedures import binding
        from drfsm.dr.sites import snapshots

        if not self._voucher.by_person:
            return
        runner = Runner(self._spec, binding(self._spec.name), self._unfenced, self._journal)
        undo = runner.undoable
        findings = list(snapshots.forged(self._unfenced, observer(runner.state), undo)) if undo else []
        if scope != "snapshots":
            differences = runner.recheck()
            unknown = [difference for difference in differences if difference.unreadable and scope != "all"]
            findings += in_words(difference for difference in differences if difference not in unknown)
            for words in in_words(unknown):
                self._tell(f"unknown: {words}")
        if findings:
            raise WorldDiffers(findings)

    def _keep_heads(self) -> None:
        """Remember on this machine what somebody vouched for, so that the next command asks nothing."""
        if self._voucher.how == "own":
            return
        if not self._heads.knows(self._heads_to_keep[0]):
            self._heads.keep_places({name: str(self._inputs.get(name) or "") for name in trust.PLACES})
        self._heads.note(self._heads_to_keep, 0)

    # 3. The run stands.

    def outcome(self, state: RunState) -> Outcome:
        """Return a state with the records behind it."""
        return Outcome(self._place, state, self._journal.records(), self._journal.head)


def _for_children(invocation: Invocation, inputs: Mapping[str, Any], heads: Heads) -> Invocation:
    """Return the invocation for the child runs: they find the sites where this run finds them on this machine."""
    if heads.places is None and not invocation.given:
        return invocation
    files = {site: str(inputs.get(f"kubeconfig_{site}") or "") for site in ("dr", "primary")}
    places = {name: str(inputs.get(name) or "") for name in trust.PLACES if not name.startswith("kubeconfig")}
    return evolve(invocation, kubeconfigs=files, places=places)


def observer(state: RunState) -> Run:
    """Return what a fact may know of a run, for a command that only reads."""
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
        # A site without a kubeconfig leads nowhere: a call to it is refused as wrong usage.
        primary=KubeCluster("primary", Path(inputs.get("kubeconfig_primary") or os.devnull)),
        dr=KubeCluster("dr", Path(inputs.get("kubeconfig_dr") or os.devnull)),
    )
    if (site_provisioner := provisioner(inputs, place)) is not None:
        charter = charter_of(run_id, inputs)
        dr = SiteCluster(kubeconfig_of(inputs, place), site_provisioner, charter)
        world = evolve(world, dr=dr, provisioner=site_provisioner, registry=ImageRegistry())
    return world, S3Lease(
        account.store, own_prefix(inputs), take_over_from=take_over or None, bundle=str(place.resolve())
    )
