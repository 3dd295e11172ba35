"""What came of an attempt, and the one matrix that says whether it is worth another.

| answer | verdict |
|---|---|
| HTTP 2xx | sent |
| no connection, no name, TLS that fails, a time-out, an answer that breaks off | later |
| HTTP 408, 425, 429, 500, 502, 503, 504, 5xx but those below | later, not before ``Retry-After`` |
| HTTP 410 | gone: the channel is disabled |
| any other HTTP status, redirects, 501, 505 | refused |
| an address that may not be talked to | refused |
"""

from __future__ import annotations

import email.utils
from collections.abc import Mapping
from typing import Literal

import msgspec

Verdict = Literal["sent", "later", "refused", "gone"]

LATER = frozenset({408, 425, 429})
NEVER = frozenset({501, 505})
LONGEST = 86_400_000
"""Ms of ``Retry-After`` that are believed."""


class Outcome(msgspec.Struct, frozen=True):
    """``detail`` is for people. ``pause``: ms for which the channel asks to be left alone."""

    verdict: Verdict
    detail: str
    pause: int | None = None


def of_http(status: int, headers: Mapping[str, str], body: bytes, now: int) -> Outcome:
    """The outcome of an HTTP answer; ``now`` in epoch ms, for a ``Retry-After`` that is a date."""
    said = " ".join(body[:200].decode("utf-8", "replace").split())
    detail = f"HTTP {status}{f': {said}' if said and status >= 300 else ''}"
    if 200 <= status < 300:
        return Outcome("sent", detail)
    if 300 <= status < 400:
        return Outcome("refused", f"HTTP {status}: redirects are not followed; set the address that it leads to")
    if status == 410:
        return Outcome("gone", detail)
    if status in LATER or (status >= 500 and status not in NEVER):
        return Outcome("later", detail, retry_after(headers.get("Retry-After"), now))
    return Outcome("refused", detail)


def retry_after(text: str | None, now: int) -> int | None:
    """Ms from ``now`` that a ``Retry-After`` asks for: seconds or a date (RFC 9110, 10.2.3); ``None`` where it says nothing."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:12]) * 1000, LONGEST)
    try:
        moment = email.utils.parsedate_to_datetime(text)
        return max(0, min(int(moment.timestamp() * 1000) - now, LONGEST))
    except (ValueError, OverflowError):
        return None
