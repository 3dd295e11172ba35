"""Selectors: which series a query reads, and their points."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import promql_parser as ast

from qflowd.series.matcher import Matcher
from qflowd.series.promql.run import Run, Source
from qflowd.series.promql.value import PromQLError, Range, Vector, Window, Windows

OPERATORS = {"MatchOp.Equal": "=", "MatchOp.NotEqual": "!=", "MatchOp.Re": "=~", "MatchOp.NotRe": "!~"}
_EPOCH = datetime.fromtimestamp(0, UTC)


def inside(tree: Any) -> Any:
    """What stands within parentheses, however many."""
    while isinstance(tree, ast.ParenExpr):
        tree = tree.expr
    return tree


def milliseconds(duration: timedelta) -> int:
    """The duration as PromQL counts it."""
    return duration // timedelta(milliseconds=1)


class Moment:
    """The modifiers ``@`` and ``offset``: the time at which something is read, for a time of evaluation."""

    __slots__ = ("fixed", "offset")

    def __init__(self, at: Any, offset: timedelta | None) -> None:
        self.offset = milliseconds(offset) if offset is not None else 0
        self.fixed: int | str | None = None
        if at is not None:
            kind = str(at.type).rpartition(".")[2]
            self.fixed = {"Start": "start", "End": "end"}.get(kind) or round((at.at - _EPOCH) / timedelta(milliseconds=1))

    def __bool__(self) -> bool:
        return self.fixed is not None or self.offset != 0

    def of(self, run: Run, time: int) -> int:
        fixed = self.fixed
        if fixed is not None:
            time = fixed if isinstance(fixed, int) else run.start if fixed == "start" else run.end
        return time - self.offset


class Selector:
    """A name with matchers and the time at which it is read."""

    def __init__(self, node: Any, moment: Moment) -> None:
        if node.matchers.or_matchers:
            raise PromQLError("or between matchers is not supported")
        self.name: str | None = node.name
        self.matchers: list[Matcher] = []
        for one in node.matchers.matchers:
            op = OPERATORS[str(one.op)]
            if one.name == "__name__" and op == "=" and self.name is None:
                self.name = one.value
            else:
                try:
                    self.matchers.append(Matcher(one.name, op, one.value))
                except ValueError as error:
                    raise PromQLError(f"the matcher of {one.name}: {error}") from None
        self.moment = moment
        self._moves = bool(moment)

    def instant(self, run: Run, time: int) -> Vector:
        """The newest point of each series."""
        if self._moves:
            time = self.moment.of(run, time)
        found: Vector = []
        selected = run.select(self)
        for series in selected:
            value = series.at(time)
            if value is not None:
                found.append((series.full, value))
        run.charge(len(selected))
        return found

    def stamps(self, run: Run, time: int) -> Vector:
        """The time of the newest point of each series, in seconds."""
        time = self.moment.of(run, time)
        selected = run.select(self)
        run.charge(len(selected))
        return [(series.full, last[0] / 1000) for series in selected if (last := series.last(time)) is not None]

    def any(self, source: Source, time: int) -> bool:
        """Whether ``instant`` would find something in ``source``."""
        run = Run(source, time, time)
        time = self.moment.of(run, time)
        return any(series.at(time) is not None for series in run.select(self))

    def windows(self, length: int) -> Windows:
        """The points of the ``length`` ms before; series without any are left out."""

        def evaluate(run: Run, time: int) -> Range:
            end = self.moment.of(run, time) if self._moves else time
            start = end - length
            found: list[Window] = []
            for series in run.select(self):
                times, values = series.window(start, end)
                run.charge(len(times) + 1)
                if times:
                    found.append(Window(series.full, times, values))
            return Range(start, end, found)

        return evaluate


class Rows:
    """Points of vectors that follow each other in time, put together by their labels. Raises PromQLError for the same labels twice
    at one time."""

    __slots__ = ("_by_labels", "_by_object", "rows")

    def __init__(self) -> None:
        self.rows: list[Window] = []
        self._by_labels: dict[frozenset[tuple[str, str]], Window] = {}
        self._by_object: dict[int, Window] = {}

    def add(self, time: int, value: float | Vector) -> None:
        for labels, one in value if isinstance(value, list) else [({}, value)]:
            # A row holds on to its labels, so that no other object can have their id.
            row = self._by_object.get(id(labels))
            if row is None:
                key = frozenset(labels.items())
                row = self._by_labels.get(key)
                if row is None:
                    row = self._by_labels[key] = self._by_object[id(labels)] = Window(labels, [], [])
                    self.rows.append(row)
            if row.times and row.times[-1] == time:
                raise PromQLError(f"the result has several elements with the labels {labels}")
            row.times.append(time)
            row.values.append(one)


def subquery(inner: Callable[[Run, int], float | Vector], moment: Moment, length: int, step: int) -> Windows:
    """The windows of an expression evaluated at each multiple of ``step`` within the ``length`` ms before."""

    def evaluate(run: Run, time: int) -> Range:
        end = moment.of(run, time)
        start = end - length
        rows = Rows()
        for at in range((start // step + 1) * step, end + 1, step):
            value = inner(run, at)
            run.charge(len(value) + 1 if isinstance(value, list) else 1)
            rows.add(at, value)
        return Range(start, end, rows.rows)

    return evaluate
