"""One connected client: a bounded queue in front of a socket that is only written to while it drains."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Protocol

from qflowd.hub.filters import Filter, Filters
from qflowd.hub.frames import PING, Frame, encode_frame
from qflowd.hub.stream import Stream

WRITE_BYTES = 64 * 1024
TURN_BYTES = 256 * 1024
TURN_SECONDS = 0.0025
"""After so many bytes, or so long, in one go the loop gets its turn: 64 KiB on the wire may be 1 MB to encode and compress."""

EARLY_MS = 250
"""So much sooner than its interval says a state may go out."""

CLOSE_PATIENCE = 5.0
SLOW = (4008, "slow consumer")


class Wire(Protocol):
    """A socket's writing end (``tornado_protocol.Protocol``)."""

    deflate: bool

    def direct(self) -> Callable[[bytes], int] | None: ...
    def send(self, wire: bytes | memoryview) -> asyncio.Future[None]: ...
    def lost(self, error: OSError) -> None: ...
    def close(self, code: int | None = None, reason: str | None = None) -> None: ...
    def abort(self) -> None: ...


class Subscription:
    """One stream for one client. While ``reading`` it is fed from the shared history, after that as things happen."""

    __slots__ = ("_on_beat", "due", "filter", "interval", "pages", "position", "reading", "stream")

    def __init__(self, stream: Stream, wanted: Filter, interval: int) -> None:
        self.stream = stream
        self.filter = wanted
        self.interval = interval
        self.due = 0
        self._on_beat = False
        self.pages: Iterator[Frame] | None = None
        self.position = stream.seq
        self.reading = False

    def takes(self, now: int) -> bool:
        """Whether a state may go out at ``now`` (epoch ms); yes begins the next interval.

        States go out when they are published, never later from a timer of the subscription's own: all with one interval keep
        the publisher's beat, and get a value when it is fresh.
        """
        left = min(self.due - now, self.interval)
        # What comes a little early is not held back for a whole round: publisher and interval tick alike.
        if left > min(EARLY_MS, self.interval // 4):
            return False
        self.due = (self.due if self._on_beat and left > -self.interval // 2 else now) + self.interval
        self._on_beat = True
        return True

    def begin(self, now: int) -> None:
        """The first state is the snapshot's; the next goes out with the publisher's beat, half an interval from ``now`` or later."""
        self.due = now + self.interval // 2

    def read_snapshot(self, now: int) -> None:
        """Begin with the present snapshot."""
        self.pages = self.stream.pages(self.filter, now)
        self.position = self.stream.seq
        self.reading = True

    def read_after(self, seq: int) -> None:
        """Begin with what followed ``seq``."""
        self.position = seq
        self.reading = True

    def next(self) -> Frame | None:
        """The next frame to read; ``None`` (and ``reading`` off) when caught up. Raises LookupError when it is held no longer."""
        if self.pages is not None:
            frame = next(self.pages, None)
            if frame is not None:
                return frame
            self.pages = None
        if not self.stream.holds_after(self.position):
            raise LookupError(self.stream.name)
        for message in self.stream.after(self.position):
            self.position = message.seq
            frame = self.stream.frame(message, self.filter)
            if frame is not None:
                return frame
        self.reading = False
        return None


class Client:
    """What waits for a client. Queued and unflushed bytes stay within ``limit``; one message alone may exceed it."""

    __slots__ = (
        "_again", "_direct", "_free", "_in_flight", "_last", "_ping", "_pong", "_queue", "_queued", "_states", "_timer", "address",
        "blocked_at", "closing", "conflated", "connected_at", "counted", "filters", "id", "limit", "on_slow", "pinged", "roles", "seen",
        "sent", "sent_bytes", "subject", "subscriptions", "wire",
    )  # fmt: skip

    def __init__(self, client_id: str, wire: Wire, limit: int, filters: Filters, now: int, on_slow: Callable[[], None]) -> None:
        self.id = client_id
        self.wire = wire
        self.limit = limit
        self.filters = filters
        self.on_slow = on_slow
        self.connected_at = now
        self.seen = now
        self.pinged = now
        self.subject: str | None = None
        self.roles: tuple[str, ...] = ()
        self.address = ""
        self.subscriptions: dict[str, Subscription] = {}
        self.sent = 0
        self.sent_bytes = 0
        self.conflated = 0
        self.counted = (0, 0, 0)
        """What of ``sent``, ``sent_bytes`` and ``conflated`` is in the hub's figures."""
        self.closing = False
        # Since when the socket has not taken what it was given, by the loop's clock in seconds.
        self.blocked_at: float | None = None
        self._queue: list[bytes] = []  # an empty deque takes 600 bytes more
        self._states: dict[str, Frame] = {}
        self._direct = wire.direct()
        # Neither closing nor blocked, and no turn is due: asked for each message, so it is kept ready.
        self._free = True
        self._ping: bytes | None = None
        self._pong: bytes | None = None
        self._queued = 0
        self._in_flight = 0
        self._last: tuple[int, str] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._again: asyncio.Handle | None = None

    @property
    def buffered(self) -> int:
        """Bytes that count against the bound."""
        return self._queued + self._in_flight

    def behind(self) -> int:
        """Milliseconds for which the socket has not taken what it was given; 0 where it takes everything."""
        return 0 if self.blocked_at is None else int((asyncio.get_running_loop().time() - self.blocked_at) * 1000)

    def send(self, frame: Frame) -> None:
        """Queue a message that must arrive; over the bound the client is closed with 4008."""
        wire = frame.wire(self.wire.deflate)
        if self._free:
            self.sent += 1
            self._write(wire)
            return
        if self.closing:
            return
        if self.buffered and self.buffered + len(wire) > self.limit:
            self.slow()
            return
        self._queue.append(wire)
        self._queued += len(wire)
        self.pump()

    def send_state(self, stream: str, frame: Frame) -> None:
        """Hand over the newest state of a stream; one that still waits is replaced."""
        if self._free:
            self.send(frame)
            return
        if self.closing:
            return
        if self._states.pop(stream, None) is not None:
            self.conflated += 1
        self._states[stream] = frame

    def subscribe(self, subscription: Subscription) -> None:
        """Begin a subscription, in place of one to the same stream."""
        self.forget(subscription.stream.name)
        self.subscriptions[subscription.stream.name] = subscription
        subscription.stream.subscribers[self] = subscription

    def forget(self, stream: str) -> None:
        """End a subscription."""
        ended = self.subscriptions.pop(stream, None)
        if ended is not None:
            del ended.stream.subscribers[self]
        self._states.pop(stream, None)

    def _forget_all(self) -> None:
        for name in list(self.subscriptions):
            self.forget(name)

    def ping(self, now: int) -> None:
        """Send a ping, ahead of what waits."""
        self.pinged = now
        self._ping = encode_frame(PING, b"")
        self.pump()

    def pong(self, wire: bytes) -> None:
        """Answer a ping, ahead of what waits; of several that wait the last is enough (RFC 6455, section 5.5.3)."""
        if not self.closing:
            self._pong = wire
            self.pump()

    def slow(self) -> None:
        """Close a client that does not keep up."""
        self.on_slow()
        self.close(*SLOW)

    def close(self, code: int, reason: str) -> None:
        """Close at once; what waits is dropped, and an unwritable socket is cut off after Tornado's five seconds."""
        self.gone()
        self.wire.close(code, reason)

    def finish(self, frame: Frame, code: int, reason: str) -> None:
        """Send a last message behind what waits already, then close; cut off if that takes over five seconds."""
        if self.closing:
            return
        self.closing = True
        self._free = False
        self._forget_all()
        self._queue.append(frame.wire(self.wire.deflate))
        self._last = (code, reason)
        self._timer = asyncio.get_running_loop().call_later(CLOSE_PATIENCE, self.wire.abort)
        self.pump()

    def gone(self) -> None:
        """The connection has ended, or is about to: what waits is dropped, and nothing more is written."""
        self.closing = True
        self._free = False
        self._queue.clear()
        self._forget_all()
        self._ping = self._pong = None
        self._queued = 0
        self._last = None
        for handle in (self._timer, self._again):
            if handle is not None:
                handle.cancel()

    def pump(self) -> None:
        """Write while the socket takes everything at once, a fair share at a time."""
        if self._again is not None or self.blocked_at is not None:
            return
        turn, until = 0, perf_counter() + TURN_SECONDS
        while turn < TURN_BYTES and perf_counter() < until:
            batch = self._batch(until)
            if not batch:
                if self._last is not None:
                    last, self._last = self._last, None
                    self.close(*last)
                self._free = not self.closing
                return
            turn += len(batch)
            if not self._write(batch):
                return
        self._free = False
        self._again = asyncio.get_running_loop().call_soon(self._next_turn)

    def _write(self, batch: bytes) -> bool:
        """Hand bytes to the socket; false where it did not take all of them, or is gone."""
        size = len(batch)
        taken = 0
        try:
            if self._direct is not None:
                try:
                    taken = self._direct(batch)
                except BlockingIOError:
                    pass
                if taken == size:
                    self.sent_bytes += size
                    return True
            written = self.wire.send(memoryview(batch)[taken:] if taken else batch)
        except OSError as error:
            self.wire.lost(error)
            self.gone()
            return False
        self.sent_bytes += size
        if not written.done():
            self.hold(written, size - taken)
            return False
        if written.cancelled() or written.exception() is not None:
            self.gone()
            return False
        return True

    def hold(self, written: asyncio.Future[None], size: int = 0) -> None:
        """Write nothing before ``written`` is done; ``size`` bytes wait with it."""
        self._in_flight = size
        self._free = False
        self.blocked_at = asyncio.get_running_loop().time()
        written.add_done_callback(self._flushed)

    def _next_turn(self) -> None:
        self._again = None
        self.pump()

    def _flushed(self, written: asyncio.Future[None]) -> None:
        self._in_flight, self.blocked_at = 0, None
        if written.cancelled() or written.exception() is not None:
            self.gone()
        else:
            self.pump()

    def _batch(self, until: float) -> bytes:
        parts: list[bytes] = []
        size = 0
        while size < WRITE_BYTES and not (parts and perf_counter() > until):
            wire = self._take()
            if wire is None:
                break
            parts.append(wire)
            size += len(wire)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _take(self) -> bytes | None:
        if self._pong is not None:
            wire, self._pong = self._pong, None
            return wire
        if self._ping is not None:
            wire, self._ping = self._ping, None
            return wire
        if self._queue:
            wire = self._queue.pop(0)
            self._queued = max(0, self._queued - len(wire))
            self.sent += 1
            return wire
        frame: Frame | None = None
        if self._states:
            frame = self._states.pop(next(iter(self._states)))
        else:
            frame = self._read()
        if frame is None:
            return None
        self.sent += 1
        return frame.wire(self.wire.deflate)

    def _read(self) -> Frame | None:
        for subscription in self.subscriptions.values():
            while subscription.reading:
                try:
                    frame = subscription.next()
                except LookupError:
                    # What it has not read is held no longer: a gap it must learn of, as any slow consumer does.
                    self.slow()
                    return None
                if frame is not None:
                    return frame
        return None
