"""The event types that are folded, and which execution an event belongs to."""

from __future__ import annotations

from qflowd.model import Event

EXEC = "q.qflow.exec."
STARTED = "q.qflow.exec.started.v1"
PROGRESS = "q.qflow.exec.progress.v1"
DISPATCHED = "q.qflow.exec.step.dispatched.v1"
STEP_ENDED = "q.qflow.exec.step.completed.v1"
PAUSED = "q.qflow.exec.paused.v1"
RESUMED = "q.qflow.exec.resumed.v1"
COMPLETED = "q.qflow.exec.completed.v1"
VALIDATION = "q.qflow.validation.pipeline.executed.v1"
MODULE = "q.qflow.module.metrics.v1"

RUNS = frozenset({STARTED, PROGRESS, DISPATCHED, STEP_ENDED, PAUSED, RESUMED, COMPLETED})
OPERATIONS = ("execution", "flow_execution")
"""The ``operationType`` of validations whose ``operationId`` is an execution."""


def named(event: Event) -> str | None:
    """The execution that the event belongs to. Types that are not known belong to none: they are only logged."""
    if event.type in RUNS:
        name = event.data.get("executionId")
    elif event.type == VALIDATION and event.data.get("operationType") in OPERATIONS:
        name = event.data.get("operationId")
    else:
        return None
    return name if isinstance(name, str) else None
