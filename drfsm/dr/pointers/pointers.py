"""The pointer set, which names the canonical run: observed, captured, moved by compare-and-swap, restored.

The set is the global and the provider pointers, under the candidate's keys and (for ``local``) the older
ones, of every pair that the global pointer names. drfsm moves the whole set, provider pointers first,
each only on the ETag read in the same step and only from where it was captured, with a fresh nonce in
every write so that equal bytes never repeat an ETag. A *touch* writes a pointer again with the same content, so that
a write of a run that was given up, still on its way, fails on its ETag.

Pointers are rebuilt, never copied: the workload's other fields stay, and ``run_id``, ``run_path``, ``ended_at`` and
``provider_profiles`` name the new run. Observations omit drfsm's own mark (the field ``drfsm``), so a restored pointer
equals its snapshot. The mark proves nothing by itself, as whoever edits a pointer may leave it in: a pointer is this
run's if its content is what this run writes.

A pointer is only a claim: an invalid one (not an object, an invalid run id or end) raises Unreadable, so that a fact is
unknown; only setting the pointers by hand ignores that. ``run_path`` is checked against the layout and never used as a
path. Inside drfsm a pointer's fields have drfsm's names; the contract says what the workload calls them (``form``).
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from shlex import quote
from typing import Any
from uuid import uuid4

from drfsm import claims
from drfsm.dr.artifacts import LARGEST_REPORT_BYTES, said_at
from drfsm.dr.layout import Layout, pairs_of
from drfsm.dr.pointers import ownership
from drfsm.dr.pointers.ownership import TRIES, hand_over
from drfsm.dr.terms import terms_of
from drfsm.dr.workload import Pointers
from drfsm.engine import Fact, Late, Run
from drfsm.engine.side_by_side import side_by_side
from drfsm.errors import ActionFailed, Conflict, Unreadable
from drfsm.world import Blob, ObjectStore, World

MARK = "drfsm"
Pointer = dict[str, Any]


LARGEST_BYTES = 1 << 20
"""The largest pointer, in bytes; the workload's have a few hundred."""
_READS_AT_ONCE = 8  # of one set
MOST_PAIRS = 500
"""The most pairs that a pointer may name: each costs two reads for every observation of the set."""
MEND = (
    "find out who wrote it; `drfsm pointers set RUN --bucket BUCKET --confirm CONFIRM-RUN --reason ...` makes the"
    " whole set name a run"
)


def read(store: ObjectStore, keys: Iterable[str], form: Pointers) -> dict[str, Pointer | None]:
    """Return each pointer's fields without drfsm's mark; None if there is none. They are read side by side.

    Raises Unreadable for an invalid pointer.
    """
    ordered = list(dict.fromkeys(keys))
    blobs = side_by_side([partial(get, store, key) for key in ordered], _READS_AT_ONCE)
    return {
        key: None if blob is None else fields(blob.body, key, form) for key, blob in zip(ordered, blobs, strict=True)
    }


def get(store: ObjectStore, key: str) -> Blob | None:
    """Return a pointer's bytes and ETag, None if there is none. Raises Unreadable for one that is too large."""
    try:
        return store.get(key, largest_bytes=LARGEST_BYTES)
    except Unreadable as fault:
        fault.hint = fault.hint or MEND
        raise


def fields(body: bytes, key: str, form: Pointers) -> Pointer:
    """Return a pointer's fields without drfsm's mark. Raises Unreadable for an invalid pointer."""
    return {name: value for name, value in _checked(body, key, form).items() if name != MARK}


