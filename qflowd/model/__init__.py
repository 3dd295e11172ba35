"""The types that cross rooms. Times are epoch milliseconds, durations milliseconds, unless a name says otherwise.

Structs are written in camelCase on the wire (``msgspec.to_builtins`` or ``msgspec.json.encode``); the shapes are those
of ``api.md`` and ``events.md``.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

ExecutionStatus = Literal["queued", "running", "paused", "completed", "failed", "aborted", "timeout", "stale"]
StepStatus = Literal["queued", "running", "success", "failure", "timeout", "cancelled", "skipped"]
Severity = Literal["low", "medium", "high", "critical"]
AlertStatus = Literal["pending", "firing", "acknowledged", "resolved"]
Level = Literal["debug", "info", "warning", "error"]

TERMINAL: frozenset[str] = frozenset({"completed", "failed", "aborted", "timeout"})
"""Statuses that end an execution for good; ``stale`` is derived and yields to any event."""

FAILED: frozenset[str] = frozenset({"failed", "aborted", "timeout"})
"""Terminal statuses that count as errors."""


class Event(msgspec.Struct, frozen=True, gc=False):
    """One thing that happened, as every source hands it in. ``(source, id)`` names it."""

    source: str
    id: str
    type: str
    time: int
    data: dict[str, Any]
    subject: str = ""


class Rejection(msgspec.Struct, frozen=True):
    """Why one event of a body was refused. ``index`` counts from 0 in the body."""

    index: int
    errors: list[Problem]


class Problem(msgspec.Struct, frozen=True):
    """One mistake: where (``path``, as in ``data.flowId``) and what would be right."""

    path: str
    message: str


class Step(msgspec.Struct, rename="camel"):
    """One step of an execution; ``parent_step_id`` makes the steps a tree."""

    step_id: str
    name: str
    type: str | None = None
    status: StepStatus = "running"
    parent_step_id: str | None = None
    node_id: str | None = None
    attempt: int = 1
    start_time: int | None = None
    end_time: int | None = None
    duration_ms: float | None = None
    error: dict[str, Any] | None = None
    metrics: dict[str, Any] | None = None


class Execution(msgspec.Struct, rename="camel"):
    """One run of a flow, as lists and streams show it."""

    execution_id: str
    flow_id: str
    flow_version: str | None = None
    status: ExecutionStatus = "running"
    progress: float | None = None
    current_step: str | None = None
    start_time: int | None = None
    end_time: int | None = None
    duration_ms: float | None = None
    estimated_end: int | None = None
    trigger_type: str | None = None
    tenant: str | None = None
    actor: str | None = None
    source: str | None = None
    priority: float | str | None = None
    labels: dict[str, str] = {}
    error: dict[str, Any] | None = None
    step_counts: dict[str, int] = {}


class LogLine(msgspec.Struct, rename="camel", omit_defaults=True):
    """A readable line of the event log."""

    time: int
    level: Level
    source: str
    text: str
    type: str
    flow_id: str | None = None
    execution_id: str | None = None
    rule_id: str | None = None
    module: str | None = None
    data: dict[str, Any] = {}


class ExecutionChanged(msgspec.Struct, frozen=True):
    """An execution is new or other than before. ``before`` is its last status, ``None`` when it is new."""

    execution: Execution
    before: ExecutionStatus | None


class StepEnded(msgspec.Struct, frozen=True):
    """A step reached an end for the first time."""

    execution_id: str
    flow_id: str
    step: Step


class ValidationRun(msgspec.Struct, frozen=True, rename="camel"):
    """One pass through the validation pipeline. ``layers``: name → {valid, durationMs, errors, cacheHit}."""

    validation_id: str
    operation_type: str
    operation_id: str
    time: int
    valid: bool
    duration_ms: float
    cache_hit: bool | None
    layers: dict[str, dict[str, Any]]


class ModuleReport(msgspec.Struct, frozen=True, rename="camel"):
    """What a module says of itself; ``metrics``: name → number."""

    module: str
    time: int
    metrics: dict[str, float]
    labels: dict[str, str]
    healthy: bool | None


class Logged(msgspec.Struct, frozen=True):
    """A line for the event log."""

    line: LogLine


Change = ExecutionChanged | StepEnded | ValidationRun | ModuleReport | Logged


class Sample(msgspec.Struct, frozen=True, gc=False):
    """One measured point of a series. ``value`` is ``None`` where the series ends here (staleness)."""

    name: str
    labels: dict[str, str]
    time: int
    value: float | None


class RuleSource(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a rule came from; ``line`` counts from 1."""

    kind: Literal["file", "api", "default"]
    file: str | None = None
    line: int | None = None


