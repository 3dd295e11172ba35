"""Who is asking, and under which names this daemon is asked for."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping

from tornado.httputil import HTTPServerRequest

from qflowd.config import Config
from qflowd.daemon.listen import Listener
from qflowd.daemon.tokens import TokenBook
from qflowd.security import origin
from qflowd.security.tokens import bearer


class Access:
    """``config`` gives the configuration in force; ``listening`` holds the listeners by their names."""

    def __init__(self, config: Callable[[], Config], listening: Mapping[str, Listener], tokens: TokenBook) -> None:
        self.config, self.listening, self.tokens = config, listening, tokens

    def own_hosts(self) -> frozenset[str]:
        """Host names (without port) that this daemon serves."""
        config = self.config()
        names = {"localhost", "127.0.0.1", "::1", config.server.address, config.websocket.address, socket.gethostname()}
        return frozenset(names - {"0.0.0.0", "::"})  # noqa: S104 -- what is not a name

    def own_origins(self) -> frozenset[str]:
        """Origins of the daemon's own pages, on both ports."""
        return origin.own_origins(self.own_hosts(), self.own_ports())

    def own_ports(self) -> frozenset[int]:
        """The ports that this daemon listens on."""
        return frozenset(listener.port for listener in self.listening.values())

    def check_origin(self, asked: str, host: str) -> bool:
        """Whether a WebSocket may be opened: by pages of ours, at a Host name of ours."""
        allowed = self.config().server
        return origin.origin_allowed(asked, self.own_origins(), allowed.allowed_origins) and origin.host_allowed(
            host, self.own_hosts(), self.own_ports(), allowed.allowed_hosts
        )

    def identify(self, request: HTTPServerRequest) -> tuple[str, tuple[str, ...]] | None:
        """Who the Authorization header of a WebSocket request names."""
        token = bearer(request.headers.get("Authorization"))
        return self.tokens.verify(token) if token else None

    def authenticate(self, token: str | None) -> tuple[str, tuple[str, ...]] | None:
        """Subject and roles for a token, or for nobody where no login is required."""
        if token is not None:
            return self.tokens.verify(token)
        if self.config().auth.mode == "none":
            return "anonymous", ("admin", "source")
        return None
