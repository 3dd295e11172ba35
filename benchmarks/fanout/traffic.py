"""What goes on beside the viewers: HTTP requests that are timed, and events that come in."""

from __future__ import annotations

import http.client
import json
import threading
import time
import uuid
from types import TracebackType
from typing import Self

from tests.daemon import event

HEADERS = {"Content-Type": "application/x-ndjson"}


class Beside:
    """A thread that works until the block ends; what it raised is raised there."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._error: BaseException | None = None

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                self.turn()
        except BaseException as error:
            self._error = error

    def turn(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        if self._error is not None:
            raise self._error


class Prober(Beside):
    """Asks the daemon every 20 ms, in turn over a connection that is kept and over one of its own. ``taken``: ms each."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self.taken: list[float] = []
        self._address = address
        self._kept = http.client.HTTPConnection(address, timeout=30)

    def turn(self) -> None:
        alone = http.client.HTTPConnection(self._address, timeout=30)
        for path, connection in (("/api/v1/dashboard/stats", self._kept), ("/healthz", alone)):
            began = time.perf_counter()
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            self.taken.append((time.perf_counter() - began) * 1000)
            if answer.status != 200:
                raise RuntimeError(f"GET {path}: {answer.status}")
            self._ended.wait(0.02)
        alone.close()

    def quantile(self, q: float) -> float:
        """Milliseconds."""
        taken = sorted(self.taken)
        return taken[min(len(taken) - 1, int(q * len(taken)))]


class Sender(Beside):
    """Posts so many events a second, a batch each ``every`` seconds: executions that start, take two steps, and end."""

    def __init__(self, address: str, a_second: int, every: float = 0.05) -> None:
        super().__init__()
        self.sent = 0
        self.acknowledged = 0
        self._size = round(a_second * every)
        self._every = every
        self._connection = http.client.HTTPConnection(address, timeout=30)
        self._due = time.monotonic()
        self._run_of = uuid.uuid4().hex[:8]

    def _body(self) -> bytes:
        lines = []
        now = time.time()
        for n in range(self._size):
            run, part = divmod(self.sent + n, 4)
            name = {"executionId": f"{self._run_of}-{run}"}
            kind, data = (
                ("exec.started", {**name, "flowId": f"flow-{run % 20}"}),
                ("exec.step.dispatched", {**name, "stepId": "a"}),
                ("exec.step.completed", {**name, "stepId": "a", "status": "success"}),
                ("exec.completed", {**name, "status": "completed"}),
            )[part]
            lines.append(json.dumps(event(kind, f"{self._run_of}-{self.sent + n}", data, at=now)))
        return "\n".join(lines).encode()

    def turn(self) -> None:
        self._ended.wait(max(0.0, self._due - time.monotonic()))
        self._due += self._every
        body = self._body()
        self.sent += self._size
        self._connection.request("POST", "/api/v1/events", body, HEADERS)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"POST /api/v1/events: {answer.status} {text!r}")
        self.acknowledged += int(json.loads(text)["accepted"])
