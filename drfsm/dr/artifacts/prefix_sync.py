"""A prefix copied to another place in the bucket, on the server; equal objects are skipped, nothing is deleted.

Two objects are equal if their sizes and their ETags are, and the ETag is that of an upload in one piece (an
MD5, 32 hex digits). Every other ETag proves neither that they are equal nor that they differ (parts,
encryption), so the bytes of both are read and hashed. An object of that name with other content is replaced,
and counted as such.

Never read, never written: pointers, latest, the current control plane and drfsm's own objects
(layout.protected), seen from the source, from the destination and from every guarded prefix, also below
``candidates/*/`` and below what validations and drills publish beside. A copy that was interrupted is gone
on with by planning again. Used by the failback's machine and by ``drfsm runs sync``.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import frozen

from drfsm.claims import printable
from drfsm.dr.layout import nested, protected
from drfsm.dr.progress import Note, Progress, first_of, quiet
from drfsm.dr.terms import terms_of
from drfsm.dr.workload import Workload
from drfsm.engine import Fact, Late, Run
from drfsm.engine.side_by_side import side_by_side
from drfsm.errors import ActionFailed, Unreadable, UsageFault
from drfsm.world import Check, Copy, ObjectStore, Stat, World

_FEW = 128  # copies: as many as are under way at once; so few are looked at one by one
_PAGES_A_HEAD = 8  # a listing shows a thousand objects in the time of one HEAD, and 128 HEADs are under way at once
_ONE_PIECE = re.compile(r'"[0-9a-f]{32}"')


@frozen
class Plan:
    """What a sync would do. ``replaced`` are those targets of ``copies`` that hold something else now."""

    source: str
    target: str
    copies: tuple[Copy, ...]
    replaced: tuple[str, ...]
    equal: int
    protected: tuple[str, ...]

    @property
    def size_bytes(self) -> int:
        """How much is to be copied."""
        return sum(copy.size_bytes for copy in self.copies)

    @property
    def record(self) -> dict[str, Any]:
        """As the journal carries it."""
        return {
            "source": self.source,
            "target": self.target,
            "objects": self.equal + len(self.copies),
            "equal": self.equal,
            "pending": first_of(copy.target for copy in self.copies),
            "pending_bytes": self.size_bytes,
            "replacing": first_of(self.replaced),
            "protected": first_of(self.protected),
        }


@frozen
class Copied:
    """What a sync did."""

    objects: int
    size_bytes: int
    seconds: float


def is_protected(key: str, homes: Iterable[str], workload: Workload) -> bool:
    """Say whether a key must not be touched, seen from any of these prefixes (which end with a slash)."""
    return _OwnPlaces(homes, workload).hold(key)


class _OwnPlaces:
    """What must not be touched below some prefixes: worked out once for the thousands of keys of a sync."""

    def __init__(self, homes: Iterable[str], workload: Workload) -> None:
        self._homes = tuple(homes)
        places = protected(workload)
        self._objects = frozenset(places)
        self._folders = tuple(place for place in places if place.endswith("/"))
        self._nested = tuple(f"{folder}/" for folder in nested(workload))

    def hold(self, key: str) -> bool:
        """Say whether a key is one of them, seen from any of the prefixes."""
        return any(self._own(key.removeprefix(home)) for home in self._homes if key.startswith(home))

    def _own(self, path: str) -> bool:
        """Say whether a path is a protected one, below any depth of candidates and of runs that publish beside."""
        while True:
            if path in self._objects or path.startswith(self._folders):
                return True
            if not path.startswith(self._nested):
                return False
            folder = next(folder for folder in self._nested if path.startswith(folder))
            _, slash, path = path.removeprefix(folder).partition("/")
            if not slash:
                return False


def prefix_of(store: ObjectStore, text: str, name: str) -> str:
    """Return a prefix, given as such or as an s3:// URI, with a slash at its end. Raises UsageFault."""
    bucket, path = store.bucket, text
    if text.startswith("s3://"):
        bucket, _, path = text.removeprefix("s3://").partition("/")
    if bucket != store.bucket:
        raise UsageFault(f"{name} lies in the bucket {bucket}; a sync copies within one, here {store.bucket}")
    home = path.strip("/")
    if not home or any(segment in ("", ".", "..") for segment in home.split("/")):
        raise UsageFault(f"{name} {text!r} is no prefix: give a folder of the bucket, like <prefix>/runs")
    return f"{home}/"


