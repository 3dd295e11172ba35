"""What the hub has done so far, counted without a walk over all clients each time that somebody asks."""

from __future__ import annotations

from qflowd.hub.client import Client

BEHIND_MS = 2_000
"""A client whose socket has taken nothing for so long counts as behind."""


class Figures:
    """Counts since the start (messages, bytes, replaced states) and, of the last round, who is behind and what waits.

    Each client is counted once a round, and once more when it leaves; a count never falls.
    """

    def __init__(self) -> None:
        self.sent = self.sent_bytes = self.conflated = 0
        self.behind = self.queued = 0
        self._behind = self._queued = 0
        self._rate_from = (0, 0)
        self.rate = 0.0

    def count(self, client: Client) -> None:
        """Add what ``client`` was sent since it was counted last."""
        sent, sent_bytes, conflated = client.counted
        client.counted = counted = (client.sent, client.sent_bytes, client.conflated)
        self.sent += counted[0] - sent
        self.sent_bytes += counted[1] - sent_bytes
        self.conflated += counted[2] - conflated
        if client.blocked_at is not None:
            self._queued += client.buffered
            self._behind += client.behind() >= BEHIND_MS

    def round(self, now: int) -> None:
        """All clients were counted: at ``now``, in epoch ms."""
        self.behind, self.queued, self._behind, self._queued = self._behind, self._queued, 0, 0
        sent, at = self._rate_from
        if now > at:
            self.rate = (self.sent - sent) * 1000 / (now - at) if at else 0.0
            self._rate_from = (self.sent, now)
