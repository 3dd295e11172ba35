"""The one place that touches Tornado's inner parts: frames read to the letter of RFC 6455, deflate negotiated by RFC 7692.

Tornado 6.6 accepts unmasked frames, closes without a code on broken ones, logs a traceback on undecodable deflate data
and answers odd offers of compression with 500. ``INNER`` lists every private name used; a test holds them.
"""

from __future__ import annotations

import asyncio
import binascii
import codecs
import socket
import struct
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tornado import httputil
from tornado.iostream import SSLIOStream, StreamClosedError
from tornado.util import _websocket_mask
from tornado.websocket import WebSocketProtocol13, _WebSocketParams

from qflowd.hub.frames import BINARY, CLOSE, PING, PONG, TEXT, WINDOW_BITS, encode_frame

if TYPE_CHECKING:
    from tornado.websocket import WebSocketHandler

INNER = (
    "_abort", "_accept_connection", "_create_compressors", "_handle_websocket_headers", "_parse_extensions_header", "_read_bytes",
    "_receive_frame", "_receive_frame_loop", "_run_callback", "_send_pong", "_write_frame", "close", "is_closing",
)  # fmt: skip

DEFLATE = "permessage-deflate"
FLUSH = b"\x00\x00\xff\xff"
"""The tail of an empty block, which senders leave off."""

TCP_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
UNSENT_BYTES = 64 * 1024
"""The kernel takes nothing more while so much of what it has is unsent, and asks for more below half of that."""

TOO_MANY = (4029, "message rate exceeded")
IGNORED_FRAMES = 1_000
DRAIN_SECONDS = 0.01
"""Between two reads of up to 64 KiB of what a peer goes on sending after its connection was failed."""

_utf8 = codecs.getincrementaldecoder("utf-8")
CLOSE_CODES = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})


def negotiate(header: str) -> dict[str, str | None] | None:
    """The parameters agreed on for the first offer of permessage-deflate that suits, ``None`` where none does."""
    for offer in header.split(","):
        name, *rest = (part.strip() for part in offer.split(";"))
        if name.lower() != DEFLATE:
            continue
        agreed = _agree(rest)
        if agreed is not None:
            return agreed
    return None


def _agree(parameters: list[str]) -> dict[str, str | None] | None:
    agreed: dict[str, str | None] = {"server_no_context_takeover": None, "client_no_context_takeover": None}
    seen: set[str] = set()
    for parameter in parameters:
        key, given, value = (part.strip() for part in parameter.partition("="))
        if key in seen:
            return None
        seen.add(key)
        if value[:1] == value[-1:] == '"' and len(value) > 1:
            value = value[1:-1]
        if key in agreed:
            if given:
                return None
        elif key in ("server_max_window_bits", "client_max_window_bits"):
            if not given and key.startswith("client"):
                continue
            if value not in {"8", "9", "10", "11", "12", "13", "14", "15"}:
                return None
            if key.startswith("server"):
                if int(value) < WINDOW_BITS:
                    return None
                agreed["server_max_window_bits"] = str(WINDOW_BITS)
        else:
            return None
    return agreed


