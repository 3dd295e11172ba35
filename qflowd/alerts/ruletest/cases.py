"""A file of rule tests, checked: promtool's keys, and those that qflowd has beyond them.

Beyond promtool's: ``exp_pending``, ``exp_acknowledged`` and ``exp_resolved`` beside ``exp_alerts``; ``acknowledge`` and
``restart_at`` beside ``input_series``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from qflowd.alerts.ruletest.notation import NotationError, Values, metric, values
from qflowd.units import prometheus_duration

Path = tuple[str | int, ...]
T = TypeVar("T")
STATES = {"exp_alerts": "firing", "exp_pending": "pending", "exp_acknowledged": "acknowledged", "exp_resolved": "resolved"}
LATER = frozenset({"silences", "inhibit", "routes", "maintenance", "escalate", "exp_notifications", "channels"})
MINUTE = 60_000


class SuiteError(Exception):
    """The file cannot be used; ``problems`` are all of its mistakes, each with its path."""

    def __init__(self, problems: Sequence[tuple[Path, str]]) -> None:
        super().__init__("; ".join(message for _, message in problems))
        self.problems = list(problems)


@dataclass(frozen=True)
class Expected:
    """An alert, as a test wants it."""

    labels: dict[str, str]
    annotations: dict[str, str]


@dataclass(frozen=True)
class AlertTest:
    """The alerts of a name at a time. ``wanted``: status → alerts; a status that is not there is not asked for."""

    path: Path
    at: int
    alertname: str
    wanted: dict[str, list[Expected]]


@dataclass(frozen=True)
class ExprTest:
    """The value of an expression at a time."""

    path: Path
    at: int
    expr: str
    samples: list[tuple[dict[str, str], float]]


@dataclass(frozen=True)
class Acknowledge:
    """Somebody acknowledges the firing alerts of a name that have these labels."""

    path: Path
    at: int
    alertname: str
    labels: dict[str, str]
    by: str


@dataclass(frozen=True)
class Restart:
    """The daemon is killed after the evaluation at ``at`` and is back ``down`` ms later."""

    at: int
    down: int


@dataclass(frozen=True)
class Case:
    """One entry of ``tests``. Times are ms from ``start`` (epoch ms), at which virtual time begins."""

    path: Path
    name: str
    start: int
    interval: int
    series: list[tuple[dict[str, str], Values]]
    alerts: list[AlertTest]
    expressions: list[ExprTest]
    external_labels: dict[str, str]
    external_url: str
    acknowledgements: list[Acknowledge] = field(default_factory=list)
    restarts: list[Restart] = field(default_factory=list)

    @property
    def end(self) -> int:
        """The last time that anything is expected of."""
        return max([0, *(one.at for one in self.alerts), *(one.at for one in self.expressions)])


@dataclass(frozen=True)
class Suite:
    """A file. ``group_order``: names of groups, those evaluated first in front; ``fuzzy``: neighbouring floats are equal."""

    rule_files: list[str]
    interval: int
    group_order: list[str]
    fuzzy: bool
    cases: list[Case]


def read_suite(value: Any) -> Suite:
    """A suite of a document all of whose scalars are text. Raises SuiteError."""
    reader = _Reader()
    suite = reader.suite(value)
    if reader.problems:
        raise SuiteError(reader.problems)
    return suite


class _Reader:
    def __init__(self) -> None:
        self.problems: list[tuple[Path, str]] = []

    def suite(self, value: Any) -> Suite:
        keys = self.mapping((), value, "rule_files evaluation_interval group_eval_order fuzzy_compare tests")
        interval = self.duration(("evaluation_interval",), keys.get("evaluation_interval")) or MINUTE
        order = self.texts(("group_eval_order",), keys.get("group_eval_order"))
        for index, name in enumerate(order):
            if name in order[:index]:
                self.mistake(("group_eval_order", index), f"group {name} is named twice")
        cases = self.items(("tests",), keys.get("tests"), lambda path, one: self.case(path, one, interval))
        fuzzy = self.flag(("fuzzy_compare",), keys.get("fuzzy_compare"))
        return Suite(self.texts(("rule_files",), keys.get("rule_files")), interval, order, fuzzy, cases)

    def case(self, path: Path, value: Any, interval: int) -> Case:
        keys = self.mapping(
            path, value,
            "interval input_series alert_rule_test promql_expr_test external_labels external_url name start_timestamp"
            " acknowledge restart_at",
        )  # fmt: skip
        return Case(
            path=path,
            name=self.text((*path, "name"), keys.get("name")),
            start=self.moment((*path, "start_timestamp"), keys.get("start_timestamp")),
            interval=self.duration((*path, "interval"), keys.get("interval")) or interval,
            series=self.items((*path, "input_series"), keys.get("input_series"), self.series),
            alerts=self.items((*path, "alert_rule_test"), keys.get("alert_rule_test"), self.alert_test),
            expressions=self.items((*path, "promql_expr_test"), keys.get("promql_expr_test"), self.expr_test),
            external_labels=self.labels((*path, "external_labels"), keys.get("external_labels")),
            external_url=self.text((*path, "external_url"), keys.get("external_url")),
            acknowledgements=self.items((*path, "acknowledge"), keys.get("acknowledge"), self.acknowledge),
            restarts=self.items((*path, "restart_at"), keys.get("restart_at"), self.restart),
        )

    def series(self, path: Path, value: Any) -> tuple[dict[str, str], Values]:
        keys = self.mapping(path, value, "series values")
        labels = self.notation((*path, "series"), keys.get("series"), metric)
        return labels or {}, self.notation((*path, "values"), keys.get("values"), values) or []

    def alert_test(self, path: Path, value: Any) -> AlertTest:
        keys = self.mapping(path, value, f"eval_time alertname {' '.join(STATES)}")
        at = self.duration((*path, "eval_time"), keys.get("eval_time"))
        name = self.text((*path, "alertname"), keys.get("alertname"))
        if not name:
            self.mistake((*path, "alertname"), "is missing: the name of the alerts that are expected")
        # Without any of the keys no alert is expected to fire; with one of ours only that is asked for.
        asked = [key for key in STATES if key in keys] or ["exp_alerts"]

        def expected(here: Path, one: Any) -> Expected:
            found = self.mapping(here, one, "exp_labels exp_annotations")
            labels = self.labels((*here, "exp_labels"), found.get("exp_labels")) | {"alertname": name}
            return Expected(labels, self.labels((*here, "exp_annotations"), found.get("exp_annotations")))

        wanted = {STATES[key]: self.items((*path, key), keys.get(key), expected) for key in asked}
        return AlertTest(path, at, name, wanted)

    def expr_test(self, path: Path, value: Any) -> ExprTest:
        keys = self.mapping(path, value, "expr eval_time exp_samples")
        at = self.duration((*path, "eval_time"), keys.get("eval_time"))

        def sample(here: Path, one: Any) -> tuple[dict[str, str], float]:
            found = self.mapping(here, one, "labels value histogram")
            if found.get("histogram"):
                self.mistake((*here, "histogram"), "native histograms are not supported")
            labels = self.notation((*here, "labels"), found.get("labels"), metric)
            return labels or {}, self.number((*here, "value"), found.get("value"))

        samples = self.items((*path, "exp_samples"), keys.get("exp_samples"), sample)
        return ExprTest(path, at, self.text((*path, "expr"), keys.get("expr")), samples)

    def acknowledge(self, path: Path, value: Any) -> Acknowledge:
        keys = self.mapping(path, value, "at alertname labels by")
        at = self.duration((*path, "at"), keys.get("at"))
        name, by = (self.text((*path, key), keys.get(key)) for key in ("alertname", "by"))
        return Acknowledge(path, at, name, self.labels((*path, "labels"), keys.get("labels")), by or "somebody")

    def restart(self, path: Path, value: Any) -> Restart:
        if not isinstance(value, dict):
            return Restart(self.duration(path, value), 0)
        keys = self.mapping(path, value, "at down")
        return Restart(self.duration((*path, "at"), keys.get("at")), self.duration((*path, "down"), keys.get("down")))

    # -- values --------------------------------------------------------------------------------------------------

    def mistake(self, path: Path, message: str) -> None:
        self.problems.append((path, message))

    def mapping(self, path: Path, value: Any, known: str) -> dict[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.mistake(path, f"must be a mapping with some of the keys {known.replace(' ', ', ')}")
            return {}
        for key in value:
            if key in LATER and key not in known.split():
                self.mistake((*path, key), "what belongs to notifications is not supported by this version")
            elif key not in known.split():
                near = difflib.get_close_matches(key, known.split(), 1, 0.6)
                hint = f"did you mean {near[0]}?" if near else f"known are: {known.replace(' ', ', ')}"
                self.mistake((*path, key), f"unknown key, {hint}")
        return value

    def items(self, path: Path, value: Any, read: Callable[[Path, Any], T]) -> list[T]:
        if value is not None and not isinstance(value, list):
            self.mistake(path, "must be a list")
        return [read((*path, index), one) for index, one in enumerate(value)] if isinstance(value, list) else []

    def texts(self, path: Path, value: Any) -> list[str]:
        return self.items(path, value, self.text)

    def text(self, path: Path, value: Any) -> str:
        if isinstance(value, dict | list):
            self.mistake(path, "must be text")
        return value if isinstance(value, str) else ""

    def labels(self, path: Path, value: Any) -> dict[str, str]:
        if value is not None and not isinstance(value, dict):
            self.mistake(path, "must be a mapping of names to texts")
        return {key: self.text((*path, key), text) for key, text in value.items()} if isinstance(value, dict) else {}

    def notation(self, path: Path, value: Any, read: Callable[[str], T]) -> T | None:
        try:
            return read(self.text(path, value))
        except NotationError as error:
            self.mistake(path, str(error))
            return None

    def duration(self, path: Path, value: Any) -> int:
        try:
            return prometheus_duration(self.text(path, value)) if value is not None else 0
        except ValueError as error:
            self.mistake(path, str(error))
            return 0

    def number(self, path: Path, value: Any) -> float:
        text = self.text(path, value).lower().replace(".inf", "inf").replace(".nan", "nan")
        try:
            return float(int(text, 16) if text.startswith("0x") else text or 0)
        except ValueError:
            self.mistake(path, f"{text!r} is no number")
            return 0.0

    def flag(self, path: Path, value: Any) -> bool:
        text = self.text(path, value)
        if text.lower() not in ("", "true", "false"):
            self.mistake(path, "must be true or false")
        return text.lower() == "true"

    def moment(self, path: Path, value: Any) -> int:
        """Epoch ms of RFC 3339 or epoch seconds."""
        text = self.text(path, value)
        try:
            return round(float(text or 0) * 1000)
        except (ValueError, OverflowError):
            pass
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            self.mistake(path, f"{text!r} is no time, write it as 2026-01-31T12:00:00Z or as epoch seconds")
            return 0
        return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
