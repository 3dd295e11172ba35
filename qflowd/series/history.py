"""Series of any length and any spacing in sorted lists: what a query reads besides the rings, and what a test fills by hand."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence

from qflowd.model import Sample
from qflowd.series import LOOKBACK
from qflowd.series.labels import Labels
from qflowd.series.matcher import Matcher


class Track:
    """One series: times in ms, ascending, and a value or ``None`` (a staleness marker) at each."""

    __slots__ = ("_ended", "full", "labels", "name", "times", "values")

    def __init__(self, name: str, labels: Mapping[str, str], times: Iterable[int] = (), values: Iterable[float | None] = ()) -> None:
        self.name, self.labels = name, dict(labels)
        self.full = Labels({"__name__": name, **labels} if name else labels)
        self.times, self.values = list(times), list(values)
        self._ended = None in self.values

    def add(self, time: int, value: float | None) -> bool:
        """A point after all others, or in place of the last; false for an older one."""
        if self.times and time <= self.times[-1]:
            if time < self.times[-1]:
                return False
            self.values[-1] = value
        else:
            self.times.append(time)
            self.values.append(value)
        self._ended = self._ended or value is None
        return True

    @property
    def newest(self) -> int:
        return self.times[-1] if self.times else -1

    def last(self, time: int, lookback: int = LOOKBACK) -> tuple[int, float] | None:
        """Time and value of the newest point in ``(time - lookback, time]``; ``None`` without one, or where the series ended."""
        at = bisect_right(self.times, time) - 1
        if at < 0 or self.times[at] <= time - lookback:
            return None
        value = self.values[at]
        return None if value is None else (self.times[at], value)

    def at(self, time: int, lookback: int = LOOKBACK) -> float | None:
        """The value of ``last``."""
        found = self.last(time, lookback)
        return None if found is None else found[1]

    def window(self, start: int, end: int) -> tuple[list[int], list[float]]:
        """Times and values in ``(start, end]``; markers left out."""
        first, behind = bisect_right(self.times, start), bisect_right(self.times, end)
        times, values = self.times[first:behind], self.values[first:behind]
        if self._ended:
            kept = [(time, value) for time, value in zip(times, values, strict=True) if value is not None]
            return [time for time, _ in kept], [value for _, value in kept]
        return times, values  # type: ignore[return-value]


class History:
    """Tracks (of the given kind) by name and labels; a query can be evaluated over it as over a ``SeriesStore``."""

    def __init__(self, kind: type[Track] = Track) -> None:
        self._kind = kind
        self._tracks: dict[str, dict[frozenset[tuple[str, str]], Track]] = {}

    def track(self, name: str, labels: Mapping[str, str]) -> Track:
        """The track of these labels, made where there is none."""
        group = self._tracks.setdefault(name, {})
        key = frozenset(labels.items())
        found = group.get(key)
        if found is None:
            found = group[key] = self._kind(name, labels)
        return found

    def add(self, sample: Sample) -> bool:
        """A point; see ``Track.add``."""
        return self.track(sample.name, sample.labels).add(sample.time, sample.value)

    def get(self, name: str, labels: Mapping[str, str]) -> Track | None:
        """The track with exactly these labels."""
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
