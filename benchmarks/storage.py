"""Events per CPU second as the store grows to ``--events`` of random ids: acknowledged in batches, each committed and synced."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from qflowd.model import Event
from qflowd.storage import Storage

RANDOM = Random(1)


def batch(first: int, size: int) -> list[Event]:
    return [
        Event("bench", f"{RANDOM.getrandbits(128):032x}", "flow.progress", n, {"executionId": f"x{n // 10}", "progress": 5})
        for n in range(first, first + size)
    ]


def measure(storage: Storage, first: int, count: int, size: int) -> tuple[float, float, float]:
    """Events per CPU second, events per second, and the longest wait for a batch in ms; making the events is not counted."""
    cpu = wall = longest = 0.0
    for at in range(first, first + count, size):
        events = batch(at, size)
        cpu_began, began = time.process_time(), time.monotonic()
        storage.append(events).result()
        took = time.monotonic() - began
        cpu, wall, longest = cpu + time.process_time() - cpu_began, wall + took, max(longest, took)
    return count / cpu, count / wall, longest * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--parts", type=int, default=6, help="rows of the table")
    arguments = parser.parse_args()
    part = -(-arguments.events // arguments.parts // arguments.batch) * arguments.batch
    with tempfile.TemporaryDirectory() as folder:
        storage = Storage(Path(folder), clock=lambda: int(time.time() * 1000))
        storage.open()
        print(f"{'events held':>12} {'events/CPU s':>13} {'events/s':>10} {'longest ms':>11} {'MiB':>7}", flush=True)
        for at in range(0, arguments.events, part):
            rates = measure(storage, at, part, arguments.batch)
            print("{:12,} {:13,.0f} {:10,.0f} {:11,.0f} {:7,.0f}".format(at + part, *rates, storage.stats()["bytes"] / 2**20), flush=True)
        storage.close()


if __name__ == "__main__":
    main()
