"""Schedules are read, and missed starts made up for, as Kubernetes' own code does: compared case by case.

tests/data/cron holds what the originals answer (its README says how it was made). The reader of schedules, the forecast
of a thaw and the emulated cluster, its API and its controller, are held to it.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from drfsm import cron
from drfsm.dr.sites.cron_forecast import thaw, words
from drfsm.sandbox.kubernetes.cronjobs import CronJobs
from drfsm.sandbox.kubernetes.specs import _schedule_faults
from drfsm.sandbox.kubernetes.workqueue import Workqueue

FACTS = Path(__file__).parent / "data" / "cron"
NOW = datetime(2026, 3, 3, 13, 5, 30, tzinfo=UTC)


def facts(name: str) -> Iterator[list[Any]]:
    """Yield the rows of a file of facts."""
    for line in (FACTS / name).read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def at(text: str) -> datetime:
    """Return a time."""
    return datetime.fromisoformat(text)


def stamp(time: datetime | None) -> str | None:
    """Return a time as a manifest has it."""
    return None if time is None else time.isoformat().replace("+00:00", "Z")


def next_starts(schedule: str, zone: str, begin: str, count: int) -> list[str | None] | str:
    """Return the next starts, or the words that refuse the schedule."""
    try:
        parsed = cron.parse(schedule, zone)
    except cron.BadSchedule as fault:
        return str(fault)
    starts: list[str | None] = []
    seconds: int | None = int(at(begin).timestamp())
    while seconds is not None and len(starts) < count:
        seconds = parsed.after(seconds)
        starts.append(stamp(None if seconds is None else datetime.fromtimestamp(seconds, UTC)))
    return starts


def test_every_schedule_is_read_as_the_original_reads_it() -> None:
    """The next starts, over zones and leaps of the clock, and each refusal in the original's words."""
    different = []
    for schedule, zone, begin, expected in facts("next.jsonl"):
        answer = next_starts(schedule, zone, begin, len(expected) if isinstance(expected, list) else 1)
        if answer != expected and not (expected == "panic" and isinstance(answer, str)):
            different.append((schedule, zone, begin, answer, expected))
    assert different == []


def test_the_emulated_api_refuses_what_the_original_refuses() -> None:
    """In its words; and every ``TZ=`` besides, as API servers do for new CronJobs."""
    for schedule, _, _, expected in facts("next.jsonl"):
        refusals = [words for _field, _reason, words in _schedule_faults(schedule)]
        if not schedule:
            assert refusals == ["Required value"]
            continue
        assert any("cannot use TZ or CRON_TZ" in refusal for refusal in refusals) is ("TZ" in schedule), schedule
        library = [refusal for refusal in refusals if "cannot use TZ" not in refusal]
        assert bool(library) is isinstance(expected, str), schedule
        if isinstance(expected, str) and expected != "panic":
            assert library[0].endswith(expected), schedule


class Hands:
    """What the emulated controller needs of its cluster to say what is due."""

    def __init__(self, now: datetime) -> None:
        self._now, self.reasons = now, list[str]()

    def now(self) -> datetime:
        """Return the time."""
        return self._now

    def tell(self, _component: str, _subject: Any, _severity: str, reason: str, _message: str) -> None:
        """Keep an event."""
        self.reasons.append(reason)


def cronjob(schedule: str, **spec: Any) -> dict[str, Any]:
    """Return a CronJob that was made a year ago and ran ``last``."""
    last, created = spec.pop("last", None), spec.pop("created", "2025-03-01T00:00:00Z")
    status = {
        **({"lastScheduleTime": last} if last else {}),
        "active": [{"name": name} for name in spec.pop("active", ())],
    }
    return {"metadata": {"creationTimestamp": created}, "spec": {"schedule": schedule, **spec}, "status": status}


def test_what_is_due_is_what_the_original_starts() -> None:
    """The forecast and the emulated controller name the start that is made up for, and the next, for every fact."""
    different = []
    for fact in facts("due.jsonl"):
        schedule, zone, created, last, deadline_seconds, now, start, missed, following = fact
        spec = {"timeZone": zone} if zone else {}
        spec |= {} if deadline_seconds is None else {"startingDeadlineSeconds": deadline_seconds}
        manifest = cronjob(schedule, created=created, last=last, **spec)
        hands = Hands(at(now))
        due = CronJobs(cast("Workqueue", hands))._due(manifest, manifest["status"])
        thawed = thaw(manifest, at(now))
        if missed is None:  # refused
            fits = due is None and hands.reasons[-1:] == ["InvalidSchedule"] and set(thawed) == {"never"}
        elif due is None:
            fits = False
        else:
            fits = (stamp(due.start), due.many, stamp(due.following)) == (start, missed == "many", following)
            never = start is None and set(thawed) == {"never"}
            fits = fits and (never or thawed == {"starts_at_once": start, "next": following})
        if not fits:
            different.append((fact, due, thawed))
    assert different == []


