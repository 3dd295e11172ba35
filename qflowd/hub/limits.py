"""How many messages a socket may send."""

from __future__ import annotations


class Bucket:
    """A token bucket that goes into debt: refused messages cost too, and who is far in debt is cut off."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: int, burst: int, now: int) -> None:
        """``rate`` messages a second, ``burst`` at once; ``now`` in ms."""
        self._rate = rate / 1000
        self._burst = burst
        self._tokens = float(burst)
        self._at = now

    def take(self, now: int) -> int | None:
        """0 when the message may pass, else the milliseconds to wait; ``None`` when the debt is over twice the burst."""
        self._tokens = min(self._burst, self._tokens + max(0, now - self._at) * self._rate)
        self._at = now
        self._tokens -= 1
        if self._tokens >= 0:
            return 0
        if self._tokens < -2 * self._burst:
            return None
        return max(1, int(-self._tokens / self._rate))
