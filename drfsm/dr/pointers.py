"""The pointer set: which run is canonical. Seen, captured, moved by compare-and-swap, given back.

The set is the global and the provider pointers, under the candidate's keys and (for ``local``) the older
ones, of every pair that the global pointer names. drfsm moves the whole set, provider pointers first,
each only on the ETag read in the same step and only from where it was captured, with a fresh nonce in
every write so that equal bytes never repeat an ETag. Pointers are rebuilt, never copied: every field that
the workload wrote stays, ``run_id``, ``run_path``, ``ended_at`` and ``provider_profiles`` name the new run.
What is observed leaves drfsm's own mark (the field ``drfsm``) out: an image that was given back is equal.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from uuid import uuid4

from drfsm.dr.layout import Layout, layout_of, pairs_of, staged
from drfsm.dr.ownership import hand_over
from drfsm.engine import Fact, Run
from drfsm.errors import ActionFailed, Conflict
from drfsm.world import ObjectStore, World

MARK = "drfsm"
Pointer = dict[str, Any]


def read(store: ObjectStore, keys: Iterable[str]) -> dict[str, Pointer | None]:
    """Return each pointer's fields without drfsm's mark; None where there is none."""
    return {key: None if (blob := store.get(key)) is None else fields(blob.body) for key in keys}


def fields(body: bytes) -> Pointer:
    """Return a pointer's fields without drfsm's mark; one that can't be understood is named by its hash."""
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return {"unreadable_sha256": hashlib.sha256(body).hexdigest()}
    return {name: value for name, value in found.items() if name != MARK}


def pairs(store: ObjectStore, layout: Layout, provider: str, profile: str) -> list[tuple[str, str]]:
    """Return every pair of the set: those that the global pointer names, and the operator's."""
    named: list[tuple[str, str]] = []
    for found in read(store, layout.global_pointers()).values():
        named += pairs_of(found or {})
    return list(dict.fromkeys([*named, (provider, profile)]))


def keys_of(world: World, run: Run) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return (provider keys, global keys) of the run's pointer set, in the order in which they are moved."""
    layout = layout_of(run.inputs)
    found = pairs(world.store, layout, str(run.inputs["provider"]), str(run.inputs["profile"]))
    return layout.provider_pointers(found), layout.global_pointers()


def judge(seen: Mapping[str, Pointer | None], inputs: Mapping[str, Any]) -> str:
    """Say which run all of these pointers name: dr, primary, a mixture of the two, or anything else."""
    layout = layout_of(inputs)
    named = {"dr": str(inputs["dr_run_id"]), "primary": str(inputs["primary_run_id"])}
    sites = {_site(pointer, named, layout) for pointer in seen.values()}
    if not sites or "other" in sites:
        return "other"
    return sites.pop() if len(sites) == 1 else "mixed"


def _site(pointer: Pointer | None, named: Mapping[str, str], layout: Layout) -> str:
    for site, run_id in named.items():
        if pointer and pointer.get("run_id") == run_id and pointer.get("run_path") in (None, layout.run(run_id)):
            return site
    return "other"


def _capture(world: World, run: Run) -> dict[str, Any]:
    """Read the whole set with its ETags. Changes nothing."""
    provider_keys, global_keys = keys_of(world, run)
    captured = {}
    for key in (*provider_keys, *global_keys):
        blob = world.store.get(key)
        if blob is None:
            raise ActionFailed(f"the pointer {key} is gone", fault="store")
        captured[key] = {"etag": blob.etag, "sha256": hashlib.sha256(blob.body).hexdigest()}
    return {"pointers": captured}


def _captured(run: Run) -> Mapping[str, Mapping[str, str]]:
    found: Mapping[str, Mapping[str, str]] = run.results.get("capture_pointers", {}).get("pointers", {})
    if not found:
        raise ActionFailed("no pointers were captured yet", fault="drfsm")
    return found


def _observe_captured(world: World, run: Run) -> dict[str, Any]:
    seen = {}
    for key, captured in _captured(run).items():
        blob = world.store.get(key)
        ours = bool(blob and _mark(blob.body).get("run") == run.id)
        seen[key] = {"captured": captured["etag"], "now": blob.etag if blob else None, "ours": ours}
    return seen


