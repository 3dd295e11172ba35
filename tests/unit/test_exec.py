from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.unit.test_client import Daemon

MAIN = """import argparse, sys
from qflowd.cli import exec as e
p = argparse.ArgumentParser()
e.add(p.add_subparsers())
a = p.parse_args()
sys.exit(a.run(a))"""
ROOT = str(Path(__file__).resolve().parents[2])


def start(url: str, tmp_path: Path, *command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", MAIN, "exec", "--flow", "f", "--step", "s", "--label", "a=b", "--", *command],
                            env={**os.environ, "PYTHONPATH": ROOT, "QFLOWD_URL": url, "QFLOWD_SPOOL": str(tmp_path)},
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.fixture
def daemon():
    served = Daemon()
    yield served
    served.close()


def test_failing_command(daemon: Daemon, tmp_path: Path):
    child = start(daemon.url, tmp_path, "sh", "-c", "echo out; echo one >&2; printf two >&2; exit 3")
    assert child.communicate(timeout=20) == (b"out\n", b"one\ntwo") and child.returncode == 3
    data = daemon.events[-1]["data"]
    assert (data["status"], data["error"]["type"], data["error"]["message"]) == ("failed", "exit", "exit status 3: two")
    assert data["resourceUsage"]["memoryUsedMB"] > 0 and data["durationMs"] > 0
    assert [e["type"].split("exec.")[1] for e in daemon.events] == [
        "started.v1", "step.dispatched.v1", "step.completed.v1", "completed.v1"]
    assert daemon.events[0]["data"]["labels"] == {"a": "b"}


def test_signals_pass_through(daemon: Daemon, tmp_path: Path):
    child = start(daemon.url, tmp_path, "sh", "-c", "echo up; exec sleep 30")
    assert child.stdout is not None and child.stdout.readline() == b"up\n"
    deadline = time.monotonic() + 1.0
    while not daemon.events and time.monotonic() < deadline:
        time.sleep(0.005)
    assert daemon.events[0]["type"] == "q.qflow.exec.started.v1"
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=20)
    assert child.returncode == 128 + signal.SIGTERM
    assert daemon.events[-1]["data"]["status"] == "aborted"


@pytest.mark.parametrize(("command", "code"), [("/nonexistent/x", 127), ("/etc/passwd", 126), ("true", 0)])
def test_statuses_while_down(tmp_path: Path, command: str, code: int):
    child = start("http://127.0.0.1:1", tmp_path, command)
    child.communicate(timeout=20)
    assert child.returncode == code
    assert sum(p.read_bytes().count(b"\n") for p in tmp_path.glob("*.ndjson")) == 4


def test_spooled_events_go_out_with_the_next_run(daemon: Daemon, tmp_path: Path):
    start("http://127.0.0.1:1", tmp_path, "true").communicate(timeout=20)
    start(daemon.url, tmp_path, "true").communicate(timeout=20)
    assert len({e["data"]["executionId"] for e in daemon.events}) == 2 and not list(tmp_path.glob("*.ndjson*"))
