"""What is remembered of one execution: the deciding evidence of each field, from which the views follow."""

from __future__ import annotations

from typing import Any

import msgspec

from qflowd.model import Execution, ExecutionStatus, Step, StepStatus, ValidationRun

Key = tuple[int, str, str]
"""(time, source, id) of the event that decides."""

STEPS = 10_000
VALIDATIONS = 200


class StepRecord(msgspec.Struct, array_like=True):
    """The newest dispatch and the newest end of a step."""

    begun: tuple[Key, dict[str, Any]] | None = None
    ended: tuple[Key, dict[str, Any]] | None = None

    def status(self) -> StepStatus:
        begun, ended = self.begun, self.ended
        if ended is None or (begun is not None and begun[0] > ended[0] and (begun[1].get("attempt") or 1) > 1):
            return "running"
        status: StepStatus = ended[1]["status"]
        return status

    def view(self, step_id: str) -> Step:
        begin = self.begun[1] if self.begun else {}
        status = self.status()
        end = self.ended[1] if self.ended and status != "running" else {}
        metrics = end.get("executionMetrics") or {}
        start = metrics.get("startTime") or (self.begun[0][0] if self.begun else None)
        stop = (metrics.get("endTime") or (self.ended[0][0] if self.ended else None)) if end else None
        start, stop = (one if isinstance(one, int) else None for one in (start, stop))
        duration = metrics.get("durationMs")
        if duration is None and start is not None and stop is not None:
            duration = max(0, stop - start)
        return Step(
            step_id, begin.get("stepName") or step_id, begin.get("stepType"), status, begin.get("parentStepId"),
            end.get("nodeId") or begin.get("targetNodeId"), begin.get("attempt") or 1, start, stop, duration,
            end.get("error"), metrics or None,
        )  # fmt: skip


class Record(msgspec.Struct, array_like=True):
    """``fields``: name → (key, value) of the newest event that set it. ``end``: the least terminal event."""

    execution_id: str
    fields: dict[str, tuple[Key, Any]] = {}
    start: tuple[Key, dict[str, Any]] | None = None
    end: tuple[Key, dict[str, Any]] | None = None
    failing: tuple[Key, dict[str, Any]] | None = None
    first: int = 0
    last: int = 0
    stale: bool = False
    steps: dict[str, StepRecord] = {}
    counts: dict[str, int] = {}
    validations: dict[str, tuple[Key, ValidationRun]] = {}

    def latest(self, field: str, key: Key, value: Any) -> None:
        found = self.fields.get(field)
        if value is not None and (found is None or key > found[0]):
            self.fields[field] = (key, value)

    def get(self, field: str) -> Any:
        found = self.fields.get(field)
        return None if found is None else found[1]

    def status(self) -> ExecutionStatus:
        if self.end is not None:
            status: ExecutionStatus = self.end[1]["status"]
            return status
        return "stale" if self.stale else "paused" if self.get("paused") else "running"

    def view(self) -> Execution:
        get, end, status = self.get, self.end[1] if self.end else {}, self.status()
        given = end.get("startTime")
        start = self.start[0][0] if self.start else given if isinstance(given, int) else self.first
        given = end.get("endTime")
        stop = (given if isinstance(given, int) else self.end[0][0]) if self.end else None
        duration = end.get("durationMs")
        if duration is None and stop is not None:
            duration = max(0, stop - start)
        estimate = get("estimatedDuration")
        error = end.get("error")
        if error is None and status in ("failed", "timeout", "aborted") and self.failing:
            error = self.failing[1]
        return Execution(
            self.execution_id, get("flowId") or "unknown", get("flowVersion"), status, get("progress"), get("currentStep"),
            start, stop, duration, start + int(estimate) if estimate is not None and status == "running" else None,
            get("triggerType"), get("daoSubnet"), get("actor"), get("source"), get("priority"), get("labels") or {},
            error, dict(self.counts),
        )  # fmt: skip


_decoder = msgspec.msgpack.Decoder(Record)
encode = msgspec.msgpack.Encoder().encode


def decode(blob: bytes) -> Record:
    return _decoder.decode(blob)
