"""Cron expressions: which minutes they name, in a time zone, and what comes next. Pure; no clock.

The language is that of Debian's cron (``crontab(5)``): five fields, names of months and days, lists, ranges, steps, ``@daily``
and its like; where both days are given either is enough, unless one of them begins with ``*``.

When the clocks change, Debian's cron is followed too (``cron(8)``). A time of day that is given (neither minute nor hour
begins with ``*``) is neither lost nor doubled: where it is skipped it comes at the end of the gap, several of them as one;
where it is repeated it comes the first time only. With a ``*`` it goes by the minutes that the clock really shows: none in
the gap, and those of the repeated hour twice. Gaps of three hours or more are no daylight saving: what is in them does not come.
"""

from __future__ import annotations

import difflib
import os
import re
from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

NICKNAMES = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()), ("hour", 0, 23, ()), ("day of month", 1, 31, ()), ("month", 1, 12, MONTHS), ("day of week", 0, 7, WEEKDAYS),
)  # fmt: skip
LONGEST_GAP = 3 * 3600
YEARS = 50
"""How far ``next`` looks: 29 February on a given day of the week may be 40 years away."""
_PART = re.compile(r"(\*|[0-9A-Za-z]+(?:-[0-9A-Za-z]+)?)(?:/([0-9]+))?")


