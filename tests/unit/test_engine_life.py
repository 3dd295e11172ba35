from __future__ import annotations

from typing import Any

import msgspec
import pytest

from qflowd.alerts.engine import AlertError, Engine
from qflowd.alerts.template import Surroundings
from qflowd.model import Rule, Sample
from qflowd.series.store import SeriesStore

S = 1000


def rule(**more: Any) -> Rule:
    return Rule(**{"id": "r", "name": "R", "condition": "v > 5", "cooldown": 0, **more})


class Run:
    """An engine over the one series ``v``. A transition is told as (before, status, notify)."""

    def __init__(self, *rules: Rule) -> None:
        self.store, self.engine, self.now = SeriesStore(), Engine(rules), 0

    def __call__(self, *values: float | None, **labels: str) -> list[tuple[str | None, str, bool]]:
        found = []
        for value in values:
            self.now += S
            self.store.add(Sample("v", labels, self.now, value))
            found += self.engine.evaluate(self.store, self.now)
        return [(one.before, one.alert.status, one.notify) for one in found]

    def replace(self, *rules: Rule) -> list[tuple[str, str | None]]:
        return [(one.alert.status, one.before) for one in self.engine.replace(rules, self.now)]

    def view(self) -> tuple[str, float | None, int]:
        found = self.engine.view("r")
        return found["state"], found["lastValue"], found["activeAlerts"]


FIRES, RESOLVES = (None, "firing", True), ("firing", "resolved", True)


@pytest.mark.parametrize(
    ("no_data", "expected"), [("ok", [FIRES, RESOLVES]), ("keep", [FIRES]), ("alert", [FIRES])]
)
def test_no_data_while_it_fires(no_data: str, expected: list[Any]) -> None:
    run = Run(rule(no_data=no_data))
    assert run(9, None, None) == expected
    assert run(9, 1) == ([RESOLVES] if no_data != "ok" else [FIRES, RESOLVES])


