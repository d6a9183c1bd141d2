"""One run with what it is made of: bundle, journal, mirror, world, lease, subscribers. wiring.py makes it and uses it.

Owns the order of a run's life on this machine: its records are completed from the mirror and vouched for, its sites
and its account are checked, the Runner works, the summary is written. Prints nothing: what a person must know goes
through ``assurances.tell``. The rules lie elsewhere: trust.py decides whose records are believed.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from drfsm.adapters.fenced import fenced
from drfsm.adapters.file_journal import FileJournal
from drfsm.adapters.s3_journal import MirroredJournal
from drfsm.adapters.site_kubeconfig import HERE
from drfsm.adapters.ssh_signatures import signer_of
from drfsm.claims import bounded
from drfsm.engine import Run, Runner, SystemClock
from drfsm.engine.late import SETTLE_SECONDS
from drfsm.engine.recheck import in_words
from drfsm.errors import ActionFailed, DrfsmError, EvidenceFault, Unreachable, UsageFault, WorldDiffers
from drfsm.journal import Record, RunState, digest, fold
from drfsm.runs import bundle, mirrors, trust
from drfsm.runs.children import ChildRuns, Verbs
from drfsm.runs.clusters import kubeconfig_of, pinned
from drfsm.runs.derived import derived_by
from drfsm.runs.fetching import local_inputs
from drfsm.runs.followers import Subscriber, followed
from drfsm.runs.heads import Heads
from drfsm.runs.identity import identify, process_owner
from drfsm.runs.invocation import Invocation
from drfsm.runs.mirrors import own_prefix
from drfsm.runs.notices import NOBODY
from drfsm.runs.signals import stopping
from drfsm.runs.summary_files import SummaryFiles
from drfsm.runs.world import connect
from drfsm.spec import MachineSpec
from drfsm.world import UNTOLD

if TYPE_CHECKING:
    from drfsm.world import World

Operation = Callable[[Runner], RunState]
EXPECTED_ACCOUNT = "EXPECTED_ACCOUNT_ID"
"""Variable of the environment: the cloud account that every command must happen in."""
REQUEST_TIMEOUT = "DRFSM_REQUEST_TIMEOUT"
"""Variable of the environment: the ``--request-timeout`` of the sites' API servers in seconds, where it is above 60."""
_LONGEST_SECONDS = 3600


def request_timeout(environ: Mapping[str, str]) -> float:
    """Return how long a request may take to land, in seconds: a minute at least, but for sites on this machine.

    A request to the object store has a minute, too, whatever the API servers say. Raises UsageFault above an hour.
    """
    text = environ.get(REQUEST_TIMEOUT) or str(SETTLE_SECONDS)
    least = 1.0 if environ.get(HERE) == "1" else SETTLE_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not least <= seconds <= _LONGEST_SECONDS:
        raise UsageFault(
            f"{REQUEST_TIMEOUT}={bounded(text)} is no number of seconds from {least:.0f} to {_LONGEST_SECONDS}",
            hint="unset it, or set it to the longest --request-timeout of the two sites' API servers",
        )
    return seconds


@frozen
class Outcome:
    """Where a run stands after a command: its bundle, its state, its records and the hash of the last of them."""

    place: Path
    state: RunState
    records: Sequence[Record]
    head: str


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
        verbs: Verbs,
    ) -> None:
        from drfsm.dr.procedures import with_defaults

        self._place, self._spec, self._invocation = place, spec, invocation
        self._file_journal = journal
        self._heads, self._voucher = Heads(run_id), trust.Voucher("own")
        self._heads_to_keep: Sequence[str] = ()  # somebody vouched for them; kept once the world was read again
        self._identity = process_owner()
        inputs = with_defaults(spec.name, inputs)
        self._inputs = local_inputs(inputs, invocation, self._heads, journal.lines())
        world, self._lease = connect(
            self._inputs,
            invocation.take_over,
            place,
            run_id,
            known_epoch=lambda: fold(journal.records()).epoch,
            has_changed=lambda: fold(journal.records()).touched,
            may_take_over=lambda lease: invocation.may_take_over(lease, fold(journal.records())),
            as_holder=invocation.as_holder,
        )
        children = ChildRuns(
            place,
            run_id,
            _for_children(invocation, self._inputs, self._heads),
            kubeconfig_of(self._inputs, place),
            verbs,
        )
        self._unfenced = evolve(world, procedures=children)  # only for reading, before this process has the lease
        self._world = fenced(self._unfenced, self._lease)
        self._journal = MirroredJournal(
            journal,
            world.store,
            own_prefix(inputs),
            run_id,
            text,
            note=self._heads.note,
            signer=signer_of(),
            is_elsewhere=self._lease.is_elsewhere,
            alone=invocation.mirror_alone,
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
        """Compare the cloud account with the expected and with the recorded one.

        Raises ActionFailed where it is another, and what the cloud raises where this command names one and can't ask.
        """
        state = self.state
        recorded = str((state.results.get("run_preflight") or {}).get("account") or "")
        named = os.environ.get(EXPECTED_ACCOUNT, "")
        expected = named or str(state.inputs.get("expect_account") or "")
        if self._voucher.how != "own":
            for line in trust.differing_places(state.inputs, self._inputs):
                self._tell(line)
        if state.ended or not (expected or recorded):
            return
        try:
            account = self._world.identity.account()
        except (Unreachable, ActionFailed) as fault:
            if named:
                raise
            where = f"the run works in the account {bounded(expected or recorded)}"
            self._tell(f"{where}; cannot ask for the current one: {fault.what}")
            return
        if account.startswith(UNTOLD):
            wanted = bounded(expected or recorded)
            raise ActionFailed(
                f"{account.removeprefix(UNTOLD).lstrip(': ')}; the run belongs to the account {wanted}",
                hint="check AWS_ENDPOINT_URL and the network: is this the store that the run works with?",
                fault="operator",
            )
        if expected and account != expected:
            raise ActionFailed(
                f"these credentials belong to the account {account}, and {bounded(expected)} is expected",
                hint=f"use credentials of that account, or correct {EXPECTED_ACCOUNT}",
                fault="operator",
            )
        if recorded and account != recorded:
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
        endpoint_url = str(self._inputs.get("endpoint_url") or "")
        with followed(
            self._place, self._invocation.notify, self._journal.records, self._tell, endpoint_url=endpoint_url
        ) as followers:
            return self._work(operation, followers, parent, recheck)

    def _work(
        self, operation: Operation, followers: Sequence[Subscriber], parent: Path | None, recheck: str
    ) -> RunState:
        from drfsm.dr.procedures import binding

        self._identify()
        settle_seconds = request_timeout(os.environ)
        listener = self._invocation.listen(self._place)
        summary = SummaryFiles(self._place, self._spec, self._journal)
        runner = Runner(
            self._spec,
            binding(self._spec.name),
            self._world,
            self._journal,
            lease=self._lease,
            clock=SystemClock(),
            on_record=[summary, *self._derived, listener.on_record, *followers],
            say=listener.say,
            operator=self._invocation.operator,
            proven=self._identity,
            hold_asked=lambda: bundle.asked_hold(self._place) or (bundle.asked_hold(parent) if parent else ""),
            settle_seconds=settle_seconds,
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
            if self._invocation.leaves and not self.state.ended:  # AFTER the last write of this process
                with suppress(DrfsmError):
                    self._lease.leave(self.state.run_id)

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
    # What stops a child stops its parent, which notifies; only what a child freezes is its own to tell.
    invocation = evolve(invocation, notify=evolve(invocation.notify, events=(NOBODY,)))
    if heads.places is None and not invocation.named_places:
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
