"""One schedule against the starts that were seen: what is due, missed, late, or was not seen. Pure; times are epoch ms.

A moment of the schedule is *met* by any start from shortly before it on: schedulers' clocks are not ours. It is *missed* when
its grace is over without such a start, and *unobserved* when that time holds an outage, because the run may have
happened then, its events spooled where it ran. A start that is told later is taken by its own time and clears what it meets.
"""

from __future__ import annotations

from collections.abc import Container
from datetime import tzinfo
from typing import Literal

import msgspec

from qflowd.cron import Cron
from qflowd.schedules.outages import Outages

State = Literal["waiting", "ontime", "due", "late", "missed", "unobserved"]
EARLY = 60_000
"""How far ahead of its moment a start may be; a quarter of the time to the next moment at most."""
SHOWN = 300_000
"""How long a late start is shown when its run has ended before."""
MOST = 100
"""Unmet moments that are counted: ``missed`` of 100 means 100 or more."""
STARTS = 64
HORIZONS = (2 * 3_600_000, 86_400_000, 7 * 86_400_000, 60 * 86_400_000)


class Moment(msgspec.Struct):
    """When a run was due. ``missed``: its grace is over, and the time was seen; ``None`` while it may still come."""

    at: int
    early: int
    missed: bool | None = None


class Verdict(msgspec.Struct, frozen=True):
    """What holds at one time. ``late`` in ms after ``due``, 0 within the grace, ``None`` where it is not known.

    ``due`` is the newest moment that has come, ``started`` the first start for it.
    """

    state: State
    next: int | None
    due: int | None
    started: int | None
    late: int | None
    missed: int
    unobserved: int
    last_missed: int | None


def newest(cron: Cron, zone: tzinfo, after: int, now: int, most: int) -> list[int]:
    """The last ``most`` moments in ``(after, now]``, found without walking all that a long time holds."""
    for horizon in (*HORIZONS, now - after):
        begin = max(after, now - horizon)
        found: list[int] = []
        at = cron.next(begin, zone)
        while at is not None and at <= now:
            found.append(at)
            at = cron.next(at, zone)
        if len(found) >= most or begin == after:
            return found[-most:]
    return []


class Expectation:
    """``since``: moments after it are expected. ``history``: moments that were missed, the newest last."""

    def __init__(self, cron: Cron, zone: tzinfo, grace: int, since: int, history: list[int] | None = None) -> None:
        self.cron, self.zone, self.grace, self.since = cron, zone, grace, since
        self.history = list(history or [])
        self.starts: dict[str, int] = {}
        self._unmet: list[Moment] = []
        self._due: Moment | None = None
        self._first: tuple[int, str] | None = None
        self._next = cron.next(since, zone)

    def started(self, execution_id: str, start: int) -> None:
        """A run was seen; again with another ``start`` where that is known better by then."""
        if self.starts.get(execution_id) == start:
            return
        self.starts[execution_id] = start
        if len(self.starts) > 2 * STARTS:
            kept = sorted(self.starts.items(), key=lambda one: one[1])[-STARTS:]
            self.starts = dict(kept)
        self._unmet = [one for one in self._unmet if one.at - one.early > start]
        self.history = [at for at in self.history if not at - self._early(at) <= start <= at + self.grace]
        due, first = self._due, self._first
        sooner = first is None or start < first[0] or execution_id == first[1]
        if due is not None and start >= due.at - due.early and sooner:
            self._first = (start, execution_id)

    def _early(self, at: int) -> int:
        following = self.cron.next(at, self.zone)
        return EARLY if following is None else min(EARLY, (following - at) // 4)

    def _come(self, at: int) -> None:
        """``at`` has come: it is the one that is due."""
        self._due = moment = Moment(at, self._early(at))
        meeting = [(start, name) for name, start in self.starts.items() if start >= at - moment.early]
        self._first = min(meeting, default=None)
        if self._first is None:
            self._unmet.append(moment)

    def advance(self, now: int, outages: Outages) -> None:
        """Take in the moments up to ``now``, and judge those whose grace is over."""
        walked = 0
        while self._next is not None and self._next <= now:
            # Where a long time passed at once, the newest are enough.
            come = [self._next] if walked < MOST else newest(self.cron, self.zone, self._next - 1, now, MOST)
            for at in come:
                self._come(at)
            walked += 1
            self._next = self.cron.next(come[-1], self.zone)
        if len(self._unmet) > MOST:
            del self._unmet[:-MOST]
        for one in self._unmet:
            if one.missed is None and one.at + self.grace <= now:
                one.missed = not outages.overlap(one.at - one.early, one.at + self.grace)
                if one.missed and one.at not in self.history:
                    self.history = sorted({*self.history, one.at})[-10:]

    def verdict(self, now: int, active: Container[str] = ()) -> Verdict:
        """What holds at ``now``, after ``advance``. ``active``: ids of executions that have not ended."""
        missed = sum(one.missed is True for one in self._unmet)
        unobserved = sum(one.missed is False for one in self._unmet)
        due, first = self._due, self._first
        late: int | None = None
        state: State = "waiting"
        if due is not None and first is not None:
            late = max(0, first[0] - due.at)
            shown = late > self.grace and (first[1] in active or now < first[0] + SHOWN)
            late = late if shown else 0
            state = "late" if shown else "ontime"
        elif due is not None:
            over = now >= due.at + self.grace
            late = 0 if not over else now - due.at if due.missed else None
            state = "due"
        if missed:
            state = "missed"
        elif unobserved:
            state = "unobserved"
        return Verdict(
            state, self._next, None if due is None else due.at, None if first is None else first[0], late, missed, unobserved,
            self.history[-1] if self.history else None,
        )  # fmt: skip