@pytest.mark.parametrize(("no_data", "expected"), [("ok", []), ("keep", []), ("alert", [(None, "pending", False), ("pending", "firing", True)])])
def test_no_data_from_the_start(no_data: str, expected: list[Any]) -> None:
    run = Run(rule(no_data=no_data, for_=S))
    assert run(None, None, None) == expected
    assert run.view() == (("firing" if expected else "inactive"), None, len(expected) // 2)
    assert run(1) == ([RESOLVES] if expected else [])


def test_no_data_keeps_pending_as_it_is() -> None:
    run = Run(rule(no_data="keep", for_=2 * S))
    assert run(9, None, None, None) == [(None, "pending", False)]
    assert run(9) == [("pending", "firing", True)]


def test_acknowledge() -> None:
    run = Run(rule(keep_firing_for=2 * S))
    run(9)
    alert = run.engine.active()[0]
    one = run.engine.acknowledge(alert.id, "ann", "on it", run.now)
    assert (one.before, one.alert.status, one.alert.acknowledged_by, one.alert.comment, one.notify) == (
        "firing", "acknowledged", "ann", "on it", True
    )  # fmt: skip
    assert run.view()[0] == "acknowledged" and run(9, 9) == []
    with pytest.raises(AlertError, match="the alert is acknowledged, expected firing"):
        run.engine.acknowledge(alert.id, "bob", None, run.now)
    back = run.engine.unacknowledge(alert.id, run.now)
    assert (back.before, back.alert.status, back.alert.acknowledged_by, back.alert.comment) == ("acknowledged", "firing", None, None)
    with pytest.raises(AlertError, match="the alert is firing, expected acknowledged"):
        run.engine.unacknowledge(alert.id, run.now)
    run.engine.acknowledge(alert.id, "ann", None, run.now)
    assert run(1, 1, 1) == [("acknowledged", "resolved", True)]
    with pytest.raises(AlertError, match="no active alert"):
        run.engine.acknowledge(alert.id, "ann", None, run.now)


def test_pending_cannot_be_acknowledged_and_the_worst_state_is_shown() -> None:
    run = Run(rule(for_=2 * S))
    run(9, a="1")
    with pytest.raises(AlertError, match="pending"):
        run.engine.acknowledge(run.engine.active()[0].id, "ann", None, run.now)
    run(9, 9, a="1")
    run(9, a="2")
    assert run.view() == ("firing", 9, 2)
    run.engine.acknowledge(next(one.id for one in run.engine.active() if one.labels["a"] == "1"), "ann", None, run.now)
    assert run.view()[0] == "acknowledged"


@pytest.mark.parametrize(
    ("after", "resolves"),
    [({}, False), ({"name": "Other", "severity": "critical", "channels": ("sms",), "cooldown": 5}, False),
     ({"labels": {"team": "x"}, "annotations": {"s": "{{ $value }}"}}, False), ({"condition": "v > 6"}, True), ({"for_": S}, True),
     ({"resolve_when": "v < 3"}, True), ({"no_data": "keep"}, True), ({"enabled": False}, True)],
)  # fmt: skip
def test_replace(after: dict[str, Any], resolves: bool) -> None:
    run = Run(rule())
    run(9)
    before = run.engine.active()[0]
    found = run.replace(rule(**after), rule(id="new"))
    assert found == ([("resolved", "firing")] if resolves else [])
    kept = run.engine.active()
    assert [one.id for one in kept] == ([] if resolves else [before.id])
    if not resolves:
        assert kept[0].name == kept[0].labels["alertname"] == after.get("name", "R") and kept[0].severity == after.get("severity", "medium")
        assert kept[0].annotations == ({"s": "9"} if "annotations" in after else {}) and kept[0].fired_at == before.fired_at
    assert run.replace(rule(id="other")) == ([] if resolves else [("resolved", "firing")])


def test_texts_that_ask_for_other_series_follow_them() -> None:
    text = "{{ $externalLabels.region }} {{ with query \"w\" }}{{ . | first | value }}{{ end }}"
    run, around = Run(), Surroundings(external_labels={"region": "eu"})
    run.engine = Engine([rule(annotations={"s": text})], around=around)
    run.store.add(Sample("w", {}, S, 1.0))
    run(9)
    assert run.engine.active()[0].annotations == {"s": "eu 1"}
    run.store.add(Sample("w", {}, 2 * S, 2.0))
    run(9)
    assert run.engine.active()[0].annotations == {"s": "eu 2"}, "the value of the alert is the same"
    documents = run.engine.dump()
    run.engine = Engine([rule(annotations={"s": text})], around=around)
    run.engine.restore(documents, run.now)
    run(9)
    assert run.engine.active()[0].annotations == {"s": "eu 2"}
    run.replace(rule(annotations={"s": text + "!"}))
    assert run.engine.active()[0].annotations == {"s": "eu 2!"}


@pytest.mark.parametrize("condition", ["1", "0", "time() > bool 5000"])
def test_a_scalar_always_holds_as_in_prometheus(condition: str) -> None:
    run = Run(rule(condition=condition))
    assert run(1) == [FIRES]


def test_an_unrelated_change_keeps_timers() -> None:
    run, other = Run(rule(for_=3 * S, keep_firing_for=3 * S)), rule(id="other", condition="w > 1")
    run(9, 9)
    assert run.replace(rule(for_=3 * S, keep_firing_for=3 * S), other) == []
    assert run(9, 9) == [("pending", "firing", True)]
    assert run(1, 1) == []
    run.replace(msgspec.structs.replace(other, condition="w > 2"), rule(for_=3 * S, keep_firing_for=3 * S))
    assert run(1, 1) == [RESOLVES]


def test_cooldown_holds_back_firing_only() -> None:
    run = Run(rule(cooldown=5 * S))
    assert run(9, 1) == [FIRES, RESOLVES]
    assert run(9, 1) == [(None, "firing", False), ("firing", "resolved", False)]
    assert run(9) == [(None, "firing", False)]
    assert run(9, 9) == [("firing", "firing", True)], "held, it goes out when the cooldown ends"
    assert run(1) == [RESOLVES]


@pytest.mark.parametrize("restart", [False, True])
def test_new_texts_leave_the_cooldown_of_resolved_alerts(restart: bool) -> None:
    run, texts = Run(rule(cooldown=5 * S)), rule(cooldown=5 * S, annotations={"summary": "{{ $value }}"})
    run(9, 1)
    if restart:
        documents, run.engine = run.engine.dump(), Engine([texts])
        run.engine.restore(documents, run.now)
    else:
        run.replace(texts)
    assert run(9, 9) == [(None, "firing", False)], "told less than the cooldown ago"
    assert run(9, 9) == [("firing", "firing", True)]


def test_a_held_notification_survives_a_restart_and_waits_for_an_acknowledgement_to_end() -> None:
    run = Run(rule(cooldown=5 * S))
    run(9, 1, 9)
    blob, run.engine = run.engine.dump(), Engine([rule(cooldown=5 * S)])
    run.engine.restore(blob, run.now)
    one = run.engine.active()[0].id
    run.engine.acknowledge(one, "ann", None, run.now)
    assert run(9, 9, 9, 9) == []
    run.engine.unacknowledge(one, run.now)
    assert run(9, 9) == [("firing", "firing", True)]


@pytest.mark.parametrize(("down", "expected"), [(3_599 * S, [("pending", "firing", True)]), (3_602 * S, [])])
def test_downtime_of_more_than_an_hour_resets_pending(down: int, expected: list[Any]) -> None:
    run = Run(rule(for_=10 * S))
    run(9)
    blob, run.engine = run.engine.dump(), Engine([rule(for_=10 * S)])
    run.now += down
    run.engine.restore(blob, run.now)
    assert run(9) == expected
    assert run(*[9] * 10) == ([] if expected else [("pending", "firing", True)])


def test_downtime_keeps_what_fires_and_resolves_what_is_gone() -> None:
    run = Run(rule(), rule(id="gone"))
    run(9)
    blob, run.engine = run.engine.dump(), Engine([rule()])
    run.now += 7_200 * S
    run.engine.restore(blob, run.now)
    assert run(9) == [RESOLVES] and run.view() == ("firing", 9, 1)


@pytest.mark.parametrize(
    ("condition", "value", "shown"),
    [("v > 5", 1, 1), ("v > 5", 9, 9), ("v < 5 and v > 0", 1, None), ("sum(v) > 2 * 3", 4, 4), ("v > 5", None, None)],
)
def test_last_value(condition: str, value: float | None, shown: float | None) -> None:
    run = Run(rule(condition=condition))
    run(value)
    assert run.view()[1] == shown


def test_an_ambiguous_condition_is_told_and_changes_nothing() -> None:
    run = Run(rule(condition="v * on() w > 5"))
    run.store.add(Sample("w", {"a": "1"}, S, 1.0))
    run(9)
    run.store.add(Sample("w", {"a": "2"}, 2 * S, 1.0))
    assert run(0) == [] and "many-to-many" in run.engine.view("r")["error"] and run.view()[0] == "firing"


def test_a_hundred_rules_read_a_hundred_series() -> None:
    store = SeriesStore()
    for number in range(100):
        store.add(Sample(f"m{number}", {"host": "a"}, S, 9.0))
    engine = Engine([rule(id=f"r{number}", condition=f"m{number} > {number % 10}") for number in range(100)])
    assert len(engine.evaluate(store, S)) == 90
