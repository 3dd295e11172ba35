"""Executions and flows."""

from __future__ import annotations

import asyncio
import base64
from typing import Any, get_args

import msgspec

from qflowd.handlers.base import Handler, ProblemError
from qflowd.model import Execution, ExecutionStatus, Problem
from qflowd.state import decode_record


def encode_cursor(start: int, key: str) -> str:
    """An opaque cursor from the place where a page ended."""
    return base64.urlsafe_b64encode(msgspec.json.encode([start, key])).decode().rstrip("=")


def decode_cursor(text: str) -> tuple[int, str]:
    """The place of a cursor. Raises ``ProblemError`` where it is none of ours."""
    try:
        start, key = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=tuple[int, str])
        if not 0 <= start < 1 << 63:
            raise ValueError(start)
    except (ValueError, msgspec.MsgspecError):
        raise ProblemError(400, "a parameter is wrong", [Problem("cursor", "expected the nextCursor of an earlier answer")]) from None
    return start, key


class Executions(Handler):
    """Executions, the newest first, from the store, with what memory knows newer."""

    roles = {"GET": "viewer"}

    async def get(self) -> None:
        context = self.context
        limit = self.number("limit", 100, 1, 1000)
        status = [one for text in self.get_query_arguments("status") for one in text.split(",") if one]
        wrong = [one for one in status if one not in get_args(ExecutionStatus)]
        if wrong:
            raise ProblemError(
                400, "a parameter is wrong", [Problem("status", f"{wrong[0]!r}: expected one of {', '.join(get_args(ExecutionStatus))}")]
            )
        cursor = self.get_query_argument("cursor", None)
        await context.save()
        rows = await asyncio.wrap_future(
            context.storage.executions(
                flow=self.get_query_argument("flow", None),
                status=status,
                tenant=self.get_query_argument("tenant", None),
                start=self.instant("from"),
                end=self.instant("to"),
                text=self.get_query_argument("text", None),
                cursor=decode_cursor(cursor) if cursor else None,
                limit=limit + 1,
            )
        )
        items: list[Execution] = []
        for row in rows[:limit]:
            items.append(context.state.execution(row.execution_id) or decode_record(row.record)[0])
        more = len(rows) > limit
        last = rows[limit - 1] if more else None
        self.answer({"items": items, "nextCursor": encode_cursor(last.start_time or 0, last.execution_id) if last else None})


class OneExecution(Handler):
    """One execution with its steps, validations and events."""

    roles = {"GET": "viewer"}

    async def get(self, execution_id: str) -> None:
        context = self.context
        execution = context.state.execution(execution_id)
        if execution is not None:
            steps, validations = context.state.steps(execution_id), context.state.validations(execution_id)
        else:
            record = await asyncio.wrap_future(context.storage.execution(execution_id))
            if record is None:
                raise ProblemError(404, f"no execution {execution_id!r} is kept; it never was, or its retention has ended")
            execution, steps, validations = decode_record(record)
        found = await asyncio.wrap_future(context.storage.events(execution_id=execution_id, limit=1000))
        body: dict[str, Any] = msgspec.to_builtins(execution)
        body["steps"] = msgspec.to_builtins(steps)
        body["validations"] = msgspec.to_builtins(validations)
        body["events"] = [msgspec.to_builtins(event) for _, event in found]
        self.answer(body)


class Flows(Handler):
    """Per flow: counts, latency, error rate, last execution."""

    roles = {"GET": "viewer"}

    def get(self) -> None:
        limit = self.number("limit", 500, 1, 5000)
        after = self.get_query_argument("cursor", None)
        flows = sorted(self.context.state.flows(), key=lambda flow: str(flow["flowId"]))
        if after:
            place = decode_cursor(after)[1]
            flows = [flow for flow in flows if str(flow["flowId"]) > place]
        more = len(flows) > limit
        page = flows[:limit]
        self.answer({"items": page, "nextCursor": encode_cursor(0, str(page[-1]["flowId"])) if more else None})


class OneFlow(Handler):
    """One flow."""

    roles = {"GET": "viewer"}

    def get(self, flow_id: str) -> None:
        for flow in self.context.state.flows():
            if flow["flowId"] == flow_id:
                return self.answer(flow)
        raise ProblemError(404, f"no flow {flow_id!r} is known")
