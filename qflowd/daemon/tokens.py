"""API tokens over the journal: create, list, revoke, verify. Only the keyed hash of a token is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec

from qflowd.security.tokens import TokenError, TokenRecord, create, server_key, used, verify
from qflowd.storage import Batch, Storage


class TokenBook:
    """The tokens in memory, by keyed hash."""

    def __init__(self, storage: Storage, directory: Path, clock: Callable[[], int]) -> None:
        self.storage, self.directory, self.clock = storage, directory, clock
        self._key = b""
        self._records: dict[str, TokenRecord] = {}

    async def load(self) -> None:
        """Read the server's key (made at the first start, mode 0600) and the stored tokens."""
        self._key = server_key(self.directory)
        documents = await asyncio.wrap_future(self.storage.documents("token"))
        self._records = {digest: msgspec.json.decode(blob, type=TokenRecord) for digest, blob in documents.items()}

    def verify(self, token: str) -> tuple[str, tuple[str, ...]] | None:
        """Subject and roles of a valid token; its last use is noted."""
        now = self.clock()
        record = verify(self._key, token, self._records.values(), now)
        if record is None:
            return None
        if changed := used(record, now):
            self._records[record.hash] = record = changed
            self._store(record.hash, msgspec.json.encode(record))
        return f"token:{record.name}", tuple(record.roles)

    def calls(self) -> dict[str, Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]]:
        """The commands of the control socket."""
        return {"token-create": self.create, "token-list": self.list, "token-revoke": self.revoke}

    async def create(self, body: dict[str, Any]) -> dict[str, Any]:
        """A new token; its text is in this answer only."""
        now, lifetime = self.clock(), body.get("expiresIn")
        try:
            token, record = create(
                self._key, str(body.get("name", "")), body.get("roles") or ["viewer"], now, expires=now + lifetime if lifetime else None
            )
        except TokenError as error:
            return {"ok": False, "error": str(error)}
        await asyncio.wrap_future(self._store(record.hash, msgspec.json.encode(record)))
        self._records[record.hash] = record
        return {"ok": True, "id": record.id, "token": token}

    async def list(self, body: dict[str, Any]) -> dict[str, Any]:
        """All tokens, without their hashes."""
        return {"ok": True, "items": [one.view() for one in sorted(self._records.values(), key=lambda one: one.created)]}

    async def revoke(self, body: dict[str, Any]) -> dict[str, Any]:
        """End a token at once."""
        for digest, record in self._records.items():
            if record.id == body.get("id"):
                await asyncio.wrap_future(self._store(digest, None))
                del self._records[digest]
                return {"ok": True}
        return {"ok": False, "error": f"no token {body.get('id')!r}; see qflowd token list"}

    def _store(self, digest: str, blob: bytes | None) -> Future[None]:
        return self.storage.save(Batch(documents=[("token", digest, blob)]))
