"""The values of a template, and how Go's ``fmt`` prints them with ``%v``.

str, float, int, bool, ``None`` (nil) and dict stand for Go's string, float64, int, bool, nil and map; a query gives ``Samples``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


class Absent(float):
    """``$value`` where there is none, as in an alert for missing data: counts as NaN, reads ``no data``."""


ABSENT = Absent("nan")


@dataclass(frozen=True, slots=True)
class Sample:
    """One element of a query's result."""

    labels: dict[str, str]
    value: float


class Samples(tuple[Sample, ...]):
    """The result of a query."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Root:
    """``.`` and ``$`` at the top: the data of an alert."""

    labels: Mapping[str, str]
    external_labels: Mapping[str, str]
    external_url: str
    value: float


def type_name(value: Any) -> str:
    """The name of Go's type, as its messages say it."""
    for kind, name in (
        (bool, "bool"), (int, "int"), (float, "float64"), (str, "string"), (Samples, "template.queryResult"),
        (Sample, "*template.sample"), (Root, "struct"),
    ):  # fmt: skip
        if isinstance(value, kind):
            return name
    if isinstance(value, Mapping):
        return "map[string]interface {}" if isinstance(value, Arguments) else "map[string]string"
    return "nil"


class Arguments(dict[str, Any]):
    """What ``args`` makes of its arguments: ``arg0``, ``arg1`` and so on."""


def truth(value: Any) -> bool:
    """Whether ``if`` takes it for true: neither zero nor empty."""
    if isinstance(value, Sample | Root):
        return True
    return bool(value)


def number(value: float) -> str:
    """``%v`` of a float64: the shortest digits that mean it, with an exponent from 1e+06 on and below 0.0001, as Go has it."""
    if not math.isfinite(value):
        return "NaN" if value != value else "+Inf" if value > 0 else "-Inf"
    sign = "-" if math.copysign(1, value) < 0 else ""
    digits, exponent = decimal(abs(value))
    if exponent < -4 or exponent >= 6:
        return f"{sign}{digits[0]}{'.' if digits[1:] else ''}{digits[1:]}e{exponent:+03d}"
    return sign + positional(digits, exponent)


def decimal(value: float) -> tuple[str, int]:
    """The shortest digits of a number ≥ 0 without trailing zeros, and the exponent of the first of them."""
    mantissa, _, power = f"{value!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    exponent = int(power or 0) + (len(whole) - 1 if whole.strip("0") else len(digits) - len(fraction) - 1)
    return digits.rstrip("0") or "0", exponent if digits else 0


def positional(digits: str, exponent: int) -> str:
    """Digits written without an exponent."""
    if exponent < 0:
        return f"0.{'0' * (-exponent - 1)}{digits}"
    padded = digits.ljust(exponent + 1, "0")
    return padded[: exponent + 1] + ("." + padded[exponent + 1 :] if padded[exponent + 1 :] else "")


def shown(value: Any) -> str:
    """``%v``."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Absent):
        return "no data"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, Mapping | Samples | Sample | Root):
        return composed(value, shown)
    return "<nil>" if value is None else str(value)


def composed(value: Mapping[str, Any] | Samples | Sample | Root, show: Callable[[Any], str]) -> str:
    """A value made of others, each of them as ``show`` gives it."""
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{show(key)}:{show(value[key])}' for key in sorted(value))}]"
    if isinstance(value, Samples):
        return f"[{' '.join(map(show, value))}]"
    if isinstance(value, Sample):
        return f"&{{{show(value.labels)} {show(value.value)}}}"
    parts = (value.labels, value.external_labels, value.external_url, value.value)
    return f"{{{' '.join(map(show, parts))}}}"
