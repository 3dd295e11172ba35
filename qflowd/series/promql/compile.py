"""From a PromQL text to nested functions over a store. The parser is ``promql_parser``; the meaning is Prometheus's."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import promql_parser as ast

from qflowd.series.matcher import Matcher
from qflowd.series.promql.binary import Matching, operate
from qflowd.series.promql.functions import AGGREGATIONS, ELEMENTWISE, EXTRAPOLATED, OVER_TIME, extrapolated
from qflowd.series.promql.value import Labels, Node, PromQLError, RangeVector, Value, Vector, bare

if TYPE_CHECKING:
    from qflowd.series.store import SeriesStore

LENGTH, DEPTH, LOOKBACK = 8192, 100, 300_000
_STRING = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|`[^`]*`', re.S)
_OPS = {"MatchOp.Equal": "=", "MatchOp.NotEqual": "!=", "MatchOp.Re": "=~", "MatchOp.NotRe": "!~"}


class Query:
    """A compiled query. ``names`` are the series that it reads by name."""

    def __init__(self, text: str, node: Node, selectors: list[_Selector]) -> None:
        self.text = text
        self.names = {one.name for one in selectors if one.name is not None}
        self._node = node
        self._selectors = selectors

    def evaluate(self, store: SeriesStore, time: int) -> Value:
        """A scalar, or the elements of an instant vector, at ``time``. Raises PromQLError where matching is ambiguous."""
        return self._node(store, time)

    def has_input(self, store: SeriesStore, time: int) -> bool:
        """Whether any series that the query reads has a value. True for a query that reads none."""
        return not self._selectors or any(one.instant(store, time) for one in self._selectors)


class _Selector:
    def __init__(self, node: Any) -> None:
        if node.at is not None:
            raise PromQLError("the modifier @ is not supported")
        if node.matchers.or_matchers:
            raise PromQLError("or between matchers is not supported")
        self.name: str | None = node.name
        self.matchers: list[Matcher] = []
        for one in node.matchers.matchers:
            op = _OPS[str(one.op)]
            if one.name == "__name__" and op == "=" and self.name is None:
                self.name = one.value
            else:
                try:
                    self.matchers.append(Matcher(one.name, op, one.value))
                except (ValueError, re.error) as error:
                    raise PromQLError(f"the regular expression {one.value!r} is not supported: {error}") from None
        self.offset = _ms(node.offset) if node.offset is not None else 0

    def instant(self, store: SeriesStore, time: int) -> Vector:
        time -= self.offset
        found: Vector = []
        for series in store.select(self.name, self.matchers):
            value = series.at(time, LOOKBACK)
            if value is not None:
                found.append(({"__name__": series.name, **series.labels}, value))
        return found

    def window(self, store: SeriesStore, time: int, length: int) -> RangeVector:
        """Points in (time - length, time], series without any left out."""
        end = time - self.offset
        found: RangeVector = []
        for series in store.select(self.name, self.matchers):
            times, values = series.window(end - length, end)
            pairs = [(at, v) for at, v in zip(times, values, strict=True) if end - length < at <= end and v is not None]
            if pairs:
                found.append(({"__name__": series.name, **series.labels}, [at for at, _ in pairs], [v for _, v in pairs]))
        return found


def compile(text: str) -> Query:
    """Parse ``text``. Raises PromQLError saying what is wrong, or which construct is not supported."""
    if len(text) > LENGTH:
        raise PromQLError(f"the query is longer than {LENGTH} characters")
    # The parser descends by recursion: what is too deep must not reach it.
    depth = 0
    for character in _STRING.sub("", text):
        depth += (character in "([{") - (character in ")]}")
        if depth > DEPTH:
            raise PromQLError(f"the query is nested more than {DEPTH} levels deep")
    try:
        tree = ast.parse(text)
    except ValueError as error:
        raise PromQLError(str(error).strip()) from None
    compiler = _Compiler()
    return Query(text, compiler.node(tree, 0), compiler.selectors)


def _ms(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)


class _Compiler:
    def __init__(self) -> None:
        self.selectors: list[_Selector] = []

    def node(self, tree: Any, depth: int) -> Node:
        if depth > DEPTH:
            raise PromQLError(f"the query is nested more than {DEPTH} levels deep")
        kind = type(tree).__name__
        build = getattr(self, f"_{kind}", None)
        if build is None:
            what = {"SubqueryExpr": "a subquery", "StringLiteral": "a string as a value", "MatrixSelector": "a range as a result"}
            raise PromQLError(f"{what.get(kind, kind)} is not supported")
        node: Node = build(tree, depth + 1)
        return node

    def selector(self, tree: Any) -> _Selector:
        found = _Selector(tree)
        self.selectors.append(found)
        return found

    def _VectorSelector(self, tree: Any, depth: int) -> Node:
        return self.selector(tree).instant

    def _NumberLiteral(self, tree: Any, depth: int) -> Node:
        number = float(tree.val)
        return lambda store, time: number

    def _ParenExpr(self, tree: Any, depth: int) -> Node:
        return self.node(tree.expr, depth)

    def _UnaryExpr(self, tree: Any, depth: int) -> Node:
        return _each(self.node(tree.expr, depth), lambda value: -value)

    def _BinaryExpr(self, tree: Any, depth: int) -> Node:
        left, right = self.node(tree.lhs, depth), self.node(tree.rhs, depth)
        modifier, matching, return_bool = tree.modifier, Matching(), False
        if modifier is not None:
            return_bool = modifier.return_bool
            fill = modifier.fill_values
            if fill is not None and (fill.lhs is not None or fill.rhs is not None):
                raise PromQLError("the modifier fill is not supported")
            many = {"ManyToOne": "left", "OneToMany": "right"}.get(str(modifier.card).rpartition(".")[2], "")
            rule = modifier.matching
            matching = Matching(
                on=rule is not None and rule.type == ast.LabelModifierType.Include,
                labels=tuple(rule.labels) if rule is not None else (),
                many=many,
                include=tuple(modifier.group_labels or ()),
            )
        return operate(str(tree.op), left, right, matching, return_bool)

    def _AggregateExpr(self, tree: Any, depth: int) -> Node:
        name = str(tree.op)
        fold = AGGREGATIONS.get(name)
        if fold is None:
            raise PromQLError(f"the aggregation {name} is not supported")
        inner, modifier = self.node(tree.expr, depth), tree.modifier
        labels = frozenset(modifier.labels) if modifier is not None else frozenset()
        without = modifier is not None and modifier.type == ast.AggModifierType.Without

        def evaluate(store: Any, time: int) -> Value:
            groups: dict[Any, tuple[Labels, list[float]]] = {}
            vector = inner(store, time)
            assert isinstance(vector, list), "the parser lets only vectors through"
            for full, value in vector:
                if without:
                    kept = {key: text for key, text in full.items() if key != "__name__" and key not in labels}
                else:
                    kept = {key: text for key, text in full.items() if key in labels}
                groups.setdefault(frozenset(kept.items()), (kept, []))[1].append(value)
            return [(kept, float(fold(values))) for kept, values in groups.values()]

        return evaluate

    def _Call(self, tree: Any, depth: int) -> Node:
        name, args = tree.func.name, list(tree.args)
        if name == "time":
            return lambda store, time: time / 1000
        if name in OVER_TIME or name in EXTRAPOLATED:
            return self._over_range(name, args[0])
        if name in ELEMENTWISE:
            return _each(self.node(args[0], depth), ELEMENTWISE[name])
        if name == "vector":
            inner = self.node(args[0], depth)
            return lambda store, time: [({}, inner(store, time))]  # type: ignore[list-item]
        if name == "scalar":
            return _scalar(self.node(args[0], depth))
        if name == "absent":
            return self._absent(args[0], depth)
        if name in ("clamp", "clamp_min", "clamp_max"):
            return _clamp(name, self.node(args[0], depth), [self.node(one, depth) for one in args[1:]])
        raise PromQLError(f"the function {name} is not supported")

    def _over_range(self, name: str, tree: Any) -> Node:
        while isinstance(tree, ast.ParenExpr):
            tree = tree.expr
        if not isinstance(tree, ast.MatrixSelector):
            raise PromQLError("a subquery is not supported")
        selector, length = self.selector(tree.vector_selector), _ms(tree.range)
        fold = OVER_TIME.get(name)

        def evaluate(store: Any, time: int) -> Value:
            found: Vector = []
            end = time - selector.offset
            for labels, times, values in selector.window(store, time, length):
                value: float | None
                if fold is not None:
                    value = float(fold(values))
                else:
                    counter, per_second = EXTRAPOLATED[name]
                    value = extrapolated(times, values, end - length, end, counter=counter, per_second=per_second)
                if value is not None:
                    found.append((labels if name == "last_over_time" else bare(labels), value))
            return found

        return evaluate

    def _absent(self, tree: Any, depth: int) -> Node:
        inner = self.node(tree, depth)
        labels: Labels = {}
        if isinstance(tree, ast.VectorSelector):
            equal = [one for one in tree.matchers.matchers if _OPS[str(one.op)] == "=" and one.name != "__name__"]
            names = [one.name for one in tree.matchers.matchers]
            labels = {one.name: one.value for one in equal if names.count(one.name) == 1}
        return lambda store, time: [] if inner(store, time) else [(dict(labels), 1.0)]


def _each(inner: Node, apply: Any) -> Node:
    def evaluate(store: Any, time: int) -> Value:
        value = inner(store, time)
        return [(bare(labels), apply(one)) for labels, one in value] if isinstance(value, list) else apply(value)

    return evaluate


def _scalar(inner: Node) -> Node:
    def evaluate(store: Any, time: int) -> Value:
        vector = inner(store, time)
        return vector[0][1] if isinstance(vector, list) and len(vector) == 1 else math.nan

    return evaluate


def _clamp(name: str, inner: Node, limits: list[Node]) -> Node:
    def evaluate(store: Any, time: int) -> Value:
        bounds = [one(store, time) for one in limits]
        low = -math.inf if name == "clamp_max" else bounds[0]
        high = math.inf if name == "clamp_min" else bounds[-1]
        vector = inner(store, time)
        assert isinstance(vector, list) and isinstance(low, float) and isinstance(high, float), "checked by the parser"
        if low > high:
            return []
        if math.isnan(low) or math.isnan(high):
            return [(bare(labels), math.nan) for labels, _ in vector]
        return [(bare(labels), value if math.isnan(value) else max(low, min(high, value))) for labels, value in vector]

    return evaluate
