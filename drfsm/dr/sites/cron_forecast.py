"""What Kubernetes does when a schedule is resumed: which run starts at once, and when the next one is due.

The rule (batch/v1): of the starts missed since the last one, or since the CronJob was made, the most recent
is started at once, unless ``startingDeadlineSeconds`` has passed since it was due. Pure; time is handed in.
Called by schedules.py, so that a Job that starts at once is no surprise.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from drfsm.claims import moment

FIELDS = 5
LONGEST_SECONDS = 10 * 365 * 86400  # a deadline above is none
LEAP = timedelta(hours=3)  # no clock leaps back by more
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
    from cronsim import CronSimError

    spec = cronjob["spec"]
    try:
        expression, zone = _expression(str(spec["schedule"])), ZoneInfo(spec.get("timeZone") or "UTC")
        following, last = _nearest(expression, zone, now), _nearest(expression, zone, now, back=True)
    except (CronSimError, ZoneInfoNotFoundError, ValueError, OSError, OverflowError) as fault:
        return {"unreadable": f"schedule {spec['schedule']!r}, time zone {spec.get('timeZone')!r}: {fault}"}
    if following is None:
        return {"unreadable": f"schedule {spec['schedule']!r} has no future time"}
    since = _since(cronjob, now)
    if since is None:
        return {"unreadable": "its lastScheduleTime is not a time"}
    missed = last is not None and since < last
    return {"starts_at_once": _utc(last) if last and missed else None, "next": _utc(following)}


def _expression(schedule: str) -> str:
    """Return a schedule's five fields. Raises ValueError for one that Kubernetes does not accept."""
    expression = MACROS.get(schedule.strip().lower(), schedule).replace("?", "*")
    if len(expression.split()) != FIELDS:
        raise ValueError(f"{FIELDS} fields are expected")
    return expression


def _nearest(expression: str, zone: ZoneInfo, now: datetime, *, back: bool = False) -> datetime | None:
    """Return the first start after ``now``, or the last one that is not after it; None if there is none.

    Schedules are read as Kubernetes reads them, by the wall clock: a time that a clock change skips is no start, one
    that occurs twice is two. (CronSim follows Debian's cron in zones, which corrects both.)
    """
    from cronsim import CronSim

    here = now.astimezone(zone).replace(tzinfo=None)
    instants: list[datetime] = []
    for wall in CronSim(expression, here + (LEAP if back else -LEAP), reverse=back):
        instants += (instant for instant in _instants(wall, zone) if (instant <= now if back else instant > now))
        if instants and (wall < here - LEAP if back else wall > here + LEAP):
            break  # AFTER whatever a leap of the clock may have put out of order
    return (max if back else min)(instants, default=None)


def _instants(wall: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """Yield the moments at which a zone's clock shows a time: one, none in a leap ahead, two in a leap back."""
    moments = {wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    yield from (moment for moment in moments if moment.astimezone(zone).replace(tzinfo=None) == wall)


def _since(cronjob: Mapping[str, Any], now: datetime) -> datetime | None:
    """Return the moment after which a missed start still counts, None if it can't be read."""
    spec, status = cronjob["spec"], cronjob.get("status") or {}
    known = status.get("lastScheduleTime") or cronjob["metadata"].get("creationTimestamp")
    since = moment(known) if known else now
    deadline = spec.get("startingDeadlineSeconds")
    if since is None or deadline is None:
        return since
    return max(since, now - timedelta(seconds=min(deadline, LONGEST_SECONDS)))


def words(name: str, forecast: Mapping[str, Any]) -> str:
    """Return a forecast in words."""
    if "unreadable" in forecast:
        return f"CronJob {name}: its next run is unknown ({forecast['unreadable']})"
    if forecast["starts_at_once"]:
        return f"CronJob {name} starts at once: the run due at {forecast['starts_at_once']} was missed"
    return f"CronJob {name} runs next at {forecast['next']}; nothing starts at once"


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
