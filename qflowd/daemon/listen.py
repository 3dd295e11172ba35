"""Sockets to listen on, and words that help when a port is taken."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass

import psutil
from tornado.netutil import bind_sockets

BACKLOG = 4_096
"""Connections that the kernel may hold for us; Linux allows no more. Past it a client tries again after a second."""


class ListenError(Exception):
    """A port cannot be had; says which, who holds it, and the key to change."""


@dataclass(frozen=True)
class Listener:
    """Sockets that listen on one port; ``host`` and ``port`` can be read when the sockets are closed too."""

    sockets: list[socket.socket]
    host: str
    port: int

    @classmethod
    def of(cls, sockets: list[socket.socket]) -> Listener:
        """The listener of ``sockets``, named by the first."""
        host, port = sockets[0].getsockname()[:2]
        return cls(sockets, host, port)

    def __str__(self) -> str:
        """``host:port``."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def bind(address: str, port: int, key: str) -> Listener:
    """Listen on ``address`` (``localhost`` is 127.0.0.1 and ::1); port 0 picks one free port for all.

    Raises ``ListenError``.
    """
    hosts = ["127.0.0.1", "::1"] if address == "localhost" else [address]
    for attempt in range(10):
        found: list[socket.socket] = []
        for host in hosts:
            try:
                found += bind_sockets(found[0].getsockname()[1] if found else port, host, backlog=BACKLOG)
            except OSError as error:
                # A machine without IPv6 still has 127.0.0.1.
                if found and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    continue
                for one in found:
                    one.close()
                if port == 0 and error.errno == errno.EADDRINUSE and attempt < 9:
                    break  # The port that was free on the first address is taken on the second: pick another.
                raise ListenError(explain(host, port, key, error)) from None
        else:
            return Listener.of(found)
    raise ListenError(f"no free port was found on {address}")


def explain(host: str, port: int, key: str, error: OSError) -> str:
    """What is wrong with listening there, and what to do."""
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is taken{holder(port)}: change {key}, or stop the other"
    return f"cannot listen on {host} port {port}: {error.strerror or error}: change {key}"


def holder(port: int) -> str:
    """The process that listens on ``port``, where it can be seen."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass
    return ""
