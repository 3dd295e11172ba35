"""Streams to clients: publishing, subscriptions, throttling, heartbeats, and the end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

from qflowd.hub.client import Client, Subscription
from qflowd.hub.figures import Figures
from qflowd.hub.filters import FilterError, Filters
from qflowd.hub.frames import Frame, reply, to_json
from qflowd.hub.requests import Subscribe, invalid
from qflowd.hub.settings import HubSettings
from qflowd.hub.slices import Slices
from qflowd.hub.stream import Message, Stream, StreamView

BATCH_SECONDS = 0.05
FLUSH_ITEMS = 500
DASHBOARD_FRESH_MS = 250
CLOSE_REASON_BYTES = 123
HALF_TICK_MS = 500
"""What is due within half a tick is done with this one, or an interval of a second would last two."""

HEARTBEAT_TIMEOUT = (1001, "Heartbeat timeout")

Identity = tuple[str, Sequence[str]]


class Hub:
    """All streams and all clients. Everything here runs on the event loop's thread and never waits.

    ``clock`` gives epoch ms; ``epoch`` names this numbering; ``authenticate`` turns a token into (subject, roles) or
    ``None``, and is itself ``None`` where no login is asked for; ``admits`` says whether roles may see the streams.
    """

    def __init__(
        self,
        settings: HubSettings,
        clock: Callable[[], int],
        epoch: str,
        sources: Mapping[str, StreamView],
        dashboard: Callable[[], dict[str, Any]],
        version: str,
        authenticate: Callable[[str], Identity | None] | None = None,
        anonymous_roles: Sequence[str] = (),
        admits: Callable[[Sequence[str]], bool] = lambda roles: True,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.version = version
        self.authenticate = authenticate
        self.anonymous_roles = tuple(anonymous_roles)
        self.streams = {name: Stream(name, view, epoch) for name, view in sources.items()}
        self.closed = False
        self._fields = {name: tuple(view.item_fields) for name, view in sources.items()}
        self._dashboard = dashboard
        self._dashboard_json: tuple[int, bytes] = (-DASHBOARD_FRESH_MS, b"")
        self.admits = admits
        self._chance = chance
        self._clients: dict[str, Client] = {}
        self._serial = 0
        self._offered: dict[str, dict[int | str, Any]] = {}
        self._flush_timer: asyncio.TimerHandle | None = None
        self._ticked: int | None = None
        self._figures = Figures()
        self._slow = 0
        self._empty: asyncio.Event | None = None
        self._slices = Slices()

    # Publishing

    def publish(self, stream: str, data: Any, type: str = "stream_update") -> None:
        """Number and send ``data``: an object, or a list of items. Raises KeyError for an unknown stream."""
        target = self.streams[stream]
        now = self.clock()
        if stream in self._offered:
            self._publish(target, list(self._offered.pop(stream).values()), "stream_update", now)
        self._publish(target, data, type, now)

    def offer(self, stream: str, items: Iterable[Any], keys: Iterable[str] | None = None) -> None:
        """Collect items; they go out together within 50 ms. An item takes the place of an earlier one with its key."""
        offered = self._offered.setdefault(self.streams[stream].name, {})
        if keys is None:
            for item in items:
                self._serial += 1
                offered[self._serial] = item
        else:
            for key, item in zip(keys, items, strict=True):
                offered.pop(key, None)
                offered[key] = item
        if self._flush_timer is None:
            self._flush_timer = asyncio.get_running_loop().call_later(BATCH_SECONDS, self._flush_some)

    def _flush_some(self) -> None:
        """Send what was offered, a slice at a time: a flood must not keep the loop from everything else."""
        for name, offered in list(self._offered.items()):
            keys = list(islice(offered, FLUSH_ITEMS))
            self._publish(self.streams[name], [offered.pop(key) for key in keys], "stream_update", self.clock())
            if not offered:
                del self._offered[name]
        again = bool(self._offered)
        self._flush_timer = asyncio.get_running_loop().call_later(0, self._flush_some) if again else None

    def flush(self) -> None:
        """Send at once what was offered."""
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        offered, self._offered = self._offered, {}
        for name, items in offered.items():
            if items:
                self._publish(self.streams[name], list(items.values()), "stream_update", self.clock())

    def _publish(self, stream: Stream, data: Any, type: str, now: int) -> None:
        for message in stream.publish(data, type, now):
            self._sweep(stream, self._give_state(stream, now) if stream.state else self._broadcast(stream, message))

    def _sweep(self, stream: Stream, walk: Iterator[None]) -> None:
        """Walk over the subscribers of ``stream``, a slice at a time."""

        def counted() -> Iterator[None]:
            try:
                yield from walk
            finally:
                stream.sweeps -= 1

        stream.sweeps += 1
        self._slices.add(counted())

    def _broadcast(self, stream: Stream, message: Message) -> Iterator[None]:
        """Send ``message`` to all who were there when it was published.

        Who reads the past comes to it there, and who subscribed meanwhile has it in the snapshot: both are ahead or reading.
        """
        seq = message.seq
        frames: dict[object, Frame | None] = {}
        subscribers = stream.subscribers
        for client in list(subscribers):
            subscription = subscribers.get(client)
            if subscription is not None and not subscription.reading and subscription.position < seq:
                subscription.position = seq
                frame = self._frame(stream, message, subscription, frames)
                if frame is not None:
                    client.send(frame)
            yield
        message.settle()

    @staticmethod
    def _frame(stream: Stream, message: Message, subscription: Subscription, frames: dict[object, Frame | None]) -> Frame | None:
        key = subscription.filter.key
        if key not in frames:
            frames[key] = stream.frame(message, subscription.filter)
        return frames[key]

    def _give_state(self, stream: Stream, now: int) -> Iterator[None]:
        """Send the newest state to those whose interval is over; the others get it, or one that is newer, at a later tick."""
        message = stream.history[-1]
        stream.held_back = False
        frames: dict[object, Frame | None] = {}
        subscribers = stream.subscribers
        for client in list(subscribers):
            yield
            subscription = subscribers.get(client)
            if subscription is None or subscription.reading or subscription.position >= message.seq:
                continue
            if not subscription.takes(now):
                stream.held_back = True
                continue
            subscription.position = message.seq
            frame = self._frame(stream, message, subscription, frames)
            if frame is not None:
                client.send_state(stream.name, frame)

    # Subscriptions

    def subscribe(self, client: Client, request: Subscribe) -> None:
        """Confirm, then feed each known stream from its snapshot or from where the client was. Raises RequestError."""
        self.merge_filters(client, request.filters)
        self.flush()
        now = self.clock()
        positions: dict[str, Any] = {}
        started: list[tuple[Subscription, int | None]] = []
        for name in request.streams:
            stream = self.streams.get(name)
            if stream is None:
                continue
            epoch, seq = request.resume.get(name, (None, 0))
            recovered = epoch == stream.epoch and stream.holds_after(seq)
            positions[name] = {"epoch": stream.epoch, "seq": stream.seq, "recovered": recovered}
            interval = request.interval or self.settings.update_interval
            started.append((Subscription(stream, client.filters.of(name), interval), seq if recovered else None))
        unknown = [name for name in request.streams if name not in self.streams]
        listed = list(dict.fromkeys([*client.subscriptions, *positions]))
        # Snapshots are taken before anything is sent, so a view that fails leaves the client as it was.
        for subscription, after in started:
            if after is None:
                subscription.read_snapshot(now)
            else:
                subscription.read_after(after)
            subscription.begin(now)
        data = {"subscriptions": listed, "positions": positions, "unknown": unknown}
        client.send(reply("subscription_confirmed", data, now))
        if client.closing:
            return
        for subscription, _ in started:
            client.subscribe(subscription)
        client.pump()

    def merge_filters(self, client: Client, change: Mapping[str, Any]) -> None:
        """Lay ``change`` over the client's filters. Raises RequestError and changes nothing."""
        if not change:
            return
        try:
            client.filters.merge(change)
        except FilterError as error:
            raise invalid(f"data.filters.{error.path}", error.message) from None
        for name, subscription in client.subscriptions.items():
            subscription.filter = client.filters.of(name)

    def positions(self, client: Client) -> dict[str, Any]:
        """Where the client is in each stream; a snapshot it has not read to its end is no position."""
        return {
            name: {"epoch": one.stream.epoch, "seq": one.position if one.reading or one.stream.sweeps else one.stream.seq}
            for name, one in client.subscriptions.items()
            if one.pages is None
        }

    # Clients

    @property
    def full(self) -> bool:
        """Whether no further client is taken."""
        return self.closed or len(self._clients) >= self.settings.max_clients

    def filters(self) -> Filters:
        """Empty filters for a new client."""
        return Filters(self._fields)

    def count_slow(self) -> None:
        """A client was too slow."""
        self._slow += 1

    def add(self, client: Client) -> None:
        """Take a client in."""
        self._clients[client.id] = client

    def remove(self, client: Client) -> None:
        """A connection ended."""
        client.gone()
        if self._clients.pop(client.id, None) is not None:
            self._figures.count(client)
        if not self._clients and self._empty is not None:
            self._empty.set()

    def welcome(self, client: Client) -> Frame:
        """The first message."""
        data = {
            "clientId": client.id,
            "availableStreams": list(self.streams),
            "heartbeatInterval": self.settings.heartbeat_interval,
            "updateInterval": self.settings.update_interval,
            "version": self.version,
        }
        rest = to_json(data)[:-1] + b',"dashboardData":' + self._dashboard_bytes() + b"}"
        return self._around("welcome", rest)

    def dashboard_data(self) -> Frame:
        """The answer to ``get_dashboard_data``."""
        return self._around("dashboard_data", self._dashboard_bytes())

    def _around(self, type: str, data: bytes) -> Frame:
        return Frame(b'{"type":' + to_json(type) + b',"data":' + data + b',"timestamp":%d}' % self.clock())

    def _dashboard_bytes(self) -> bytes:
        now = self.clock()
        made, text = self._dashboard_json
        if not text or not 0 <= now - made < DASHBOARD_FRESH_MS:
            text = to_json(self._dashboard())
            self._dashboard_json = (now, text)
        return text

    def tick(self, now: int) -> None:
        """Once a second: pings, silent clients, throttled states, aged history, the message rate."""
        before = self._ticked if self._ticked is not None else now
        self._ticked = now
        interval = self.settings.heartbeat_interval
        # After a halted machine or a set clock nobody could have answered in time: their time starts anew.
        jumped = not 0 <= now - before <= max(interval, 5_000)
        self._slices.add(self._beat(now, interval, jumped))
        for stream in self.streams.values():
            stream.trim(now)
            if stream.held_back:
                self._sweep(stream, self._give_state(stream, now))

    def _beat(self, now: int, interval: int, jumped: bool) -> Iterator[None]:
        """Count what each client was sent; ping those whose turn it is, close those that have said or taken nothing for two intervals."""
        for client in list(self._clients.values()):
            yield
            self._figures.count(client)
            if jumped:
                client.seen = client.pinged = now
            if client.closing:
                continue
            if now - client.seen >= 2 * interval:
                client.close(*HEARTBEAT_TIMEOUT)
            elif client.behind() >= 2 * interval:
                # It says that it lives, and reads nothing.
                client.slow()
            elif now - client.pinged >= interval - HALF_TICK_MS:
                client.ping(now)
        self._figures.round(now)

    def configure(self, settings: HubSettings) -> None:
        """Take other settings; those of compression and message size hold for connections made from here on."""
        for client in self._clients.values():
            client.limit = settings.client_buffer
            for one in client.subscriptions.values():
                if one.interval == self.settings.update_interval:
                    one.interval = settings.update_interval
        self.settings = settings

    def close(self, reason: str) -> None:
        """Say ``going_away`` to all and close with 1001; nobody is let in any more."""
        self.flush()
        self.closed = True
        closing = reason.encode()[:CLOSE_REASON_BYTES].decode(errors="ignore")
        self._slices.add(self._part(reason, closing))

    def _part(self, reason: str, closing: str) -> Iterator[None]:
        clients = list(self._clients.values())
        # Spread out, so that not all come back in the same moment: at most some 500 a second.
        spread = max(4_000, 2 * len(clients))
        for client in clients:
            after = 1_000 + int(spread * self._chance())
            client.finish(reply("going_away", {"reason": reason, "reconnectAfterMs": after}, self.clock()), 1001, closing)
            yield

    async def drained(self, seconds: float) -> bool:
        """Wait until all clients are gone; those that are still there after ``seconds`` are cut off (``False``)."""
        self._empty = asyncio.Event()
        if self._clients:
            try:
                await asyncio.wait_for(self._empty.wait(), seconds)
            except TimeoutError:
                for client in list(self._clients.values()):
                    client.wire.abort()
                return False
        return True

    # Figures

    def clients(self, start: int = 0, limit: int | None = None) -> list[dict[str, Any]]:
        """Connected clients as the API shows them, those that are longest behind first, else as they came; times epoch ms."""
        everyone = self._clients.values()
        slow = sorted((one for one in everyone if one.blocked_at is not None), key=lambda one: one.blocked_at or 0.0)
        in_order = chain(slow, (one for one in everyone if one.blocked_at is None))
        return [
            {
                "clientId": one.id,
                "address": one.address,
                "subject": one.subject,
                "roles": list(one.roles),
                "connectedAt": one.connected_at,
                "lastSeen": one.seen,
                "subscriptions": list(one.subscriptions),
                "filters": one.filters.shown,
                "messagesSent": one.sent,
                "bytesSent": one.sent_bytes,
                "bufferedBytes": one.buffered,
                "behindMs": one.behind(),
                "conflated": one.conflated,
                "compression": one.wire.deflate,
            }
            for one in islice(in_order, start, None if limit is None else start + limit)
        ]

    def stats(self) -> dict[str, Any]:
        """Figures of the hub. Counts are since the start and, like ``messagesPerSecond``, as they were at the last tick."""
        subscribers = [len(stream.subscribers) for stream in self.streams.values()]
        figures = self._figures
        return {
            "connectedClients": len(self._clients),
            "activeStreams": sum(map(bool, subscribers)),
            "messagesSent": figures.sent,
            "messagesPerSecond": round(figures.rate, 3),
            "bytesSent": figures.sent_bytes,
            "subscriptions": sum(subscribers),
            "conflated": figures.conflated,
            "slowConsumers": self._slow,
            "behind": figures.behind,
            "queueBytes": figures.queued,
        }
