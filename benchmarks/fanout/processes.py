"""The processes of a measurement: servers on one core, the load on another, and what each has used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.fanout.payload import STREAM, templates

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build" / "fanout"
PROGRAMS = {"client": ("client.c", "frames.c", "content.c"), "bare": ("bare.c",)}
CORES = sorted(os.sched_getaffinity(0))


def build(program: str) -> Path:
    """The C program, compiled if its sources are younger than it."""
    made = BUILD / program
    sources = [HERE / name for name in PROGRAMS[program]]
    if not made.exists() or made.stat().st_mtime < max(one.stat().st_mtime for one in HERE.glob("*.[ch]")):
        BUILD.mkdir(parents=True, exist_ok=True)
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-Wall", "-Wextra", "-o", made, *sources, "-lz"], check=True)
    return made


def server_core() -> None:
    """Run on the first core."""
    os.sched_setaffinity(0, CORES[:1])


def load_core() -> None:
    """Run on the second core, where there is one."""
    os.sched_setaffinity(0, CORES[1:2] or CORES)


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, all its threads, in seconds."""
    total = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        total += int((thread / "schedstat").read_text().split()[0])
    return total / 1e9


def resident(pid: int) -> int:
    """Resident bytes of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class Process:
    """A child that is told lines and answers lines."""

    def __init__(self, command: list[Any], pinned: Any) -> None:
        self.process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, preexec_fn=pinned
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        """The next line. Raises RuntimeError when the process has ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args!r} ended with {self.process.wait()}")
        return line.decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Server(Process):
    """One of the servers of the table: ``bare``, or the name of a module in ``servers``."""

    def __init__(self, name: str) -> None:
        self.name = name
        if name == "bare":
            with tempfile.NamedTemporaryFile("w", suffix=".templates") as file:
                file.write("\n".join(templates()))
                file.flush()
                super().__init__([build("bare"), file.name], server_core)
                self.port = int(self.hear())
        else:
            super().__init__([sys.executable, "-m", f"benchmarks.fanout.servers.{name}"], server_core)
            self.port = int(self.hear())

    def rate(self, a_second: float) -> None:
        """Publish so many messages a second, 0 for none."""
        self.tell(str(a_second))


class Load(Process):
    """The load client; see ``client.c`` for its commands. ``streams``: those to subscribe to, ``~`` before state streams."""

    def __init__(self, port: int, streams: str = "", stamp: str = "sampledAt", path: str = "/", *arguments: Any) -> None:
        named = ["-s", streams] if streams else []
        super().__init__([build("client"), "-p", port, "-k", stamp, "-u", path, *named, *arguments], load_core)

    def ask(self, command: str) -> dict[str, Any]:
        """Give a command that has an answer; the answer."""
        self.tell(command)
        answer: dict[str, Any] = json.loads(self.hear())
        return answer

    def connect(self, count: int, a_second: float = 0) -> float:
        """Open further clients; seconds until all were subscribed."""
        return float(self.ask(f"connect {count} {a_second}")["seconds"])

    def reset(self) -> None:
        self.tell("reset")

    def report(self) -> dict[str, Any]:
        return self.ask("report")


def load_for(server: Server) -> Load:
    """Clients for one of the table's servers; only the hub waits for a subscription."""
    return Load(server.port, STREAM) if server.name == "hub" else Load(server.port, STREAM, "sampledAt", "/", "-w")
