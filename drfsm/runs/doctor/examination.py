"""Makes every check of the doctor, reads everything again, and changes nothing.

A check that fails to read says so as a finding: nothing that is unknown is ever ready. The one thing that is written is
a probe of conditional writes, which is deleted again. Used by cli/doctor.py.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from attrs import evolve

from drfsm.errors import DrfsmError
from drfsm.resources import shipped
from drfsm.runs import bundle
from drfsm.runs.doctor import canonical_site, proof, the_endpoints, the_sites, the_store, this_machine
from drfsm.runs.doctor.findings import Finding, Look, finding, unread
from drfsm.runs.doctor.report import Report, report
from drfsm.runs.world import connect
from drfsm.runs.world import read_only as read_only_world
from drfsm.spec import load_machine
from drfsm.spec.model import MachineSpec

__all__ = ["Report", "examine", "inputs_for"]

Check = Callable[[Look], Iterator[Finding]]
CHECKS: Mapping[str, Check] = {
    "clock": this_machine.clock,
    "disk": this_machine.disk,
    "programs": this_machine.programs,
    "credentials": this_machine.credentials,
    "conditional writes": the_store.conditions,
    "backups": the_store.backups,
    "publication": the_store.publication,
    "lease": the_store.lease,
    "runs": the_store.open_runs,
    "fence": the_store.fences,
    "sites": the_sites.named,
    "deadlines": the_sites.deadlines,
    "control plane": the_sites.parity,
    "endpoints": the_endpoints.names,
    "endpoint servers": the_endpoints.servers,
    "active site": the_endpoints.active_site,
}
"""What is looked at beside the preflight and the proof -> how."""

LIMITS = {
    "drain_timeout": 300, "validation_timeout": 3600, "startup_timeout": 600, "soak_timeout": 90000,
    "site_timeout": 120, "boot_timeout": 900, "reach_timeout": 60, "expected_minutes": 60, "max_attempts": 3,
    "approval_expires": 24,
}  # fmt: skip
"""Inputs that must be numbers, as the procedures' options have them: no check here waits for any."""
FENCED = "--fence-primary --fence-dr"
_REFUSALS = ("no", "none", "false")


