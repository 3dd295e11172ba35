"""Events per CPU second: a young store, then one that has seen ``--events``."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from qflowd.model import Event
from qflowd.storage import Storage


def measure(storage: Storage, first: int, count: int, size: int = 500) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.monotonic()
    for at in range(first, first + count, size):
        storage.append([Event("bench", str(n), "flow.progress", n, {"executionId": f"x{n // 10}", "progress": 5}) for n in range(at, at + size)]).result()
    return count / (time.process_time() - cpu), count / (time.monotonic() - wall)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    events = parser.parse_args().events
    with tempfile.TemporaryDirectory() as folder:
        storage = Storage(Path(folder), clock=lambda: int(time.time() * 1000))
        storage.open()
        print("store          events/CPU s   events/s")
        print("young          {:12,.0f} {:10,.0f}".format(*measure(storage, 0, 20_000)))
        measure(storage, 20_000, events)
        print(f"{events:<14,}" + " {:12,.0f} {:10,.0f}".format(*measure(storage, 20_000 + events, 20_000)))
        storage.close()


if __name__ == "__main__":
    main()
