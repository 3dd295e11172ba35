"""Functions of one number, as Go's ``math`` has them: NaN and infinity in place of errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Function = Callable[[float], float]


def _total(function: Function, beyond: Function = lambda value: math.inf) -> Function:
    """``function`` everywhere: NaN outside its domain, ``beyond`` where the result is too large."""

    def apply(value: float) -> float:
        try:
            return function(value)
        except ValueError:
            return math.nan
        except OverflowError:
            return beyond(value)

    return apply


def _logarithm(function: Function) -> Function:
    return _total(lambda value: function(value) if value else -math.inf)


def _whole(of: Callable[[float], int]) -> Function:
    return lambda value: math.copysign(float(of(value)), value) if math.isfinite(value) else value


ELEMENTWISE: dict[str, Function] = {
    "abs": abs,
    "ceil": _whole(math.ceil),
    "floor": _whole(math.floor),
    "sgn": lambda value: 1.0 if value > 0 else -1.0 if value < 0 else value,
    "sqrt": _total(math.sqrt),
    "exp": _total(math.exp),
    "ln": _logarithm(math.log),
    "log2": _logarithm(math.log2),
    "log10": _logarithm(math.log10),
    "sin": _total(math.sin),
    "cos": _total(math.cos),
    "tan": _total(math.tan),
    "asin": _total(math.asin),
    "acos": _total(math.acos),
    "atan": math.atan,
    "sinh": _total(math.sinh, lambda value: math.copysign(math.inf, value)),
    "cosh": _total(math.cosh),
    "tanh": math.tanh,
    "asinh": math.asinh,
    "acosh": _total(math.acosh),
    "atanh": _total(lambda value: math.copysign(math.inf, value) if abs(value) == 1 else math.atanh(value)),
    "rad": lambda value: value * math.pi / 180,
    "deg": lambda value: value * 180 / math.pi,
}


def _days_in_month(at: datetime) -> int:
    return ((at.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)).day


CALENDAR: dict[str, Callable[[datetime], int]] = {
    "minute": lambda at: at.minute,
    "hour": lambda at: at.hour,
    "day_of_week": lambda at: at.isoweekday() % 7,
    "day_of_month": lambda at: at.day,
    "day_of_year": lambda at: at.timetuple().tm_yday,
    "days_in_month": _days_in_month,
    "month": lambda at: at.month,
    "year": lambda at: at.year,
}
"""Parts of a time, in UTC."""


def calendar(name: str) -> Function:
    """A part of a time in epoch seconds. NaN where there is no such time."""
    part = CALENDAR[name]

    def apply(value: float) -> float:
        try:
            return float(part(datetime.fromtimestamp(math.trunc(value), UTC)))
        except (ValueError, OverflowError, OSError):
            return math.nan

    return apply
