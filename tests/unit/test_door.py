"""The door over real sockets: plain requests pass a storm of handshakes, and running out of descriptors is survived."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

from qflowd.daemon import door, listen

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PLAIN = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


class Page(RequestHandler):
    def get(self) -> None:
        self.finish("here")


class Socket(WebSocketHandler):
    opened: list[int] = []

    def open(self, *args: str, **kwargs: str) -> None:
        self.opened.append(1)


@asynccontextmanager
async def served(sockets: list[socket.socket]) -> AsyncIterator[int]:
    server = HTTPServer(Application([("/", Page), ("/ws", Socket)], log_function=lambda handler: None))
    entrance = door.Door(server, sockets)
    Socket.opened.clear()
    try:
        yield sockets[0].getsockname()[1]
    finally:
        entrance.stop()
        await server.close_all_connections()


def send(port: int, request: bytes) -> socket.socket:
    """A connection with its request on the way, made without a turn of the loop."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(request)
    return connection


async def head(connection: socket.socket) -> bytes:
    """The head of the answer."""
    connection.setblocking(False)
    read = b""
    while b"\r\n\r\n" not in read:
        read += await asyncio.get_running_loop().sock_recv(connection, 4096)
        assert read
    return read


def test_a_plain_request_passes_the_handshakes_that_wait() -> None:
    async def body() -> None:
        sockets = listen.bind("127.0.0.1", 0, "port").sockets
        async with served(sockets) as port:
            with ExitStack() as stack:
                storm = [stack.enter_context(send(port, UPGRADE)) for _ in range(200)]
                last = stack.enter_context(send(port, PLAIN))
                assert (await head(last)).startswith(b"HTTP/1.1 200 ")
                behind = 200 - len(Socket.opened)
                answers = await asyncio.gather(*map(head, storm))
            assert all(answer.startswith(b"HTTP/1.1 101 ") for answer in answers)
            assert behind > 100, f"only {behind} handshakes were still waiting"

    asyncio.run(asyncio.wait_for(body(), 20))


def test_no_more_handshakes_wait_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "WAITING", 10)

    async def body() -> None:
        async with served(listen.bind("127.0.0.1", 0, "port").sockets) as port:
            with ExitStack() as stack:
                answers = await asyncio.gather(*(head(stack.enter_context(send(port, UPGRADE))) for _ in range(100)))
            assert len(answers) == len(Socket.opened) == 100

    asyncio.run(asyncio.wait_for(body(), 20))


class Crowded(socket.socket):
    """A listener whose process has no descriptor left for the first that come."""

    refusals = 3

    def accept(self) -> Any:
        if self.refusals:
            Crowded.refusals -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def test_without_descriptors_it_pauses_and_goes_on(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(door, "PAUSE", 0.02)

    async def body() -> None:
        (listener,) = listen.bind("127.0.0.1", 0, "port").sockets
        async with served([Crowded(fileno=listener.detach())]) as port:
            with send(port, PLAIN) as connection:
                assert (await head(connection)).startswith(b"HTTP/1.1 200 ")

    asyncio.run(asyncio.wait_for(body(), 20))
    assert len([one for one in caplog.messages if "no further connection" in one]) == 3
    caplog.clear()
