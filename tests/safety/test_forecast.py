"""What is said to start when a schedule is switched on is what Kubernetes starts, over zones and leaps of the clock.

tests/test_cron.py compares it with Kubernetes' own answers, case by case; here are the sentences that matter most.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from drfsm.dr.sites.cron_forecast import thaw, words

NOW = datetime(2026, 3, 3, 13, 5, 30, tzinfo=UTC)


def at(text: str) -> datetime:
    """Return a moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def cronjob(schedule: str, **given: Any) -> dict[str, Any]:
    """Return a CronJob that was made a year ago."""
    last = given.pop("last", None)
    return {
        "metadata": {"creationTimestamp": "2025-03-01T00:00:00Z"},
        "spec": {"schedule": schedule, **given},
        "status": {"lastScheduleTime": last} if last else {},
    }


@pytest.mark.parametrize(
    ("deadline_seconds", "last", "at_once"),
    [
        (None, "2026-03-02T13:00:00Z", "2026-03-03T13:00:00Z"),
        (None, "2026-03-03T13:00:00Z", None),
        (None, None, "2026-03-03T13:00:00Z"),
        (600, "2026-02-01T13:00:00Z", "2026-03-03T13:00:00Z"),
        (300, "2026-02-01T13:00:00Z", None),
        (330, "2026-02-01T13:00:00Z", None),
        (331, "2026-02-01T13:00:00Z", "2026-03-03T13:00:00Z"),
    ],
)
def test_a_missed_start_is_made_up_for_within_its_deadline(
    deadline_seconds: int | None, last: str | None, at_once: str | None
) -> None:
    """Of all starts that were missed only the latest is made, and only as long as startingDeadlineSeconds lets it."""
    spec = {} if deadline_seconds is None else {"startingDeadlineSeconds": deadline_seconds}
    forecast = thaw(cronjob("0 13 * * *", last=last, **spec), NOW)
    assert forecast == {"starts_at_once": at_once, "next": "2026-03-04T13:00:00Z"}


def test_a_start_that_is_due_within_the_minute_hides_none_that_was_missed() -> None:
    """Half a minute before 13:00 it is yesterday's start that will be made at once, and today's that is next."""
    forecast = thaw(cronjob("0 13 * * *", last="2026-03-01T13:00:00Z"), at("2026-03-03T12:59:30"))
    assert forecast == {"starts_at_once": "2026-03-02T13:00:00Z", "next": "2026-03-03T13:00:00Z"}


def test_at_the_very_second_it_is_due() -> None:
    """A start is missed from its own second on, and the next one is a day away."""
    forecast = thaw(cronjob("0 13 * * *", last="2026-03-02T13:00:00Z"), at("2026-03-03T13:00:00"))
    assert forecast == {"starts_at_once": "2026-03-03T13:00:00Z", "next": "2026-03-04T13:00:00Z"}


@pytest.mark.parametrize(
    ("schedule", "zone", "now", "last", "following"),
    [
        ("0 13 * * *", "America/New_York", "2026-03-03T13:05:30", "2026-03-02T18:00:00Z", "2026-03-03T18:00:00Z"),
        ("0 13 * * *", "Asia/Kolkata", "2026-03-03T13:05:30", "2026-03-03T07:30:00Z", "2026-03-04T07:30:00Z"),
        # robfig/cron's own cases: the clock leaps from 02:00 to 03:00, and 02:30 is no time that day
        ("30 2 * * *", "America/New_York", "2026-03-08T05:00:00", "2026-03-07T07:30:00Z", "2026-03-09T06:30:00Z"),
        ("0 * * * *", "America/New_York", "2026-03-08T06:30:00", "2026-03-08T06:00:00Z", "2026-03-08T07:00:00Z"),
        ("0 3 * * *", "America/New_York", "2026-03-08T06:30:00", "2026-03-07T08:00:00Z", "2026-03-08T07:00:00Z"),
        # the clock goes back from 02:00 to 01:00, and 01:30 comes twice
        ("30 1 * * *", "America/New_York", "2026-11-01T04:00:00", "2026-10-31T05:30:00Z", "2026-11-01T05:30:00Z"),
        ("30 1 * * *", "America/New_York", "2026-11-01T05:45:00", "2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z"),
        ("30 1 * * *", "America/New_York", "2026-11-01T06:45:00", "2026-11-01T06:30:00Z", "2026-11-02T06:30:00Z"),
        ("*/30 * * * *", "America/New_York", "2026-11-01T05:45:00", "2026-11-01T05:30:00Z", "2026-11-01T06:00:00Z"),
        ("0 2 * * *", "Australia/Lord_Howe", "2026-10-03T10:00:00", "2026-10-02T15:30:00Z", "2026-10-04T15:00:00Z"),
        ("0 0 29 2 *", "UTC", "2026-03-03T13:05:30", "2024-02-29T00:00:00Z", "2028-02-29T00:00:00Z"),
    ],
)  # fmt: skip
def test_schedules_are_read_by_the_wall_clock_of_their_zone(
    schedule: str, zone: str, now: str, last: str, following: str
) -> None:
    """In its time zone, over leaps of the clock: a time that is leapt over is no start, one that comes twice is two."""
    made = "2020-01-01T00:00:00Z"
    forecast = thaw({**cronjob(schedule, timeZone=zone), "metadata": {"creationTimestamp": made}}, at(now))
    assert forecast == {"starts_at_once": last, "next": following}


