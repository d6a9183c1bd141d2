"""Runs that lie in S3, brought to this machine: as a bundle, once somebody vouches for their records.

Nothing of a mirror is laid down before its place, its audit, its declaration and its records hold (trust.py).
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve

from drfsm.journal import RunState, digest
from drfsm.runs import bundle, mirrors, trust
from drfsm.runs.heads import Heads
from drfsm.runs.invocation import Invocation
from drfsm.spec import MachineSpec, load_machine


def looked_up(named: str | None, invocation: Invocation) -> tuple[Path, Invocation]:
    """Return a run's bundle, fetched from its mirror where ``named`` is one, and whoever vouched for it meanwhile."""
    return fetched(named, invocation) if mirrors.is_mirror(named) else (bundle.find(named), invocation)


def fetched(uri: str, invocation: Invocation) -> tuple[Path, Invocation]:
    """Bring a mirrored run to this machine, as a bundle, once somebody vouches for it.

    Returns its directory, and ``invocation`` with what was said meanwhile. Raises EvidenceFault, UntrustedRecords.
    """
    mirror = mirrors.open_mirror(uri, invocation.places)
    place = bundle.home() / "runs" / mirror.run_id
    if (place / bundle.LOG).exists():
        return place.resolve(), invocation
    spec, text, state = _checked(mirror, invocation)
    heads = Heads(state.run_id)
    inputs_here(
        state.inputs, invocation, heads, mirror.lines
    )  # what is missing is told BEFORE anybody is asked for his word
    vouched = trust.vouch(mirror.journal(spec), heads, invocation.word)
    invocation = with_word(invocation, vouched, state)
    place = bundle.new(mirror.run_id, None)
    _lay(place, state, text, mirror.lines, invocation.word.tell)
    return place.resolve(), invocation


def _checked(mirror: mirrors.Mirror, invocation: Invocation) -> tuple[MachineSpec, bytes, RunState]:
    """Return a mirror's declaration and where its run stands, each held against where it lies. Raises EvidenceFault."""
    state = mirrors.state_of(mirror)
    text = mirrors.declaration_of(mirror, state)
    spec = load_machine(text, source=f"{state.machine}.yaml")
    trust.check_origin(spec, invocation.word.machines)
    return spec, text, state


def with_word(invocation: Invocation, vouched: trust.Vouched, state: RunState) -> Invocation:
    """Return ``invocation`` with what was typed, so that it is asked for once."""
    if vouched.how == "own":
        return invocation
    plan = str(state.args.get("approve", {}).get("approved_plan", ""))
    heads = (*invocation.word.heads, vouched.head) if vouched.by_person else invocation.word.heads
    plans = (*invocation.word.approved_plans, plan) if plan else invocation.word.approved_plans
    return evolve(invocation, word=evolve(invocation.word, heads=heads, approved_plans=plans))


def fetched_into(place: Path, inputs: Mapping[str, Any], run_id: str, invocation: Invocation) -> bool:
    """Bring a mirrored run into a directory; return whether there is one. The run's inputs say where it would lie."""
    store = mirrors.store_of(inputs["bucket"], {name: str(inputs[name]) for name in ("endpoint_url", "region")})
    mirror = mirrors.mirror_at(store, mirrors.own_prefix(inputs), run_id)
    if not mirror.lines:
        return False
    spec, text, state = _checked(mirror, invocation)
    trust.vouch(mirror.journal(spec), Heads(run_id), invocation.word)
    _lay(bundle.new(run_id, str(place)), state, text, mirror.lines, invocation.word.tell)
    return True


def _lay(place: Path, state: RunState, declared: bytes, lines: Sequence[bytes], tell: Callable[[str], None]) -> None:
    bundle.replace(place / f"{state.machine}.yaml", declared)
    bundle.replace(place / bundle.LOG, b"".join(lines))
    tell(f"fetched {len(lines)} records of {state.run_id} into {place}")


def inputs_here(
    inputs: Mapping[str, Any], invocation: Invocation, heads: Heads, lines: Sequence[bytes]
) -> dict[str, Any]:
    """Return a run's inputs with where its sites lie on this machine: never as records from elsewhere have it."""
    kept = heads.places
    if kept is None and (not lines or heads.knows(digest(lines[0]))):
        return {**inputs, **invocation.given}
    return {**inputs, **trust.places_here(inputs, invocation.given, kept)}
