"""Is what is published fresh, and is it correct: five checks of what a consumer would read, and a verdict.

    pointers     every pointer of the set is there and can be read
    agreement    all of them name one run, at the place where that run lies
    freshness    that run ended within the limit
    marker       ``latest`` has the marker of every pair
    run          what the pointers name is whole: its required files, and every file by reading it

``healthy``: all hold. ``incorrect``: one of pointers, agreement, marker and run does not. ``stale``: only freshness
does not. ``unknown``: nothing was found wrong, and something could not be read: that says nothing of the publication.
So is a place where nothing at all lies, not even an object of drfsm's, and a pair that no published pointer names: a
command that names the wrong place sees the same. Where anything lies below the prefix, what is missing is missing.
A run that works on the prefix (the lease) and the owner of the pointers are told beside, and change no verdict.

The workload writes in an order (run, latest, global pointer, provider pointers), so while a Job publishes, the set
looks torn for a moment: ``look`` looks again before it is believed. An unchanged run of the workload publishes nothing:
the limit must be longer than the input may stay the same.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import frozen

from drfsm import claims
from drfsm.dr.artifacts import verification
from drfsm.dr.layout import Layout, pairs_of
from drfsm.dr.pointers import named_pairs, ownership, shown
from drfsm.errors import ActionFailed, Unreachable, Unreadable
from drfsm.world import ObjectStore

DEFAULT_LIMIT_HOURS = 6.0
HOUR, MINUTE = 3600.0, 60.0
AHEAD_SECONDS = 300.0
"""How far ahead of the store's clock a run may end before a clock must be wrong."""
OK, WRONG, UNKNOWN = "ok", "wrong", "unknown"
CORRECTNESS = ("pointers", "agreement", "marker", "run")
_LEASE_BYTES = 64 << 10
Pair = tuple[str, str]


@frozen
class Check:
    """One check: ``ok``, ``wrong`` or ``unknown``, and what was seen, in words."""

    name: str
    status: str
    words: str


@frozen
class Health:
    """What was seen, judged."""

    checks: tuple[Check, ...]
    run_id: str  # "" where no pointer names one
    ended_at: str  # "" where that isn't known
    age_seconds: float | None
    limit_seconds: float
    pairs: tuple[Pair, ...]
    remarks: tuple[str, ...] = ()
    advice: str = ""  # what to do where it is unknown

    def _status(self, *names: str) -> str:
        statuses = {check.status for check in self.checks if check.name in names}
        return WRONG if WRONG in statuses else UNKNOWN if UNKNOWN in statuses else OK

    @property
    def correctness(self) -> str:
        """Whether what is published is correct: ok, wrong or unknown."""
        return self._status(*CORRECTNESS)

    @property
    def freshness(self) -> str:
        """Whether it is fresh: ok, wrong or unknown."""
        return self._status("freshness")

    @property
    def verdict(self) -> str:
        """Return healthy, stale, incorrect or unknown."""
        if self.correctness == WRONG:
            return "incorrect"
        if self.freshness == WRONG:
            return "stale"
        return "unknown" if UNKNOWN in (self.correctness, self.freshness) else "healthy"

    @property
    def needs_dr(self) -> bool | None:
        """Return whether somebody should think of a promote; None where that isn't known."""
        return {"healthy": False, "unknown": None}.get(self.verdict, True)

    @property
    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "verdict": self.verdict,
            "needs_dr": self.needs_dr,
            "run_id": self.run_id,
            "ended_at": self.ended_at,
            "freshness_hours": None if self.age_seconds is None else round(self.age_seconds / HOUR, 3),
            "limit_hours": self.limit_seconds / HOUR,
            "pairs": [":".join(pair) for pair in self.pairs],
            "checks": {check.name: {"status": check.status, "words": check.words} for check in self.checks},
            "remarks": list(self.remarks),
        }


# --- looked at --------------------------------------------------------------------------------------------------