def _checked(body: bytes, key: str, form: Pointers) -> Pointer:
    """Return a pointer's fields, with the type of every field that drfsm uses checked."""
    what = f"the pointer {key}".strip()
    try:
        pointer = form.inward(claims.object_of(body, what, largest_bytes=LARGEST_BYTES, hint=MEND))
    except ValueError as fault:
        raise Unreadable(f"{what} can't be read: {fault}", hint=MEND) from None
    if (
        pointer.get("run_id") != "" or MARK not in pointer
    ):  # a rehearsal's own pointer names no run if none is canonical
        claims.name_of("workload run", claims.field(pointer, "run_id", str, what, hint=MEND), what, hint=MEND)
    if pointer.get("run_path") is not None:
        claims.field(pointer, "run_path", str, what, hint=MEND)
    if pointer.get("ended_at") is not None and _moment(pointer["ended_at"]) is None:
        raise Unreadable(
            f"{what} can't be read: its ended_at is not a time: {claims.bounded(pointer['ended_at'], 100)}", hint=MEND
        )
    named = pointer.get("provider_profiles")
    named = {} if named is None else claims.field(pointer, "provider_profiles", dict, what, hint=MEND)
    if len(named) > MOST_PAIRS:
        raise Unreadable(f"{what} can't be read: it names {len(named)} pairs, more than {MOST_PAIRS}", hint=MEND)
    for pair in named:
        provider, _, profile = pair.partition(":")
        claims.name_of("provider", provider, f"a provider that {what} names", hint=MEND)
        claims.name_of("profile", profile, f"a profile that {what} names", hint=MEND)
    return pointer


def shown(store: ObjectStore, key: str, form: Pointers) -> Pointer | str | None:
    """Return a pointer's fields; a text if it can't be read; None if there is none."""
    try:
        return read(store, (key,), form)[key]
    except Unreadable as fault:
        return fault.what


def pairs(store: ObjectStore, layout: Layout, provider: str, profile: str) -> list[tuple[str, str]]:
    """Return every pair of the set: those of the global pointer, and the operator's."""
    pointers = read(store, layout.global_pointers(), layout.workload.pointers)
    return named_pairs(pointers.values(), (provider, profile))


def named_pairs(pointers: Iterable[Pointer | str | None], pair: tuple[str, str]) -> list[tuple[str, str]]:
    """Return every pair that these global pointers name, and the operator's; unreadable pointers name none."""
    named = [named_pair for pointer in pointers if isinstance(pointer, dict) for named_pair in pairs_of(pointer)]
    return list(dict.fromkeys([*named, pair]))


def _form(run: Run) -> Pointers:
    return terms_of(run.inputs).workload.pointers


def keys_of(world: World, run: Run) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return (provider keys, global keys) of the run's pointer set, in the order in which they are moved."""
    terms = terms_of(run.inputs)
    canonical_pairs = pairs(world.store, terms.layout, *terms.pair)
    return terms.layout.provider_pointers(canonical_pairs), terms.layout.global_pointers()


def judge(seen: Mapping[str, Pointer | None], inputs: Mapping[str, Any]) -> str:
    """Return which run all of these pointers name: dr, primary, mixed, or other."""
    terms = terms_of(inputs)
    named = {"dr": terms.dr_run_id, "primary": terms.primary_run_id}
    sites = {_site(pointer, named, terms.layout) for pointer in seen.values()}
    if not sites or "other" in sites:
        return "other"
    return sites.pop() if len(sites) == 1 else "mixed"


def _site(pointer: Pointer | None, named: Mapping[str, str], layout: Layout) -> str:
    for site, run_id in named.items():
        if pointer and pointer.get("run_id") == run_id and pointer.get("run_path") in (None, layout.run(run_id)):
            return site
    return "other"


def _observe_set(world: World, run: Run) -> dict[str, Any]:
    """Observe which run each pointer names and when that run ended; readers follow the pointer ``decides``.

    That is the first global one that is there: readers fall back to the older key.
    """
    layout = terms_of(run.inputs).layout
    set_pairs = pairs(world.store, layout, *terms_of(run.inputs).pair)
    global_keys, older = layout.global_pointers(), layout.older_pointers(set_pairs)
    pointers = read(world.store, (*global_keys, *layout.provider_pointers(set_pairs)), layout.workload.pointers)
    endings = {
        key: pointer and {name: pointer.get(name) for name in ("run_id", "ended_at")}
        for key, pointer in pointers.items()
    }
    return {"decides": deciding_key(pointers, global_keys), "pointers": endings, "older": list(older)}