class Rule(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """An alert or recording rule, checked: its condition parses and its durations are milliseconds.

    ``record``: the series that a recording rule writes; such a rule makes no alerts, its ``condition`` is the expression
    and its ``labels`` are put on the samples. ``group``: rules that share it are evaluated one after another, in the
    order in which they stand, at one time; the name is unique over all files, and empty for a rule of its own.
    ``interval``: ms between evaluations, 0 for ``alerts.evaluation_interval``. ``limit``: how many alerts, or recorded
    series, it may have at once (an evaluation that gives more is an error and changes nothing), 0 for any number.
    ``query_offset``: ms by which the expression looks back from the time of the evaluation. ``version``: of a rule of the
    API, from 1 on; 0 for others.
    """

    id: str
    name: str
    condition: str
    for_: int = msgspec.field(default=0, name="for")
    keep_firing_for: int = 0
    resolve_when: str | None = None
    severity: Severity = "medium"
    channels: tuple[str, ...] = ("dashboard",)
    cooldown: int = 300_000
    no_data: Literal["ok", "alert", "keep"] = "ok"
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    enabled: bool = True
    source: RuleSource = RuleSource("api")
    record: str = ""
    group: str = ""
    interval: int = 0
    limit: int = 0
    query_offset: int = 0
    version: int = 0


class Alert(msgspec.Struct, rename="camel"):
    """One rule and one label set. ``id`` names one firing, ``fingerprint`` the rule with its labels."""

    id: str
    fingerprint: str
    rule_id: str
    name: str
    severity: Severity
    condition: str
    labels: dict[str, str]
    annotations: dict[str, str]
    value: float | None
    status: AlertStatus
    starts_at: int
    fired_at: int | None = None
    ends_at: int | None = None
    acknowledged_by: str | None = None
    comment: str | None = None
    silenced_by: list[str] = []
    inhibited_by: list[str] = []
    flapping: bool = False
    notifications: list[dict[str, Any]] = []


class Transition(msgspec.Struct, frozen=True):
    """An alert changed its status at ``time``. ``notify`` is false where the notification was held back: the decision of
    the same time says why. ``before`` equals the status where a notification that was held goes out."""

    alert: Alert
    before: AlertStatus | None
    time: int
    notify: bool


class Reason(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Why a notification was held back, or was sent all the same. ``stage`` names who decided: ``cooldown``, ``flapping``,
    ``acknowledged``, ``untold``, or a gate's own name. ``until``: when it ends by itself, where that is known."""

    stage: str
    text: str
    until: int | None = None


class Input(msgspec.Struct, frozen=True, rename="camel"):
    """A series that a condition reads, with its newest value at the time of the decision."""

    name: str
    labels: dict[str, str]
    value: float | None


class Decision(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """One entry of a rule's trace: what was seen, what followed, and why somebody was told or was not.

    ``kind``: ``transition``, ``notification`` (a held one is sent, or held for another reason), ``evaluation`` (it failed, or
    had no input), ``restart`` or ``reload``. ``notify`` is ``None`` where there was nothing to tell. ``id`` grows with time.
    """

    id: str
    time: int
    rule_id: str
    kind: Literal["transition", "notification", "evaluation", "restart", "reload"]
    text: str
    alert_id: str | None = None
    fingerprint: str | None = None
    labels: dict[str, str] = {}
    before: AlertStatus | None = None
    after: AlertStatus | None = None
    value: float | None = None
    inputs: list[Input] = []
    notify: bool | None = None
    reasons: list[Reason] = []


class FlowPlan(msgspec.Struct, frozen=True, rename="camel"):
    """What is expected of the flows whose id is, or matches, ``flow``.

    ``schedule`` is a cron expression or ``learned``; ``timezone`` its zone or ``local``; ``grace`` how late a start may be.
    ``max_duration`` may be ``learned`` too. ``None`` where nothing is expected.
    """

    flow: str
    schedule: str | None
    timezone: str
    grace: int
    max_duration: int | Literal["learned"] | None
    max_step_duration: int | None
    source: RuleSource
