"""All channels with their workers: takes notifications that were decided, and sees each to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from qflowd.model.notification import Delivery, Notification
from qflowd.notify.channel import Channel, Options
from qflowd.notify.worker import Journal, Worker

AT_ONCE = frozenset({"dashboard"})
"""Channels that need no attempt: what they show is shown when it is decided."""


@dataclass(frozen=True)
class Configured:
    """A channel ready for use; ``text`` is equal while its configuration is the same."""

    channel: Channel
    options: Options
    text: str


def begun(notification: Notification, configured: Iterable[str]) -> Delivery:
    """A notification as it enters the outbox."""
    now = notification.created
    if notification.channel in AT_ONCE:
        return Delivery(notification=notification, status="sent", changed=now, detail="shown on the page")
    if notification.channel not in configured:
        return Delivery(notification=notification, status="not_configured", changed=now, detail="the channel is not configured")
    return Delivery(notification=notification, due=now, changed=now)


class Outbox:
    """Workers by the name of their channel. Nothing is delivered before ``release``; ``settled`` and ``gone`` as in ``Worker``."""

    def __init__(
        self,
        *,
        journal: Journal,
        clock: Callable[[], int],
        random: Callable[[], float],
        settled: Callable[[Delivery], None],
        gone: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self.journal, self.clock, self._random = journal, clock, random
        self._settled, self._gone = settled, gone
        self.released = False
        self._channels: dict[str, Configured] = {}
        self._workers: dict[str, Worker] = {}

    @property
    def names(self) -> frozenset[str]:
        """The channels that are configured."""
        return frozenset(self._channels) | AT_ONCE

    async def configure(self, channels: Mapping[str, Configured], disabled: Mapping[str, str]) -> None:
        """Take these channels; a worker whose channel is as before goes on. ``disabled``: name → why."""
        gone = [name for name, one in self._channels.items() if name not in channels or channels[name].text != one.text]
        self._channels = dict(channels)
        await asyncio.gather(*(self._workers.pop(name).stop(channels[name].options.timeout / 1000 if name in channels else 0.0)
                               for name in gone if name in self._workers))  # fmt: skip
        for name, one in channels.items():
            if name not in self._workers and name not in AT_ONCE:
                worker = self._workers[name] = Worker(
                    name, one.channel, one.options, journal=self.journal, clock=self.clock, random=self._random,
                    settled=self._settled, gone=self._gone,
                )  # fmt: skip
                worker.disabled = disabled.get(name)
                if self.released:
                    worker.start()

    def release(self) -> None:
        """Begin to deliver."""
        if not self.released:
            self.released = True
            for worker in self._workers.values():
                worker.start()

    def offer(self, deliveries: Sequence[Delivery], *, committed: bool = True) -> None:
        """Take what was decided, and committed if the journal took it; each once."""
        by_channel: dict[str, list[Delivery]] = {}
        for one in deliveries:
            if one.status == "waiting":
                by_channel.setdefault(one.notification.channel, []).append(one)
            else:
                self._settled(one)
        for name, found in by_channel.items():
            if (worker := self._workers.get(name)) is not None:
                worker.offer(found, committed=committed)

    async def flush(self) -> None:
        """Commit outcomes that the journal refused before."""
        for worker in list(self._workers.values()):
            await worker.flush()

    async def stop(self, grace: float) -> None:
        """Deliver nothing any more; see ``Worker.stop``."""
        await asyncio.gather(*(worker.stop(grace) for worker in self._workers.values()))
