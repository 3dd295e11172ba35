"""Alert rules and alerts."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import msgspec

from qflowd.alerts.engine import AlertError
from qflowd.alerts.rule import RuleError, parse_rule
from qflowd.alerts.versions import RuleConflict
from qflowd.handlers.base import Handler, ProblemError
from qflowd.handlers.executions import decode_cursor, encode_cursor
from qflowd.model import Alert, Problem, Rule, RuleSource

RESERVED = frozenset({"versions", "diff", "rollback", "test"})
"""What may follow the id of a rule in a path, and therefore cannot be its end."""


class RuleHandler(Handler):
    """What reading and writing rules have in common."""

    def view(self, rule: Rule) -> dict[str, Any]:
        """A rule with what the engine knows of it."""
        built: dict[str, Any] = msgspec.to_builtins(rule)
        for key in ("record", "group", "interval", "limit", "queryOffset"):
            if not built[key]:
                del built[key]
        built["version"] = rule.version or None
        built |= self.context.engine.view(rule.id)
        warnings = [
            f"channel {name} is not configured" for name in rule.channels if name != "dashboard" and name not in self.context.channels()
        ]
        return built | {"warnings": warnings}

    def tag(self, rule: Rule) -> str:
        """The ETag of a rule's own text: what the engine measures does not change it."""
        return self.etag_of(msgspec.to_builtins(rule))

    def parse(self, body: Any) -> Rule:
        """The rule of a body. Raises ``ProblemError`` 400 with every mistake."""
        if not isinstance(body, dict):
            raise ProblemError(400, "a rule is a JSON object", [Problem("", "expected an object")])
        try:
            rule, _ = parse_rule(body, RuleSource("api"), channels=self.context.channels())
        except RuleError as error:
            raise ProblemError(400, "the rule is wrong", error.problems) from None
        if rule.id.rpartition("/")[2] in RESERVED:
            raise ProblemError(400, "the rule is wrong", [Problem("id", f"may not end in /{rule.id.rpartition('/')[2]}")])
        return rule

    async def store(self, rule: Rule, expected: Rule | None, of: int | None = None) -> Rule:
        """Keep the rule in the place of ``expected``. Raises ``ProblemError`` 412 or 409 where another is there by now."""
        try:
            return await self.context.store_rule(rule, expected, self.subject, of)
        except RuleConflict as error:
            raise self.conflict(error) from None

    def conflict(self, error: RuleConflict) -> ProblemError:
        return ProblemError(412 if self.request.headers.get("If-Match") else 409, str(error))

    def existing(self, rule_id: str) -> Rule:
        """The rule of this id, or 404."""
        rule = self.context.rules().get(rule_id)
        if rule is None:
            raise ProblemError(404, f"no rule {rule_id!r}")
        return rule

    def changeable(self, rule_id: str) -> Rule:
        """The rule of this id, if the API may change it and ``If-Match`` holds."""
        rule = self.existing(rule_id)
        source = rule.source
        if source.kind == "file":
            raise ProblemError(409, f"the rule comes from {source.file}, line {source.line}: change it there and reload")
        if source.kind == "default":
            raise ProblemError(409, "the rule ships with qflowd: write one with its id to the configuration to replace it")
        match = self.request.headers.get("If-Match")
        if match and match != "*" and self.tag(rule) not in [one.strip() for one in match.split(",")]:
            raise ProblemError(412, "the rule has changed since it was read")
        return rule


class Rules(RuleHandler):
    """All rules; create one."""

    roles = {"GET": "viewer", "POST": "operator"}

    def get(self) -> None:
        limit = self.number("limit", 1000, 1, 10_000)
        cursor = self.get_query_argument("cursor", None)
        after = decode_cursor(cursor)[1] if cursor else ""
        found = [rule for key, rule in sorted(self.context.rules().items()) if key > after]
        more = len(found) > limit
        page = found[:limit]
        self.answer({"items": [self.view(rule) for rule in page], "nextCursor": encode_cursor(0, page[-1].id) if more else None})

    async def post(self) -> None:
        body = self.body()
        rule = self.parse(body)
        rules = self.context.rules()
        if rule.id in rules:
            if body.get("id") is not None:
                raise ProblemError(409, f"the id {rule.id!r} is taken", [Problem("id", "choose another, or leave it out")])
            number = 2
            while f"{rule.id}_{number}" in rules:
                number += 1
            rule = msgspec.structs.replace(rule, id=f"{rule.id}_{number}")
        rule = await self.store(rule, None)
        self.set_header("Location", f"/api/v1/dashboard/alerts/{quote(rule.id)}")
        self.set_header("ETag", self.tag(rule))
        self.answer(self.view(rule), 201)


class OneRule(RuleHandler):
    """One rule: read, replace, delete."""

    roles = {"GET": "viewer", "PUT": "operator", "DELETE": "operator"}

    def get(self, rule_id: str) -> None:
        rule = self.existing(rule_id)
        self.set_header("ETag", self.tag(rule))
        self.answer(self.view(rule))

    async def put(self, rule_id: str) -> None:
        before = self.changeable(rule_id)
        body = self.body()
        if isinstance(body, dict) and body.setdefault("id", rule_id) != rule_id:
            raise ProblemError(400, "the rule is wrong", [Problem("id", f"expected {rule_id!r}, the id in the path, or nothing")])
        rule = await self.store(self.parse(body), before)
        self.set_header("ETag", self.tag(rule))
        self.answer(self.view(rule))

    async def delete(self, rule_id: str) -> None:
        try:
            await self.context.delete_rule(self.changeable(rule_id), self.subject)
        except RuleConflict as error:
            raise self.conflict(error) from None
        self.set_status(204)
        self.finish()


class Active(Handler):
    """Alerts that are pending, firing or acknowledged, the worst first."""

    roles = {"GET": "viewer"}

    def get(self) -> None:
        rank = ("critical", "high", "medium", "low")
        found = sorted(self.context.engine.active(), key=lambda alert: (rank.index(alert.severity), alert.starts_at, alert.id))
        self.answer({"items": found, "nextCursor": None})


class History(Handler):
    """Transitions of alerts from the store, the newest first."""

    roles = {"GET": "viewer"}

    async def get(self) -> None:
        limit = self.number("limit", 100, 1, 1000)
        cursor = self.get_query_argument("cursor", None)
        rows = await asyncio.wrap_future(
            self.context.storage.history(
                "alert",
                key=self.get_query_argument("rule", None),
                before=decode_cursor(cursor)[0] if cursor else None,
                limit=limit + 1,
            )
        )
        items = [msgspec.json.decode(blob, type=Alert) for _, _, blob in rows[:limit]]
        self.answer({"items": items, "nextCursor": encode_cursor(rows[limit - 1][0], "") if len(rows) > limit else None})


class Acknowledge(Handler):
    """Acknowledge a firing alert, or take that back."""

    roles = {"POST": "operator"}

    async def post(self, alert_id: str, verb: str) -> None:
        body = self.body() if self.request.body else {}
        if not isinstance(body, dict) or not isinstance(body.get("comment", ""), str) or len(body.get("comment", "")) > 2000:
            raise ProblemError(400, "the body is wrong", [Problem("comment", "expected a text of at most 2,000 characters")])
        engine, now = self.context.engine, self.context.clock()
        try:
            if verb == "ack":
                transition = engine.acknowledge(alert_id, self.subject, body.get("comment"), now)
            else:
                transition = engine.unacknowledge(alert_id, now)
        except AlertError as error:
            raise ProblemError(404 if "no " in str(error) else 409, str(error)) from None
        await self.context.save_alerts()
        self.answer(transition.alert)
