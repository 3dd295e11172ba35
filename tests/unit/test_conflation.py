"""When a slow client's states are conflated and when no more, over a real socket and by what the kernel says of it."""

from __future__ import annotations

import asyncio
import fcntl
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from qflowd.hub.client import Client
from qflowd.hub.tornado_protocol import TCP_NOTSENT_LOWAT, UNSENT_BYTES
from tests.unit.test_hub import House, house, masked, read_frame, run

SIOCOUTQNSD = 0x894B
PAD = "x" * 1_000
ONE_WRITE = 32 * 1024
"""The kernel looks at its mark when it begins a buffer, and fills that to its end."""


def unsent(client: Client) -> int:
    """Bytes that the kernel holds and has not sent (linux/sockios.h)."""
    stream = client.wire.stream  # type: ignore[attr-defined]
    found: int = struct.unpack("i", fcntl.ioctl(stream.socket, SIOCOUTQNSD, b"\0" * 4))[0]
    return found


class Reader:
    """The reading end of a socket with a small window, from which nothing is read unless asked for."""

    def __init__(self) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        self.socket.setblocking(False)

    async def readexactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            found += await asyncio.get_running_loop().sock_recv(self.socket, size - len(found))
        return found

    async def state(self) -> int:
        return int(json.loads((await read_frame(self))[1])["data"]["cpu"])  # type: ignore[arg-type]


@asynccontextmanager
async def slow_reader(place: House) -> AsyncIterator[tuple[Reader, Client]]:
    """A viewer of ``performance_metrics`` who has read its snapshot."""
    reader, loop = Reader(), asyncio.get_running_loop()
    with reader.socket:
        await loop.sock_connect(reader.socket, ("127.0.0.1", place.port))
        head = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        head += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        await loop.sock_sendall(reader.socket, head.encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += await reader.readexactly(1)
        await read_frame(reader)  # type: ignore[arg-type]
        client = list(place.hub._clients.values())[-1]
        wish = b'{"type":"subscribe","data":{"streams":["performance_metrics"],"interval":1000}}'
        await loop.sock_sendall(reader.socket, masked(0x81, wish))
        for _ in range(2):
            await read_frame(reader)  # type: ignore[arg-type]
        yield reader, client


async def publish(place: House, number: int) -> None:
    place.now += 1_000
    place.hub.publish("performance_metrics", {"cpu": number, "pad": PAD})
    await asyncio.sleep(0)


async def fill(place: House, client: Client) -> int:
    """Publish until the socket takes no more; how many were published."""
    number = 0
    while client.blocked_at is None:
        assert number < 50_000
        number += 1
        await publish(place, number)
    return number


def test_conflation_begins_at_64_kib_unsent_and_ends_below_half_of_that() -> None:
    async def body() -> None:
        async with house() as place, slow_reader(place) as (reader, client):
            filled = await fill(place, client)
            assert client.conflated == 0, "as long as the socket takes them, no state is left out"
            assert UNSENT_BYTES - 2 * len(PAD) <= unsent(client) <= UNSENT_BYTES + ONE_WRITE
            for number in range(filled + 1, filled + 1_001):
                await publish(place, number)
            assert client.conflated == 999 and client.buffered <= 2 * len(PAD) and client.blocked_at is not None

            seen, waiting = [], unsent(client)
            while client.blocked_at is not None:
                waiting = unsent(client)
                seen.append(await reader.state())
                await asyncio.sleep(0.002)
            assert waiting <= UNSENT_BYTES // 2 + ONE_WRITE, "it does not wait until the kernel has nothing left to send"
            assert seen[-1] < filled, "it goes on while old states are still on their way"
            while seen[-1] != filled + 1_000:
                seen.append(await reader.state())
            assert seen == [*range(1, filled + 1), filled + 1_000]
            await publish(place, filled + 1_001)
            assert await reader.state() == filled + 1_001 and client.conflated == 999

    run(body)


def test_the_kernel_holds_few_old_states() -> None:
    async def body() -> None:
        async with house() as place, slow_reader(place) as (_, bounded), slow_reader(place) as (_, free):
            unbounded = struct.pack("I", 0xFFFFFFFF)
            free.wire.stream.socket.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, unbounded)  # type: ignore[attr-defined]
            await fill(place, free)
            little, much = unsent(bounded), unsent(free)
            print(f"{little:,} bytes of old states wait in the kernel, without TCP_NOTSENT_LOWAT {much:,}")
            assert bounded.conflated > 0 and free.conflated == 0
            assert little <= UNSENT_BYTES + ONE_WRITE and much > 8 * little

    run(body)
