"""Reports flows to qflowd from Python, with the standard library only.

    client = Client()
    with client.flow("nightly", labels={"team": "data"}) as run:
        with run.step("extract"):
            run.progress(0.5)

Nothing here raises into the flow's code or waits for the network: events go out from a background thread, and to a
spool on disk while qflowd cannot be reached.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import inspect
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

from qflowd.spool import BATCH_LINES, Reply, Spool, Transport, batches, default_spool

log = logging.getLogger("qflowd.client")
F = TypeVar("F", bound=Callable[..., Any])
QUEUE_LIMIT = 10_000
DEFAULT_URL = "http://127.0.0.1:8080"


def cloud_event(kind: str, data: Any, source: str, *, name: str | None = None, at: float | None = None) -> bytes:
    """One CloudEvent as a line. ``at`` in seconds since 1970; values JSON does not know become text."""
    when = datetime.fromtimestamp(time.time() if at is None else at, UTC).isoformat(timespec="milliseconds")
    event = {"specversion": "1.0", "id": name or str(uuid.uuid4()), "source": source, "type": kind,
             "time": when.replace("+00:00", "Z"), "datacontenttype": "application/json", "data": data}
    try:
        return json.dumps(event, default=str, separators=(",", ":"), allow_nan=False).encode()
    except ValueError:
        return json.dumps(_finite(event), default=str, separators=(",", ":")).encode()


def _finite(value: Any) -> Any:
    """NaN and infinity are no JSON: they become null."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {str(key): _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return value


class Client:
    """Sends events from one process. ``url`` and ``token`` default to ``QFLOWD_URL`` and ``QFLOWD_TOKEN``."""

    def __init__(self, url: str | None = None, token: str | None = None, source: str | None = None,
                 spool: str | os.PathLike[str] | None = None, *, timeout: float = 5.0) -> None:
        self._transport = Transport(
            url or os.environ.get("QFLOWD_URL") or DEFAULT_URL, token or os.environ.get("QFLOWD_TOKEN"), timeout)
        self.source = source or f"//{socket.gethostname()}/python"
        self._spool = Spool(Path(spool) if spool is not None else default_spool())
        self._restart()

    def _restart(self) -> None:
        self._pid = os.getpid()
        self._condition = threading.Condition()
        self._queue: list[bytes] = []
        self._flying: list[bytes] = []
        self._thread: threading.Thread | None = None
        self._closing = False
        self._down_until = 0.0
        self._pause = 1.0

    def emit(self, kind: str, data: Any = None, *, id: str | None = None, at: float | None = None) -> None:
        """Queues one event; returns at once. ``at`` in seconds since 1970, now by default."""
        try:
            self._put(cloud_event(kind, {} if data is None else data, self.source, name=id, at=at))
        except Exception:  # the flow must not fail because it is watched
            log.warning("event %s could not be sent", kind, exc_info=True)

    def flow(self, flow_id: str, *, labels: Mapping[str, Any] | None = None, trigger: str = "manual",
             execution_id: str | None = None, version: str | None = None, estimated_ms: float | None = None,
             priority: float | str | None = None) -> Run:
        """One execution of ``flow_id``, as a context manager. An exception makes it failed, and goes on its way."""
        return Run(self, flow_id, execution_id or str(uuid.uuid4()), {
            "flowVersion": version, "triggerType": trigger, "estimatedDuration": estimated_ms, "priority": priority,
            "labels": {str(key): str(value) for key, value in labels.items()} if labels else None})

    def task(self, flow_id: str, **options: Any) -> Callable[[F], F]:
        """A decorator: each call of the function (plain or ``async``) is an execution of ``flow_id``."""
        def decorate(function: F) -> F:
            if inspect.iscoroutinefunction(function):
                @functools.wraps(function)
                async def call_async(*args: Any, **kwargs: Any) -> Any:
                    with self.flow(flow_id, **options):
                        return await function(*args, **kwargs)
                return cast(F, call_async)

            @functools.wraps(function)
            def call(*args: Any, **kwargs: Any) -> Any:
                with self.flow(flow_id, **options):
                    return function(*args, **kwargs)
            return cast(F, call)
        return decorate

    def flush(self, timeout: float = 5.0) -> bool:
        """Waits until everything queued is sent or spooled; False when ``timeout`` seconds were not enough."""
        with self._condition:
            return self._condition.wait_for(lambda: not self._queue and not self._flying, timeout)

    def close(self, timeout: float = 5.0) -> None:
        """Sends what is queued; what cannot be sent within ``timeout`` seconds is spooled. May be called twice."""
        if self._pid != os.getpid():
            return  # a fork: the parent sends its own events
        with self._condition:
            self._closing = True
            self._condition.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout)
        with self._condition:
            left = self._flying + self._queue
            self._flying, self._queue = [], []
        self._keep(left)
        atexit.unregister(self.close)

    def _put(self, line: bytes) -> None:
        if self._pid != os.getpid():
            self._restart()
        overflow: list[bytes] = []
        with self._condition:
            if len(self._queue) >= QUEUE_LIMIT:
                overflow, self._queue = self._queue, []
            self._queue.append(line)
            if self._thread is None or not self._thread.is_alive():
                self._closing = False
                self._thread = threading.Thread(target=self._work, name="qflowd-client", daemon=True)
                self._thread.start()
                atexit.register(self.close)
            self._condition.notify_all()
        self._keep(overflow)

    def _work(self) -> None:
        while True:
            with self._condition:
                if not self._queue and not self._closing:
                    # Woken now and then only while something waits on disk.
                    self._condition.wait(max(0.1, self._down_until - time.monotonic()) if self._down_until else None)
                batch, self._queue = self._queue[:BATCH_LINES], self._queue[BATCH_LINES:]
                self._flying = batch
                if not batch and self._closing:
                    self._thread = None
                    return
            try:
                self._deliver(batch)
            except Exception:  # the thread must outlive whatever happens
                log.warning("sending events to qflowd failed", exc_info=True)
            with self._condition:
                self._flying = []
                self._condition.notify_all()

    def _deliver(self, batch: list[bytes]) -> None:
        if time.monotonic() < self._down_until:
            self._keep(batch)
            return
        for part in batches(batch):
            if not self._send(part):
                self._keep(part)
        if time.monotonic() >= self._down_until:
            self._down_until = 0.0
            with self._condition:
                self._flying = []  # sent: what follows must not make close() spool it again
                self._condition.notify_all()
            if not self._spool.drain(self._send) and self._down_until == 0.0:
                self._down_until = time.monotonic() + 1.0  # another process is sending; look again

    def _send(self, lines: list[bytes]) -> bool:
        """False when the lines are to be kept for later."""
        reply = self._transport.post(lines)
        if reply.outcome == "later":
            log.warning("qflowd at %s cannot take events (%s); they are kept in %s", self._transport.url, reply.message,
                        self._spool.path)
            self._down_until = time.monotonic() + self._pause
            self._pause = min(30.0, self._pause * 2)
            return False
        self._pause = 1.0
        report_rejected(reply, lines)
        return True

    def _keep(self, lines: Sequence[bytes]) -> None:
        try:
            self._spool.append(lines)
        except OSError as error:
            log.warning("%d events for qflowd are lost: %s", len(lines), error)


