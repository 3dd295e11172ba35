"""Names that sort by time: ULIDs, each greater than the one before it."""

from __future__ import annotations

from collections.abc import Callable

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TIME, _RANDOM = 48, 80


def ulid(time: int, randomness: bytes) -> str:
    """26 characters of Crockford's base 32: 48 bits of time (ms), 80 of randomness."""
    return _text((time & (1 << _TIME) - 1) << _RANDOM | int.from_bytes(randomness[:10], "big"))


def _text(number: int) -> str:
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


class Ids:
    """Makes ULIDs, ``random(n)`` giving n bytes. Within one millisecond, and while the clock stands back, each is the one
    before it and one more, so that the order in which they were made is the order of their texts."""

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._time = -1
        self._last = 0

    def __call__(self, time: int) -> str:
        if time > self._time:
            self._time = time
            self._last = (time & (1 << _TIME) - 1) << _RANDOM | int.from_bytes(self._random(10), "big")
        else:
            self._last += 1
        return _text(self._last)
