"""Fetches a run from its mirror in S3: onto this machine, as a bundle, once somebody vouches for its records.

Writes nothing before the mirror's place, audit, declaration and records hold (trust.py). Used by wiring.py,
run_context.py and `approve`.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve

from drfsm.journal import RunState, digest
from drfsm.runs import bundle, mirrors, selection, trust
from drfsm.runs.heads import Heads
from drfsm.runs.invocation import Invocation
from drfsm.spec import MachineSpec, load_machine


def find_or_fetch(named: str | None, invocation: Invocation) -> tuple[Path, Invocation]:
    """Return a run's bundle, and ``invocation`` with what the operator vouched for; fetch the bundle from a mirror."""
    return fetch(named, invocation) if mirrors.is_mirror(named) else (selection.find(named), invocation)


def fetch(uri: str, invocation: Invocation) -> tuple[Path, Invocation]:
    """Fetch a mirrored run onto this machine, as a bundle, once somebody vouches for it.

    Returns its directory, and ``invocation`` with what the operator vouched for.
    Raises EvidenceFault, UntrustedRecords.
    """
    mirror = mirrors.open_mirror(uri, invocation.places)
    place = bundle.home() / "runs" / mirror.run_id
    if (place / bundle.LOG).exists():
        return place.resolve(), invocation
    spec, text, state = _checked(mirror, invocation)
    heads = Heads(state.run_id)
    local_inputs(state.inputs, invocation, heads, mirror.lines)  # refuses BEFORE the operator is asked to vouch
    voucher = trust.vouch(mirror.journal(spec), heads, invocation.assurances)
    invocation = with_assurances_of(invocation, voucher, state)
    place = bundle.new(mirror.run_id, None)
    _lay(place, state, text, mirror.lines, invocation.assurances.tell)
    return place.resolve(), invocation


def _checked(mirror: mirrors.Mirror, invocation: Invocation) -> tuple[MachineSpec, bytes, RunState]:
    """Return a mirror's declaration and where its run stands, each held against where it lies. Raises EvidenceFault."""
    state = mirrors.state_of(mirror)
    text = mirrors.declaration_of(mirror, state)
    spec = load_machine(text, source=f"{state.machine}.yaml", recorded=True)
    trust.check_origin(spec, invocation.assurances.machines)
    return spec, text, state


def with_assurances_of(invocation: Invocation, voucher: trust.Voucher, state: RunState) -> Invocation:
    """Return ``invocation`` with what the operator typed, so that it is asked for only once."""
    if voucher.how == "own":
        return invocation
    plan = str(state.args.get("approve", {}).get("approved_plan", ""))
    heads = (*invocation.assurances.heads, voucher.head) if voucher.by_person else invocation.assurances.heads
    plans = (*invocation.assurances.approved_plans, plan) if plan else invocation.assurances.approved_plans
    return evolve(invocation, assurances=evolve(invocation.assurances, heads=heads, approved_plans=plans))


def fetch_into(place: Path, inputs: Mapping[str, Any], run_id: str, invocation: Invocation) -> bool:
    """Fetch a mirrored run into a directory; return whether there is one. Its inputs say where the mirror lies."""
    store = mirrors.store_of(inputs["bucket"], {name: str(inputs[name]) for name in ("endpoint_url", "region")})
    mirror = mirrors.mirror_at(store, mirrors.own_prefix(inputs), run_id)
    if not mirror.lines:
        return False
    mirrors.check_began(mirror)
    spec, text, state = _checked(mirror, invocation)
    trust.vouch(mirror.journal(spec), Heads(run_id), invocation.assurances)
    _lay(bundle.new(run_id, str(place)), state, text, mirror.lines, invocation.assurances.tell)
    return True


def _lay(place: Path, state: RunState, declared: bytes, lines: Sequence[bytes], tell: Callable[[str], None]) -> None:
    bundle.replace(place / f"{state.machine}.yaml", declared)
    bundle.replace(place / bundle.LOG, b"".join(lines))
    tell(f"fetched {len(lines)} records of {state.run_id} into {place}")


def local_inputs(
    inputs: Mapping[str, Any], invocation: Invocation, heads: Heads, lines: Sequence[bytes]
) -> dict[str, Any]:
    """Return a run's inputs, with the places of its sites on this machine: never those that other machines recorded."""
    kept = heads.places
    if kept is None and (not lines or heads.knows(digest(lines[0]))):
        return {**inputs, **invocation.named_places}
    return {**inputs, **trust.places_here(inputs, invocation.named_places, kept)}