def report_rejected(reply: Reply, lines: Sequence[bytes]) -> None:
    """A warning for each event qflowd refused: sending it again would not help."""
    for entry in reply.rejected:
        log.warning("qflowd refused event %s: %s", entry.get("index"), rejected_text(entry))
    if reply.outcome == "refused" and not reply.rejected:
        log.warning("qflowd refused %d events: %s", len(lines), reply.message)


def rejected_text(entry: Mapping[str, Any]) -> str:
    """The mistakes of one rejected event in one line."""
    return "; ".join(f"{e.get('path') or 'event'} {e.get('message')}" for e in entry.get("errors") or [] if isinstance(e, dict))


class Run:
    """One execution while it runs."""

    def __init__(self, client: Client, flow_id: str, execution_id: str, details: Mapping[str, Any]) -> None:
        self.client, self.flow_id, self.execution_id = client, flow_id, execution_id
        self._details = details
        self._start = time.time()
        self._failed_step: tuple[BaseException, str] | None = None
        self._step: ContextVar[str | None] = ContextVar("qflowd_step", default=None)

    def _emit(self, kind: str, at: float | None = None, **data: Any) -> None:
        present = {key: value for key, value in data.items() if value is not None}
        self.client.emit(f"q.qflow.exec.{kind}.v1", {"executionId": self.execution_id, **present}, at=at)

    def __enter__(self) -> Run:
        self._start = time.time()
        self._emit("started", self._start, flowId=self.flow_id, **self._details)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        status, failure = outcome(error)
        if failure is not None and self._failed_step is not None and self._failed_step[0] is error:
            failure["stepId"] = self._failed_step[1]
        end = time.time()
        self._emit("completed", end, flowId=self.flow_id, status=status, error=failure,
                   startTime=int(self._start * 1000), endTime=int(end * 1000),
                   durationMs=max(0.0, round((end - self._start) * 1000, 3)))

    def progress(self, progress: float, step: str | None = None, message: str | None = None) -> None:
        """``progress`` from 0 to 1; what is outside is brought inside."""
        try:
            inside = min(1.0, max(0.0, float(progress)))
        except (TypeError, ValueError):
            log.warning("progress must be a number from 0 to 1, not %r", progress)
            return
        self._emit("progress", progress=inside, currentStep=step, message=message)

    @contextlib.contextmanager
    def step(self, name: str, *, type: str | None = None, step_id: str | None = None, attempt: int = 1) -> Iterator[str]:
        """A step; inside another one it becomes its child. Yields the step's id."""
        own = step_id or f"{name}-{uuid.uuid4().hex[:8]}"
        parent = self._step.get()
        self._step.set(own)
        start = time.time()
        self._emit("step.dispatched", start, stepId=own, stepName=name, stepType=type, parentStepId=parent, attempt=attempt)
        caught: BaseException | None = None
        try:
            yield own
        except BaseException as error:
            caught = error
            if self._failed_step is None or self._failed_step[0] is not error:
                self._failed_step = (error, own)
            raise
        finally:
            status, failure = outcome(caught)
            end = time.time()
            steps = {"completed": "success", "failed": "failure", "aborted": "cancelled", "timeout": "timeout"}
            self._emit("step.completed", end, stepId=own, status=steps[status], nodeId=socket.gethostname(), error=failure,
                       executionMetrics={"startTime": int(start * 1000), "endTime": int(end * 1000),
                                         "durationMs": max(0.0, round((end - start) * 1000, 3))})
            self._step.set(parent)


def outcome(error: BaseException | None) -> tuple[str, dict[str, Any] | None]:
    """Status and error object of an execution that ended by ``error``."""
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        return "completed", None
    try:
        message = str(error)[:4096]
    except Exception:
        message = ""
    failure: dict[str, Any] = {"type": type(error).__name__, "message": message}
    if isinstance(error, TimeoutError):
        return "timeout", failure
    stopped = isinstance(error, (KeyboardInterrupt, GeneratorExit)) or type(error).__name__ == "CancelledError"
    return ("aborted" if stopped else "failed"), failure
