"""Which series have changed: what an incremental reader asks instead of reading everything again."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from qflowd.series import LOOKBACK

if TYPE_CHECKING:
    from qflowd.series.store import Series


class Follower:
    """Collects what happens in a store until it is taken; never more than one entry a series. Made by ``SeriesStore.follow``."""

    def __init__(self) -> None:
        self.touched: dict[Series, None] = {}
        self.reshaped: set[str] = set()
        """Names under which a series came or went; written by the store, taken with ``reshape``."""
        self._ends: list[tuple[int, int, Series]] = []
        self._scheduled: set[Series] = set()

    def take(self, now: int) -> list[Series]:
        """The series whose value at ``now`` (ms) may differ from that at the last take: those with new points, and those
        whose newest point has left the lookback. A point ahead of ``now`` is told again when its time comes."""
        found, self.touched = list(self.touched), {}
        for series in found:
            if series.newest > now:
                self.touched[series] = None
            if series not in self._scheduled:
                self._scheduled.add(series)
                heapq.heappush(self._ends, (series.newest + LOOKBACK, id(series), series))
        while self._ends and self._ends[0][0] <= now:
            series = heapq.heappop(self._ends)[2]
            end = series.newest + LOOKBACK
            if end > now:
                heapq.heappush(self._ends, (end, id(series), series))
            else:
                self._scheduled.discard(series)
                found.append(series)
        return found

    def reshape(self) -> set[str]:
        """The names under which a series came or went since the last call."""
        found, self.reshaped = self.reshaped, set()
        return found
