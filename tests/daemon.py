"""Starts the real daemon for tests and benchmarks, and talks to it over real sockets."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

PORTS = "server: {address: 127.0.0.1, port: 0}\nwebsocket: {address: 127.0.0.1, port: 0}\n"


class Answer:
    """Status, headers and body of an HTTP answer."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Daemon:
    """One daemon in ``directory``; may be killed and started again on the same state."""

    def __init__(self, directory: Path, config: str = PORTS, *arguments: str) -> None:
        self.directory = directory
        self.file = directory / "qflowd.yaml"
        self.file.write_text(config)
        self.state = directory / "state"
        self.arguments = arguments
        self.module = "qflowd"
        self.process: subprocess.Popen[bytes] | None = None
        self.log = directory / "log"

    def start(self) -> Daemon:
        """Start and wait until it says its addresses."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module, "run", "-c", str(self.file), "--set", f"storage.path={self.state}", "--print-addresses",
                 *self.arguments],
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONWARNINGS": "default"},
            )  # fmt: skip
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], 30)
        line = self.process.stdout.readline() if ready else b""
        assert line, f"the daemon did not start:\n{self.log.read_text()}"
        self.addresses: dict[str, str] = json.loads(line)
        return self

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            if self.process.stdout:
                self.process.stdout.close()
        return status

    def request(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, timeout: float = 30) -> Answer:
        """An HTTP request; a body that is not bytes goes as JSON."""
        sent = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        request = urllib.request.Request(f"http://{self.addresses['http']}{path}", body, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def get(self, path: str) -> Any:
        """The JSON of a GET that has to succeed."""
        answer = self.request("GET", path)
        assert answer.status == 200, answer.body
        return answer.json

    def send(self, events: list[dict[str, Any]]) -> Answer:
        """POST events as NDJSON."""
        body = "\n".join(json.dumps(event) for event in events).encode()
        return self.request("POST", "/api/v1/events", body, {"Content-Type": "application/x-ndjson"})

    def metric(self, name: str) -> float:
        """One value of /metrics; ``name`` with its labels."""
        for line in self.request("GET", "/metrics").body.decode().splitlines():
            if line.startswith(f"{name} "):
                return float(line.rsplit(" ", 1)[1])
        raise AssertionError(f"no metric {name}")

    def rules(self) -> dict[str, Any]:
        return {rule["id"]: rule for rule in self.get("/api/v1/dashboard/alerts")["items"]}


def event(kind: str, number: Any, data: dict[str, Any], *, at: float | None = None, source: str = "/test") -> dict[str, Any]:
    """A CloudEvent; ``at`` in epoch seconds."""
    moment = time.time() if at is None else at
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment * 1000) % 1000:03d}Z"
    return {"specversion": "1.0", "id": str(number), "source": source, "type": f"q.qflow.{kind}.v1", "time": stamp, "data": data}


def until(condition: Callable[[], Any], seconds: float = 20, what: str = "") -> Any:
    """Wait for ``condition``; what it gave."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or condition}"
        time.sleep(0.02)
