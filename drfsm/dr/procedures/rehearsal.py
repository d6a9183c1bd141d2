"""A drill's rehearsal of a promote: pointers of its own to move, below its own prefix, and nowhere else.

Owns what only a rehearsal asks: whether both flags are set, whether the prefix is a drill's own, and whether there
are pointers there to be moved. They are copies of the canonical ones; where there are none yet, they are made of what
the validated run left beside, and name no run. Writes below the run's own prefix only, which must be a drill's.
"""

from collections.abc import Mapping
from typing import Any

from drfsm.dr.layout import Layout, pairs_of
from drfsm.dr.pointers import Pointer, keys_of, pairs, read, rebuilt, write
from drfsm.dr.procedures.promote_flags import case_of, recorded_flags
from drfsm.dr.terms import terms_of
from drfsm.engine import Fact, Late, Run
from drfsm.errors import ActionFailed
from drfsm.world import World


def judge_place(seen: Mapping[str, str], _inputs: Mapping[str, Any] | None = None) -> str:
    """Say whether a prefix is a drill's own: ``<what it rehearses>/drills/<drill>/…``."""
    prefix, home = seen["prefix"].strip("/"), seen["rehearses"].strip("/")
    below = prefix.removeprefix(f"{home}/drills/").split("/")
    own = bool(home) and prefix.startswith(f"{home}/drills/") and len(below) > 1
    return "beside" if own and all(part not in ("", ".", "..") for part in below) else "canonical"


def _place(run: Run) -> dict[str, str]:
    terms = terms_of(run.inputs)
    return {name: str(terms.recorded(name)) for name in ("prefix", "rehearses")}


def _sources(world: World, run: Run) -> dict[str, Pointer]:
    """Return the pointers that the rehearsal begins with, by the keys that they get."""
    terms = terms_of(run.inputs)
    own, pair = terms.layout, terms.pair
    canonical, form = Layout(terms.rehearses, own.candidate, own.workload), own.workload.pointers
    named = pairs(world.store, canonical, *pair)
    there = dict(zip(_keys(own, named), read(world.store, _keys(canonical, named), form).values(), strict=True))
    if all(pointer is not None for pointer in there.values()):
        return {key: pointer for key, pointer in there.items() if pointer is not None}
    beside = terms.staged(run.id)
    left = next((pointer for pointer in read(world.store, beside.global_pointers(), form).values() if pointer), None)
    if left is None:
        raise ActionFailed(f"neither {canonical.prefix} nor {beside.prefix} has a pointer", fault="store")
    nobody = {**rebuilt(left, own, terms.primary_run_id, None), "run_path": None}
    return dict.fromkeys(_keys(own, pairs_of(left) or [pair]), nobody)


def _keys(layout: Layout, named: list[tuple[str, str]]) -> tuple[str, ...]:
    return (*layout.global_pointers(), *layout.provider_pointers(named))


def _stage(world: World, run: Run) -> dict[str, Any]:
    """Put what is not there yet; what is there is this rehearsal's own."""
    if judge_place(_place(run)) != "beside":
        raise ActionFailed(
            f"{terms_of(run.inputs).prefix} is not a drill's own prefix: nothing is staged there", fault="drfsm"
        )
    made, form = [], terms_of(run.inputs).workload.pointers
    for key, pointer in _sources(world, run).items():
        run.check()
        if world.store.get(key) is None:
            write(world.store, key, pointer, None, {"run": run.id, "epoch": run.epoch}, form)
            made.append(key)
    return {"made": made}


def _observe(world: World, run: Run) -> dict[str, Any]:
    provider_keys, global_keys = keys_of(world, run)
    pointers = read(world.store, (*global_keys, *provider_keys), terms_of(run.inputs).workload.pointers)
    return {key: bool(pointer) for key, pointer in pointers.items()}


def _judge(seen: Mapping[str, bool], _inputs: Mapping[str, Any]) -> str:
    return "staged" if all(seen.values()) else "partial" if any(seen.values()) else "absent"


FACTS = {
    "promote_flags": Fact(
        lambda _world, run: recorded_flags(terms_of(run.inputs)),
        lambda seen, _inputs: case_of(seen).rehearsal,
    ),
    "place": Fact(lambda _world, run: _place(run), judge_place),
    "rehearsal": Fact(_observe, _judge),
}
LATE = {"stage_rehearsal": Late(settles="the drill's own pointers are created under its own prefix")}
ACTIONS = {"stage_rehearsal": _stage}
