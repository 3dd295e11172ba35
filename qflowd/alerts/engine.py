"""The life of alerts: a pure function of rules, series and time. Times and durations are milliseconds."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from qflowd.alerts.template import render
from qflowd.model import Alert, AlertStatus, Rule, Transition
from qflowd.series.promql import PromQLError, Query, Vector, compile
from qflowd.series.promql.value import bare

if TYPE_CHECKING:
    from qflowd.series.store import SeriesStore

DOWNTIME = 3_600_000
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class AlertError(Exception):
    """What was asked of an alert is not possible; the text says why."""


class _Life(msgspec.Struct):
    """An alert with its timers. ``told``: its firing went out."""

    alert: Alert
    series: dict[str, str]
    cleared_at: int | None = None
    told: bool = False


class _Kept(msgspec.Struct):
    """What is kept of a rule. ``sent``: fingerprint → when its last firing went out."""

    identity: str
    lives: dict[str, _Life] = {}
    sent: dict[str, int] = {}
    last_value: float | None = None
    last_evaluation: int | None = None
    error: str | None = None


class _Dump(msgspec.Struct):
    time: int
    rules: dict[str, _Kept]
    orphans: list[_Life] = []


def identity(rule: Rule) -> str:
    """Equal while an alert of the rule may be kept: what it watches and its timers, not its texts."""
    parts = (rule.condition, rule.for_, rule.keep_firing_for, rule.resolve_when, rule.no_data, rule.enabled)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def fingerprint(rule_id: str, labels: dict[str, str]) -> str:
    """The name of a rule with the labels of one series."""
    return hashlib.sha256(repr((rule_id, sorted(labels.items()))).encode()).hexdigest()[:16]


def ulid(time: int, randomness: bytes) -> str:
    """26 characters of Crockford's base 32: 48 bits of time, 80 of randomness."""
    number = (time & (1 << 48) - 1) << 80 | int.from_bytes(randomness[:10], "big")
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


