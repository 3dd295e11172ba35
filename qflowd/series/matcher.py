"""Label matchers with Prometheus's meaning: regular expressions are anchored, a missing label is the empty text."""

from __future__ import annotations

import re
from collections.abc import Mapping

from qflowd.patterns import Pattern

LONGEST = 8192
KNOWN = 2_000
"""Values of which a matcher remembers whether its expression matches them."""
_LITERALS = re.compile(r"[^\\.^$*+?()\[\]{}]*")


class Matcher:
    """``op`` is one of ``= != =~ !~``. Raises ``ValueError`` for another ``op``, ``PatternError``, which is one too, for an
    expression that is wrong or not supported; ``matches`` raises it where a value is too long for the expression."""

    __slots__ = ("_among", "_known", "_pattern", "name", "op", "value")

    def __init__(self, name: str, op: str, value: str) -> None:
        if op not in ("=", "!=", "=~", "!~"):
            raise ValueError(f"unknown matcher {op!r}")
        self.name, self.op, self.value = name, op, value
        self._known: dict[str, bool] = {}
        self._pattern: Pattern | None = None
        self._among = frozenset((value,))
        if op in ("=~", "!~"):
            if len(value) <= LONGEST and _LITERALS.fullmatch(value):
                self._among = frozenset(value.split("|"))
            else:
                self._pattern = Pattern(value, dotall=True, longest=LONGEST)

    def matches_value(self, value: str) -> bool:
        return self._hit(value) is (self.op[0] == "=")

    def _hit(self, value: str) -> bool:
        if self._pattern is None:
            return value in self._among
        hit = self._known.get(value)
        if hit is None:
            if len(self._known) >= KNOWN:
                self._known.clear()
            hit = self._known[value] = self._pattern.whole(value) is not None
        return hit

    def matches(self, labels: Mapping[str, str]) -> bool:
        return self.matches_value(labels.get(self.name, ""))
