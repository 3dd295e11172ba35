"""One flow that something is expected of: its plan, what was learned for it, and how it stands. Times are epoch ms."""

from __future__ import annotations

from datetime import tzinfo
from typing import Any

import msgspec

from qflowd.cron import CronError, parse, zone
from qflowd.model import Execution, FlowPlan
from qflowd.schedules.expectation import Expectation, Verdict
from qflowd.schedules.learn import Learned
from qflowd.schedules.limits import Steps, Stuck, overrun
from qflowd.schedules.outages import Outages


class Kept(msgspec.Struct, array_like=True):
    """What outlives a restart. ``identity``: the schedule that ``since`` belongs to; ``missed``: the newest missed moments."""

    identity: str
    since: int
    missed: list[int] = []
    learned: Learned | None = None
    learned_at: int = 0


class Watched:
    """A flow under a plan. ``kept`` is what an earlier life knew of it."""

    def __init__(self, flow: str, plan: FlowPlan, kept: Kept | None, now: int) -> None:
        self.flow = flow
        self.runs: list[Execution] = []
        self.starts: dict[str, int] = {}
        self.expectation: Expectation | None = None
        self.verdict: Verdict | None = None
        self.over: dict[str, int] = {}
        self.stuck: dict[str, tuple[int, str]] = {}
        self.learned: Learned | None = kept.learned if kept else None
        self.learned_at = kept.learned_at if kept else 0
        self.refused: Learned | None = None
        """What the last attempt to learn said, where it was not enough."""
        self.apply(plan, kept, now)

    def apply(self, plan: FlowPlan, kept: Kept | None, now: int) -> None:
        """Take a plan; the same schedule goes on from where it stood."""
        self.plan = plan
        cron = self.cron
        if cron is None:
            self.expectation = self.verdict = None
            return
        identity = f"{cron} {plan.timezone}"
        same = kept is not None and kept.identity == identity
        since, missed = (kept.since, kept.missed) if kept is not None and same else (now, [])
        self.identity = identity
        self.expectation = Expectation(parse(cron), self.zone, self.grace, since, missed)
        for name, start in self.starts.items():
            self.expectation.started(name, start)

    @property
    def cron(self) -> str | None:
        """The cron line in force; ``None`` without one, or where it has still to be learned."""
        if self.plan.schedule == "learned":
            return self.learned.schedule if self.learned else None
        return self.plan.schedule

    @property
    def zone(self) -> tzinfo:
        """The plan's; UTC where the machine has lost its name since the file was checked."""
        try:
            return zone(self.plan.timezone)
        except CronError:
            return zone("UTC")

    @property
    def grace(self) -> int:
        learned = self.learned.grace if self.learned and self.plan.schedule == "learned" else None
        return max(self.plan.grace, learned or 0)

    @property
    def limit(self) -> int | None:
        """The longest a run may take."""
        if self.plan.max_duration == "learned":
            return self.learned.max_duration if self.learned else None
        return self.plan.max_duration

    @property
    def learns(self) -> bool:
        """Whether something of the plan has still to be learned."""
        return (self.plan.schedule == "learned" and self.cron is None) or (self.plan.max_duration == "learned" and self.limit is None)

    def kept(self) -> Kept:
        found = self.expectation
        if found is None:
            return Kept("", 0, [], self.learned, self.learned_at)
        return Kept(self.identity, found.since, found.history, self.learned, self.learned_at)

    def started(self, execution_id: str, start: int) -> None:
        """A run was seen."""
        if self.expectation is not None:
            self.expectation.started(execution_id, start)
            self.starts = self.expectation.starts
        else:
            self.starts[execution_id] = start
            if len(self.starts) > 128:
                self.starts = dict(sorted(self.starts.items(), key=lambda one: one[1])[-64:])

    def tick(self, now: int, outages: Outages, steps: Steps, stuck: Stuck) -> None:
        """Judge at ``now``; ``runs`` are those that are active."""
        if self.expectation is not None:
            self.expectation.advance(now, outages)
            self.verdict = self.expectation.verdict(now, {one.execution_id for one in self.runs})
        limit, longest = self.limit, self.plan.max_step_duration
        self.over = overrun(self.runs, limit, now) if limit is not None else {}
        self.stuck = stuck.over(self.runs, longest, now, steps) if longest is not None else {}

    def shown(self) -> dict[str, Any]:
        """What the API says of the flow; plain built-ins, times in epoch ms."""
        plan, verdict, expectation = self.plan, self.verdict, self.expectation
        worst = max(self.stuck.values(), default=(0, ""))
        return {
            "schedule": {
                "expression": self.cron, "timezone": plan.timezone, "grace": self.grace, "maxDuration": self.limit,
                "maxStepDuration": plan.max_step_duration, "learned": "learned" in (plan.schedule, plan.max_duration),
                "confidence": self.learned.confidence if self.learned and plan.schedule == "learned" else None,
                "reason": self._reason(), "pattern": plan.flow, "source": msgspec.to_builtins(plan.source),
                "watchedSince": expectation.since if expectation else None,
            },
            "scheduleState": verdict.state if verdict else "learning" if plan.schedule == "learned" else None,
            "nextRun": verdict.next if verdict else None,
            "lastDue": verdict.due if verdict else None,
            "lastMissed": verdict.last_missed if verdict else None,
            "missedRuns": verdict.missed if verdict else None,
            "unobservedRuns": verdict.unobserved if verdict else None,
            "lateSeconds": None if verdict is None or verdict.late is None else seconds(verdict.late, self.grace),
            "overrunSeconds": max(0, *self.over.values()) / 1000 if self.over else None,
            "stuckSeconds": worst[0] / 1000 if self.stuck else None,
            "stuckStep": worst[1] or None,
        }  # fmt: skip

    def _reason(self) -> str | None:
        if not self.learns:
            return None
        return self.refused.reason if self.refused else "its past has not been looked at yet"


def seconds(late: int, grace: int) -> float:
    """Lateness as the series tells it: 0 within the grace."""
    return late / 1000 if late >= grace else 0.0
