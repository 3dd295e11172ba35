"""Why a rule did what it did: where it stands, and its trace."""

from __future__ import annotations

import msgspec

from qflowd.model import Alert, Decision, Input, Reason


class Waiting(msgspec.Struct, frozen=True, rename="camel"):
    """An alert with what it waits for: a timer that runs, or what holds its notification back."""

    alert: Alert
    waits: list[Reason]


class Standing(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Where a rule stands at ``time``: the series that it reads with their newest values, ten at most, and its alerts."""

    rule_id: str
    time: int
    state: str
    last_value: float | None
    last_evaluation: int | None
    error: str | None
    inputs: list[Input]
    alerts: list[Waiting]


class Explanation(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """``standing`` is ``None`` for a rule that is gone; ``items`` are its decisions, the newest first."""

    standing: Standing | None
    items: list[Decision]
    next_cursor: str | None
