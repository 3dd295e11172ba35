"""aiohttp: ``send_str`` to each client, its compression as it comes."""

from __future__ import annotations

import asyncio

from aiohttp import web

from benchmarks.fanout.payload import Source
from benchmarks.fanout.servers.beat import raise_limit, run

clients: set[web.WebSocketResponse] = set()


async def stay(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    clients.add(socket)
    try:
        async for _ in socket:
            pass
    finally:
        clients.discard(socket)
    return socket


async def main() -> None:
    raise_limit()
    application = web.Application()
    application.router.add_get("/", stay)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
    await site.start()
    source = Source()

    async def publish() -> None:
        message = source.next()
        for client in list(clients):
            if not client.closed:
                await client.send_str(message)

    await run(runner.addresses[0][1], publish)


if __name__ == "__main__":
    asyncio.run(main())
