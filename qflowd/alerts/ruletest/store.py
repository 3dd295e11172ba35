"""Series at virtual time: of any length and any spacing, with what the engine and queries ask of a store."""

from __future__ import annotations

from collections.abc import Mapping

from qflowd.series import LOOKBACK
from qflowd.series.follow import Follower
from qflowd.series.history import History, Track


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


class Tracks(History):
    """All series of a test; stands in for ``SeriesStore`` where every rule is evaluated in every round."""

    def __init__(self, *, closed: bool = False) -> None:
        super().__init__(ClosedTrack if closed else StrictTrack)
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

    def track(self, name: str, labels: Mapping[str, str]) -> Track:
        found = self.get(name, labels)
        if found is None:
            found = super().track(name, labels)
            for follower in self._followers:
                follower.reshaped.add(name)
        return found
