"""Aggregations over the elements of an instant vector."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

from qflowd.series.promql.functions import AGGREGATIONS, quantile
from qflowd.series.promql.value import LABEL, Labels, Node, PromQLError, Value, Vector

RANKED = ("topk", "bottomk")
WITH_SCALAR = (*RANKED, "quantile")


def decimal(value: float) -> str:
    """The shortest form without an exponent, as ``count_values`` names values."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def aggregate(name: str, inner: Node, labels: frozenset[str], without: bool, scalar: Node | None, value_label: str | None) -> Node:
    """The aggregation ``name`` by (or without) ``labels``. Raises PromQLError where it is not supported."""
    if name not in AGGREGATIONS and name not in WITH_SCALAR and name != "count_values":
        raise PromQLError(f"the aggregation {name} is not supported")
    if value_label is not None and not LABEL.fullmatch(value_label):
        raise PromQLError(f"count_values: {value_label!r} is not the name of a label")

    def group(full: Labels) -> Labels:
        if without:
            return {key: text for key, text in full.items() if key != "__name__" and key not in labels}
        return {key: text for key, text in full.items() if key in labels}

    def evaluate(store: Any, time: int) -> Value:
        vector = inner(store, time)
        assert isinstance(vector, list), "the parser lets only vectors through"
        groups: dict[Any, tuple[Labels, Vector]] = {}
        for full, value in vector:
            kept = group(full)
            if value_label is not None:
                kept[value_label] = decimal(value)
            groups.setdefault(frozenset(kept.items()), (kept, []))[1].append((full, value))
        if value_label is not None:
            return [(kept, float(len(members))) for kept, members in groups.values()]
        if scalar is None:
            fold = AGGREGATIONS[name]
            return [(kept, float(fold([value for _, value in members]))) for kept, members in groups.values()]
        parameter = scalar(store, time)
        assert isinstance(parameter, (int, float)), "the parser lets only a scalar through"
        if name == "quantile":
            return [(kept, quantile(parameter, [value for _, value in members])) for kept, members in groups.values()]
        if math.isnan(parameter):
            raise PromQLError(f"{name}: the number of elements is NaN")
        count = int(max(0.0, min(parameter, float(len(vector)))))
        return [one for _, members in groups.values() for one in ordered(members, descending=name == "topk")[:count]]

    return evaluate


def ordered(vector: Vector, *, descending: bool) -> Vector:
    """By value, NaN last."""
    return sorted(vector, key=lambda one: (one[1] != one[1], -one[1] if descending else one[1]))
