"""Series at virtual time: of any length and any spacing, with what the engine and queries ask of a store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from qflowd.model import Sample
from qflowd.series import LOOKBACK
from qflowd.series.follow import Follower
from qflowd.series.history import Track
from qflowd.series.matcher import Matcher


class StrictTrack(Track):
    """A series of which no point is replaced."""

    __slots__ = ()

    def add(self, time: int, value: float | None) -> bool:
        """False for a point that is older than the newest, or another one for its time."""
        if self.times and time == self.times[-1]:
            there = self.values[-1]
            return value is None or there == value or (value != value and there != there)
        return super().add(time, value)


class ClosedTrack(StrictTrack):
    """A series whose ranges include a point that lies exactly at their left edge, as before Prometheus 3."""

    __slots__ = ()

    def last(self, time: int, lookback: int = LOOKBACK) -> tuple[int, float] | None:
        return super().last(time, lookback + 1)

    def window(self, start: int, end: int) -> tuple[list[int], list[float]]:
        return super().window(start - 1, end)


class Tracks:
    """All series of a test; stands in for ``SeriesStore`` where every rule is evaluated in every round."""

    def __init__(self, *, closed: bool = False) -> None:
        self._kind = ClosedTrack if closed else StrictTrack
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
            track = group[key] = self._kind(sample.name, sample.labels)
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
