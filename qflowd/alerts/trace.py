"""The newest decisions of each rule, for whoever asks why. What led to a notification is in the journal as well."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from qflowd.model import Decision

PER_RULE = 50
TOTAL = 10_000


class Trace:
    """At most ``per_rule`` decisions of a rule and ``total`` of all, the oldest forgotten first."""

    def __init__(self, per_rule: int = PER_RULE, total: int = TOTAL) -> None:
        self._per_rule, self._total = per_rule, total
        self._of: dict[str, deque[Decision]] = {}
        self._order: deque[Decision] = deque()
        self._count = 0

    def add(self, decisions: Iterable[Decision]) -> None:
        """Remember decisions; those of one rule have to come in order of time."""
        for one in decisions:
            known = self._of.get(one.rule_id)
            if known is None:
                known = self._of[one.rule_id] = deque()
            known.append(one)
            self._order.append(one)
            self._count += 1
            if len(known) > self._per_rule:
                known.popleft()
                self._count -= 1
        # Those that their rule forgot stay in the order until they come to its end: twice the total bounds both.
        while self._count > self._total or len(self._order) > 2 * self._total:
            self._forget(self._order.popleft())

    def _forget(self, oldest: Decision) -> None:
        known = self._of.get(oldest.rule_id)
        if known and known[0] is oldest:
            known.popleft()
            self._count -= 1
            if not known:
                del self._of[oldest.rule_id]

    def of(self, rule_id: str) -> list[Decision]:
        """The decisions of a rule, the newest first."""
        return list(reversed(self._of.get(rule_id, ())))


def kept(decision: Decision) -> bool:
    """Whether a decision belongs in the journal: an alert changed, or somebody was told or not told."""
    return decision.kind in ("transition", "notification", "restart")
