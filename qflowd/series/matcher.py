"""Label matchers with Prometheus's meaning: regular expressions are anchored, a missing label is the empty text."""

from __future__ import annotations

import re
from collections.abc import Mapping


class Matcher:
    """``op`` is one of ``= != =~ !~``. Raises ``re.error`` for a bad expression, ``ValueError`` for another ``op``."""

    __slots__ = ("_pattern", "name", "op", "value")

    def __init__(self, name: str, op: str, value: str) -> None:
        if op not in ("=", "!=", "=~", "!~"):
            raise ValueError(f"unknown matcher {op!r}")
        self.name, self.op, self.value = name, op, value
        self._pattern = re.compile(value, re.DOTALL) if op in ("=~", "!~") else None

    def matches_value(self, value: str) -> bool:
        hit = value == self.value if self._pattern is None else self._pattern.fullmatch(value) is not None
        return hit if self.op[0] == "=" else not hit

    def matches(self, labels: Mapping[str, str]) -> bool:
        return self.matches_value(labels.get(self.name, ""))
