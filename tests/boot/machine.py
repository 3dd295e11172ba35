"""A booted Debian: commands, files and connections inside it."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import json
import os
import shlex
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.daemon import Answer, until

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Failed(AssertionError):
    """A command inside ended with another status than it should."""


class Machine:
    """``folder`` becomes the root of a systemd that sees ``base`` below it; what it writes goes to ``folder/upper``.

    It has a network of its own with nothing but a loopback interface, so that its ports are free.
    """

    def __init__(self, base: Path, folder: Path, *arguments: str) -> None:
        self.folder, self.root = folder, folder / "root"
        for name in ("root", "upper", "work"):
            (folder / name).mkdir()
        layers = f"lowerdir={base},upperdir={folder / 'upper'},workdir={folder / 'work'}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, str(self.root)], check=True)
        self.console = folder / "console"
        with self.console.open("wb") as console:
            self.process = subprocess.Popen(
                ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--settings=no", "--private-network", "--console=pipe",
                 "--machine=qflow-box", f"--directory={self.root}", "--boot", *arguments],
                stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT)  # fmt: skip
        try:
            self.init = until(self._init, 30, "nspawn starts systemd")
            until(lambda: Path(f"/proc/{self.init}/root/run/systemd/private").exists(), 60, "systemd takes commands")
            self.run("systemctl is-system-running --wait", any_status=True)
        except BaseException:
            self.end()
            raise

    def _init(self) -> int | None:
        assert self.process.poll() is None, f"nspawn ended:\n{self.console.read_text(errors='replace')}"
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        # Before it becomes systemd the child is nspawn itself.
        return next((int(pid) for pid in children if Path(f"/proc/{pid}/comm").read_text().strip() == "systemd"), None)

    def end(self) -> None:
        """Power off and let go of the folder."""
        self.process.terminate()  # systemd inside is asked to power off
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        subprocess.run(["umount", "-l", str(self.root)], check=True)

    # -- commands ------------------------------------------------------------------------------------------------

    def popen(self, command: str, **options: Any) -> subprocess.Popen[str]:
        """Start a shell command inside."""
        entered = ["nsenter", f"--target={self.init}", "--all", "env", "-i", f"PATH={PATH}", "HOME=/root", "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"]
        return subprocess.Popen([*entered, "sh", "-c", command], text=True, stdin=subprocess.DEVNULL, **options)

    def run(self, command: str, *, any_status: bool = False, timeout: float = 120) -> str:
        """What a shell command inside printed, both streams. Raises ``Failed`` where it fails."""
        process = self.popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        printed, _ = process.communicate(timeout=timeout)
        if process.returncode and not any_status:
            raise Failed(f"{command!r} inside ended with {process.returncode}:\n{printed}\n{self.journal()}")
        return printed

    def status(self, command: str) -> int:
        """The exit status of a shell command inside."""
        return self.popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).wait(120)

    def journal(self, unit: str = "qflowd.service", *more: str) -> str:
        """The unit's log, systemd's own lines about it among them."""
        return self.run(f"journalctl --no-pager -u {unit} {shlex.join(more)}", any_status=True)

    def show(self, name: str, unit: str = "qflowd.service") -> str:
        """One property of a unit, as ``systemctl show`` has it."""
        return self.run(f"systemctl show --value -p {name} {unit}").strip()

    def path(self, inside: str) -> Path:
        """A file inside, as this side sees it (other mounts of the machine are seen too)."""
        return Path(f"/proc/{self.init}/root/{inside.lstrip('/')}")

    def copy_in(self, file: Path, inside: str) -> None:
        self.path(inside).write_bytes(file.read_bytes())

    # -- network -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def network(self) -> Iterator[None]:
        """Sockets that this thread makes meanwhile belong to the machine, and stay there afterwards."""
        with open("/proc/thread-self/ns/net") as ours, open(f"/proc/{self.init}/ns/net") as theirs:
            _enter(theirs.fileno())
            try:
                yield
            finally:
                _enter(ours.fileno())

    def connect(self, port: int, timeout: float = 30) -> socket.socket:
        """A connection to a port of the machine's loopback."""
        with self.network():
            return socket.create_connection(("127.0.0.1", port), timeout)

    def request(
        self, method: str, path: str, body: Any = None, *, port: int = 8080, headers: dict[str, str] | None = None, timeout: float = 30
    ) -> Answer:
        """An HTTP request from inside; a body that is not bytes goes as JSON."""
        connection = http.client.HTTPConnection("localhost", port, timeout=timeout)
        connection.sock = self.connect(port, timeout)
        sent = {"Content-Type": "application/json"} if body is not None and not isinstance(body, bytes) else {}
        try:
            connection.request(method, path, body if isinstance(body, bytes) or body is None else json.dumps(body), sent | (headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, path: str, *, port: int = 8080) -> Any:
        """The JSON of a GET that has to succeed."""
        answer = self.request("GET", path, port=port)
        assert answer.status == 200, answer.body
        return answer.json

    def answers(self, path: str = "/readyz", port: int = 8080) -> bool:
        """Whether a GET is answered with 200."""
        try:
            return self.request("GET", path, port=port, timeout=5).status == 200
        except OSError:
            return False


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "setns")
