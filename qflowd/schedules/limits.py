"""Runs and steps that take longer than they may. Pure; times are epoch ms, what is over in ms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from qflowd.model import Execution

SEARCHED = 10_000
"""Steps that one tick looks through; executions beyond keep what was known of them until the next."""


class Steps(Protocol):
    """What is asked of the state."""

    def running_longest(self, execution_id: str, known: str) -> tuple[str, int] | None:
        """The running step that began first and when; ``known``, where it still runs, without a search."""
        ...

    def heard(self, execution_id: str) -> int:
        """The time of the newest event of the execution."""
        ...


def overrun(runs: Sequence[Execution], limit: int, now: int) -> dict[str, int]:
    """Per tenant how much longer than ``limit`` its longest run takes; 0 within it. Pauses count: it is the time since the start."""
    over: dict[str, int] = {}
    for one in runs:
        tenant = one.tenant or ""
        over[tenant] = max(over.get(tenant, 0), now - (one.start_time or now) - limit)
    return over


class Stuck:
    """Remembers which step was found to run longest, so that most ticks look at that one only."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, int]] = {}
        self.left = SEARCHED

    def tick(self) -> None:
        """A new tick may search again."""
        self.left = SEARCHED

    def over(self, runs: Sequence[Execution], limit: int, now: int, steps: Steps) -> dict[str, tuple[int, str]]:
        """Per tenant how much longer than ``limit`` a step runs, and which; 0 within it.

        An execution with no running step is stuck when nothing was heard of it for so long. Paused ones wait for someone, and are not.
        """
        over: dict[str, tuple[int, str]] = {}
        for one in runs:
            tenant = one.tenant or ""
            over.setdefault(tenant, (0, ""))
            if one.status != "running" or now - (one.start_time or now) <= limit:
                continue
            step, since = self._longest(one, steps)
            over[tenant] = max(over[tenant], (now - since - limit, step))
        return over

    def _longest(self, one: Execution, steps: Steps) -> tuple[str, int]:
        name = one.execution_id
        if not one.step_counts.get("running"):
            return "", steps.heard(name)
        known = self._known.get(name)
        size = sum(one.step_counts.values())
        if size > self.left and self.left < SEARCHED:
            return known or ("", steps.heard(name))
        found = steps.running_longest(name, known[0] if known else "")
        if found is None:
            return "", steps.heard(name)
        if known is None or known[0] != found[0]:
            self.left -= size
        self._known[name] = found
        return found

    def forget(self, active: set[str]) -> None:
        """Let go of executions that have ended."""
        if len(self._known) > len(active):
            self._known = {name: step for name, step in self._known.items() if name in active}
