"""The door: a Tornado handler that turns a socket's messages into calls of the hub."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Any

from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.websocket import WebSocketHandler

from qflowd.hub.client import Client
from qflowd.hub.frames import reply
from qflowd.hub.hub import Hub, Identity
from qflowd.hub.limits import Bucket
from qflowd.hub.requests import RequestError, decode, parse_filters, parse_streams, parse_subscribe
from qflowd.hub.tornado_protocol import TOO_MANY, Protocol

NO_HEADERS = HTTPHeaders()


class SocketHandler(WebSocketHandler):
    """One WebSocket connection. ``check_origin(origin, host)`` decides on every request that names an origin;
    ``identify(request)`` gives who a cookie or header says it is, where a login is asked for.
    """

    def initialize(
        self,
        hub: Hub,
        check_origin: Callable[[str, str], bool] | None = None,
        identify: Callable[[HTTPServerRequest], Identity | None] | None = None,
    ) -> None:
        self.hub = hub
        self.client: Client | None = None
        self._origin_allowed = check_origin
        self._identify = identify
        self._identity: Identity | None = None
        self._login_timer: asyncio.TimerHandle | None = None

    def prepare(self) -> None:
        # Tornado asks check_origin only when Origin and Host differ; a rebound DNS name makes them the same.
        origin = self.request.headers.get("Origin")
        if origin is not None and self._origin_allowed is not None and not self._origin_allowed(origin, self.request.host):
            self.set_status(403)
            self.finish("Origin not allowed")

    def check_origin(self, origin: str) -> bool:
        """Decided in ``prepare``; without a rule of ours, Tornado's holds."""
        return True if self._origin_allowed is not None else super().check_origin(origin)

    def get_websocket_protocol(self) -> Protocol | None:
        if self.request.headers.get("Sec-WebSocket-Version") != "13":
            return None
        settings = self.hub.settings
        return Protocol(self, max_message_size=settings.max_message_size, compression=settings.compression)

    def open(self, *args: str, **kwargs: str) -> None:
        wire = self.ws_connection
        assert isinstance(wire, Protocol)
        if self.hub.full:
            wire.close(1013, "Server overloaded")
            return
        wire.hold_little()
        hub, now = self.hub, self.hub.clock()
        client = Client(secrets.token_hex(12), wire, hub.settings.client_buffer, hub.filters(), now, hub.count_slow)
        client.address = self.request.remote_ip or ""
        self.client = client
        wire.pong, wire.ended, wire.extra = client.pong, client.gone, self.on_extra_frame
        if (unflushed := wire.unflushed()) is not None:
            client.hold(unflushed)
        self._bucket = Bucket(hub.settings.message_rate, hub.settings.message_burst, now)
        hub.add(client)
        identity: Identity | None = None
        if hub.authenticate is None:
            identity = "anonymous", hub.anonymous_roles
        elif self._identify is not None:
            identity = self._identify(self.request)
        # With thousands of viewers the headers of their handshakes are megabytes that nobody reads again.
        self.request.headers = self._headers = NO_HEADERS
        if identity is not None:
            self._enter(identity)
            return
        seconds = hub.settings.login_timeout / 1000
        self._login_timer = asyncio.get_running_loop().call_later(seconds, client.close, 4001, "unauthenticated")

    def _enter(self, identity: Identity) -> None:
        assert self.client is not None
        self._cancel_login_timer()
        if not self.hub.admits(identity[1]):
            self.client.close(4003, "forbidden")
            return
        self._identity = identity
        self.client.subject, self.client.roles = identity[0], tuple(identity[1])
        self.client.send(self.hub.welcome(self.client))

    def _cancel_login_timer(self) -> None:
        if self._login_timer is not None:
            self._login_timer.cancel()
            self._login_timer = None

    def on_extra_frame(self) -> bool:
        """Count a ping, a pong or a continuation as a message, for what it costs; false when there are too many."""
        return self._bucket.take(self.hub.clock()) is not None

    def on_ping(self, data: bytes) -> None:
        if self.client is not None:
            self.client.seen = self.hub.clock()

    on_pong = on_ping

    def on_close(self) -> None:
        self._cancel_login_timer()
        if self.client is not None:
            self.hub.remove(self.client)

    def on_message(self, message: str | bytes) -> None:
        client = self.client
        if client is None or client.closing:
            return
        client.seen = now = self.hub.clock()
        wait = self._bucket.take(now)
        if wait is None:
            client.close(*TOO_MANY)
        elif wait:
            self._answer("error", {"code": "rate_limited", "message": "Too many messages", "retryAfterMs": wait})
        else:
            try:
                self._handle(*decode(message))
            except RequestError as error:
                data = {"code": error.code, "message": error.message}
                self._answer("error", data if error.path is None else {**data, "path": error.path})

    def _answer(self, type: str, data: Any) -> None:
        assert self.client is not None
        self.client.send(reply(type, data, self.hub.clock()))

    def _handle(self, type: str, data: Any) -> None:
        handle = _HANDLERS.get(type)
        if self._identity is None and type != "authenticate":
            raise RequestError("unauthenticated", "Send authenticate first")
        if handle is None:
            raise RequestError("unknown_type", "Unknown message type")
        handle(self, data)

    def _subscribe(self, data: Any) -> None:
        assert self.client is not None
        self.hub.subscribe(self.client, parse_subscribe(data))

    def _unsubscribe(self, data: Any) -> None:
        assert self.client is not None
        for name in parse_streams(data):
            self.client.forget(name)
        self._answer("unsubscription_confirmed", {"subscriptions": list(self.client.subscriptions)})

    def _set_filters(self, data: Any) -> None:
        assert self.client is not None
        self.hub.merge_filters(self.client, parse_filters(data, required=True))
        self._answer("filters_updated", {"filters": self.client.filters.shown})

    def _heartbeat(self, data: Any) -> None:
        assert self.client is not None
        self._answer("heartbeat_ack", {"timestamp": self.hub.clock(), "positions": self.hub.positions(self.client)})

    def _get_dashboard_data(self, data: Any) -> None:
        assert self.client is not None
        self.client.send(self.hub.dashboard_data())

    def _authenticate(self, data: Any) -> None:
        assert self.client is not None
        first = self._identity is None
        identity = self._identity if self.hub.authenticate is None else None
        if self.hub.authenticate is not None:
            token = data.get("token") if isinstance(data, dict) else None
            identity = self.hub.authenticate(token) if isinstance(token, str) else None
        if identity is None:
            if not first:
                raise RequestError("unauthenticated", "The token is not valid", "data.token")
            error = {"code": "unauthenticated", "message": "The token is not valid", "path": "data.token"}
            self.client.finish(reply("error", error, self.hub.clock()), 4001, "unauthenticated")
            return
        self._answer("authenticated", {"subject": identity[0], "roles": list(identity[1])})
        if first:
            self._enter(identity)
        else:
            self._identity = identity
            self.client.subject, self.client.roles = identity[0], tuple(identity[1])

    def _forbidden(self, data: Any) -> None:
        raise RequestError("forbidden", "This connection does not have the role engine")


_HANDLERS: dict[str, Callable[[SocketHandler, Any], None]] = {
    "subscribe": SocketHandler._subscribe,
    "unsubscribe": SocketHandler._unsubscribe,
    "set_filters": SocketHandler._set_filters,
    "heartbeat": SocketHandler._heartbeat,
    "get_dashboard_data": SocketHandler._get_dashboard_data,
    "authenticate": SocketHandler._authenticate,
    "engine_register": SocketHandler._forbidden,
    "command_result": SocketHandler._forbidden,
}
