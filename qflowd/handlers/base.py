"""What every handler shares: its role, problem+json, the security headers, JSON in and out."""

from __future__ import annotations

import hashlib
import http.client
import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, cast

import msgspec
from tornado import web

from qflowd.handlers.context import Context
from qflowd.model import Problem
from qflowd.security.origin import cross_site, host_allowed
from qflowd.security.roles import allows
from qflowd.security.tokens import bearer
from qflowd.storage import StorageError

log = logging.getLogger(__name__)

CSP = (
    "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'"
)
TIMES = frozenset(
    {
        *("startTime", "endTime", "estimatedEnd", "startsAt", "firedAt", "endsAt", "time", "timestamp"),
        *("until", "lastEvaluation", "lastRun", "connectedAt", "lastSeen", "newestSample"),
        *("createdAt", "changedAt", "nextAttempt"),
    }
)
"""Keys whose numbers are epoch milliseconds inside and ISO 8601 over REST."""


class ProblemError(Exception):
    """An answer of RFC 9457: ``status`` with what is wrong (``detail``) and where (``errors``)."""

    def __init__(
        self, status: int, detail: str, errors: Iterable[Problem] = (), *, retry_after: int | None = None, **extra: Any
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors = status, detail, list(errors)
        self.retry_after, self.extra = retry_after, extra


def iso(ms: int | float) -> str:
    """Epoch milliseconds as ISO 8601 UTC with milliseconds."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rest(value: Any) -> Any:
    """A built-in structure with the times of ``TIMES`` as ISO 8601; user data under ``labels`` and ``data`` stays as it is."""
    if isinstance(value, dict):
        return {
            key: iso(item)
            if key in TIMES and isinstance(item, int | float)
            else item
            if key in ("labels", "data", "annotations", "metrics")
            else rest(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [rest(item) for item in value]
    return value


class Handler(web.RequestHandler):
    """Base of all HTTP handlers. ``roles`` names the role each method needs, or ``open``; see ``routes.register``. ``answers`` and
    ``bodies`` name the type of ``model`` that a method answers with, or takes, for the OpenAPI document."""

    roles: ClassVar[Mapping[str, str]] = {}
    answers: ClassVar[Mapping[str, type]] = {}
    bodies: ClassVar[Mapping[str, type]] = {}
    subject: str = "anonymous"

    @property
    def context(self) -> Context:
        """The collaborators that the daemon hands in."""
        return cast(Context, self.settings["context"])

    def set_default_headers(self) -> None:
        self.set_header("Content-Security-Policy", CSP)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("X-Frame-Options", "DENY")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Server", "qflowd")

    def prepare(self) -> None:
        self.guard()

    def guard(self) -> None:
        """Host, cross-site and role checks, before any part of the request is acted on."""
        context = self.context
        host = self.request.headers.get("Host", "")
        if not host_allowed(host, context.own_hosts(), context.own_ports(), context.config.server.allowed_hosts):
            raise ProblemError(
                421, "this daemon does not answer to that Host name", [Problem("Host", "add it to server.allowed_hosts")]
            )
        method = (self.request.method or "").upper()
        if method not in ("GET", "HEAD", "OPTIONS") and cross_site(
            self.request.headers, context.own_origins(), context.config.server.allowed_origins
        ):
            raise ProblemError(403, "cross-site requests are refused")
        needed = self.roles.get("GET" if method == "HEAD" else method)
        if needed is None or needed == "open":
            return
        self.subject, roles = self.identify()
        if not allows(roles, needed):
            raise ProblemError(403, f"this needs the role {needed}")

    def identify(self) -> tuple[str, tuple[str, ...]]:
        """Who asks and with which roles; 401 where a login is required and no valid credential came."""
        header = self.request.headers.get("Authorization", "")
        if header and header.partition(" ")[0].lower() != "bearer":
            raise ProblemError(401, "the Authorization header has to be: Bearer TOKEN")
        found = self.context.authenticate(bearer(header))
        if found is None:
            raise ProblemError(401, "a valid API token is needed: Authorization: Bearer TOKEN (qflowd token create)")
        return found

    def answer(self, value: Any, status: int = 200, *, content_type: str = "application/json") -> None:
        """Write ``value`` as JSON, times in ISO 8601."""
        self.set_status(status)
        self.set_header("Content-Type", content_type)
        self.finish(msgspec.json.encode(rest(msgspec.to_builtins(value))))

    def etag_of(self, value: Any) -> str:
        """A strong ETag of the JSON of ``value``."""
        return f'"{hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()[:20]}"'

    def compute_etag(self) -> str | None:
        return None

    def body(self) -> Any:
        """The JSON body. Raises ``ProblemError`` 400 where it is none, 413 where it is over 1 MiB."""
        if len(self.request.body) > 1 << 20:
            raise ProblemError(413, "the body is over 1 MiB")
        try:
            return msgspec.json.decode(self.request.body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise ProblemError(400, "the body is not JSON", [Problem("", str(error))]) from None

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number of the query string, with its bounds checked."""
        text = self.get_query_argument(name, None)
        if text is None:
            return default
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise ProblemError(400, "a parameter is wrong", [Problem(name, f"expected a whole number from {low} to {high}")])
        return value

    def instant(self, name: str) -> int | None:
        """A time of the query string in epoch ms; ISO 8601, or epoch seconds as Prometheus takes them."""
        text = self.get_query_argument(name, None)
        if text is None:
            return None
        try:
            seconds = float(text)
        except ValueError:
            try:
                stamp = datetime.fromisoformat(text)
                seconds = (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()
            except ValueError:
                seconds = float("nan")
        if not abs(seconds) < 1e11:
            raise ProblemError(400, "a parameter is wrong", [Problem(name, "expected ISO 8601 or epoch seconds")])
        return round(seconds * 1000)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, StorageError):
            error = ProblemError(503, f"the journal cannot do that: {error}", retry_after=10)
        body: dict[str, Any] = {"type": "about:blank", "title": http.client.responses.get(status_code, "Error"), "status": status_code}
        errors: list[Problem] = []
        if isinstance(error, ProblemError):
            self.set_status(error.status)
            status_code = error.status
            body |= {"title": http.client.responses.get(status_code, "Error"), "status": status_code, "detail": error.detail}
            errors = error.errors
            body |= error.extra
            if error.retry_after is not None:
                self.set_header("Retry-After", str(error.retry_after))
            if status_code == 401:
                self.set_header("WWW-Authenticate", "Bearer")
        elif isinstance(error, web.HTTPError) and status_code < 500:
            body["detail"] = error.log_message % error.args if error.log_message and error.args else error.log_message or error.reason
        elif status_code >= 500:
            body["detail"] = "the daemon made a mistake; its log says more"
        body["errors"] = errors
        self.set_header("Content-Type", "application/problem+json")
        self.finish(msgspec.json.encode(body))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if isinstance(value, ProblemError | StorageError) or (isinstance(value, web.HTTPError) and value.status_code < 500):
            log.debug("%s %s: %s", self.request.method, self.request.path, value)
        else:
            log.error("%s %s failed", self.request.method, self.request.path, exc_info=(typ, value, tb))


class NotFound(Handler):
    """Whatever no route names."""

    roles = {method: "open" for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")}

    def prepare(self) -> None:
        self.guard()
        raise ProblemError(404, "there is nothing here; /api/v1/openapi.json lists what there is")
