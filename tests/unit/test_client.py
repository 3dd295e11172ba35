from __future__ import annotations

import argparse
import asyncio
import gzip
import http.server
import json
import logging
import threading
from pathlib import Path

import pytest

from qflowd.cli import emit
from qflowd.client import Client
from qflowd.spool import Spool


class Daemon:
    def __init__(self) -> None:
        self.events: list[dict] = []
        self.status, self.answer = 200, {"accepted": 0, "duplicates": 0, "rejected": []}
        self.headers: list[dict] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.headers.append(dict(self.headers))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if outer.status == 200:
                    outer.events += [json.loads(line) for line in body.splitlines()]
                text = json.dumps(outer.answer).encode()
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def daemon():
    served = Daemon()
    yield served
    served.close()


def test_flow_and_nested_steps(daemon: Daemon, tmp_path: Path):
    client = Client(daemon.url, "secret", spool=tmp_path)
    with client.flow("nightly", labels={"a": 1}, trigger="schedule") as run, run.step("outer") as outer, run.step("inner"):
        run.progress(7)
    client.close()
    kinds = [e["type"].removeprefix("q.qflow.exec.") for e in daemon.events]
    assert kinds == ["started.v1", "step.dispatched.v1", "step.dispatched.v1", "progress.v1", "step.completed.v1",
                     "step.completed.v1", "completed.v1"]
    assert daemon.events[2]["data"]["parentStepId"] == outer and daemon.events[3]["data"]["progress"] == 1.0
    assert daemon.headers[0]["Authorization"] == "Bearer secret"


def test_failures_and_tasks(daemon: Daemon, tmp_path: Path):
    client = Client(daemon.url, spool=tmp_path)

    @client.task("t")
    async def later() -> int:
        return 3

    @client.task("t")
    def broken() -> None:
        raise KeyError("x")

    assert asyncio.run(later()) == 3
    with pytest.raises(KeyError):
        broken()
    client.emit("x", {"nan": float("nan"), "path": tmp_path})
    client.close()
    assert [e["data"]["status"] for e in daemon.events if "completed" in e["type"]] == ["completed", "failed"]
    assert daemon.events[-1]["data"]["nan"] is None


def test_down_spools_and_the_next_client_sends(daemon: Daemon, tmp_path: Path):
    first = Client("http://127.0.0.1:1", spool=tmp_path)
    first.emit("x", {"n": 1})
    first.close()
    assert Spool(tmp_path).waiting()
    second = Client(daemon.url, spool=tmp_path)
    second.emit("y")
    second.flush()
    second.close()
    assert [e["type"] for e in daemon.events] == ["y", "x"] and not Spool(tmp_path).waiting()


def test_rejected_are_warned_of_and_not_kept(daemon: Daemon, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    daemon.status = 400
    daemon.answer = {"rejected": [{"index": 0, "errors": [{"path": "data.flowId", "message": "is required"}]}]}
    client = Client(daemon.url, spool=tmp_path)
    with caplog.at_level(logging.WARNING):
        client.emit("x")
        client.close()
    assert "data.flowId is required" in caplog.text and not Spool(tmp_path).waiting()


def test_spool_is_bounded_and_survives_torn_lines(tmp_path: Path):
    spool = Spool(tmp_path, max_bytes=400)
    for n in range(100):
        spool.append([b"%010d" % n])
    sent: list[bytes] = []
    assert sum(p.stat().st_size for p in tmp_path.glob("*.ndjson")) <= 400 and spool.dropped() > 0
    last = sorted(tmp_path.glob("*.ndjson"))[-1]
    last.write_bytes(last.read_bytes()[:-3])
    spool.append([b"new"])
    assert spool.drain(lambda lines: sent.extend(lines) or True) and sent[-1] == b"new"
    assert spool.dropped() + len(sent) >= 100


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    emit.add(parser.add_subparsers())
    return parser.parse_args(["emit", *words])


def test_emit(daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def go(*words: str) -> int:
        arguments = parse(*words)
        return arguments.run(arguments)

    monkeypatch.setenv("QFLOWD_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("QFLOWD_URL", daemon.url)
    assert go("t", "--data", '{"a":1}', "--id", "i", "--time", "2026-01-01T00:00:00Z") == 0
    assert (daemon.events[0]["id"], daemon.events[0]["time"]) == ("i", "2026-01-01T00:00:00.000Z")
    assert go("t", "--data", "{") == 2 and go() == 2 and go("t", "--time", "now") == 2
    assert go("t", "--url", "http://127.0.0.1:1") == 1
    assert go("t", "--url", "http://127.0.0.1:1", "--spool") == 0 and Spool(tmp_path / "spool").waiting()
    daemon.answer = {"rejected": [{"index": 0, "errors": [{"path": "id", "message": "is required"}]}]}
    assert go("t") == 1
    assert "id is required" in capsys.readouterr().err
