"""The functions of PromQL that are supported."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

Times = list[int]
Values = list[float]


def _average(values: Values) -> float:
    if not all(map(math.isfinite, values)):
        return sum(values) / len(values)
    try:
        return math.fsum(values) / len(values)
    except OverflowError:
        return sum(value / len(values) for value in values)


def _deviation(values: Values) -> float:
    mean = _average(values)
    return math.sqrt(sum((value - mean) * (value - mean) for value in values) / len(values))


def least(values: Values) -> float:
    """The least value; NaN only where there is nothing else."""
    return min((value for value in values if not math.isnan(value)), default=math.nan)


def greatest(values: Values) -> float:
    """The greatest value; NaN only where there is nothing else."""
    return max((value for value in values if not math.isnan(value)), default=math.nan)


def quantile(q: float, values: Values) -> float:
    """Between the two nearest values; NaN counts as the least."""
    if math.isnan(q) or not values:
        return math.nan
    if not 0 <= q <= 1:
        return math.copysign(math.inf, q)
    rank = q * (len(values) - 1)
    ranked = sorted(values, key=lambda value: (value == value, value))
    lower = math.floor(rank)
    weight = rank - lower
    return ranked[lower] * (1 - weight) + ranked[min(lower + 1, len(values) - 1)] * weight


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


def _instant(times: Times, values: Values, *, per_second: bool) -> float | None:
    if len(times) < 2 or times[-1] == times[-2]:
        return None
    growth = values[-1] - values[-2]
    if not per_second:
        return growth
    return (values[-1] if growth < 0 else growth) / ((times[-1] - times[-2]) / 1000)


def regression(times: Times, values: Values, origin: int) -> tuple[float, float] | None:
    """Slope per second and the value at ``origin``, by least squares. ``None`` below two points."""
    if len(times) < 2:
        return None
    if all(value == values[0] for value in values):
        return (math.nan, math.nan) if math.isinf(values[0]) else (0.0, values[0])
    n = len(times)
    # Around the mean of the times, so that large times do not eat the digits.
    xs = [(at - times[0]) / 1000 for at in times]
    mean_x, mean_y = sum(xs) / n, _average(values)
    variance = sum((x - mean_x) * (x - mean_x) for x in xs)
    if not variance:
        return math.nan, math.nan
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, values, strict=True)) / variance
    return slope, mean_y + slope * ((origin - times[0]) / 1000 - mean_x)


def _derivative(times: Times, values: Values, start: int, end: int) -> float | None:
    line = regression(times, values, times[0])
    return None if line is None else line[0]


RANGE: dict[str, Callable[[Times, Values, int, int], float | None]] = {
    "rate": lambda times, values, start, end: extrapolated(times, values, start, end, counter=True, per_second=True),
    "increase": lambda times, values, start, end: extrapolated(times, values, start, end, counter=True, per_second=False),
    "delta": lambda times, values, start, end: extrapolated(times, values, start, end, counter=False, per_second=False),
    "irate": lambda times, values, start, end: _instant(times, values, per_second=True),
    "idelta": lambda times, values, start, end: _instant(times, values, per_second=False),
    "deriv": _derivative,
}
"""Functions of the points in a window: (times, values, its start, its end)."""


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
