"""Why a rule did what it did."""

from __future__ import annotations

from qflowd.handlers.base import Handler, ProblemError
from qflowd.handlers.executions import decode_cursor, encode_cursor
from qflowd.model.explanation import Explanation


class Explain(Handler):
    """The decision trace of a rule, the newest first: inputs, transitions, and why somebody was told or was not."""

    roles = {"GET": "viewer"}
    answers = {"GET": Explanation}

    async def get(self, rule_id: str) -> None:
        limit = self.number("limit", 100, 1, 1000)
        cursor = self.get_query_argument("cursor", None)
        items, place = await self.context.decisions(rule_id, decode_cursor(cursor) if cursor else (0, ""), limit)
        standing = self.context.standing(rule_id)
        if standing is None and not items and not cursor:
            raise ProblemError(404, f"no rule {rule_id!r}, and nothing is known of one")
        self.answer(Explanation(standing=standing, items=items, next_cursor=encode_cursor(*place) if place else None))
