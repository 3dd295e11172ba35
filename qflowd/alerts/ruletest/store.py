"""Series at virtual time: of any length and any spacing, with what the engine and queries ask of a store."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence

from qflowd.model import Sample
from qflowd.series import LOOKBACK
from qflowd.series.follow import Follower
from qflowd.series.matcher import Matcher


class Track:
    """One series: ascending times (ms) with a value or ``None``, a staleness marker. ``closed``: a point that lies exactly at
    the left edge of a range belongs to it, as it did before Prometheus 3."""

    __slots__ = ("closed", "full", "labels", "name", "times", "values")

    def __init__(self, name: str, labels: Mapping[str, str], closed: bool) -> None:
        self.name, self.labels, self.closed = name, dict(labels), closed
        self.full = {"__name__": name, **labels}
        self.times: list[int] = []
        self.values: list[float | None] = []

    @property
    def newest(self) -> int:
        return self.times[-1] if self.times else -1

    def add(self, time: int, value: float | None) -> bool:
        """False for a point that is older than the newest, or another one for its time."""
        if self.times and time <= self.times[-1]:
            there = self.values[-1]
            return time == self.times[-1] and (value is None or there == value or (value != value and there != there))
        self.times.append(time)
        self.values.append(value)
        return True

    def last(self, time: int, lookback: int = LOOKBACK) -> tuple[int, float] | None:
        """Time and value of the newest point up to ``time``; ``None`` without one, or where the series ended."""
        at = bisect_right(self.times, time) - 1
        if at < 0 or self.times[at] < time - lookback or (self.times[at] == time - lookback and not self.closed):
            return None
        value = self.values[at]
        return None if value is None else (self.times[at], value)

    def at(self, time: int, lookback: int = LOOKBACK) -> float | None:
        """The value of ``last``."""
        found = self.last(time, lookback)
        return None if found is None else found[1]

    def window(self, start: int, end: int) -> tuple[list[int], list[float]]:
        """Times and values from ``start`` to ``end``; markers left out."""
        first = (bisect_left if self.closed else bisect_right)(self.times, start)
        behind = bisect_right(self.times, end)
        pairs = zip(self.times[first:behind], self.values[first:behind], strict=True)
        kept = [(time, value) for time, value in pairs if value is not None]
        return [time for time, _ in kept], [value for _, value in kept]


class Tracks:
    """All series of a test; stands in for ``SeriesStore`` where every rule is evaluated in every round."""

    def __init__(self, *, closed: bool = False) -> None:
        self.closed = closed
        self._tracks: dict[str, dict[frozenset[tuple[str, str]], Track]] = {}
        self._followers: list[Follower] = []

    def follow(self) -> Follower:
        """Told of new series only."""
        follower = Follower()
        follower.reshaped.update(self._tracks)
        self._followers.append(follower)
        return follower

    def unfollow(self, follower: Follower) -> None:
        """Tell ``follower`` no more."""
        self._followers = [one for one in self._followers if one is not follower]

    def add(self, sample: Sample) -> bool:
        """See ``Track.add``."""
        group = self._tracks.setdefault(sample.name, {})
        key = frozenset(sample.labels.items())
        track = group.get(key)
        if track is None:
            track = group[key] = Track(sample.name, sample.labels, self.closed)
            for follower in self._followers:
                follower.reshaped.add(sample.name)
        return track.add(sample.time, sample.value)

    def get(self, name: str, labels: Mapping[str, str]) -> Track | None:
        """The one series of this name with exactly these labels."""
        return self._tracks.get(name, {}).get(frozenset(labels.items()))

    def select(self, name: str | None, matchers: Sequence[Matcher]) -> list[Track]:
        """The series called ``name`` (any, where ``None``) that all matchers match."""
        return list(self.scan(name, matchers))

    def scan(self, name: str | None, matchers: Sequence[Matcher]) -> Iterator[Track]:
        """``select``, one after another."""
        for own, group in self._tracks.items() if name is None else ((name, self._tracks.get(name, {})),):
            for track in group.values():
                if all(one.matches_value(own) if one.name == "__name__" else one.matches(track.labels) for one in matchers):
                    yield track
