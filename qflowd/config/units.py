"""Durations and sizes as people write them."""

from __future__ import annotations

import re

_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|w)")
_BYTES = {"": 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_BYTES |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)")


def duration(text: str) -> int:
    """``1h30m`` → milliseconds. Raises ValueError."""
    if not re.fullmatch(f"(?:{_PART.pattern})+", text):
        raise ValueError(f"'{text}' is no duration, write for example 5s or 1h30m")
    return round(sum(float(number) * _MILLISECONDS[unit] for number, unit in _PART.findall(text)))


def size(text: str | int) -> int:
    """``64MiB`` → bytes. Raises ValueError."""
    match = _SIZE.fullmatch(str(text))
    if match is None or match.group(2) not in _BYTES:
        raise ValueError(f"'{text}' is no size, write for example 64MiB")
    return round(float(match.group(1)) * _BYTES[match.group(2)])
