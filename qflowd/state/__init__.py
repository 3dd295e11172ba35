"""Executions, steps, validations and modules, folded from events in any order. No I/O and no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from qflowd.model import (
    FAILED, Change, Event, Execution, ExecutionChanged, Level, Logged, LogLine, ModuleReport, Step, StepEnded, ValidationRun,
)  # fmt: skip
from qflowd.state.record import STEPS, VALIDATIONS, Key, Record, StepRecord, decode, encode

EXEC = "q.qflow.exec."
STARTED = ("flowVersion", "triggerType", "daoSubnet", "estimatedDuration", "priority", "labels", "actor")
WINDOW = 300_000

Row = tuple[str, str, str, str | None, int, int | None, str, bytes]


def decode_record(record: bytes) -> tuple[Execution, list[Step], list[ValidationRun]]:
    """The views in an execution's stored record."""
    found = decode(record)
    return found.view(), [one.view(name) for name, one in found.steps.items()], [run for _, run in found.validations.values()]


class State:
    """The fold. ``tail``: ended executions kept in memory; ``stale_after`` in ms."""

    def __init__(self, *, tail: int = 2000, stale_after: int = 86_400_000) -> None:
        self.tail, self.stale_after = tail, stale_after
        self._records: dict[str, Record] = {}
        self._active: dict[str, Record] = {}
        self._ended: dict[str, Record] = {}
        self._dirty: set[str] = set()
        self._runs: deque[ValidationRun] = deque(maxlen=10_000)
        self._modules: dict[str, ModuleReport] = {}

    def missing(self, events: Iterable[Event]) -> set[str]:
        """Execution ids that the events name and memory does not hold."""
        return {name for event in events if (name := self._named(event)) and name not in self._records}

    @staticmethod
    def _named(event: Event) -> str | None:
        name = event.data.get("executionId") if event.type.startswith(EXEC) else None
        if event.type.startswith("q.qflow.validation.") and event.data.get("operationType") in ("execution", "flow_execution"):
            name = event.data.get("operationId")
        return name if isinstance(name, str) else None

    def restore(self, record: bytes) -> None:
        found = decode(record)
        self._records[found.execution_id] = found
        self._place(found)

    def _place(self, record: Record) -> None:
        ended = record.end is not None or record.stale
        (self._active if ended else self._ended).pop(record.execution_id, None)
        (self._ended if ended else self._active)[record.execution_id] = record

    def apply(self, event: Event, now: int) -> list[Change]:
        name = self._named(event)
        changes: list[Change] = []
        flow = event.data.get("flowId")
        if name is not None:
            record = self._records.get(name)
            before = None if record is None else record.status()
            if record is None:
                record = self._records[name] = Record(name, first=event.time, last=event.time)
            self._fold(record, event, changes)
            after = record.status()
            if before is None or before != after:
                self._place(record)
            self._dirty.add(name)
            flow = record.get("flowId") or "unknown"
            changes.insert(0, ExecutionChanged(record.view(), before))
        elif event.type.startswith("q.qflow.validation."):
            changes.append(self._validation(event))
        elif event.type.startswith("q.qflow.module."):
            data = event.data
            numbers = {k: float(v) for k, v in data["metrics"].items() if isinstance(v, int | float)}
            report = ModuleReport(data["module"], event.time, numbers, data.get("labels") or {}, data.get("healthy"))
            held = self._modules.get(report.module)
            if held is None or held.time <= report.time:
                self._modules[report.module] = report
            changes.append(report)
        changes.append(Logged(_line(event, name, flow if isinstance(flow, str) else None)))
        return changes

    def _fold(self, record: Record, event: Event, changes: list[Change]) -> None:
        data, kind = event.data, event.type[len(EXEC):]
        key: Key = (event.time, event.source, event.id)
        record.stale = False
        record.first, record.last = min(record.first, event.time), max(record.last, event.time)
        record.latest("flowId", key, data.get("flowId") or None)
        if kind.startswith("step."):
            self._step(record, kind, key, data, changes)
        elif kind.startswith("started"):
            if record.start is None or key < record.start[0]:
                record.start = (key, {})
            for field in STARTED:
                record.latest(field, key, data.get(field))
            record.latest("source", key, event.source)
        elif kind.startswith("progress"):
            record.latest("progress", key, data.get("progress"))
            record.latest("currentStep", key, data.get("currentStep"))
        elif kind.startswith(("paused", "resumed")):
            record.latest("paused", key, kind.startswith("paused"))
        elif kind.startswith("completed"):
            if record.end is None or key < record.end[0]:
                record.end = (key, data)
        elif event.type.startswith("q.qflow.validation."):
            run = self._validation(event)
            held = record.validations.get(run.validation_id)
            if (held is None and len(record.validations) < VALIDATIONS) or (held is not None and key < held[0]):
                record.validations[run.validation_id] = (key, run)
            changes.append(run)

    def _step(self, record: Record, kind: str, key: Key, data: dict[str, Any], changes: list[Change]) -> None:
        step_id = data["stepId"]
        step = record.steps.get(step_id)
        before = None if step is None else step.status()
        if step is None:
            if len(record.steps) >= STEPS:
                return
            step = record.steps[step_id] = StepRecord()
        first_end = step.ended is None
        if kind.startswith("step.dispatched"):
            if step.begun is None or key > step.begun[0]:
                step.begun = (key, data)
            record.latest("currentStep", key, data.get("stepName") or step_id)
        else:
            if step.ended is None or key > step.ended[0]:
                step.ended = (key, data)
            if data.get("error") and data["status"] in ("failure", "timeout") and (not record.failing or key < record.failing[0]):
                record.failing = (key, {**data["error"], "stepId": step_id})
        after = step.status()
        if before != after:
            if before is not None:
                record.counts[before] -= 1
                if not record.counts[before]:
                    del record.counts[before]
            record.counts[after] = record.counts.get(after, 0) + 1
        if first_end and step.ended is not None:
            changes.append(StepEnded(record.execution_id, record.get("flowId") or "unknown", step.view(step_id)))

    def _validation(self, event: Event) -> ValidationRun:
        data, result = event.data, event.data["pipelineResult"]
        overall = result.get("overall") or {}
        layers = {name: layer for name, layer in result.items() if name != "overall" and isinstance(layer, dict)}
        run = ValidationRun(
            data["validationId"], data["operationType"], data["operationId"], event.time, bool(overall.get("valid")),
            float(overall.get("durationMs") or 0), data.get("cacheHit"), layers,
        )  # fmt: skip
        self._runs.append(run)
        return run

    def expire(self, now: int) -> list[Change]:
        """Marks active executions without an event for ``stale_after`` as stale."""
        changes: list[Change] = []
        for record in [one for one in self._active.values() if now - one.last > self.stale_after]:
            before, record.stale = record.status(), True
            self._place(record)
            self._dirty.add(record.execution_id)
            changes.append(ExecutionChanged(record.view(), before))
        return changes

    def dirty(self) -> list[Row]:
        """Takes what changed: (id, flow, status, tenant, start, end, text, record). Clean ended ones over the tail go."""
        rows: list[Row] = []
        for name in self._dirty:
            record = self._records[name]
            one = record.view()
            text = " ".join([name, one.flow_id, *one.labels.values(), str((one.error or {}).get("message", ""))])
            rows.append((name, one.flow_id, one.status, one.tenant, one.start_time or 0, one.end_time, text, encode(record)))
        excess = len(self._ended) - self.tail
        if excess > 0:
            for name in [one for one in self._ended if one not in self._dirty][:excess]:
                del self._ended[name], self._records[name]
        self._dirty = set()
        return rows

    def touch(self, ids: Iterable[str]) -> None:
        """Marks executions as changed again, where saving them failed."""
        self._dirty.update(one for one in ids if one in self._records)

    def executions(self) -> Iterable[Execution]:
        return (record.view() for record in self._records.values())

    def execution(self, execution_id: str) -> Execution | None:
        record = self._records.get(execution_id)
        return None if record is None else record.view()

    def steps(self, execution_id: str) -> list[Step]:
        record = self._records.get(execution_id)
        return [] if record is None else [one.view(name) for name, one in record.steps.items()]

    def validations(self, execution_id: str) -> list[ValidationRun]:
        record = self._records.get(execution_id)
        return [] if record is None else [run for _, run in record.validations.values()]

    def active(self) -> list[Execution]:
        return [record.view() for record in self._active.values()]

    def recent(self, n: int) -> list[Execution]:
        found = [record.view() for record in self._ended.values()]
        return sorted(found, key=lambda one: one.end_time or 0, reverse=True)[:n]

    def flows(self) -> list[dict[str, Any]]:
        groups: dict[str, list[Execution]] = {}
        for one in self.executions():
            groups.setdefault(one.flow_id, []).append(one)
        return [_flow(flow, group) for flow, group in groups.items()]

    def modules(self) -> list[dict[str, Any]]:
        return [
            {"module": one.module, "time": one.time, "metrics": one.metrics, "labels": one.labels, "healthy": one.healthy}
            for one in self._modules.values()
        ]

    def validation(self, now: int) -> dict[str, Any]:
        """``validationPipeline`` over the last 5 min; null where unknown."""
        runs = [run for run in self._runs if now - WINDOW < run.time <= now]
        layers: dict[str, list[tuple[ValidationRun, dict[str, Any]]]] = {}
        for run in runs:
            for name, layer in run.layers.items():
                layers.setdefault(name, []).append((run, layer))
        return {
            "totalOperations": len(runs),
            "successRate": _mean(run.valid for run in runs),
            "avgDuration": _mean(run.duration_ms for run in runs),
            "cacheHitRate": _mean(run.cache_hit for run in runs),
            "layerPerformance": {name: _layer(name, found) for name, found in layers.items()},
        }


