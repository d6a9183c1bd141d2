"""What Kubernetes does when a schedule is resumed: which run starts at once, and when the next one is due.

``drfsm.cron`` knows Kubernetes' rules of times; this module adds what keeps a start back: a Job that still runs where
``concurrencyPolicy`` forbids a second, and deadlines so short that no start ever meets them. Pure; time is handed in.
Called by schedules.py and preflight.py, so that a Job that starts at once is no surprise.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from drfsm import cron
from drfsm.claims import moment


def thaw(cronjob: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return {"starts_at_once": due time or None, "next": due time}, in UTC.

    With "waits_for" or "replaces" (names) where Jobs of the CronJob still run and its ``concurrencyPolicy`` matters.
    {"unreadable": why} where nobody can say, {"never": why} where Kubernetes starts nothing.
    """
    spec = cronjob["spec"]
    try:
        schedule = cron.parse(str(spec["schedule"]), spec.get("timeZone") or "")
        history = _history(cronjob, now)
        if history is None:
            return {"unreadable": "its lastScheduleTime is not a time"}
        if never := _never(schedule, history.deadline_seconds):
            return {"never": never}
        due = cron.due(schedule, history, now)
    except cron.NeverDue:
        return {"never": f"its schedule {spec['schedule']!r} names no time that comes"}
    except (cron.BadSchedule, OverflowError) as fault:
        return {"unreadable": f"schedule {spec['schedule']!r}, time zone {spec.get('timeZone')!r}: {fault}"}
    following = due.following and _text(due.following)
    return {"starts_at_once": due.start and _text(due.start), "next": following, **_concurrency(cronjob, due)}


def _history(cronjob: Mapping[str, Any], now: datetime) -> cron.History | None:
    """Return what a CronJob's schedule is counted from; None if its last start is not a time."""
    last = (cronjob.get("status") or {}).get("lastScheduleTime")
    created = cronjob["metadata"].get("creationTimestamp")
    since = moment(last or created) if last or created else now
    deadline_seconds = cronjob["spec"].get("startingDeadlineSeconds")
    return None if since is None else cron.History(since, deadline_seconds=deadline_seconds)


def _never(schedule: cron.Schedule, deadline_seconds: int | None) -> str:
    """Return why no start is ever in time, "" if one may be.

    The controller counts starts that are later than ``startingDeadlineSeconds`` ago; ``@every`` counts from there.
    """
    needed = schedule.seconds if isinstance(schedule, cron.Every) else 1
    if deadline_seconds is None or deadline_seconds >= needed:
        return ""
    return f"startingDeadlineSeconds {deadline_seconds} lets no start be in time; {needed} would be the least"


def _concurrency(cronjob: Mapping[str, Any], due: cron.Due) -> dict[str, list[str]]:
    """Return the Jobs that a missed start waits for, or ends."""
    running = sorted(str(job.get("name")) for job in (cronjob.get("status") or {}).get("active") or ())
    word = {"Forbid": "waits_for", "Replace": "replaces"}.get(cronjob["spec"].get("concurrencyPolicy") or "Allow")
    return {word: running} if word and running and due.start else {}


def words(name: str, forecast: Mapping[str, Any]) -> str:
    """Return a forecast in words."""
    if "unreadable" in forecast:
        return f"CronJob {name}: its next run is unknown ({forecast['unreadable']})"
    if "never" in forecast:
        return f"CronJob {name} starts nothing: {forecast['never']}"
    if not forecast["starts_at_once"]:
        return f"CronJob {name} runs next at {forecast['next']}; nothing starts at once"
    missed = f"the run due at {forecast['starts_at_once']} was missed"
    if running := ", ".join(forecast.get("waits_for", ())):
        return f"CronJob {name} starts as soon as Job {running} has ended (concurrencyPolicy Forbid): {missed}"
    if running := ", ".join(forecast.get("replaces", ())):
        return f"CronJob {name} starts at once, and Job {running} is deleted (concurrencyPolicy Replace): {missed}"
    return f"CronJob {name} starts at once: {missed}"


def _text(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
