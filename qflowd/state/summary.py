"""What is told of many executions or validations at once: shapes of ``api.md``, plain built-ins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from qflowd.model import FAILED, Execution, ValidationRun


def mean(values: Iterable[float | None]) -> float | None:
    known = [float(one) for one in values if one is not None]
    return sum(known) / len(known) if known else None


def validation(runs: Sequence[ValidationRun]) -> dict[str, Any]:
    """``validationPipeline`` of the runs; null where unknown."""
    layers: dict[str, list[tuple[ValidationRun, dict[str, Any]]]] = {}
    for run in runs:
        for name, layer in run.layers.items():
            layers.setdefault(name, []).append((run, layer))
    return {
        "totalOperations": len(runs),
        "successRate": mean(run.valid for run in runs),
        "avgDuration": mean(run.duration_ms for run in runs),
        "cacheHitRate": mean(run.cache_hit for run in runs),
        "layerPerformance": {name: _layer(name, found) for name, found in layers.items()},
    }


def _reasons(layer: dict[str, Any]) -> list[Any]:
    errors = layer.get("errors")
    return errors if isinstance(errors, list) and errors else ["invalid" if errors in (None, []) else errors]


def _layer(name: str, found: list[tuple[ValidationRun, dict[str, Any]]]) -> dict[str, Any]:
    failures = [
        {"check": name, "reason": str(reason), "executionId": run.operation_id, "time": run.time}
        for run, layer in found if layer.get("valid") is False for reason in _reasons(layer)
    ]  # fmt: skip
    return {
        "avgDuration": mean(layer.get("durationMs") for _, layer in found),
        "successRate": mean(layer.get("valid") for _, layer in found),
        "cacheHitRate": mean(layer.get("cacheHit") for _, layer in found),
        "failures": failures[-20:],
    }


def flow(name: str, group: Sequence[Execution]) -> dict[str, Any]:
    """Counts, latency and error rate of one flow's executions, and the last that started."""
    ended = [one for one in group if one.end_time is not None]
    times = sorted(one.duration_ms for one in ended if one.duration_ms is not None)
    last = max(group, key=lambda one: (one.start_time or 0, one.execution_id))
    counts: dict[str, int] = {}
    for one in group:
        counts[one.status] = counts.get(one.status, 0) + 1
    return {
        "flowId": name,
        "tenant": last.tenant,
        "counts": counts,
        "executions": len(group),
        "latency": {f"p{p}": times[(len(times) - 1) * p // 100] if times else None for p in (50, 95, 99)},
        "errorRate": mean(one.status in FAILED for one in ended),
        "lastExecution": msgspec.to_builtins(last),
    }
