"""Binary operators with Prometheus's rules for matching and for names."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qflowd.series.promql.value import Labels, Node, PromQLError, Value, Vector, bare

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


def _divide(left: float, right: float) -> float:
    if right:
        return left / right
    return math.nan if not left or math.isnan(left) else math.copysign(math.inf, left) * math.copysign(1, right)


def _modulo(left: float, right: float) -> float:
    return math.fmod(left, right) if right and not math.isinf(left) else math.nan


def _power(left: float, right: float) -> float:
    try:
        return math.pow(left, right)
    except OverflowError:
        return -math.inf if left < 0 and right % 2 == 1 else math.inf
    except ValueError:
        return math.inf if left == 0 else math.nan


ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
    "%": _modulo,
    "^": _power,
}


@dataclass(frozen=True)
class Matching:
    """How elements of two vectors find each other. ``on``: by these labels only, else by all but these.

    ``many`` is the side that may have several elements for one of the other ("left", "right" or neither);
    ``include`` are labels copied from the one side.
    """

    on: bool = False
    labels: tuple[str, ...] = ()
    many: str = ""
    include: tuple[str, ...] = ()

    def key(self, labels: Labels) -> Any:
        """Equal for elements that belong together. A missing label is an empty one."""
        if self.on:
            return tuple([labels.get(name, "") for name in self.labels])
        left_out = self.labels
        return frozenset([item for item in labels.items() if item[0] != "__name__" and item[0] not in left_out and item[1]])


def operate(symbol: str, left: Node, right: Node, matching: Matching, return_bool: bool) -> Node:
    """The operator ``symbol`` over two compiled sides."""
    if symbol in ("and", "or", "unless"):
        return _set_operator(symbol, left, right, matching)
    apply = combine(symbol, matching, return_bool)
    return lambda store, time: apply(left(store, time), right(store, time))


def combine(symbol: str, matching: Matching, return_bool: bool) -> Callable[[Value, Value], Value]:
    """The operator ``symbol``, which is not a set operator, over the values of two sides."""
    compare = COMPARISONS.get(symbol)
    compute = ARITHMETIC.get(symbol)
    if compare is None and compute is None:
        raise PromQLError(f"the operator {symbol} is not supported")
    drop = compute is not None or return_bool

    def one(a: float, b: float, kept: float) -> float | None:
        if compute is not None:
            return compute(a, b)
        assert compare is not None
        holds = compare(a, b)
        return float(holds) if return_bool else (kept if holds else None)

    def apply(a: Value, b: Value) -> Value:
        if isinstance(a, list):
            if isinstance(b, list):
                return _match(a, b, matching, one, drop)
            pairs = [(labels, one(value, b, value)) for labels, value in a]
        elif isinstance(b, list):
            pairs = [(labels, one(a, value, value)) for labels, value in b]
        else:
            found = one(a, b, a)
            assert found is not None, "two scalars are compared with bool only: the parser sees to it"
            return found
        return [(bare(labels) if drop else labels, value) for labels, value in pairs if value is not None]

    return apply


def _set_operator(symbol: str, left: Node, right: Node, matching: Matching) -> Node:
    key = matching.key

    def evaluate(store: Any, time: int) -> Value:
        a = left(store, time)
        if not a and symbol != "or":
            return []
        b = right(store, time)
        assert isinstance(a, list) and isinstance(b, list), "the parser lets only vectors through"
        if symbol == "or":
            if not a or not b:
                return a or b
            have = {key(labels) for labels, _ in a}
            return a + [one for one in b if key(one[0]) not in have]
        if not b:
            return a if symbol == "unless" else []
        have = {key(labels) for labels, _ in b}
        return [one for one in a if (key(one[0]) in have) is (symbol == "and")]

    return evaluate


def _match(
    left: Vector, right: Vector, matching: Matching, one: Callable[[float, float, float], float | None], drop: bool
) -> Vector:
    swapped = matching.many == "right"
    many, single = (right, left) if swapped else (left, right)
    lookup: dict[Any, tuple[Labels, float]] = {}
    for element in single:
        key = matching.key(element[0])
        if key in lookup:
            raise PromQLError("several series match on the one side: many-to-many matching is not allowed")
        lookup[key] = element
    result: Vector = []
    seen: set[Any] = set()
    for labels, value in many:
        key = matching.key(labels)
        partner = lookup.get(key)
        if partner is None:
            continue
        if not matching.many and key in seen:
            raise PromQLError("several series match on the left side: many-to-one matching must be explicit (group_left)")
        seen.add(key)
        a, b = (partner[1], value) if swapped else (value, partner[1])
        found = one(a, b, a)
        if found is not None:
            result.append((_labels(labels, partner[0], matching, drop), found))
    return result


def _labels(many: Labels, single: Labels, matching: Matching, drop: bool) -> Labels:
    labels = bare(many) if drop else dict(many)
    if matching.many:
        for name in matching.include:
            if single.get(name):
                labels[name] = single[name]
            else:
                labels.pop(name, None)
        return labels
    if matching.on:
        return {name: value for name, value in labels.items() if name in matching.labels}
    return {name: value for name, value in labels.items() if name not in matching.labels}
