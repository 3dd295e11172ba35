"""``qflowd exec``: runs a command as an execution of a flow. The command runs whether or not qflowd does."""

from __future__ import annotations

import argparse
import collections
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from qflowd.client import Client

TAIL_LINES, TAIL_BYTES = 20, 4096
FLUSH_SECONDS = 3.0
_PASSED = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGCONT", "SIGWINCH", "SIGALRM")


def add(subparsers: Any) -> None:
    """Registers the command."""
    parser = subparsers.add_parser(
        "exec", help="run a command as an execution of a flow", usage="qflowd exec --flow NAME [options] -- COMMAND …",
        description="Runs COMMAND and reports its start, end, exit status, duration and memory. Exits with the command's "
                    "status (128+n when signal n killed it, 127 not found, 126 not executable). While qflowd is down, events "
                    "are kept on disk and sent by a later run.")
    parser.add_argument("--flow", required=True, metavar="NAME", help="the flow this is an execution of")
    parser.add_argument("--step", metavar="NAME", help="report the command as this step of the execution, too")
    parser.add_argument("--url", help="where qflowd is (default: $QFLOWD_URL or http://127.0.0.1:8080)")
    parser.add_argument("--token-file", metavar="FILE", help="file with the token (default: $QFLOWD_TOKEN)")
    parser.add_argument("--label", action="append", default=[], metavar="KEY=VALUE", help="a label; may be repeated")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND …")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; the command's exit status, or 2 for a usage mistake."""
    command = list(arguments.command)
    if command and command[0] == "--":
        command = command[1:]
    if not command:
        return _usage("a command is needed after --")
    labels = {}
    for label in arguments.label:
        key, equals, value = label.partition("=")
        if not key or not equals:
            return _usage(f"--label {label!r}: KEY=VALUE is needed")
        labels[key] = value
    token = None
    if arguments.token_file:
        try:
            token = Path(arguments.token_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeError) as error:
            return _usage(f"--token-file: {error}")
    try:
        client = Client(arguments.url, token, f"//{socket.gethostname()}/exec")
    except ValueError as error:
        return _usage(f"--url: {error}")
    # What the client has to say about the network is not the command's output.
    logging.getLogger("qflowd.client").setLevel(logging.ERROR)
    return _Execution(client, arguments.flow, arguments.step, labels).run(command)


def _usage(message: str) -> int:
    print(f"qflowd exec: {message}", file=sys.stderr)
    return 2