def inputs_for(spec: MachineSpec, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs of a machine for reading: the given ones, and for all others what asks for nothing."""
    least = {
        name: next((word for word in _REFUSALS if word in declared.values), next(iter(declared.values), ""))
        for name, declared in spec.inputs.items()
    }
    limits = {name: value for name, value in LIMITS.items() if name in spec.inputs}
    return {**least, **limits, **given}


def examine(
    given: Mapping[str, Any],
    *,
    drill_interval_seconds: float | None,
    max_age_seconds: float,
    accepted: tuple[str, ...] = (),
    read_only: bool = False,
) -> Report:
    """Make every check and return the report. ``given``: the inputs that name bucket, prefix, workload and sites.

    ``accepted``: codes, or ``code:subject``, that count for nothing. Raises UsageFault for inputs that can't be used.
    """
    from drfsm.dr.procedures import binding

    drill = load_machine((shipped("machines") / "drill.yaml").read_bytes(), source="drill.yaml")
    look = _look(inputs_for(drill, given), drill_interval_seconds, max_age_seconds, read_only=read_only)
    look, away = _without_what_is_taken_down(look)
    findings: list[Finding] = []
    held: list[str] = []

    def check(name: str, how: Check) -> None:
        found = list(_caught(name, how, look))
        findings.extend(found)
        held.extend([] if found else [name])

    for name, how in CHECKS.items():
        check(name, how)
    owner = site = ""
    try:
        owner = canonical_site.owner(look)
        site, how_seen = (owner, "") if owner != "unclaimed" else _by_schedules(look, given)
        if not site:
            words = f"no run of drfsm has recorded it, and the sites don't tell ({how_seen})"
            findings.append(finding("not_read", "canonical site", words, mend=_CLAIM))
    except DrfsmError as fault:
        findings.append(unread("owner", fault))
    check("machines", lambda it: canonical_site.machines(it, site))
    if owner:
        procedure = "failback" if site == "dr" else "promote"
        check(f"preflight of {procedure}", lambda it: _preflight(it, procedure, given, binding(procedure)))
    last, ends = _proof(look, findings, check)
    if away and any(each.code == "not_read" and away in each.words for each in findings):
        findings = [each for each in findings if each.code != "not_read" or away not in each.words]
        findings.append(finding("site_is_taken_down", "dr", away))
    return report(look, findings, held, accepted, owner=owner, drill=last, until=ends)


_CLAIM = "`drfsm pointers own SITE` records the canonical site; then look again"


def _by_schedules(look: Look, given: Mapping[str, Any]) -> tuple[str, str]:
    """Return (the canonical site by both sites' schedules, what they are), as a promote would read them."""
    from drfsm.dr.procedures import binding
    from drfsm.dr.terms import terms_of

    spec = load_machine((shipped("machines") / "promote.yaml").read_bytes(), source="promote.yaml")
    inputs = inputs_for(spec, given) | _of("promote")
    seen = evolve(look, run=evolve(look.run, inputs=inputs), terms=terms_of(inputs))
    return canonical_site.by_schedules(seen, binding("promote"))


def _without_what_is_taken_down(look: Look) -> tuple[Look, str]:
    """Return the look, and why DR can't be reached where a failback took it down; "" where none did."""
    run_id = canonical_site.taken_down(look)
    if not run_id:
        return look, ""
    why = f"DR is taken down (run {run_id})"
    return evolve(look, world=evolve(look.world, dr=the_sites.FailsFast(look.world.dr, why))), why


def _look(
    inputs: Mapping[str, Any], drill_interval_seconds: float | None, max_age_seconds: float, *, read_only: bool
) -> Look:
    from drfsm.dr.terms import terms_of
    from drfsm.engine import Run, SystemClock
    from drfsm.engine.runner import who

    home = bundle.home()
    open_world, _ = connect({name: value for name, value in inputs.items() if name != "infrastructure"}, "", home)
    world: Any = read_only_world(open_world)
    patient = {name: the_sites.FailsFast(getattr(world, name)) for name in ("primary", "dr", "store", "identity")}
    world = evolve(world, **patient)
    run = Run("doctor", inputs, who(), 0, True, "doctor", {}, {}, SystemClock())  # noqa: FBT003  it changes nothing
    return Look(
        world,
        the_sites.FailsFast(open_world.store),
        run,
        terms_of(inputs),
        datetime.now(UTC),
        home,
        drill_interval_seconds,
        max_age_seconds,
        read_only,
    )


def _preflight(look: Look, procedure: str, given: Mapping[str, Any], binding: Any) -> Iterator[Finding]:
    from drfsm.dr.endpoints import declared
    from drfsm.dr.terms import terms_of
    from drfsm.runs.canonical import canonical_run

    spec = load_machine((shipped("machines") / f"{procedure}.yaml").read_bytes(), source=f"{procedure}.yaml")
    inputs = inputs_for(spec, given) | _of(procedure)
    inputs["endpoints"] = declared.scope_of(terms_of(inputs).workload)
    inputs |= {"dr_run_id" if procedure == "failback" else "primary_run_id": canonical_run(inputs)}

    def judged(**changed: str) -> list[Finding]:
        as_started = inputs | changed
        seen = evolve(look, run=evolve(look.run, inputs=as_started), terms=terms_of(as_started))
        return list(the_sites.preflight(seen, spec, binding))

    found = judged()
    if procedure == "failback" and found and all(given.get(f"fence_{site}_role") for site in ("primary", "dr")):
        found = with_the_fence(found, judged(fence_primary="asked", fence_dr="asked"))
    yield from found


def with_the_fence(without: Sequence[Finding], fenced: Sequence[Finding]) -> list[Finding]:
    """Return the findings of a start without a fence, and say of each guard whether a start with one would pass."""
    still = {each.code for each in fenced} | {"not_read"}
    with_it = f"start with {FENCED}: this then passes"
    return [
        each if each.code in still else evolve(each, mend="; or ".join(filter(None, (each.mend, with_it))))
        for each in without
    ]


def _of(procedure: str) -> dict[str, str]:
    """Return the inputs that say which way through the machine is looked at."""
    if procedure == "failback":
        return {"soak": "now", "teardown": "true"}
    return {"taker": "dr", "target": "canonical", "validation": "own"}


def _caught(name: str, how: Check, look: Look) -> Iterator[Finding]:
    """Yield a check's findings; that it could not read is one."""
    try:
        yield from how(look)
    except DrfsmError as fault:
        yield unread(name, fault)


def _proof(
    look: Look, findings: list[Finding], check: Callable[[str, Check], None]
) -> tuple[proof.Drill | None, datetime | None]:
    """Look for the last green drill and read again what it relied on; return it, and the date on which it ends."""
    drills = proof.known_drills(look)
    drill = drills.green
    if drills.fault is not None:
        findings.append(unread("drills of other machines", drills.fault))
    findings.extend(proof.failures(drills.failed))
    if drill is None:
        place = f"s3://{look.terms.bucket}/{look.terms.prefix}"
        if drills.fault is None:
            findings.append(finding("no_drill_proves_it", place, "no green drill is known"))
        return None, None
    check("age of the drill", partial(_of_drill, proof.age, drill))
    for name, read_again in proof.RELIED_ON.items():
        check(f"proof: {name}", partial(_of_drill, read_again, drill))
    return drill, proof.until(look, drill)


def _of_drill(
    read_again: Callable[[Look, proof.Drill], Iterator[Finding]], drill: proof.Drill, look: Look
) -> Iterator[Finding]:
    yield from read_again(look, drill)
