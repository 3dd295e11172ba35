"""A WebSocket client of bytes: it says what no library would, and takes nothing from the server on trust."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import struct
import time
import zlib
from collections.abc import Iterable
from typing import Any

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
FIN, RSV1, RSV2, RSV3 = 0x80, 0x40, 0x20, 0x10
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def frame(first: int, payload: bytes = b"", *, size: int | None = None, width: int | None = None, mask: bytes | None = b"\x37\xfa\x21\x3d") -> bytes:
    """One frame with this first byte. ``size`` as it is claimed, ``width`` 7, 16 or 64 bits for it, ``mask`` ``None`` for none."""
    size = len(payload) if size is None else size
    width = width or (7 if size < 126 else 16 if size <= 0xFFFF else 64)
    masked = 0 if mask is None else 0x80
    head = {7: struct.pack("!BB", first, masked | size & 0x7F), 16: struct.pack("!BBH", first, masked | 126, size & 0xFFFF),
            64: struct.pack("!BBQ", first, masked | 127, size)}[width]  # fmt: skip
    if mask is None:
        return head + payload
    whole = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return head + mask + (int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")).to_bytes(len(payload), "big")


def fragments(opcode: int, parts: Iterable[bytes], first: int = 0) -> list[bytes]:
    """The frames of one message in these parts; ``first`` are further bits of the first."""
    parts = list(parts)
    last = len(parts) - 1
    return [frame((FIN if n == last else 0) | (0 if n else opcode | first), part) for n, part in enumerate(parts)]


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)] or [b""]


def say(type: str, data: Any = None) -> bytes:
    """A message's payload."""
    return json.dumps({"type": type, "data": data}, ensure_ascii=False).encode()


def squeeze(payload: bytes, bits: int = 15) -> bytes:
    """Compressed from an empty window, as RFC 7692 sends it."""
    squeezer = zlib.compressobj(wbits=-bits)
    return (squeezer.compress(payload) + squeezer.flush(zlib.Z_SYNC_FLUSH))[:-4]


class Peer:
    """One connection. Every frame that comes is held against RFC 6455: unmasked, no odd bits, control frames whole, nothing after close."""

    def __init__(self, address: str, path: str = "/", offer: str | None = None, receive_buffer: int | None = None, welcome: bool = True) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(10)
        self.socket.connect((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.waiting = b""
        self.window: int | None = None
        self.parts: bytearray | None = None
        key = base64.b64encode(os.urandom(16))
        extra = f"Sec-WebSocket-Extensions: {offer}\r\n" if offer else ""
        self.write(
            f"GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key.decode()}\r\n{extra}\r\n".encode()
        )
        self.head = self.read_until(b"\r\n\r\n").decode()
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
        assert self.head.startswith("HTTP/1.1 101 ") and f"Sec-Websocket-Accept: {accept}\r\n" in self.head, self.head
        agreed = [line.partition(": ")[2] for line in self.head.split("\r\n") if line.lower().startswith("sec-websocket-extensions")]
        if agreed:
            terms = [term.strip() for term in agreed[0].split(";")]
            assert terms[0] == "permessage-deflate" and "server_no_context_takeover" in terms, terms
            bits = [term.partition("=")[2] for term in terms if term.startswith("server_max_window_bits")]
            self.window = int(bits[0]) if bits else 15
        if welcome:
            self.welcome = self.hear("welcome")

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def write(self, *wire: bytes) -> None:
        self.socket.sendall(b"".join(wire))

    def drip(self, wire: bytes, size: int = 1) -> None:
        """Send in segments of ``size`` bytes."""
        for piece in pieces(wire, size):
            self.socket.sendall(piece)

    def say(self, type: str, data: Any = None) -> None:
        self.write(frame(FIN | TEXT, say(type, data)))

    def read(self, size: int) -> bytes:
        while len(self.waiting) < size:
            got = self.socket.recv(65_536)
            if not got:
                raise EOFError(f"{len(self.waiting)} of {size} bytes, then the end")
            self.waiting += got
        found, self.waiting = self.waiting[:size], self.waiting[size:]
        return found

    def read_until(self, end: bytes) -> bytes:
        found = b""
        while not found.endswith(end):
            found += self.read(1)
        return found

    def frame(self) -> tuple[int, bytes]:
        """The next frame: opcode and payload, inflated from an empty window of the size agreed on."""
        first, size = self.read(2)
        opcode = first & 0x0F
        assert size < 128, "a server must not mask"
        assert opcode in (TEXT, CLOSE, PING, PONG) and first & FIN and not first & (RSV2 | RSV3), hex(first)
        if opcode & 8:
            assert size < 126
        if size == 126:
            (size,) = struct.unpack("!H", self.read(2))
            assert size > 125, "a length takes the fewest bytes"
        elif size == 127:
            (size,) = struct.unpack("!Q", self.read(8))
            assert size > 0xFFFF, "a length takes the fewest bytes"
        payload = self.read(size)
        if first & RSV1:
            assert self.window is not None and opcode == TEXT
            payload = zlib.decompressobj(-self.window).decompress(payload + b"\x00\x00\xff\xff")
        if opcode == TEXT:
            payload.decode()
        return opcode, payload

    def hear(self, *types: str, seconds: float = 10) -> dict[str, Any]:
        """The next message of one of these types, whatever comes before it; pings are not answered."""
        deadline = time.monotonic() + seconds
        while True:
            self.socket.settimeout(max(0.01, deadline - time.monotonic()))
            opcode, payload = self.frame()
            assert opcode != CLOSE, payload
            if opcode == TEXT:
                message: dict[str, Any] = json.loads(payload)
                if not types or message["type"] in types:
                    return message

    def pong(self) -> bytes:
        """The payload of the next pong."""
        while True:
            opcode, payload = self.frame()
            assert opcode != CLOSE, payload
            if opcode == PONG:
                return payload

    def closed(self, seconds: float = 10) -> tuple[int | None, str]:
        """Wait for the close frame, answer it, and see that nothing but the end follows; its code and reason."""
        deadline = time.monotonic() + seconds
        while True:
            self.socket.settimeout(max(0.01, deadline - time.monotonic()))
            opcode, payload = self.frame()
            if opcode == CLOSE:
                break
        try:
            self.write(frame(FIN | CLOSE, payload[:2]))
        except OSError:
            pass  # After an error the server no longer waits for it.
        try:
            rest = self.waiting + self.socket.recv(1)
        except ConnectionResetError:
            rest = b""
        assert rest == b"", rest
        return (struct.unpack("!H", payload[:2])[0], payload[2:].decode()) if payload else (None, "")

    def alive(self) -> bool:
        """Whether the daemon answers a heartbeat on this connection."""
        self.say("heartbeat")
        return self.hear("heartbeat_ack")["type"] == "heartbeat_ack"
