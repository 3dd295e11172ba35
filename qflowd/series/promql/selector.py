"""Selectors: which series a query reads, and their points."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import promql_parser as ast

from qflowd.series.matcher import Matcher
from qflowd.series.promql.value import PromQLError, RangeVector, Vector

if TYPE_CHECKING:
    from qflowd.series.store import SeriesStore

OPERATORS = {"MatchOp.Equal": "=", "MatchOp.NotEqual": "!=", "MatchOp.Re": "=~", "MatchOp.NotRe": "!~"}


def inside(tree: Any) -> Any:
    """What stands within parentheses, however many."""
    while isinstance(tree, ast.ParenExpr):
        tree = tree.expr
    return tree


def milliseconds(duration: timedelta) -> int:
    """The duration as PromQL counts it."""
    return duration // timedelta(milliseconds=1)


class Selector:
    """A name with matchers and an offset."""

    def __init__(self, node: Any) -> None:
        if node.at is not None:
            raise PromQLError("the modifier @ is not supported")
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
        self.offset = milliseconds(node.offset) if node.offset is not None else 0

    def instant(self, store: SeriesStore, time: int) -> Vector:
        """The newest point of each series."""
        time -= self.offset
        found: Vector = []
        for series in store.select(self.name, self.matchers):
            value = series.at(time)
            if value is not None:
                found.append(({"__name__": series.name, **series.labels}, value))
        return found

    def any(self, store: SeriesStore, time: int) -> bool:
        """Whether ``instant`` would find something."""
        time -= self.offset
        return any(series.at(time) is not None for series in store.select(self.name, self.matchers))

    def window(self, store: SeriesStore, time: int, length: int) -> RangeVector:
        """Points in (time - length, time], series without any left out."""
        end = time - self.offset
        found: RangeVector = []
        for series in store.select(self.name, self.matchers):
            times, values = series.window(end - length, end)
            if times:
                found.append(({"__name__": series.name, **series.labels}, times, values))
        return found
