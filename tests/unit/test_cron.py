"""Cron expressions: the language, the changes of the clocks, and that ``next`` is right and least."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qflowd import cron
from qflowd.cron import CronError, parse

BERLIN, NEW_YORK, LORD_HOWE, KATHMANDU = map(ZoneInfo, ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"))


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def following(expression: str, after: str, zone: ZoneInfo = BERLIN, count: int = 3) -> list[str]:
    """The next moments after a time with offset, as local time with offset."""
    found, at = [], ms(after)
    for _ in range(count):
        at = parse(expression).next(at, zone)
        assert at is not None
        found.append(datetime.fromtimestamp(at / 1000, zone).isoformat(timespec="minutes"))
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 2 * * *", ["2026-01-31T02:00", "2026-02-01T02:00"]),
        ("*/20 * * * *", ["2026-01-30T12:20", "2026-01-30T12:40"]),
        ("5-15/5,50 12 * * *", ["2026-01-30T12:05", "2026-01-30T12:10", "2026-01-30T12:15", "2026-01-30T12:50", "2026-01-31T12:05"]),
        ("0 9 * * mon-FRI", ["2026-02-02T09:00", "2026-02-03T09:00"]),
        ("0 9 * * 5-7", ["2026-01-31T09:00", "2026-02-01T09:00", "2026-02-06T09:00"]),
        ("0 9 * * fri-sun", ["2026-01-31T09:00", "2026-02-01T09:00", "2026-02-06T09:00"]),
        ("0 0 31 12,1 *", ["2026-01-31T00:00", "2026-12-31T00:00"]),
        ("0 0 29 feb *", ["2028-02-29T00:00", "2032-02-29T00:00"]),
        ("0 0 13 * fri", ["2026-02-06T00:00", "2026-02-13T00:00", "2026-02-20T00:00"]),
        ("0 0 */2 * fri", ["2026-02-13T00:00", "2026-02-27T00:00"]),
        ("@hourly", ["2026-01-30T13:00"]), ("@Daily", ["2026-01-31T00:00"]), ("@weekly", ["2026-02-01T00:00"]),
        ("@monthly", ["2026-02-01T00:00"]), ("@yearly", ["2027-01-01T00:00"]),
    ],
)  # fmt: skip
def test_what_an_expression_names(expression: str, expected: list[str]) -> None:
    assert following(expression, "2026-01-30T12:00:00+01:00", count=len(expected)) == [f"{one}+01:00" for one in expected]


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("", "has 0 fields"), ("0 2 * *", "has 4 fields"), ("0 0 2 * * *", "has 6 fields"), ("60 * * * *", "minute 60 is out of range: expected 0 to 59"),
        ("* 24 * * *", "hour 24"), ("0 0 0 * *", "day of month 0"), ("0 0 * 13 *", "month 13"), ("0 0 * * 8", "day of week 8"),
        ("0 0 * febr *", "did you mean feb?"), ("5/15 * * * *", "write 5-59/15"), ("0 22-2 * * *", "write 22-23,0-2"), ("*/0 * * * *", "step"),
        ("*/61 * * * *", "step has to be 1 to 60"), ("1,,2 * * * *", "is not understood"), ("0 0 L * *", "day of month 'L'"), ("0 0 ? * *", "is not understood"),
        ("0 0 30 2 *", "never comes"), ("@reboot", "says nothing about when"), ("@often", "is not known; known are @yearly"),
        ("0 0 * * ٣", "not understood"), ("99999999999999999999 * * * *", "out of range"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_what_would_be_right(expression: str, words: str) -> None:
    with pytest.raises(CronError, match=".*" + words.replace("?", "[?]").replace("*", "[*]")):
        parse(expression)


def test_the_skipped_hour_as_debian_cron_has_it() -> None:
    """Berlin's clocks go from 02:00 to 03:00 on 29 March 2026, New York's on 8 March, Lord Howe's by half an hour on 4 October."""
    assert following("30 2 * * *", "2026-03-28T12:00+01:00") == ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00", "2026-03-31T02:30+02:00"]
    assert following("0,15,59 2 * * *", "2026-03-28T12:00+01:00", count=2) == ["2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"]
    assert following("0 2,3 * * *", "2026-03-28T12:00+01:00", count=2) == ["2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"]
    assert following("*/30 * * * *", "2026-03-29T01:20+01:00") == ["2026-03-29T01:30+01:00", "2026-03-29T03:00+02:00", "2026-03-29T03:30+02:00"]
    assert following("*/30 2 * * *", "2026-03-28T12:00+01:00", count=1) == ["2026-03-30T02:00+02:00"]
    assert following("10 * * * *", "2026-03-29T01:20+01:00", count=2) == ["2026-03-29T03:10+02:00", "2026-03-29T04:10+02:00"]
    assert following("30 2 * * *", "2026-03-07T12:00-05:00", NEW_YORK, 2) == ["2026-03-08T03:00-04:00", "2026-03-09T02:30-04:00"]
    assert following("15 2 * * *", "2026-10-03T12:00+10:30", LORD_HOWE, 2) == ["2026-10-04T02:30+11:00", "2026-10-05T02:15+11:00"]


