"""Versions of the rules of the API: what was, how two of them differ, and the way back."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from qflowd.alerts.rule import RuleError, parse_rule
from qflowd.alerts.versions import Version, differences
from qflowd.handlers.alerts import RuleHandler
from qflowd.handlers.base import ProblemError
from qflowd.handlers.executions import decode_cursor, encode_cursor
from qflowd.model import Problem, Rule, RuleSource

PAGE = 200


class VersionHandler(RuleHandler):
    """What the handlers of versions have in common."""

    async def page(self, rule_id: str, before: int | None, limit: int) -> list[tuple[int, Version]]:
        """Versions with the numbers of their rows, the newest first."""
        rows = await asyncio.wrap_future(self.context.storage.history("rule", key=rule_id, before=before, limit=limit))
        return [(number, msgspec.json.decode(blob, type=Version)) for number, _, blob in rows]

    async def rule_at(self, rule_id: str, version: int) -> Rule | None:
        """The rule as it was in a version, ``None`` where it was deleted by it. Raises ``ProblemError`` 404 where the version
        is not, or no longer, known."""
        row: int | None = None
        older = True
        while older and (rows := await self.page(rule_id, row, PAGE)):
            for one in (one for _, one in rows):
                if one.version == version:
                    return one.rule
                if one.replaced is not None and one.replaced.version == version:
                    return one.replaced
            row, last = rows[-1]
            older = last.version > version
        raise ProblemError(404, f"no version {version} of the rule {rule_id!r} is known")

    async def newest(self, rule_id: str) -> int:
        """The newest version. Raises ``ProblemError`` 404 where there is none."""
        rows = await self.page(rule_id, None, 1)
        if not rows:
            self.existing(rule_id)
            raise ProblemError(404, f"the rule {rule_id!r} is not of the API: it has no versions")
        return rows[0][1].version


class Versions(VersionHandler):
    """Every version of a rule of the API that is still known, the newest first; those of a deleted rule too."""

    roles = {"GET": "viewer"}

    async def get(self, rule_id: str) -> None:
        limit = self.number("limit", 50, 1, PAGE)
        cursor = self.get_query_argument("cursor", None)
        rows = await self.page(rule_id, decode_cursor(cursor)[0] if cursor else None, limit + 1)
        if not rows and not cursor:
            await self.newest(rule_id)
        items = [{key: value for key, value in msgspec.to_builtins(one).items() if key != "replaced"} for _, one in rows[:limit]]
        self.answer({"items": items, "nextCursor": encode_cursor(rows[limit - 1][0], "") if len(rows) > limit else None})


class Diff(VersionHandler):
    """What differs between two versions: ``from`` (the one before ``to``) and ``to`` (the newest)."""

    roles = {"GET": "viewer"}

    async def get(self, rule_id: str) -> None:
        newest = await self.newest(rule_id)
        to = self.number("to", newest, 0, 1 << 53)
        since = self.number("from", max(to - 1, 0), 0, 1 << 53)
        before = await self.rule_at(rule_id, since) if since else None
        after = await self.rule_at(rule_id, to) if to else None
        self.answer({"from": since, "to": to, "changes": differences(before, after)})


class Rollback(VersionHandler):
    """Make a version the newest again: ``{"version": 3}``. A deleted rule comes back by it."""

    roles = {"POST": "operator"}

    async def post(self, rule_id: str) -> None:
        current = self.context.rules().get(rule_id)
        if current is not None:
            self.changeable(rule_id)
        body: Any = self.body()
        number = body.get("version") if isinstance(body, dict) else None
        if not isinstance(number, int) or isinstance(number, bool) or set(body) != {"version"}:
            raise ProblemError(400, "the body is wrong", [Problem("version", 'expected {"version": NUMBER} and nothing else')])
        await self.newest(rule_id)
        rule = await self.rule_at(rule_id, number)
        if rule is None:
            raise ProblemError(409, f"version {number} is the one that deleted the rule; DELETE does that")
        try:
            # What was right when it was written may no longer be: a channel may be gone.
            parse_rule(msgspec.to_builtins(rule), RuleSource("api"), channels=self.context.channels())
        except RuleError as error:
            raise ProblemError(400, f"version {number} of the rule is no longer right", error.problems) from None
        stored = await self.store(rule, current, number)
        self.set_header("ETag", self.tag(stored))
        self.answer(self.view(stored))
