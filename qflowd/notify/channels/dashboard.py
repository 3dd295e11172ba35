"""The page: what the engine tells reaches the stream ``alert_events`` at once, so that this channel has nothing left to do."""

from __future__ import annotations

from qflowd.model.notification import Notification
from qflowd.notify.channel import Kind, Options, Surroundings
from qflowd.notify.outcome import Outcome

SHOWN = Outcome("sent", "shown on the page")


class Dashboard:
    async def send(self, notification: Notification, now: int) -> Outcome:
        return SHOWN


def make(options: Options, surroundings: Surroundings) -> Dashboard:
    return Dashboard()


KIND = Kind(Options, make)
