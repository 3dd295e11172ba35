"""The loop's lag, measured: how late a timer of 50 ms runs."""

from __future__ import annotations

import asyncio
from collections import deque

PERIOD = 0.05


class LagMeter:
    """Keeps the lags of the last minute, in seconds."""

    def __init__(self) -> None:
        self._lags: deque[float] = deque(maxlen=round(60 / PERIOD))
        self._handle: asyncio.TimerHandle | None = None
        self._due = 0.0

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._due = loop.time() + PERIOD
        self._handle = loop.call_at(self._due, self._measure, loop)

    def _measure(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        self._lags.append(max(0.0, now - self._due))
        self._due = now + PERIOD
        self._handle = loop.call_at(self._due, self._measure, loop)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def quantiles(self) -> dict[str, float]:
        """Lag in seconds at 0.5, 0.99 and 1 over the last minute; empty before the first measurement."""
        lags = sorted(self._lags)
        if not lags:
            return {}
        return {text: lags[min(len(lags) - 1, int(float(text) * len(lags)))] for text in ("0.5", "0.99", "1")}