class CronError(ValueError):
    """The expression or the time zone cannot be used; the words say what would be right."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A parsed expression; see ``parse``. ``either``: a day of the month *or* of the week is enough.

    ``fixed``: a time of day is given, so that a change of the clocks neither drops nor repeats it.
    """

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool
    fixed: bool

    def matches(self, wall: datetime) -> bool:
        """Whether the minute of ``wall``, a local time, is named."""
        return wall.minute in self.minutes and wall.hour in self.hours and wall.month in self.months and self._day(wall)

    def next(self, after: int, zone: tzinfo) -> int | None:
        """The first moment (epoch ms) later than ``after`` (epoch ms); ``None`` where there is none within 50 years."""
        seconds = after // 1000
        wall = _wall(seconds, zone)
        found = self._fixed(wall, seconds, zone) if self.fixed else self._shown(wall, seconds, zone)
        return None if found is None else found * 1000

    def _fixed(self, wall: datetime, after: int, zone: tzinfo) -> int | None:
        """Local times in order; as instants they never go back, because a repeated one counts the first time only."""
        named = self._following(wall)
        while named is not None:
            found = _settled(named, zone)
            if found is not None and found > after:
                return found
            named = self._following(named)
        return None

    def _shown(self, wall: datetime, after: int, zone: tzinfo) -> int | None:
        """Minutes that the clock shows: the next one ahead of ``wall``, or one of an hour that is about to be repeated."""
        again = self._repeated(wall, after, zone)
        named = self._following(wall)
        while named is not None:
            both = (_instant(named, zone, 0), _instant(named, zone, 1))
            there = [one for one in both if one > after and _wall(one, zone).replace(fold=0) == named]
            if there:
                return min(there) if again is None else min(again, *there)
            named = self._following(named)
        return again

    def _repeated(self, wall: datetime, after: int, zone: tzinfo) -> int | None:
        """While ``wall`` is shown for the first time of two: the first named minute of the second time."""
        first, second = _instant(wall, zone, 0), _instant(wall, zone, 1)
        if wall.fold or not first < second:
            return None
        back = _change(first, second, zone)
        named = self._following(_wall(back, zone).replace(fold=0) - timedelta(minutes=1))
        if named is None:
            return None
        found = _instant(named, zone, 1)
        return found if found >= back and _wall(found, zone).replace(fold=0) == named and found > after else None

    def _following(self, wall: datetime) -> datetime | None:
        """The first named local minute after that of ``wall``; zones aside."""
        start = wall.replace(tzinfo=None, fold=0, second=0, microsecond=0) + timedelta(minutes=1)
        hour, minute, day = start.hour, start.minute, start.replace(hour=0, minute=0)
        while day.year <= min(start.year + YEARS, 9998):
            if day.month not in self.months:
                day = day.replace(year=day.year + day.month // 12, month=day.month % 12 + 1, day=1)
            else:
                if self._day(day) and (found := self._of_day(hour, minute)) is not None:
                    return day.replace(hour=found[0], minute=found[1])
                day += timedelta(days=1)
            hour = minute = 0
        return None

    def _of_day(self, hour: int, minute: int) -> tuple[int, int] | None:
        at = bisect_left(self.hours, hour)
        if at < len(self.hours) and self.hours[at] == hour:
            place = bisect_left(self.minutes, minute)
            if place < len(self.minutes):
                return hour, self.minutes[place]
            at += 1
        return (self.hours[at], self.minutes[0]) if at < len(self.hours) else None

    def _day(self, day: datetime) -> bool:
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return of_month or of_week if self.either else of_month and of_week


def _wall(seconds: int, zone: tzinfo) -> datetime:
    """What the clock shows, without the zone; ``fold`` is 1 the second time."""
    return datetime.fromtimestamp(seconds, zone).replace(tzinfo=None)


def _instant(wall: datetime, zone: tzinfo, fold: int) -> int:
    return int(wall.replace(tzinfo=zone, fold=fold).timestamp())


def _settled(wall: datetime, zone: tzinfo) -> int | None:
    """When ``wall`` comes: the first time where it is repeated, the end of the gap where it is skipped."""
    first = _instant(wall, zone, 0)
    if _wall(first, zone).replace(fold=0) == wall:
        return first
    before = _instant(wall, zone, 1)
    return _change(before, first, zone) if first - before < LONGEST_GAP else None


def _change(low: int, high: int, zone: tzinfo) -> int:
    """The second at which the offset changes, in ``(low, high]``."""
    old = datetime.fromtimestamp(low, zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == old:
            low = middle
        else:
            high = middle
    return high


def parse(text: str) -> Cron:
    """Read an expression. Raises ``CronError``."""
    shown = " ".join(text.split())
    if shown.startswith("@"):
        if shown.lower() not in NICKNAMES:
            why = "says nothing about when" if shown.lower() == "@reboot" else "is not known"
            raise CronError(f"{shown} {why}; known are {', '.join(NICKNAMES)}")
        parts = NICKNAMES[shown.lower()].split()
    else:
        parts = shown.split(" ")
    if len(parts) != 5:
        count = len(parts) if shown else 0
        raise CronError(f"'{shown}' has {count} fields, five are needed: minute hour day month weekday, as in 0 2 * * *")
    minutes, hours, days, months, weekdays = (_field(part, *field) for part, field in zip(parts, FIELDS, strict=True))
    found = Cron(
        shown, tuple(sorted(minutes)), tuple(sorted(hours)), days, months, frozenset(day % 7 for day in weekdays),
        either=not (parts[2].startswith("*") or parts[4].startswith("*")),
        fixed=not (parts[0].startswith("*") or parts[1].startswith("*")),
    )  # fmt: skip
    if found._following(datetime(2000, 1, 1)) is None:
        raise CronError(f"'{shown}' never comes: no month named has that day")
    return found


def _field(text: str, name: str, low: int, high: int, names: tuple[str, ...]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise CronError(f"{name} '{part}' is not understood; expected *, a number, a range a-b, a step */n or a-b/n, and lists of them")
        span, step = match.group(1), match.group(2)
        first, dash, last = span.partition("-")
        begin, end = low, high
        if span != "*":
            begin, end = _number(first, name, low, high, names), _number(last or first, name, low, high, names)
        if names == WEEKDAYS:
            # 7 is Sunday too: at the end of a range it stays 7, and * counts the days once.
            end = 6 if span == "*" else 7 if dash and end == 0 else end
        if begin > end:
            raise CronError(f"{name} '{part}': a range goes up; write {first}-{high},{low}-{last}")
        if step is not None and span != "*" and not dash:
            raise CronError(f"{name} '{part}': a step needs a range; write {first}-{high}/{step}")
        if step is not None and not 1 <= int(step) <= high - low + 1:
            raise CronError(f"{name} '{part}': the step has to be 1 to {high - low + 1}")
        found.update(range(begin, end + 1, int(step or 1)))
    return frozenset(found)


def _number(text: str, name: str, low: int, high: int, names: tuple[str, ...]) -> int:
    if text.isdecimal() and text.isascii():
        number = int(text[:9])
        if low <= number <= high:
            return number
        raise CronError(f"{name} {text} is out of range: expected {low} to {high}")
    if text.lower() in names:
        return names.index(text.lower()) + (names == MONTHS)
    near = difflib.get_close_matches(text.lower(), names, 1) if names else []
    expected = f"did you mean {near[0]}?" if near else f"expected {low} to {high}{' or ' + names[0] + ' to ' + names[-1] if names else ''}"
    raise CronError(f"{name} '{text}' is not understood; {expected}")


def zone(name: str) -> tzinfo:
    """The time zone called ``name``, as in Europe/Berlin; ``local`` is that of this machine. Raises ``CronError``."""
    if name == "local":
        name = local_name()
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise CronError(f"time zone '{name}' is not known here; write one as Europe/Berlin, UTC or local (is tzdata installed?)") from None


def local_name() -> str:
    """The name of this machine's time zone: ``TZ``, else where ``/etc/localtime`` points to, else UTC."""
    given = os.environ.get("TZ", "").removeprefix(":")
    if given:
        return given
    try:
        target = Path("/etc/localtime").resolve(strict=True)
    except OSError:
        return "UTC"
    _, found, name = str(target).partition("/zoneinfo/")
    return name if found else "UTC"
