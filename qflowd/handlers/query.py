"""The first part of Prometheus's query API, in its own JSON, its errors too."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from qflowd.handlers.base import Handler, ProblemError
from qflowd.series.promql import PromQLError, compile
from qflowd.series.promql.answer import instant, matrix, query_range
from qflowd.series.promql.run import Run

STEP = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
UNITS = {"ms": 1, None: 1000, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Query(Handler):
    """Parameters may come in the query string or as a form."""

    def parameter(self, name: str) -> str | None:
        value: str | None = self.get_argument(name, None)
        return value

    def instant(self, name: str) -> int | None:
        if self.get_query_argument(name, None) is None and self.parameter(name) is not None:
            self.request.query_arguments[name] = [self.parameter(name).encode()]  # type: ignore[union-attr]
        return super().instant(name)

    def run(self, evaluate: Any) -> None:
        try:
            text = self.parameter("query")
            if not text:
                raise PromQLError("the parameter query is missing")
            body: dict[str, Any] = {"status": "success", "data": evaluate(compile(text, whole=True))}
        except (PromQLError, ProblemError) as error:
            self.set_status(400)
            detail = "; ".join(f"{one.path}: {one.message}" for one in getattr(error, "errors", ())) or str(error)
            body = {"status": "error", "errorType": "bad_data", "error": detail}
        self.set_header("Content-Type", "application/json")
        self.finish(msgspec.json.encode(body))


class Instant(Query):
    roles = {"GET": "viewer", "POST": "viewer"}

    def get(self) -> None:
        context = self.context
        time = self.instant("time")
        time = context.clock() if time is None else time
        self.run(lambda query: instant(query, Run(context.series, time, time)))

    post = get


class Range(Query):
    roles = {"GET": "viewer", "POST": "viewer"}

    def get(self) -> None:
        self.run(self.evaluate)

    post = get

    def evaluate(self, query: Any) -> Any:
        start, end = self.instant("start"), self.instant("end")
        found = STEP.fullmatch(self.parameter("step") or "")
        if start is None or end is None or found is None:
            raise PromQLError("start, end and step are needed; step is seconds or a duration such as 15s")
        step = round(float(found[1]) * UNITS[found[2]])
        if step <= 0 or end < start:
            raise PromQLError("step has to be positive and end not before start")
        return {"resultType": "matrix", "result": matrix(query_range(query, Run(self.context.series, start, end, step)))}
