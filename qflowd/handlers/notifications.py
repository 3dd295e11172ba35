"""The outbox: who was told of what, what still waits, and what was refused for good."""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from qflowd.handlers.base import Handler, ProblemError
from qflowd.handlers.executions import decode_cursor, encode_cursor
from qflowd.model import Problem
from qflowd.model.notification import Delivery, DeliveryStatus


def view(delivery: Delivery) -> dict[str, Any]:
    """A delivery as the API shows it: the notification, and how far it got."""
    one = delivery.notification
    shown = ("id", "ruleId", "name", "severity", "status", "labels")
    alerts = [{key: alert[key] for key in shown} for alert in msgspec.to_builtins(one.alerts)]
    return {
        "id": one.key,
        "channel": one.channel,
        "kind": one.kind,
        "group": one.group,
        "groupLabels": one.group_labels,
        "alerts": alerts,
        "truncated": one.truncated,
        "createdAt": one.created,
        "status": delivery.status,
        "attempts": delivery.attempts,
        "changedAt": delivery.changed,
        "nextAttempt": delivery.due if delivery.status == "waiting" else None,
        "detail": delivery.detail,
    }


class Notifications(Handler):
    """Notifications of all channels, the newest first, with how far each got."""

    roles = {"GET": "viewer"}

    async def get(self) -> None:
        limit = self.number("limit", 100, 1, 1000)
        status = self.get_query_argument("status", None)
        if status is not None and status not in get_args(DeliveryStatus):
            raise ProblemError(400, "a parameter is wrong", [Problem("status", f"expected one of {', '.join(get_args(DeliveryStatus))}")])
        cursor = self.get_query_argument("cursor", None)
        before = decode_cursor(cursor)[0] if cursor else None
        rows = await self.context.notifying.page(self.get_query_argument("channel", None), status, before, limit + 1)
        items = [view(delivery) for _, delivery in rows[:limit]]
        self.answer({"items": items, "nextCursor": encode_cursor(rows[limit - 1][0], "") if len(rows) > limit else None})
