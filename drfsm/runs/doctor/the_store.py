"""Is the store ready, and is nothing left over? Conditional writes, backups, publication, lease, runs, machines."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from drfsm.claims import bounded, is_name, moment, seconds_between
from drfsm.errors import ActionFailed, DrfsmError
from drfsm.journal import RunState
from drfsm.runs.doctor.codes import UNKNOWN
from drfsm.runs.doctor.findings import AHEAD_SECONDS, Finding, Look, finding
from drfsm.runs.selection import known_runs

_RUNS = 50
"""How many mirrored runs are read, the newest first."""


def conditions(look: Look) -> Iterator[Finding]:
    """Probe conditional writes with an object of our own, which is deleted again."""
    from drfsm.adapters.s3_lease import probe_compare_and_swap

    if look.read_only:
        words = "conditional writes were not probed: --read-only"
        yield finding("not_read", "the store", words, severity=UNKNOWN, mend="leave --read-only out")
        return
    try:
        probe_compare_and_swap(look.store, look.terms.prefix)
    except ActionFailed as fault:
        if fault.fault != "store":  # the right to write is denied: the conditions are not known
            raise
        yield finding("store_ignores_conditions", look.store.bucket, fault.what, mend=fault.hint)


def backups(look: Look) -> Iterator[Finding]:
    """Hold the newest backup against the recovery point objective."""
    from drfsm.dr.backup import listed

    entries = listed(look.store, look.terms.prefix)
    if not entries:
        yield finding(
            "backup_is_missing", f"s3://{look.store.bucket}/{look.terms.prefix}/backups/", "there is no backup"
        )
        return
    whole = [entry for entry in entries if not entry["damaged"]]
    damaged = [entry for entry in entries if entry["damaged"]]
    if damaged and (not whole or entries[0]["damaged"] or _is_newest(damaged[0]["uri"], whole[0]["uri"])):
        yield finding("backup_is_damaged", damaged[0]["uri"], "; ".join(map(str, damaged[0]["damaged"])))
    if not whole:
        return
    yield from age(look, whole[0])


def age(look: Look, newest: Mapping[str, Any]) -> Iterator[Finding]:
    """Hold a backup's age against the objective. ``newest``: the entry of a whole backup."""
    created, objective = moment(newest["created_at"]), look.terms.recovery_point_objective
    if created is None:
        yield finding("not_read", newest["uri"], "it does not say when it was made", severity=UNKNOWN)
        return
    age = seconds_between(created, look.now)
    if seconds_between(look.now, created) > AHEAD_SECONDS:
        words = f"it says that it was made in the future, on {created:%Y-%m-%d %H:%MZ}: its age is not known"
        yield finding("not_read", newest["uri"], words, severity=UNKNOWN, mend="find out who wrote it; delete it")
        return
    look.numbers["backup_age_seconds"] = age
    if objective and age > float(objective):
        words = f"it is {_hours(age)} old, and the objective is {_hours(float(objective))}"
        yield finding("backup_is_too_old", newest["uri"], words)


def _is_newest(one: str, other: str) -> bool:
    """Whether a backup, whose time can't be read, is named after a later time than another."""
    return one.rpartition("/")[2] > other.rpartition("/")[2]


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h"


def publication(look: Look) -> Iterator[Finding]:
    """Look at what consumers read, as `drfsm health` does."""
    from drfsm.dr import detection

    terms = look.terms
    pair = (terms.provider, terms.profile)
    health = detection.judge(detection.observe(look.store, terms.layout, pair), look.max_age_seconds)
    for check in health.checks:
        if check.status == "ok" or check.words == "not looked at":
            continue
        code, severity = ("not_read", UNKNOWN) if check.status == "unknown" else ("publication_is_wrong", "")
        yield finding(code, f"publication: {check.name}", check.words, severity=severity)


