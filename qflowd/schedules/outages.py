"""When nothing could be seen: the daemon was away, or the journal took no events. Times are epoch ms."""

from __future__ import annotations

TOLERATED = 3000
"""An outage up to here costs no start: ``qflowd exec`` and the client go on trying for so long before they spool."""
MOST = 200


class Outages:
    """Stretches of time, merged; of the newest ``MOST``. What is older than those kept counts as not seen."""

    def __init__(self, stretches: list[tuple[int, int]] | None = None, before: int = 0) -> None:
        self.stretches = sorted(stretches or [])
        self.before = before

    def add(self, start: int, end: int) -> None:
        """Note an outage; one that is tolerated is none, unless it goes on from the one before."""
        last = self.stretches[-1] if self.stretches else None
        if last is not None and start <= last[1] + TOLERATED:
            if end > last[1]:
                self.stretches[-1] = (last[0], end)
        elif end - start > TOLERATED:
            self.stretches.append((start, end))
            if len(self.stretches) > MOST:
                self.before = self.stretches.pop(0)[1]

    def overlap(self, start: int, end: int) -> bool:
        """Whether part of ``[start, end]`` was not seen."""
        if start < self.before:
            return True
        for begin, finish in reversed(self.stretches):
            if finish <= start:
                return False
            if begin < end:
                return True
        return False