def _mark(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body).get(MARK, {})
    except (ValueError, AttributeError):
        return {}
    return found if isinstance(found, Mapping) else {}


def _judge_captured(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str:
    return "unmoved" if all(each["ours"] or each["now"] == each["captured"] for each in seen.values()) else "moved"


def _staged_end(world: World, run: Run) -> Any:
    """Return when the validated run ended, as its own pointer beside says."""
    layout = staged(run.inputs, run.id)
    for found in read(world.store, layout.global_pointers()).values():
        if found and found.get("run_id") == run.inputs["primary_run_id"]:
            return found.get("ended_at")
    raise ActionFailed("the validated run has no pointer beside that says when it ended", fault="store")


def _move(world: World, run: Run, keys: Iterable[str]) -> dict[str, Any]:
    ended_at, moved = _staged_end(world, run), []
    for key in keys:
        run.check()
        if _move_one(world, run, key, ended_at):
            moved.append(key)
            run.note(f"moved {key} to {run.inputs['primary_run_id']}")
    return {"moved": moved}


def _move_one(world: World, run: Run, key: str, ended_at: Any) -> bool:
    blob = world.store.get(key)
    new_id = str(run.inputs["primary_run_id"])
    if blob is None:
        raise Conflict(f"the pointer {key} is gone since it was captured")
    old = fields(blob.body)
    if old.get("run_id") == new_id:
        return False
    captured = _captured(run).get(key)
    if captured is None or (blob.etag != captured["etag"] and _mark(blob.body).get("run") != run.id):
        raise Conflict(
            f"the pointer {key} was moved by somebody else since it was captured; it names {old.get('run_id')}"
        )
    rebuilt = {
        **old,
        "run_id": new_id,
        "run_path": layout_of(run.inputs).run(new_id),
        "ended_at": ended_at,
        "provider_profiles": dict.fromkeys(old.get("provider_profiles") or {}, new_id),
    }
    _write(world.store, run, key, rebuilt, blob.etag)
    return True


def _write(store: ObjectStore, run: Run, key: str, pointer: Pointer, etag: str) -> None:
    """Write a pointer on an ETag, and read it again: some stores ignore conditions."""
    marked = {**pointer, MARK: {"run": run.id, "epoch": run.epoch, "nonce": uuid4().hex}}
    body = (json.dumps(marked, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
    store.put(key, body, if_match=etag)
    again = store.get(key)
    if again is None or again.body != body:
        raise Conflict(f"the pointer {key} does not read as it was just written: somebody else writes it too")


def _restore_provider(world: World, run: Run) -> dict[str, Any]:
    restored = []
    for key, image in run.undoing["provider_pointers"].items():
        run.check()
        blob = world.store.get(key)
        if blob is not None and fields(blob.body) == image:
            continue
        if blob is None or image is None or _mark(blob.body).get("run") != run.id:
            raise Conflict(
                f"the pointer {key} is not as this run left it, so it is not given back over somebody else's work",
                way="look at it, then `drfsm request waive_undo --reason ...`",
            )
        _write(world.store, run, key, dict(image), blob.etag)
        restored.append(key)
        run.note(f"gave {key} back to {image.get('run_id')}")
    return {"restored": restored}


def _move_global(world: World, run: Run) -> dict[str, Any]:
    hand_over(world, run, giver="dr", taker="primary")
    return _move(world, run, keys_of(world, run)[1])


def _observe(which: int) -> Callable[[World, Run], Any]:
    return lambda world, run: read(world.store, keys_of(world, run)[which])


FACTS = {
    "provider_pointers": Fact(_observe(0), judge),
    "global_pointer": Fact(_observe(1), judge),
    "captured": Fact(_observe_captured, _judge_captured),
}
ACTIONS = {
    "capture_pointers": _capture,
    "move_provider_pointers": lambda world, run: _move(world, run, keys_of(world, run)[0]),
    "restore_provider_pointers": _restore_provider,
    "move_global_pointer": _move_global,
}
