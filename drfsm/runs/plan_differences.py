"""How what would be done now differs from a plan, in words: why `--plan FILE` refuses.

Compared are the declaration, the inputs, every fact with what it is about, and all that a reader is shown of the rows,
the findings and the way back: whoever approves a plan reads these words, so they must be drfsm's own. Not compared is
what comes and goes by itself, which the run waits for or tells anyway (``COMES_AND_GOES``), and what only informs:
times, missed runs, the lease, which the start itself asks for. Pure. Used by cli/plan_option.py.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from drfsm.claims import bounded

Json = Mapping[str, Any]
COMES_AND_GOES = frozenset({"primary_inflight", "dr_inflight", "primary_backlog", "dr_backlog", "alarm_state"})
"""Facts about Jobs and alarms. One that would stop the run is a finding, whatever the plan says."""
_INFORMS = frozenset({
    "made_at", "made_by", "options", "lease", "durations", "missed_runs",  # asked anew, or only told
    "outcome", "unread",  # a start asks for these anew, and refuses by them
    "policy",  # cli/approved_start.py holds it against the policy of today
    "sha256", "schema_version", "version", "run_id", "procedure",  # of the document, checked where it is read
    "machine_sha256", "inputs", "withheld",  # ``differing_terms``
    "facts", "rows",  # below
})  # fmt: skip
"""Parts of a plan that are not compared as they stand; every other one is."""
_OF_A_ROW = frozenset({"seconds", "already", "changes", "guards", "row", "number"})  # times, or compared below
_OF_A_GUARD = frozenset({"why", "outcome", "value"})  # what was seen, in words; and what a fact says, compared below
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
    for name in sorted((planned.keys() | now.keys()) - _INFORMS - {"findings"}):
        if planned.get(name) != now.get(name):
            yield f"{name}: planned {_words(planned.get(name))}, now {_words(now.get(name))}"
    yield from _findings(planned.get("findings", ()), now.get("findings", ()))


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
        yield from _of_a_row(old, new)


def _of_a_row(planned: Json, now: Json) -> Iterator[str]:
    """Yield how the words of a row differ, and its guards: all that is printed of it but times."""
    for name in sorted((planned.keys() | now.keys()) - _OF_A_ROW):
        if planned.get(name) != now.get(name):
            was, is_now = _words(planned.get(name)), _words(now.get(name))
            yield f"{bounded(now['row'])}, {name}: planned {was}, now {is_now}"
    before, after = ({_check(each): each for each in row.get("guards", ())} for row in (planned, now))
    for key in dict.fromkeys((*before, *after)):
        was, is_now = (_outcome(checks.get(key)) for checks in (before, after))
        if was != is_now and (key not in before or key not in after or "known later" not in (was, is_now)):
            yield f"{bounded(now['row'])}, guard {bounded(key[0], _LONGEST)}: planned {was}, now {is_now}"


def _check(guard: Json) -> tuple[str, str]:
    """Return what names a check, and all its words that do not depend on what was read."""
    return str(guard["guard"]), str(sorted((name, guard[name]) for name in guard.keys() - _OF_A_GUARD))


def _outcome(guard: Json | None) -> str:
    """Return what a check said. A fact that comes and goes may say another thing at any time."""
    if guard is None:
        return "another one, or none"
    if guard["outcome"] == "later":
        return "known later"
    if guard["fact"] in COMES_AND_GOES:
        return "it comes and goes"
    return f"{bounded(str(guard['outcome']))} ({bounded(_value(guard))})"


def _findings(planned: Sequence[Json], now: Sequence[Json]) -> Iterator[str]:
    """Yield each finding that only one of the two has. What was seen, in words, may differ."""
    before, after = ({_finding(each): each for each in findings} for findings in (planned, now))
    for key, finding in {**before, **after}.items():
        if (key in before) != (key in after) and finding["fact"] not in COMES_AND_GOES:
            words = bounded(f"{finding['row']}: {finding['fact']} is {_value(finding)}: {finding['because']}", _LONGEST)
            yield f"finding {'planned, not now' if key in before else 'now, not planned'}: {words}"


def _finding(finding: Json) -> str:
    return str(sorted((name, finding[name]) for name in finding.keys() - {"why", "value"})) + _value(finding)


def _words(value: object) -> str:
    """Return a part of a plan in words: a list one by one, of an object its words."""
    if isinstance(value, Mapping):
        return bounded(
            str(next((value[name] for name in ("words", "none", "unknown") if value.get(name)), value)), _LONGEST
        )
    if isinstance(value, list | tuple):
        return bounded("; ".join(map(str, value)) or "nothing", _LONGEST)
    return _shown(value)


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
