"""What an engine has to say and to keep, until somebody takes it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from qflowd.alerts.ids import Ids
from qflowd.alerts.keep import Kept
from qflowd.alerts.trace import Trace
from qflowd.model import Decision, Transition

if TYPE_CHECKING:
    from qflowd.alerts.step import Step


class News(msgspec.Struct):
    """What is to be committed together: what changed, why, and the state after it (``None``: nothing is left of the rule)."""

    transitions: list[Transition] = []
    decisions: list[Decision] = []
    documents: dict[str, bytes | None] = {}

    def __bool__(self) -> bool:
        return bool(self.transitions or self.decisions or self.documents)


def encoded(kept: Kept) -> bytes | None:
    """The document of a rule's state."""
    return None if kept.empty() else msgspec.msgpack.encode(kept)


class Ledger:
    """Collects transitions, decisions and states. ``ids(time)`` names alerts and decisions."""

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self.ids = Ids(random)
        self.trace = Trace()
        self._news = News()
        self._soft: dict[str, None] = {}

    def take(self) -> News:
        """What came since the last call, with the documents as they stood right after it."""
        found, self._news = self._news, News()
        return found

    def soft(self, limit: int) -> list[str]:
        """At most ``limit`` rules of which only values changed since their documents were taken; each is given once."""
        found = list(islice(self._soft, limit))
        for rule_id in found:
            del self._soft[rule_id]
        return found

    def report(self, step: Step) -> None:
        """What a step decided."""
        self._news.transitions += step.transitions
        self._news.decisions += step.decisions
        self.trace.add(step.decisions)

    def keep(self, rule_id: str, kept: Kept, *, urgent: bool) -> None:
        """The state of a rule changed: in a timer or a status (``urgent``), or in a value alone."""
        if urgent:
            self._soft.pop(rule_id, None)
            self._news.documents[rule_id] = encoded(kept)
        else:
            self._soft[rule_id] = None

    def forget(self, rule_id: str, *, known: bool) -> None:
        """Nothing is left of a rule; ``known``: there may be a document of it."""
        self._soft.pop(rule_id, None)
        if known:
            self._news.documents[rule_id] = None

    def note(self, rule_id: str, text: str, now: int) -> None:
        """Something to know about a rule that changes no alert: for the trace alone."""
        self.trace.add([Decision(id=self.ids(now), time=now, rule_id=rule_id, kind="evaluation", text=text)])