def _mean(values: Iterable[float | None]) -> float | None:
    known = [float(one) for one in values if one is not None]
    return sum(known) / len(known) if known else None


def _layer(name: str, found: list[tuple[ValidationRun, dict[str, Any]]]) -> dict[str, Any]:
    failures = [
        {"check": name, "reason": str(reason), "executionId": run.operation_id, "time": run.time}
        for run, layer in found if layer.get("valid") is False for reason in layer.get("errors") or ["invalid"]
    ]  # fmt: skip
    return {
        "avgDuration": _mean(layer.get("durationMs") for _, layer in found),
        "successRate": _mean(layer.get("valid") for _, layer in found),
        "cacheHitRate": _mean(layer.get("cacheHit") for _, layer in found),
        "failures": failures[-20:],
    }


def _flow(flow: str, group: list[Execution]) -> dict[str, Any]:
    ended = [one for one in group if one.end_time is not None]
    times = sorted(one.duration_ms for one in ended if one.duration_ms is not None)
    last = max(group, key=lambda one: one.start_time or 0)
    counts: dict[str, int] = {}
    for one in group:
        counts[one.status] = counts.get(one.status, 0) + 1
    return {
        "flowId": flow, "tenant": last.tenant, "counts": counts, "executions": len(group),
        "latency": {f"p{p}": times[(len(times) - 1) * p // 100] if times else None for p in (50, 95, 99)},
        "errorRate": _mean(one.status in FAILED for one in ended), "lastExecution": last,
    }  # fmt: skip


def _line(event: Event, name: str | None, flow: str | None) -> LogLine:
    data, kind = event.data, event.type.removeprefix("q.qflow.").removesuffix(".v1")
    level: Level = "info"
    status, error = data.get("status"), data.get("error") or {}
    what = kind.removeprefix("exec.").replace(".", " ")
    if kind == "exec.completed":
        what = str(status) + (f" at {error['stepId']}" if error.get("stepId") else "")
        level = "error" if status in FAILED else "info"
    elif kind == "exec.progress":
        level, what = "debug", f"progress {data.get('progress')}"
    elif kind.startswith("exec.step."):
        what = f"step {data.get('stepName') or data.get('stepId')} {status or 'dispatched'}"
        level = "warning" if status in ("failure", "timeout") else "debug"
    if error.get("message"):
        what += f": {error['message']}"
    text = f"{flow or 'unknown'} run {name[:8]} {what}" if name else f"{data.get('module') or flow or event.subject or event.source}: {what}"
    return LogLine(event.time, level, event.source, text, event.type, flow, name, None, data.get("module"), data)
