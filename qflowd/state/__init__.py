"""Executions, steps, validations and modules, folded from events in any order. No I/O and no clock."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from copy import copy
from typing import Any

from qflowd.model import Change, Event, Execution, ExecutionChanged, Logged, ModuleReport, Step, StepEnded, ValidationRun
from qflowd.state import summary
from qflowd.state.kinds import (
    COMPLETED,
    DISPATCHED,
    EXEC,
    MODULE,
    PAUSED,
    PROGRESS,
    RESUMED,
    STARTED,
    STEP_ENDED,
    VALIDATION,
    named,
)
from qflowd.state.log import log_line
from qflowd.state.record import STEPS, VALIDATIONS, Key, Record, StepRecord, decode, encode, moment

__all__ = ["EXEC", "Row", "State", "decode_record", "log_line"]

GIVEN = ("flowVersion", "triggerType", "daoSubnet", "estimatedDuration", "priority", "labels", "actor")
"""What a start tells of its execution."""
WINDOW = 300_000
RUNS = 10_000

Row = tuple[str, str, str, str | None, int, int | None, str, bytes]


def decode_record(record: bytes) -> tuple[Execution, list[Step], list[ValidationRun]]:
    """The views in an execution's stored record."""
    found = decode(record)
    return found.view(), found.step_views(), found.validation_runs()


