"""Go's own functions that look at values: comparison, truth, ``len``, ``index`` and ``slice``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qflowd.alerts.template.errors import TemplateError
from qflowd.alerts.template.functions import ANY
from qflowd.alerts.template.values import Arguments, Samples, truth, type_name


def _kind(value: Any, name: str) -> str:
    kind = type_name(value)
    if kind not in ("bool", "int", "float64", "string"):
        raise TemplateError(f"error calling {name}: {kind} cannot be compared")
    return kind


def _same_kind(name: str, left: Any, right: Any) -> str:
    kind, other = _kind(left, name), _kind(right, name)
    if kind != other:
        hint = ": write the number with a point, as in 5.0" if {kind, other} == {"int", "float64"} else ""
        raise TemplateError(f"error calling {name}: incompatible types for comparison, {kind} and {other}{hint}")
    return kind


def equal(*values: Any) -> bool:
    """Whether the first equals any of the others."""
    if len(values) == 1:
        raise TemplateError("error calling eq: missing argument for comparison")
    if any(value is None for value in values):
        return any(value is values[0] for value in values[1:])
    found = False
    for value in values[1:]:
        _same_kind("eq", values[0], value)
        found = found or value == values[0]
    return found


def different(left: Any, right: Any) -> bool:
    return not equal(left, right)


def _less(name: str, left: Any, right: Any) -> bool:
    if _same_kind(name, left, right) == "bool":
        raise TemplateError(f"error calling {name}: invalid type for comparison")
    return bool(left < right)


def less(left: Any, right: Any) -> bool:
    return _less("lt", left, right)


def less_or_equal(left: Any, right: Any) -> bool:
    return _less("le", left, right) or left == right


# Go makes gt and ge of le and lt: over NaN both hold.
def greater(left: Any, right: Any) -> bool:
    return not (_less("gt", left, right) or left == right)


def greater_or_equal(left: Any, right: Any) -> bool:
    return not _less("ge", left, right)


def length(value: Any) -> int:
    """Bytes of a text, elements of the rest."""
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, Mapping | Samples):
        return len(value)
    raise TemplateError(f"error calling len: len of type {type_name(value)}")


def _place(name: str, value: Any, size: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TemplateError(f"error calling {name}: cannot index slice/array with type {type_name(value)}")
    if not 0 <= value < size:
        raise TemplateError(f"error calling {name}: index out of range: {value}")
    return value


def index(value: Any, *keys: Any) -> Any:
    """``index $labels "job"``, ``index (query "up") 0``; what a map does not hold is empty."""
    for key in keys:
        if isinstance(value, Mapping):
            if not isinstance(key, str):
                raise TemplateError(f"error calling index: value has type {type_name(key)}; should be string")
            value = value.get(key, None if isinstance(value, Arguments) else "")
        elif isinstance(value, Samples):
            value = value[_place("index", key, len(value))]
        elif isinstance(value, str):
            octets = value.encode()
            value = octets[_place("index", key, len(octets))]
        elif value is None:
            raise TemplateError("error calling index: index of untyped nil")
        else:
            raise TemplateError(f"error calling index: can't index item of type {type_name(value)}")
    return value


def slice_of(value: Any, *bounds: Any) -> Any:
    """``slice x 1 3``: part of a text (in bytes) or of a list."""
    if len(bounds) > 2:
        raise TemplateError("error calling slice: too many slice indexes")
    whole = value.encode() if isinstance(value, str) else value
    if not isinstance(whole, bytes | Samples):
        raise TemplateError(f"error calling slice: can't slice item of type {type_name(value)}")
    low, high = [*(_place("slice", one, len(whole) + 1) for one in bounds), *(0, len(whole))[len(bounds) :]]
    if low > high:
        raise TemplateError(f"error calling slice: invalid slice index: {low} > {high}")
    part = whole[low:high]
    return part.decode(errors="replace") if isinstance(part, bytes) else Samples(part)


BUILTINS: dict[str, tuple[Callable[..., Any], tuple[str, ...], bool]] = {
    "eq": (equal, (ANY, ANY), True),
    "ne": (different, (ANY, ANY), False),
    "lt": (less, (ANY, ANY), False),
    "le": (less_or_equal, (ANY, ANY), False),
    "gt": (greater, (ANY, ANY), False),
    "ge": (greater_or_equal, (ANY, ANY), False),
    "not": (lambda value: not truth(value), (ANY,), False),
    "len": (length, (ANY,), False),
    "index": (index, (ANY, ANY), True),
    "slice": (slice_of, (ANY, ANY), True),
}
