"""API tokens: 256 random bits, kept only as a keyed hash."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from qflowd.security.roles import ROLES

PREFIX = "qfd_"
KEY_FILE = "token.key"


class TokenError(Exception):
    """A token that cannot be made, or a key that cannot be used."""


class TokenRecord(msgspec.Struct, frozen=True, rename="camel"):
    """What is kept of a token. ``hash`` is for the store only; ``view`` leaves it out."""

    id: str
    name: str
    roles: tuple[str, ...]
    created: int
    hash: str
    expires: int | None = None
    last_used: int | None = None

    def view(self) -> dict[str, object]:
        """The record for answers."""
        fields: dict[str, object] = msgspec.to_builtins(self)
        del fields["hash"]
        return fields


def create(
    key: bytes, name: str, roles: Sequence[str], now: int, *, expires: int | None = None, random: bytes | None = None
) -> tuple[str, TokenRecord]:
    """A token, to be shown once, and its record. Raises TokenError."""
    if not roles or any(role not in ROLES for role in roles):
        raise TokenError(f"roles must be some of {', '.join(ROLES)}")
    if not name.strip():
        raise TokenError("a token needs a name")
    if expires is not None and expires <= now:
        raise TokenError("the token would have expired already")
    bits = secrets.token_bytes(32) if random is None else random
    token = PREFIX + base64.urlsafe_b64encode(bits).rstrip(b"=").decode()
    digest = hash_token(key, token)
    return token, TokenRecord(digest[:12], name, tuple(roles), now, digest, expires)


def hash_token(key: bytes, token: str) -> str:
    """HMAC-SHA256 of the token, in hex."""
    return hmac.new(key, token.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


def verify(key: bytes, token: str, records: Iterable[TokenRecord], now: int) -> TokenRecord | None:
    """The record of ``token`` where it is known and has not expired. All records are compared, in constant time."""
    if not token.startswith(PREFIX):
        return None
    digest, found = hash_token(key, token), None
    for record in records:
        if hmac.compare_digest(record.hash, digest):
            found = record
    return found if found is not None and (found.expires is None or now < found.expires) else None


def used(record: TokenRecord, now: int, step: int = 60_000) -> TokenRecord | None:
    """The record with its last use, or None where that was noted less than ``step`` ms ago (spares the store)."""
    if record.last_used is not None and now - record.last_used < step:
        return None
    return msgspec.structs.replace(record, last_used=now)


def bearer(header: str | None) -> str | None:
    """The token of an ``Authorization`` header."""
    scheme, _, token = (header or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def server_key(state: Path) -> bytes:
    """The key of this server, made at first use (mode 0600). Raises TokenError."""
    path = state / KEY_FILE
    try:
        if not path.exists():
            # Under another name until it is on disk: a cut in between must not leave half a key.
            made = path.with_suffix(".new")
            made.unlink(missing_ok=True)
            descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(32))
                file.flush()
                os.fsync(file.fileno())
            made.replace(path)
            directory = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        if path.stat().st_mode & 0o077:
            raise TokenError(f"{path} can be read by others; run: chmod 600 {path}")
        key = path.read_bytes()
    except OSError as error:
        raise TokenError(f"{path}: {error.strerror}") from None
    if len(key) != 32:
        raise TokenError(f"{path} is damaged: it must hold 32 bytes. Tokens made with it are lost; remove it to start anew")
    return key
