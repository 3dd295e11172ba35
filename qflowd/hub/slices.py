"""Long work on the loop, a slice at a time: HTTP, ingest and rules get their turn between two slices."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from time import perf_counter

SLICE = 0.0025
"""Seconds that the work may take before everything else gets its turn."""


class Slices:
    """Runs jobs one after the other. A job is an iterator that pauses after each small step, as after each client.

    The first slice runs at once, so that what is small is over when ``add`` returns.
    """

    def __init__(self, seconds: float = SLICE) -> None:
        self._seconds = seconds
        self._jobs: deque[Iterator[None]] = deque()
        self._again: asyncio.Handle | None = None
        self._running = False

    @property
    def busy(self) -> bool:
        """Whether a job has not ended."""
        return bool(self._jobs)

    def add(self, job: Iterator[None]) -> None:
        """Run ``job`` when those before it have ended. What it raises comes out here or in the loop's handler; the others go on."""
        self._jobs.append(job)
        if self._again is None and not self._running:
            self._turn()

    def _turn(self) -> None:
        self._again, self._running = None, True
        began = perf_counter()
        try:
            while self._jobs:
                for _ in self._jobs[0]:
                    if perf_counter() - began > self._seconds:
                        return
                self._jobs.popleft()
        except BaseException:
            self._jobs.popleft()
            raise
        finally:
            self._running = False
            if self._jobs:
                self._again = asyncio.get_running_loop().call_soon(self._turn)
