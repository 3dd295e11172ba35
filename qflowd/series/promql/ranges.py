"""Functions of the points in a window: of their values alone, or of their times and the window's borders too."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

from qflowd.series.promql.folds import average, deviation, greatest, least, quantile, total, variance
from qflowd.series.promql.value import PromQLError

Times = list[int]
Values = list[float]


def _median_deviation(values: Values) -> float:
    if any(value != value for value in values):
        return math.nan
    median = quantile(0.5, values)
    return quantile(0.5, [abs(value - median) for value in values])


OVER_TIME: dict[str, Callable[[Values], float]] = {
    "avg_over_time": average,
    "sum_over_time": total,
    "min_over_time": least,
    "max_over_time": greatest,
    "count_over_time": len,
    "stddev_over_time": deviation,
    "stdvar_over_time": variance,
    "mad_over_time": _median_deviation,
    "present_over_time": lambda values: 1.0,
    "changes": lambda values: float(sum(a != b and (a == a or b == b) for a, b in pairwise(values))),
    "resets": lambda values: float(sum(b < a for a, b in pairwise(values))),
    "first_over_time": lambda values: values[0],
    "last_over_time": lambda values: values[-1],
}
"""Functions of the values in a window."""
NAMED = frozenset(("first_over_time", "last_over_time"))
"""Those that give a value as it was measured, under the name that it had."""


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
        to_start = min(to_start, sampled * (values[0] / growth))
    if to_end >= threshold:
        to_end = spacing / 2
    factor = (sampled + to_start + to_end) / sampled
    return growth * (factor / ((end - start) / 1000) if per_second else factor)


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
    if values.count(values[0]) == len(values):
        return (math.nan, math.nan) if math.isinf(values[0]) else (0.0, values[0])
    n = len(times)
    # Around the mean of the times, so that large times do not eat the digits.
    xs = [(at - times[0]) / 1000 for at in times]
    mean_x, mean_y = sum(xs) / n, average(values)
    spread = sum([(x - mean_x) * (x - mean_x) for x in xs])
    if not spread:
        return math.nan, math.nan
    slope = sum([(x - mean_x) * (y - mean_y) for x, y in zip(xs, values, strict=True)]) / spread
    return slope, mean_y + slope * ((origin - times[0]) / 1000 - mean_x)


def _derivative(times: Times, values: Values, start: int, end: int) -> float | None:
    line = regression(times, values, times[0])
    return None if line is None else line[0]


def _newest_of(best: Callable[[Values], float]) -> Callable[[Times, Values, int, int], float | None]:
    """The time of the last point that has the best value."""

    def apply(times: Times, values: Values, start: int, end: int) -> float | None:
        wanted = best(values)
        at = max(n for n, value in enumerate(values) if value == wanted or wanted != wanted)
        return times[at] / 1000

    return apply


RANGE: dict[str, Callable[[Times, Values, int, int], float | None]] = {
    "rate": lambda times, values, start, end: extrapolated(times, values, start, end, counter=True, per_second=True),
    "increase": lambda times, values, start, end: extrapolated(times, values, start, end, counter=True, per_second=False),
    "delta": lambda times, values, start, end: extrapolated(times, values, start, end, counter=False, per_second=False),
    "irate": lambda times, values, start, end: _instant(times, values, per_second=True),
    "idelta": lambda times, values, start, end: _instant(times, values, per_second=False),
    "deriv": _derivative,
    "ts_of_first_over_time": lambda times, values, start, end: times[0] / 1000,
    "ts_of_last_over_time": lambda times, values, start, end: times[-1] / 1000,
    "ts_of_max_over_time": _newest_of(greatest),
    "ts_of_min_over_time": _newest_of(least),
}
"""Functions of the points in a window: (times, values, its start, its end). ``None`` gives no element."""


def smoothed(values: Values, smoothing: float, trend: float) -> float | None:
    """Double exponential smoothing (Holt's linear method). ``None`` below two points; raises PromQLError for factors outside (0, 1)."""
    for name, factor in (("smoothing", smoothing), ("trend", trend)):
        if not 0 < factor < 1:
            raise PromQLError(f"double_exponential_smoothing: the {name} factor is {factor}, it has to lie between 0 and 1")
    if len(values) < 2:
        return None
    before, level, slope = 0.0, values[0], values[1] - values[0]
    for n, value in enumerate(values[1:]):
        if n:
            slope = trend * (level - before) + (1 - trend) * slope
        before, level = level, smoothing * value + (1 - smoothing) * (level + slope)
    return level
