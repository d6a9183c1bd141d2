"""When a CronJob is due: its schedule as Kubernetes reads it, and the missed start that Kubernetes makes up for.

Two rules, both of the originals, not of Debian's cron:

    schedule   robfig/cron v3, ``ParseStandard`` and ``Next``: what kube-controller-manager and the API server call
    due        ``mostRecentScheduleTime`` of kube-controller-manager's cronjob controller (v1.34)

The originals have corners that an operator meets, so they are kept: a step takes the star from ``*/2``; where both days
are restricted, either may match; a start that falls into an hour that is left out is no start, one in an hour that
comes twice is two; after several missed starts the newest is *estimated* from the distance of the first two, so that an
irregular schedule may make up for none. tests/data/cron holds what the originals answer.

Without ``timeZone`` the controller uses its own zone, which is taken to be UTC. ``TZ=`` or ``CRON_TZ=`` inside a
schedule is read, as the controller does: newer API servers refuse it in a new CronJob, and keep it in an old one. It
comes before ``timeZone``.

Pure; time is handed in. The sandbox's controller and the forecast of dr/sites call it. It imports nothing of drfsm, so
that the emulated cluster can use it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from attrs import define, field, frozen

MANY_MISSED = 100
"""The controller warns of more missed starts than this."""
YEARS_AHEAD = 5
"""How far the library looks for the next start."""
_LONGEST_WALK = 10_000  # steps: the library itself never returns where a zone leaves out a whole day
_INT64 = 1 << 64


class BadSchedule(ValueError):
    """The library refuses this schedule; in its words."""


class UnknownZone(BadSchedule):
    """There is no such time zone."""


class NeverDue(BadSchedule):
    """The schedule can be read, and names no time that comes: the controller starts nothing."""


# --- a schedule ---------------------------------------------------------------------------------------------------


@frozen
class Range:
    """The values that a field may have, and their names."""

    least: int
    most: int
    names: Sequence[str] = ()


MINUTES, HOURS, DAYS = Range(0, 59), Range(0, 23), Range(1, 31)
MONTHS = Range(1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"))
WEEKDAYS = Range(0, 6, ("sun", "mon", "tue", "wed", "thu", "fri", "sat"))
FIELDS = (MINUTES, HOURS, DAYS, MONTHS, WEEKDAYS)
DESCRIPTORS: Mapping[str, str] = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


@frozen
class Every:
    """``@every``: so many seconds after the last start, by no wall clock."""

    seconds: int

    def after(self, at: int) -> int:
        """Return the next start, in seconds since 1970."""
        return at + self.seconds


@frozen
class Values:
    """What one field accepts. ``star``: it was written as one, so that it restricts nothing."""

    numbers: frozenset[int]
    star: bool


@frozen
class Fields:
    """Five fields, read by the wall clock of a zone."""

    minutes: Values
    hours: Values
    days: Values
    months: Values
    weekdays: Values
    zone: ZoneInfo

    def after(self, at: int) -> int | None:
        """Return the first start later than ``at``, both in seconds since 1970; None if none comes in five years."""
        walk = _Walk(self.zone, at + 1)
        last_year = walk.wall.year + YEARS_AHEAD
        try:
            while walk.wall.year <= last_year:
                if self._reaches_a_start(walk):
                    return walk.at
        except (OverflowError, ValueError, _Endless):  # beyond year 9999, or round and round
            return None
        return None

    def _reaches_a_start(self, walk: "_Walk") -> bool:
        """Go ahead, the largest unit first. False where a unit wrapped around, so that larger ones count again."""
        return (
            walk.to_month(self.months.numbers)
            and walk.to_day(self._has_day)
            and walk.to_hour(self.hours.numbers)
            and walk.to_minute(self.minutes.numbers)
            and walk.to_whole_minute()
        )

    def _has_day(self, wall: datetime) -> bool:
        """Say whether a date matches: both its days, or either where neither field is a star."""
        day, weekday = wall.day in self.days.numbers, (wall.weekday() + 1) % 7 in self.weekdays.numbers
        return day and weekday if self.days.star or self.weekdays.star else day or weekday


Schedule = Every | Fields


class _Endless(Exception):
    """The walk doesn't end."""


