"""HTTP requests whose addresses are checked after the name was resolved and again on the connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tornado import httpclient, httputil, iostream, netutil, simple_httpclient, tcpclient

from qflowd.outgoing.addresses import AddressRefused, refusal

MOST = 64 << 10
"""Bytes of an answer that are read; what decides is in the first of them."""
CONNECT = 5.0
"""Seconds that connecting may take."""


class Unreachable(Exception):
    """No whole answer came; the text says why."""


@dataclass(frozen=True)
class Answer:
    """``headers`` are looked up in any case; ``body`` holds at most the first ``MOST`` bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class CheckedResolver(netutil.Resolver):
    """Gives only addresses that may be talked to; the connection goes to these and no others."""

    def initialize(self, *, allow_private: bool) -> None:
        self.allow_private, self.inner = allow_private, netutil.DefaultLoopResolver()

    async def resolve(self, host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[tuple[int, Any]]:
        found = await self.inner.resolve(host, port, family)
        against = {address[0]: refusal(address[0], allow_private=self.allow_private) for _, address in found}
        allowed = [(kind, address) for kind, address in found if against[address[0]] is None]
        if not allowed:
            raise AddressRefused(f"{host}: {'; '.join(reason for reason in against.values() if reason)}")
        return allowed


class CheckedTCP(tcpclient.TCPClient):
    """Looks once more at whom the connection reached."""

    def __init__(self, *, allow_private: bool) -> None:
        super().__init__(resolver=CheckedResolver(allow_private=allow_private))
        self.allow_private = allow_private
        self.stream: iostream.IOStream | None = None

    async def connect(self, *args: Any, **options: Any) -> iostream.IOStream:
        self.stream = stream = await super().connect(*args, **options)
        reason = refusal(stream.socket.getpeername()[0], allow_private=self.allow_private)
        if reason is not None:
            stream.close()
            raise AddressRefused(reason)
        return stream


class _Transport(simple_httpclient.SimpleAsyncHTTPClient):
    def initialize(self, *, tcp: CheckedTCP, **options: Any) -> None:  # type: ignore[override]
        super().initialize(resolver=tcp.resolver, **options)
        self.tcp_client = tcp


class _Reading:
    """What has come of an answer. ``enough`` is set once its body is over ``MOST``: its status is what counts."""

    def __init__(self) -> None:
        self.status = 0
        self.headers = httputil.HTTPHeaders()
        self.body = b""
        self.enough = asyncio.Event()

    def line(self, text: str) -> None:
        if text.startswith("HTTP/"):
            self.status = httputil.parse_response_start_line(text.strip()).code
            self.headers = httputil.HTTPHeaders()
        elif text.strip():
            self.headers.parse_line(text)

    def part(self, data: bytes) -> None:
        self.body = (self.body + data)[:MOST]
        if len(self.body) == MOST:
            self.enough.set()

    def answer(self) -> Answer:
        return Answer(self.status, self.headers, self.body)


async def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes | None = None,
    time_limit: float,
    allow_private: bool,
    user: str | None = None,
    password: str | None = None,
) -> Answer:
    """One request; a redirect is an answer like any other, and nothing goes through a proxy. ``time_limit`` in seconds is for
    the whole of it. Raises ``Unreachable``, or ``AddressRefused``."""
    reading = _Reading()
    asked = httpclient.HTTPRequest(
        url,
        method,
        headers=httputil.HTTPHeaders({"User-Agent": "qflowd", **headers}),
        body=body,
        connect_timeout=min(CONNECT, time_limit),
        request_timeout=time_limit,
        follow_redirects=False,
        decompress_response=False,
        auth_username=user,
        auth_password=password,
        header_callback=reading.line,
        streaming_callback=reading.part,
        allow_nonstandard_methods=True,
    )
    tcp = CheckedTCP(allow_private=allow_private)
    transport = _Transport(tcp=tcp, max_clients=1, max_body_size=1 << 40, force_instance=True)
    fetching = asyncio.ensure_future(transport.fetch(asked))
    enough = asyncio.ensure_future(reading.enough.wait())
    waited: set[asyncio.Future[Any]] = {fetching, enough}
    try:
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if fetching.done():
            fetching.result()
        return reading.answer()
    except httpclient.HTTPClientError as error:
        if error.code == 599:
            raise Unreachable(words(error, url)) from None
        return reading.answer()
    except AddressRefused:
        raise
    except Exception as error:
        raise Unreachable(words(error, url)) from None
    finally:
        enough.cancel()
        fetching.cancel()
        transport.close()
        if tcp.stream is not None:
            tcp.stream.close()


def words(error: BaseException | None, url: str) -> str:
    """Why no answer came, without the path of the URL, which may be a secret."""
    host = urlsplit(url).netloc.rpartition("@")[2]
    if isinstance(error, httpclient.HTTPError):
        return f"{host}: {error.message or 'no answer'}"
    if isinstance(error, socket.gaierror):
        return f"{host}: the name is not known ({error.strerror})"
    if isinstance(error, OSError):
        return f"{host}: {error.strerror or error}"
    return f"{host}: {error or type(error).__name__}"
