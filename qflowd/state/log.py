"""The readable line of each event: what happened to what, in words of every day."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qflowd.model import Event, Execution, Level, LogLine
from qflowd.state.kinds import MODULE, VALIDATION, named
from qflowd.state.record import moment

Words = tuple[Level, str]
ENDS: dict[str, Level] = {"completed": "info", "failed": "error", "timeout": "error", "aborted": "error"}
SAID = {"timeout": "timed out", "success": "succeeded", "failure": "failed", "cancelled": "was cancelled", "skipped": "was skipped"}
HEX = frozenset("0123456789abcdefABCDEF-")


def span(ms: float) -> str:
    """A duration for people: ``350 ms``, ``5.0 s``, ``2 min 5 s``, ``3 h 20 min``."""
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < 59_950:
        return f"{ms / 1000:.1f} s"
    seconds = round(ms / 1000)
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def short(name: str) -> str:
    """Enough of an id to know it again: the head of a UUID, the tail of another long one."""
    if len(name) <= 16:
        return name
    return name[:8] if HEX.issuperset(name) else "…" + name[-12:]


def _why(data: dict[str, Any]) -> str:
    error = data.get("error")
    message = error.get("message") or error.get("type") if isinstance(error, dict) else None
    return f": {message}" if message else ""


def _because(data: dict[str, Any]) -> str:
    return f": {data['reason']}" if data.get("reason") else ""


def _started(data: dict[str, Any], one: Execution | None) -> Words:
    trigger, version = data.get("triggerType"), data.get("flowVersion")
    return "info", "started" + (f" by {trigger}" if trigger else "") + (f" at version {version}" if version is not None else "")


def _progress(data: dict[str, Any], one: Execution | None) -> Words:
    part, step, message = data.get("progress"), data.get("currentStep"), data.get("message")
    text = "is running" if part is None else f"is at {part * 100:.0f} %"
    return "debug", text + (f" in {step}" if step else "") + (f": {message}" if message else "")


def _dispatched(data: dict[str, Any], one: Execution | None) -> Words:
    attempt, node = data.get("attempt") or 1, data.get("targetNodeId")
    text = f"step {data.get('stepName') or data.get('stepId')} dispatched"
    return "debug", text + (f" to {node}" if node else "") + (f", attempt {attempt}" if attempt > 1 else "")


def _step_ended(data: dict[str, Any], one: Execution | None) -> Words:
    status = str(data.get("status"))
    took = (data.get("executionMetrics") or {}).get("durationMs")
    lasted = "" if took is None else f" {'in' if status == 'success' else 'after'} {span(took)}"
    level: Level = "warning" if status in ("failure", "timeout") else "debug"
    return level, f"step {data.get('stepName') or data.get('stepId')} {SAID.get(status, status)}{lasted}{_why(data)}"


def _completed(data: dict[str, Any], one: Execution | None) -> Words:
    status = str(data.get("status"))
    if status == "completed":
        took = data.get("durationMs")
        if took is None:
            start, end = moment(data.get("startTime")), moment(data.get("endTime"))
            took = one.duration_ms if one else end - start if start is not None and end is not None else None
        return "info", "completed" + ("" if took is None else f" in {span(took)}")
    error = data.get("error") or (one.error if one else None) or {}
    place = f" at {error['stepId']}" if error.get("stepId") else ""
    return ENDS.get(status, "info"), f"{SAID.get(status, status)}{place}{_why({'error': error})}"


RUNS: dict[str, Callable[[dict[str, Any], Execution | None], Words]] = {
    "q.qflow.exec.started.v1": _started,
    "q.qflow.exec.progress.v1": _progress,
    "q.qflow.exec.step.dispatched.v1": _dispatched,
    "q.qflow.exec.step.completed.v1": _step_ended,
    "q.qflow.exec.paused.v1": lambda data, one: ("info", "paused" + _because(data)),
    "q.qflow.exec.resumed.v1": lambda data, one: ("info", "resumed" + _because(data)),
    "q.qflow.exec.completed.v1": _completed,
}


def _flow(event: Event) -> Words:
    data = event.data
    name, version, owner = data.get("flowName"), data.get("flowVersion"), data.get("owner")
    flow = data.get("flowId")
    text = f"flow {flow}" + (f" ({name})" if name and name != flow else "") + f" {event.type.split('.')[3]}"
    return "info", text + (f" at version {version}" if version is not None else "") + (f" by {owner}" if owner else "")


def _validation(event: Event) -> Words:
    data = event.data
    result = data.get("pipelineResult") or {}
    overall = result.get("overall") or {}
    valid, took = overall.get("valid"), overall.get("durationMs")
    text = f"validation of {data.get('operationType')} {short(str(data.get('operationId')))} {'passed' if valid else 'failed'}"
    if not valid:
        layers = {name: layer for name, layer in result.items() if name != "overall" and isinstance(layer, dict)}
        bad = {name: layer for name, layer in layers.items() if layer.get("valid") is False}
        given = [layer["errors"] for layer in bad.values() if isinstance(layer.get("errors"), list)]
        reasons = [str(one) for errors in given for one in errors][:3]
        text += (f" in {', '.join(bad)}" if bad else "") + (f": {'; '.join(reasons)}" if reasons else "")
        return "warning", text
    return "info", text + ("" if took is None else f" in {span(took)}") + (" from the cache" if data.get("cacheHit") else "")


def _module(event: Event) -> Words:
    data = event.data
    metrics, healthy = data.get("metrics") or {}, data.get("healthy")
    state = "" if healthy is None else " is healthy" if healthy else " is not healthy"
    shown = ", ".join(f"{name} {value:g}" for name, value in list(metrics.items())[:3] if isinstance(value, int | float))
    more = f" and {len(metrics) - 3} more" if len(metrics) > 3 else ""
    text = f"module {data.get('module')}{state or (' reports' if shown else ' reported')}" + (f": {shown}{more}" if shown else "")
    return ("warning" if healthy is False else "debug"), text


def _other(event: Event) -> Words:
    kind, data = event.type, event.data
    about = f" about {event.subject}" if event.subject else ""
    if kind == "q.qflow.external.event.received.v1":
        what = next((data[key] for key in ("message", "text", "name", "type", "eventType") if isinstance(data.get(key), str)), None)
        return "info", f"external event from {event.source}{about}" + (f": {what}" if what else "")
    return "info", f"{kind} from {event.source}{about}"


def log_line(event: Event, execution: Execution | None = None) -> LogLine:
    """The line of ``event``; ``execution``, as it is after the event, adds what the event itself leaves out."""
    data, kind = event.data, event.type
    flow = execution.flow_id if execution is not None and execution.flow_id != "unknown" else data.get("flowId")
    name = named(event)
    words = RUNS.get(kind)
    module = None
    if words is not None and name is not None:
        level, text = words(data, execution)
        text = f"{flow} run {short(name)} {text}" if flow else f"run {short(name)} {text}"
    elif kind == VALIDATION:
        level, text = _validation(event)
    elif kind == MODULE:
        level, text = _module(event)
        module = data.get("module")
    elif kind.startswith("q.qflow.flow.") and kind.count(".") == 4 and flow:
        level, text = _flow(event)
    else:
        level, text = _other(event)
    return LogLine(event.time, level, event.source, text, kind, flow if isinstance(flow, str) else None, name, None, module, data)
