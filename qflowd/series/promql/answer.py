"""Results in the JSON shapes of Prometheus's query API: times in seconds, values as text."""

from __future__ import annotations

import math
from typing import Any

from qflowd.series.labels import faded
from qflowd.series.promql.query import Query
from qflowd.series.promql.run import Run
from qflowd.series.promql.selector import Rows
from qflowd.series.promql.value import PromQLError, Window

STEPS, SERIES = 11_000, 2_000


def number(value: float) -> str:
    """The value as Prometheus writes it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def instant(query: Query, run: Run) -> dict[str, Any]:
    """``{"resultType": "vector" | "scalar" | "matrix" | "string", "result": …}`` at the start of ``run``. Raises PromQLError."""
    time = run.start
    if query.kind == "string":
        return {"resultType": "string", "result": [time / 1000, query.string]}
    if query.kind == "matrix":
        return {"resultType": "matrix", "result": matrix(query.matrix(run, time))}
    value = query.instant(run, time)
    if not isinstance(value, list):
        return {"resultType": "scalar", "result": [time / 1000, number(value)]}
    _bounded(len(value))
    return {"resultType": "vector", "result": [{"metric": labels, "value": [time / 1000, number(one)]} for labels, one in value]}


def query_range(query: Query, run: Run) -> list[Window]:
    """The value at each step of ``run``, a window a series, in the order of their labels. Raises PromQLError beyond the limits."""
    if query.kind not in ("scalar", "vector"):
        raise PromQLError(f"a {query.kind} cannot be asked for over a range of time: expected a scalar or an instant vector")
    if run.step <= 0 or run.end < run.start:
        raise PromQLError("step has to be positive and end not before start")
    if (run.end - run.start) // run.step + 1 > STEPS:
        raise PromQLError(f"more than {STEPS} points per series: choose a longer step")
    rows = Rows()
    for time in range(run.start, run.end + 1, run.step):
        value = query.raw(run, time)
        run.charge(len(value) + 1 if isinstance(value, list) else 1)
        rows.add(time, value)
        _bounded(len(rows.rows))
    return _merged(rows.rows)


def _merged(rows: list[Window]) -> list[Window]:
    """Rows without the names that were to go; those that have the same labels then are one, if they never meet."""
    found: dict[Any, dict[int, float]] = {}
    labels: dict[Any, dict[str, str]] = {}
    for row in rows:
        bare = faded(row.labels)
        key = tuple(sorted(bare.items()))
        points = dict(zip(row.times, row.values, strict=True))
        if key in found and not found[key].keys().isdisjoint(points):
            raise PromQLError(f"the result has several elements with the labels {bare}")
        found.setdefault(key, {}).update(points)
        labels[key] = bare
    return [
        Window(labels[key], times, [points[time] for time in times]) for key, points in sorted(found.items()) for times in [sorted(points)]
    ]


def matrix(windows: list[Window]) -> list[dict[str, Any]]:
    """The result list of a matrix."""
    _bounded(len(windows))
    return [
        {"metric": one.labels, "values": [[time / 1000, number(value)] for time, value in zip(one.times, one.values, strict=True)]}
        for one in windows
    ]


def _bounded(series: int) -> None:
    if series > SERIES:
        raise PromQLError(f"the query yields more than {SERIES} series")