def lease(look: Look) -> Iterator[Finding]:
    """Look who holds the lease, and whether that run is still at work."""
    from drfsm.adapters.lease_holders import AT_WORK, standing_of
    from drfsm.adapters.s3_lease import S3Lease

    current = S3Lease(look.store, look.terms.prefix).current()
    if not current.get("held"):
        return
    holder = str(current.get("run_id"))
    at, operator, host = (bounded(current.get(name), 60) for name in ("at", "operator", "host"))
    who = f"since {at}, by {operator} on {host}"
    if not current.get("keeps_records", True):
        yield finding("lease_is_held", holder, f"a single command holds it {who}")
        return
    standing = standing_of(look.store, look.terms.prefix, holder)
    if standing == AT_WORK:
        yield finding("lease_is_held", holder, f"it holds the lease {who}", mend=_status(holder))
    else:
        yield finding("lease_is_abandoned", holder, f"it holds the lease {who}; by its records: {standing}")


def _status(run_id: str) -> str:
    named = run_id if is_name("drfsm run", run_id) else "RUN"
    return f"drfsm status {named}; then drfsm resume {named}, or drfsm abort {named}"


def open_runs(look: Look) -> Iterator[Finding]:
    """Find the runs that have not ended: of this computer, and mirrored below the prefix."""
    here: set[str] = set()
    for run in known_runs():
        here.add(run.id)
        if run.fault:
            yield finding("not_read", run.id, run.fault, severity=UNKNOWN, mend=f"drfsm status {run.name}")
        elif run.is_open:
            words = f"it is {run.status} in {run.state.state}, on this computer"
            yield finding("run_is_open", run.id, words, mend=_status(run.name))
    yield from _mirrored(look, here)


def _mirrored(look: Look, here: set[str]) -> Iterator[Finding]:
    for run_id in sorted(names_below(look, f"{look.terms.prefix}/drfsm/runs/") - here, key=_by_time)[-_RUNS:]:
        try:
            state = _state_of(look, look.terms.prefix, run_id)
        except DrfsmError as fault:
            yield finding("not_read", run_id, fault.what, severity=UNKNOWN, mend=fault.hint)
            continue
        if state.machine and not state.ended and not state.dry_run:
            where = f"s3://{look.store.bucket}/{look.terms.prefix}/drfsm/runs/{run_id}"
            words = f"it is {bounded(state.status, 40)} in {bounded(state.state, 80)}, by its mirror"
            yield finding("run_is_open", run_id, words, mend=f"drfsm status {where}; it is resumed where it began")


def _state_of(look: Look, prefix: str, run_id: str) -> RunState:
    """Return where a run stands by its mirror. Raises what is wrong with that."""
    from drfsm.runs import mirrors

    return mirrors.state_of(mirrors.mirror_at(look.store, prefix, run_id))


def _by_time(run_id: str) -> str:
    return run_id.partition("-")[2]


def names_below(look: Look, home: str) -> set[str]:
    """Return the names of the runs below a place in the bucket."""
    names = {stat.key.removeprefix(home).partition("/")[0] for stat in look.store.list(home)}
    return {name for name in names if is_name("drfsm run", name)}


def is_at_work(look: Look, run_id: str) -> bool:
    """Whether a drill's mirror says that it has not ended. Records that can't be read explain no machine."""
    with suppress(DrfsmError):
        if is_name("drfsm run", run_id):
            state = _state_of(look, drill_prefix(look, run_id), run_id)
            return bool(state.machine) and not state.ended
    return False


def drill_prefix(look: Look, run_id: str) -> str:
    """Return the prefix below which a drill's journal is mirrored: its own."""
    return f"{look.terms.prefix}/drills/{run_id}"


def fences(look: Look) -> Iterator[Finding]:
    """Look whether a lost primary could be fenced: both roles are named, and exist."""
    roles = {site: str(look.inputs[f"fence_{site}_role"]) for site in ("primary", "dr")}
    if missing := [site for site, role in roles.items() if not role]:
        yield finding("fence_is_not_prepared", "fence", f"no IAM role is named for {' and '.join(missing)}")
