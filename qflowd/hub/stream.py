"""One numbered stream: its history, its snapshot, and its messages as bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from qflowd.hub.filters import Filter, as_text
from qflowd.hub.frames import Frame, to_json

if TYPE_CHECKING:
    from qflowd.hub.client import Client, Subscription

KEEP_MESSAGES = 1_000
KEEP_MS = 600_000
KEEP_BYTES = 16 * 1024 * 1024
PAGE_BYTES = 64 * 1024
ENVELOPE_BYTES = 512
SNAPSHOT_FRESH_MS = 1_000
SHARED_FRAMES = 64
"""Frames kept for those who read the same past with equal filters, as after a restart of the network."""

SHARED_SNAPSHOTS = 64
"""Filters for which the pages of a snapshot are kept."""

MESSAGE_OVERHEAD = 400
"""Roughly what Python adds to a message's bytes when it is kept."""


class StreamView(Protocol):
    """What the hub asks of a stream.

    ``items``: the key of ``data`` that holds the list of items, ``None`` where ``data`` is one object. A message stream
    without ``items`` may name the key of its snapshot in ``snapshot_items`` (else ``items``).
    ``item_fields``: filter field → key of an item (dots go deeper), or several keys of which the first present counts.
    """

    @property
    def kind(self) -> Literal["state", "message"]: ...
    @property
    def items(self) -> str | None: ...
    @property
    def item_fields(self) -> Mapping[str, str | Sequence[str]]: ...
    def snapshot(self) -> list[Any]: ...


class Item:
    """One item as it was when it was published: its JSON, and the fields that filters look at, found when first asked for."""

    __slots__ = ("_fields", "_keys", "_value", "raw")

    def __init__(self, value: Any, keys: Mapping[str, Sequence[str]], raw: bytes | None = None) -> None:
        self.raw: bytes = to_json(value) if raw is None else raw
        self._value = value
        self._keys = keys
        self._fields: dict[str, str | tuple[str, ...]] | None = None

    @property
    def fields(self) -> dict[str, str | tuple[str, ...]]:
        """Filter field → its text, or texts."""
        if self._fields is None:
            plain = self._value if isinstance(self._value, dict) else msgspec.to_builtins(self._value)
            self._fields = {}
            for field, paths in self._keys.items():
                for path in paths:
                    found = _look(plain, path)
                    if found is not None:
                        self._fields[field] = tuple(map(as_text, found)) if isinstance(found, list | tuple) else as_text(found)
                        break
        return self._fields


def _look(value: Any, path: str) -> Any:
    for key in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


class Message:
    """A published message. ``alone``: ``data`` is the one item itself, not an object around a list.

    Kept for history it is its JSON alone: objects of all items would cost several times as much memory as their bytes.
    """

    __slots__ = ("_items", "_keys", "alone", "json", "seq", "size", "timestamp", "type")

    def __init__(self, seq: int, type: str, timestamp: int, items: list[Item], alone: bool, keys: Mapping[str, Sequence[str]]) -> None:
        self.seq = seq
        self.type = type
        self.timestamp = timestamp
        self.alone = alone
        self.json = b",".join([item.raw for item in items])
        self.size = len(self.json) + MESSAGE_OVERHEAD
        self._items: list[Item] | None = items
        self._keys = keys

    def settle(self) -> None:
        """Let go of the items; all who are there have been sent what they want."""
        self._items = None

    def items(self) -> list[Item]:
        """The items, read back from the JSON where they were let go."""
        if self._items is not None:
            return self._items
        raws = msgspec.json.decode(b"[" + self.json + b"]", type=list[msgspec.Raw])
        return [Item(msgspec.json.decode(raw), self._keys, bytes(raw)) for raw in raws]


class Pages:
    """Frames that are made when the first reader comes to them; the others read the same ones."""

    def __init__(self, made: Iterator[Frame]) -> None:
        self._made = made
        self._frames: list[Frame] = []

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while True:
            if index == len(self._frames):
                frame = next(self._made, None)
                if frame is None:
                    return
                self._frames.append(frame)
            yield self._frames[index]
            index += 1