@define
class _Walk:
    """A moment on its way to the next start, and what its zone's clock shows.

    The clock is set to the beginning of a unit once, by the first unit that does not match. From then on hours and
    minutes are added as time that passes, days and months by the calendar: this is what makes the library's answers
    when clocks leap.
    """

    zone: ZoneInfo
    at: int
    wall: datetime = field(init=False)
    _is_cut: bool = False
    _steps: int = 0

    def __attrs_post_init__(self) -> None:
        self.wall = datetime.fromtimestamp(self.at, self.zone)

    def to_month(self, months: frozenset[int]) -> bool:
        while self.wall.month not in months:
            self._cut(day=1, hour=0, minute=0, second=0)
            year, month = divmod(self.wall.year * 12 + self.wall.month, 12)
            self._set(datetime(year, month + 1, 1) + (self._naive() - self._naive().replace(day=1)))  # noqa: DTZ001  a wall clock
            if self.wall.month == 1:
                return False
        return True

    def to_day(self, matches: Callable[[datetime], bool]) -> bool:
        while not matches(self.wall):
            self._cut(hour=0, minute=0, second=0)
            self._set(self._naive() + timedelta(days=1))
            if hour := self.wall.hour:  # this midnight was left out
                self._pass((24 - hour if hour > 12 else -hour) * 3600)  # noqa: PLR2004  half a day
            if self.wall.day == 1:
                return False
        return True

    def to_hour(self, hours: frozenset[int]) -> bool:
        while self.wall.hour not in hours:
            self._cut(minute=0, second=0)
            self._pass(3600)
            if self.wall.hour == 0:
                return False
        return True

    def to_minute(self, minutes: frozenset[int]) -> bool:
        while self.wall.minute not in minutes:
            if not self._is_cut:
                self._is_cut = True
                self._pass(-(self.at % 60))
            self._pass(60)
            if self.wall.minute == 0:
                return False
        return True

    def to_whole_minute(self) -> bool:
        if self.wall.second == 0:
            return True
        self._is_cut = True
        self._pass(60 - self.wall.second)
        return False

    def _cut(self, **fields: int) -> None:
        """Set smaller units to their beginning, the first time only."""
        if not self._is_cut:
            self._is_cut = True
            self._set(self._naive().replace(**fields))  # type: ignore[arg-type]  # whole numbers only

    def _naive(self) -> datetime:
        return self.wall.replace(tzinfo=None, fold=0)

    def _set(self, clock: datetime) -> None:
        """Set the clock to what it shall show, as Go's ``time.Date`` does where that is no time, or two."""
        seconds = int(clock.replace(tzinfo=UTC).timestamp())
        if offset := self._offset(seconds):
            offset = self._offset(seconds - offset)
        self._pass(seconds - offset - self.at)

    def _offset(self, at: int) -> int:
        offset = datetime.fromtimestamp(at, self.zone).utcoffset()
        return int(offset.total_seconds()) if offset else 0

    def _pass(self, seconds: int) -> None:
        self._steps += 1
        if self._steps > _LONGEST_WALK:
            raise _Endless
        self.at += seconds
        self.wall = datetime.fromtimestamp(self.at, self.zone)