class State:
    """The fold. ``tail``: ended executions kept in memory; ``stale_after`` in ms.

    An ``Execution`` that was handed out never changes: the next event makes another.
    """

    def __init__(self, *, tail: int = 2000, stale_after: int = 86_400_000) -> None:
        self.tail, self.stale_after = tail, stale_after
        self._records: dict[str, Record] = {}
        self._views: dict[str, Execution] = {}
        self._active: dict[str, Record] = {}
        self._ended: dict[str, Record] = {}
        self._dirty: set[str] = set()
        self._runs: dict[tuple[str, str], tuple[Key, ValidationRun]] = {}
        self._modules: dict[str, ModuleReport] = {}

    def missing(self, events: Iterable[Event]) -> set[str]:
        """Execution ids that the events name and memory does not hold."""
        return {name for event in events if (name := named(event)) and name not in self._records}

    def restore(self, record: bytes) -> None:
        """Takes an execution's stored record; no changes are told."""
        found = decode(record)
        self._records[found.execution_id] = found
        self._views.pop(found.execution_id, None)
        self._place(found)
        for key, run in found.validations.values():
            self._remember(key, run)

    def _place(self, record: Record) -> None:
        ended = record.end is not None or record.stale
        (self._active if ended else self._ended).pop(record.execution_id, None)
        (self._ended if ended else self._active)[record.execution_id] = record

    def _view(self, record: Record) -> Execution:
        found = self._views.get(record.execution_id)
        if found is None:
            found = self._views[record.execution_id] = record.view()
        return found

    def apply(self, event: Event, now: int) -> list[Change]:
        """Folds ``event`` in; what changed, the event's log line last."""
        changes: list[Change] = []
        name = named(event)
        view: Execution | None = None
        if name is not None:
            view = self._fold(name, event, changes)
        elif event.type == VALIDATION:
            self._validation(event, changes)
        elif event.type == MODULE:
            self._module(event, changes)
        changes.append(Logged(log_line(event, view)))
        return changes

    def _fold(self, name: str, event: Event, changes: list[Change]) -> Execution:
        data, kind, time, source = event.data, event.type, event.time, event.source
        key: Key = (time, source, event.id)
        record, shown = self._records.get(name), self._views.get(name)
        if record is None:
            before = None
            record = self._records[name] = Record(name, first=time, last=time, first_source=source)
        else:
            before = record.status()
            if time <= record.first and (time < record.first or source < record.first_source):
                record.first, record.first_source, shown = time, source, None
            if time > record.last:
                record.last = time
            if record.stale:
                record.stale, shown = False, None
        if flow := data.get("flowId"):
            record.latest("flowId", key, flow)
        changes.append(ExecutionChanged(_NOBODY, before))
        light = record.end is None
        if kind in (DISPATCHED, STEP_ENDED):
            self._step(record, kind, key, data, changes)
        elif kind == PROGRESS:
            record.latest("progress", key, data.get("progress"))
            record.latest("currentStep", key, data.get("currentStep"))
        else:
            light = False
            self._turn(record, kind, key, event, changes)
        get = record.get
        if light and shown is not None and shown.flow_id == (get("flowId") or "unknown"):
            # Most events are of steps, and those move only these three.
            view = copy(shown)
            view.progress, view.current_step, view.step_counts = get("progress"), get("currentStep"), record.counts.copy()
        else:
            view = record.view()
        self._views[name] = view
        changes[0] = ExecutionChanged(view, before)
        if before != view.status:
            self._place(record)
        self._dirty.add(name)
        return view

    def _turn(self, record: Record, kind: str, key: Key, event: Event, changes: list[Change]) -> None:
        data = event.data
        if kind == STARTED:
            if record.start is None or key < record.start[0]:
                record.start = (key, {})
            for field in GIVEN:
                record.latest(field, key, data.get(field))
            record.latest("source", key, event.source)
        elif kind in (PAUSED, RESUMED):
            record.latest("paused", key, kind == PAUSED)
        elif kind == COMPLETED:
            if record.end is None or key < record.end[0]:
                record.end = (key, data)
        elif kind == VALIDATION:
            run = self._validation(event, changes)
            held = record.validations.get(run.validation_id)
            if (held is None and len(record.validations) < VALIDATIONS) or (held is not None and key < held[0]):
                record.validations[run.validation_id] = (key, run)

    def _step(self, record: Record, kind: str, key: Key, data: dict[str, Any], changes: list[Change]) -> None:
        step_id = data["stepId"]
        step = record.steps.get(step_id)
        before = None if step is None else step.status()
        if step is None:
            if len(record.steps) >= STEPS:
                return
            step = record.steps[step_id] = StepRecord()
        first_end = step.ended is None
        if kind == DISPATCHED:
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
            counts = record.counts
            if before is not None:
                counts[before] -= 1
                if not counts[before]:
                    del counts[before]
            counts[after] = counts.get(after, 0) + 1
        if first_end and step.ended is not None:
            changes.append(StepEnded(record.execution_id, record.get("flowId") or "unknown", step.view(step_id)))

    def _remember(self, key: Key, run: ValidationRun) -> bool:
        """Keeps the run for ``validation``; whether it was not known. Of a repeated one the first counts."""
        name = (run.operation_id, run.validation_id)
        held = self._runs.get(name)
        if held is None or key < held[0]:
            self._runs[name] = (key, run)
            if len(self._runs) > RUNS:
                del self._runs[next(iter(self._runs))]
        return held is None

    def _validation(self, event: Event, changes: list[Change]) -> ValidationRun:
        data, result = event.data, event.data["pipelineResult"]
        overall = result.get("overall") or {}
        layers = {name: layer for name, layer in result.items() if name != "overall" and isinstance(layer, dict)}
        run = ValidationRun(
            data["validationId"], data["operationType"], data["operationId"], event.time, bool(overall.get("valid")),
            float(overall.get("durationMs") or 0), data.get("cacheHit"), layers,
        )  # fmt: skip
        if self._remember((event.time, event.source, event.id), run):
            changes.append(run)
        return run

    def _module(self, event: Event, changes: list[Change]) -> None:
        data = event.data
        numbers = {k: float(v) for k, v in data["metrics"].items() if isinstance(v, int | float)}
        labels = {k: str(v) for k, v in (data.get("labels") or {}).items() if v is not None}
        report = ModuleReport(data["module"], event.time, numbers, labels, data.get("healthy"))
        held = self._modules.get(report.module)
        if held is None or held.time <= report.time:
            self._modules[report.module] = report
        changes.append(report)

    def expire(self, now: int) -> list[Change]:
        """Marks active executions without an event for ``stale_after`` as stale."""
        changes: list[Change] = []
        for record in [one for one in self._active.values() if now - one.last > self.stale_after]:
            before, record.stale = record.status(), True
            view = self._views[record.execution_id] = record.view()
            self._place(record)
            self._dirty.add(record.execution_id)
            changes.append(ExecutionChanged(view, before))
        return changes

    def take(self) -> list[str]:
        """The ids of executions that changed since the last call. They stay in memory until ``trim``."""
        taken, self._dirty = self._dirty, set()
        return list(taken)

    def rows(self, ids: Iterable[str]) -> list[Row]:
        """For each id (id, flow, status, tenant, start, end, text, record), as it is at this moment."""
        found: list[Row] = []
        for name in ids:
            record = self._records[name]
            one = self._view(record)
            text = " ".join([name, one.flow_id, *one.labels.values(), str((one.error or {}).get("message") or "")])
            found.append((name, one.flow_id, one.status, one.tenant, one.start_time or 0, one.end_time, text, encode(record)))
        return found

    def trim(self, limit: int = 500) -> bool:
        """Let go of the oldest ended executions over the tail, when all that was taken is on disk; true where more have to go."""
        excess = min(limit, len(self._ended) - self.tail)
        if excess <= 0:
            return False
        clean = [record for name, record in self._ended.items() if name not in self._dirty]
        for record in heapq.nsmallest(excess, clean, key=lambda one: one.last):
            name = record.execution_id
            del self._ended[name], self._records[name]
            self._views.pop(name, None)
        return len(self._ended) > self.tail and len(clean) > excess

    def touch(self, ids: Iterable[str]) -> None:
        """Marks executions as changed again, where saving them failed."""
        self._dirty.update(one for one in ids if one in self._records)

    def executions(self) -> Iterable[Execution]:
        """All in memory."""
        return [self._view(record) for record in self._records.values()]

    def execution(self, execution_id: str) -> Execution | None:
        record = self._records.get(execution_id)
        return None if record is None else self._view(record)

    def steps(self, execution_id: str) -> list[Step]:
        """By start, then by id."""
        record = self._records.get(execution_id)
        return [] if record is None else record.step_views()

    def running_longest(self, execution_id: str, known: str = "") -> tuple[str, int] | None:
        """The running step that was dispatched first, and when; ``known``, where it still runs, without a search.

        A step that is told late and began before ``known`` is found when ``known`` has ended.
        """
        record = self._records.get(execution_id)
        if record is None:
            return None
        held = record.steps.get(known)
        if held is not None and held.begun is not None and held.status() == "running":
            return known, held.begun[0][0]
        running = ((one.begun[0][0], name) for name, one in record.steps.items() if one.begun is not None and one.status() == "running")
        found = min(running, default=None)
        return None if found is None else (found[1], found[0])

    def heard(self, execution_id: str) -> int:
        """The time of the newest event of an execution; 0 where it is not held."""
        record = self._records.get(execution_id)
        return 0 if record is None else record.last

    def validations(self, execution_id: str) -> list[ValidationRun]:
        """By time, then by id."""
        record = self._records.get(execution_id)
        return [] if record is None else record.validation_runs()

    def active(self) -> list[Execution]:
        return [self._view(record) for record in self._active.values()]

    def recent(self, n: int) -> list[Execution]:
        """The ended ones, newest end first; stale ones, which have no end, by their last event."""
        found = heapq.nlargest(n, self._ended.values(), key=lambda one: (_ended_at(one), one.execution_id))
        return [self._view(record) for record in found]

    def flows(self) -> list[dict[str, Any]]:
        """Per flow in memory: ids, counts, latency, error rate and last execution, as plain built-ins."""
        groups: dict[str, list[Execution]] = {}
        for one in self.executions():
            groups.setdefault(one.flow_id, []).append(one)
        return [summary.flow(flow, group) for flow, group in groups.items()]

    def modules(self) -> list[dict[str, Any]]:
        """The newest report of each module."""
        return [
            {"module": one.module, "time": one.time, "metrics": one.metrics, "labels": one.labels, "healthy": one.healthy}
            for one in self._modules.values()
        ]

    def validation(self, now: int) -> dict[str, Any]:
        """``validationPipeline`` over the last 5 min; null where unknown."""
        found = sorted((key, run) for key, run in self._runs.values() if now - WINDOW < key[0] <= now)
        return summary.validation([run for _, run in found])


def _ended_at(record: Record) -> int:
    given = moment(record.end[1].get("endTime")) if record.end else None
    return given if given is not None else record.end[0][0] if record.end else record.last


_NOBODY = Execution("", "")
