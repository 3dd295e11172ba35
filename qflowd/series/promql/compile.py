"""From a PromQL text to nested functions over a store. The parser is ``promql_parser``; the meaning is Prometheus's."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import promql_parser as ast

from qflowd.series.promql import calls
from qflowd.series.promql.aggregate import WITH_SCALAR, aggregate, ordered
from qflowd.series.promql.binary import COMPARISONS, Matching, combine, operate
from qflowd.series.promql.functions import ELEMENTWISE, OVER_TIME, RANGE, greatest, least, quantile, regression
from qflowd.series.promql.inputs import Inputs, inputs
from qflowd.series.promql.selector import OPERATORS, Selector, inside, milliseconds
from qflowd.series.promql.value import Labels, Node, PromQLError, Value, Vector, bare

if TYPE_CHECKING:
    from qflowd.series.store import SeriesStore

LENGTH, DEPTH, OPERATIONS = 8192, 100, 400
_OPERATION = re.compile(r"[-+*/%^<>]|[=!]=|\b(?:and|or|unless|atan2)\b", re.I)
_STRING = re.compile(r'#[^\n]*|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|`[^`]*`', re.S)
_OTHERS = (
    "time quantile_over_time predict_linear absent_over_time label_replace vector scalar absent round sort sort_desc clamp "
    "clamp_min clamp_max"
)
_FUNCTIONS = frozenset((*OVER_TIME, *RANGE, *ELEMENTWISE, *calls.CALENDAR, *_OTHERS.split()))
_NAMES = {"SubqueryExpr": "a subquery", "StringLiteral": "a string as a value", "MatrixSelector": "a range as a result"}


class Query:
    """A compiled query. ``inputs``: what its value depends on."""

    def __init__(self, text: str, node: Node, depends: Inputs, comparison: _Comparison | None) -> None:
        self.text = text
        self.inputs = depends
        self._node = node
        self._comparison = comparison

    def evaluate(self, store: SeriesStore, time: int) -> Value:
        """A scalar, or the elements of an instant vector, at ``time``. Raises PromQLError where matching is ambiguous."""
        return self._node(store, time)

    def watch(self, store: SeriesStore, time: int) -> tuple[Value, float | None]:
        """``evaluate``, and for a query ``vector > scalar`` the value of its left side, whether or not the comparison
        holds: of several the one that is nearest to it. ``None`` for every other query."""
        return self._comparison(store, time) if self._comparison is not None else (self._node(store, time), None)

    def has_input(self, store: SeriesStore, time: int) -> bool:
        """Whether any series that the query reads has a value. True for a query that reads none."""
        reads = self.inputs.reads
        return not reads or any(one.any(store, time) for one in reads)


class _Comparison:
    """The outermost comparison of a query."""

    def __init__(self, symbol: str, left: Node, right: Node, matching: Matching) -> None:
        self.symbol, self.left, self.right = symbol, left, right
        self.apply = combine(symbol, matching, False)

    def __call__(self, store: SeriesStore, time: int) -> tuple[Value, float | None]:
        a, b = self.left(store, time), self.right(store, time)
        result = self.apply(a, b)
        if not isinstance(a, list) or isinstance(b, list) or not a:
            return result, None
        if self.symbol in (">", ">="):
            return result, greatest([value for _, value in a])
        if self.symbol in ("<", "<="):
            return result, least([value for _, value in a])
        return result, (result if isinstance(result, list) and result else a)[0][1]


def compile(text: str) -> Query:
    """Parse ``text``. Raises PromQLError saying what is wrong, or which construct is not supported."""
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
    try:
        tree = ast.parse(text)
    except (ValueError, OverflowError) as error:
        raise PromQLError(str(error).strip()) from None
    compiler = _Compiler()
    node = compiler.node(tree, 0)
    return Query(text, node, inputs(tree, compiler.selectors), compiler.outermost)


class _Compiler:
    def __init__(self) -> None:
        self.selectors: list[Selector] = []
        self.outermost: _Comparison | None = None

    def node(self, tree: Any, depth: int) -> Node:
        if depth > DEPTH:
            raise PromQLError(f"the query is nested more than {DEPTH} levels deep")
        kind = type(tree).__name__
        build = getattr(self, f"_{kind}", None)
        if build is None:
            raise PromQLError(f"{_NAMES.get(kind, kind)} is not supported")
        node: Node = build(tree, depth + 1)
        return node

    def selector(self, tree: Any) -> Selector:
        found = Selector(tree)
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
        node = calls.each(self.node(tree.expr, depth), lambda value: -value)
        self.outermost = None
        return node

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
        symbol = str(tree.op)
        # The outermost node is built last: what is set here by an inner one does not stay.
        self.outermost = _Comparison(symbol, left, right, matching) if symbol in COMPARISONS and not return_bool else None
        return operate(symbol, left, right, matching, return_bool)

    def _AggregateExpr(self, tree: Any, depth: int) -> Node:
        name, modifier = str(tree.op), tree.modifier
        labels = frozenset(modifier.labels) if modifier is not None else frozenset()
        without = modifier is not None and modifier.type == ast.AggModifierType.Without
        scalar = self.node(tree.param, depth) if name in WITH_SCALAR else None
        value_label = str(inside(tree.param).val) if name == "count_values" else None
        node = aggregate(name, self.node(tree.expr, depth), labels, without, scalar, value_label)
        self.outermost = None
        return node

    def _Call(self, tree: Any, depth: int) -> Node:
        node = self._call(tree.func.name, list(tree.args), depth)
        self.outermost = None
        return node

    def _call(self, name: str, args: list[Any], depth: int) -> Node:
        if name not in _FUNCTIONS:
            raise PromQLError(f"the function {name} is not supported")
        if name == "time":
            return lambda store, time: time / 1000
        if name in OVER_TIME:
            fold = OVER_TIME[name]
            return self._over_range(args[0], lambda times, values, *_: float(fold(values)), keep=name == "last_over_time")
        if name in RANGE:
            apply = RANGE[name]
            return self._over_range(args[0], lambda times, values, start, end, *_: apply(times, values, start, end))
        if name == "quantile_over_time":
            scalar = self.node(args[0], depth)
            return self._over_range(args[1], lambda times, values, start, end, time, q: quantile(q, values), scalar)
        if name == "predict_linear":
            return self._over_range(args[0], _predict, self.node(args[1], depth))
        if name == "absent_over_time":
            inner = self._over_range(args[0], lambda *_: 1.0)
            return _absent(inner, inside(args[0]).vector_selector)
        if name == "label_replace":
            texts = [str(inside(one).val) for one in args[1:]]
            return calls.label_replace(self.node(args[0], depth), texts[0], texts[1], texts[2], texts[3])
        nodes = [self.node(one, depth) for one in args]
        if name in ELEMENTWISE:
            return calls.each(nodes[0], ELEMENTWISE[name])
        if name in calls.CALENDAR:
            return calls.each(nodes[0] if nodes else lambda store, time: [({}, time / 1000)], calls.calendar(name))
        if name == "vector":
            return lambda store, time: [({}, calls.number(nodes[0], store, time))]
        if name == "scalar":
            return calls.scalar(nodes[0])
        if name == "absent":
            return _absent(nodes[0], args[0])
        if name == "round":
            return calls.rounded(nodes[0], nodes[1] if len(nodes) > 1 else None)
        if name in ("sort", "sort_desc"):
            return lambda store, time: ordered(calls.elements(nodes[0], store, time), descending=name == "sort_desc")
        return calls.clamp(name, nodes[0], nodes[1:])

    def _over_range(
        self, tree: Any, apply: Callable[..., float | None], scalar: Node | None = None, *, keep: bool = False
    ) -> Node:
        """``apply`` gets times, values, start and end of the window, the time of the query and the scalar."""
        tree = inside(tree)
        if not isinstance(tree, ast.MatrixSelector):
            raise PromQLError("a subquery is not supported")
        selector, length = self.selector(tree.vector_selector), milliseconds(tree.range)

        def evaluate(store: Any, time: int) -> Value:
            found: Vector = []
            end = time - selector.offset
            parameter = calls.number(scalar, store, time) if scalar is not None else 0.0
            for labels, times, values in selector.window(store, time, length):
                value = apply(times, values, end - length, end, time, parameter)
                if value is not None:
                    found.append((labels if keep else bare(labels), value))
            return found

        return evaluate


def _predict(times: list[int], values: list[float], start: int, end: int, time: int, seconds: float) -> float | None:
    line = regression(times, values, time)
    return None if line is None else line[0] * seconds + line[1]


def _absent(inner: Node, tree: Any) -> Node:
    labels: Labels = {}
    tree = inside(tree)
    if isinstance(tree, ast.VectorSelector):
        equal = [one for one in tree.matchers.matchers if OPERATORS[str(one.op)] == "=" and one.name != "__name__"]
        names = [one.name for one in tree.matchers.matchers]
        labels = {one.name: one.value for one in equal if names.count(one.name) == 1}
    return lambda store, time: [] if inner(store, time) else [(dict(labels), 1.0)]