def observe(store: ObjectStore, layout: Layout, pair: Pair) -> dict[str, Any]:
    """See what a consumer would read. What can't be read stands there as ``{"unread": why}``: it raises nothing.

    The pairs are those that the global pointer names, and ``pair``. Where the store doesn't answer, or nothing lies
    there, nothing else is asked.
    """
    if unseen := _unseen(store, layout):
        return {"unseen": unseen, "pairs": [list(pair)]}
    global_keys, form = layout.global_pointers(), layout.workload.pointers
    pointers = {key: _read(partial(shown, store, key, form)) for key in global_keys}
    pairs = named_pairs(pointers.values(), pair)
    pointers |= {key: _read(partial(shown, store, key, form)) for key in layout.provider_pointers(pairs)}
    own = layout.provider_pointers([pair])
    unnamed = len(pairs) > 1 and not _names(pointers, pair) and all(pointers[key] is None for key in own)
    if unnamed:
        pairs = [other for other in pairs if other != pair]
        pointers = {key: pointer for key, pointer in pointers.items() if key not in own}
    decides = next((key for key in global_keys if _is_pointer(pointers[key])), global_keys[0])
    deciding = pointers[decides]
    run_id = str(deciding["run_id"]) if _is_pointer(deciding) else ""
    return {
        "now": now.isoformat() if (now := store.now()) else None,
        "decides": decides,
        "written_at": _read(partial(_modified, store, decides)),
        "homes": [key.rpartition("/")[0] for key in global_keys],
        "pointers": pointers,
        "run_path": layout.run(run_id) if run_id else None,
        "pairs": [list(each) for each in pairs],
        "unnamed": ":".join(pair) if unnamed else "",
        "markers": {key: _read(partial(_size, store, key)) for key in _markers(layout, pairs)},
        "run": _read(partial(_verified, store, layout, run_id, pairs)) if run_id else None,
        "lease": _read(partial(_holder, store, layout)),
        "owner": _read(partial(ownership.read, store, layout.own("ownership.json"))),
    }


def _unseen(store: ObjectStore, layout: Layout) -> dict[str, str] | None:
    """Return why there is nothing to look at, and what to do; None where something lies there, or nobody may list."""
    homes = [layout.prefix]
    if not layout.is_default_candidate:
        homes = [layout.base, layout.global_pointers()[0].rpartition("/")[0]]
    try:
        if any(next(iter(store.list(f"{home}/")), None) for home in homes):
            return None
    except Unreadable:
        return None
    except Unreachable as fault:
        return {"why": fault.what, "advice": fault.hint or "check network and credentials, then look again"}
    except ActionFailed as fault:
        if _NO_BUCKET not in fault.what:
            return None
        return {
            "why": f"the bucket {store.bucket} does not exist",
            "advice": "check --bucket, --endpoint-url, and the account of the credentials",
        }
    where = " and ".join(f"s3://{store.bucket}/{home}/" for home in homes)
    return {
        "why": f"nothing at all lies below {where}",
        "advice": "check --bucket, --prefix and --candidate. If they are right, everything there was deleted: a person"
        " decides whether to `drfsm promote`",
    }


_NO_BUCKET = "NoSuchBucket"


def _names(pointers: Mapping[str, Any], pair: Pair) -> bool:
    """Return whether a pointer names a pair."""
    return any(pair in pairs_of(pointer) for pointer in pointers.values() if isinstance(pointer, Mapping))


