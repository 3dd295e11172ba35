"""From a PromQL text to nested functions of a run and a time. The parser is ``promql_parser``; the meaning is Prometheus's."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import promql_parser as ast

from qflowd.series.promql import calls
from qflowd.series.promql.aggregate import CHOOSING, SUPPORTED, Grouping, aggregate, aggregate_quantile, choose, count_values
from qflowd.series.promql.binary import COMPARISONS, Matching, operate
from qflowd.series.promql.functions import build
from qflowd.series.promql.inputs import inputs, kind
from qflowd.series.promql.query import Comparison, Query
from qflowd.series.promql.selector import Moment, Selector, inside, milliseconds, subquery
from qflowd.series.promql.value import Node, PromQLError, Windows

LENGTH, DEPTH, OPERATIONS = 8192, 100, 400
STEPS = 11_000
"""Evaluations of one subquery."""
SUBQUERY_STEP = 60_000
"""Between the evaluations of a subquery that names no step, as Prometheus has it by default."""
_OPERATION = re.compile(r"[-+*/%^<>]|[=!]=|\b(?:and|or|unless|atan2)\b", re.I)
_STRING = re.compile(r'#[^\n]*|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|`[^`]*`', re.S)
_BEFORE_EPOCH = re.compile(r"@[\s+]*-")
_KINDS = {"matrix": "a range as a result", "string": "a string as a value"}


def compile(text: str, *, whole: bool = False) -> Query:
    """Parse ``text``. ``whole``: its result may be a range or a string too. Raises PromQLError saying what is wrong, or which construct is
    not supported."""
    tree = _parse(text)
    result = kind(tree)
    if result in _KINDS and not whole:
        raise PromQLError(f"{_KINDS[result]} is not supported here")
    compiler = _Compiler()
    if result == "string":
        return Query(text, result, inputs(tree, ()), string=str(inside(tree).val))
    if result == "matrix":
        windows = compiler.windows(tree)
        return Query(text, result, inputs(tree, compiler.selectors), windows=windows)
    node = compiler.node(tree)
    return Query(text, result, inputs(tree, compiler.selectors), node=node, comparison=compiler.outermost)


def _parse(text: str) -> Any:
    if len(text) > LENGTH:
        raise PromQLError(f"the query is longer than {LENGTH} characters")
    # The parser descends by recursion: what is too deep must not reach it.
    depth, outside = 0, _STRING.sub("", text)
    for character in outside:
        depth += (character in "([{") - (character in ")]}")
        if depth > DEPTH:
            raise PromQLError(f"the query is nested more than {DEPTH} levels deep")
    # Its time grows with the square of the length of a chain.
    if len(_OPERATION.findall(outside)) > OPERATIONS:
        raise PromQLError(f"the query has more than {OPERATIONS} operators")
    if _BEFORE_EPOCH.search(outside):
        # The parser panics where its time is read.
        raise PromQLError("a time before 1970 after @ is not supported")
    try:
        return ast.parse(text)
    except (ValueError, OverflowError) as error:
        raise PromQLError(str(error).strip()) from None


class _Compiler:
    """Compiles one query. ``outermost``: the comparison that the whole of it is."""

    def __init__(self) -> None:
        self.selectors: list[Selector] = []
        self.outermost: Comparison | None = None
        self._depth = 0

    def node(self, tree: Any) -> Node:
        self._depth += 1
        if self._depth > DEPTH:
            raise PromQLError(f"the query is nested more than {DEPTH} levels deep")
        tree = inside(tree)
        make: Callable[[Any], Node] | None = getattr(self, f"_{type(tree).__name__}", None)
        if make is None:
            raise PromQLError(f"{_KINDS.get(kind(tree), type(tree).__name__)} is not supported here")
        found = make(tree)
        # The outermost node is built last: what an inner one has set does not stay.
        if not isinstance(tree, ast.BinaryExpr):
            self.outermost = None
        self._depth -= 1
        return found

    def vectors(self, tree: Any) -> calls.Vectors:
        return calls.vectors(self.node(tree))

    def scalars(self, tree: Any) -> calls.Scalars:
        return calls.scalars(self.node(tree))

    def stamps(self, tree: Any) -> calls.Vectors:
        return self.selector(tree).stamps

    def windows(self, tree: Any) -> Windows:
        tree = inside(tree)
        if isinstance(tree, ast.MatrixSelector):
            return self.selector(tree.vector_selector).windows(milliseconds(tree.range))
        inner = self.node(tree.expr)
        length = milliseconds(tree.range)
        step = milliseconds(tree.step) if tree.step is not None else SUBQUERY_STEP
        if step <= 0 or length // step > STEPS:
            raise PromQLError(f"a subquery of more than {STEPS} steps is not supported: choose a longer step")
        return subquery(inner, _moment(tree), length, step)

    def selector(self, tree: Any) -> Selector:
        found = Selector(tree, _moment(tree))
        self.selectors.append(found)
        return found

    def _VectorSelector(self, tree: Any) -> Node:
        return self.selector(tree).instant

    def _NumberLiteral(self, tree: Any) -> Node:
        number = float(tree.val)
        return lambda run, time: number

    def _UnaryExpr(self, tree: Any) -> Node:
        return calls.each(self.node(tree.expr), lambda value: -value)

    def _BinaryExpr(self, tree: Any) -> Node:
        left, right = self.node(tree.lhs), self.node(tree.rhs)
        modifier, matching, return_bool = tree.modifier, Matching(), False
        if modifier is not None:
            return_bool, rule, fill = modifier.return_bool, modifier.matching, modifier.fill_values
            matching = Matching(
                on=rule is not None and rule.type == ast.LabelModifierType.Include,
                labels=tuple(rule.labels) if rule is not None else (),
                many={"ManyToOne": "left", "OneToMany": "right"}.get(str(modifier.card).rpartition(".")[2], ""),
                include=tuple(modifier.group_labels or ()),
                fill=(fill.lhs, fill.rhs) if fill is not None else (None, None),
            )
        symbol = str(tree.op)
        self.outermost = Comparison(symbol, left, right, matching) if symbol in COMPARISONS and not return_bool else None
        return operate(symbol, left, right, matching, return_bool)

    def _AggregateExpr(self, tree: Any) -> Node:
        name, modifier = str(tree.op), tree.modifier
        if name not in SUPPORTED:
            raise PromQLError(f"the aggregation {name} is not supported")
        grouping = Grouping(
            frozenset(modifier.labels) if modifier is not None else frozenset(),
            modifier is not None and modifier.type == ast.AggModifierType.Without,
        )
        inner = self.vectors(tree.expr)
        if name == "count_values":
            return count_values(inner, grouping, calls.label_name(name, str(inside(tree.param).val)))
        if name == "quantile":
            return aggregate_quantile(inner, grouping, self.scalars(tree.param))
        if name in CHOOSING:
            return choose(name, inner, grouping, self.scalars(tree.param))
        return aggregate(name, inner, grouping)

    def _Call(self, tree: Any) -> Node:
        return build(tree.func.name, self, list(tree.args))


def _moment(tree: Any) -> Moment:
    try:
        return Moment(tree.at, tree.offset)
    except (ValueError, OverflowError):
        raise PromQLError("a time of @ or offset is too far away") from None