def deciding_key(pointers: Mapping[str, Any], global_keys: Sequence[str]) -> str:
    """Return the key of the pointer that readers follow: the first global one that is there."""
    return next((key for key in global_keys if pointers.get(key) is not None), global_keys[0])


def only_older(pointers: Mapping[str, Any], older: Collection[str]) -> bool:
    """Return whether the set is as an older version of the workload leaves it: its keys, whole, and no other."""
    named = {pointers[key]["run_id"] if isinstance(pointers[key], Mapping) else None for key in older}
    newer = [pointer for key, pointer in pointers.items() if key not in older]
    return bool(older) and len(named) == 1 and None not in named and not any(newer)


def _judge_set(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str:
    """Judge the set: a workload that is killed between its pointers leaves the set half moved.

    It writes the deciding pointer first, so every other one names the same run or an older one.
    """
    deciding, others = seen["pointers"][seen["decides"]], list(seen["pointers"].values())
    if only_older(seen["pointers"], seen.get("older", ())):
        return "older_only"
    if deciding is None or None in others:
        return "torn"
    if all(other["run_id"] == deciding["run_id"] for other in others):
        return "whole"
    behind = all(other["run_id"] == deciding["run_id"] or _before(other["ended_at"], deciding) for other in others)
    return "half_moved" if behind else "torn"


def _before(ended_at: Any, pointer: Mapping[str, Any]) -> bool:
    """Whether a run ended before the one that a pointer names; False if one of the two times is invalid."""
    ours, theirs = _moment(ended_at), _moment(pointer["ended_at"])
    return ours is not None and theirs is not None and ours < theirs


def _judge_canonical(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    terms = terms_of(inputs)
    deciding = seen["pointers"][seen["decides"]]
    return terms.source_site if deciding and deciding["run_id"] == terms.old_run else "other"


def _complete(world: World, run: Run) -> dict[str, Any]:
    """Move every pointer of the set to the run of the deciding one, as the killed job would have done."""
    provider_keys, global_keys = keys_of(world, run)
    first, _ = _deciding(world, run, global_keys)
    completed = []
    for key in (*(key for key in global_keys if key != first), *provider_keys):
        run.check()
        blob_of_key = get(world.store, key)
        # AFTER the pointer that is to be replaced: a job writes the deciding pointer first, so a pointer of a newer run
        # is never replaced by the older one.
        _, deciding = _deciding(world, run, global_keys)
        if blob_of_key is None or fields(blob_of_key.body, key, _form(run)).get("run_id") != deciding["run_id"]:
            write(world.store, key, deciding, blob_of_key.etag if blob_of_key else None, _ours(run), _form(run))
            completed.append(key)
            run.note(f"moved {key} to {deciding['run_id']}")
    return {"completed": completed}


def _deciding(world: World, run: Run, global_keys: Sequence[str]) -> tuple[str, Pointer]:
    """Return (key, fields) of the deciding pointer. Raises Conflict if it no longer names the run that is canonical."""
    pointers = read(world.store, global_keys, _form(run))
    first = deciding_key(pointers, global_keys)
    deciding = pointers[first] or {}
    if deciding.get("run_id") != terms_of(run.inputs).old_run:
        raise Conflict(f"the pointer {first} now names {deciding.get('run_id')}: another process moved it")
    return first, deciding


def _capture(world: World, run: Run) -> dict[str, Any]:
    """Read the whole set with its ETags. Changes nothing.

    Raises Conflict if a newer run was published since the guards were read: captured, it would be replaced unseen.
    """
    provider_keys, global_keys = keys_of(world, run)
    captured, ended_at = {}, None
    for key in (*provider_keys, *global_keys):
        blob = get(world.store, key)
        if blob is None:
            raise ActionFailed(f"the pointer {key} does not exist", fault="store", hint=_way_to_complete(run))
        says = said(blob.body, key, _form(run))
        rest = _rest(fields(blob.body, key, _form(run)))
        captured[key] = {"etag": blob.etag, "content": says["content"], "rest": rest, "says": says}
        ended_at = says["ended_at"]
    if not terms_of(run.inputs).is_rehearsal:  # a drill's own pointers are moved by nobody else
        _deciding(world, run, global_keys)
    return {"pointers": captured, "ended_at": ended_at}


def _captured(run: Run) -> Mapping[str, Mapping[str, str]]:
    captured: Mapping[str, Mapping[str, str]] = run.results.get("capture_pointers", {}).get("pointers", {})
    if not captured:
        raise ActionFailed("no pointers were captured yet", fault="drfsm")
    return captured


def _content(body: bytes, key: str, form: Pointers) -> str:
    """Return a digest of a pointer's content, whoever wrote it: one that was restored by hand has the same."""
    return hashlib.sha256(json.dumps(fields(body, key, form), sort_keys=True).encode()).hexdigest()


def _rest(pointer: Pointer) -> str:
    """Return a digest of what a move leaves as it is: the pairs' names, and the workload's other fields."""
    rest = {name: value for name, value in pointer.items() if name not in ("run_id", "run_path", "ended_at")}
    rest["provider_profiles"] = sorted(pointer.get("provider_profiles") or {})
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def said(body: bytes, key: str, form: Pointers) -> dict[str, Any]:
    """Return a pointer's content for an approval: the run, its end, and a digest over all fields."""
    pointer = fields(body, key, form)
    return {
        "run_id": pointer.get("run_id"),
        "ended_at": pointer.get("ended_at"),
        "content": _content(body, key, form),
    }


def _way_to_complete(run: Run) -> str:
    """Return the hint for a missing pointer of the set: make it name the run that is canonical now."""
    after = f"`drfsm resume {run.id}`" if _has_begun(run) else "start again"
    return f"find out who deleted it, then {_set_by_hand(run, terms_of(run.inputs).old_run)}, then {after}"


def _has_begun(run: Run) -> bool:
    """Return whether the run is past its preflight: what is found there refuses it, and it holds nothing."""
    return bool(run.results)


def _set_by_hand(run: Run, run_id: str) -> str:
    """Return the command that makes all pointers name a run while this run is held, or after it was refused."""
    terms = terms_of(run.inputs)
    where = " ".join(f"--{name} {quote(str(terms.recorded(name)))}" for name in ("bucket", "prefix", "candidate"))
    named = quote(run_id) if run_id else "RUN"
    token = quote(f"CONFIRM-{run_id}") if run_id else "CONFIRM-RUN"
    take_over = f" --take-over {run.id}" if _has_begun(run) else ""
    return f"`drfsm pointers set {named} {where} --confirm {token}{take_over} --reason …`"


def _observe_present(world: World, run: Run) -> dict[str, Any]:
    """Observe which pointers of the set are missing: none of these could be moved or restored."""
    provider_keys, global_keys = keys_of(world, run)
    pointers = read(world.store, (*global_keys, *provider_keys), _form(run))
    missing = [key for key, pointer in pointers.items() if pointer is None]
    return {"missing": missing, "way": _way_to_complete(run) if missing else "", "looked_for": list(pointers)}


def _observe_captured(world: World, run: Run) -> dict[str, Any]:
    """Observe each pointer against the capture: the same ETag, the same content, or exactly what this run moved."""
    seen, form = {}, _form(run)
    for key, captured in _captured(run).items():
        blob = get(world.store, key)
        seen[key] = {
            "captured": captured["etag"],
            "now": blob.etag if blob else None,
            "names": fields(blob.body, key, form).get("run_id") if blob else None,
            "ours": bool(blob and _moved_by(world, run, key, blob.body, captured)),
            "put_back": bool(blob and _content(blob.body, key, form) == captured["content"]),
        }
    return seen


def _moved_by(world: World, run: Run, key: str, body: bytes, captured: Mapping[str, str]) -> bool:
    """Return whether a pointer is exactly what this run makes of the captured one.

    Runs of versions before 0.4.0 captured no ``rest``.
    """
    form, pointer = _form(run), fields(body, key, _form(run))
    terms = terms_of(run.inputs)
    if _mark(body, key, form).get("run") != run.id or pointer.get("run_id") != terms.new_run:
        return False
    rest_is_kept = captured.get("rest") in (None, _rest(pointer))
    return rest_is_kept and pointer == rebuilt(pointer, terms.layout, terms.new_run, staged_end(world, run))


def _mark(body: bytes, key: str, form: Pointers) -> Mapping[str, Any]:
    """Return drfsm's own mark in a pointer; {} if it has no valid one."""
    mark = _checked(body, key, form).get(MARK)
    if not isinstance(mark, Mapping) or not isinstance(mark.get("run"), str):
        return {}
    return mark if type(mark.get("epoch", 0)) is int else {}


def _judge_captured(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str:
    unmoved = all(
        pointer["ours"] or pointer["put_back"] or pointer["now"] == pointer["captured"] for pointer in seen.values()
    )
    return "unmoved" if unmoved else "moved"


def staged_end(world: World, run: Run) -> Any:
    """Return when the validated run ended, by its own staged pointer."""
    terms = terms_of(run.inputs)
    layout = terms.staged(run.id)
    for pointer in read(world.store, layout.global_pointers(), _form(run)).values():
        if pointer and pointer.get("run_id") == terms.new_run:
            return pointer.get("ended_at")
    raise ActionFailed("the validated run has no staged pointer with its end", fault="store")


def is_older(ended_at: Any, canonical: Any) -> bool:
    """Whether a run is not proven to be as new as the canonical one; False if there is no canonical one."""
    if not canonical:
        return False
    ours, theirs = _moment(ended_at), _moment(canonical)
    return ours is None or theirs is None or ours < theirs


def is_newer(ended_at: Any, canonical: Any) -> bool | None:
    """Whether a run ended after the canonical one; True if there is none, None if a time can't be read."""
    if not canonical:
        return True
    ours, theirs = _moment(ended_at), _moment(canonical)
    return None if ours is None or theirs is None else ours > theirs


def _moment(text: Any) -> datetime | None:
    """Return the moment of an end, None for an invalid one; a time without an offset is UTC."""
    return claims.moment(text) or (claims.moment(f"{text}+00:00") if isinstance(text, str) else None)


def _observe_succession(world: World, run: Run) -> dict[str, Any]:
    """Observe when the validated run ended, and when the run of the deciding pointer did."""
    terms = terms_of(run.inputs)
    pointers = read(world.store, terms.layout.global_pointers(), _form(run))
    canonical = next((pointer for pointer in pointers.values() if pointer), {})
    return {
        "validated": {"run_id": terms.new_run, "ended_at": staged_end(world, run)},
        "canonical": {name: canonical.get(name) for name in ("run_id", "ended_at")},
    }


def _judge_succession(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    if not is_older(seen["validated"]["ended_at"], seen["canonical"]["ended_at"]):
        return "newer"
    return "older_allowed" if terms_of(inputs).allow_older else "older"


def _move(world: World, run: Run, keys: Iterable[str]) -> dict[str, Any]:
    ended_at, moved = staged_end(world, run), []
    for key in keys:
        run.check()
        if _move_one(world, run, key, ended_at):
            moved.append(key)
            run.note(f"moved {key} to {terms_of(run.inputs).new_run}")
    return {"moved": moved, "ended_at": ended_at}


def _move_one(world: World, run: Run, key: str, ended_at: Any) -> bool:
    terms = terms_of(run.inputs)
    blob = get(world.store, key)
    new_id = terms.new_run
    if blob is None:
        raise Conflict(f"the pointer {key} was deleted since it was captured")
    old = fields(blob.body, key, _form(run))
    if old.get("run_id") == new_id:
        return False
    _refuse_strangers(run, key, blob.body)
    write(world.store, key, rebuilt(old, terms.layout, new_id, ended_at), blob.etag, _ours(run), _form(run))
    return True


def _refuse_strangers(run: Run, key: str, body: bytes) -> None:
    """Raise Conflict unless a pointer's content is as captured, and it was not written under a newer lease."""
    form, captured = _form(run), _captured(run).get(key)
    mark = _mark(body, key, form)
    if mark.get("run") == run.id and mark.get("epoch", 0) > run.epoch:
        raise Conflict(f"this run continues elsewhere: the pointer {key} was written under a newer lease")
    if captured is None or _content(body, key, form) != captured["content"]:
        raise Conflict(
            f"the pointer {key} was moved by another process since it was captured;"
            f" it names {fields(body, key, form).get('run_id')}",
            hint=_way_past(run),
        )


def _way_past(run: Run) -> str:
    """Return the hint for a pointer that another process moved: before the last switch the run can be aborted."""
    if run.trigger != "switch_global_pointer":
        return f"find out who moved it, then `drfsm abort {run.id} --reason …`; or restore it and `drfsm resume`"
    return (
        f"find out who moved it, then {_set_by_hand(run, terms_of(run.inputs).new_run)}, then `drfsm resume {run.id}`"
    )


def rebuilt(old: Pointer, layout: Layout, run_id: str, ended_at: Any) -> Pointer:
    """Return a pointer that names another run; the workload's other fields stay as they are."""
    return {
        **old,
        "run_id": run_id,
        "run_path": layout.run(run_id),
        "ended_at": ended_at,
        "provider_profiles": dict.fromkeys(old.get("provider_profiles") or {}, run_id),
    }


def _ours(run: Run) -> dict[str, Any]:
    return {"run": run.id, "epoch": run.epoch}


def write(
    store: ObjectStore, key: str, pointer: Pointer, etag: str | None, ours: Mapping[str, Any], form: Pointers
) -> None:
    """Write a pointer on an ETag (None: if there is none), and read it again: some stores ignore conditions.

    Raises Conflict if another process wrote it.
    """
    marked = {**form.outward(pointer), MARK: {**ours, "nonce": uuid4().hex}}
    body = (json.dumps(marked, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
    store.put(key, body, if_match=etag, if_absent=etag is None)
    again = get(store, key)
    if again is None or again.body != body:
        raise Conflict(f"the pointer {key} differs from what was just written: another process writes it, too")


def _restore_provider(world: World, run: Run) -> dict[str, Any]:
    """Restore every pointer that can be restored; then fail for the others, so that a waiver covers only those.

    A pointer that was never moved is written again, too: a process whose lease was taken over in the middle of moving
    it has its old ETag, and must lose.
    """
    restored, faults, form = [], [], _form(run)
    for key, image in run.undoing["provider_pointers"].items():
        run.check()
        blob = None if isinstance(shown(world.store, key, form), str) else get(world.store, key)
        mark, same = (_mark(blob.body, key, form), fields(blob.body, key, form) == image) if blob else ({}, False)
        if same and (mark.get("run"), mark.get("epoch")) == (run.id, run.epoch):
            continue
        moved = bool(blob and mark.get("run") == run.id and _is_move_of(image, fields(blob.body, key, form), run))
        if blob is None or image is None or not (same or moved):
            faults.append(key)
            continue
        write(world.store, key, dict(image), blob.etag, _ours(run), form)
        restored.append(key)
        run.note(f"restored {key} to {image.get('run_id')}")
    if faults:
        raise Conflict(
            f"these pointers were changed by another process, so they are not overwritten: {', '.join(faults)}",
            hint="check them, then `drfsm request waive_undo --reason ...`",
        )
    return {"restored": restored}


def _is_move_of(image: Pointer | None, pointer: Pointer, run: Run) -> bool:
    """Return whether a pointer is what this run makes of its snapshot."""
    terms = terms_of(run.inputs)
    return image is not None and pointer == rebuilt(image, terms.layout, terms.new_run, pointer.get("ended_at"))


def _touch(world: World, run: Run) -> dict[str, Any]:
    """Write the pointers of the set again, each with its own content; one that somebody else moved is left alone.

    Raises Conflict where another process writes them, too.
    """
    images, form = run.undoing.get("provider_pointers"), _form(run)
    provider_keys, global_keys = ((), ()) if images else keys_of(world, run)
    done = []
    for key in images or (*provider_keys, *global_keys):
        run.check()
        if _touch_one(world.store, key, images[key] if images else None, run, form):
            done.append(key)
    return {"touched": done}


def _touch_one(store: ObjectStore, key: str, image: Pointer | None, run: Run, form: Pointers) -> bool:
    for _ in range(TRIES):
        blob = None if isinstance(shown(store, key, form), str) else get(store, key)
        if blob is None or (image is not None and fields(blob.body, key, form) != image):
            return False  # it has another ETag than the late write was sent for
        try:
            write(store, key, fields(blob.body, key, form), blob.etag, _ours(run), form)
        except Conflict:
            continue
        return True
    raise Conflict(f"the pointer {key} is changed by another process again and again")


def _touch_all(world: World, run: Run) -> dict[str, Any]:
    """Touch the ownership object and the pointers."""
    return {"touched": [*ownership.touch(world, run)["touched"], *_touch(world, run)["touched"]]}


def set_by_hand(
    store: ObjectStore,
    layout: Layout,
    run_id: str,
    pair: tuple[str, str],
    ours: Mapping[str, Any],
    check: Callable[[], None],
    *,
    allow_older: bool = False,
    ended_at: str = "",
) -> list[str]:
    """Make a run canonical outside any procedure; return the keys of the moved pointers.

    The run must be complete at its canonical place. The run's own pointer is the template (a killed job left at
    least one), else the run's report. Raises ActionFailed for a run that may not become canonical, Conflict if
    another process moves pointers at the same time. ``check`` is called before every write and raises if writing
    is no longer permitted.
    """
    from drfsm.dr.artifacts import verify

    verification = verify(store, layout, run_id, pairs=[pair], note=lambda *_, **__: None, check=check)
    if verification.record["verdict"] != "verified":
        raise ActionFailed(
            f"the run {run_id} is {verification.record['verdict']}",
            fault="store",
            hint=f"drfsm runs verify {quote(run_id)}",
        )
    standing, spoiled = _by_hand(store, layout, layout.global_pointers())
    canonical = next((pointer for pointer in standing.values() if pointer), {})
    pattern = _pattern(store, layout, run_id, pair, canonical, ended_at)
    _refuse_older(run_id, pattern["ended_at"], canonical, spoiled, allow_older=allow_older)
    moved, form = [], layout.workload.pointers
    for key in (*layout.provider_pointers(pairs_of(pattern) or [pair]), *layout.global_pointers()):
        check()
        there, pointer = (
            store.stat(key),
            shown(store, key, form),
        )  # in this order: the ETag is never newer than the content that was read
        old = pointer if isinstance(pointer, dict) else {}
        if old.get("run_id") != run_id:
            write(store, key, {**old, **pattern}, there.etag if there else None, ours, form)
            moved.append(key)
    return moved


def _by_hand(store: ObjectStore, layout: Layout, keys: Iterable[str]) -> tuple[dict[str, Pointer], list[str]]:
    """Return (the readable pointers, the keys of the unreadable ones, which are replaced anyway)."""
    everything = {key: shown(store, key, layout.workload.pointers) for key in keys}
    standing = {key: pointer for key, pointer in everything.items() if isinstance(pointer, dict)}
    return standing, [key for key, pointer in everything.items() if isinstance(pointer, str)]


def _refuse_older(run_id: str, ended_at: Any, canonical: Pointer, spoiled: Iterable[str], *, allow_older: bool) -> None:
    """Raise ActionFailed if a run is older than the canonical one, or may be."""
    if allow_older:
        return
    hint = "to replace it by an older run, give --allow-older"
    if is_older(ended_at, canonical.get("ended_at")):
        raise ActionFailed(
            f"the run {run_id} ended at {ended_at}, before the canonical run {canonical.get('run_id')}",
            fault="operator",
            hint=hint,
        )
    if not canonical and (keys := ", ".join(spoiled)):
        raise ActionFailed(
            f"no global pointer can be read ({keys}): the run {run_id} may be older than the canonical one",
            fault="store",
            hint=hint,
        )


def _pattern(
    store: ObjectStore, layout: Layout, run_id: str, pair: tuple[str, str], canonical: Pointer, ended_at: str
) -> Pointer:
    """Return the fields of a run's pointers. ``ended_at``: a person's word for it, where neither pointer nor report is.

    Raises ActionFailed if the run's end is unknown.
    """
    standing = _by_hand(store, layout, layout.global_pointers())[0]
    everywhere = layout.provider_pointers(named_pairs(standing.values(), pair))
    for pointer in _by_hand(store, layout, (*layout.global_pointers(), *everywhere))[0].values():
        if pointer.get("run_id") == run_id:
            return {**pointer, "run_path": layout.run(run_id)}
    ended_at = _reported_end(store, layout, run_id) or ended_at
    if not ended_at:
        raise ActionFailed(
            f"the end of the run {run_id} is unknown: it has neither a pointer nor a report",
            fault="store",
            hint="add --ended-at TIME, as the workload's own log says it; or let the workload publish the run again",
        )
    return rebuilt(
        canonical or {"schema_version": 1, "provider_profiles": {":".join(pair): run_id}}, layout, run_id, ended_at
    )


def _reported_end(store: ObjectStore, layout: Layout, run_id: str) -> str:
    """Return when a run ended, by its own report; "" without one. Raises Unreadable for an invalid time."""
    form = layout.workload.report
    if form is None:
        return ""
    key = f"{layout.run(run_id)}/{form.key}"
    blob = store.get(key, largest_bytes=LARGEST_REPORT_BYTES)
    report = claims.object_of(blob.body, f"the report {key}", largest_bytes=LARGEST_REPORT_BYTES) if blob else {}
    ended_at = said_at(report, form.ended_at)
    if ended_at is not None and _moment(ended_at) is None:
        raise Unreadable(f"the end in the report {key} is not a time: {claims.bounded(ended_at, 100)}")
    return str(ended_at or "")


def _move_global(world: World, run: Run) -> dict[str, Any]:
    """Hand the ownership over, then move the global pointers; change nothing where somebody moved one of these."""
    keys = keys_of(world, run)[1]
    for key in keys:
        blob = get(world.store, key)
        if blob is not None and fields(blob.body, key, _form(run)).get("run_id") != terms_of(run.inputs).new_run:
            _refuse_strangers(run, key, blob.body)
    hand_over(world, run)
    return _move(world, run, keys)


def _observe_global(world: World, run: Run) -> dict[str, Pointer | None]:
    return read(world.store, terms_of(run.inputs).layout.global_pointers(), _form(run))


def _observe_provider(world: World, run: Run) -> dict[str, Pointer | None]:
    return read(world.store, keys_of(world, run)[0], _form(run))


FACTS = {
    "provider_pointers": Fact(_observe_provider, judge),
    "global_pointer": Fact(_observe_global, judge),
    "pointer_set": Fact(_observe_set, _judge_set),
    "canonical_run": Fact(_observe_set, _judge_canonical),
    "captured": Fact(_observe_captured, _judge_captured),
}
PROMOTE = {
    "pointers_present": Fact(_observe_present, lambda seen, _inputs: "some_missing" if seen["missing"] else "all"),
    "succession": Fact(_observe_succession, _judge_succession),
}
LATE = {
    "complete_pointer_set": Late(_touch, settles="a pointer that is missing is created where none is"),
    "move_provider_pointers": Late(_touch),
    "restore_provider_pointers": Late(_touch),
    "move_global_pointer": Late(_touch_all),
}
ACTIONS = {
    "complete_pointer_set": _complete,
    "capture_pointers": _capture,
    "move_provider_pointers": lambda world, run: _move(world, run, keys_of(world, run)[0]),
    "restore_provider_pointers": _restore_provider,
    "move_global_pointer": _move_global,
}
