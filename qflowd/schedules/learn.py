"""A schedule, and a normal duration, from a flow's own past. Pure; times are epoch ms, durations ms.

Candidates are cron lines made from the minutes, hours and weekdays at which the flow starts; each is judged by what it would
have expected between the first start and the last: how many of its moments had a start (``hits`` of ``expected``), and how
many starts it explains. The confidence is the lower end of Wilson's 95 % interval of the worse of the two, so that few data
never look sure: nine of nine give 0.70. Below ``CONFIDENT``, or over less than a week, nothing is learned, and the words say why.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo

import msgspec
from msgspec.structs import replace

from qflowd.cron import Cron, parse

CONFIDENT = 0.7
LEAST = 9
SPAN = 7 * 86_400_000
STARTS = 5000
"""The newest starts that are looked at."""
PERIODS = (60, 30, 20, 15, 12, 10, 6, 5, 4, 3, 2, 1)
RUNS = 20
"""Runs that a normal duration needs."""


class Learned(msgspec.Struct, frozen=True, rename="camel"):
    """What the past says. ``schedule`` is ``None`` where it does not say enough, and ``reason`` why.

    ``grace``: three times the delay that 95 % of the starts stayed within, five minutes at least. ``max_duration`` comes of
    ``runs`` that succeeded: twice their median or one and a half times their 95th percentile, whichever is more.
    """

    schedule: str | None
    timezone: str
    confidence: float
    reason: str
    starts: int
    since: int | None
    until: int | None
    expected: int = 0
    hits: int = 0
    explained: int = 0
    grace: int | None = None
    max_duration: int | None = None
    runs: int = 0
    last_starts: list[int] = []


class Fit(msgspec.Struct, frozen=True):
    """A candidate with how it did."""

    cron: str
    expected: int
    hits: int
    explained: int
    starts: int
    delays: list[int]

    @property
    def confidence(self) -> float:
        return min(wilson(self.hits, self.expected), wilson(self.explained, self.starts))


def wilson(part: int, whole: int) -> float:
    """The lower end of the 95 % interval of a share (Wilson, 1927)."""
    if not whole:
        return 0.0
    z, share = 1.96, part / whole
    middle = share + z * z / (2 * whole)
    spread = z * (share * (1 - share) / whole + z * z / (4 * whole * whole)) ** 0.5
    return float((middle - spread) / (1 + z * z / whole))


def learn(starts: Iterable[int], durations: Sequence[float], zone: tzinfo, zone_name: str) -> Learned:
    """``starts`` of all runs, ``durations`` of those that succeeded, in any order."""
    known = sorted(set(starts))[-STARTS:]
    seen = Learned(
        None, zone_name, 0.0, "", len(known), known[0] if known else None, known[-1] if known else None,
        max_duration=normal(durations), runs=len(durations), last_starts=known[-10:],
    )  # fmt: skip
    span = known[-1] - known[0] if known else 0
    if len(known) < LEAST or span < SPAN - 3_600_000:
        few = f"{len(known)} runs over {span / 86_400_000:.1f} days are too few: {LEAST} runs over 7 days are needed"
        return replace(seen, reason=few)
    fits = [fit for candidate in candidates(known, zone) if (fit := judge(candidate, known, zone)) is not None]
    # Of those that are about as good, the one that expects the least.
    best = max(fits, key=lambda fit: (round(fit.confidence, 1), -fit.expected, fit.confidence), default=None)
    if best is None:
        return replace(seen, reason="the starts follow no daily or weekly pattern that one cron line could say")
    told = f"{best.hits} of {best.expected} moments of '{best.cron}' had a start, {best.explained} of {best.starts} starts are explained"
    sure = best.confidence >= CONFIDENT
    delays = sorted(best.delays)
    grace = max(300_000, -(-3 * delays[(len(delays) - 1) * 95 // 100] // 60_000) * 60_000) if sure else None
    return replace(
        seen, schedule=best.cron if sure else None, confidence=round(best.confidence, 3), grace=grace,
        expected=best.expected, hits=best.hits, explained=best.explained,
        reason=told if sure else f"{told}: confidence {best.confidence:.2f} is below {CONFIDENT}",
    )  # fmt: skip


def normal(durations: Sequence[float]) -> int | None:
    """The longest a run should take; ``None`` where too few are known."""
    if len(durations) < RUNS:
        return None
    known = sorted(durations)
    return round(max(2 * known[len(known) // 2], 1.5 * known[(len(known) - 1) * 95 // 100], 1000))


def candidates(starts: Sequence[int], zone: tzinfo) -> list[str]:
    """Cron lines worth judging: for each period of minutes its usual phase, with the hours and weekdays at which it is seen."""
    walls = [datetime.fromtimestamp(start // 1000, zone) for start in starts]
    found: list[str] = []
    for period in PERIODS:
        phases = Counter(wall.minute % period for wall in walls)
        usual, count = phases.most_common(1)[0]
        # A start is often a minute after its moment: the phase before counts with it.
        shared, before = count, (usual - 1) % period
        if period > 2 and phases[before]:
            shared += phases[before]
            usual = before if phases[before] >= count / 10 else usual
        if shared < 0.7 * len(walls):
            continue
        inside = [wall for wall in walls if (wall.minute - usual) % period <= (period > 2)]
        days = Counter(wall.isoweekday() % 7 for wall in inside)
        often = [day for day in range(7) if days[day] >= max(days.values()) / 3]
        hours = Counter(wall.hour for wall in inside)
        busy = [hour for hour in range(24) if hours[hour] >= max(hours.values()) / 3]
        minutes = list(range(usual, 60, period))
        line = f"{spelled(minutes, 0, 59)} {spelled(busy, 0, 23)} * * {spelled(often, 0, 6)}"
        if len(minutes) * len(busy) * len(often) * (starts[-1] - starts[0]) / (7 * 86_400_000) <= 2 * len(starts) + 10:
            found.append(line)
    return list(dict.fromkeys(found))


def spelled(values: Sequence[int], low: int, high: int) -> str:
    """Numbers as a field: ``*``, ``*/n``, ranges and single ones."""
    if len(values) == high - low + 1:
        return "*"
    step = values[1] - values[0] if len(values) > 2 else 0
    if step > 1 and list(values) == list(range(low, high + 1, step)):
        return f"*/{step}"
    parts: list[list[int]] = []
    for value in values:
        if parts and value == parts[-1][-1] + 1:
            parts[-1].append(value)
        else:
            parts.append([value])
    return ",".join(f"{part[0]}-{part[-1]}" if len(part) > 2 else ",".join(map(str, part)) for part in parts)


def judge(line: str, starts: Sequence[int], zone: tzinfo) -> Fit | None:
    """How ``line`` would have done over the time that the starts cover."""
    cron: Cron = parse(line)
    moments: list[int] = []
    at = cron.next(starts[0] - 600_000, zone)
    while at is not None and at <= starts[-1]:
        moments.append(at)
        at = cron.next(at, zone)
    if len(moments) < LEAST or at is None:
        return None
    ends = [*moments[1:], at]
    hits, explained = 0, 0
    delays: list[int] = []
    for moment, end in zip(moments, ends, strict=True):
        early = min(60_000, (end - moment) // 4)
        within = min(600_000, (end - moment) // 2)
        first, last = bisect_left(starts, moment - early), bisect_left(starts, moment + within)
        if first < last:
            hits += 1
            # Further starts close by are retries of the same run.
            explained += last - first
            delays.append(max(0, starts[first] - moment))
    return Fit(line, len(moments), hits, min(explained, len(starts)), len(starts), delays)
