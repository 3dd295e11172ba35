"""Stock Tornado as its manual shows it: compression with its defaults, and ``write_message`` to each client."""

from __future__ import annotations

import asyncio
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketHandler

from benchmarks.fanout.payload import Source
from benchmarks.fanout.servers.beat import raise_limit, run

clients: set[Handler] = set()


class Handler(WebSocketHandler):
    def get_compression_options(self) -> dict[str, Any]:
        return {}

    def open(self, *args: Any, **kwargs: Any) -> None:
        self.set_nodelay(True)
        clients.add(self)

    def on_message(self, message: str | bytes) -> None:
        pass

    def on_close(self) -> None:
        clients.discard(self)


async def main() -> None:
    raise_limit()
    server = HTTPServer(Application([("/", Handler)]))
    sockets = bind_sockets(0, "127.0.0.1", backlog=4096)
    server.add_sockets(sockets)
    source = Source()

    async def publish() -> None:
        message = source.next()
        for client in clients:
            client.write_message(message)
        # The loop has its turn: what did not fit is written, and those who come or go are served.
        await asyncio.sleep(0)

    await run(sockets[0].getsockname()[1], publish)


if __name__ == "__main__":
    asyncio.run(main())
