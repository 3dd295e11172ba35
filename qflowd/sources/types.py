"""What each event type's data must hold: required fields and the types of values.

``problems(type, data)`` is empty for data that is right, and for types that are not known here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from qflowd.model import Problem

Id = Annotated[str, Meta(min_length=1, max_length=1024)]
Number = int | float
Amount = Annotated[float, Meta(ge=0)]
Moment = datetime | int | float
"""RFC 3339 text or epoch milliseconds."""
Scalar = str | int | float | bool | None


class Failure(Struct, gc=False):
    type: str | None = None
    message: str | None = None
    retryable: bool | None = None
    stepId: str | None = None


class Flow(Struct, gc=False):
    flowId: Id
    flowName: str | None = None
    flowVersion: str | int | float | None = None


class Started(Struct, gc=False):
    executionId: Id
    flowId: Id
    flowVersion: str | int | float | None = None
    triggerType: str | None = None
    daoSubnet: str | None = None
    estimatedDuration: Amount | None = None
    priority: str | int | float | None = None
    labels: dict[str, Scalar] | None = None


class Progress(Struct, gc=False):
    executionId: Id
    progress: Annotated[float, Meta(ge=0, le=1)] | None = None
    currentStep: str | None = None
    message: str | None = None


class StepDispatched(Struct, gc=False):
    executionId: Id
    stepId: Id
    stepName: str | None = None
    stepType: str | None = None
    targetNodeId: str | None = None
    parentStepId: str | None = None
    attempt: Annotated[int, Meta(ge=0)] | None = None


class StepMetrics(Struct, gc=False):
    startTime: Moment | None = None
    endTime: Moment | None = None
    durationMs: Amount | None = None
    memoryUsedMB: Number | None = None
    cpuUsagePercent: Number | None = None


class StepCompleted(Struct, gc=False):
    executionId: Id
    stepId: Id
    status: Literal["success", "failure", "timeout", "cancelled", "skipped"]
    nodeId: str | None = None
    error: Failure | None = None
    executionMetrics: StepMetrics | None = None


class Paused(Struct, gc=False):
    executionId: Id
    reason: str | None = None


class Completed(Struct, gc=False):
    executionId: Id
    status: Literal["completed", "failed", "aborted", "timeout"]
    flowId: Id | None = None
    startTime: Moment | None = None
    endTime: Moment | None = None
    durationMs: Amount | None = None
    error: Failure | None = None
    resourceUsage: dict[str, Any] | None = None


class Layer(Struct, gc=False):
    valid: bool | None = None
    durationMs: Amount | None = None
    cacheHit: bool | None = None


class Validation(Struct, gc=False):
    validationId: Id
    operationType: str
    operationId: Id
    pipelineResult: dict[str, Layer]
    cacheHit: bool | None = None


class ModuleMetrics(Struct, gc=False):
    module: Id
    metrics: dict[str, Number]
    labels: dict[str, Scalar] | None = None
    healthy: bool | None = None


SCHEMAS: dict[str, type[Struct]] = {
    "q.qflow.flow.created.v1": Flow,
    "q.qflow.flow.updated.v1": Flow,
    "q.qflow.flow.deleted.v1": Flow,
    "q.qflow.exec.started.v1": Started,
    "q.qflow.exec.progress.v1": Progress,
    "q.qflow.exec.step.dispatched.v1": StepDispatched,
    "q.qflow.exec.step.completed.v1": StepCompleted,
    "q.qflow.exec.paused.v1": Paused,
    "q.qflow.exec.resumed.v1": Paused,
    "q.qflow.exec.completed.v1": Completed,
    "q.qflow.validation.pipeline.executed.v1": Validation,
    "q.qflow.module.metrics.v1": ModuleMetrics,
}


def _overall(data: dict[str, Any]) -> list[Problem]:
    """The whole pipeline's own verdict must be there; layers may leave theirs out."""
    result = data.get("pipelineResult")
    if not isinstance(result, dict):
        return []
    overall = result.get("overall")
    if overall is None:
        return [Problem("data.pipelineResult.overall", "is required: an object {valid, durationMs}")]
    if isinstance(overall, dict) and overall.get("valid") is None:
        return [Problem("data.pipelineResult.overall.valid", "is required: true or false")]
    return []


EXTRA: dict[str, Callable[[dict[str, Any]], list[Problem]]] = {"q.qflow.validation.pipeline.executed.v1": _overall}

_NAMES = {"str": "a string", "int": "a whole number", "float": "a number", "bool": "true or false", "object": "an object",
          "array": "a list", "null": "null", "datetime": "an RFC 3339 time"}
_AT = re.compile(r" - at `([^`]*)`$")
_EXPECTED = re.compile(r"^Expected `([^`]*)`(?:, got `([^`]*)`)?(.*)$")


def problems(kind: str, data: Any) -> list[Problem]:
    """Everything wrong with the data of an event of type ``kind``; paths start with ``data``."""
    schema = SCHEMAS.get(kind)
    if schema is None:
        return []
    try:
        msgspec.convert(data, schema)
    except msgspec.ValidationError:
        return explain(data, schema, "data")
    extra = EXTRA.get(kind)
    return [] if extra is None else extra(data)


def explain(value: Any, schema: type[Struct], path: str) -> list[Problem]:
    """Each field's own mistake, where msgspec stops at the first. Empty when ``value`` fits ``schema``."""
    if not isinstance(value, dict):
        return [Problem(path, f"must be an object, not {_kind(value)}")]
    found: list[Problem] = []
    for field in msgspec.structs.fields(schema):
        name = f"{path}.{field.encode_name}" if path else field.encode_name
        if field.encode_name not in value:
            if field.required:
                found.append(Problem(name, f"is required: {_right(field.type)}"))
            continue
        given = value[field.encode_name]
        try:
            msgspec.convert(given, field.type)
        except msgspec.ValidationError as error:
            found.append(_problem(name, field.type, given, str(error)))
    return found


def _problem(path: str, wanted: Any, given: Any, text: str) -> Problem:
    where = _AT.search(text)
    inner = where.group(1).lstrip("$") if where else ""
    text = _AT.sub("", text)
    choices = _choices(wanted)
    if choices and not inner:
        return Problem(path, f"must be one of {', '.join(choices)}; got {_short(given)}")
    expected = _EXPECTED.match(text)
    if expected:
        names = [_NAMES.get(part.strip(), part.strip()) for part in expected.group(1).split("|")]
        got = f"; got {_NAMES.get(expected.group(2), expected.group(2))}" if expected.group(2) else ""
        text = f"must be {' or '.join(names)}{expected.group(3)}{got}"
    return Problem(path + inner, text)


@lru_cache(maxsize=64)
def _choices(wanted: Any) -> tuple[str, ...]:
    return tuple(map(str, get_args(wanted))) if get_origin(wanted) is Literal else ()


def _right(wanted: Any) -> str:
    choices = _choices(wanted)
    if choices:
        return "one of " + ", ".join(choices)
    if wanted is str or wanted == Id:
        return "a string of 1 to 1024 characters" if wanted == Id else "a string"
    return "an object"


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    kinds = {bool: "true or false", str: "a string", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return kinds.get(type(value), type(value).__name__)


def _short(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else text[:57] + "..."
