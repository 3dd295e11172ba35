"""The functions of PromQL: each name with what it is compiled to."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import promql_parser as ast

from qflowd.series.labels import fading
from qflowd.series.promql import calls
from qflowd.series.promql.elementwise import CALENDAR, ELEMENTWISE, calendar
from qflowd.series.promql.folds import quantile
from qflowd.series.promql.ranges import NAMED, OVER_TIME, RANGE, regression, smoothed
from qflowd.series.promql.run import Run
from qflowd.series.promql.selector import OPERATORS, inside
from qflowd.series.promql.value import Labels, Node, PromQLError, Range, Value, Vector, Windows


class Compiler(Protocol):
    """What a function needs of the compiler: its arguments, compiled."""

    def vectors(self, tree: Any) -> calls.Vectors: ...

    def scalars(self, tree: Any) -> calls.Scalars: ...

    def windows(self, tree: Any) -> Windows: ...

    def stamps(self, tree: Any) -> calls.Vectors: ...

    def node(self, tree: Any) -> Node: ...


Build = Callable[[Compiler, list[Any]], Node]


def _text(tree: Any) -> str:
    return str(inside(tree).val)


def _folded(name: str, fold: Callable[[list[float]], float]) -> Build:
    """A function of the values in a window."""
    named = name in NAMED

    def build(compiler: Compiler, args: list[Any]) -> Node:
        windows = compiler.windows(args[0])

        def evaluate(run: Run, time: int) -> Value:
            found = windows(run, time).windows
            if named:
                return [(one.labels, float(fold(one.values))) for one in found]
            return [(fading(one.labels), float(fold(one.values))) for one in found]

        return evaluate

    return build


def _over(windows: Windows, apply: Callable[[Run, int, Range, list[int], list[float]], float | None]) -> Node:
    """A function of all that there is about a window."""

    def evaluate(run: Run, time: int) -> Value:
        found: Vector = []
        span = windows(run, time)
        for labels, times, values in span.windows:
            value = apply(run, time, span, times, values)
            if value is not None:
                found.append((fading(labels), value))
        return found

    return evaluate


_COUNTERS = ("_total", "_sum", "_count", "_bucket")


def _ranged(name: str, apply: Callable[[list[int], list[float], int, int], float | None]) -> Build:
    def build(compiler: Compiler, args: list[Any]) -> Node:
        node = _over(compiler.windows(args[0]), lambda run, time, span, times, values: apply(times, values, span.start, span.end))
        if name not in ("rate", "increase"):
            return node

        def evaluate(run: Run, time: int) -> Value:
            found = node(run, time)
            assert isinstance(found, list), "a range function gives a vector"
            for labels, _ in found[:1]:
                metric = labels.get("__name__", "")
                if metric and not metric.endswith(_COUNTERS):
                    run.infos[f"{name} is for counters, and by its name (no _total, _sum, _count or _bucket) {metric} is none"] = None
            return found

        return evaluate

    return build


def _quantile_over_time(compiler: Compiler, args: list[Any]) -> Node:
    rank, windows = compiler.scalars(args[0]), compiler.windows(args[1])

    def apply(run: Run, time: int, span: Range, times: list[int], values: list[float]) -> float:
        q = rank(run, time)
        if not 0 <= q <= 1:
            run.warnings[f"a quantile has to lie between 0 and 1, got {q}"] = None
        return quantile(q, values)

    return _over(windows, apply)


def _predict_linear(compiler: Compiler, args: list[Any]) -> Node:
    windows, ahead = compiler.windows(args[0]), compiler.scalars(args[1])

    def apply(run: Run, time: int, span: Range, times: list[int], values: list[float]) -> float | None:
        line = regression(times, values, time)
        return None if line is None else line[0] * ahead(run, time) + line[1]

    return _over(windows, apply)


def _smoothing(compiler: Compiler, args: list[Any]) -> Node:
    windows, smoothing, trend = compiler.windows(args[0]), compiler.scalars(args[1]), compiler.scalars(args[2])
    return _over(windows, lambda run, time, span, times, values: smoothed(values, smoothing(run, time), trend(run, time)))


def _labels_of_absence(tree: Any) -> Labels:
    """What the matchers of a selector say about a series that is not there."""
    tree = inside(tree)
    selector = tree.vector_selector if isinstance(tree, ast.MatrixSelector) else tree
    if not isinstance(selector, ast.VectorSelector):
        return {}
    matchers = selector.matchers.matchers
    names = [one.name for one in matchers]
    equal = [one for one in matchers if OPERATORS[str(one.op)] == "=" and one.name != "__name__" and one.value]
    return {one.name: one.value for one in equal if names.count(one.name) == 1}


def _absent(compiler: Compiler, args: list[Any]) -> Node:
    inner, labels = compiler.vectors(args[0]), _labels_of_absence(args[0])
    return lambda run, time: [] if inner(run, time) else [(labels, 1.0)]


def _absent_over_time(compiler: Compiler, args: list[Any]) -> Node:
    windows, labels = compiler.windows(args[0]), _labels_of_absence(args[0])
    return lambda run, time: [] if windows(run, time).windows else [(labels, 1.0)]


def _elementwise(apply: Callable[[float], float]) -> Build:
    return lambda compiler, args: calls.each(compiler.node(args[0]), apply)


def _calendar(name: str) -> Build:
    part = calendar(name)

    def build(compiler: Compiler, args: list[Any]) -> Node:
        return calls.each(compiler.node(args[0]) if args else lambda run, time: [({}, time / 1000)], part)

    return build


def _timestamp(compiler: Compiler, args: list[Any]) -> Node:
    if isinstance(inside(args[0]), ast.VectorSelector):
        stamps = compiler.stamps(inside(args[0]))
        return lambda run, time: [(fading(labels), stamp) for labels, stamp in stamps(run, time)]
    inner = compiler.vectors(args[0])
    return lambda run, time: [(fading(labels), time / 1000) for labels, _ in inner(run, time)]


def _constant(value: float) -> calls.Scalars:
    return lambda run, time: value


def _vector(compiler: Compiler, args: list[Any]) -> Node:
    inner = compiler.scalars(args[0])
    return lambda run, time: [({}, inner(run, time))]


def _of_two(choose: Callable[[float, float], float]) -> Build:
    def build(compiler: Compiler, args: list[Any]) -> Node:
        a, b = compiler.scalars(args[0]), compiler.scalars(args[1])
        return lambda run, time: choose(a(run, time), b(run, time))

    return build


def _relabelling(compiler: Compiler, args: list[Any]) -> Node:
    return calls.label_replace(compiler.vectors(args[0]), *[_text(one) for one in args[1:5]])


def _joining(compiler: Compiler, args: list[Any]) -> Node:
    return calls.label_join(compiler.vectors(args[0]), _text(args[1]), _text(args[2]), [_text(one) for one in args[3:]])


FUNCTIONS: dict[str, Build] = {
    **{name: _folded(name, fold) for name, fold in OVER_TIME.items()},
    **{name: _ranged(name, apply) for name, apply in RANGE.items()},
    **{name: _elementwise(apply) for name, apply in ELEMENTWISE.items()},
    **{name: _calendar(name) for name in CALENDAR},
    "absent": _absent,
    "absent_over_time": _absent_over_time,
    "clamp": lambda compiler, args: calls.clamp(compiler.vectors(args[0]), compiler.scalars(args[1]), compiler.scalars(args[2])),
    "clamp_max": lambda compiler, args: calls.clamp(compiler.vectors(args[0]), _constant(-math.inf), compiler.scalars(args[1])),
    "clamp_min": lambda compiler, args: calls.clamp(compiler.vectors(args[0]), compiler.scalars(args[1]), _constant(math.inf)),
    "double_exponential_smoothing": _smoothing,
    "end": lambda compiler, args: lambda run, time: run.end / 1000,
    "label_join": _joining,
    "label_replace": _relabelling,
    "max_of": _of_two(calls.greater),
    "min_of": _of_two(calls.smaller),
    "pi": lambda compiler, args: _constant(math.pi),
    "predict_linear": _predict_linear,
    "quantile_over_time": _quantile_over_time,
    "range": lambda compiler, args: lambda run, time: (run.end - run.start) / 1000,
    "round": lambda compiler, args: calls.rounded(
        compiler.vectors(args[0]), compiler.scalars(args[1]) if len(args) > 1 else _constant(1.0)
    ),
    "scalar": lambda compiler, args: calls.scalar(compiler.vectors(args[0])),
    "sort": lambda compiler, args: calls.by_value(compiler.vectors(args[0]), descending=False),
    "sort_by_label": lambda compiler, args: calls.by_label(compiler.vectors(args[0]), [_text(one) for one in args[1:]], descending=False),
    "sort_by_label_desc": lambda compiler, args: calls.by_label(
        compiler.vectors(args[0]), [_text(one) for one in args[1:]], descending=True
    ),
    "sort_desc": lambda compiler, args: calls.by_value(compiler.vectors(args[0]), descending=True),
    "start": lambda compiler, args: lambda run, time: run.start / 1000,
    "step": lambda compiler, args: lambda run, time: run.step / 1000,
    "time": lambda compiler, args: lambda run, time: time / 1000,
    "timestamp": _timestamp,
    "vector": _vector,
}  # fmt: skip
STEADY = frozenset((
    *ELEMENTWISE, "absent", "clamp", "clamp_max", "clamp_min", "label_join", "label_replace", "max_of", "min_of", "pi", "round", "scalar",
    "sort", "sort_by_label", "sort_by_label_desc", "sort_desc", "vector",
))  # fmt: skip
"""Functions whose value follows from the values of their arguments alone."""


def build(name: str, compiler: Compiler, args: list[Any]) -> Node:
    """The compiled call. Raises PromQLError where the function is not supported."""
    found = FUNCTIONS.get(name)
    if found is None:
        raise PromQLError(f"the function {name} is not supported")
    return found(compiler, args)