class _Execution:
    def __init__(self, client: Client, flow: str, step: str | None, labels: dict[str, str]) -> None:
        self._client, self._flow, self._step, self._labels = client, flow, step, labels
        self._id = str(uuid.uuid4())
        self._child: int | None = None
        self._early: list[int] = []
        self._tail: collections.deque[bytes] = collections.deque(maxlen=TAIL_LINES + 1)
        self._part = b""

    def run(self, command: list[str]) -> int:
        previous = self._pass_signals()
        start = time.time()
        clock = time.monotonic()
        watched = not sys.stderr.isatty()
        usage: resource.struct_rusage | None = None
        failure: dict[str, Any] | None
        try:
            process = subprocess.Popen(command, stderr=subprocess.PIPE if watched else None, bufsize=0, close_fds=False,
                                       env={**os.environ, "QFLOWD_EXECUTION_ID": self._id})
        except OSError as error:
            self._started(command, start)
            code = 127 if isinstance(error, FileNotFoundError) else 126
            what = "command not found" if code == 127 else f"cannot be run: {error.strerror}"
            print(f"qflowd exec: {command[0]}: {what}", file=sys.stderr)
            status, failure = "failed", {"type": "exit", "message": f"exit status {code}: {command[0]}: {what}"}
        else:
            self._child = process.pid
            for number in self._early:
                self._forward(number)
            self._started(command, start)
            pump = threading.Thread(target=self._pump, args=(process,), daemon=True)
            if watched:
                pump.start()
            _, wait_status, usage = os.wait4(process.pid, 0)
            self._child = None
            process.returncode = os.waitstatus_to_exitcode(wait_status)
            if watched:
                pump.join(1.0)  # a daemon the command left behind may hold the pipe open
            code, status, failure = self._ended(process.returncode)
        took = (time.monotonic() - clock) * 1000
        self._completed(start, took, status, failure, usage)
        self._client.close(FLUSH_SECONDS)
        for number, handler in previous.items():
            signal.signal(number, handler)
        return code

    def _pass_signals(self) -> dict[int, Any]:
        previous: dict[int, Any] = {}
        for name in _PASSED:
            number = getattr(signal, name)
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup's choice stays
                previous[number] = signal.signal(number, lambda got, _: self._forward(got))
        return previous

    def _forward(self, number: int) -> None:
        if self._child is None:
            self._early.append(number)
            return
        # The terminal sends these to the whole foreground group: the command has it already.
        if number in (signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH) and _in_foreground():
            return
        try:
            os.kill(self._child, number)
        except ProcessLookupError:
            pass

    def _pump(self, process: subprocess.Popen[bytes]) -> None:
        pipe = process.stderr
        assert pipe is not None
        source = pipe.fileno()
        while True:
            data = os.read(source, 65536)
            if not data:
                break
            view = memoryview(data)
            try:
                while view:
                    view = view[os.write(2, view):]
            except OSError:
                pass  # our reader is gone; the command must not block because of it
            *lines, self._part = (self._part + data).split(b"\n")
            self._tail.extend(line[-TAIL_BYTES:] for line in lines if line.strip())
            self._part = self._part[-TAIL_BYTES:]
        pipe.close()

    def _last_lines(self) -> str:
        lines = [*self._tail, *([self._part] if self._part.strip() else [])][-TAIL_LINES:]
        return b"\n".join(lines)[-TAIL_BYTES:].decode(errors="replace").strip()

    def _ended(self, code: int) -> tuple[int, str, dict[str, Any] | None]:
        if code == 0:
            return 0, "completed", None
        tail = self._last_lines()
        last = tail.splitlines()[-1].strip() if tail else ""
        if code < 0:
            try:
                name = signal.Signals(-code).name
            except ValueError:
                name = f"signal {-code}"
            code, status = 128 - code, "aborted"
            failure: dict[str, Any] = {"type": "signal", "message": f"killed by {name}"}
        else:
            failure = {"type": "exit", "message": f"exit status {code}" + (f": {last}" if last else "")}
            status = "failed"
        if tail:
            failure["output"] = tail
        return code, status, failure

    def _emit(self, kind: str, at: float, **data: Any) -> None:
        present = {key: value for key, value in data.items() if value is not None}
        self._client.emit(f"q.qflow.exec.{kind}.v1", {"executionId": self._id, **present}, at=at)

    def _started(self, command: list[str], at: float) -> None:
        self._emit("started", at, flowId=self._flow, triggerType="manual", labels=self._labels or None, host=socket.gethostname(),
                   command=os.path.basename(command[0]))
        if self._step:
            self._emit("step.dispatched", at, stepId=self._step, stepName=self._step, stepType="command",
                       targetNodeId=socket.gethostname(), attempt=1)

    def _completed(self, start: float, took: float, status: str, failure: dict[str, Any] | None,
                   usage: resource.struct_rusage | None) -> None:
        end = start + took / 1000
        spent: dict[str, Any] = {}
        if usage is not None:
            cpu = usage.ru_utime + usage.ru_stime
            unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
            spent = {"memoryUsedMB": round(usage.ru_maxrss * unit / 1e6, 3), "cpuSeconds": round(cpu, 6),
                     "cpuUsagePercent": round(cpu / max(took, 0.001) * 100_000, 2)}
        times = {"startTime": int(start * 1000), "endTime": int(end * 1000), "durationMs": round(took, 3)}
        if self._step:
            step_status = {"completed": "success", "aborted": "cancelled"}.get(status, "failure")
            self._emit("step.completed", end, stepId=self._step, status=step_status, nodeId=socket.gethostname(), error=failure,
                       executionMetrics={**times, **spent})
            failure = {**failure, "stepId": self._step} if failure else None
        self._emit("completed", end, flowId=self._flow, status=status, error=failure, resourceUsage=spent or None, **times)


def _in_foreground() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False
