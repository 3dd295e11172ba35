"""Turns changes into the flow, step, validation and module series of metrics.md."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from typing import Any

from qflowd.model import FAILED, TERMINAL, Change, Execution, ExecutionChanged, ModuleReport, Sample, StepEnded, ValidationRun
from qflowd.series.store import SeriesStore
from qflowd.series.window import Window

FLOWS = 200
LAYERS = 50
MODULE_SERIES = 500
FORGET = 3_600_000
"""How long (ms) a module's series that is not reported keeps its place."""
_BAD = re.compile(r"[^a-zA-Z0-9_:]")


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


class Group:
    """Series of the same labels. ``present``: those whose last sample had a value."""

    __slots__ = ("labels", "present", "running", "seen", "success", "window")

    def __init__(self, labels: dict[str, str], now: int = 0) -> None:
        self.labels, self.window = labels, Window()
        self.present: set[str] = set()
        self.running, self.seen = 0, now
        self.success: int | None = None

    def put(self, found: list[Sample], now: int, name: str, value: float | None) -> None:
        """A value, or one staleness marker where it went away."""
        if value is not None:
            self.present.add(name)
        elif name in self.present:
            self.present.discard(name)
        else:
            return
        found.append(Sample(name, self.labels, now, value))

    def idle(self) -> bool:
        return not self.running and not self.window.total.count

    def end(self, found: list[Sample], now: int) -> None:
        """Markers for all that is present."""
        for name in sorted(self.present):
            self.put(found, now, name, None)


