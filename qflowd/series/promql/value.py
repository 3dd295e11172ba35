"""What queries evaluate to, and how they are refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qflowd.series.store import SeriesStore

LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
Labels = dict[str, str]
Vector = list[tuple[Labels, float]]
Value = float | Vector
Node = Callable[["SeriesStore", int], Value]
"""A compiled expression: (store, time in epoch ms) → value."""

RangeVector = list[tuple[Labels, list[int], list[float]]]


class PromQLError(Exception):
    """The query cannot be used; the text says what is wrong with it."""


def bare(labels: Labels) -> Labels:
    """The labels without the metric's name."""
    return {key: value for key, value in labels.items() if key != "__name__"}
