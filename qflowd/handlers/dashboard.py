"""The figures of the Overview, and the lists that are also streams."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from qflowd.handlers.base import Handler, ProblemError
from qflowd.handlers.executions import decode_cursor, encode_cursor
from qflowd.model import Event, Execution, Problem
from qflowd.state.log import log_line


class Stats(Handler):
    roles = {"GET": "viewer"}

    def get(self) -> None:
        self.answer(self.context.stats())


class Data(Handler):
    roles = {"GET": "viewer"}

    def get(self) -> None:
        self.answer(self.context.dashboard())


class Validations(Handler):
    roles = {"GET": "viewer"}

    def get(self) -> None:
        self.answer(self.context.state.validation(self.context.clock()))


class Modules(Handler):
    roles = {"GET": "viewer"}

    def get(self) -> None:
        self.answer({"items": self.context.state.modules(), "nextCursor": None})


class EventLog(Handler):
    """The event log from the store, the newest first."""

    roles = {"GET": "viewer"}

    async def get(self) -> None:
        limit = self.number("limit", 100, 1, 1000)
        level = self.get_query_argument("level", None)
        if level not in (None, "debug", "info", "warning", "error"):
            raise ProblemError(400, "a parameter is wrong", [Problem("level", "expected debug, info, warning or error")])
        text = (self.get_query_argument("text", None) or "").lower()
        cursor = self.get_query_argument("cursor", None)
        before = decode_cursor(cursor)[0] if cursor else None
        items: list[dict[str, Any]] = []
        # A filter may pass over many events: each request reads a bounded number and hands the place on.
        for _ in range(5):
            rows = await asyncio.wrap_future(self.context.storage.events(before_rowid=before, limit=limit, newest_first=True))
            for rowid, event in rows:
                before = rowid
                line = log_line(event, self.execution(event))
                if level in (None, line.level) and text in line.text.lower():
                    items.append({"seq": rowid, **msgspec.to_builtins(line)})
                if len(items) >= limit:
                    return self.answer({"items": items, "nextCursor": encode_cursor(rowid, "")})
            if len(rows) < limit:
                return self.answer({"items": items, "nextCursor": None})
            await asyncio.sleep(0)
        self.answer({"items": items, "nextCursor": encode_cursor(before or 0, "")})

    def execution(self, event: Event) -> Execution | None:
        """The execution that an event speaks of, where memory holds it: it knows the flow's name."""
        name = event.data.get("executionId")
        return self.context.state.execution(name) if isinstance(name, str) else None


class Clients(Handler):
    roles = {"GET": "admin"}

    def get(self) -> None:
        limit = self.number("limit", 100, 1, 500)
        cursor = self.get_query_argument("cursor", None)
        start = decode_cursor(cursor)[0] if cursor else 0
        found = self.context.hub.clients(start, limit + 1)
        more = encode_cursor(start + limit, "") if len(found) > limit else None
        self.answer({"items": found[:limit], "nextCursor": more})


class Session(Handler):
    """Who am I."""

    roles = {"GET": "open"}

    def get(self) -> None:
        subject, roles = self.identify()
        self.answer({"subject": subject, "roles": list(roles)})