def inflate(data: bytes, limit: int) -> bytes:
    """A message's payload, compressed from an empty window (RFC 7692, section 7.2.2).

    Raises zlib.error where it is not whole blocks, OverflowError where it would be more than ``limit`` bytes.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    found = inflater.decompress(data + FLUSH, limit + 1)
    if len(found) > limit:
        raise OverflowError
    if inflater.eof:
        # The sender marked its last block as final and, as section 7.2.3.4 shows, let an empty one follow.
        whole = inflater.unused_data in (FLUSH, b"\x00" + FLUSH)
    else:
        # zlib does not tell that it stopped inside a block: only between two does it take a final one.
        whole = inflater.decompress(b"\x01" + FLUSH, 1) == b"" and inflater.eof
    if not whole:
        raise zlib.error("data does not end with a block")
    return found


class Protocol(WebSocketProtocol13):
    """A server's end. ``deflate`` tells whether the client accepted compressed messages."""

    def __init__(self, handler: WebSocketHandler, *, max_message_size: int, compression: bool) -> None:
        options: dict[str, Any] | None = {} if compression else None
        super().__init__(handler, False, _WebSocketParams(max_message_size=max_message_size, compression_options=options))
        self.deflate = False
        self.pong: Callable[[bytes], None] | None = None
        self.ended: Callable[[], None] | None = None
        """Called before a close frame goes out: nothing may follow it."""
        self.extra: Callable[[], bool] | None = None
        """Asked for each control frame and each continuation, which no message counts; false when there are too many."""
        self._parts = bytearray()
        self._opcode = 0
        self._deflated = False
        self._decoder: codecs.IncrementalDecoder | None = None
        self._ignored = 0

    def _handle_websocket_headers(self, handler: WebSocketHandler) -> None:
        super()._handle_websocket_headers(handler)
        # RFC 6455, section 4.2.1: the key is 16 bytes in base64. Tornado takes any text.
        key = handler.request.headers["Sec-WebSocket-Key"]
        try:
            valid = len(binascii.a2b_base64(key, strict_mode=True)) == 16
        except ValueError:
            valid = False
        if not valid or handler.request.version == "HTTP/1.0":
            raise ValueError

    def _parse_extensions_header(self, headers: httputil.HTTPHeaders) -> list[tuple[str, Any]]:
        agreed = negotiate(headers.get("Sec-WebSocket-Extensions", "")) if self._compression_options is not None else None
        return [] if agreed is None else [(DEFLATE, agreed)]

    def _create_compressors(self, side: str, agreed_parameters: Any, compression_options: Any = None) -> None:
        """Nothing is kept between messages in either direction, so there is nothing to create."""
        self.deflate = True

    def direct(self) -> Callable[[bytes], int] | None:
        """The socket's own ``send``, for about what the system call costs; through IOStream it is 11 to 17 µs more.

        Only to be used while nothing that ``send`` was given waits. ``None`` where each write has to go through IOStream: over TLS.
        """
        return None if isinstance(self.stream, SSLIOStream) else self.stream.socket.send

    def send(self, wire: bytes | memoryview) -> asyncio.Future[None]:
        """Write through IOStream; done when the kernel has it. Raises ConnectionError when the connection is gone."""
        if self.is_closing():
            raise ConnectionError
        try:
            return self.stream.write(wire)
        except StreamClosedError:
            raise ConnectionError from None

    def hold_little(self) -> None:
        """Have each write sent at once, and the kernel keep little of it: what waits there can be replaced by nothing newer.

        Without the second a socket holds megabytes of old states for a client that has stopped reading.
        """
        self.set_nodelay(True)
        try:
            self.stream.socket.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        except OSError:
            pass  # The peer is gone already, or this system lacks it: the bound holds without.

    def unflushed(self) -> asyncio.Future[None] | None:
        """Done when what Tornado has written (the answer to the handshake) is with the kernel; ``None`` where it is already."""
        return self.stream.write(b"") if self.stream.writing() else None

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Send a close frame and wait for the peer's, five seconds at most."""
        if self.ended is not None:
            self.ended()
        super().close(code, reason)

    def lost(self, error: OSError) -> None:
        """The socket has failed."""
        self.stream.close(exc_info=error)

    def abort(self) -> None:
        """End the connection without a word."""
        self._abort()

    async def _receive_frame(self) -> None:
        first, second = await self._read_bytes(2)
        opcode, final, size = first & 0x0F, bool(first & 0x80), second & 0x7F
        problem = self._problem(first, second)
        if problem:
            return await self._fail(1002, problem)
        if size == 126:
            (size,) = struct.unpack("!H", await self._read_bytes(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self._read_bytes(8))
            if size >> 63:
                return await self._fail(1002, "length out of range")
        control = opcode >= CLOSE
        if not control and size + len(self._parts) > self.params.max_message_size:
            return await self._fail(1009, "message too big")
        mask = await self._read_bytes(4)
        data = _websocket_mask(mask, await self._read_bytes(size)) if size else b""
        if self.server_terminated and opcode != CLOSE:
            # Some may have been on their way; who goes on after that is only waited out.
            self._ignored += 1
            return await self._drain() if self._ignored > IGNORED_FRAMES else None
        if (control or not opcode) and opcode != CLOSE and self.extra is not None and not self.extra():
            return await self._fail(*TOO_MANY)
        if control:
            return await self._control(opcode, data)
        if opcode:
            self._opcode, self._deflated = opcode, bool(first & 0x40)
            self._decoder = _utf8() if opcode == TEXT and not final and not self._deflated else None
        if self._decoder is not None:
            try:
                self._decoder.decode(data, final)
            except UnicodeDecodeError:
                return await self._fail(1007, "invalid UTF-8")
        if not final:
            self._parts += data
            return None
        message, opcode = bytes(self._parts) + data, self._opcode
        self._parts, self._opcode = bytearray(), 0
        return await self._message(opcode, message)

    def _problem(self, first: int, second: int) -> str | None:
        opcode, control = first & 0x0F, bool(first & 0x08)
        if not second & 0x80:
            return "frame not masked"
        if opcode not in (0, TEXT, BINARY, CLOSE, PING, PONG):
            return "reserved opcode"
        if first & 0x30 or (first & 0x40 and (not self.deflate or control or not opcode)):
            return "reserved bits set"
        if control:
            return None if first & 0x80 and second & 0x7F < 126 else "control frame fragmented or too long"
        if opcode == 0:
            return None if self._opcode else "nothing to continue"
        return "message inside a message" if self._opcode else None

    async def _message(self, opcode: int, data: bytes) -> None:
        if self.server_terminated:
            return None
        if self._deflated:
            try:
                data = inflate(data, self.params.max_message_size)
            except OverflowError:
                return await self._fail(1009, "message too big")
            except zlib.error:
                return await self._fail(1007, "undecodable deflate data")
        message: str | bytes = data
        if opcode == TEXT:
            try:
                message = data.decode()
            except UnicodeDecodeError:
                return await self._fail(1007, "invalid UTF-8")
        answered = self._run_callback(self.handler.on_message, message)
        if answered is not None:
            await answered
        # A peer may send a hundred messages in one segment: everything else gets its turn between two of them.
        await asyncio.sleep(0)

    async def _control(self, opcode: int, data: bytes) -> None:
        if opcode == PING:
            # Once a client writes to the socket itself, a pong that waits in Tornado's buffer would end up inside a frame.
            if self.pong is not None:
                self.pong(encode_frame(PONG, data))
            else:
                self._send_pong(data)
            self._run_callback(self.handler.on_ping, data)
        elif opcode == PONG:
            self._run_callback(self.handler.on_pong, data)
        else:
            await self._closed_by_peer(data)

    async def _closed_by_peer(self, data: bytes) -> None:
        if data:
            if len(data) == 1:
                return await self._fail(1002, "close frame of one byte")
            (code,) = struct.unpack("!H", data[:2])
            if code not in CLOSE_CODES and not 3000 <= code <= 4999:
                return await self._fail(1002, "invalid close code")
            try:
                self.close_reason = codecs.decode(data[2:], "utf-8")
            except UnicodeDecodeError:
                return await self._fail(1007, "invalid UTF-8")
            self.close_code = code
        self.client_terminated = True
        self.close(self.close_code)
        return None

    async def _fail(self, code: int, reason: str) -> None:
        """Close with ``code`` and read on until the peer is gone or Tornado's five seconds are over.

        Closing a socket that holds unread bytes resets the connection, and the peer would never see the code.
        """
        self.close(code, reason)
        if not isinstance(self.stream, SSLIOStream):
            self.stream.write(b"").add_done_callback(self._end_of_writing)
        await self._drain()

    async def _drain(self) -> None:
        """Read on, to nowhere and no faster than 6 MiB a second, until the connection ends."""
        while True:
            await self.stream.read_bytes(65_536, partial=True)
            await asyncio.sleep(DRAIN_SECONDS)

    def _end_of_writing(self, written: asyncio.Future[None]) -> None:
        if written.cancelled() or written.exception() is not None or self.stream.closed():
            return
        try:
            self.stream.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass
