"""Notifications in the running daemon: the channels that are configured, the outbox over the journal, and what is said of both."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import random
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from qflowd.alerts.direct import direct
from qflowd.config import ConfigError, Loaded, Mistake
from qflowd.model import LogLine, Rule, Transition
from qflowd.model.notification import Delivery
from qflowd.notify.channel import ChannelError, Surroundings
from qflowd.notify.channels import KINDS
from qflowd.notify.delivery import Configured, Outbox, begun
from qflowd.storage import Batch, OutboxRow

if TYPE_CHECKING:
    from qflowd.storage import Storage

log = logging.getLogger("qflowd.notify")

GRACE = 1.5
"""Seconds that messages under way have when the daemon stops; what is cut off is sent again after the next start."""
DISABLED = "channel_disabled"
"""Kind of the documents that say which channel is disabled, and why."""


class Disabled(msgspec.Struct):
    """``text``: the configuration that was disabled; another one is tried anew."""

    text: str
    reason: str


def row(delivery: Delivery) -> OutboxRow:
    """A delivery as the journal keeps it."""
    one = delivery.notification
    return OutboxRow(one.key, one.channel, delivery.status, delivery.changed, msgspec.msgpack.encode(delivery))


def read(blob: bytes) -> Delivery:
    """A delivery from the journal."""
    return msgspec.msgpack.decode(blob, type=Delivery)


class Journal:
    """The outbox in the database."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    async def save(self, deliveries: Sequence[Delivery]) -> None:
        await asyncio.wrap_future(self.storage.save(Batch(deliveries=[row(one) for one in deliveries])))

    async def waiting(self, channel: str, limit: int) -> list[Delivery]:
        found = []
        for _, blob in await asyncio.wrap_future(self.storage.outbox(channel=channel, status="waiting", limit=limit)):
            found.append(read(blob))
            if len(found) % 100 == 0:
                await asyncio.sleep(0)
        return found


def build(loaded: Loaded) -> dict[str, Configured]:
    """The channels of a configuration, ready for use. Raises ConfigError with every mistake."""
    config, mistakes, found = loaded.config, [], {}
    surroundings = Surroundings(config.server.instance or socket.gethostname(), config.server.public_url)
    for name, values in config.channels.items():
        kind = KINDS[values["type"]]
        try:
            options = msgspec.convert({key: value for key, value in values.items() if key != "type"}, kind.options)
            channel = kind.make(options, surroundings)
        except (ChannelError, msgspec.ValidationError) as error:
            path = ("channels", name, *filter(None, getattr(error, "path", "").split(".")))
            file, line = loaded.place(path)
            mistakes.append(Mistake(file, line, ".".join(path), str(error)))
            continue
        # Secrets may change while the text of the configuration does not: what the channel read is part of it.
        text = hashlib.sha256(repr((sorted(values.items()), surroundings, vars(channel))).encode()).hexdigest()
        found[name] = Configured(channel, options, text)
    if mistakes:
        raise ConfigError(mistakes)
    return found


class Notifying:
    """The outbox with its surroundings; ``show`` puts a line on the event log."""

    def __init__(self, *, storage: Storage, clock: Callable[[], int], show: Callable[[LogLine], None]) -> None:
        self.storage, self.clock, self._show = storage, clock, show
        self.outbox = Outbox(
            journal=Journal(storage), clock=clock, random=random.random, settled=self._settled, gone=self._gone,
        )  # fmt: skip
        self._channels: dict[str, Configured] = {}
        self._disabled: dict[str, Disabled] = {}

    # -- configuration -------------------------------------------------------------------------------------------

    async def restore(self, channels: Mapping[str, Configured]) -> None:
        """Take the channels at the start; what waits in the journal goes on once delivery is released."""
        documents = await asyncio.wrap_future(self.storage.documents(DISABLED))
        self._disabled = {name: msgspec.json.decode(blob, type=Disabled) for name, blob in documents.items()}
        await self.use(channels)

    async def use(self, channels: Mapping[str, Configured]) -> None:
        """Take these channels from now on. What waits for one that is gone is recorded as not configured."""
        self._channels = dict(channels)
        for name, one in list(self._disabled.items()):
            if name in channels and channels[name].text != one.text:
                await self._enable(name)
        await self.outbox.configure(channels, {name: one.reason for name, one in self._disabled.items()})
        await self._abandon()

    async def _abandon(self) -> None:
        counts = await asyncio.wrap_future(self.storage.outbox_counts())
        for name in [channel for channel, status in counts if status == "waiting" and channel not in self.outbox.names]:
            journal, now = self.outbox.journal, self.clock()
            why = "the channel was removed"
            while found := await journal.waiting(name, 500):
                await journal.save([msgspec.structs.replace(one, status="not_configured", changed=now, detail=why) for one in found])
            log.warning("the channel %s is no longer configured: what waited for it is kept", name)

    async def _gone(self, name: str, reason: str) -> None:
        self._disabled[name] = Disabled(self._channels[name].text, reason)
        log.error("the channel %s is disabled: %s", name, reason)
        document = (DISABLED, name, msgspec.json.encode(self._disabled[name]))
        await asyncio.wrap_future(self.storage.save(Batch(documents=[document])))

    async def _enable(self, name: str) -> None:
        del self._disabled[name]
        await asyncio.wrap_future(self.storage.save(Batch(documents=[(DISABLED, name, None)])))

    # -- what the API asks ---------------------------------------------------------------------------------------

    async def page(self, channel: str | None, status: str | None, before: int | None, limit: int) -> list[tuple[int, Delivery]]:
        """Deliveries by their place in the outbox, the newest first."""
        found = await asyncio.wrap_future(
            self.storage.outbox(channel=channel, status=status, before=before, limit=limit, newest_first=True)
        )
        return [(number, read(blob)) for number, blob in found]

    # -- the way through -----------------------------------------------------------------------------------------

    def decide(self, transitions: Sequence[Transition], rules: Mapping[str, Rule]) -> list[Delivery]:
        """What is to be told of transitions, and to whom; to be committed with them."""
        names = self.outbox.names
        return [begun(one, names) for one in direct(transitions, rules, os.urandom)]

    def rows(self, deliveries: Sequence[Delivery]) -> list[OutboxRow]:
        """As the journal takes them."""
        return [row(one) for one in deliveries]

    def offer(self, deliveries: Sequence[Delivery], *, committed: bool) -> None:
        """Deliver what was decided; once each, after its commit was tried."""
        self.outbox.offer(deliveries, committed=committed)

    def tick(self, unseen: int, since_start: int, hold: int) -> None:
        """Begin to deliver once every rule was evaluated (``unseen`` were not) and the daemon has run for ``hold`` ms: until
        then an alert that inhibits others may not have come back yet."""
        if not self.outbox.released and unseen == 0 and since_start >= hold:
            self.outbox.release()

    async def housekeep(self) -> None:
        """Commit outcomes that the journal refused before."""
        await self.outbox.flush()

    async def stop(self) -> None:
        """End deliveries."""
        await self.outbox.stop(GRACE)

    def _settled(self, delivery: Delivery) -> None:
        one = delivery.notification
        if delivery.status == "dead":
            names = ", ".join(dict.fromkeys(alert.name for alert in one.alerts[:3]))
            text = f"{one.channel} was not told that {names} is {one.kind}: {delivery.detail}"
            log.error("a notification is dead: %s", text, extra={"key": one.key})
            self._show(LogLine(time=delivery.changed, level="error", source="notify", text=text, type="notification_dead"))