class Recorder:
    """Call ``observe`` for every change and ``tick`` every second.

    Flows and layers have a bounded number of places; when all are taken, the longest idle gives its place to a new one.
    ``refused`` counts what found none.
    """

    def __init__(self) -> None:
        self.refused = 0
        self._all, self._steps, self._checks = Group({}), Group({}), Group({})
        self._flows: dict[tuple[str, str], Group] = {}
        self._layers: dict[str, Group] = {}
        self._modules: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}
        self._pending: deque[Sample] = deque(maxlen=10_000)
        self._now = 0

    def _room(self, groups: dict[Any, Group], limit: int) -> bool:
        if len(groups) < limit:
            return True
        idle = [key for key, one in groups.items() if one.idle()]
        if not idle:
            self.refused += 1
            return False
        oldest = groups.pop(min(idle, key=lambda key: groups[key].seen))
        markers: list[Sample] = []
        oldest.end(markers, self._now)
        self._pending.extend(markers)
        return True

    def _flow(self, one: Execution) -> Group | None:
        key = (one.flow_id, one.tenant or "")
        found = self._flows.get(key)
        if found is None and self._room(self._flows, FLOWS):
            found = self._flows[key] = Group({"flow": key[0], "tenant": key[1]}, self._now)
            # A flow that is seen between two ticks must not lose its place before it is counted.
            found.running = 1 if one.end_time is None and one.status != "stale" else 0
        return found

    def observe_ended(self, one: Execution, now: int | None = None) -> None:
        """Counts an execution that ended; one that has not is left alone. An end ahead of ``now`` counts as now."""
        if one.status not in TERMINAL or one.end_time is None:
            return
        bad = one.status in FAILED
        end = one.end_time if now is None else min(one.end_time, now)
        self._all.window.add(end, one.duration_ms, bad)
        group = self._flow(one)
        if group is not None:
            group.window.add(end, one.duration_ms, bad)
            group.seen = max(group.seen, end)
            if not bad:
                group.success = max(group.success or 0, end)

    def observe(self, change: Change, now: int) -> None:
        """Any change of the state; each must be told once."""
        self._now = max(self._now, now)
        if isinstance(change, ExecutionChanged):
            if change.before not in TERMINAL:
                if change.execution.status in TERMINAL:
                    self.observe_ended(change.execution, now)
                elif change.before is None:
                    self._flow(change.execution)
        elif isinstance(change, StepEnded):
            end = change.step.end_time
            time = now if end is None else min(end, now)
            self._steps.window.add(time, change.step.duration_ms, change.step.status in ("failure", "timeout"))
        elif isinstance(change, ValidationRun):
            time = min(change.time, now)
            self._checks.window.add(time, change.duration_ms, not change.valid, change.cache_hit)
            for name, layer in change.layers.items():
                group = self._layers.get(name)
                if group is None and self._room(self._layers, LAYERS):
                    group = self._layers[name] = Group({"layer": name}, now)
                if group is not None:
                    group.window.add(time, layer.get("durationMs"), layer.get("valid") is False, layer.get("cacheHit"))
                    group.seen = max(group.seen, time)
        elif isinstance(change, ModuleReport):
            self._report(change, now)

    def _report(self, report: ModuleReport, now: int) -> None:
        labels = {**report.labels, "module": report.module}
        key = tuple(sorted(labels.items()))
        for name, value in report.metrics.items():
            # PromQL can name only these characters.
            shown = "module_" + _BAD.sub("_", name)
            if (shown, key) not in self._modules and len(self._modules) >= MODULE_SERIES:
                self._modules = {one: seen for one, seen in self._modules.items() if now - seen < FORGET}
                if len(self._modules) >= MODULE_SERIES:
                    self.refused += 1
                    continue
            self._modules[shown, key] = now
            # A time ahead of the clock would make every right point after it late.
            self._pending.append(Sample(shown, labels, min(report.time, now), value))

    def tick(self, now: int, executions_active: Iterable[Execution]) -> list[Sample]:
        """All series at ``now`` (ms); a rate that lost its data yields one staleness marker."""
        self._now = max(self._now, now)
        for group in self._flows.values():
            group.running = 0
        active: dict[str, int] = {"running": 0, "queued": 0, "paused": 0}
        running: dict[tuple[str, str | None], list[Execution]] = {}
        for one in executions_active:
            active[one.status] = active.get(one.status, 0) + 1
            same = running.get((one.flow_id, one.tenant))
            if same is None:
                running[one.flow_id, one.tenant] = [one]
            else:
                same.append(one)
        # Those that have their place first, so that a new flow does not take one from a flow that runs.
        for key, same in running.items():
            found_group = self._flows.get((key[0], key[1] or ""))
            if found_group is not None:
                found_group.running, found_group.seen = len(same), now
        for key, same in running.items():
            if (key[0], key[1] or "") not in self._flows and (fresh := self._flow(same[0])) is not None:
                fresh.running = len(same)
        found = list(self._pending)
        self._pending.clear()
        for name, count in active.items():
            if name in ("running", "queued", "paused"):
                self._all.put(found, now, "active_executions" if name == "running" else f"{name}_executions", count)
        self._totals(found, now)
        for group in self._flows.values():
            self._of_flow(group, found, now)
        for group in self._layers.values():
            group.window.advance(now)
            total, put = group.window.total, group.put
            put(found, now, "validation_layer_latency_p95", group.window.quantile(0.95))
            put(found, now, "validation_layer_success_rate", _ratio(total.count - total.bad, total.count))
            put(found, now, "validation_layer_cache_hit_rate", _ratio(total.cached, total.probed))
        return found

    def _totals(self, found: list[Sample], now: int) -> None:
        kinds = (("execution", "flows", self._all), ("step", "steps", self._steps), ("validation", "validations", self._checks))
        for kind, plural, group in kinds:
            window, put = group.window, group.put
            window.advance(now)
            total = window.total
            put(found, now, f"{plural}_per_second", window.ended(now, 10) / 10)
            for q in (50, 95, 99):
                put(found, now, f"{kind}_latency_p{q}", window.quantile(q / 100))
            if kind == "execution":
                put(found, now, "throughput", window.ended(now, 60))
                put(found, now, "latency_p99", window.quantile(0.99))
                put(found, now, "error_rate", _ratio(total.bad, total.count))
            elif kind == "step":
                put(found, now, "step_error_rate", _ratio(total.bad, total.count))
            else:
                put(found, now, "validation_success_rate", _ratio(total.count - total.bad, total.count))
                put(found, now, "cache_hit_rate", _ratio(total.cached, total.probed))

    def _of_flow(self, group: Group, found: list[Sample], now: int) -> None:
        window, put, success = group.window, group.put, group.success
        window.advance(now)
        put(found, now, "flow_throughput", window.ended(now, 60))
        put(found, now, "flow_latency_p95", window.quantile(0.95))
        put(found, now, "flow_error_rate", _ratio(window.total.bad, window.total.count))
        put(found, now, "flow_active_executions", group.running)
        put(found, now, "flow_last_success_age_seconds", None if success is None else max(0, now - success) / 1000)

    def real_time_metrics(self, store: SeriesStore, now: int) -> dict[str, Any]:
        """``realTimeMetrics`` of api.md; null where unknown."""

        def values(name: str) -> list[float]:
            return [value for one in store.select(name, ()) if (value := one.at(now)) is not None]

        def first(name: str) -> float | None:
            return next(iter(values(name)), None)

        def total(name: str) -> float | None:
            return sum(found) if (found := values(name)) else None

        valid = first("validation_success_rate")
        names = (("flowExecution", "execution"), ("validation", "validation"), ("stepExecution", "step"))
        ended = [group.window for group in (self._all, self._steps, self._checks)]
        for window in ended:
            window.advance(now)
        return {
            "latency": {shown: {p: first(f"{name}_latency_{p}") for p in ("p50", "p95", "p99")} for shown, name in names},
            "throughput": {
                "flowsPerSecond": first("flows_per_second"), "flowsPerMinute": first("throughput"),
                "validationsPerSecond": first("validations_per_second"), "stepsPerSecond": first("steps_per_second"),
            },
            "errorRates": {
                "flowExecution": first("error_rate"), "validation": None if valid is None else 1 - valid,
                "stepExecution": first("step_error_rate"),
                "overall": _ratio(sum(one.total.bad for one in ended), sum(one.total.count for one in ended)),
            },
            "resourceUtilization": {
                "cpu": first("cpu_utilization"), "memory": first("memory_utilization"), "swap": first("swap_utilization"),
                "load1": first("load1"), "disk": max(values("disk_utilization"), default=None),
                "network": {
                    "receiveBytesPerSecond": total("network_receive_bytes_per_second"),
                    "transmitBytesPerSecond": total("network_transmit_bytes_per_second"),
                },
                "storage": max(values("disk_utilization"), default=None),
            },
        }  # fmt: skip
