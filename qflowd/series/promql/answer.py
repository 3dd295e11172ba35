"""Results in the JSON shapes of Prometheus's query API: times in seconds, values as text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from qflowd.series.promql.compile import Query
from qflowd.series.promql.value import PromQLError

if TYPE_CHECKING:
    from qflowd.series.store import SeriesStore

POINTS, SERIES = 11_000, 2_000


def number(value: float) -> str:
    """The value as Prometheus writes it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def instant(query: Query, store: SeriesStore, time: int) -> dict[str, Any]:
    """``{"resultType": "vector" | "scalar", "result": …}`` at ``time`` (epoch ms)."""
    value = query.evaluate(store, time)
    if not isinstance(value, list):
        return {"resultType": "scalar", "result": [time / 1000, number(value)]}
    if len(value) > SERIES:
        raise PromQLError(f"the query yields more than {SERIES} series")
    return {"resultType": "vector", "result": [{"metric": labels, "value": [time / 1000, number(one)]} for labels, one in value]}


def query_range(query: Query, store: SeriesStore, start: int, end: int, step: int) -> list[dict[str, Any]]:
    """The result list of a matrix from ``start`` to ``end`` inclusive, all in ms. Raises PromQLError beyond the limits."""
    if step <= 0 or end < start:
        raise PromQLError("step has to be positive and end not before start")
    if (end - start) // step + 1 > POINTS:
        raise PromQLError(f"more than {POINTS} points per series: choose a longer step")
    found: dict[Any, dict[str, Any]] = {}
    for time in range(start, end + 1, step):
        value = query.evaluate(store, time)
        for labels, one in value if isinstance(value, list) else [({}, value)]:
            key = frozenset(labels.items())
            row = found.get(key)
            if row is None:
                if len(found) >= SERIES:
                    raise PromQLError(f"the query yields more than {SERIES} series")
                row = found[key] = {"metric": labels, "values": []}
            row["values"].append([time / 1000, number(one)])
    return sorted(found.values(), key=lambda row: sorted(row["metric"].items()))
