"""A run's inputs as typed values. Every fact, judge and action in dr/ reads its inputs here, and nowhere else.

A journal records inputs as texts and numbers by name. The body of ``Terms`` is the one table that says, for each of
them, under which name and as what type the rooms of dr/ read it: lists as tuples, limits as numbers, answers as bools.

It refuses to guess. An input that every machine declares has no default: if it is missing, reading it raises
UsageFault (an empty namespace would list all namespaces). An input of only some machines may have a default. A value
is converted when it is read, so a judge of an old or a forged record needs only the inputs that this judge reads.
INPUT_DEFAULTS in procedures/bindings.py fills in what runs of older versions lack, before anything is read here.
"""

from collections.abc import Callable, Mapping
from math import inf, isfinite
from typing import Any, Generic, TypeVar, overload

from attrs import frozen

from drfsm.dr.layout import Layout
from drfsm.dr.workload import Workload
from drfsm.dr.workload import recorded as recorded_contract
from drfsm.errors import UsageFault

T = TypeVar("T")

REACH_SECONDS = 60.0  # what a site's API gets to answer once its kubeconfig is there; then the repair is due
_HOUR = 3600.0


class _Required:
    """The mark of an input without a default."""


_REQUIRED = _Required()


class Input(Generic[T]):
    """One line of the table: an input's name in journals and machines, its type, and its default if it has one."""

    def __init__(self, name: str, convert: Callable[[object], T], default: object = _REQUIRED) -> None:
        self.name, self.default = name, default
        self._convert = convert

    @overload
    def __get__(self, terms: None, owner: type) -> "Input[T]": ...

    @overload
    def __get__(self, terms: "Terms", owner: type) -> T: ...

    def __get__(self, terms: "Terms | None", owner: type) -> "Input[T] | T":
        """Return the typed value in these terms. Raises UsageFault where a required input is missing."""
        if terms is None:
            return self
        value = terms.recorded(self.name) if self.is_required else terms.inputs.get(self.name, self.default)
        return self._convert(value)

    @property
    def is_required(self) -> bool:
        """Whether reading it without a recorded value is refused."""
        return self.default is _REQUIRED


def text(value: object) -> str:
    """Return a text as it is recorded, "" for null."""
    return "" if value is None else str(value)


def text_or(default: str) -> Callable[[object], str]:
    """Return a converter to a text, whose empty value is ``default``."""
    return lambda value: text(value) or default


def bare_prefix(value: object) -> str:
    """Return a prefix of the bucket without a slash at either end."""
    return text(value).strip("/")


def equals(wanted: str) -> Callable[[object], bool]:
    """Return a converter: whether the recorded value is this word."""
    return lambda value: value == wanted


def lines(value: object) -> tuple[str, ...]:
    """Return a text's lines but for empty ones."""
    return tuple(line for line in text(value).splitlines() if line)


def names(value: object) -> tuple[str, ...]:
    """Return the names in a text that separates them by commas."""
    return tuple(name for name in text(value).split(",") if name)


def number(value: object) -> float:
    """Return a number, of a limit its seconds. Raises ValueError for what is none."""
    return float(str(value))


def number_or(default: float) -> Callable[[object], float]:
    """Return a converter to a number, whose empty value is ``default``."""
    return lambda value: number(value or default)


def optional_number(value: object) -> float | None:
    """Return a number, None for an empty value. Raises ValueError for what is none."""
    return number(value) if value not in (None, "") else None


def hours_in_seconds(value: object) -> float | None:
    """Return the seconds of a positive number of hours; None for anything else, which limits nothing."""
    try:
        hours = number(value)
    except ValueError:
        return None
    return hours * _HOUR if isfinite(hours) and hours > 0 else None


def contract(value: object) -> Workload:
    """Return the workload's contract that a run recorded; the legacy one for runs that recorded none."""
    return recorded_contract(text(value))


_yes, _asked, _true = equals("yes"), equals("asked"), equals("true")


