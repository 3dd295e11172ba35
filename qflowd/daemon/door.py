"""Lets connections in at a bounded pace, so that thousands who come back at once keep nobody else waiting."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections import deque
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream

ACCEPTS = 64
"""Connections taken from the kernel in one callback, some 15 µs each."""

HANDSHAKES = 4
"""WebSocket handshakes begun in one turn of the loop: with what follows from each, some 0.7 ms of work."""

WAITING = 8_192
"""So many accepted connections may wait for their handshake; more wait in the kernel."""

FIRST_BYTES = 1_024
REQUEST_SECONDS = 5
"""The kernel keeps a connection to itself for so long while its request has not come."""

PAUSE = 1.0
"""Seconds without accepting after the process ran out of file descriptors."""

log = logging.getLogger(__name__)


class Door:
    """Accepts for ``server`` on ``sockets``, which it closes at the end.

    Plain requests are served as they come. WebSocket handshakes wait their turn: each brings a welcome, a subscription and what
    was missed, and a storm of them served at once would hold the loop for seconds.
    """

    def __init__(self, server: HTTPServer, sockets: list[socket.socket]) -> None:
        self._server = server
        self._sockets = sockets
        self._waiting: deque[tuple[socket.socket, Any]] = deque()
        self._loop = asyncio.get_running_loop()
        self._turning: asyncio.Handle | None = None
        self._resume: asyncio.TimerHandle | None = None
        self._listening = False
        for one in sockets:
            with contextlib.suppress(OSError):  # not on a Unix socket
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, REQUEST_SECONDS)
        self._listen()

    def _listen(self) -> None:
        self._listening, self._resume = True, None
        for one in self._sockets:
            self._loop.add_reader(one, self._accept, one)

    def _ignore(self) -> None:
        self._listening = False
        for one in self._sockets:
            self._loop.remove_reader(one)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTS):
            try:
                connection, address = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    raise
                log.error("no further connection can be accepted: %s; trying again in %s s", error.strerror, PAUSE)
                self._ignore()
                self._resume = self._loop.call_later(PAUSE, self._listen)
                return
            connection.setblocking(False)
            if plain(connection):
                self._serve(connection, address)
                continue
            self._waiting.append((connection, address))
            if self._turning is None:
                self._turning = self._loop.call_soon(self._turn)
            if len(self._waiting) >= WAITING:
                self._ignore()
                return

    def _turn(self) -> None:
        self._turning = None
        for _ in range(min(HANDSHAKES, len(self._waiting))):
            self._serve(*self._waiting.popleft())
        if self._waiting:
            self._turning = self._loop.call_soon(self._turn)
        if not self._listening and self._resume is None and len(self._waiting) < WAITING:
            self._listen()

    def _serve(self, connection: socket.socket, address: Any) -> None:
        self._server.handle_stream(IOStream(connection, max_buffer_size=self._server.max_buffer_size), address)

    def stop(self) -> None:
        """Accept no more; who was not served yet is let go."""
        self._ignore()
        for handle in (self._turning, self._resume):
            if handle is not None:
                handle.cancel()
        for one in [*self._sockets, *(connection for connection, _ in self._waiting)]:
            one.close()
        self._waiting.clear()


def plain(connection: socket.socket) -> bool:
    """Whether what has come of the request is surely no WebSocket handshake."""
    try:
        begun = connection.recv(FIRST_BYTES, socket.MSG_PEEK)
    except OSError:
        return False
    return bool(begun) and b"websocket" not in begun.lower()
