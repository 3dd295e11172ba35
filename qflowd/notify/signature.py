"""Signatures of Standard Webhooks (https://github.com/standard-webhooks/standard-webhooks, specification 1.0.0). Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64
"""Bytes that a secret may have."""


def key_of(secret: str) -> bytes:
    """The key that ``whsec_BASE64`` stands for. Raises ValueError."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("expected whsec_ and base64, as from: echo whsec_$(openssl rand -base64 32)") from None
    if not SHORTEST <= len(key) <= LONGEST:
        raise ValueError(f"expected {SHORTEST} to {LONGEST} bytes in base64, not {len(key)}")
    return key


def headers(key: bytes, id: str, now: int, body: bytes) -> dict[str, str]:
    """The three headers for ``body``, sent as ``id`` at ``now`` (epoch ms)."""
    stamp = str(now // 1000)
    signature = base64.b64encode(hmac.digest(key, b".".join((id.encode(), stamp.encode(), body)), hashlib.sha256)).decode()
    return {"webhook-id": id, "webhook-timestamp": stamp, "webhook-signature": f"v1,{signature}"}
