"""What ended in the last five minutes: a running total, and the slots that will leave it."""

from __future__ import annotations

from qflowd.series.sketch import Sketch

BUCKET = 5_000
WINDOW = 300_000
MINUTE = 60


class Slot:
    """What ended in a span of time. ``probed``: how many told whether a cache was hit."""

    __slots__ = ("bad", "cached", "count", "latency", "probed")

    def __init__(self) -> None:
        self.count, self.bad, self.cached, self.probed, self.latency = 0, 0, 0, 0, Sketch()

    def add(self, duration: float | None, bad: bool, cached: bool | None) -> None:
        self.count += 1
        self.bad += bad
        if cached is not None:
            self.probed += 1
            self.cached += cached
        if duration is not None:
            self.latency.add(duration)

    def remove(self, other: Slot) -> None:
        self.count -= other.count
        self.bad -= other.bad
        self.cached -= other.cached
        self.probed -= other.probed
        self.latency.remove(other.latency)


class Window:
    """``total`` is of the last 5 min (to 5 s) as of the last ``advance``; ``ended`` counts to the second."""

    __slots__ = ("_edge", "_known", "_next", "_seconds", "_slots", "last", "total")

    def __init__(self) -> None:
        self.total = Slot()
        self.last = 0
        self._slots: dict[int, Slot] = {}
        self._seconds: dict[int, int] = {}
        self._edge = 0
        self._next = 0
        self._known: dict[float, float | None] = {}

    def add(self, time: int, duration: float | None, bad: bool, cached: bool | None = None) -> None:
        """One that ended at ``time`` (ms), which must not lie ahead of the clock."""
        at = time // BUCKET
        if at < self._edge:
            return
        slot = self._slots.get(at)
        if slot is None:
            slot = self._slots[at] = Slot()
            self._next = min(self._next, at) if len(self._slots) > 1 else at
        slot.add(duration, bad, cached)
        self.total.add(duration, bad, cached)
        self._known = {}
        self.last = max(self.last, time)
        second = time // 1000
        self._seconds[second] = self._seconds.get(second, 0) + 1

    def advance(self, now: int) -> None:
        """Lets go of what is older than 5 min at ``now`` (ms)."""
        self._edge = max(self._edge, (now - WINDOW) // BUCKET + 1)
        if self._slots and self._next < self._edge:
            for at in [at for at in self._slots if at < self._edge]:
                self.total.remove(self._slots.pop(at))
            self._next = min(self._slots, default=0)
            self._known = {}
        if self._seconds:
            old = now // 1000 - MINUTE
            for second in [second for second in self._seconds if second <= old]:
                del self._seconds[second]

    def ended(self, now: int, seconds: int) -> int:
        """How many ended in the last ``seconds`` (60 at most)."""
        if not self._seconds:
            return 0
        start = now // 1000 - seconds
        return sum(count for second, count in self._seconds.items() if second > start)

    def quantile(self, q: float) -> float | None:
        """Of the durations in ``total``; kept until they change."""
        if q not in self._known:
            self._known[q] = self.total.latency.quantile(q)
        return self._known[q]
