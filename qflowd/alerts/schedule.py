"""Which rules have to be evaluated: those whose series changed, whose timers ended, and those that time alone moves."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import TYPE_CHECKING

from qflowd.alerts.step import NEVER

if TYPE_CHECKING:
    from qflowd.alerts.entry import Entry
    from qflowd.series.follow import Follower
    from qflowd.series.store import Series, SeriesStore

WIDE = 500
"""Series up to which a rule is told of each that it reads; beyond, of any change under their names."""
BREATH = 1_000
"""Entries or series looked at before others get their turn."""


class Schedule:
    """The order of the rules, and what each waits for. ``interval``: ms between evaluations of rules that name none, 0 for
    each round. Rules with an interval are looked at in the first round of each of its multiples since the epoch."""

    def __init__(self, entries: Iterable[Entry], interval: int) -> None:
        self.order = list(entries)
        self.interval = interval
        self.dirty: dict[Entry, None] = {}
        self.timed: list[Entry] = []
        self._names: dict[str | None, list[Entry]] = {}
        self._wide: dict[str | None, dict[Entry, None]] = {}
        self._each: dict[Series, list[Entry]] = {}
        self._wakes: list[tuple[int, int]] = []
        for position, entry in enumerate(self.order):
            entry.position, entry.selected = position, None
            if entry.rule.enabled:
                self._add(entry)

    def _add(self, entry: Entry) -> None:
        # What happened while the order was made anew is not known: each rule is looked at once.
        self.dirty[entry] = None
        if entry.timed:
            self.timed.append(entry)
        for name in {read.name for read in entry.reads}:
            self._names.setdefault(name, []).append(entry)
        if entry.wake < NEVER:
            self.wake(entry)

    def wake(self, entry: Entry) -> None:
        """Evaluate ``entry`` at ``entry.wake`` at the latest."""
        heapq.heappush(self._wakes, (entry.wake, entry.position))

    def select(self, entry: Entry, store: SeriesStore) -> None:
        """Find the series that ``entry`` reads, so that it is told of their changes."""
        found: list[Series] = []
        for read in entry.reads:
            series = store.select(read.name, read.matchers)
            found += series
            if not read.matchers or read.name is None or len(series) > WIDE:
                self._wide.setdefault(read.name, {})[entry] = None
            else:
                for one in series:
                    self._each.setdefault(one, []).append(entry)
        entry.selected = found

    def _reselect(self, entry: Entry) -> None:
        for series in entry.selected or ():
            watching = self._each.get(series)
            if watching is not None and entry in watching:
                watching.remove(entry)
                if not watching:
                    del self._each[series]
        entry.selected = None
        self.dirty[entry] = None

    def notice(self, follower: Follower, now: int) -> Iterator[None]:
        """Take what changed up to ``now``: the rules that read it are dirty. Yields where others may have their turn."""
        count = 0
        for name in follower.reshape():
            for entry in [*self._names.get(name, ()), *self._names.get(None, ())]:
                self._reselect(entry)
                count += 1
                if count % BREATH == 0:
                    yield
        changed = follower.take(now)
        each, dirty = self._each, self.dirty
        names: dict[str, None] = {}
        for series in changed:
            names[series.name] = None
            for entry in each.get(series, ()):
                dirty[entry] = None
            count += 1
            if count % BREATH == 0:
                yield
        for name in names:
            dirty.update(self._wide.get(name, {}))
        if changed:
            dirty.update(self._wide.get(None, {}))

    def open(self, entry: Entry, now: int, before: int) -> bool:
        """Whether the interval of ``entry`` lets it be looked at ``now``, the last round having been at ``before``."""
        interval = entry.rule.interval or self.interval
        return not interval or now // interval != before // interval or entry.last_evaluation is None

    def ready(self, now: int, before: int, *, everything: bool) -> list[int]:
        """The positions of the rules to evaluate at ``now``, in order. Those whose interval is not over stay dirty."""
        while self._wakes and self._wakes[0][0] <= now:
            wake, position = heapq.heappop(self._wakes)
            if self.order[position].wake == wake:
                self.dirty[self.order[position]] = None
        found = self.dirty
        if everything:
            found = dict.fromkeys(entry for entry in self.order if entry.rule.enabled)
        else:
            found.update(dict.fromkeys(self.timed))
        closed = {entry: None for entry in found if not self.open(entry, now, before)} if self._has_intervals(found) else {}
        self.dirty = {entry: None for entry in closed if entry in self.dirty}
        positions = list(map(_position, found)) if not closed else [entry.position for entry in found if entry not in closed]
        positions.sort()
        return positions

    def _has_intervals(self, entries: Iterable[Entry]) -> bool:
        return bool(self.interval) or any(entry.rule.interval for entry in entries)


_position = attrgetter("position")