def plan(
    store: ObjectStore,
    source: str,
    target: str,
    workload: Workload,
    *,
    guarded: Iterable[str] = (),
    check: Check | None = None,
) -> Plan:
    """Look at both sides and say what is to be copied. Changes nothing.

    ``guarded``: prefixes of workloads whose pointers must not be touched. Raises UsageFault where a copy
    would fall into what is being copied.
    """
    here, there = prefix_of(store, source, "the source"), prefix_of(store, target, "the destination")
    if there.startswith(here):
        raise UsageFault(f"the destination {there} lies in the source {here}: each copy would be copied again")
    homes = (here, there, *(f"{entry.strip('/')}/".removeprefix("/") for entry in guarded))
    own = _OwnPlaces(homes, workload)
    wanted: dict[str, Stat] = {}
    left_out: list[str] = []
    source_listing, present_listing = _both_listed(store, here, there)
    for entry in source_listing:
        landing = there + entry.key.removeprefix(here)
        if landing == there:
            continue  # the marker of the folder itself
        if own.hold(entry.key) or own.hold(landing):
            left_out.append(entry.key)
        elif landing.startswith(here):
            raise UsageFault(f"{entry.key} would be copied into the source {here} itself, to {landing}")
        else:
            wanted[landing] = entry
    present = {entry.key: entry for entry in present_listing if entry.key in wanted}
    equal = set(_equal(store, wanted, present, check))
    copies = tuple(Copy(entry.key, key, entry.size_bytes) for key, entry in wanted.items() if key not in equal)
    replaced = tuple(copy.target for copy in copies if copy.target in present)
    return Plan(here, there, copies, replaced, len(equal), tuple(left_out))


def _both_listed(store: ObjectStore, here: str, there: str) -> tuple[list[Stat], list[Stat]]:
    """List both sides side by side: a listing waits for each of its pages."""
    source, target = side_by_side([lambda: list(store.list(here)), lambda: list(store.list(there))], 2)
    return source, target


def _equal(
    store: ObjectStore, wanted: Mapping[str, Stat], present: Mapping[str, Stat], check: Check | None
) -> Iterator[str]:
    """Yield the targets that hold what they ought to hold already."""
    doubtful = []
    for key, there in present.items():
        here = wanted[key]
        if here.size_bytes != there.size_bytes:
            continue
        if here.etag == there.etag and _ONE_PIECE.fullmatch(here.etag):
            yield key
        else:
            doubtful.append(key)
    asked = [*doubtful, *(wanted[key].key for key in doubtful)]
    read = {each.key: (each.size_bytes, each.sha256) for each in store.hash_many(asked, check=check)}
    yield from (key for key in doubtful if read[key][1] is not None and read[key] == read[wanted[key].key])


def execute(store: ObjectStore, planned: Plan, *, note: Note = quiet, check: Check | None = None) -> Copied:
    """Copy what was planned. Raises ActionFailed, Unreachable, or what ``check`` raises; plan again to go on."""
    progress = Progress(note, "copied", len(planned.copies), planned.size_bytes)
    listed = len(planned.copies) > max(_FEW, planned.equal // _PAGES_A_HEAD)
    for copied in store.copy_many(planned.copies, check=check, verify=not listed):
        progress.add(copied.size_bytes)
    if listed:
        _verify(store, planned)
    return Copied(len(planned.copies), planned.size_bytes, progress.end())


def _verify(store: ObjectStore, planned: Plan) -> None:
    """Hold a listing of the target against what was copied. Raises Unreadable for a copy that is not there.

    What the listing does not show, or with another size, is asked for by itself: a listing may be older than a copy.
    """
    sizes = {entry.key: entry.size_bytes for entry in store.list(planned.target)}
    for copy in planned.copies:
        if sizes.get(copy.target) == copy.size_bytes:
            continue
        stat = store.stat(copy.target)
        if stat is None or stat.size_bytes != copy.size_bytes:
            state = (
                f"the copy has {stat.size_bytes} bytes, not {copy.size_bytes}" if stat else "the copy does not exist"
            )
            what = f"copying s3://{store.bucket}/{copy.source} to s3://{store.bucket}/{copy.target}"
            raise Unreadable(f"{printable(what)}: the store reported success, but {state}", hint="drfsm resume")


def _planned(world: World, run: Run) -> Plan:
    terms = terms_of(run.inputs)
    return plan(
        world.store,
        terms.sync_src_prefix,
        terms.sync_dst_prefix,
        terms.workload,
        guarded=[terms.prefix],
        check=run.check,
    )


def _judge(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str:
    return "done" if seen["objects"] and not seen["pending"]["total"] else "pending"


def _sync(world: World, run: Run) -> dict[str, Any]:
    planned = _planned(world, run)
    if not planned.equal and not planned.copies:
        left = f"; {len(planned.protected)} protected objects are never copied" if planned.protected else ""
        raise ActionFailed(
            f"nothing to copy lies below s3://{world.store.bucket}/{planned.source}{left}",
            hint="look at the prefix with `drfsm runs list`; a run's inputs can't change: abort, and start again",
            fault="operator",
        )
    copied = execute(world.store, planned, note=run.note, check=run.check)
    return {
        "copied": copied.objects,
        "copied_bytes": copied.size_bytes,
        "equal": planned.equal,
        "replaced": first_of(planned.replaced),
        "protected": len(planned.protected),
        "seconds": copied.seconds,
    }


FACTS = {"sync": Fact(lambda world, run: _planned(world, run).record, _judge)}
LATE = {"sync_prefix": Late(settles="a copy within the bucket has no condition")}
ACTIONS = {"sync_prefix": _sync}
