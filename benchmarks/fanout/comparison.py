"""One run, one table: what a delivered message costs with each server, with the same message to the same clients."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.fanout.processes import Load, Server, cpu_seconds, load_for, resident

RATE = 10.0
FAULTS = ("gaps", "repeats", "strays", "lost", "broken", "errors")
NAMES = {
    "bare": "bare send() loop",
    "hub": "qflowd",
    "websockets_library": "websockets",
    "aiohttp_server": "aiohttp",
    "stock_tornado": "stock Tornado",
}


@dataclass
class Row:
    """One server at one number of clients. ``cost``: µs of CPU a delivered message, by round; ``delay`` in ms."""

    server: str
    clients: int
    cost: list[float] = field(default_factory=list)
    delivered: list[float] = field(default_factory=list)
    wanted: float = 0.0
    delay: dict[str, float] = field(default_factory=dict)
    size: float = 0.0
    load_busy: float = 0.0
    memory: int = 0
    faults: dict[str, int] = field(default_factory=dict)

    @property
    def price(self) -> float:
        return median(self.cost)


class Bench:
    """All servers with their clients; each publishes in turn, so that a slow minute of the machine is a slow minute for all."""

    def __init__(self, names: list[str]) -> None:
        self._stack = ExitStack()
        self.servers = [self._stack.enter_context(Server(name)) for name in names]
        self.loads: list[Load] = [self._stack.enter_context(load_for(server)) for server in self.servers]
        self.clients = 0

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()

    def grow(self, clients: int) -> None:
        """Let each server have so many clients."""
        for load in self.loads:
            load.connect(clients - self.clients)
        self.clients = clients

    def measure(self, rounds: int, seconds: float) -> list[Row]:
        """Each server in turn publishes for ``seconds``, ``rounds`` times."""
        rows = [Row(server.name, self.clients, wanted=RATE * self.clients) for server in self.servers]
        for _ in range(rounds):
            for server, load, row in zip(self.servers, self.loads, rows, strict=True):
                one_round(server, load, row, seconds)
        return rows


def one_round(server: Server, load: Load, row: Row, seconds: float) -> None:
    """Publish for a while, and add what it took to ``row``: all CPU from the first message until the last has come."""
    load.reset()
    before = cpu_seconds(server.pid)
    server.rate(RATE)
    time.sleep(seconds)
    delivered = load.report()["messages"]
    server.rate(0)
    report = settle(load)
    used = cpu_seconds(server.pid) - before
    row.cost.append(used / max(1, report["messages"]) * 1e6)
    row.delivered.append(delivered / seconds)
    row.size = report["bytes"] / max(1, report["messages"])
    row.load_busy = max(row.load_busy, report["cpu"] / report["seconds"])
    for name, value in report["delay"].items():
        row.delay[name] = max(row.delay.get(name, 0.0), value)
    for name in FAULTS:
        row.faults[name] = row.faults.get(name, 0) + report[name]
    row.memory = resident(server.pid)


def settle(load: Load) -> dict[str, Any]:
    """The report once nothing more comes: an overloaded server has a sweep to end."""
    report = load.report()
    while True:
        time.sleep(0.1)
        before, report = report, load.report()
        if before["messages"] == report["messages"] and not report["behind"]:
            return report


def show(rows: list[Row], slopes: dict[str, float]) -> None:
    """The table."""
    prices = {(row.clients, row.server): row.price for row in rows}
    print(f"{'clients':>8} {'server':<18}{'CPU/msg':>9}{'x bare':>8}{'delivered/s':>13}{'wanted':>9}{'B/msg':>7}"
          f"{'kB/client':>11}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}{'load':>6}")  # fmt: skip
    for row in rows:
        ratio = row.price / prices.get((row.clients, "bare"), row.price)
        slope = f"{slopes[row.server] / 1000:.1f}" if row.server in slopes else ""
        delays = "".join(f"{row.delay[name]:>9.1f}" for name in ("p50", "p99", "max"))
        print(f"{row.clients:>8,} {NAMES[row.server]:<18}{row.price:>6.1f} µs{ratio:>8.2f}{median(row.delivered):>13,.0f}"
              f"{row.wanted:>9,.0f}{row.size:>7.0f}{slope:>11}{delays}{row.load_busy:>6.0%}{faulty(row)}")  # fmt: skip


def faulty(row: Row) -> str:
    """What was wrong with the messages, in words; nothing in most runs."""
    found = [f"{count} {name}" for name, count in row.faults.items() if count]
    return "  !! " + ", ".join(found) if found else ""