def test_the_repeated_hour_as_debian_cron_has_it() -> None:
    """Berlin's clocks go from 03:00 back to 02:00 on 25 October 2026."""
    assert following("30 2 * * *", "2026-10-24T12:00+02:00") == ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00", "2026-10-27T02:30+01:00"]
    assert following("0 2 * * *", "2026-10-25T02:10+01:00", count=1) == ["2026-10-26T02:00+01:00"]
    halves = ["2026-10-25T02:30+02:00", "2026-10-25T02:00+01:00", "2026-10-25T02:30+01:00", "2026-10-25T03:00+01:00"]
    assert following("*/30 * * * *", "2026-10-25T02:10+02:00", count=4) == halves
    assert following("*/30 2 * * *", "2026-10-25T02:40+02:00") == ["2026-10-25T02:00+01:00", "2026-10-25T02:30+01:00", "2026-10-26T02:00+01:00"]
    assert following("5 * * * *", "2026-10-25T01:30+02:00") == ["2026-10-25T02:05+02:00", "2026-10-25T02:05+01:00", "2026-10-25T03:05+01:00"]


def test_a_day_that_a_country_left_out_has_no_runs() -> None:
    apia = ZoneInfo("Pacific/Apia")  # 30 December 2011 did not happen there
    assert following("0 12 * * *", "2011-12-29T11:00-10:00", apia, 2) == ["2011-12-29T12:00-10:00", "2011-12-31T12:00+14:00"]


NUMBERS = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]


@st.composite
def fields(draw: st.DrawFn, low: int, high: int) -> str:
    if draw(st.booleans()):
        return draw(st.sampled_from(["*", "*", "*/2", "*/7"]))
    parts = []
    for _ in range(draw(st.integers(1, 2))):
        begin = draw(st.integers(low, high))
        end = draw(st.integers(begin, high))
        # cronsim reads 20-20/1 as 20/1: such ranges are no test.
        forms = [str(begin)] + ([f"{begin}-{end}", f"{begin}-{end}/{draw(st.integers(1, 5))}"] if begin < end else [])
        parts.append(draw(st.sampled_from(forms)))
    return ",".join(parts)


expressions = st.tuples(*(fields(low, high) for low, high in NUMBERS)).map(" ".join)
ZONES = st.sampled_from([UTC, BERLIN, NEW_YORK, LORD_HOWE, KATHMANDU])
WHOLE_HOURS = st.sampled_from([UTC, BERLIN, NEW_YORK, KATHMANDU])
CHANGES = [ms("2026-03-29T01:00Z"), ms("2026-10-25T01:00Z"), ms("2026-03-08T07:00Z"), ms("2026-11-01T06:00Z"), ms("2026-04-04T15:00Z")]
MOMENTS = st.one_of(
    st.integers(ms("2020-01-01T00:00Z"), ms("2030-01-01T00:00Z")),
    st.tuples(st.sampled_from(CHANGES), st.integers(-4 * 3_600_000, 4 * 3_600_000)).map(sum),
)