@pytest.mark.parametrize(
    ("schedule", "deadline_seconds", "never"),
    [
        ("@every 5m", None, False), ("@every 5m", 0, True), ("@every 5m", 299, True), ("@every 5m", 300, False),
        ("0 13 * * *", 0, True), ("0 13 * * *", 1, False), ("0 0 30 2 *", None, True), ("0 0 29 2 *", None, False),
    ],
)  # fmt: skip
def test_a_schedule_that_never_starts_anything_is_called_so(
    schedule: str, deadline_seconds: int | None, never: bool
) -> None:
    """A deadline that no start can meet, a date that no year has: the words promise no next run.

    Proven on the rule of the original: looked at every second of an hour after the last start, nothing is due.
    """
    spec = {} if deadline_seconds is None else {"startingDeadlineSeconds": deadline_seconds}
    thawed = thaw(cronjob(schedule, last="2026-03-03T13:00:00Z", **spec), NOW)
    assert (set(thawed) == {"never"}) is never
    assert ("starts nothing" in words("x", thawed)) is never
    if never and deadline_seconds is not None:
        parsed, last = cron.parse(schedule), NOW - timedelta(hours=1)
        history = cron.History(last, last, deadline_seconds)
        assert all(cron.due(parsed, history, last + timedelta(seconds=s)).start is None for s in range(3600))


def test_a_zone_inside_a_schedule_comes_before_the_field() -> None:
    """Old clusters keep ``TZ=``; the field timeZone is then passed over, but must be a zone; the controller warns."""
    manifest = cronjob("TZ=Asia/Tokyo 0 13 * * *", timeZone="Europe/Berlin", last="2026-03-03T04:00:00Z")
    assert thaw(manifest, NOW) == {"starts_at_once": None, "next": "2026-03-04T04:00:00Z"}
    hands = Hands(NOW)
    assert CronJobs(cast("Workqueue", hands))._due(manifest, manifest["status"]) is not None
    assert hands.reasons == ["UnsupportedSchedule"]
    manifest["spec"]["timeZone"] = "Mars/Olympus"
    assert set(thaw(manifest, NOW)) == {"unreadable"}
    assert CronJobs(cast("Workqueue", hands))._due(manifest, manifest["status"]) is None
    assert hands.reasons[-1] == "UnknownTimeZone"


@pytest.mark.parametrize(
    ("policy", "active", "told"),
    [
        (None, ["a"], "CronJob x starts at once: the run due at 2026-03-03T13:00:00Z was missed"),
        ("Allow", ["a"], "CronJob x starts at once: the run due at 2026-03-03T13:00:00Z was missed"),
        ("Forbid", [], "CronJob x starts at once: the run due at 2026-03-03T13:00:00Z was missed"),
        ("Forbid", ["b", "a"], "CronJob x starts as soon as Job a, b has ended (concurrencyPolicy Forbid)"),
        ("Replace", ["a"], "CronJob x starts at once, and Job a is deleted (concurrencyPolicy Replace)"),
    ],
)
def test_a_job_that_still_runs_counts_by_the_policy(policy: str | None, active: list[str], told: str) -> None:
    """Forbid holds a missed start back until the Job has ended, Replace ends the Job, Allow starts beside it."""
    spec = {"concurrencyPolicy": policy} if policy else {}
    thawed = thaw(cronjob("0 13 * * *", last="2026-03-02T13:00:00Z", active=active, **spec), NOW)
    assert told in words("x", thawed)


def test_a_zone_that_leaves_out_a_day_ends_the_search() -> None:
    """Samoa had no 30 December 2011: the library never returns there; here it is a schedule without a next time."""
    begin = int(at("2011-12-30T08:00:00Z").timestamp())
    assert cron.parse("0 0 * * 0", "Pacific/Apia").after(begin) is None
