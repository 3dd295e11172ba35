"""What the streams say: pure functions from views to the data of messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from qflowd.model import FAILED, Alert, LogLine, Transition

STALE = 3000
"""Milliseconds without a sample of the host after which its source counts as silent."""


def alert_message(transition: Transition) -> tuple[str, dict[str, Any], LogLine] | None:
    """Message type, data and log line of a transition; ``None`` where nobody is to be told."""
    alert = transition.alert
    if not transition.notify:
        return None
    if alert.status == "firing" and transition.before == "acknowledged":
        kind, words, level = "alert_triggered", "is no longer acknowledged", "warning"
    elif alert.status == "firing":
        kind, words, level = "alert_triggered", "fires", "error" if alert.severity in ("critical", "high") else "warning"
    elif alert.status == "resolved":
        kind, words, level = "alert_resolved", "is resolved", "info"
    elif alert.status == "acknowledged":
        kind, words, level = "alert_acknowledged", f"was acknowledged by {alert.acknowledged_by}", "info"
    else:
        return None
    value = "" if alert.value is None else f" at {alert.value:.6g}"
    data = msgspec.to_builtins(alert) | {"timestamp": transition.time}
    line = LogLine(
        time=transition.time,
        level=level,  # type: ignore[arg-type]
        source="alerts",
        text=f"{alert.name} {words}{value}",
        type=kind,
        rule_id=alert.rule_id,
        flow_id=alert.labels.get("flow"),
    )
    return kind, data, line


def health(
    *,
    now: int,
    started: int,
    version: str,
    instance: str,
    alerts: Sequence[Alert],
    rules_total: int,
    rules_evaluated: int,
    storage_problem: str,
    config_error: str,
    newest_sample: int | None,
    hub: Mapping[str, Any],
) -> dict[str, Any]:
    """``systemHealth``: overall in a word, with the reasons when it is not *healthy*. ``uptime`` is in seconds."""
    silent = newest_sample is None or now - newest_sample > STALE
    components = {
        "journal": {"status": "failing", "detail": storage_problem} if storage_problem else {"status": "ok"},
        "host": {"status": "silent"} if silent else {"status": "ok"},
        "rules": {"status": "ok"} if rules_evaluated == rules_total else {"status": "starting"},
        "configuration": {"status": "failing", "detail": config_error} if config_error else {"status": "ok"},
    }
    firing = [alert for alert in alerts if alert.status == "firing"]
    reasons = [f"{alert.name} fires" for alert in firing]
    if storage_problem:
        reasons.insert(0, f"the journal refuses writes: {storage_problem}")
    if config_error:
        reasons.append("the last reload of the configuration was refused")
    if silent and newest_sample is not None:
        reasons.append("the host sends no samples")
    if storage_problem or any(alert.severity == "critical" for alert in firing):
        overall = "unhealthy"
    elif reasons:
        overall = "degraded"
    elif rules_evaluated < rules_total or newest_sample is None:
        overall = "starting"
    else:
        overall = "healthy"
    return {
        "overall": overall,
        "reasons": reasons,
        "components": components,
        "clients": hub["connectedClients"],
        "streams": hub["activeStreams"],
        "messagesPerSecond": hub["messagesPerSecond"],
        "uptime": (now - started) // 1000,
        "version": version,
        "instance": instance,
        "rulesTotal": rules_total,
        "rulesEvaluated": rules_evaluated,
        "newestSample": newest_sample,
        "configError": config_error or None,
        "timestamp": now,
    }


def daos(executions: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """``daoMetrics``: per tenant the executions in view, by outcome. ``errorRate`` is ``None`` where none has ended."""
    found: dict[str, dict[str, Any]] = {}
    for one in executions:
        tenant = one.get("tenant")
        if tenant is None:
            continue
        entry = found.setdefault(tenant, {"executions": 0, "active": 0, "failed": 0, "errorRate": None, "flows": []})
        entry["executions"] += 1
        entry["active"] += one["status"] in ("queued", "running", "paused")
        entry["failed"] += one["status"] in FAILED
        if one["flowId"] not in entry["flows"]:
            entry["flows"].append(one["flowId"])
        ended = entry["executions"] - entry["active"]
        entry["errorRate"] = entry["failed"] / ended if ended else None
    return found