# --- reading one --------------------------------------------------------------------------------------------------


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone, UTC for "". Raises UnknownZone."""
    if ".." in name or name.startswith(("/", "\\")):
        raise UnknownZone("time: invalid location name")
    try:
        return ZoneInfo(name or "UTC")
    except (KeyError, ValueError, OSError):
        raise UnknownZone(f"unknown time zone {name}") from None


_SPACE = re.compile("[\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")  # Go's unicode.IsSpace


def parse(schedule: str, time_zone: str = "") -> Schedule:
    """Read a schedule as the controller does. Raises BadSchedule in the library's words, UnknownZone.

    ``time_zone``: the CronJob's ``timeZone``, "" for none; a ``TZ=`` or ``CRON_TZ=`` in the schedule comes before it.
    """
    if not schedule:
        raise BadSchedule("empty spec string")
    zone = zone_of(time_zone)
    if schedule.startswith(("TZ=", "CRON_TZ=")):
        setting, space, schedule = schedule.partition(" ")
        if not space:  # the library panics
            raise BadSchedule(f"no schedule after {setting}")
        name = setting.partition("=")[2]
        try:
            zone = zone_of(name)
        except UnknownZone as fault:
            raise UnknownZone(f"provided bad location {name}: {fault}") from None
        schedule = _SPACE.sub(" ", schedule).strip(" ")
    if schedule.startswith("@every "):
        return Every(_every_seconds(schedule))
    if schedule.startswith("@"):
        if schedule not in DESCRIPTORS:
            raise BadSchedule(f"unrecognized descriptor: {schedule}")
        schedule = DESCRIPTORS[schedule]
    words = [word for word in _SPACE.split(schedule) if word]
    if len(words) != len(FIELDS):
        raise BadSchedule(f"expected exactly {len(FIELDS)} fields, found {len(words)}: [{' '.join(words)}]")
    minutes, hours, days, months, weekdays = map(_values, words, FIELDS)
    return Fields(minutes, hours, days, months, weekdays, zone)


def _values(words: str, values: Range) -> Values:
    ranges = [_range(word, values) for word in words.split(",") if word]
    numbers = frozenset(number for one in ranges for number in one.numbers)
    return Values(numbers, any(one.star for one in ranges))


def _range(word: str, values: Range) -> Values:
    """Read ``*``, ``5``, ``1-5``, each with ``/step`` or without. A step above 1 makes a star none."""
    ends, *steps = word.split("/")
    first, *rest = ends.split("-")
    star = first in ("*", "?")
    if star:
        least, most = values.least, values.most  # whatever follows a hyphen
    else:
        least = _number(first, values.names)
        if len(rest) > 1:
            raise BadSchedule(f"too many hyphens: {word}")
        most = _number(rest[0], values.names) if rest else least
    if len(steps) > 1:
        raise BadSchedule(f"too many slashes: {word}")
    step = _number(steps[0]) if steps else 1
    if steps and not rest:
        most = values.most  # 5/15 is 5-59/15
    _check_bounds(word, least, most, values)
    if step == 0:
        raise BadSchedule(f"step of range should be a positive number: {word}")
    return Values(frozenset(range(least, most + 1, step)), star and step == 1)


def _check_bounds(word: str, least: int, most: int, values: Range) -> None:
    if least < values.least:
        raise BadSchedule(f"beginning of range ({least}) below minimum ({values.least}): {word}")
    if most > values.most:
        raise BadSchedule(f"end of range ({most}) above maximum ({values.most}): {word}")
    if least > most:
        raise BadSchedule(f"beginning of range ({least}) beyond end of range ({most}): {word}")


def _number(word: str, names: Sequence[str] = ()) -> int:
    if word.lower() in names:
        return names.index(word.lower()) + (1 if names is MONTHS.names else 0)
    if not re.fullmatch(r"[+-]?[0-9]+", word):
        raise BadSchedule(f'failed to parse int from {word}: strconv.Atoi: parsing "{word}": invalid syntax')
    number = int(word) if len(word) < 20 else _INT64  # noqa: PLR2004  digits of 64 bits
    if not -_INT64 // 2 <= number < _INT64 // 2:
        raise BadSchedule(f'failed to parse int from {word}: strconv.Atoi: parsing "{word}": value out of range')
    if number < 0:
        raise BadSchedule(f"negative number ({number}) not allowed: {word}")
    return number


_UNITS = {
    "ns": 1,
    "us": 10**3,
    "\u00b5s": 10**3,  # two letters look like mu
    "\u03bcs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}  # nanoseconds
_AMOUNT = re.compile(r"(?P<whole>[0-9]*)(?P<point>\.?)(?P<part>[0-9]*)(?P<unit>[^0-9.]*)")


def _every_seconds(descriptor: str) -> int:
    """Return the whole seconds of ``@every`` and a Go duration, 1 at least. Raises BadSchedule."""
    text = descriptor.removeprefix("@every ")
    unsigned = text[1:] if text[:1] in ("+", "-") else text
    try:
        nanoseconds = 0 if unsigned == "0" else sum(_nanoseconds(amount, text) for amount in _amounts(unsigned, text))
        _check_length(nanoseconds, text)
    except BadSchedule as fault:
        raise BadSchedule(f"failed to parse duration {descriptor}: time: {fault}") from None
    return 1 if text.startswith("-") else max(1, nanoseconds // 10**9)


def _check_length(nanoseconds: int, text: str) -> None:
    if nanoseconds > _INT64 // 2:
        raise BadSchedule(f'invalid duration "{text}"')


def _amounts(unsigned: str, text: str) -> list[re.Match[str]]:
    """Cut ``1h30m`` into its amounts. Raises BadSchedule where there is none."""
    amounts = [amount for amount in _AMOUNT.finditer(unsigned) if amount[0]]
    if not amounts:
        raise BadSchedule(f'invalid duration "{text}"')
    return amounts


def _nanoseconds(amount: re.Match[str], text: str) -> int:
    if not amount["whole"] and not amount["part"]:
        raise BadSchedule(f'invalid duration "{text}"')
    if not amount["unit"]:
        raise BadSchedule(f'missing unit in duration "{text}"')
    if amount["unit"] not in _UNITS:
        raise BadSchedule(f'unknown unit "{amount["unit"]}" in duration "{text}"')
    scale: int = 10 ** len(amount["part"])
    return (int(amount["whole"] or "0") * scale + int(amount["part"] or "0")) * _UNITS[amount["unit"]] // scale


# --- what is due --------------------------------------------------------------------------------------------------


@frozen
class Due:
    """What the controller does about a CronJob at a moment. Times are in UTC."""

    start: datetime | None  # the missed start that is made up for at once
    following: datetime | None  # when the controller looks again; None if no time comes
    many: bool  # it warns of more than a hundred missed starts


@frozen
class History:
    """When a CronJob was made, when it was last due (None: never), and for how long a missed start counts."""

    created: datetime
    last: datetime | None = None
    deadline_seconds: int | None = None


def due(schedule: Schedule, history: History, now: datetime) -> Due:
    """Return what the controller does at ``now``, concurrency aside. Raises NeverDue where it refuses the schedule."""
    moment = _seconds(now)
    since = _seconds(history.last or history.created)
    start, missed = _newest(schedule, max(since, _horizon(history, moment)), moment)
    following = _look_again(schedule, since, moment) if start is None else schedule.after(start)
    return Due(_utc(start), _utc(following), missed > MANY_MISSED)


def _horizon(history: History, moment: int) -> int:
    """Return the second from which on a missed start counts."""
    if history.deadline_seconds is None:
        return _seconds(history.last or history.created)
    nanoseconds = -(10**9) * history.deadline_seconds
    # The controller counts in 64 bits: a deadline of more than 292 years becomes some other number.
    return moment + ((nanoseconds + _INT64 // 2) % _INT64 - _INT64 // 2) // 10**9


def _newest(schedule: Schedule, since: int, now: int) -> tuple[int | None, int]:
    """Return the newest start after ``since`` and not after ``now``, and how many there were, estimated.

    Both from the distance of the first two. Raises NeverDue.
    """
    first = schedule.after(since)
    if first is None:
        raise NeverDue("time difference between two schedules is less than 1 second")
    if now < first:
        return None, 0
    second = schedule.after(first)
    if second is None:
        raise NeverDue("time difference between two schedules is less than 1 second")
    if now < second:
        return first, 0
    apart = second - first
    missed = (now - first) // apart + 1
    newest, start = None, schedule.after(first + (missed - 2) * apart)
    while start is not None and start <= now:
        newest, start = start, schedule.after(start)
    return newest, missed


def _look_again(schedule: Schedule, since: int, now: int) -> int | None:
    """Return when a controller that starts nothing looks again: the start after the newest one, deadline or not."""
    newest, missed = _newest(schedule, since, now)
    if newest is not None:
        return schedule.after(newest)
    return schedule.after(now if missed else since)


def _seconds(at: datetime) -> int:
    """Return the whole seconds since 1970. The library passes over fractions."""
    return int(at.timestamp() // 1)


def _utc(at: int | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)
