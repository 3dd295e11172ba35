"""What clients say, checked: text → type and data, and the typed contents of ``subscribe`` and ``unsubscribe``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

MAX_DEPTH = 16
MIN_INTERVAL = 1_000
MAX_INTERVAL = 86_400_000
MAX_STREAMS = 100
MAX_NAME = 200

_decode = msgspec.json.Decoder().decode


class RequestError(Exception):
    """An answer of type ``error``: its code, message, and where in the request the mistake is."""

    def __init__(self, code: str, message: str, path: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.path = path


@dataclass(frozen=True)
class Subscribe:
    """``resume``: stream → (epoch, seq). ``interval`` in ms."""

    streams: list[str]
    interval: int | None
    filters: dict[str, Any]
    resume: dict[str, tuple[str, int]]


def decode(text: str | bytes) -> tuple[str, Any]:
    """``(type, data)`` of a message. Raises RequestError."""
    wrong = RequestError("invalid_format", "Invalid message format")
    if isinstance(text, bytes):
        raise wrong
    try:
        message = _decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError):
        raise wrong from None
    if not isinstance(message, dict):
        raise wrong
    type = message.get("type")
    if not isinstance(type, str):
        raise RequestError("unknown_type", "Unknown message type")
    data = message.get("data")
    if _deeper_than(data, MAX_DEPTH):
        raise invalid("data", f"nested deeper than {MAX_DEPTH}")
    return type, data


def invalid(path: str, message: str) -> RequestError:
    """The answer to data of the wrong shape."""
    return RequestError("invalid_data", message, path)


def _deeper_than(value: Any, levels: int) -> bool:
    # Level by level: a message may hold some 20,000 lists, and a call for each would take over 10 ms.
    level = [value]
    for _ in range(levels + 1):
        within = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, (dict, list))]
        if not within:
            return False
        level = [child for one in within for child in one]
    return True


def parse_subscribe(data: Any) -> Subscribe:
    """Raises RequestError with the path of the first mistake."""
    streams = parse_streams(data)
    interval = data.get("interval")
    if interval is not None:
        if isinstance(interval, bool) or not isinstance(interval, int | float):
            raise invalid("data.interval", "must be a number of milliseconds")
        if not MIN_INTERVAL <= interval <= MAX_INTERVAL:
            raise invalid("data.interval", f"must be between {MIN_INTERVAL} and {MAX_INTERVAL} milliseconds")
        interval = int(interval)
    return Subscribe(streams, interval, parse_filters(data, required=False), _resume(data.get("resume")))


def parse_streams(data: Any) -> list[str]:
    """The names in ``data.streams``, each once."""
    if not isinstance(data, dict):
        raise invalid("data", "must be an object")
    streams = data.get("streams")
    if not isinstance(streams, list):
        raise invalid("data.streams", "must be a list of stream names")
    if len(streams) > MAX_STREAMS:
        raise invalid("data.streams", f"at most {MAX_STREAMS} streams")
    for index, name in enumerate(streams):
        if not isinstance(name, str) or len(name) > MAX_NAME:
            raise invalid(f"data.streams[{index}]", "must be the name of a stream")
    return list(dict.fromkeys(streams))


def parse_filters(data: Any, *, required: bool) -> dict[str, Any]:
    """``data.filters``, an object; ``{}`` where it may be absent and is."""
    if not isinstance(data, dict):
        raise invalid("data", "must be an object")
    filters = data.get("filters")
    if filters is None and not required:
        return {}
    if not isinstance(filters, dict):
        raise invalid("data.filters", "must be an object")
    return filters


def _resume(value: Any) -> dict[str, tuple[str, int]]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid("data.resume", "must be an object of stream positions")
    positions: dict[str, tuple[str, int]] = {}
    for name, position in value.items():
        path = f"data.resume.{name}"
        if not isinstance(position, dict):
            raise invalid(path, "must be an object with epoch and seq")
        epoch, seq = position.get("epoch"), position.get("seq")
        if not isinstance(epoch, str):
            raise invalid(f"{path}.epoch", "must be a string")
        if isinstance(seq, bool) or not isinstance(seq, int) or seq < 0:
            raise invalid(f"{path}.seq", "must be a whole number of 0 or more")
        positions[name] = (epoch, seq)
    return positions
