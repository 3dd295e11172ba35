"""What queries evaluate to, and how they are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from qflowd.series.labels import bare

if TYPE_CHECKING:
    from qflowd.series.promql.run import Run

__all__ = ["Labels", "Node", "PromQLError", "Range", "Value", "Vector", "Window", "Windows", "bare"]

Labels = dict[str, str]
Vector = list[tuple[Labels, float]]
Value = float | Vector
Node = Callable[["Run", int], Value]
"""A compiled expression: (run, time in epoch ms) → value."""


class Window(NamedTuple):
    """The points of one series in a range: times in ms, ascending, and their values."""

    labels: Labels
    times: list[int]
    values: list[float]


class Range(NamedTuple):
    """Windows, all over ``(start, end]``, in ms."""

    start: int
    end: int
    windows: list[Window]


Windows = Callable[["Run", int], Range]
"""A compiled range selector or subquery."""


class PromQLError(Exception):
    """The query cannot be used; the text says what is wrong with it."""
