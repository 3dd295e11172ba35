"""What was acknowledged is there, once, after kill -9 at random moments."""

from __future__ import annotations

import random
import threading
import time
import urllib.error
from pathlib import Path
from typing import Any

from tests.daemon import PORTS, Daemon, event

EXECUTIONS = 2000
BATCH = 100


def workload(base: float) -> list[dict[str, Any]]:
    """Ten events for each of 2,000 executions, spread as they would come."""
    found: list[tuple[float, dict[str, Any]]] = []
    for number in range(EXECUTIONS):
        start = base + number * 0.02
        name = {"executionId": f"run-{number}"}
        found.append((start, event("exec.started", f"{number}-s", {**name, "flowId": f"flow-{number % 7}"}, at=start)))
        for step in range(4):
            stepped = {**name, "stepId": f"step-{step}"}
            at = start + 0.1 + step * 0.2
            found.append((at, event("exec.step.dispatched", f"{number}-d{step}", stepped, at=at)))
            done = {**stepped, "status": "failure" if (number + step) % 31 == 0 else "success"}
            found.append((at + 0.1, event("exec.step.completed", f"{number}-c{step}", done, at=at + 0.1)))
        status = {**name, "status": "failed" if number % 13 == 0 else "completed"}
        found.append((start + 1, event("exec.completed", f"{number}-e", status, at=start + 1)))
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]


def everything(daemon: Daemon) -> dict[str, Any]:
    """All executions with their steps, by id."""
    found: dict[str, Any] = {}
    cursor = ""
    while True:
        page = daemon.get(f"/api/v1/executions?limit=1000{cursor}")
        found |= {one["executionId"]: one for one in page["items"]}
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    return found


def post(daemon: Daemon, events: list[dict[str, Any]], acknowledged: list[int], stop: threading.Event) -> None:
    """Send in batches; repeat what was not acknowledged."""
    for start in range(0, len(events), BATCH):
        batch = events[start : start + BATCH]
        while not stop.is_set():
            try:
                answer = daemon.send(batch)
            except (urllib.error.URLError, OSError, ValueError):
                time.sleep(0.01)
                continue
            if answer.status == 200:
                body = answer.json
                assert body["accepted"] + body["duplicates"] == len(batch), body
                acknowledged[0] += len(batch)
                break


def test_nothing_acknowledged_is_lost_to_kill_9(tmp_path: Path) -> None:
    events = workload(time.time() - 300)
    calm_directory, rough_directory = tmp_path / "calm", tmp_path / "rough"
    calm_directory.mkdir()
    rough_directory.mkdir()
    calm = Daemon(calm_directory, PORTS).start()
    stop = threading.Event()
    post(calm, events, [0], stop)
    expected = everything(calm)
    steps = {key: calm.get(f"/api/v1/executions/{key}") for key in list(expected)[::97]}
    calm.stop()
    assert len(expected) == EXECUTIONS

    rough = Daemon(rough_directory, PORTS).start()
    acknowledged = [0]
    sender = threading.Thread(target=post, args=(rough, events, acknowledged, stop))
    sender.start()
    rng = random.Random(7)
    try:
        for number in range(10):
            goal = (number + 1) * len(events) // 11
            while acknowledged[0] < goal and sender.is_alive():
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.05))
            rough.kill()
            rough.start()
        sender.join(120)
        assert acknowledged[0] == len(events)
    finally:
        stop.set()
        sender.join()
    assert everything(rough) == expected
    for key, value in steps.items():
        found = rough.get(f"/api/v1/executions/{key}")
        assert found["steps"] == value["steps"]
        assert sorted(one["id"] for one in found["events"]) == sorted(one["id"] for one in value["events"])
    again = rough.send(events[:500]).json
    assert again == {"accepted": 0, "duplicates": 500, "rejected": []}
    rough.kill()
    rough.start()
    assert everything(rough) == expected
    assert rough.metric('qflowd_events_total{outcome="accepted"}') == len(events)
    assert rough.stop() == 0
