"""Telling systemd how the daemon is (sd_notify(3)), without libsystemd."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """Sends state to ``address`` (a path, or ``@name`` in the abstract namespace); does nothing without one.

    ``watchdog_usec`` is the interval within which systemd wants a ping, or ``None``. Send at half of it.
    """

    def __init__(self, address: str | None, watchdog_usec: int | None = None) -> None:
        self.watchdog_usec = watchdog_usec
        self._address = "\0" + address[1:] if address and address.startswith("@") else address
        self._socket: socket.socket | None = None
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ, pid: int | None = None) -> Notifier:
        """Read NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID (the watchdog may be meant for another process)."""
        usec, owner = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID")
        ours = owner is None or owner == str(os.getpid() if pid is None else pid)
        return cls(environment.get("NOTIFY_SOCKET"), int(usec) if usec.isdecimal() and int(usec) and ours else None)

    def ready(self) -> None:
        self._send("READY=1")

    def reloading(self) -> None:
        """Follow it by ``ready()`` once the reload is over, whatever its result."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        self._send("STATUS=" + " ".join(text.split()))

    def watchdog(self) -> None:
        self._send("WATCHDOG=1")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, state: str) -> None:
        if self._socket is None or self._address is None:
            return
        try:
            self._socket.sendto(state.encode(), self._address)
        except OSError:
            # systemd restarting or its queue full: the daemon must not fall over what is only news of it.
            pass
