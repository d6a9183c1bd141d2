"""One run, wired: its bundle, journal, world, lease, subscribers and signals come together, then the Runner works.

``start`` begins a run in a new bundle; ``resume`` takes up one that was begun; ``start_child`` and ``resume_child`` do
the same for a run that belongs to another one; ``look_at`` only reads. Every command that changes something comes in
by one of these. The rules lie elsewhere: trust.py decides whether a run may continue from its records, derived_files.py
and summary_files.py what a bundle holds. Prints nothing: the command tells the outcome.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import evolve

from drfsm.adapters.file_journal import FileJournal, read_chain
from drfsm.adapters.ssh_signatures import signer_of, verifier_of
from drfsm.claims import bounded, yaml_of
from drfsm.engine import Runner
from drfsm.engine.inputs import check_inputs
from drfsm.engine.runner import new_run_id
from drfsm.errors import LeaseHeld, LeaseLost, NotApproved, Unreadable, UsageFault
from drfsm.evidence.signatures import RECORD
from drfsm.journal import RunState, fold
from drfsm.resources import shipped
from drfsm.runs import approvals, bundle, trust
from drfsm.runs.children import Verbs
from drfsm.runs.declared import declaration
from drfsm.runs.fetching import fetch_into, find_or_fetch, with_assurances_of
from drfsm.runs.invocation import Invocation
from drfsm.runs.run_context import Operation, Outcome, RunContext
from drfsm.spec import load_machine

if TYPE_CHECKING:
    from drfsm.world import World

ATTEMPTS = 3  # to take up a run while another process still writes to it

Answer = TypeVar("Answer")


def _verbs() -> Verbs:
    """Return how a run starts and resumes the runs that belong to it: by the functions below."""
    return Verbs(start_child, resume_child, fetch_into)


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
    by_rows: bool = False,
    pinned: Mapping[str, Any] | None = None,
    then: Operation = lambda runner: runner.state,
    prepare: Callable[[Path], object] = lambda _place: None,
) -> Outcome:
    """Start a run in a new bundle; return where it stands.

    ``prepare`` puts into the new bundle what the run needs there. ``then`` follows the start, in the same process;
    with ``by_rows`` the start takes no row, and ``then`` takes as many as it likes. ``pinned``: what the first record
    holds beside the inputs, as the approvals of its plan.
    Raises UsageFault, before anything is made, for inputs, keys or kubeconfigs that can't be used; NotApproved where a
    policy asks for approvals, and ``pinned`` has none.
    """
    run_id = run_id or new_run_id(machine)
    if not dry_run:
        _check_approved(machine, invocation, pinned)
    beside = {**_pinned(machine, run_id, inputs, invocation), **(pinned or {})}

    def start_then(runner: Runner) -> RunState:
        start = runner.begin if by_rows else runner.start
        start(inputs, run_id=run_id, dry_run=dry_run, scope=scope, pinned=beside)
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
    """Start a run that belongs to another one. ``parent``: the bundle of that other run.

    Raises UsageFault where a promote would begin without the policies that the other run was started under.
    """
    if machine == "promote" and inputs.get("target") == "canonical":
        check_config(fold(read_chain(parent).records).config, invocation.config)
    beside = _pinned(machine, run_id, inputs, invocation)
    with _new_run(machine, inputs, invocation, run_id, str(place), lambda _place: None) as run:
        return run.work(lambda runner: runner.start(inputs, run_id=run_id, scope=scope, pinned=beside), parent=parent)


def _pinned(machine: str, run_id: str, inputs: Mapping[str, Any], invocation: Invocation) -> dict[str, Any]:
    """Return what a run's first record holds of its configuration, and of the approvals that a promote waits for."""
    policy = invocation.policies.get(machine) if machine == "promote" and inputs.get("target") == "canonical" else None
    if policy is not None:  # how old and by whom is what its inputs say; without keys its own guards tell people apart
        seconds, distinct = float(inputs["approval_expires"]) * 3600, inputs["approval_distinct"] == "yes"
        policy = evolve(policy, distinct=distinct and policy.signed, expires_seconds=seconds)
    asked = approvals.asked_later(policy, run_id, invocation.operator) if policy else None
    return {
        **({"config": dict(invocation.config)} if invocation.config else {}),
        **({"approval": asked} if asked else {}),
    }


def check_config(started_with: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Raise UsageFault where a run was started with a drfsm.toml, and the process at hand goes by none or another one.

    Both {path, sha256}, {} for none, or for one with faults. The file at the same path may have been edited since: its
    policies of today count.
    """
    if not started_with or any(here.get(name) == value for name, value in started_with.items()):
        return
    path = str(started_with.get("path") or "")
    found = f"goes by {bounded(str(here['path']))}" if here.get("path") else "finds none, or one with faults"
    raise UsageFault(
        f"the run was started with the configuration {bounded(path)}, and this command {found}: the promote is not"
        " begun, as the policies of its approval would be missing",
        hint=f"DRFSM_CONFIG={quote(path)} drfsm config check; then, with the same variable: drfsm resume",
    )


def _check_approved(machine: str, invocation: Invocation, pinned: Mapping[str, Any] | None) -> None:
    """Raise NotApproved for a start, through whichever door, that a policy stands before, and that nobody approved."""
    policy = invocation.policies.get(machine)
    if policy is None or machine == "promote" or (pinned or {}).get("approval"):
        return
    raise NotApproved(
        f"policies.{machine} asks for {policy.words}, and this start has none; nothing was begun",
        [],
        hint=f"drfsm plan {machine} … --out FILE, drfsm approve FILE --ticket …, then drfsm {machine} --plan FILE",
    )


@contextmanager
def _new_run(
    machine: str,
    inputs: Mapping[str, Any],
    invocation: Invocation,
    run_id: str,
    receipt_dir: str | None,
    prepare: Callable[[Path], object],
) -> Iterator[RunContext]:
    """Wire a run in a new bundle."""
    text = (shipped("machines") / f"{machine}.yaml").read_bytes()
    spec = load_machine(text, source=f"{machine}.yaml")
    check_inputs(spec, inputs)
    check_keys()
    if invocation.sealing.sign_key:
        from drfsm.runs.seals import check_signs

        check_signs(evolve(invocation.sealing, places=invocation.sealing.places or _places_of(inputs)))
    for name in ("kubeconfig_dr", "kubeconfig_primary"):
        if inputs.get(name):
            check_kubeconfig(f"--{name.replace('_', '-')}", Path(inputs[name]))
    place = bundle.new(run_id, receipt_dir)
    bundle.replace(place / f"{machine}.yaml", text)
    prepare(place)
    with FileJournal.create(place) as journal:
        yield RunContext(place, spec, text, journal, run_id, inputs, invocation, _verbs())


def _places_of(inputs: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(inputs.get(name) or "") for name in ("endpoint_url", "region")}


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

    def work(run: RunContext) -> Outcome:
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


def _with_begun_run(place: Path, invocation: Invocation, use: Callable[[RunContext], Answer]) -> Answer:
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
        run = RunContext(place, spec, text, journal, state.run_id, state.inputs, invocation, _verbs())
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
