"""Functions that change labels, order or times of instant vectors."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from qflowd.patterns import Pattern, PatternError, filled
from qflowd.series.promql.value import LABEL, Node, PromQLError, Value, Vector, bare

CALENDAR: dict[str, Callable[[datetime], int]] = {
    "minute": lambda at: at.minute,
    "hour": lambda at: at.hour,
    "day_of_week": lambda at: at.isoweekday() % 7,
    "day_of_month": lambda at: at.day,
    "month": lambda at: at.month,
    "year": lambda at: at.year,
}


def calendar(name: str) -> Callable[[float], float]:
    """A part of a time in epoch seconds, in UTC. NaN where there is no such time."""
    part = CALENDAR[name]

    def apply(value: float) -> float:
        try:
            return float(part(datetime.fromtimestamp(math.trunc(value), UTC)))
        except (ValueError, OverflowError, OSError):
            return math.nan

    return apply


def elements(node: Node, store: Any, time: int) -> Vector:
    """The elements of a node that the parser knows to be a vector."""
    vector = node(store, time)
    assert isinstance(vector, list), "the parser lets only vectors through"
    return vector


def number(node: Node, store: Any, time: int) -> float:
    """The value of a node that the parser knows to be a scalar."""
    value = node(store, time)
    assert not isinstance(value, list), "the parser lets only scalars through"
    return float(value)


def each(inner: Node, apply: Callable[[float], float]) -> Node:
    """``apply`` to every value; names are dropped."""

    def evaluate(store: Any, time: int) -> Value:
        value = inner(store, time)
        return [(bare(labels), apply(one)) for labels, one in value] if isinstance(value, list) else apply(value)

    return evaluate


def scalar(inner: Node) -> Node:
    """The value of the only element, else NaN."""

    def evaluate(store: Any, time: int) -> Value:
        vector = elements(inner, store, time)
        return vector[0][1] if len(vector) == 1 else math.nan

    return evaluate


def clamp(name: str, inner: Node, limits: list[Node]) -> Node:
    """``clamp``, ``clamp_min`` and ``clamp_max``."""

    def evaluate(store: Any, time: int) -> Value:
        bounds = [number(one, store, time) for one in limits]
        low = -math.inf if name == "clamp_max" else bounds[0]
        high = math.inf if name == "clamp_min" else bounds[-1]
        vector = elements(inner, store, time)
        if low > high:
            return []
        if math.isnan(low) or math.isnan(high):
            return [(bare(labels), math.nan) for labels, _ in vector]
        return [(bare(labels), value if math.isnan(value) else max(low, min(high, value))) for labels, value in vector]

    return evaluate


def rounded(inner: Node, to: Node | None) -> Node:
    """To the nearest multiple; halves go up."""

    def evaluate(store: Any, time: int) -> Value:
        nearest = 1.0 if to is None else number(to, store, time)
        inverse = 1 / nearest if nearest else math.copysign(math.inf, nearest)

        def one(value: float) -> float:
            scaled = value * inverse + 0.5
            whole = float(math.floor(scaled)) if math.isfinite(scaled) else scaled
            return whole / inverse if inverse else math.copysign(math.inf, whole) if whole else math.nan

        return [(bare(labels), one(value)) for labels, value in elements(inner, store, time)]

    return evaluate


def label_replace(inner: Node, target: str, replacement: str, source: str, expression: str) -> Node:
    """Prometheus's ``label_replace``: the expression is anchored; an empty result removes the label."""
    if not LABEL.fullmatch(target):
        raise PromQLError(f"label_replace: {target!r} is not the name of a label")
    try:
        pattern = Pattern(expression, dotall=True)
    except PatternError as error:
        raise PromQLError(f"label_replace: {error}") from None

    def evaluate(store: Any, time: int) -> Value:
        found: Vector = []
        seen: set[Any] = set()
        for labels, value in elements(inner, store, time):
            try:
                hit = pattern.whole(labels.get(source, ""))
            except PatternError as error:
                raise PromQLError(f"label_replace: {error}") from None
            if hit is not None:
                text = filled(replacement, hit)
                labels = {**{name: own for name, own in labels.items() if name != target}, **({target: text} if text else {})}
            key = frozenset(labels.items())
            if key in seen:
                raise PromQLError("label_replace: several series would have the same labels")
            seen.add(key)
            found.append((labels, value))
        return found

    return evaluate
