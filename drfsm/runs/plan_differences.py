"""How what would be done now differs from a plan, in words: why `--plan FILE` refuses.

Compared are the declaration, the inputs, the rows, what each row would change, and every fact with what it is about.
Not compared is what comes and goes by itself, which the run waits for or tells anyway (``COMES_AND_GOES``), and what
only informs: times, missed runs, the lease, which the start itself asks for. Pure. Used by cli/plan_option.py.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from drfsm.claims import bounded

Json = Mapping[str, Any]
COMES_AND_GOES = frozenset({"primary_inflight", "dr_inflight", "primary_backlog", "dr_backlog", "alarm_state"})
"""Facts about Jobs and alarms. One that would stop the run is a finding, whatever the plan says."""
_NOT_READ: Json = {"value": "not read", "about": {}}
_LONGEST = 300


def differing_terms(planned: Json, now: Json, but: Collection[str] = ()) -> Iterator[str]:
    """Yield, in words, how the declaration and the inputs differ: what is known without reading the world.

    ``but``: inputs that may differ, as each machine, or each start, has its own.
    """
    if planned["machine_sha256"] != now["machine_sha256"]:
        was, is_now = planned["machine_sha256"][:12], now["machine_sha256"][:12]
        yield f"the machine {now['procedure']}: planned with {was}…, drfsm {now['version']} has {is_now}…"
    yield from _inputs(planned, now, but)


def differing_world(planned: Json, now: Json) -> Iterator[str]:
    """Yield, in words, how what was read, and what would be done, differ. Both are whole plans that fit the schema."""
    yield from _facts(planned["facts"], now["facts"])
    yield from _rows(planned["rows"], now["rows"])


def _inputs(planned: Json, now: Json, but: Collection[str]) -> Iterator[str]:
    for name, was, is_now in _apart(planned["inputs"], now["inputs"]):
        if name not in but:
            yield f"input {name}: planned {was}, now {is_now}"
    for name in sorted(planned["withheld"].keys() | now["withheld"].keys()):
        if planned["withheld"].get(name) != now["withheld"].get(name):
            again = "" if name in now["withheld"] else f"; a plan does not hold it: give {_option(name)} again"
            yield f"input {name}: not the planned value{again}"


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _facts(planned: Json, now: Json) -> Iterator[str]:
    names = (planned.keys() | now.keys()) - COMES_AND_GOES
    for name in sorted(names):
        was, is_now = planned.get(name, _NOT_READ), now.get(name, _NOT_READ)
        if _value(was) != _value(is_now):
            yield f"fact {name}: planned {_value(was)}, now {_value(is_now)}"
        for part, before, after in _apart(was["about"], is_now["about"]):
            yield f"fact {name}, {part}: planned {before}, now {after}"


def _value(fact: Json) -> str:
    value = fact["value"]
    return value if isinstance(value, str) else "unknown"


def _rows(planned: Sequence[Json], now: Sequence[Json]) -> Iterator[str]:
    ours, theirs = [row["row"] for row in planned], [row["row"] for row in now]
    if ours != theirs:
        at = next((n for n, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), None)
        number = min(len(ours), len(theirs)) if at is None else at
        was, is_now = (rows[number] if number < len(rows) else "the end" for rows in (ours, theirs))
        yield f"row {number + 1}: planned {bounded(was)}, now {bounded(is_now)}"
        return
    for old, new in zip(planned, now, strict=True):
        before, after = ({_key(each): each for each in row["changes"]} for row in (old, new))
        for key in dict.fromkeys((*before, *after)):
            was, is_now = before.get(key), after.get(key)
            if was != is_now:
                yield f"{new['trigger']}, {bounded(key[1], _LONGEST)}: planned {_change(was)}, now {_change(is_now)}"


def _key(change: Json) -> tuple[str, str, str]:
    """Return what names a change: one object may have several, each of another field."""
    return change["fact"], change["object"], str(change["after"]).partition(":")[0]


def _change(change: Json | None) -> str:
    if change is None:
        return "no change"
    before = change["before"] if isinstance(change["before"], str) else "unknown"
    return f"{bounded(before, _LONGEST)} -> {bounded(change['after'], _LONGEST)}"


def _apart(planned: Json, now: Json) -> Iterator[tuple[str, str, str]]:
    """Yield (name, planned, now) of each value that differs."""
    for name in sorted(planned.keys() | now.keys()):
        was, is_now = planned.get(name), now.get(name)
        if was != is_now:
            yield name, _shown(was), _shown(is_now)


def _shown(value: object) -> str:
    return "nothing" if value in (None, "") else bounded(str(value), _LONGEST)
