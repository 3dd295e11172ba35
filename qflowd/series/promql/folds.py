"""Many values to one, for aggregations over series and over time alike."""

from __future__ import annotations

import math

Values = list[float]


def total(values: Values) -> float:
    """The sum, not off by more than its last digit."""
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):
        return sum(values)


def average(values: Values) -> float:
    try:
        return math.fsum(values) / len(values)
    except ValueError:
        return math.nan
    except OverflowError:
        return sum(value / len(values) for value in values)


def variance(values: Values) -> float:
    # Of the differences from one of them, so that equal values have none, whatever the digits of their mean.
    first = values[0]
    apart = [value - first for value in values]
    mean = average(apart)
    if not math.isfinite(mean):
        return math.nan
    return total([(one - mean) * (one - mean) for one in apart]) / len(values)


def deviation(values: Values) -> float:
    return math.sqrt(variance(values))


def least(values: Values) -> float:
    """The least value; NaN only where there is nothing else."""
    found = min(values)
    return found if found == found and values[0] == values[0] else min((one for one in values if one == one), default=math.nan)


def greatest(values: Values) -> float:
    """The greatest value; NaN only where there is nothing else."""
    found = max(values)
    return found if found == found and values[0] == values[0] else max((one for one in values if one == one), default=math.nan)


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
