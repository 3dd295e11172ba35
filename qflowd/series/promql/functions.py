"""The functions of PromQL that are supported."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

Times = list[int]
Values = list[float]


def _average(values: Values) -> float:
    return math.fsum(values) / len(values) if all(map(math.isfinite, values)) else sum(values) / len(values)


def _deviation(values: Values) -> float:
    mean = _average(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))


def least(values: Values) -> float:
    """The least value; NaN only where there is nothing else."""
    return min((value for value in values if not math.isnan(value)), default=math.nan)


def greatest(values: Values) -> float:
    """The greatest value; NaN only where there is nothing else."""
    return max((value for value in values if not math.isnan(value)), default=math.nan)


OVER_TIME: dict[str, Callable[[Values], float]] = {
    "avg_over_time": _average,
    "sum_over_time": sum,
    "min_over_time": least,
    "max_over_time": greatest,
    "count_over_time": lambda values: float(len(values)),
    "stddev_over_time": _deviation,
    "present_over_time": lambda values: 1.0,
    "changes": lambda values: float(sum(a != b and not (a != a and b != b) for a, b in pairwise(values))),
    "resets": lambda values: float(sum(b < a for a, b in pairwise(values))),
    "last_over_time": lambda values: values[-1],
}


def extrapolated(times: Times, values: Values, start: int, end: int, *, counter: bool, per_second: bool) -> float | None:
    """Prometheus's ``extrapolatedRate``: growth over (start, end], stretched to its borders. ``None`` below two points."""
    if len(times) < 2 or times[-1] == times[0]:
        return None
    growth = values[-1] - values[0]
    if counter:
        growth += sum(before for before, after in pairwise(values) if after < before)
    to_start, to_end = (times[0] - start) / 1000, (end - times[-1]) / 1000
    sampled = (times[-1] - times[0]) / 1000
    spacing = sampled / (len(times) - 1)
    threshold = spacing * 1.1
    if to_start >= threshold:
        to_start = spacing / 2
    if counter and growth > 0 and values[0] >= 0:
        to_start = min(to_start, sampled * values[0] / growth)
    if to_end >= threshold:
        to_end = spacing / 2
    result = growth * (sampled + to_start + to_end) / sampled
    return result / ((end - start) / 1000) if per_second else result


EXTRAPOLATED: dict[str, tuple[bool, bool]] = {"rate": (True, True), "increase": (True, False), "delta": (False, False)}
"""Name → (counter, per second)."""


def _whole(of: Callable[[float], int]) -> Callable[[float], float]:
    return lambda value: float(of(value)) if math.isfinite(value) else value


ELEMENTWISE: dict[str, Callable[[float], float]] = {
    "abs": abs,
    "ceil": _whole(math.ceil),
    "floor": _whole(math.floor),
    "sqrt": lambda value: math.sqrt(value) if value >= 0 else math.nan,
}

AGGREGATIONS: dict[str, Callable[[Values], float]] = {
    "sum": sum,
    "avg": _average,
    "min": least,
    "max": greatest,
    "count": lambda values: float(len(values)),
    "group": lambda values: 1.0,
    "stddev": _deviation,
}
