"""A server of HTTP on loopback that keeps what it is sent, and answers as it is told."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Received:
    """One request."""

    def __init__(self, path: str, headers: Any, body: bytes) -> None:
        self.path, self.headers, self.body = path, headers, body
        self.at = time.time()

    @property
    def key(self) -> str:
        return str(self.headers["webhook-id"])


Answer = tuple[int, dict[str, str], bytes]
OK: Answer = (204, {}, b"")


class Sink:
    """``answer(request)`` gives status, headers and body, or ``"hang"``, or ``"break"`` (half an answer). May be closed and
    opened again at the same port."""

    def __init__(self, answer: Callable[[Received], Answer | str] = lambda request: OK) -> None:
        self.answer = answer
        self.received: list[Received] = []
        self.hanging = threading.Event()
        self.port = 0
        self.open()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def keys(self) -> list[str]:
        return [one.key for one in self.received]

    def open(self) -> None:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = Received(self.path, self.headers, body)
                sink.received.append(request)
                found = sink.answer(request)
                if found == "hang":
                    sink.hanging.wait(30)
                    return
                if found == "break":
                    self.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                assert not isinstance(found, str)
                status, headers, text = found
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.hanging.set()
        self.server.shutdown()
        self.server.server_close()
