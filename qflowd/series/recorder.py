"""Turns changes into the flow, step, validation and module series of metrics.md."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from qflowd.model import FAILED, TERMINAL, Change, Execution, ExecutionChanged, ModuleReport, Sample, StepEnded, ValidationRun
from qflowd.series.sketch import Sketch
from qflowd.series.store import SeriesStore

BUCKET = 5_000
WINDOW = 300_000
FLOWS = 200
LAYERS = 50


class Slot:
    """What ended in 5 s."""

    __slots__ = ("bad", "cached", "count", "latency", "probed", "time")

    def __init__(self, time: int) -> None:
        self.time, self.count, self.bad, self.cached, self.probed, self.latency = time, 0, 0, 0, 0, Sketch()


class Window:
    """Slots of the last 5 min."""

    def __init__(self) -> None:
        self.slots: dict[int, Slot] = {}

    def add(self, time: int, duration: float | None, bad: bool, cached: bool | None = None) -> None:
        at = time // BUCKET
        slot = self.slots.get(at) or self.slots.setdefault(at, Slot(at * BUCKET))
        slot.count += 1
        slot.bad += bad
        if cached is not None:
            slot.probed += 1
            slot.cached += cached
        if duration is not None:
            slot.latency.add(duration)

    def sum(self, now: int, length: int = WINDOW) -> Slot:
        total = Slot(now)
        for at in [at for at in self.slots if at * BUCKET <= now - WINDOW]:
            del self.slots[at]
        for slot in self.slots.values():
            if now - length < slot.time <= now:
                total.count, total.bad = total.count + slot.count, total.bad + slot.bad
                total.cached, total.probed = total.cached + slot.cached, total.probed + slot.probed
                total.latency.merge(slot.latency)
        return total


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


class Recorder:
    """Call ``observe`` for every change and ``tick`` every second."""

    def __init__(self) -> None:
        self._runs, self._steps, self._checks = Window(), Window(), Window()
        self._flows: dict[tuple[str, str], Window] = {}
        self._success: dict[tuple[str, str], int] = {}
        self._layers: dict[str, Window] = {}
        self._pending: deque[Sample] = deque(maxlen=10_000)
        self._present: dict[tuple[str, tuple[tuple[str, str], ...]], dict[str, str]] = {}

    def observe_ended(self, one: Execution) -> None:
        if one.status not in TERMINAL or one.end_time is None:
            return
        bad = one.status in FAILED
        self._runs.add(one.end_time, one.duration_ms, bad)
        key = (one.flow_id, one.tenant or "")
        if key in self._flows or len(self._flows) < FLOWS:
            self._flows.setdefault(key, Window()).add(one.end_time, one.duration_ms, bad)
            if not bad:
                self._success[key] = max(self._success.get(key, 0), one.end_time)

    def observe(self, change: Change, now: int) -> None:
        if isinstance(change, ExecutionChanged):
            if change.before not in TERMINAL:
                self.observe_ended(change.execution)
        elif isinstance(change, StepEnded):
            end = change.step.end_time
            self._steps.add(now if end is None else end, change.step.duration_ms, change.step.status in ("failure", "timeout"))
        elif isinstance(change, ValidationRun):
            self._checks.add(change.time, change.duration_ms, not change.valid, change.cache_hit)
            for name, layer in change.layers.items():
                if name in self._layers or len(self._layers) < LAYERS:
                    window = self._layers.setdefault(name, Window())
                    window.add(change.time, layer.get("durationMs"), layer.get("valid") is False, layer.get("cacheHit"))
        elif isinstance(change, ModuleReport):
            labels = {**change.labels, "module": change.module}
            self._pending.extend(Sample(f"module_{name}", labels, change.time, value) for name, value in change.metrics.items())

    def tick(self, now: int, executions_active: Iterable[Execution]) -> list[Sample]:
        """All series at ``now`` (ms); a rate that lost its data yields one staleness marker."""
        found = list(self._pending)
        self._pending.clear()

        def put(name: str, value: float | None, **labels: str) -> None:
            key = (name, tuple(labels.items()))
            if value is not None:
                self._present[key] = labels
            elif self._present.pop(key, None) is None:
                return
            found.append(Sample(name, labels, now, value))

        active, flows = {"running": 0, "queued": 0, "paused": 0}, dict.fromkeys(self._flows, 0)
        for one in executions_active:
            active[one.status] = active.get(one.status, 0) + 1
            key = (one.flow_id, one.tenant or "")
            if key in flows or len(flows) < FLOWS:
                flows[key] = flows.get(key, 0) + 1
        put("active_executions", active["running"])
        put("queued_executions", active["queued"])
        put("paused_executions", active["paused"])
        put("throughput", self._runs.sum(now, 60_000).count)
        kinds = (("execution", "flows", self._runs), ("step", "steps", self._steps), ("validation", "validations", self._checks))
        for kind, plural, window in kinds:
            put(f"{plural}_per_second", window.sum(now, 10_000).count / 10)
            total = window.sum(now)
            for q in (50, 95, 99):
                put(f"{kind}_latency_p{q}", total.latency.quantile(q / 100))
            if kind == "execution":
                put("latency_p99", total.latency.quantile(0.99))
                put("error_rate", _ratio(total.bad, total.count))
            elif kind == "step":
                put("step_error_rate", _ratio(total.bad, total.count))
            else:
                put("validation_success_rate", _ratio(total.count - total.bad, total.count))
                put("cache_hit_rate", _ratio(total.cached, total.probed))
        for key, running in flows.items():
            labels = {"flow": key[0], "tenant": key[1]}
            own = self._flows.get(key) or Window()
            total, success = own.sum(now), self._success.get(key)
            put("flow_throughput", own.sum(now, 60_000).count, **labels)
            put("flow_latency_p95", total.latency.quantile(0.95), **labels)
            put("flow_error_rate", _ratio(total.bad, total.count), **labels)
            put("flow_active_executions", running, **labels)
            put("flow_last_success_age_seconds", None if success is None else max(0, now - success) / 1000, **labels)
        for name, window in self._layers.items():
            total = window.sum(now)
            put("validation_layer_latency_p95", total.latency.quantile(0.95), layer=name)
            put("validation_layer_success_rate", _ratio(total.count - total.bad, total.count), layer=name)
            put("validation_layer_cache_hit_rate", _ratio(total.cached, total.probed), layer=name)
        return found

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
        ended = [window.sum(now) for window in (self._runs, self._steps, self._checks)]
        return {
            "latency": {shown: {p: first(f"{name}_latency_{p}") for p in ("p50", "p95", "p99")} for shown, name in names},
            "throughput": {
                "flowsPerSecond": first("flows_per_second"), "flowsPerMinute": first("throughput"),
                "validationsPerSecond": first("validations_per_second"), "stepsPerSecond": first("steps_per_second"),
            },
            "errorRates": {
                "flowExecution": first("error_rate"), "validation": None if valid is None else 1 - valid,
                "stepExecution": first("step_error_rate"),
                "overall": _ratio(sum(one.bad for one in ended), sum(one.count for one in ended)),
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
