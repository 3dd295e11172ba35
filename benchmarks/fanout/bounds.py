"""What the figures have to stay within, and whether they do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.fanout.comparison import NAMES, Row

RATIOS = {"bare": 1.5, "stock_tornado": 1 / 10, "websockets_library": 1 / 3}
CLIENT_BYTES = 20_000


@dataclass(frozen=True)
class Bound:
    """One figure and its limit; ``unit`` is for showing only."""

    what: str
    measured: float
    limit: float
    unit: str = ""

    @property
    def kept(self) -> bool:
        return self.measured <= self.limit


def of_comparison(rows: list[Row], slopes: dict[str, float]) -> Iterator[Bound]:
    """qflowd beside the others at each number of clients, and what one client takes of memory."""
    prices = {(row.clients, row.server): row.price for row in rows}
    for (clients, server), price in prices.items():
        # Below that the wake-ups of the loop weigh more than the messages.
        if server in RATIOS and clients >= 1_000 and (clients, "hub") in prices:
            yield Bound(f"CPU a message / {NAMES[server]}, {clients:,} clients", prices[clients, "hub"] / price, RATIOS[server])
    if "hub" in slopes:
        yield Bound("resident a client", slopes["hub"] / 1000, CLIENT_BYTES / 1000, "kB")
    for row in rows:
        if row.server in ("hub", "bare"):
            yield Bound(f"faulty messages, {NAMES[row.server]}, {row.clients:,} clients", sum(row.faults.values()), 0)
            # Else the delays are the client's own.
            yield Bound(f"load client's CPU, {NAMES[row.server]}, {row.clients:,} clients", row.load_busy, 0.8)


def show(bounds: list[Bound]) -> bool:
    """The table of what was kept; whether all was."""
    print(f"\n{'bound':<58}{'measured':>12}{'limit':>12}")
    for one in bounds:
        unit = f" {one.unit}" if one.unit else ""
        print(f"{one.what:<58}{f'{one.measured:,.3g}{unit}':>12}{f'{one.limit:,.3g}{unit}':>12}  {'kept' if one.kept else 'BROKEN'}")
    return all(one.kept for one in bounds)
