"""The rules of the API in the journal: the newest of each, and every version of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

from qflowd.alerts.versions import Action, RuleConflict, Version, same
from qflowd.model import Rule

if TYPE_CHECKING:
    from qflowd.storage import Storage


class RuleBook:
    """``rules``: those of the API by id; replaced, never changed in place. ``save`` commits documents and history in one
    transaction."""

    def __init__(self, *, storage: Storage, save: Callable[..., Awaitable[None]], clock: Callable[[], int]) -> None:
        self.rules: dict[str, Rule] = {}
        self._storage, self._save, self._clock = storage, save, clock
        self._writing = asyncio.Lock()

    async def restore(self) -> None:
        """Bring back the rules from the journal."""
        documents = await asyncio.wrap_future(self._storage.documents("rule"))
        self.rules = {key: msgspec.json.decode(blob, type=Rule) for key, blob in documents.items()}

    async def store(self, rule: Rule, expected: Rule | None, author: str, *, of: int | None = None) -> Rule:
        """Keep a rule in the place of ``expected``, as its next version; the rule as it is kept. What changes nothing makes no
        version. Raises ``RuleConflict`` where another is there, ``StorageError`` where it cannot be kept."""
        if expected is not None and same(expected, rule):
            return expected
        action: Action = "rolledBack" if of is not None else "created" if expected is None else "changed"
        async with self._writing:
            number, now = await self._next(rule.id, expected), self._clock()
            rule = msgspec.structs.replace(rule, version=number)
            await self._write(Version(version=number, time=now, author=author, action=action, rule=rule, replaced=expected, of=of))
            return rule

    async def delete(self, expected: Rule, author: str) -> None:
        """Forget a rule; its versions stay. Raises as ``store``."""
        async with self._writing:
            number = await self._next(expected.id, expected)
            await self._write(Version(version=number, time=self._clock(), author=author, action="deleted", rule=None, replaced=expected))

    async def _next(self, rule_id: str, expected: Rule | None) -> int:
        """The number of the next version."""
        if self.rules.get(rule_id) is not expected:
            raise RuleConflict("the rule has changed meanwhile: read it again")
        newest = await asyncio.wrap_future(self._storage.history("rule", key=rule_id, limit=1))
        last = msgspec.json.decode(newest[0][2], type=Version).version if newest else 0
        return max(last, expected.version if expected is not None else 0) + 1

    async def _write(self, version: Version) -> None:
        rule, one = version.rule, version.rule or version.replaced
        assert one is not None, "a version changes something"
        await self._save(
            documents=[("rule", one.id, msgspec.json.encode(rule) if rule is not None else None)],
            history=[("rule", one.id, version.time, msgspec.json.encode(version))],
        )
        others = {key: other for key, other in self.rules.items() if key != one.id}
        self.rules = others | ({rule.id: rule} if rule is not None else {})
