"""What is remembered of one execution: the deciding evidence of each field, from which the views follow."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from qflowd.model import Execution, ExecutionStatus, Step, StepStatus, ValidationRun

Key = tuple[int, str, str]
"""(time, source, id) of the event that decides."""

STEPS = 10_000
VALIDATIONS = 200


def moment(value: Any) -> int | None:
    """Epoch ms of a time as events give it: a number of ms, or RFC 3339 text. ``None`` for anything else."""
    if isinstance(value, int):
        return None if isinstance(value, bool) else value
    if isinstance(value, float):
        return int(value)
    if isinstance(value, datetime):
        return int((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp() * 1000)
    if isinstance(value, str):
        try:
            return moment(datetime.fromisoformat(value))
        except ValueError:
            return None
    return None


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
        start, stop = moment(metrics.get("startTime")), None
        if start is None and self.begun:
            start = self.begun[0][0]
        if end and self.ended:
            stop = moment(metrics.get("endTime"))
            stop = self.ended[0][0] if stop is None else stop
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
    first_source: str = ""

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
        given = None if self.start else moment(end.get("startTime"))
        start = self.start[0][0] if self.start else self.first if given is None else given
        stop = moment(end.get("endTime"))
        if stop is None and self.end:
            stop = self.end[0][0]
        duration = end.get("durationMs")
        if duration is None and stop is not None:
            duration = max(0, stop - start)
        estimate = get("estimatedDuration")
        error = end.get("error")
        if error is None and status in ("failed", "timeout", "aborted") and self.failing:
            error = self.failing[1]
        version = get("flowVersion")
        labels = {name: str(value) for name, value in (get("labels") or {}).items() if value is not None}
        return Execution(
            self.execution_id, get("flowId") or "unknown", None if version is None else str(version), status,
            get("progress"), get("currentStep"),
            start, stop, duration, start + int(estimate) if estimate is not None and status == "running" else None,
            get("triggerType"), get("daoSubnet"), get("actor"), get("source") or self.first_source or None, get("priority"), labels,
            error, dict(self.counts),
        )  # fmt: skip

    def step_views(self) -> list[Step]:
        """By start, or end where that is not known; then by id: the order in which they came does not show."""
        found = [one.view(name) for name, one in self.steps.items()]
        return sorted(found, key=lambda one: (one.start_time or one.end_time or 0, one.step_id))

    def validation_runs(self) -> list[ValidationRun]:
        """By time, then by id."""
        return sorted((run for _, run in self.validations.values()), key=lambda run: (run.time, run.validation_id))


_decoder = msgspec.msgpack.Decoder(Record)
encode = msgspec.msgpack.Encoder().encode


def decode(blob: bytes) -> Record:
    """Raises ``msgspec.DecodeError`` where the record is damaged."""
    return _decoder.decode(blob)
