"""API tokens over the journal: create, list, revoke, verify. Only the keyed hash of a token is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from qflowd.security import ROLES, TokenRecord, create_token, hash_token, server_key
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
        """Subject and roles of a valid token. The look-up is by keyed hash, so its time says nothing about the token."""
        digest = hash_token(token, self._key)
        record = self._records.get(digest)
        if record is None or (record.expires is not None and record.expires <= self.clock()):
            return None
        record.last_used = self.clock()
        return f"token:{record.name}", tuple(record.roles)

    def calls(self) -> dict[str, Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]]:
        """The commands of the control socket."""
        return {"token-create": self.create, "token-list": self.list, "token-revoke": self.revoke}

    async def create(self, body: dict[str, Any]) -> dict[str, Any]:
        """A new token; its text is in this answer only."""
        name, roles = body.get("name"), body.get("roles") or ["viewer"]
        if not isinstance(name, str) or not 0 < len(name) <= 100:
            return {"ok": False, "error": "name: expected 1 to 100 characters"}
        if any(role not in ROLES for role in roles):
            return {"ok": False, "error": f"roles: expected some of {', '.join(sorted(ROLES))}"}
        expires = body.get("expiresIn")
        token, record = create_token(name, tuple(roles), self._key, self.clock(), expires_in=expires)
        await self._store(record.hash, msgspec.json.encode(record))
        self._records[record.hash] = record
        return {"ok": True, "id": record.id, "token": token}

    async def list(self, body: dict[str, Any]) -> dict[str, Any]:
        """All tokens, without their hashes."""
        items = [
            {key: value for key, value in msgspec.to_builtins(one).items() if key != "hash"}
            for one in sorted(self._records.values(), key=lambda one: one.created)
        ]
        return {"ok": True, "items": items}

    async def revoke(self, body: dict[str, Any]) -> dict[str, Any]:
        """End a token at once."""
        for digest, record in self._records.items():
            if record.id == body.get("id"):
                await self._store(digest, None)
                del self._records[digest]
                return {"ok": True}
        return {"ok": False, "error": f"no token {body.get('id')!r}; see qflowd token list"}

    async def _store(self, digest: str, blob: bytes | None) -> None:
        # Written on its own: a token says nothing of how far events are applied.
        await asyncio.wrap_future(self.storage.save(Batch(documents=[("token", digest, blob)])))
