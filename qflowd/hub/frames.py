"""WebSocket frames made once and written to every socket that may have them (RFC 6455, RFC 7692)."""

from __future__ import annotations

import struct
import zlib

import msgspec

WINDOW_BITS = 10
"""A frame made with this window fits every client that agreed on 10 bits or more."""

WORTH_DEFLATING = 128
TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA

to_json = msgspec.json.Encoder().encode


def encode_frame(opcode: int, payload: bytes, *, deflated: bool = False) -> bytes:
    """One final, unmasked frame; ``deflated`` sets RSV1."""
    first = 0x80 | opcode | (0x40 if deflated else 0)
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", first, size) + payload
    if size <= 0xFFFF:
        return struct.pack("!BBH", first, 126, size) + payload
    return struct.pack("!BBQ", first, 127, size) + payload


def deflate(payload: bytes) -> bytes:
    """``payload`` compressed from an empty window, without the tail RFC 7692 says to leave off."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, -WINDOW_BITS, 5)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


class Frame:
    """A text message in both its forms; each is made at most once."""

    __slots__ = ("_deflated", "_plain", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self._plain: bytes | None = None
        self._deflated: bytes | None = None

    def wire(self, deflated: bool) -> bytes:
        """The bytes for a socket that agreed on compression, or for one that did not."""
        made = self._deflated if deflated else self._plain
        if made is not None:
            return made
        if not deflated:
            self._plain = encode_frame(TEXT, self.text)
            return self._plain
        worth = len(self.text) >= WORTH_DEFLATING
        self._deflated = encode_frame(TEXT, deflate(self.text), deflated=True) if worth else self.wire(False)
        return self._deflated


def reply(type: str, data: object, timestamp: int) -> Frame:
    """A message that is for one client only."""
    return Frame(to_json({"type": type, "data": data, "timestamp": timestamp}))
