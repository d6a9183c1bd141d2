"""What Kubernetes will do when a schedule is switched on: what starts at once, and when the next run is due.

The rule (batch/v1): of the starts missed since the last one, or since the CronJob was made, the most recent
is started at once, unless ``startingDeadlineSeconds`` has passed since it was due. Pure; time is handed in.
Called by schedules.py, so that nobody is surprised by a Job that starts in the second of the thaw.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


def thaw(cronjob: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return {"starts_at_once": due time or None, "next": due time} in UTC, or {"unreadable": why}."""
    from cronsim import CronSim, CronSimError

    spec = cronjob["spec"]
    expression = MACROS.get(spec["schedule"], spec["schedule"].replace("?", "*"))
    try:
        here = now.astimezone(ZoneInfo(spec.get("timeZone") or "UTC"))
        following = next(CronSim(expression, here))
        last = next(CronSim(expression, here + timedelta(minutes=1), reverse=True))
    except (CronSimError, StopIteration, ZoneInfoNotFoundError, ValueError) as fault:
        return {"unreadable": f"schedule {spec['schedule']!r}, time zone {spec.get('timeZone')!r}: {fault}"}
    missed = last <= here and _since(cronjob, now) < last
    return {"starts_at_once": _utc(last) if missed else None, "next": _utc(following)}


def _since(cronjob: Mapping[str, Any], now: datetime) -> datetime:
    """Return the moment after which a missed start still counts."""
    spec, status = cronjob["spec"], cronjob.get("status") or {}
    known = status.get("lastScheduleTime") or cronjob["metadata"].get("creationTimestamp")
    since = datetime.fromisoformat(known) if known else now
    deadline = spec.get("startingDeadlineSeconds")
    return since if deadline is None else max(since, now - timedelta(seconds=deadline))


def words(name: str, forecast: Mapping[str, Any]) -> str:
    """Say a forecast to an operator."""
    if "unreadable" in forecast:
        return f"CronJob {name}: when it runs next can't be told ({forecast['unreadable']})"
    if forecast["starts_at_once"]:
        return f"CronJob {name} starts at once: the run due at {forecast['starts_at_once']} was missed"
    return f"CronJob {name} is due next at {forecast['next']}; nothing starts at once"


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
