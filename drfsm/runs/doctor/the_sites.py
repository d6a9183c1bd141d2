"""Are the sites ready for the procedure that a disaster would ask for? Everything that its preflight asks, and more.

Which procedure that is follows from the owner of the pointers: a failback where DR owns them, else a promote. The facts
and guards are the machine's own: a finding of the preflight has its guard's name as its code.
"""

from collections.abc import Callable, Iterator, Mapping
from shlex import quote
from typing import TYPE_CHECKING, Any

from drfsm.errors import CANNOT_REACH, DrfsmError, Unreachable, common_causes, in_one_line, shown
from drfsm.runs.doctor.codes import ERROR, UNKNOWN, WARNING
from drfsm.runs.doctor.findings import Finding, Look, finding, of_each_site
from drfsm.spec.foresight import ahead
from drfsm.spec.model import Foreseen, Guard, MachineSpec

if TYPE_CHECKING:
    from drfsm.engine import Binding

PREFLIGHT = ("run_preflight", "reach_primary", "reach_dr")
_DEADLINE = '{"spec":{"startingDeadlineSeconds":600}}'
LATER = frozenset(("dr_run_is_whole",))
"""Guards of a run that a promote's own validation has still to make."""


def preflight(look: Look, spec: MachineSpec, binding: "Binding") -> Iterator[Finding]:
    """Judge every guard of the preflight, and those that it foresees, by facts that are read once each."""
    readings: dict[str, tuple[str | None, Any]] = {}
    unread: list[Mapping[str, Any]] = []
    for guard, level in asked(look, spec):
        for fact, needed in guard.requires.items():
            if fact not in readings:
                readings[fact] = fact_of(look, binding, fact)
            value, seen = readings[fact]
            if value is None:
                unread.append({"fact": fact, "value": None, "seen": seen if isinstance(seen, str) else shown(seen)})
            elif value not in needed:
                severity = WARNING if level(fact, value) is Foreseen.WARN else ERROR
                words = f"{fact} is {value} (seen: {shown(seen)}). {guard.reason}"
                yield Finding(guard.name, severity, spec.name, words, guard.mend)
    causes, alone = common_causes(unread)
    for why, facts in causes.items():
        yield finding("not_read", spec.name, in_one_line(why, facts), severity=UNKNOWN)
    for check in {check["fact"]: check for check in alone}.values():
        yield finding("not_read", f"{spec.name}: {check['fact']}", str(check["seen"]), severity=UNKNOWN)


Level = Callable[[str, str | None], Foreseen]


def asked(look: Look, spec: MachineSpec) -> Iterator[tuple[Guard, Level]]:
    """Yield the guards that can be judged before a run, and how each weighs: the preflight's, and what it foresees."""
    rows = [row for row in spec.rows if row.trigger in PREFLIGHT and row.selected(look.inputs)]
    guards: dict[str, tuple[Guard, Level]] = {
        name: (spec.guards[name], lambda _fact, _value: Foreseen.REFUSE) for row in rows for name in row.guards
    }
    for row in rows:
        for later in ahead(spec, row, look.inputs):
            guards.setdefault(later.guard.name, (later.guard, later.level))
    own_validation = look.inputs.get("validation") == "own"
    yield from (entry for name, entry in guards.items() if not (own_validation and name in LATER))


def fact_of(look: Look, binding: "Binding", fact: str) -> tuple[str | None, Any]:
    """Return (value, what was seen); (None, why) for what could not be read."""
    try:
        seen = binding.facts[fact].observe(look.world, look.run)
        return binding.facts[fact].judge(seen, look.inputs), seen
    except DrfsmError as fault:
        return None, fault.cause or fault.what


def deadlines(look: Look) -> Iterator[Finding]:
    """Find CronJobs that start every missed run at once when a procedure resumes them."""
    terms = look.terms

    def on(site: str) -> Iterator[Finding]:
        for manifest in look.world.site(site).list("CronJob", terms.namespace, labels=terms.cronjob_selector):
            if manifest["spec"].get("startingDeadlineSeconds") is not None:
                continue
            name = str(manifest["metadata"]["name"])
            kubectl = (
                f"kubectl --kubeconfig {quote(str(look.inputs[f'kubeconfig_{site}']))} -n {quote(terms.namespace)}"
            )
            mend = f"{kubectl} patch cronjob {quote(name)} -p '{_DEADLINE}'"
            words = "it has no startingDeadlineSeconds"
            yield finding("schedule_has_no_deadline", f"{site}: CronJob {name}", words, mend=mend)

    yield from of_each_site(look, "the CronJobs", on)


def parity(look: Look) -> Iterator[Finding]:
    """Hold the control plane of each site against the published bundle."""
    from drfsm.dr import control_plane

    terms = look.terms
    bundle = control_plane.published(look.store, terms.prefix, terms.workload)
    if bundle is None:
        return  # nothing was ever published: the configuration is not drfsm's

    def on(site: str) -> Iterator[Finding]:
        sections = control_plane.parity(look.world.site(site), terms.namespace, bundle, terms.workload)
        wrong = [name for name, section in sections.items() if not control_plane.same({name: section})]
        if wrong:
            kubeconfig = quote(str(look.inputs[f"kubeconfig_{site}"]))
            words = f"it differs from the published bundle in: {', '.join(wrong)}"
            mend = f"`drfsm control-plane verify --kubeconfig {kubeconfig}` says how; then publish, or apply"
            yield finding("control_plane_differs", f"{site}: control plane", words, mend=mend)

    yield from of_each_site(look, "the control plane", on)


def named(look: Look) -> Iterator[Finding]:
    """Find the sites that nobody named."""
    for site in {"primary", "dr"} - {*look.sites}:
        yield finding("site_is_not_named", site, "its kubeconfig is not named", mend=f"add --kubeconfig-{site} PATH")


class FailsFast:
    """A cluster that is asked no more once it could not be reached: a dozen checks would each wait for it.

    ``why_away``: the known reason why it can't be reached, if any.
    """

    def __init__(self, of: Any, why_away: str = "") -> None:
        self._of, self._why_away = of, why_away
        self._fault: Unreachable | None = None

    def __getattr__(self, name: str) -> Any:
        """Return what the cluster offers. A call raises again that the cluster is out of reach."""
        attribute = getattr(self._of, name)
        if not callable(attribute):
            return attribute
        return self._guarded(attribute)

    def _guarded(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def asked_once(*args: Any, **options: Any) -> Any:
            if self._fault is not None:
                raise self._fault
            try:
                return method(*args, **options)
            except Unreachable as fault:
                if (fault.cause or fault.what).startswith(CANNOT_REACH):
                    self._fault = Unreachable(fault.what, cause=self._why_away) if self._why_away else fault
                    raise self._fault from fault
                raise

        return asked_once