def read(expression: str) -> cron.Cron:
    try:
        return parse(expression)
    except CronError:
        assume(False)
        raise


@settings(max_examples=100, deadline=None)
@given(expressions, ZONES, MOMENTS)
def test_next_is_named_and_least(expression: str, zone: ZoneInfo, after: int) -> None:
    """Every minute of the next 30 hours is looked at, against the plain meaning of the fields."""
    own = read(expression)
    found = own.next(after, zone)
    assert found is None or (found > after and found % 60_000 == 0)
    end = after // 60_000 + 1800
    walls = ((minute, datetime.fromtimestamp(minute * 60, zone)) for minute in range(after // 60_000 + 1, end))
    first = next((minute * 60_000 for minute, wall in walls if own.matches(wall) and not (own.fixed and wall.fold)), None)
    if found is None or found >= end * 60_000 or found == first:
        assert found == first or first is None
    else:
        # Named by no minute that the clock shows: a skipped one, at the end of its gap.
        assert own.fixed and (first is None or found < first)
        before, then = (datetime.fromtimestamp(at, zone).utcoffset() for at in (found // 1000 - 1, found // 1000))
        assert before is not None and then is not None and before < then


@settings(max_examples=300, deadline=None)
@given(expressions, WHOLE_HOURS, MOMENTS)
def test_next_agrees_with_cronsim(expression: str, zone: ZoneInfo, after: int) -> None:
    """cronsim was written to say what Debian's cron does, and is the judge here.

    Not for Lord Howe, whose clocks go back by half an hour: cronsim passes over the 02:00 that follows (see the next test).
    """
    own = read(expression)
    judge = CronSim(expression, datetime.fromtimestamp(after / 1000, zone))
    at: int | None = after
    seen: set[int] = set()
    for _ in range(4):
        at = own.next(at, zone) if at is not None else None
        wanted = next(judge, None)
        while wanted is not None and (stamp := int(wanted.timestamp()) * 1000) in seen:
            wanted = next(judge, None)  # several skipped runs are one here
        assert at == (None if wanted is None else stamp)
        seen.add(stamp if wanted is not None else 0)


def test_the_hour_after_half_an_hour_back() -> None:
    """On 4 April 2021 Lord Howe's clocks went from 02:00 to 01:30: 02:00 came once, at 15:30 UTC."""
    midnight = int(datetime(2021, 4, 3, 13, 0, tzinfo=UTC).timestamp()) * 1000
    at = read("0 */2 4 4 *").next(midnight, LORD_HOWE)
    assert at == int(datetime(2021, 4, 3, 15, 30, tzinfo=UTC).timestamp()) * 1000


def test_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cron.zone("UTC") is UTC and cron.zone("Europe/Berlin") == BERLIN
    monkeypatch.setenv("TZ", ":Europe/Berlin")
    assert cron.zone("local") == BERLIN
    monkeypatch.delenv("TZ")
    assert cron.zone("local").utcoffset(datetime(2026, 1, 1)) is not None
    for wrong in ("Europe/Berlim", "../etc/passwd", "", "/", "Europe"):
        with pytest.raises(CronError, match="is not known here"):
            cron.zone(wrong)


def test_local_without_a_named_zone_is_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TZ", raising=False)
    monkeypatch.setattr(Path, "resolve", lambda self, strict=False: Path("/etc/localtime"))
    assert cron.local_name() == "UTC"


def test_a_far_date_is_found_and_the_end_of_time_is_none() -> None:
    assert following("0 0 */31 2 1", "2026-01-01T00:00+01:00", count=1)  # a Monday that is a 1 February
    assert parse("0 0 29 2 *").next(ms("9998-06-01T00:00Z"), UTC) is None
    assert parse("* * * * *").next(-(10**12), UTC) == -(10**12) + 40_000
    assert timedelta(milliseconds=parse("@hourly").next(0, UTC) or 0) == timedelta(hours=1)
