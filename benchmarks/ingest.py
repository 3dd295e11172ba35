"""Durable events per CPU second of the daemon, over HTTP in NDJSON batches of 500, and the loop's lag meanwhile."""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import tempfile
import time
import uuid
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))
from qflowd.model import Event
from qflowd.storage import Batch, Storage
from tests.daemon import Daemon, event


def batches(count: int) -> list[bytes]:
    """Bodies of 500 events each: executions of ten events with random ids."""
    found = []
    now = time.time()
    for _ in range(count):
        lines = []
        for _ in range(50):
            name = {"executionId": str(uuid.uuid4())}
            lines.append(event("exec.started", uuid.uuid4(), {**name, "flowId": "bench"}, at=now))
            for step in range(4):
                lines.append(event("exec.step.dispatched", uuid.uuid4(), {**name, "stepId": f"s{step}"}, at=now))
                lines.append(event("exec.step.completed", uuid.uuid4(), {**name, "stepId": f"s{step}", "status": "success"}, at=now))
            lines.append(event("exec.completed", uuid.uuid4(), {**name, "status": "completed"}, at=now))
        found.append("\n".join(json.dumps(line) for line in lines).encode())
    return found


def fill(directory: Path, held: int) -> None:
    """Let the store hold ``held`` events with random ids before the daemon starts."""
    if not held:
        return
    storage = Storage(directory / "state", synchronous="OFF", clock=lambda: int(time.time() * 1000))
    storage.open()
    last = 0
    for start in range(0, held, 10_000):
        now = int(time.time() * 1000)
        count = min(10_000, held - start)
        events = [Event("/held", str(uuid.uuid4()), "q.qflow.external.event.received.v1", now, {"n": n}) for n in range(count)]
        last = storage.append(events).result().rowid_last
    storage.save(Batch(applied=last)).result()
    storage.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--held", type=int, default=0, help="events that the store holds before; 5000000 for the old store")
    options = parser.parse_args()
    bodies = batches(options.batches)
    with tempfile.TemporaryDirectory() as directory:
        fill(Path(directory), options.held)
        daemon = Daemon(Path(directory)).start()
        process = psutil.Process(daemon.pid)
        connection = http.client.HTTPConnection(daemon.addresses["http"])
        before = process.cpu_times()
        began = time.monotonic()
        for body in bodies:
            connection.request("POST", "/api/v1/events", body, {"Content-Type": "application/x-ndjson"})
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == 200, text
        took = time.monotonic() - began
        after = process.cpu_times()
        cpu = after.user + after.system - before.user - before.system
        lag = daemon.metric('qflowd_loop_lag_seconds{quantile="0.99"}')
        resident = process.memory_info().rss / 1e6
        daemon.stop()
    events = 500 * options.batches
    print(f"{f'ingest, {options.held:,} held':<28}{'measured':>14}{'bound':>12}")
    print(f"{'events per CPU second':<28}{events / cpu:>14,.0f}{'20,000' if options.held else '30,000':>12}")
    print(f"{'events per second':<28}{events / took:>14,.0f}")
    print(f"{'loop lag p99':<28}{lag * 1000:>11.1f} ms{'50 ms':>12}")
    print(f"{'resident':<28}{resident:>11.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
