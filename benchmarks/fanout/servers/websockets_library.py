"""The ``websockets`` library: its ``broadcast``, its compression as it comes."""

from __future__ import annotations

import asyncio

from websockets.asyncio.server import ServerConnection, broadcast, serve

from benchmarks.fanout.payload import Source
from benchmarks.fanout.servers.beat import raise_limit, run


async def stay(connection: ServerConnection) -> None:
    await connection.wait_closed()


async def main() -> None:
    raise_limit()
    source = Source()
    # Without its keepalive: pings are none of what is measured.
    async with serve(stay, "127.0.0.1", 0, ping_interval=None, backlog=4096) as server:
        await run(server.sockets[0].getsockname()[1], lambda: broadcast(server.connections, source.next()))


if __name__ == "__main__":
    asyncio.run(main())