@frozen
class Terms:
    """The typed inputs of one run: ``terms_of(run.inputs)``. Field = Input(name in the journal, type, default)."""

    inputs: Mapping[str, Any]

    # --- the workload and its place: every machine declares these
    workload = Input("workload", contract)  # empty: begun before contracts were recorded
    comparison_profile = Input("comparison_profile", text, default="")  # empty: the contract's
    bucket = Input("bucket", text)
    prefix = Input("prefix", bare_prefix)
    candidate = Input("candidate", text)  # empty: the contract's default
    provider = Input("provider", text)
    profile = Input("profile", text)
    namespace = Input("namespace", text)
    cronjob = Input("cronjob", text)  # empty: the only one there is
    cronjob_selector = Input("cronjob_selector", text)  # empty: all of the namespace
    configmap = Input("configmap", text)
    expect_account = Input("expect_account", text)  # empty: whichever the credentials are of
    dr_run_id = Input("dr_run_id", text)
    primary_run_id = Input("primary_run_id", text)
    target_site = Input("taker", text_or("primary"), default="")  # a failback declares none: it is the primary's

    # --- what the validated run is, and where it lies
    staged_prefix = Input("staged_prefix", bare_prefix, default="")
    journal_prefix = Input("journal_prefix", bare_prefix, default="")
    image_ref = Input("image_ref", text)
    refresh_pull_secret = Input("refresh_pull_secret", _asked)
    allow_tag = Input("allow_tag", _yes)
    allow_image_drift = Input("allow_image_drift", _yes)
    allow_degraded = Input("allow_degraded", _yes, default="no")
    missing_writes_accepted = Input("missing_writes_accepted", text, default="")
    validation_env = Input("validation_env", lines)
    validation_timeout = Input("validation_timeout", number)
    startup_timeout = Input("startup_timeout", number)
    drain_timeout = Input("drain_timeout", number, default=300)
    kubeconfig_dr = Input("kubeconfig_dr", text)  # to type; adapters have their own
    kubeconfig_primary = Input("kubeconfig_primary", text)
    validation = Input("validation", text)
    validation_receipt = Input("validation_receipt", text)

    # --- sites: lost, fenced, resumed
    primary_unreachable = Input("primary_unreachable", _yes, default="no")
    dr_unreachable = Input("dr_unreachable", _yes, default="no")
    fence_primary = Input("fence_primary", _asked)
    fence_dr = Input("fence_dr", _asked, default="none")
    fence_primary_role = Input("fence_primary_role", text)
    fence_dr_role = Input("fence_dr_role", text)
    no_fence = Input("no_fence", _yes, default="no")
    reason = Input("reason", text)
    adopt_ownership = Input("adopt_ownership", _yes, default="no")
    resume_cronjobs = Input("resume_cronjobs", names)
    gitops_paused = Input("gitops_paused", _yes)
    teardown = Input("teardown", _true, default="false")

    # --- a promote's
    is_rehearsal = Input("target", equals("drill"), default="canonical")
    rehearses = Input("rehearses", bare_prefix)
    approved_plan = Input("approved_plan", text)
    approved_by = Input("approved_by", text)
    approved_at = Input("approved_at", text)
    ticket = Input("ticket", text)
    approval_expires_seconds = Input("approval_expires", hours_in_seconds)
    approval_distinct = Input("approval_distinct", _yes)
    plan_run = Input("plan_run", text, default="")
    plan_nonce = Input("plan_nonce", text, default="")
    allow_older = Input("allow_older", _yes)
    execution_id = Input("execution_id", text)

    # --- a failback's
    alarms = Input("alarms", lines, default="")
    primary_pod_answered_for = Input("primary_pod_answered_for", text)
    sync_src_prefix = Input("sync_src_prefix", text)
    sync_dst_prefix = Input("sync_dst_prefix", text)
    primary_restore_backup_uri = Input("primary_restore_backup_uri", text)
    soak = Input("soak", text)
    confirm1 = Input("confirm1", text)
    confirm2 = Input("confirm2", text)

    # --- a drill's
    site = Input("site", text)
    site_run = Input("site_run", text, default="")
    restore = Input("restore", _asked)
    validate = Input("validate", _asked)
    promote = Input("promote", _asked)
    promotes_canonical = Input("promote_target", equals("canonical"))
    only_teardown = Input("only_teardown", _yes)
    skip_workload_assume = Input("skip_workload_assume", _yes)
    backup_uri = Input("backup_uri", text)
    expect_backup_sha256 = Input("expect_backup_sha256", text, default="")
    allow_in_backup = Input("allow_in_backup", lines, default="")
    require_state = Input("require_state", _yes, default="no")
    control_plane_is_bundled = Input("control_plane_source", equals("bundle"), default="bundle")  # no machine's yet
    deployments_as_backed_up = Input("deployments", equals("as_backed_up"), default="stopped")
    git_sha = Input("git_sha", text)
    git_sha_from = Input("git_sha_from", text)
    boot_timeout = Input("boot_timeout", number_or(inf), default="")
    reach_timeout = Input("reach_timeout", number_or(REACH_SECONDS), default="")
    recovery_point_objective = Input("recovery_point_objective", text, default="")
    recovery_time_objective = Input("recovery_time_objective", optional_number)
    recovery_is_whole = Input("recovery_covers", equals("whole"))
    started_at = Input("started_at", text)
    prices = Input("prices", text)
    expected_minutes = Input("expected_minutes", optional_number)

    def recorded(self, name: str) -> Any:
        """Return an input as the journal has it: to record it again, or to hand it to another machine.

        Raises UsageFault where the run has none of that name.
        """
        if name not in self.inputs:
            raise UsageFault(
                f"the run has no input {name}, which this step needs",
                hint="a run's inputs can't change: look at them with `drfsm status`, and start another run",
            )
        return self.inputs[name]

    @property
    def recorded_contract(self) -> str:
        """Return the workload's contract as the run recorded it; "" for runs that older versions began."""
        return text(self.inputs.get("workload"))

    @property
    def usual_cronjob(self) -> str:
        """Return the CronJob that publishes by the contract, where there are several and none is named."""
        return self.workload.kubernetes.cronjob

    @property
    def source_site(self) -> str:
        """Return the other site: whose run is canonical when the procedure begins."""
        return "primary" if self.target_site == "dr" else "dr"

    def run_of(self, site: str) -> str:
        """Return the id of a site's run: the target's is the validated one, the source's the one that is canonical."""
        return self.primary_run_id if site == "primary" else self.dr_run_id

    @property
    def new_run(self) -> str:
        """Return the id of the run that is to become canonical."""
        return self.run_of(self.target_site)

    @property
    def old_run(self) -> str:
        """Return the id of the run that is canonical when the procedure begins."""
        return self.run_of(self.source_site)

    @property
    def layout(self) -> Layout:
        """Return the canonical layout."""
        return Layout(self.prefix, self.candidate, self.workload)

    def staged(self, run_id: str) -> Layout:
        """Return the layout beside the canonical one into which the validation of drfsm run ``run_id`` publishes.

        ``staged_prefix`` names it where it is another run's validation, or a drill's own place.
        """
        return Layout(self.staged_prefix or f"{self.prefix}/validations/{run_id}", self.candidate, self.workload)

    @property
    def pair(self) -> tuple[str, str]:
        """Return the (provider, profile) that the pointer set must hold."""
        return self.provider, self.profile

    def unreachable(self, site: str) -> bool:
        """Return whether a person declared this site lost."""
        return self.primary_unreachable if site == "primary" else self.dr_unreachable

    def fence(self, site: str) -> bool:
        """Return whether a fence of this site was asked for."""
        return self.fence_primary if site == "primary" else self.fence_dr

    def relies_on_fence(self, site: str) -> bool:
        """Return whether a fence of this site stands in for what can't be frozen or drained there."""
        return self.fence(site) or self.unreachable(site)

    def fence_role(self, site: str) -> str:
        """Return the identity that a site publishes with, an ARN."""
        return self.fence_primary_role if site == "primary" else self.fence_dr_role

    @property
    def degradation_taken(self) -> bool:
        """Return whether a person goes on with a site that is not healthy, for a reason."""
        return self.allow_degraded and bool(self.reason.strip())

    @property
    def missing_writes_taken(self) -> bool:
        """Return whether a person goes on without writes that the other site acknowledged, for a reason."""
        return bool(self.missing_writes_accepted.strip())

    @property
    def risk_taken(self) -> bool:
        """Return whether a person declared the primary lost, and goes on without a fence, for a reason."""
        return self.primary_unreachable and self.no_fence and bool(self.reason.strip())


def terms_of(inputs: Mapping[str, Any]) -> Terms:
    """Return the typed inputs of a run, as recorded."""
    return Terms(inputs)


def table() -> dict[str, Input[Any]]:
    """Return every line of the table by its field."""
    return {field: line for field, line in vars(Terms).items() if isinstance(line, Input)}