class Engine:
    """Evaluates rules. ``random(n)`` gives n bytes for ids."""

    def __init__(self, rules: Iterable[Rule], *, random: Callable[[int], bytes] = os.urandom) -> None:
        self._random = random
        self._rules: dict[str, tuple[Rule, Query, Query | None]] = {}
        self._kept: dict[str, _Kept] = {}
        self._orphans: list[_Life] = []
        self._time = 0
        self.replace(rules, 0)

    def replace(self, rules: Iterable[Rule], now: int) -> list[Transition]:
        """Take these rules. Alerts of rules that are gone, or watch something else, resolve."""
        self._rules = {
            rule.id: (rule, compile(rule.condition), compile(rule.resolve_when) if rule.resolve_when else None) for rule in rules
        }
        return self._settle(self._kept, now)

    def _settle(self, before: dict[str, _Kept], now: int) -> list[Transition]:
        self._kept, found = {}, []
        for rule_id, (rule, _, _) in self._rules.items():
            kept = before.get(rule_id)
            if kept is None or kept.identity != identity(rule):
                self._kept[rule_id] = _Kept(identity(rule))
                continue
            self._kept[rule_id] = kept
            for life in kept.lives.values():
                self._dress(rule, life)
        for rule_id, kept in before.items():
            if self._kept.get(rule_id) is not kept:
                found += [self._resolve(life, now) for life in kept.lives.values()]
        return found

    def evaluate(self, store: SeriesStore, now: int) -> list[Transition]:
        """Every rule at ``now``. A pending alert that clears is told as resolved, with ``notify`` false."""
        self._time = now
        found = [self._resolve(life, now) for life in self._orphans]
        self._orphans = []
        for rule, condition, resolve in self._rules.values():
            if rule.enabled:
                self._one(rule, condition, resolve, store, now, found)
        return found

    def _one(
        self, rule: Rule, condition: Query, resolve: Query | None, store: SeriesStore, now: int, found: list[Transition]
    ) -> None:
        kept = self._kept[rule.id]
        kept.last_evaluation = now
        try:
            result, value = condition.watch(store, now)
            holding: list[tuple[dict[str, str], float | None]] = [*_elements(result)]
            clear = _elements(resolve.evaluate(store, now)) if resolve is not None and kept.lives else []
        except PromQLError as error:
            # A condition that is ambiguous over today's series says nothing: alerts stay as they are.
            kept.error, kept.last_value = str(error), None
            return
        kept.error, kept.last_value = None, value
        if not holding and not kept.lives and rule.no_data != "alert":
            kept.sent and self._forget(kept, rule, now)
            return
        absent = not holding and (rule.no_data != "ok" or resolve is not None) and not condition.has_input(store, now)
        if absent and rule.no_data == "keep":
            return
        if absent and rule.no_data == "alert":
            holding = [(life.series, None) for life in kept.lives.values()] or [({}, None)]
        present: set[str] = set()
        for labels, held in holding:
            series = bare(labels)
            key = fingerprint(rule.id, series)
            if key not in present:
                present.add(key)
                self._holds(rule, kept, key, series, held, now, found)
        for key, life in list(kept.lives.items()):
            if key not in present:
                stays = resolve is not None and not absent and not any(_agree(one, life.series) for one, _ in clear)
                self._clears(rule, kept, key, life, stays, now, found)
        self._forget(kept, rule, now)

    def _holds(
        self, rule: Rule, kept: _Kept, key: str, series: dict[str, str], value: float | None, now: int, found: list[Transition]
    ) -> None:
        life = kept.lives.get(key)
        if life is None:
            alert = Alert(ulid(now, self._random(10)), key, rule.id, rule.name, rule.severity, rule.condition, {}, {}, value,
                          "pending", now)  # fmt: skip
            life = kept.lives[key] = _Life(alert, series)
            self._dress(rule, life)
            if rule.for_ > 0:
                found.append(Transition(msgspec.structs.replace(alert), None, now, False))
                return
            self._fire(rule, kept, life, None, now, found)
            return
        life.cleared_at = None
        if life.alert.value != value:
            life.alert.value = value
            self._dress(rule, life)
        if life.alert.status == "pending":
            if now - life.alert.starts_at >= rule.for_:
                self._fire(rule, kept, life, "pending", now, found)
        elif life.alert.status == "firing" and not life.told and self._may_tell(rule, kept, key, now):
            life.told, kept.sent[key] = True, now
            found.append(Transition(msgspec.structs.replace(life.alert), "firing", now, True))

    def _fire(self, rule: Rule, kept: _Kept, life: _Life, before: AlertStatus | None, now: int, found: list[Transition]) -> None:
        life.alert.status, life.alert.fired_at = "firing", now
        if self._may_tell(rule, kept, life.alert.fingerprint, now):
            life.told, kept.sent[life.alert.fingerprint] = True, now
        found.append(Transition(msgspec.structs.replace(life.alert), before, now, life.told))

    def _clears(
        self, rule: Rule, kept: _Kept, key: str, life: _Life, stays: bool, now: int, found: list[Transition]
    ) -> None:
        if life.alert.status != "pending":
            if stays:
                life.cleared_at = None
                return
            if life.cleared_at is None:
                life.cleared_at = now
            if now - life.cleared_at < rule.keep_firing_for:
                return
        del kept.lives[key]
        found.append(self._resolve(life, now))

    @staticmethod
    def _may_tell(rule: Rule, kept: _Kept, key: str, now: int) -> bool:
        return key not in kept.sent or now - kept.sent[key] >= rule.cooldown

    @staticmethod
    def _forget(kept: _Kept, rule: Rule, now: int) -> None:
        for key in [key for key, at in kept.sent.items() if now - at >= rule.cooldown and key not in kept.lives]:
            del kept.sent[key]

    @staticmethod
    def _resolve(life: _Life, now: int) -> Transition:
        before = life.alert.status
        return Transition(msgspec.structs.replace(life.alert, status="resolved", ends_at=now), before, now, life.told)

    @staticmethod
    def _dress(rule: Rule, life: _Life) -> None:
        alert, series = life.alert, life.series
        alert.name, alert.severity = rule.name, rule.severity
        added = {key: render(text, series, alert.value) for key, text in rule.labels.items()}
        alert.labels = {**series, **added, "alertname": rule.name}
        alert.annotations = {key: render(text, series, alert.value) for key, text in rule.annotations.items()}

    def active(self) -> list[Alert]:
        """Alerts that are pending, firing or acknowledged; copies."""
        return [msgspec.structs.replace(life.alert) for kept in self._kept.values() for life in kept.lives.values()]

    def view(self, rule_id: str) -> dict[str, Any]:
        """``state`` (the worst of its alerts), ``lastValue, lastEvaluation, activeAlerts`` of a rule. ``lastValue`` is that of
        the left side of a condition ``vector > scalar``, whether or not it holds; null for every other condition."""
        kept = self._kept.get(rule_id) or _Kept("")
        states = [life.alert.status for life in kept.lives.values()]
        state = next((one for one in ("firing", "acknowledged", "pending") if one in states), "inactive")
        found: dict[str, Any] = {
            "state": state, "lastValue": kept.last_value, "lastEvaluation": kept.last_evaluation, "activeAlerts": len(states)
        }  # fmt: skip
        return found | ({"error": kept.error} if kept.error else {})

    def acknowledge(self, alert_id: str, by: str, comment: str | None, now: int) -> Transition:
        """Raises AlertError where the alert is not firing."""
        return self._mark(alert_id, "firing", "acknowledged", by, comment, now)

    def unacknowledge(self, alert_id: str, now: int) -> Transition:
        """Raises AlertError where the alert is not acknowledged."""
        return self._mark(alert_id, "acknowledged", "firing", None, None, now)

    def _mark(
        self, alert_id: str, before: AlertStatus, after: AlertStatus, by: str | None, comment: str | None, now: int
    ) -> Transition:
        for kept in self._kept.values():
            for life in kept.lives.values():
                if life.alert.id == alert_id:
                    if life.alert.status != before:
                        raise AlertError(f"the alert is {life.alert.status}, expected {before}")
                    life.alert.status, life.alert.acknowledged_by, life.alert.comment = after, by, comment
                    return Transition(msgspec.structs.replace(life.alert), before, now, False)
        raise AlertError(f"no active alert {alert_id!r}")

    def dump(self) -> bytes:
        """Every alert and timer."""
        return msgspec.msgpack.encode(_Dump(self._time, self._kept, self._orphans))

    def restore(self, blob: bytes, now: int) -> None:
        """Go on from a dump. Alerts whose rule is gone resolve at the next evaluation; pending starts again after an hour."""
        dump = msgspec.msgpack.decode(blob, type=_Dump)
        if now - dump.time > DOWNTIME:
            for kept in dump.rules.values():
                for life in kept.lives.values():
                    if life.alert.status == "pending":
                        life.alert.starts_at = now
        self._settle(dump.rules, now)
        left = [kept for rule_id, kept in dump.rules.items() if self._kept.get(rule_id) is not kept]
        self._orphans = dump.orphans + [life for kept in left for life in kept.lives.values()]
        self._time = dump.time


def _elements(value: float | Vector) -> Vector:
    """A scalar holds where it is not zero."""
    if isinstance(value, list):
        return value
    return [({}, value)] if value and value == value else []


def _agree(labels: dict[str, str], series: dict[str, str]) -> bool:
    return all(series.get(key, value) == value for key, value in labels.items() if key != "__name__")
