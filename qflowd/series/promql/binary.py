"""Binary operators with Prometheus's rules for matching and for names."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qflowd.series.labels import bare, fading
from qflowd.series.promql.run import Run
from qflowd.series.promql.value import Labels, Node, PromQLError, Value, Vector

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
    "atan2": math.atan2,
}


@dataclass(frozen=True)
class Matching:
    """How elements of two vectors find each other. ``on``: by these labels only, else by all but these.

    ``many`` is the side that may have several elements for one of the other ("left", "right" or neither);
    ``include`` are labels copied from the one side; ``fill`` is what stands for a missing partner on the left and on the right, where it
    is not ``None``.
    """

    on: bool = False
    labels: tuple[str, ...] = ()
    many: str = ""
    include: tuple[str, ...] = ()
    fill: tuple[float | None, float | None] = (None, None)

    def key(self, labels: Labels) -> Any:
        """Equal for elements that belong together. A missing label is an empty one."""
        if self.on:
            return tuple([labels.get(name, "") for name in self.labels])
        left_out = self.labels
        return frozenset([item for item in labels.items() if item[0] != "__name__" and item[0] not in left_out and item[1]])

    def common(self, labels: Labels) -> Labels:
        """The labels that a partner would share."""
        if self.on:
            return {name: labels[name] for name in self.labels if name in labels}
        return {name: value for name, value in labels.items() if name != "__name__" and name not in self.labels}


def operate(symbol: str, left: Node, right: Node, matching: Matching, return_bool: bool) -> Node:
    """The operator ``symbol`` over two compiled sides."""
    if symbol in ("and", "or", "unless"):
        return _set_operator(symbol, left, right, matching)
    apply = combine(symbol, matching, return_bool)
    return lambda run, time: apply(left(run, time), right(run, time))


def combine(symbol: str, matching: Matching, return_bool: bool) -> Callable[[Value, Value], Value]:
    """The operator ``symbol``, which is not a set operator, over the values of two sides."""
    compare, compute = COMPARISONS.get(symbol), ARITHMETIC.get(symbol)
    if compute is not None:
        return _computed(compute, matching)
    if compare is None:
        raise PromQLError(f"the operator {symbol} is not supported")
    if return_bool:
        return _computed(lambda a, b: float(compare(a, b)), matching, nameless=False)
    return _filtered(compare, matching)


def _computed(compute: Callable[[float, float], float], matching: Matching, *, nameless: bool = True) -> Callable[[Value, Value], Value]:
    """``nameless``: the name goes at once where two vectors meet, as Prometheus has it, and not at the end of the query."""

    def apply(a: Value, b: Value) -> Value:
        if isinstance(a, list):
            if isinstance(b, list):
                return _match(a, b, matching, compute, nameless, True)
            return [(fading(labels), compute(value, b)) for labels, value in a]
        if isinstance(b, list):
            return [(fading(labels), compute(a, value)) for labels, value in b]
        return compute(a, b)

    return apply


def _filtered(compare: Callable[[float, float], bool], matching: Matching) -> Callable[[Value, Value], Value]:
    """A comparison that keeps the elements for which it holds."""

    def apply(a: Value, b: Value) -> Value:
        if isinstance(a, list):
            if isinstance(b, list):
                return _match(a, b, matching, lambda left, right: left if compare(left, right) else None, False, False)
            return [one for one in a if compare(one[1], b)]
        assert isinstance(b, list), "two scalars are compared with bool only: the parser sees to it"
        return [one for one in b if compare(a, one[1])]

    return apply


def _set_operator(symbol: str, left: Node, right: Node, matching: Matching) -> Node:
    key = matching.key

    def evaluate(run: Run, time: int) -> Value:
        a = left(run, time)
        if not a and symbol != "or":
            return []
        b = right(run, time)
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


Combine = Callable[[float, float], float | None]


def _match(left: Vector, right: Vector, matching: Matching, one: Combine, nameless: bool, fades: bool) -> Vector:
    swapped = matching.many == "right"
    many, single = (right, left) if swapped else (left, right)
    fill_many, fill_single = reversed(matching.fill) if swapped else matching.fill
    lookup: dict[Any, tuple[Labels, float]] = {}
    for element in single:
        key = matching.key(element[0])
        if key in lookup:
            side = "left" if swapped else "right"
            raise PromQLError(
                f"found duplicate series for the match group {matching.common(element[0])} on the {side} side of the operation: "
                f"[{lookup[key][0]}, {element[0]}]; many-to-many matching not allowed: matching labels must be unique on one side"
            )
        lookup[key] = element
    result: Vector = []
    seen: dict[Any, set[Any]] = {}

    def join(key: Any, labels: Labels, value: float, partner: Labels, other: float) -> None:
        a, b = (other, value) if swapped else (value, other)
        joined = _labels(labels, partner, matching, nameless)
        if not matching.many:
            if key in seen:
                raise PromQLError("multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)")
            seen[key] = set()
        else:
            group, name = seen.setdefault(key, set()), frozenset(joined.items())
            if name in group:
                raise PromQLError("multiple matches for labels: grouping labels must ensure unique matches")
            group.add(name)
        found = one(a, b)
        if found is not None:
            result.append((fading(joined) if fades else joined, found))

    for labels, value in many:
        key = matching.key(labels)
        partner = lookup.get(key)
        if partner is not None:
            join(key, labels, value, *partner)
        elif fill_single is not None:
            join(key, labels, value, matching.common(labels), fill_single)
    if fill_many is not None:
        for key, (labels, value) in lookup.items():
            if key not in seen:
                join(key, matching.common(labels), fill_many, labels, value)
    return result


def _labels(many: Labels, single: Labels, matching: Matching, nameless: bool) -> Labels:
    labels = bare(many) if nameless else dict(many)
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
