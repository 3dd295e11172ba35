"""Runs the tests of a file: the daemon's own engine over the series of each test, evaluated step by step."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any, cast

import msgspec

from qflowd.alerts.engine import Engine
from qflowd.alerts.ruletest.cases import AlertTest, Case, Expected, ExprTest, Suite
from qflowd.alerts.ruletest.compare import Failure, alerts_differ, samples_differ
from qflowd.alerts.ruletest.store import Tracks
from qflowd.alerts.template import Surroundings
from qflowd.model import Alert, Rule, Sample, Transition
from qflowd.series.promql import PromQLError, compile
from qflowd.units import written


def run(suite: Suite, rules: Sequence[Rule], *, closed: bool = False) -> list[Failure]:
    """Every failure of a file's tests. ``rules``: those of its rule files, in order; ``closed``: a point at the left edge of a
    range belongs to it, as it did before Prometheus 3."""
    ranks = {name: rank for rank, name in enumerate(suite.group_order)}
    # In each round every rule is evaluated, whatever interval its group has.
    ordered = sorted((msgspec.structs.replace(rule, interval=0) for rule in rules), key=lambda rule: ranks.get(rule.group, 0))
    return [failure for case in suite.cases for failure in _Run(suite, case, ordered, closed).failures()]


class _Run:
    """One test."""

    def __init__(self, suite: Suite, case: Case, rules: Sequence[Rule], closed: bool) -> None:
        self.suite, self.case, self.rules = suite, case, rules
        self.store = Tracks(closed=closed)
        self.ids = count()
        self.engine = self.begin()
        self.shown: dict[str, list[Sample]] = {}
        self.resolved: list[Transition] = []
        self.loaded = 0
        self.away = 0

    def begin(self) -> Engine:
        around = Surroundings(self.case.external_labels, self.case.external_url)
        return Engine(self.rules, random=self.random, around=around, observe=self.observe)

    def random(self, size: int) -> bytes:
        return hashlib.sha256(str(next(self.ids)).encode()).digest()[:size]

    # -- time ----------------------------------------------------------------------------------------------------

    def failures(self) -> Iterator[Failure]:
        """Step by step; an evaluation that fails ends the test."""
        case = self.case
        waiting = sorted(case.alerts, key=lambda one: one.at)
        restarts = sorted(case.restarts, key=lambda one: one.at)
        acknowledgements = sorted(case.acknowledgements, key=lambda one: one.at)
        for time in range(0, case.end + 1, self.suite.interval):
            if time >= self.away:
                self.load(time)
                self.evaluate(time)
                errors = list(self.errors(time))
                yield from errors
                if errors:
                    return
            while acknowledgements and acknowledgements[0].at < time + self.suite.interval:
                one = acknowledgements.pop(0)
                if not self.acknowledge(one.alertname, one.labels, one.by, time):
                    yield Failure(one.path, f"no alert {one.alertname} fires at {written(one.at)} that could be acknowledged")
            while waiting and waiting[0].at < time + self.suite.interval:
                yield from self.check(waiting.pop(0))
            while restarts and restarts[0].at < time + self.suite.interval:
                restart = restarts.pop(0)
                self.restart(time, restart.at + restart.down)
        for test in case.expressions:
            yield from self.ask(test)

    def load(self, time: int) -> None:
        """The points up to ``time``; those of a time when nobody was there to measure are lost."""
        upto = time // self.case.interval + 1
        for labels, values in self.unique():
            for index in range(self.loaded, min(upto, len(values))):
                value = values[index]
                if value is not None and not self.lost(index * self.case.interval):
                    number = None if value == "stale" else cast(float, value)
                    self.store.add(Sample(labels.get("__name__", ""), _bare(labels), self.at(index * self.case.interval), number))
        self.loaded = upto

    def unique(self) -> list[tuple[dict[str, str], Any]]:
        """The series; of those given twice the last."""
        return list({frozenset(labels.items()): (labels, values) for labels, values in self.case.series}.values())

    def lost(self, time: int) -> bool:
        return any(one.at < time < one.at + one.down for one in self.case.restarts)

    def at(self, time: int) -> int:
        return self.case.start + time

    def evaluate(self, time: int) -> None:
        self.engine.take()
        for _ in self.engine.steps(cast(Any, self.store), self.at(time), everything=True):
            pass
        transitions = self.engine.take().transitions
        self.resolved = [one for one in transitions if one.alert.status == "resolved" and one.before != "pending"]

    def observe(self, rule: Rule, alerts: list[Alert], now: int) -> None:
        """``ALERTS`` and ``ALERTS_FOR_STATE``, as Prometheus writes them after each evaluation of a rule."""
        found = []
        for alert in alerts:
            labels = rule.labels | alert.labels
            state = "pending" if alert.status == "pending" else "firing"
            found.append(Sample("ALERTS", labels | {"alertstate": state}, now, 1.0))
            found.append(Sample("ALERTS_FOR_STATE", labels, now, float(alert.starts_at // 1000)))
        there = {(one.name, frozenset(one.labels.items())) for one in found}
        ended = [one for one in self.shown.get(rule.id, ()) if (one.name, frozenset(one.labels.items())) not in there]
        for sample in [*found, *(msgspec.structs.replace(one, time=now, value=None) for one in ended)]:
            self.store.add(sample)
        self.shown[rule.id] = found

    def errors(self, time: int) -> Iterator[Failure]:
        for rule in self.rules:
            error = self.engine.view(rule.id).get("error")
            if error:
                yield Failure(self.case.path, f"{self.named()}the rule {rule.name} cannot be evaluated at {written(time)}: {error}")

    def acknowledge(self, name: str, labels: Mapping[str, str], by: str, time: int) -> bool:
        found = [
            alert for alert in self.engine.active()
            if alert.name == name and alert.status == "firing" and labels.items() <= alert.labels.items()
        ]  # fmt: skip
        for alert in found:
            self.engine.acknowledge(alert.id, by, None, self.at(time))
        return bool(found)

    def restart(self, time: int, back: int) -> None:
        """What is kept is brought back into a new engine, as after ``kill -9``."""
        documents, self.engine = self.engine.dump(), self.begin()
        self.away = back
        self.engine.restore(documents, self.at(max(time, back)))

    # -- what was expected ---------------------------------------------------------------------------------------

    def named(self) -> str:
        return f"{self.case.name}: " if self.case.name else ""

    def check(self, test: AlertTest) -> Iterator[Failure]:
        alerts = self.engine.active() + [one.alert for one in self.resolved]
        for status, wanted in test.wanted.items():
            # Who is acknowledged still fires; promtool knows no other.
            counted = {status, "acknowledged"} if status == "firing" else {status}
            got = [Expected(one.labels, one.annotations) for one in alerts if one.name == test.alertname and one.status in counted]
            differ = alerts_differ(wanted, got)
            if differ:
                yield Failure(test.path, f"{self.named()}alerts {test.alertname} that are {status} at {written(test.at)}:\n{differ}")

    def ask(self, test: ExprTest) -> Iterator[Failure]:
        where = f"{self.named()}{test.expr} at {written(test.at)}"
        try:
            value = compile(test.expr).evaluate(cast(Any, self.store), self.at(test.at))
        except PromQLError as error:
            yield Failure(test.path, f"{where}: {error}")
            return
        got = [(dict(labels), one) for labels, one in value] if isinstance(value, list) else [({}, value)]
        differ = samples_differ(test.samples, got, fuzzy=self.suite.fuzzy)
        if differ:
            yield Failure(test.path, f"{where}:\n{differ}")


def _bare(labels: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in labels.items() if key != "__name__"}
