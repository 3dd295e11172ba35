"""Prometheus's notation of series in tests: ``up{job="a"}`` with ``0 1+2x3 _ _x5 stale``."""

from __future__ import annotations

import re

import promql_parser as ast

MOST = 5_000_000
"""Values that one series may have."""
_NAME = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)?\s*(\{.*\})?\s*", re.S)
_NUMBER = r"(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[nN][aA][nN]|[iI][nN][fF])"
_ITEM = re.compile(rf"(_)(?:x([0-9]+))?|(stale)|([+-]?{_NUMBER})(?:([+-]{_NUMBER})(?=x))?(?:x([0-9]+))?")
_FILLER = "__filler__"

Values = list[float | str | None]
"""One value for each interval: a number, ``stale`` for the end of the series, ``None`` where there is no point."""


class NotationError(ValueError):
    """The text is no series, or no values; it says what would be."""


def metric(text: str) -> dict[str, str]:
    """``up{job="a"}`` → labels, the name under ``__name__``; an empty label is none. Raises NotationError."""
    match = _NAME.fullmatch(text)
    if match is None:
        raise NotationError(f'{text!r} is no series, write it as up{{job="a"}}')
    name, labels = match.groups()
    found = {"__name__": name} if name else {}
    if labels is None or not labels[1:-1].strip():
        return found
    try:
        # A selector needs something that is not empty, and these labels may be.
        tree = ast.parse(f'{{{_FILLER}="x",{labels[1:]}')
    except (ValueError, OverflowError) as error:
        raise NotationError(f"{text!r} is no series: {str(error).strip()}") from None
    if not isinstance(tree, ast.VectorSelector):
        raise NotationError(f"{text!r} is no series")
    for one in tree.matchers.matchers:
        if str(one.op) != "MatchOp.Equal" or one.name in found:
            raise NotationError(f"{text!r} is no series: each label once, with =")
        found[one.name] = one.value
    return {key: value for key, value in found.items() if value and key != _FILLER}


def values(text: str) -> Values:
    """The values of a series. Raises NotationError."""
    found: Values = []
    for item in text.split():
        match = _ITEM.fullmatch(item)
        if match is None:
            raise NotationError(f"{item!r} is no value: write a number, 1+2x3 (three steps of 2), 5x3, _, _x3 or stale")
        blank, blanks, stale, number, step, times = match.groups()
        count = int(blanks if blank and blanks is not None else 1) if blank else int(times or 0) + 1
        if len(found) + count > MOST:
            raise NotationError(f"{item!r}: more than {MOST} values")
        if blank:
            found += [None] * count
        elif stale:
            found.append("stale")
        else:
            value, more = float(number), float(step or 0)
            for _ in range(count):
                found.append(value)
                value += more
    return found
