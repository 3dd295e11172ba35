"""What all servers share: the port goes to stdout, lines on stdin tell the messages a second."""

from __future__ import annotations

import asyncio
import resource
import sys
from collections.abc import Awaitable, Callable


def raise_limit() -> None:
    """As many sockets as the machine allows."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def run(port: int, publish: Callable[[], Awaitable[None] | None]) -> None:
    """Call ``publish`` at the rate that stdin asks for, until stdin ends. A beat that is missed is not made up for."""
    loop = asyncio.get_running_loop()
    rate = 0.0
    changed = asyncio.Event()
    ended = False

    def read() -> None:
        nonlocal rate, ended
        line = sys.stdin.readline()
        ended = not line
        rate = float(line or 0)
        changed.set()

    loop.add_reader(sys.stdin.fileno(), read)
    print(port, flush=True)
    due = loop.time()
    while not ended:
        if not rate:
            changed.clear()
            await changed.wait()
            due = loop.time()
            continue
        period = 1 / rate
        done = publish()
        if done is not None:
            await done
        due = max(due + period, loop.time())
        await asyncio.sleep(due - loop.time())
