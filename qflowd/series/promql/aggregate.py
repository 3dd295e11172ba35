"""Aggregations over the elements of an instant vector."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal

from qflowd.series.labels import Fading, fading
from qflowd.series.promql.folds import average, deviation, greatest, least, quantile, total, variance
from qflowd.series.promql.run import Run
from qflowd.series.promql.value import Labels, Node, PromQLError, Value, Vector

AGGREGATIONS: dict[str, Callable[[list[float]], float]] = {
    "sum": total,
    "avg": average,
    "min": least,
    "max": greatest,
    "count": len,
    "group": lambda values: 1.0,
    "stddev": deviation,
    "stdvar": variance,
}
CHOOSING = ("topk", "bottomk", "limitk")
WITH_SCALAR = (*CHOOSING, "quantile")
SUPPORTED = frozenset((*AGGREGATIONS, *WITH_SCALAR, "count_values"))


def decimal(value: float) -> str:
    """The shortest form without an exponent, as ``count_values`` names values."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


class Grouping:
    """Into which group an element goes: that of its values of ``labels``, or of all others."""

    def __init__(self, labels: frozenset[str], without: bool) -> None:
        self.labels, self.without = labels, without

    def of(self, full: Labels) -> Labels:
        if self.without:
            return {key: text for key, text in full.items() if key != "__name__" and key not in self.labels}
        return {key: text for key, text in full.items() if key in self.labels}

    def groups(self, vector: Vector) -> list[tuple[Labels, Vector]]:
        """The groups in the order of their first elements, under their labels."""
        if not self.labels and not self.without:
            return [(_named({}, vector), vector)] if vector else []
        found: dict[frozenset[tuple[str, str]], tuple[Labels, Vector]] = {}
        for element in vector:
            kept = self.of(element[0])
            found.setdefault(frozenset(kept.items()), (kept, []))[1].append(element)
        return [(_named(kept, members), members) for kept, members in found.values()]


def _named(kept: Labels, members: Vector) -> Labels:
    """A group's name goes where that of a member does."""
    return fading(kept) if "__name__" in kept and any(type(full) is Fading for full, _ in members) else kept


def aggregate(name: str, inner: Callable[[Run, int], Vector], grouping: Grouping) -> Node:
    """A plain aggregation."""
    fold = AGGREGATIONS[name]

    def evaluate(run: Run, time: int) -> Value:
        return [(kept, float(fold([value for _, value in members]))) for kept, members in grouping.groups(inner(run, time))]

    return evaluate


def aggregate_quantile(inner: Callable[[Run, int], Vector], grouping: Grouping, q: Callable[[Run, int], float]) -> Node:
    """``quantile``."""

    def evaluate(run: Run, time: int) -> Value:
        rank = q(run, time)
        if not 0 <= rank <= 1:
            run.warnings[f"a quantile has to lie between 0 and 1, got {rank}"] = None
        return [(kept, quantile(rank, [value for _, value in members])) for kept, members in grouping.groups(inner(run, time))]

    return evaluate


def choose(name: str, inner: Callable[[Run, int], Vector], grouping: Grouping, k: Callable[[Run, int], float]) -> Node:
    """``topk``, ``bottomk`` and ``limitk``: some elements of each group as they are."""

    def evaluate(run: Run, time: int) -> Value:
        vector, wanted = inner(run, time), k(run, time)
        if math.isnan(wanted) or abs(wanted) >= 2**63:
            raise PromQLError(f"{name}: {wanted} is not a number of elements")
        count = int(max(0.0, min(wanted, float(len(vector)))))
        if not count:
            return []
        groups = grouping.groups(vector)
        if name == "limitk":
            return [one for _, members in groups for one in sorted(members, key=lambda one: sorted(one[0].items()))[:count]]
        return [one for _, members in groups for one in ordered(members, descending=name == "topk")[:count]]

    return evaluate


def count_values(inner: Callable[[Run, int], Vector], grouping: Grouping, label: str) -> Node:
    """How many elements have each value, which goes into ``label``."""
    within = grouping if grouping.without else Grouping(grouping.labels | {label}, False)

    def evaluate(run: Run, time: int) -> Value:
        named: Vector = [({**labels, label: decimal(value)}, value) for labels, value in inner(run, time)]
        return [(kept, float(len(members))) for kept, members in within.groups(named)]

    return evaluate


def ordered(vector: Vector, *, descending: bool) -> Vector:
    """By value, NaN last."""
    return sorted(vector, key=lambda one: (one[1] != one[1], -one[1] if descending else one[1]))
