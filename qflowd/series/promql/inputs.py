"""What a query is and depends on: the kind of its value, the series that it reads, and whether its value moves with time alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import promql_parser as ast

from qflowd.series.promql.binary import COMPARISONS
from qflowd.series.promql.elementwise import CALENDAR
from qflowd.series.promql.functions import STEADY
from qflowd.series.promql.selector import Selector, inside

_PLAIN = (
    ast.VectorSelector, ast.BinaryExpr, ast.AggregateExpr, ast.ParenExpr, ast.UnaryExpr, ast.NumberLiteral, ast.StringLiteral,
)  # fmt: skip


@dataclass(frozen=True)
class Inputs:
    """``timed``: the value may change while no series does. ``comparison``: (operator, number) of a query that is one
    selector compared with one number, and nothing else."""

    reads: tuple[Selector, ...]
    timed: bool
    comparison: tuple[str, float] | None = None


def inputs(tree: Any, selectors: Sequence[Selector]) -> Inputs:
    """What a parsed query with these selectors depends on. What is not known to be steady counts as timed."""
    timed = any(one.moment for one in selectors) or any(map(_moves, _walk(tree)))
    return Inputs(tuple(selectors), timed, None if timed else _comparison(tree))


def kind(tree: Any) -> str:
    """``scalar``, ``vector``, ``matrix`` or ``string``."""
    tree = inside(tree)
    while isinstance(tree, ast.UnaryExpr):
        tree = inside(tree.expr)
    if isinstance(tree, (ast.MatrixSelector, ast.SubqueryExpr)):
        return "matrix"
    if isinstance(tree, ast.StringLiteral):
        return "string"
    if isinstance(tree, ast.NumberLiteral):
        return "scalar"
    if isinstance(tree, ast.Call):
        return str(tree.func.return_type).rpartition(".")[2].lower()
    if isinstance(tree, ast.BinaryExpr):
        return "vector" if "vector" in (kind(tree.lhs), kind(tree.rhs)) else "scalar"
    return "vector"


def _moves(node: Any) -> bool:
    """Whether a node may give another value for the same arguments: a range does, and the calendar without an argument."""
    if isinstance(node, ast.Call):
        return not (node.func.name in STEADY or (node.func.name in CALENDAR and node.args))
    return not isinstance(node, _PLAIN)


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
        elif isinstance(node, (ast.ParenExpr, ast.UnaryExpr)):
            waiting.append(node.expr)


def _comparison(tree: Any) -> tuple[str, float] | None:
    tree = inside(tree)
    if not isinstance(tree, ast.BinaryExpr) or str(tree.op) not in COMPARISONS or not isinstance(tree.lhs, ast.VectorSelector):
        return None
    if tree.modifier is not None and tree.modifier.return_bool:
        return None
    number = tree.rhs
    sign = 1.0
    while isinstance(number, (ast.ParenExpr, ast.UnaryExpr)):
        sign = -sign if isinstance(number, ast.UnaryExpr) else sign
        number = number.expr
    return (str(tree.op), sign * float(number.val)) if isinstance(number, ast.NumberLiteral) else None
