"""JSON by POST, signed as Standard Webhooks has it.

The body: ``{type: "alert.firing", timestamp, data: {kind, group, groupLabels, alerts, truncated, links, instance, url}}``, times in
ISO 8601, alerts as the API shows them.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec

from qflowd import outgoing
from qflowd.model.notification import Notification
from qflowd.notify import signature
from qflowd.notify.channel import ChannelError, Kind, Options, Surroundings, about, file, secret
from qflowd.notify.outcome import Outcome, of_http

TIMES = ("startsAt", "firedAt", "endsAt")
TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class WebhookOptions(Options, frozen=True, kw_only=True):
    url: Annotated[str | None, about("Where messages are posted.")] = None
    url_file: Annotated[str | None, file("File with the URL, where that is a secret.")] = None
    secret_file: Annotated[str | None, file("File with the key of the signature: whsec_ and base64.")] = None
    bearer_file: Annotated[str | None, file("File with a token for Authorization: Bearer.")] = None
    headers: Annotated[dict[str, str], about("Further headers.")] = {}
    allow_private: Annotated[bool, about("Let it reach private addresses and loopback.")] = False


class Webhook:
    def __init__(self, options: WebhookOptions, surroundings: Surroundings) -> None:
        self.options, self.surroundings = options, surroundings
        self.url = address(options.url, options.url_file)
        self.key: bytes | None = None
        if options.secret_file is not None:
            try:
                self.key = signature.key_of(secret(options.secret_file, "secret_file"))
            except ValueError as error:
                raise ChannelError("secret_file", f"{options.secret_file}: {error}") from None
        self.headers = {"Content-Type": "application/json", **options.headers}
        for name, value in options.headers.items():
            if not TOKEN.fullmatch(name) or "\r" in value or "\n" in value:
                raise ChannelError(f"headers.{name}", "expected a header's name and its value on one line")
        if options.bearer_file is not None:
            self.headers["Authorization"] = f"Bearer {secret(options.bearer_file, 'bearer_file')}"

    async def send(self, notification: Notification, now: int) -> Outcome:
        body = msgspec.json.encode(payload(notification, self.surroundings))
        if self.key is not None:
            signed = signature.headers(self.key, notification.key, now, body)
        else:
            signed = {"webhook-id": notification.key, "webhook-timestamp": str(now // 1000)}
        answer = await outgoing.request(
            "POST", self.url, headers=self.headers | signed, body=body, time_limit=self.options.timeout / 1000,
            allow_private=self.options.allow_private,
        )  # fmt: skip
        return of_http(answer.status, answer.headers, answer.body, now)


def address(url: str | None, url_file: str | None) -> str:
    """The URL that one of the two options gives. Raises ``ChannelError``."""
    if (url is None) == (url_file is None):
        raise ChannelError("url", "expected url or url_file, one of them")
    found = url if url is not None else secret(str(url_file), "url_file")
    parts = urlsplit(found)
    if parts.scheme not in ("http", "https") or not parts.hostname or found != "".join(found.split()):
        raise ChannelError("url" if url is not None else "url_file", "expected an address such as https://example.com/hook")
    return found


def iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def payload(notification: Notification, surroundings: Surroundings) -> dict[str, Any]:
    """The body, as built-in types."""
    alerts: list[dict[str, Any]] = msgspec.to_builtins(notification.alerts)
    for alert in alerts:
        alert |= {key: iso(alert[key]) for key in TIMES if alert[key] is not None}
        del alert["notifications"]
    return {
        "type": f"alert.{notification.kind}",
        "timestamp": iso(notification.created),
        "data": {
            "kind": notification.kind,
            "group": notification.group,
            "groupLabels": notification.group_labels,
            "alerts": alerts,
            "truncated": notification.truncated,
            "links": notification.links,
            "instance": surroundings.instance,
            "url": surroundings.url,
        },
    }


KIND = Kind(WebhookOptions, Webhook)
