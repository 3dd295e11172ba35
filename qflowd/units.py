"""Durations and sizes as people write them."""

from __future__ import annotations

import re

_MILLISECONDS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_LONGEST = 1 << 62
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|w)")
_BYTES = {"": 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_BYTES |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)")


def duration(text: str) -> int:
    """``1h30m`` → milliseconds. Raises ValueError."""
    if not re.fullmatch(f"(?:{_PART.pattern})+", text):
        raise ValueError(f"'{text}' is no duration, write for example 5s or 1h30m")
    return round(min(sum(float(number) * _MILLISECONDS[unit] for number, unit in _PART.findall(text)), _LONGEST))


_PROMETHEUS = re.compile(
    r"(?:([0-9]+)y)?(?:([0-9]+)w)?(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?(?:([0-9]+)ms)?"
)
_PARTS = (31_536_000_000, 604_800_000, 86_400_000, 3_600_000, 60_000, 1000, 1)


def prometheus_duration(text: str) -> int:
    """A duration as Prometheus's files write it: ``1d12h``, whole numbers with the longest unit first, or ``0`` → milliseconds.

    Raises ValueError.
    """
    match = _PROMETHEUS.fullmatch(text)
    if not text or (match is None and text != "0"):
        raise ValueError(f"'{text}' is no duration as Prometheus writes it, as in 5m or 1h30m")
    return sum(int(number) * unit for number, unit in zip(match.groups(), _PARTS, strict=True) if number) if match else 0


def written(ms: int) -> str:
    """90000 → ``1m30s``."""
    text = ""
    for unit, length in _MILLISECONDS.items():
        count, ms = divmod(ms, length)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def size(text: str | int) -> int:
    """``64MiB`` → bytes. Raises ValueError."""
    match = _SIZE.fullmatch(str(text))
    if match is None or match.group(2) not in _BYTES:
        raise ValueError(f"'{text}' is no size, write for example 64MiB")
    return round(float(match.group(1)) * _BYTES[match.group(2)])
