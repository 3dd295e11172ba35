"""What is expected of flows, and what became of it: missed, late, overrun and stuck, as samples and for the API.

Pure: plans, executions and times in, samples out. Times are epoch ms.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from qflowd.model import Execution, FlowPlan, Sample
from qflowd.schedules.learn import Learned
from qflowd.schedules.limits import Steps, Stuck
from qflowd.schedules.outages import TOLERATED, Outages
from qflowd.schedules.watched import Kept, Watched, seconds

__all__ = ["FLOWS", "Schedules"]

FLOWS = 1000
"""Flows that are watched; ids come from outside, and a glob may match any number of them."""
REFRESH = 15_000
"""A series that stays as it is tells so this often, well within PromQL's five minutes."""
UNMATCHED = 10_000
_GLOB = frozenset("*?[")


class _Dump(msgspec.Struct):
    alive: int
    outages: list[tuple[int, int]]
    before: int
    flows: dict[str, Kept]


def is_glob(flow: str) -> bool:
    return not _GLOB.isdisjoint(flow)


class Schedules:
    """``configure`` with the plans of the file, ``observe`` each change of an execution, ``tick`` each second.

    ``refused`` counts flows that match a glob and found no place.
    """

    def __init__(self) -> None:
        self.refused = 0
        self.flows: dict[str, Watched] = {}
        self.outages = Outages()
        self._plans: dict[str, FlowPlan] = {}
        self._globs: list[FlowPlan] = []
        self._kept: dict[str, Kept] = {}
        self._unmatched: set[str] = set()
        self._shown: dict[tuple[str, str, str], tuple[float, int]] = {}
        self._stuck = Stuck()
        self._seen = 0
        self._blind: int | None = None

    def configure(self, plans: Iterable[FlowPlan], now: int) -> None:
        """Take these plans. A flow's own entry goes before globs, and those in the order of the file.

        A flow whose schedule stays goes on from where it stood; one without a plan is forgotten.
        """
        plans = list(plans)
        self._plans = {plan.flow: plan for plan in plans if not is_glob(plan.flow)}
        self._globs = [plan for plan in plans if is_glob(plan.flow)]
        self._unmatched.clear()
        for flow in [*self.flows, *self._kept]:
            plan = self._plan(flow)
            if plan is None:
                self.flows.pop(flow, None)
                self._kept.pop(flow, None)
            elif flow in self.flows and self.flows[flow].plan != plan:
                self.flows[flow].apply(plan, self.flows[flow].kept(), now)
        for flow in [*self._plans, *self._kept]:
            self._watch(flow, now)

    def _plan(self, flow: str) -> FlowPlan | None:
        return self._plans.get(flow) or next((plan for plan in self._globs if fnmatchcase(flow, plan.flow)), None)

    def _watch(self, flow: str, now: int) -> Watched | None:
        found = self.flows.get(flow)
        if found is not None or flow in self._unmatched or not (self._plans or self._globs):
            return found
        plan = self._plan(flow)
        if plan is not None and (len(self.flows) < FLOWS or flow in self._plans):
            found = self.flows[flow] = Watched(flow, plan, self._kept.pop(flow, None), now)
            return found
        self.refused += plan is not None
        if len(self._unmatched) >= UNMATCHED:
            self._unmatched.clear()
        self._unmatched.add(flow)
        return None

    def observe(self, one: Execution, now: int) -> None:
        """An execution is new or other than before. A start ahead of the clock counts as now."""
        found = self._watch(one.flow_id, now)
        if found is not None and one.start_time is not None:
            found.started(one.execution_id, min(one.start_time, now))

    def tick(self, now: int, active: Iterable[Execution], steps: Steps, *, observing: bool = True) -> list[Sample]:
        """Judge all at ``now``; the samples that have to be told. ``observing``: events can be taken."""
        if not self.flows:
            self._look(now, observing)
            return self._end(now, set()) if self._shown else []
        self._look(now, observing)
        for found in self.flows.values():
            found.runs = []
        names: set[str] = set()
        for one in active:
            watched = self._watch(one.flow_id, now)
            if watched is not None:
                watched.runs.append(one)
                names.add(one.execution_id)
        self._stuck.tick()
        self._stuck.forget(names)
        samples: list[Sample] = []
        told: set[tuple[str, str, str]] = set()
        for found in self.flows.values():
            found.tick(now, self.outages, steps, self._stuck)
            for name, tenant, value in _series(found):
                told.add((name, found.flow, tenant))
                self._put(samples, name, found.flow, tenant, value, now)
        return samples + self._end(now, told)

    def _look(self, now: int, observing: bool) -> None:
        """Notes when nothing could be seen since the last tick."""
        if self._seen and now - self._seen > 1000 + TOLERATED:
            # The process was stopped, or the machine slept.
            self.outages.add(self._seen, now - 1000)
        self._blind = None if observing else self._seen or now if self._blind is None else self._blind
        if self._blind is not None:
            self.outages.add(self._blind, now)
        self._seen = now

    def _put(self, samples: list[Sample], name: str, flow: str, tenant: str, value: float, now: int) -> None:
        shown = self._shown.get((name, flow, tenant))
        if shown is None or shown[0] != value or now - shown[1] >= REFRESH:
            self._shown[name, flow, tenant] = (value, now)
            samples.append(Sample(name, _labels(flow, tenant), now, value))

    def _end(self, now: int, told: set[tuple[str, str, str]]) -> list[Sample]:
        """Staleness markers for what was told before and is not known any more."""
        gone = [key for key in self._shown if key not in told]
        for key in gone:
            del self._shown[key]
        return [Sample(name, _labels(flow, tenant), now, None) for name, flow, tenant in gone]

    def shown(self, flow: str) -> dict[str, Any] | None:
        """What the API says of a flow; ``None`` where nothing is expected of it."""
        found = self.flows.get(flow)
        return None if found is None else found.shown()

    def learning(self) -> list[Watched]:
        """The flows of which something has still to be learned."""
        return [one for one in self.flows.values() if one.learns]

    def learned(self, flow: str, found: Learned, now: int, *, again: bool = False) -> bool:
        """Take what was learned, where it says enough; what a flow has already stays unless ``again``. Whether it was taken."""
        watched = self.flows.get(flow)
        if watched is None:
            return False
        before, kept = watched.learned, watched.kept()
        have_cron, have_limit = (before.schedule, before.max_duration) if before and not again else (None, None)
        wants_cron = watched.plan.schedule == "learned" and have_cron is None
        wants_limit = watched.plan.max_duration == "learned" and have_limit is None
        watched.refused = found if (wants_cron and found.schedule is None) or (wants_limit and found.max_duration is None) else None
        takes_cron, takes_limit = wants_cron and found.schedule is not None, wants_limit and found.max_duration is not None
        if not takes_cron and not takes_limit:
            return False
        base = found if takes_cron or before is None else before
        watched.learned = msgspec.structs.replace(
            base,
            schedule=found.schedule if takes_cron else before.schedule if before else None,
            max_duration=found.max_duration if takes_limit else before.max_duration if before else None,
        )
        watched.learned_at = now
        watched.apply(watched.plan, kept, now)
        return True

    def dump(self, now: int) -> bytes:
        """What outlives a restart."""
        kept = {flow: one.kept() for flow, one in self.flows.items()}
        return msgspec.json.encode(_Dump(now, self.outages.stretches, self.outages.before, kept))

    def restore(self, blob: bytes, now: int) -> None:
        """Go on from a dump; the time between was not seen. ``configure`` is called after it."""
        found = msgspec.json.decode(blob, type=_Dump)
        self.outages = Outages(found.outages, found.before)
        self.outages.add(found.alive, now)
        self._seen = now
        self._kept = found.flows


def _labels(flow: str, tenant: str) -> dict[str, str]:
    return {"flow": flow, "tenant": tenant} if tenant else {"flow": flow}


def _series(one: Watched) -> Iterable[tuple[str, str, float]]:
    """(name, tenant, value) of what is known of a flow."""
    verdict = one.verdict
    if verdict is not None:
        yield "flow_missed_runs", "", verdict.missed
        if verdict.unobserved:
            yield "flow_unobserved_runs", "", verdict.unobserved
        if verdict.late is not None:
            yield "flow_late_seconds", "", seconds(verdict.late, one.grace)
        if verdict.next is not None:
            yield "flow_next_run_timestamp_seconds", "", verdict.next / 1000
    for tenant, over in one.over.items():
        yield "flow_overrun_seconds", tenant, max(0, over) / 1000
    for tenant, (over, _) in one.stuck.items():
        yield "flow_stuck_step_seconds", tenant, over / 1000
