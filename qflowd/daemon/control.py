"""The control socket: HTTP over a Unix socket in the state directory, for root and the daemon's own user only."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from tornado import httpserver, iostream, netutil, web

Call = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class Control(web.RequestHandler):
    """``POST /NAME`` with a JSON object calls the command of that name."""

    def initialize(self, calls: dict[str, Call]) -> None:
        self.calls = calls

    async def post(self, name: str) -> None:
        stream = self.request.connection.stream  # type: ignore[union-attr]
        if not trusted(stream):
            self.set_status(403)
            self.finish({"ok": False, "error": "only root and the daemon's own user may use the control socket"})
            return
        call = self.calls.get(name)
        if call is None:
            self.set_status(404)
            self.finish({"ok": False, "error": f"this daemon has no command {name}"})
            return
        self.set_header("Content-Type", "application/json")
        self.finish(msgspec.json.encode(await call(msgspec.json.decode(self.request.body or b"{}", type=dict[str, Any]))))


def trusted(stream: iostream.IOStream) -> bool:
    """Whether the peer of a Unix socket is root or our own user."""
    peer = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return struct.unpack("3i", peer)[1] in (0, os.geteuid())


def serve(path: Path, calls: dict[str, Call]) -> httpserver.HTTPServer:
    """Listen at ``path`` (mode 0600)."""
    server = httpserver.HTTPServer(web.Application([(r"/([a-z-]+)", Control, {"calls": calls})], log_function=lambda handler: None))
    server.add_socket(netutil.bind_unix_socket(str(path), mode=0o600))
    return server