def _read(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except (Unreachable, ActionFailed) as fault:
        return {"unread": fault.what}


def _is_pointer(pointer: Any) -> bool:
    return isinstance(pointer, Mapping) and "run_id" in pointer


def _markers(layout: Layout, pairs: Sequence[Pair]) -> list[str]:
    return [f"{layout.latest()}/{layout.workload.marker(pair)}" for pair in pairs]


def _modified(store: ObjectStore, key: str) -> str | None:
    stat = store.stat(key)
    return None if stat is None else stat.modified


def _size(store: ObjectStore, key: str) -> int | None:
    stat = store.stat(key)
    return None if stat is None else stat.size_bytes


def _verified(store: ObjectStore, layout: Layout, run_id: str, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Read the whole run, and hold it against the files that it must have."""
    checked = verification.verify(store, layout, run_id, pairs=pairs)
    problems = [f"{problem.path or 'the run'}: {problem.told}" for problem in checked.problems]
    return {"verdict": checked.verdict, "files": len(checked.read), "problems": problems}


def _holder(store: ObjectStore, layout: Layout) -> dict[str, str] | None:
    """Return which run of drfsm's works on the prefix, and since when; None for none."""
    blob = store.get(layout.own("lease.json"), largest_bytes=_LEASE_BYTES)
    lease = {} if blob is None else claims.object_of(blob.body, "the lease")
    if not lease.get("held") or not claims.is_name("drfsm run", lease.get("run_id")):
        return None
    return {"run_id": str(lease["run_id"]), "at": claims.bounded(lease.get("at"), 40)}


def look(
    store: ObjectStore,
    layout: Layout,
    pair: Pair,
    limit_seconds: float,
    *,
    again_seconds: float,
    sleep: Callable[[float], object],
) -> Health:
    """Look and judge; once more after a while where the publication is not correct, or something could not be read."""
    health = judge(observed := observe(store, layout, pair), limit_seconds)
    if again_seconds > 0 and "unseen" not in observed and health.verdict in ("incorrect", "unknown"):
        sleep(again_seconds)
        health = judge(observe(store, layout, pair), limit_seconds)
    return health


# --- judged -----------------------------------------------------------------------------------------------------


def judge(seen: Mapping[str, Any], limit_seconds: float) -> Health:
    """Judge what was seen. Pure."""
    if unseen := seen.get("unseen"):
        return _not_seen(unseen, seen, limit_seconds)
    deciding = seen["pointers"][seen["decides"]]
    ended_at = str(deciding.get("ended_at") or seen["written_at"] or "") if _is_pointer(deciding) else ""
    age_seconds, ahead_seconds = _age(seen["now"], ended_at)
    checks = (
        _pointers(seen),
        _agreement(seen),
        _freshness(deciding, ended_at, age_seconds, ahead_seconds, limit_seconds),
        _marker(seen),
        _run(seen),
    )
    return Health(
        checks=checks,
        run_id=str(deciding["run_id"]) if _is_pointer(deciding) else "",
        ended_at=ended_at,
        age_seconds=age_seconds,
        limit_seconds=limit_seconds,
        pairs=tuple((pair[0], pair[1]) for pair in seen["pairs"]),
        remarks=tuple(_remarks(seen)),
        advice="check --provider and --profile" if seen.get("unnamed") else "",
    )


def _not_seen(unseen: Mapping[str, str], seen: Mapping[str, Any], limit_seconds: float) -> Health:
    """Return the health of what nobody could look at: the reason stands once, in the first check."""
    others = (Check(name, UNKNOWN, "not looked at") for name in ("agreement", "freshness", "marker", "run"))
    return Health(
        checks=(Check("pointers", UNKNOWN, unseen["why"]), *others),
        run_id="",
        ended_at="",
        age_seconds=None,
        limit_seconds=limit_seconds,
        pairs=tuple((pair[0], pair[1]) for pair in seen["pairs"]),
        advice=unseen["advice"],
    )


def _age(now: Any, ended_at: str) -> tuple[float | None, float]:
    """Return how long ago a run ended by the store's clock, and how far ahead of that clock; None where unknown.

    A time without an offset is UTC.
    """
    at, ended = claims.moment(now), claims.moment(ended_at) or claims.moment(f"{ended_at}+00:00")
    if at is None or ended is None:
        return None, 0.0
    ahead_seconds = claims.seconds_between(at, ended)
    return None if ahead_seconds > AHEAD_SECONDS else claims.seconds_between(ended, at), ahead_seconds


def _unread(parts: Mapping[str, Any]) -> list[str]:
    """Return why parts could not be read; a pointer that is there and is none is no such part."""
    reasons = (part["unread"] for part in parts.values() if isinstance(part, Mapping) and "unread" in part)
    return list(dict.fromkeys(reasons))


def _pointers(seen: Mapping[str, Any]) -> Check:
    pointers = seen["pointers"]
    garbled = [pointer for pointer in pointers.values() if isinstance(pointer, str)]
    absent = _absent_homes(seen)
    missing = [key for key, pointer in pointers.items() if pointer is None and _home(seen, key) not in absent]
    if garbled:
        return Check("pointers", WRONG, "; ".join(garbled))
    if unread := _unread(pointers):
        return Check("pointers", UNKNOWN, "; ".join(unread))
    if missing:
        return Check("pointers", WRONG, f"missing: {', '.join(missing)}")
    if unnamed := seen.get("unnamed"):
        named = ", ".join(":".join(pair) for pair in seen["pairs"])
        return Check("pointers", UNKNOWN, f"no pointer names the pair {unnamed}: they name {named}")
    there = [key for key in pointers if _home(seen, key) not in absent]
    return Check("pointers", OK if there else WRONG, f"{len(there) or 'no'} pointers are there")


def _home(seen: Mapping[str, Any], key: str) -> str:
    """Return below which of the pointers' homes a key lies: one may lie in the other."""
    return max((str(home) for home in seen["homes"] if key.startswith(f"{home}/")), key=len)


def _absent_homes(seen: Mapping[str, Any]) -> list[str]:
    """Return the homes without any pointer: readers take either, and versions of the workload write one of two."""
    pointers = seen["pointers"]
    return [
        home
        for home in seen["homes"]
        if all(pointer is None for key, pointer in pointers.items() if _home(seen, key) == home)
    ]


def _agreement(seen: Mapping[str, Any]) -> Check:
    named = {key: pointer for key, pointer in seen["pointers"].items() if _is_pointer(pointer)}
    runs = sorted({str(pointer["run_id"]) for pointer in named.values()})
    if not named or runs == [""]:
        unread = bool(_unread(seen["pointers"]))
        return Check("agreement", UNKNOWN if unread else WRONG, "no pointer names a run")
    if len(runs) > 1:
        told = (f"{key} names {pointer['run_id'] or 'nobody'}" for key, pointer in named.items())
        return Check("agreement", WRONG, "the pointers name different runs: " + "; ".join(told))
    elsewhere = [key for key, pointer in named.items() if pointer.get("run_path") not in (None, seen["run_path"])]
    if elsewhere:
        return Check("agreement", WRONG, f"not at the run's own place ({seen['run_path']}): {', '.join(elsewhere)}")
    return Check("agreement", OK, f"all name {runs[0]}")


def _freshness(
    deciding: Any, ended_at: str, age_seconds: float | None, ahead_seconds: float, limit_seconds: float
) -> Check:
    limit = f"the limit is {_span(limit_seconds)}"
    if not _is_pointer(deciding):
        nothing = deciding is None
        return Check("freshness", WRONG if nothing else UNKNOWN, "nothing is published" if nothing else "not known")
    if ahead_seconds > AHEAD_SECONDS:
        ahead = f"the run ended {_span(ahead_seconds)} ahead of the store's clock: one of the two clocks is wrong"
        return Check("freshness", UNKNOWN, ahead)
    if age_seconds is None:
        return Check("freshness", UNKNOWN, f"when the run ended is not known ({ended_at or 'no pointer says it'})")
    status = OK if age_seconds <= limit_seconds else WRONG
    return Check("freshness", status, f"the run ended {_span(age_seconds)} ago, at {ended_at}; {limit}")


def _marker(seen: Mapping[str, Any]) -> Check:
    markers = seen["markers"]
    if missing := [key for key, size in markers.items() if size is None]:
        return Check("marker", WRONG, f"not there: {', '.join(missing)}")
    if empty := [key for key, size in markers.items() if size == 0]:
        return Check("marker", WRONG, f"empty: {', '.join(empty)}")
    if unread := _unread(markers):
        return Check("marker", UNKNOWN, "; ".join(unread))
    return Check("marker", OK, f"latest has {', '.join(markers)}")


def _run(seen: Mapping[str, Any]) -> Check:
    run = seen["run"]
    if run is None:
        status = UNKNOWN if _unread(seen["pointers"]) else WRONG
        return Check("run", status, "no pointer names a run")
    if unread := _unread({"run": run}):
        return Check("run", UNKNOWN, "; ".join(unread))
    if faults := run["problems"]:
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        return Check("run", WRONG, "; ".join(faults[:_SHOWN]) + more)
    return Check("run", OK, f"{run['files']} files could be read, every required one among them")


_SHOWN = 5


def _remarks(seen: Mapping[str, Any]) -> Iterator[str]:
    lease, owner = seen["lease"], seen["owner"]
    if isinstance(lease, Mapping) and "run_id" in lease:
        yield f"{lease['run_id']} has worked on this prefix since {lease['at']}: schedules may be suspended on purpose"
    if isinstance(owner.get("site"), str):
        yield f"drfsm's ownership object names {owner['site']}"
    absent = _absent_homes(seen)
    if absent and len(absent) < len(seen["homes"]):
        yield f"no pointer lies below {', '.join(absent)}: a version of the workload writes the others alone"


def _span(seconds: float) -> str:
    """Return a time in words: 6.0 h, 12 min, 4 s."""
    if seconds >= HOUR:
        return f"{seconds / HOUR:.1f} h"
    return f"{seconds / MINUTE:.0f} min" if seconds >= MINUTE else f"{seconds:.0f} s"
