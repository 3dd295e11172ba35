"""A full disk: the daemon stays up, says so, refuses what it cannot keep, and goes on when there is room again."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.daemon import PORTS, Daemon, event, until


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MiB."""
    place = tmp_path / "state"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_told_and_survived(small: Path, tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, PORTS).start()
    ballast = small / "ballast"
    ballast.write_bytes(b"x" * (shutil.disk_usage(small).free - 40_000))
    kept = 0

    def refused() -> bool:
        nonlocal kept
        answer = daemon.send([event("exec.started", f"{kept}-{n}", {"executionId": f"{kept}-{n}", "flowId": "f"}) for n in range(100)])
        kept += answer.status == 200
        assert answer.status in (200, 503), answer.body
        return answer.status == 503 and "Retry-After" in answer.headers

    until(refused, 30, "the disk is full")
    ready = daemon.request("GET", "/readyz")
    assert ready.status == 503 and "journal" in ready.json["reasons"][0], ready.json
    assert daemon.request("GET", "/healthz").status == 200
    rule = {"name": "Always", "condition": "vector(1) > 0"}
    assert daemon.request("POST", "/api/v1/dashboard/alerts", rule).status == 503
    with connect(f"ws://{daemon.addresses['websocket']}/") as client:
        health = json.loads(client.recv(timeout=5))["data"]["dashboardData"]["systemHealth"]
        assert health["overall"] == "unhealthy" and "journal" in health["reasons"][0]
    ballast.unlink()
    until(lambda: daemon.send([event("exec.started", "after", {"executionId": "after", "flowId": "f"})]).status == 200)
    assert daemon.request("GET", "/readyz").status == 200
    assert daemon.stop() == 0
    assert "Traceback" not in daemon.log.read_text()
    daemon.start()
    assert len(daemon.get("/api/v1/executions?limit=1000")["items"]) == min(1000, kept * 100 + 1)
    assert daemon.stop() == 0
