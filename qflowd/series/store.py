"""The newest hour of every series in memory, one slot a second."""

from __future__ import annotations

import math
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence

from qflowd.model import Sample
from qflowd.series import LOOKBACK
from qflowd.series.follow import Follower
from qflowd.series.labels import Labels
from qflowd.series.matcher import Matcher

LATE = 60_000
SWEEP = 60_000
EMPTY = 0xFFFF
SMALL = 32
"""Series of one name up to which a selector looks at each; beyond, an index by the value of a label is made when asked for."""
STALE = 0x8000
"""Added to a slot's milliseconds where the point is a staleness marker, so that a measured NaN stays a value."""


class Series:
    """One ring: per second a value and the milliseconds within it. It doubles from 64 slots up to ``seconds``."""

    __slots__ = ("_first", "_full", "_limit", "_millis", "_size", "_values", "labels", "name", "newest")
    _full: Labels

    def __init__(self, name: str, labels: dict[str, str], seconds: int) -> None:
        self.name, self.labels, self._limit = name, labels, seconds
        self._size = min(64, seconds)
        self.newest = self._first = -1
        self._values = array("d", bytes(8 * self._size))
        self._millis = array("H", [EMPTY]) * self._size

    @property
    def full(self) -> Labels:
        """The labels with the name under ``__name__``."""
        try:
            return self._full
        except AttributeError:
            self._full = Labels({"__name__": self.name, **self.labels})
            return self._full

    def _grow(self, need: int) -> None:
        old, values, millis = self._size, self._values, self._millis
        size = old
        while size < need and size < self._limit:
            size = min(size * 2, self._limit)
        self._size, self._values, self._millis = size, array("d", bytes(8 * size)), array("H", [EMPTY]) * size
        last = self.newest // 1000
        for second in range(max(self._first, last - old + 1), last + 1):
            self._values[second % size], self._millis[second % size] = values[second % old], millis[second % old]

    def put(self, time: int, value: float | None) -> bool:
        """Sets the slot of ``time`` (ms); false where it is older than the ring."""
        second, milli = divmod(time, 1000)
        last = self.newest // 1000
        if self.newest < 0:
            self._first = last = second
        if second <= last - self._limit:
            return False
        first = max(min(self._first, second), max(last, second) - self._limit + 1)
        if max(last, second) - first + 1 > self._size:
            self._grow(max(last, second) - first + 1)
        size = self._size
        for gap in range(max(last + 1, second - size + 1), second):
            self._millis[gap % size] = EMPTY
        self._first = first
        self.newest = max(self.newest, time)
        self._values[second % size] = 0.0 if value is None else value
        self._millis[second % size] = milli | STALE if value is None else milli
        return True

    def last(self, time: int, lookback: int = LOOKBACK) -> tuple[int, float] | None:
        """Time and value of the newest point in ``(time - lookback, time]``; ``None`` without one, or where the series ended."""
        if self.newest < 0:
            return None
        for second in range(min(time, self.newest) // 1000, max(self._first, (time - lookback) // 1000) - 1, -1):
            milli = self._millis[second % self._size]
            if milli == EMPTY:
                continue
            stamp = second * 1000 + (milli & 0x3FF)
            if stamp <= time - lookback:
                return None
            if stamp <= time:
                return None if milli & STALE else (stamp, self._values[second % self._size])
        return None

    def at(self, time: int, lookback: int = LOOKBACK) -> float | None:
        """The value of ``last``."""
        newest = self.newest
        if time - lookback < newest <= time:
            slot = newest // 1000 % self._size
            return None if self._millis[slot] & STALE else self._values[slot]
        found = self.last(time, lookback)
        return None if found is None else found[1]

    def window(self, start: int, end: int) -> tuple[list[int], list[float]]:
        """Times and values in ``(start, end]``, as Prometheus's ranges are; markers left out."""
        times: list[int] = []
        values: list[float] = []
        if self.newest < 0:
            return times, values
        for second in range(max(self._first, start // 1000), min(end, self.newest) // 1000 + 1):
            milli = self._millis[second % self._size]
            if milli & STALE:
                continue
            stamp = second * 1000 + milli
            if start < stamp <= end:
                times.append(stamp)
                values.append(self._values[second % self._size])
        return times, values


class SeriesStore:
    """All series, at most ``limit``. At the limit, those without a point for as long as a ring is make room."""

    def __init__(self, *, limit: int = 2000, seconds: int = 3600) -> None:
        self.limit, self.seconds = limit, seconds
        self.refused = self.late = 0
        self._series: dict[str, dict[tuple[tuple[str, str], ...], Series]] = {}
        self._count = 0
        self._swept = 0
        self._fresh: dict[int, tuple[Series, list[int], list[float | None]]] = {}
        self._followers: list[Follower] = []
        self._index: dict[tuple[str, str], dict[str, list[Series]]] = {}

    def follow(self) -> Follower:
        """From here on told of every series that changes; each one is touched to begin with."""
        follower = Follower()
        for name, group in self._series.items():
            follower.reshaped.add(name)
            follower.touched.update(dict.fromkeys(group.values()))
        self._followers.append(follower)
        return follower

    def unfollow(self, follower: Follower) -> None:
        """Tell ``follower`` no more."""
        self._followers = [one for one in self._followers if one is not follower]

    def __len__(self) -> int:
        return self._count

    def _of(self, name: str, labels: dict[str, str], time: int) -> Series | None:
        key = tuple(sorted(labels.items()))
        found = self._series.get(name, {}).get(key)
        if found is None:
            if self._count >= self.limit:
                self._sweep(time)
            if self._count < self.limit:
                found = self._series.setdefault(name, {})[key] = Series(name, dict(labels), self.seconds)
                self._count += 1
                self._reshaped(name)
        return found

    def _sweep(self, time: int) -> None:
        """Drops the series whose points have all left the hour before ``time`` (ms); at most once a minute, as it reads all."""
        if time < self._swept + SWEEP:
            return
        self._swept = time
        for name, group in list(self._series.items()):
            for key in [key for key, one in group.items() if one.newest < time - self.seconds * 1000 and id(one) not in self._fresh]:
                del group[key]
                self._count -= 1
                self._reshaped(name)
            if not group:
                del self._series[name]

    def add(self, sample: Sample) -> bool:
        """False where the series is refused (limit) or the point is more than 60 s behind its series."""
        series = self._of(sample.name, sample.labels, sample.time)
        if series is None:
            self.refused += 1
            return False
        if sample.time < series.newest - LATE or not series.put(sample.time, sample.value):
            self.late += 1
            return False
        fresh = self._fresh.get(id(series))
        if fresh is None:
            fresh = self._fresh[id(series)] = (series, [], [])
        fresh[1].append(sample.time)
        fresh[2].append(sample.value)
        for follower in self._followers:
            follower.touched[series] = None
        return True

    def get(self, name: str, labels: Mapping[str, str]) -> Series | None:
        """The one series of this name with exactly these labels."""
        return self._series.get(name, {}).get(tuple(sorted(labels.items())))

    def select(self, name: str | None, matchers: Sequence[Matcher]) -> list[Series]:
        """The series called ``name`` (any, where ``None``) that all matchers match; ``__name__`` may be matched too."""
        return list(self.scan(name, matchers)) if matchers or name is None else list(self._series.get(name, {}).values())

    def scan(self, name: str | None, matchers: Sequence[Matcher]) -> Iterator[Series]:
        """``select``, one after another. The store must not change meanwhile."""
        groups = self._series.items() if name is None else ((name, self._series.get(name, {})),)
        for own, group in groups:
            candidates: Collection[Series] = group.values()
            if len(group) > SMALL and name is not None:
                equal = [one for one in matchers if one.op == "=" and one.value and one.name != "__name__"]
                if equal:
                    candidates = min((self._postings(own, one.name).get(one.value, ()) for one in equal), key=len)
            for series in candidates:
                if all(one.matches_value(own) if one.name == "__name__" else one.matches(series.labels) for one in matchers):
                    yield series

    def _postings(self, name: str, label: str) -> dict[str, list[Series]]:
        """The series called ``name`` by their value of ``label``; kept until one of the name comes or goes."""
        found = self._index.get((name, label))
        if found is None:
            found = self._index[name, label] = {}
            for series in self._series[name].values():
                if (value := series.labels.get(label)) is not None:
                    found.setdefault(value, []).append(series)
        return found

    def _reshaped(self, name: str) -> None:
        if self._index:
            self._index = {key: postings for key, postings in self._index.items() if key[0] != name}
        for follower in self._followers:
            follower.reshaped.add(name)

    def drain(self, names: Collection[str] | None = None) -> list[tuple[str, dict[str, str], list[int], list[float | None]]]:
        """The points added since the last drain: (name, labels, times, values) per series; only of series with these ``names``,
        where they are given."""
        if names is None:
            fresh, self._fresh = self._fresh, {}
        else:
            own = [id(one) for name in names for one in self._series.get(name, {}).values()]
            fresh = {key: self._fresh.pop(key) for key in own if key in self._fresh}
        return [(series.name, series.labels, times, values) for series, times, values in fresh.values()]

    def load(self, name: str, labels: dict[str, str], times: Sequence[int], values: Sequence[float | None]) -> None:
        """Refills a ring from disk; these points are not drained again."""
        series = self._of(name, labels, times[-1] if times else 0)
        if series is None:
            self.refused += 1
            return
        for time, value in zip(times, values, strict=True):
            series.put(time, None if value is not None and math.isnan(value) else value)
        for follower in self._followers:
            follower.touched[series] = None