@pytest.mark.parametrize(
    ("macro", "following"),
    [
        ("@hourly", "2026-03-03T14:00:00Z"), ("@daily", "2026-03-04T00:00:00Z"), ("@midnight", "2026-03-04T00:00:00Z"),
        ("@weekly", "2026-03-08T00:00:00Z"), ("@monthly", "2026-04-01T00:00:00Z"), ("@yearly", "2027-01-01T00:00:00Z"),
        ("@annually", "2027-01-01T00:00:00Z"), ("0 0 ? * MON", "2026-03-09T00:00:00Z"),
        ("@every 5m", "2026-03-03T13:10:00Z"),
        ("CRON_TZ=Asia/Tokyo 0 13 * * *", "2026-03-04T04:00:00Z"),
    ],
)  # fmt: skip
def test_macros_and_the_question_mark_are_understood(macro: str, following: str) -> None:
    """As Kubernetes takes them."""
    assert thaw(cronjob(macro), NOW)["next"] == following


@pytest.mark.parametrize(
    ("schedule", "zone"),
    [("@Hourly", None), ("0 13 * *", None), ("0 0 13 * * *", None), ("61 * * * *", None), ("0 13 * * 7", None),
     ("0 13 * * *", "Mars/Olympus"), ("0 13 * * *", "../etc/passwd"), ("CRON_TZ=Mars/Olympus 0 13 * * *", None)],
)  # fmt: skip
def test_what_cant_be_read_is_said_and_stops_nothing(schedule: str, zone: str | None) -> None:
    """No guess: the operator is told that it can't be told, with the schedule and the zone."""
    forecast = thaw(cronjob(schedule, timeZone=zone), NOW)
    assert set(forecast) == {"unreadable"}
    assert repr(schedule) in words("jobintel-daily", forecast)
    assert "its next run is unknown" in words("jobintel-daily", forecast)


def test_the_words_say_what_starts_at_once_or_when() -> None:
    """Two sentences that an operator can act on."""
    missed = thaw(cronjob("0 13 * * *", last="2026-03-02T13:00:00Z"), NOW)
    assert words("x", missed) == "CronJob x starts at once: the run due at 2026-03-03T13:00:00Z was missed"
    quiet = thaw(cronjob("0 13 * * *", last="2026-03-03T13:00:00Z"), NOW)
    assert words("x", quiet) == "CronJob x runs next at 2026-03-04T13:00:00Z; nothing starts at once"


FIELDS = st.tuples(
    st.sampled_from(["0", "30", "*/7", "*", "5,35"]),
    st.sampled_from(["*", "13", "0", "*/6", "2,14"]),
    st.sampled_from(["*", "1", "31", "*/5"]),
    st.sampled_from(["*", "2", "*/3"]),
    st.sampled_from(["*", "MON", "0", "1-5"]),
).map(" ".join)
MOMENTS = st.datetimes(datetime(2025, 6, 1), datetime(2027, 6, 1)).map(lambda each: each.replace(tzinfo=UTC))  # noqa: DTZ001  made aware


@settings(max_examples=100, deadline=None)
@given(
    FIELDS, st.sampled_from(["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"]), MOMENTS
)
def test_what_is_said_to_be_next_is_a_time_on_the_wall_and_none_lies_between(
    schedule: str, zone: str, now: datetime
) -> None:
    """In zones whose clocks leap: the next start lies ahead, and from just before it, it is next again."""
    forecast = thaw(cronjob(schedule, timeZone=zone), now)
    assume("next" in forecast)
    following = datetime.fromisoformat(forecast["next"])
    assert following > now
    assert thaw(cronjob(schedule, timeZone=zone), following - timedelta(seconds=1))["next"] == forecast["next"]
    wall = following.astimezone(ZoneInfo(zone))
    minute, hour = schedule.split()[:2]
    assert minute in ("*", "*/7", "5,35") or wall.minute == int(minute)
    assert hour in ("*", "*/6", "2,14") or wall.hour == int(hour)
