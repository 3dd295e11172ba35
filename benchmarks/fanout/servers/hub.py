"""qflowd's own hub and its door, with one message stream that publishes the same message; the daemon's other parts are absent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tornado.httpserver import HTTPServer
from tornado.ioloop import PeriodicCallback
from tornado.web import Application

from benchmarks.fanout.payload import STREAM, Samples
from benchmarks.fanout.servers.beat import raise_limit, run
from qflowd.daemon import epoch_ms, listen
from qflowd.hub import Hub, HubSettings, SocketHandler


@dataclass(frozen=True)
class View:
    kind: Literal["state", "message"] = "message"
    items: str | None = None

    @property
    def item_fields(self) -> Mapping[str, str | Sequence[str]]:
        return {}

    def snapshot(self) -> list[Any]:
        return []


async def main() -> None:
    raise_limit()
    hub = Hub(HubSettings(max_clients=100_000), epoch_ms, "1", {STREAM: View()}, dict, "benchmark")
    server = HTTPServer(Application([("/", SocketHandler, {"hub": hub})], log_function=lambda handler: None))
    listener = listen.bind("127.0.0.1", 0, "port")
    server.add_sockets(listener.sockets)
    ticks = PeriodicCallback(lambda: hub.tick(epoch_ms()), 1000)
    ticks.start()
    samples = Samples()
    await run(listener.port, lambda: hub.publish(STREAM, samples.next()))


if __name__ == "__main__":
    asyncio.run(main())
