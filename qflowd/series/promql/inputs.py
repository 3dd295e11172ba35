"""What a query depends on: the series that it reads, and whether its value moves with time alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser as ast

from qflowd.series.matcher import Matcher
from qflowd.series.promql.selector import OPERATORS, milliseconds

_STEADY = frozenset({
    "abs", "absent", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "clamp", "clamp_max", "clamp_min", "cos", "cosh",
    "deg", "exp", "floor", "label_join", "label_replace", "ln", "log10", "log2", "pi", "rad", "round", "scalar", "sgn", "sin",
    "sinh", "sort", "sort_desc", "sqrt", "tan", "tanh", "timestamp", "vector",
})
"""Functions whose value follows from their arguments alone."""
_CALENDAR = frozenset("day_of_month day_of_week day_of_year days_in_month hour minute month year".split())  # noqa: SIM905
"""Functions that take the time of the query where they get no argument."""
_COMPARISONS = frozenset((">", "<", ">=", "<=", "==", "!="))


@dataclass(frozen=True)
class Read:
    """One selector: the series called ``name`` (any, where ``None``) that all ``matchers`` match."""

    name: str | None
    matchers: tuple[Matcher, ...]


@dataclass(frozen=True)
class Inputs:
    """``timed``: the value may change while no series does. ``comparison``: (operator, number) of a query that is one
    selector compared with one number, and nothing else."""

    reads: tuple[Read, ...]
    timed: bool
    comparison: tuple[str, float] | None = None


def inputs(text: str) -> Inputs:
    """What the query ``text``, which has to be valid, depends on. What is not known to be steady counts as timed."""
    tree = ast.parse(text)
    reads: list[Read] = []
    timed = False
    for node in _walk(tree):
        if isinstance(node, ast.VectorSelector):
            reads.append(_read(node))
            timed = timed or node.at is not None or (node.offset is not None and milliseconds(node.offset) != 0)
        elif isinstance(node, ast.Call):
            name = node.func.name
            timed = timed or not (name in _STEADY or (name in _CALENDAR and node.args))
        elif not isinstance(node, _PLAIN):
            timed = True
    return Inputs(tuple(reads), timed, None if timed else _comparison(tree))


_PLAIN = (ast.BinaryExpr, ast.AggregateExpr, ast.ParenExpr, ast.UnaryExpr, ast.NumberLiteral, ast.StringLiteral)


def _walk(tree: Any) -> Iterator[Any]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.BinaryExpr):
            waiting += [node.rhs, node.lhs]
        elif isinstance(node, ast.AggregateExpr):
            waiting += [node.expr, *([node.param] if node.param is not None else [])]
        elif isinstance(node, ast.Call):
            waiting += node.args
        elif isinstance(node, (ast.ParenExpr, ast.UnaryExpr, ast.SubqueryExpr)):
            waiting.append(node.expr)
        elif isinstance(node, ast.MatrixSelector):
            waiting.append(node.vector_selector)


def _read(node: Any) -> Read:
    name, matchers = node.name, []
    for one in node.matchers.matchers:
        op = OPERATORS[str(one.op)]
        if one.name == "__name__" and op == "=" and name is None:
            name = one.value
        else:
            matchers.append(Matcher(one.name, op, one.value))
    return Read(name, () if node.matchers.or_matchers else tuple(matchers))


def _comparison(tree: Any) -> tuple[str, float] | None:
    while isinstance(tree, ast.ParenExpr):
        tree = tree.expr
    if not isinstance(tree, ast.BinaryExpr) or str(tree.op) not in _COMPARISONS:
        return None
    if not isinstance(tree.lhs, ast.VectorSelector) or tree.lhs.matchers.or_matchers:
        return None
    if tree.modifier is not None and tree.modifier.return_bool:
        return None
    number = tree.rhs
    sign = 1.0
    while isinstance(number, (ast.ParenExpr, ast.UnaryExpr)):
        sign = -sign if isinstance(number, ast.UnaryExpr) else sign
        number = number.expr
    return (str(tree.op), sign * float(number.val)) if isinstance(number, ast.NumberLiteral) else None
