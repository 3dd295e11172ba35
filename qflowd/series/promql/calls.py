"""Functions that change values, labels or order of instant vectors."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from qflowd.patterns import Pattern, PatternError, filled
from qflowd.series.labels import Fading, fading
from qflowd.series.promql.aggregate import ordered
from qflowd.series.promql.run import Run
from qflowd.series.promql.value import Labels, Node, PromQLError, Value, Vector

Vectors = Callable[[Run, int], Vector]
Scalars = Callable[[Run, int], float]
_NUMBERS = re.compile(r"(\d+)")


def vectors(node: Node) -> Vectors:
    """A node that the parser knows to be a vector."""

    def evaluate(run: Run, time: int) -> Vector:
        value = node(run, time)
        assert isinstance(value, list), "the parser lets only vectors through"
        return value

    return evaluate


def scalars(node: Node) -> Scalars:
    """A node that the parser knows to be a scalar."""

    def evaluate(run: Run, time: int) -> float:
        value = node(run, time)
        assert not isinstance(value, list), "the parser lets only scalars through"
        return float(value)

    return evaluate


def each(inner: Node, apply: Callable[[float], float]) -> Node:
    """``apply`` to every value; names are dropped."""

    def evaluate(run: Run, time: int) -> Value:
        value = inner(run, time)
        return [(fading(labels), apply(one)) for labels, one in value] if isinstance(value, list) else apply(value)

    return evaluate


def scalar(inner: Vectors) -> Node:
    """The value of the only element, else NaN."""

    def evaluate(run: Run, time: int) -> Value:
        vector = inner(run, time)
        return vector[0][1] if len(vector) == 1 else math.nan

    return evaluate


def greater(a: float, b: float) -> float:
    """Go's ``math.Max``: NaN where either is."""
    return math.nan if a != a or b != b else max(a, b)


def smaller(a: float, b: float) -> float:
    """Go's ``math.Min``: NaN where either is."""
    return math.nan if a != a or b != b else min(a, b)


def clamp(inner: Vectors, low: Scalars, high: Scalars) -> Node:
    """``clamp``, ``clamp_min`` and ``clamp_max``."""

    def evaluate(run: Run, time: int) -> Value:
        least, greatest, vector = low(run, time), high(run, time), inner(run, time)
        if least > greatest:
            return []
        return [(fading(labels), greater(least, smaller(greatest, value))) for labels, value in vector]

    return evaluate


def rounded(inner: Vectors, to: Scalars) -> Node:
    """To the nearest multiple; halves go up."""

    def evaluate(run: Run, time: int) -> Value:
        nearest = to(run, time)
        inverse = 1 / nearest if nearest else math.copysign(math.inf, nearest)

        def one(value: float) -> float:
            scaled = value * inverse + 0.5
            whole = float(math.floor(scaled)) if math.isfinite(scaled) else scaled
            return whole / inverse if inverse else math.copysign(math.inf, whole) if whole else math.nan

        return [(fading(labels), one(value)) for labels, value in inner(run, time)]

    return evaluate


def _relabelled(labels: Labels, target: str, text: str) -> Labels:
    """``labels`` with ``target`` set; an empty text removes it. A name that is set stays."""
    made = {name: own for name, own in labels.items() if name != target}
    if text:
        made[target] = text
    return Fading(made) if type(labels) is Fading and target != "__name__" else made


def label_name(function: str, name: str) -> str:
    """``name``. Raises PromQLError where no label can be called that."""
    if not name or not name.isprintable():
        raise PromQLError(f"{function}: {name!r} is not the name of a label")
    return name


def label_replace(inner: Vectors, target: str, replacement: str, source: str, expression: str) -> Node:
    """Prometheus's ``label_replace``: the expression is anchored; an empty result removes the label."""
    label_name("label_replace", target)
    try:
        pattern = Pattern(expression, dotall=True)
    except PatternError as error:
        raise PromQLError(f"label_replace: {error}") from None

    def change(labels: Labels) -> Labels:
        try:
            hit = pattern.whole(labels.get(source, ""))
        except PatternError as error:
            raise PromQLError(f"label_replace: {error}") from None
        return labels if hit is None else _relabelled(labels, target, filled(replacement, hit))

    return _relabel("label_replace", inner, change)


def label_join(inner: Vectors, target: str, separator: str, sources: Sequence[str]) -> Node:
    """Prometheus's ``label_join``."""
    for name in (target, *sources):
        label_name("label_join", name)
    return _relabel(
        "label_join", inner, lambda labels: _relabelled(labels, target, separator.join([labels.get(name, "") for name in sources]))
    )


def _relabel(function: str, inner: Vectors, change: Callable[[Labels], Labels]) -> Node:
    def evaluate(run: Run, time: int) -> Value:
        found: Vector = []
        seen: set[Any] = set()
        for full, value in inner(run, time):
            labels = change(full)
            key = frozenset(labels.items())
            if key in seen:
                raise PromQLError(f"{function}: several series would have the same labels")
            seen.add(key)
            found.append((labels, value))
        return found

    return evaluate


def by_value(inner: Vectors, *, descending: bool) -> Node:
    """``sort`` and ``sort_desc``."""

    def evaluate(run: Run, time: int) -> Value:
        _warn_of_order(run)
        return ordered(inner(run, time), descending=descending)

    return evaluate


def by_label(inner: Vectors, names: Sequence[str], *, descending: bool) -> Node:
    """``sort_by_label`` and ``sort_by_label_desc``: numbers within a value count as numbers; then by all labels."""

    def key(element: tuple[Labels, float]) -> Any:
        labels = element[0]
        return [_natural(labels.get(name, "")) for name in names], sorted(labels.items())

    def evaluate(run: Run, time: int) -> Value:
        _warn_of_order(run)
        return sorted(inner(run, time), key=key, reverse=descending)

    return evaluate


def _natural(text: str) -> list[tuple[int, int, str]]:
    return [(0, int(part), part) if part.isdecimal() and len(part) < 20 else (1, 0, part) for part in _NUMBERS.split(text) if part]


def _warn_of_order(run: Run) -> None:
    if run.step:
        run.warnings["sorting has no effect on the answer to a range query, whose series come in the order of their labels"] = None
