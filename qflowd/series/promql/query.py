"""A compiled query, and what may be asked of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qflowd.series.labels import Labels, faded
from qflowd.series.promql.binary import Matching, combine
from qflowd.series.promql.folds import greatest, least
from qflowd.series.promql.inputs import Inputs
from qflowd.series.promql.run import Run, Source
from qflowd.series.promql.value import Node, PromQLError, Value, Vector, Window, Windows


class Query:
    """A compiled query. ``kind``: scalar, vector, matrix or string; ``inputs``: what its value depends on; ``string``: the
    value of a string."""

    def __init__(
        self,
        text: str,
        kind: str,
        depends: Inputs,
        *,
        node: Node | None = None,
        comparison: Comparison | None = None,
        windows: Windows | None = None,
        string: str = "",
    ) -> None:
        self.text, self.kind, self.inputs, self.string = text, kind, depends, string
        self._node, self._comparison, self._windows = node, comparison, windows

    def evaluate(self, source: Source, time: int) -> Value:
        """A scalar, or the elements of an instant vector, at ``time`` over the series of ``source``. Raises PromQLError where matching is
        ambiguous, or the query costs too much."""
        return self.instant(Run(source, time, time), time)

    def instant(self, run: Run, time: int) -> Value:
        """``evaluate`` within a run."""
        return finished(self.raw(run, time))

    def raw(self, run: Run, time: int) -> Value:
        """``instant``, with the names that are on their way out; ``faded`` takes them."""
        assert self._node is not None, "a scalar or a vector has one"
        return self._node(run, time)

    def matrix(self, run: Run, time: int) -> list[Window]:
        """The windows of a query for a range."""
        assert self._windows is not None, "a matrix has them"
        return [Window(faded(one.labels), one.times, one.values) for one in self._windows(run, time).windows]

    def watch(self, source: Source, time: int) -> tuple[Value, float | None]:
        """``evaluate``, and for a query ``vector > scalar`` the value of its left side, whether or not the comparison
        holds: of several the one that is nearest to it. ``None`` for every other query."""
        run = Run(source, time, time)
        if self._comparison is None:
            return self.instant(run, time), None
        value, watched = self._comparison(run, time)
        return finished(value), watched

    def has_input(self, source: Source, time: int) -> bool:
        """Whether any series that the query reads has a value. True for a query that reads none."""
        reads = self.inputs.reads
        return not reads or any(one.any(source, time) for one in reads)


class Comparison:
    """The outermost comparison of a query."""

    def __init__(self, symbol: str, left: Node, right: Node, matching: Matching) -> None:
        self.symbol, self.left, self.right = symbol, left, right
        self.apply: Callable[[Value, Value], Value] = combine(symbol, matching, False)

    def __call__(self, run: Run, time: int) -> tuple[Value, float | None]:
        a, b = self.left(run, time), self.right(run, time)
        result = self.apply(a, b)
        if not isinstance(a, list) or isinstance(b, list) or not a:
            return result, None
        if self.symbol in (">", ">="):
            return result, greatest([value for _, value in a])
        if self.symbol in ("<", "<="):
            return result, least([value for _, value in a])
        return result, (result if isinstance(result, list) and result else a)[0][1]


def finished(value: Value) -> Value:
    """A value at the end of its query: names that were to go are gone. Raises PromQLError where elements have the same labels."""
    if not isinstance(value, list) or all([type(labels) is Labels for labels, _ in value]):
        return value
    result: Vector = [(faded(labels), one) for labels, one in value]
    if len(result) > 1:
        seen: set[Any] = set()
        for labels, _ in result:
            key = frozenset(labels.items())
            if key in seen:
                raise PromQLError(f"the result has several elements with the labels {labels}")
            seen.add(key)
    return result