class Stream:
    """Numbers what is published and keeps it for those who come back.

    A message stream keeps its last 1,000 messages, and older ones up to 10 minutes within 16 MiB; a state stream its last.
    """

    def __init__(self, name: str, view: StreamView, epoch: str) -> None:
        self.name = name
        self.view = view
        self.epoch = epoch
        self.seq = 0
        self.state = view.kind == "state"
        self.subscribers: dict[Client, Subscription] = {}
        self.sweeps = 0
        """Walks over the subscribers that have not come to their end."""
        self.held_back = False
        """Whether the newest state waits for the interval of some subscriber."""
        self.history: deque[Message] = deque()
        self.bytes = 0
        self._keys = {f: (k,) if isinstance(k, str) else tuple(k) for f, k in view.item_fields.items()}
        self._page_key: str | None = view.items
        if self._page_key is None and not self.state:
            self._page_key = getattr(view, "snapshot_items", None) or "items"
        self._tail = b',"stream":' + to_json(name) + b',"epoch":' + to_json(epoch) + b',"seq":'
        self._snapshot: list[Item] = []
        self._snapshot_of = (-1, 0)
        self._pages: dict[object, Pages] = {}
        self._frames: dict[object, Frame | None] = {}

    def publish(self, data: Any, type: str, now: int) -> list[Message]:
        """Number and keep ``data``: one object, or a list of items (bare, or as ``{items: [...]}``).

        A list becomes as few messages of at most 64 KiB as hold it, an empty one none.
        """
        key = self.view.items
        if key is not None and isinstance(data, dict) and data.keys() == {key}:
            data = data[key]
        if not isinstance(data, list | tuple):
            return [self._append(type, now, [Item(data, self._keys)], alone=True)]
        items = [Item(value, self._keys) for value in data]
        if key is None:
            return [self._append(type, now, [item], alone=True) for item in items]
        return [self._append(type, now, page, alone=False) for page in paged(items)]

    def _append(self, type: str, now: int, items: list[Item], alone: bool) -> Message:
        self.seq += 1
        message = Message(self.seq, type, now, items, alone, self._keys)
        if self.state:
            self.history.clear()
            self.bytes = 0
        self.history.append(message)
        self.bytes += message.size
        self.trim(now)
        return message

    def trim(self, now: int) -> None:
        """Let go of what is beyond the last 1,000 and too old, or too much."""
        while len(self.history) > KEEP_MESSAGES:
            if self.bytes <= KEEP_BYTES and now - self.history[0].timestamp <= KEEP_MS:
                break
            self.bytes -= self.history.popleft().size

    def holds_after(self, seq: int) -> bool:
        """Whether everything that followed ``seq`` is at hand (of a state stream: whether ``seq`` was ever reached)."""
        if seq > self.seq:
            return False
        if self.state or seq == self.seq:
            return True
        return bool(self.history) and self.history[0].seq <= seq + 1

    def after(self, seq: int) -> Iterator[Message]:
        """What is held with a number above ``seq``, in order."""
        if not self.history or seq >= self.seq:
            return iter(())
        back = self.history[-1].seq - max(seq, self.history[0].seq - 1)
        if back <= 64:
            return iter([self.history[i] for i in range(-back, 0)])
        return islice(self.history, len(self.history) - back, None)

    def frame(self, message: Message, wanted: Filter) -> Frame | None:
        """The message as ``wanted`` lets it through, made once for equal filters; ``None`` where nothing is left of it."""
        key = (message.seq, wanted.key)
        if key in self._frames:
            return self._frames[key]
        frame = self._encode(message, wanted)
        self._frames[key] = frame
        if len(self._frames) > SHARED_FRAMES:
            del self._frames[next(iter(self._frames))]
        return frame

    def _encode(self, message: Message, wanted: Filter) -> Frame | None:
        json = message.json
        if wanted.key:
            items = message.items()
            passed = [item for item in items if wanted.passes(item.fields)]
            if not passed and items:
                return None
            json = b",".join([item.raw for item in passed])
        data = json if message.alone else b"{" + to_json(self.view.items or "items") + b":[" + json + b"]}"
        return Frame(self._envelope(message.type, data, message.seq, message.timestamp, b""))

    def _envelope(self, type: str, data: bytes, seq: int, now: int, more: bytes) -> bytes:
        head = b'{"type":' + to_json(type) + b',"timestamp":%d' % now
        return head + self._tail + b"%d" % seq + more + b',"data":' + data + b"}"

    def snapshot(self, now: int) -> list[Item]:
        """The present items, shared by all who ask within a second and while nothing was published."""
        seq, taken = self._snapshot_of
        if seq != self.seq or not 0 <= now - taken < SNAPSHOT_FRESH_MS:
            self._snapshot = [Item(value, self._keys) for value in self.view.snapshot()]
            self._snapshot_of = (self.seq, now)
            self._pages = {}
        return self._snapshot

    def pages(self, wanted: Filter, now: int) -> Iterator[Frame]:
        """The snapshot in messages of at most 64 KiB (one item alone may be larger); the last, and only it, has ``more: false``.

        Made once for all who ask with equal filters while the snapshot is fresh.
        """
        items = self.snapshot(now)
        found = self._pages.get(wanted.key)
        if found is None:
            found = Pages(self._paged(items, wanted, self.seq, now))
            if len(self._pages) < SHARED_SNAPSHOTS:
                self._pages[wanted.key] = found
        return iter(found)

    def _paged(self, items: list[Item], wanted: Filter, seq: int, now: int) -> Iterator[Frame]:
        if wanted.key:
            items = [item for item in items if wanted.passes(item.fields)]
        if self._page_key is None:
            for index, item in enumerate(items):
                last = index == len(items) - 1
                yield Frame(self._envelope("stream_update", item.raw, seq, now, _MORE[not last]))
            return
        waiting: list[Item] | None = None
        for page in paged(items):
            if waiting is not None:
                yield Frame(self._envelope("stream_update", _listed(self._page_key, waiting), seq, now, _MORE[True]))
            waiting = page
        yield Frame(self._envelope("stream_update", _listed(self._page_key, waiting or []), seq, now, _MORE[False]))


_MORE = {True: b',"snapshot":true,"more":true', False: b',"snapshot":true,"more":false'}


def _listed(key: str, items: Iterable[Item]) -> bytes:
    return b"{" + to_json(key) + b":[" + b",".join(item.raw for item in items) + b"]}"


def paged(items: Iterable[Item]) -> Iterator[list[Item]]:
    """``items`` in order, in lists whose message stays within 64 KiB; no list is empty."""
    page: list[Item] = []
    size = ENVELOPE_BYTES
    for item in items:
        if page and size + len(item.raw) + 1 > PAGE_BYTES:
            yield page
            page, size = [], ENVELOPE_BYTES
        page.append(item)
        size += len(item.raw) + 1
    if page:
        yield page
