from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from qflowd.alerts.engine import Engine
from qflowd.alerts.rule import KEYS, RuleError, defaults, parse_rule, slug
from qflowd.alerts.template import TemplateError, render, template
from qflowd.model import Rule, RuleSource, Sample, Transition
from qflowd.series.store import SeriesStore

API, FILE = RuleSource("api"), RuleSource("file", "rules.yaml", 3)
GOOD: dict[str, Any] = {"name": "High CPU!", "condition": "cpu > 1"}
DURATION = "expected a number of milliseconds or a duration such as 5m or 1h30m"
LABEL = "expected a name of letters, digits and _ (alertname is set by qflowd)"
TEXT = "expected a text that is not empty"


def parse(source: RuleSource = API, channels: tuple[str, ...] = (), **more: Any) -> tuple[Rule, list[str]]:
    return parse_rule({**GOOD, **more}, source, channels=channels)


@pytest.mark.parametrize(
    ("key", "value", "path", "words"),
    [("id", "a b", "id", "expected letters, digits and _"), ("id", 5, "id", "as in high_cpu"), ("id", "x" * 201, "id", "at most 200"),
     ("name", "", "name", TEXT), ("name", None, "name", TEXT), ("name", 5, "name", TEXT),
     ("condition", "", "condition", TEXT), ("condition", "cpu >", "condition", "not a condition that can be evaluated"),
     ("condition", "histogram_quantile(0.9, x)", "condition", "the function histogram_quantile is not supported"),
     ("resolve_when", "x[5m]", "resolve_when", "a range as a result is not supported"),
     ("for", "5 minutes", "for", DURATION), ("for", -1, "for", DURATION), ("for", True, "for", DURATION),
     ("for", math.nan, "for", DURATION), ("for", math.inf, "for", DURATION), ("for", [], "for", DURATION), ("for", "", "for", DURATION),
     ("keepFiringFor", "367d", "keep_firing_for", "expected at most 366d"), ("cooldown", "9" * 400 + "w", "cooldown", "expected at most 366d"),
     ("severity", "urgent", "severity", "expected one of low, medium, high, critical"), ("severity", [], "severity", "expected one of"),
     ("no_data", "none", "no_data", "expected one of ok, alert, keep"), ("enabled", "yes", "enabled", "expected true or false"),
     ("channels", "dashboard", "channels", "expected a list of channel names"),
     ("channels", ["dashboard", 5], "channels[1]", "expected the name of a channel"),
     ("channels", ["pager"], "channels[0]", "channel 'pager' is not configured: expected one of dashboard, email, slack, sms, webhook"),
     ("labels", [], "labels", "expected a mapping of names to texts"), ("labels", {"a-b": "x"}, "labels.a-b", LABEL),
     ("labels", {"alertname": "x"}, "labels.alertname", LABEL), ("labels", {"a": True}, "labels.a", "expected a text"),
     ("labels", {"a": None}, "labels.a", "expected a text"), ("labels", {"a": "x" * 10_001}, "labels.a", "expected a text"),
     ("annotations", {"s": "{{ $labels.a"}, "annotations.s", "a {{ is not closed by }}"),
     ("annotations", {"s": "{{ $value | launch }}"}, "annotations.s", "launch"),
     ("annotations", {"s": "{{ if $value }}"}, "annotations.s", "line 1, column 4: {{ if }} has no {{ end }}"),
     ("record", "a b", "record", "expected the name of a series"), ("record", "1a", "record", "expected the name of a series"),
     ("interval", "99ms", "interval", "expected at least 100ms, or 0"), ("limit", -1, "limit", "expected a whole number up to 1000000"),
     ("limit", True, "limit", "0 for no limit"), ("query_offset", "x", "query_offset", DURATION), ("group", 5, "group", "expected a text"),
     ("escalate", [], "escalate", "escalation is not supported"), ("sevrity", "low", "sevrity", "did you mean severity?"),
     ("zzz", 1, "zzz", "unknown key; expected one of id, name"), (7, 1, "7", "unknown key")],
)  # fmt: skip
def test_every_mistake(key: Any, value: Any, path: str, words: str) -> None:
    with pytest.raises(RuleError) as error:
        parse_rule({**GOOD, key: value}, API, channels=())
    assert [one.path for one in error.value.problems] == [path]
    assert words in error.value.problems[0].message and path in str(error.value)


def test_all_mistakes_at_once() -> None:
    with pytest.raises(RuleError) as error:
        parse_rule({"for": "x", "keep_firing_for": 1, "keepFiringFor": 2}, API, channels=())
    assert [(one.path, one.message.split(":")[0]) for one in error.value.problems] == [
        ("keepFiringFor", "given twice"), ("name", "is missing"), ("condition", "is missing"), ("for", DURATION)
    ]  # fmt: skip


def test_a_recording_rule() -> None:
    rule, _ = parse_rule({"record": "job:up:sum", "expr": "sum by (job) (up)", "labels": {"a": "{{ as it is"}}, FILE, channels=())
    assert (rule.id, rule.name, rule.record, rule.condition) == ("job_up_sum", "job:up:sum", "job:up:sum", "sum by (job) (up)")
    assert rule.labels == {"a": "{{ as it is"}
    again = {**{key: getattr(rule, "for_" if key == "for" else key) for key in KEYS}, "state": "inactive"}
    assert parse_rule(again, API, channels=())[0] == msgspec.structs.replace(rule, source=API), "what is shown can be sent back"


@pytest.mark.parametrize(
    ("key", "value"),
    [("for", "1m"), ("keep_firing_for", 5), ("resolve_when", "cpu < 1"), ("severity", "high"), ("channels", ["slack"]),
     ("cooldown", 0), ("no_data", "keep"), ("annotations", {"a": "b"})],
)  # fmt: skip
def test_what_a_recording_rule_cannot_have(key: str, value: Any) -> None:
    with pytest.raises(RuleError, match=f"^{key}: means nothing in a recording rule"):
        parse_rule({"record": "x", "condition": "up", key: value}, API, channels=())


def test_a_condition_in_two_words() -> None:
    assert parse_rule({"name": "A", "expr": "up > 1"}, API, channels=())[0].condition == "up > 1"
    with pytest.raises(RuleError, match="expr: given twice: as condition and expr"):
        parse(expr="up > 1")


def test_what_the_api_shows_can_be_sent_back_but_is_not_for_files() -> None:
    shown = {"source": {}, "state": "firing", "lastValue": 1, "lastEvaluation": 1, "activeAlerts": 1, "version": 1, "warnings": []}
    assert parse_rule({**GOOD, **shown}, API, channels=())[0].id == "high_cpu"
    with pytest.raises(RuleError, match="state: unknown key"):
        parse(FILE, state="firing")


@pytest.mark.parametrize(
    ("name", "expected"), [("High CPU!", "high_cpu"), ("  a--b ", "a_b"), ("!!!", "rule"), ("Größe", "gr_e"), ("x" * 300, "x" * 100)]
)
def test_slugs(name: str, expected: str) -> None:
    assert slug(name) == expected and parse(name=name)[0].id == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("5m", 300_000), ("1h30m", 5_400_000), ("1.5s", 1500), ("250ms", 250), ("1d", 86_400_000), ("2w", 1_209_600_000), (0, 0), (1500.6, 1501)],
)  # fmt: skip
def test_durations_and_both_spellings(value: Any, expected: int) -> None:
    snake = parse(id="r", **{"for": value}, keep_firing_for=value, cooldown=value, resolve_when="cpu < 1", no_data="keep")
    camel = parse(id="r", **{"for": value}, keepFiringFor=value, cooldown=value, resolveWhen="cpu < 1", noData="keep")
    assert snake == camel
    assert (snake[0].for_, snake[0].keep_firing_for, snake[0].cooldown) == (expected,) * 3


def test_channels() -> None:
    rule, warnings = parse()
    assert rule.channels == ("dashboard",) and warnings == []
    rule, warnings = parse_rule(
        {**GOOD, "channels": ["dashboard", "slack", "sms", "email", "webhook", "sms", "pager"]}, API, channels=("slack", "pager")
    )
    assert rule.channels == ("dashboard", "slack", "sms", "email", "webhook", "pager")
    assert set(warnings) == {f"channel {name} is not configured" for name in ("sms", "email", "webhook")}


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [("{{ $value }}", 5.0, "5"), ("{{$value}}", None, "no data"), ("{{ humanize $value }}", 1234567.0, "1.235M"),
     ("{{ $value | humanize }}", 0.00012, "120u"), ("{{ $value | humanize }}", 0.0, "0"), ("{{ $value | humanize }}", math.inf, "+Inf"),
     ("{{ $value | humanize }}", math.nan, "NaN"), ("{{ $value | humanize }}", -1500.0, "-1.5k"),
     ("{{ $value | humanizePercentage }}", 0.12345, "12.35%"), ("{{ $value | humanizePercentage }}", -math.inf, "-Inf%"),
     ("{{ $value | humanizeDuration }}", 0.0, "0s"), ("{{ $value | humanizeDuration }}", 0.0123, "12.3ms"),
     ("{{ $value | humanizeDuration }}", 59.9, "59.9s"), ("{{ $value | humanizeDuration }}", 61.0, "1m 1s"),
     ("{{ $value | humanizeDuration }}", 3661.0, "1h 1m 1s"), ("{{ $value | humanizeDuration }}", -90061.0, "-1d 1h 1m 1s"),
     ("{{ $value | humanizeDuration }}", math.inf, "+Inf"),
     ("{{- $labels.n | humanize -}}", 1.0, "2k"), ("{{ $labels.h | humanize }}!", 1.0, "<error expanding template: line 1, column 16: parsing 'web' as a number: invalid syntax>"),
     ("{{ if gt $value 5.0 }}over{{ else if eq $value 5.0 }}at{{ else }}under{{ end }}", 5.0, "at"),
     ("{{ range $name, $text := $labels }}{{ $name }}={{ $text }};{{ end }}", 1.0, "h=web;n=2000;"),
     ("{{ with $x := $labels.h }}{{ $x | toUpper }}{{ end }}", 1.0, "WEB"), ('{{ printf "%.2f|%5.1f|%s" $value $value $labels.h }}', 2.5, "2.50|  2.5|web"),
     ("a {{- /* said of no one */ -}} b", 1.0, "ab"), ("{{ $value | humanize1024 }}", 2048.0, "2ki"), ('{{ reReplaceAll "(w)e" "$1-" $labels.h }}', 1.0, "w-b"),
     ('{{ printf "%d" $value }}', 1.0, "%!d(float64=1)"), ('{{ index $labels "h" }}', 1.0, "web"),
     ("{{ $labels.none }}", 1.0, ""), ("plain } text", 1.0, "plain } text")],
)  # fmt: skip
def test_templates(text: str, value: float | None, expected: str) -> None:
    assert render(text, {"h": "web", "n": "2000"}, value) == expected


@pytest.mark.parametrize("text", ["{{ range $x }}", "{{ launch $value }}", "{{ if }}x{{ end }}", "{{ }}", "{{ $value", "{{ if $value }}x"])
def test_templates_refuse(text: str) -> None:
    with pytest.raises(TemplateError, match="line 1, column"):
        template(text)


class Host:
    """The default rules over made-up values, second by second."""

    def __init__(self) -> None:
        self.store, self.engine, self.now = SeriesStore(), Engine(defaults()), 0

    def run(self, seconds: int, **values: float | None) -> list[tuple[str, str]]:
        found: list[Transition] = []
        for _ in range(seconds):
            self.now += 1000
            for name, value in values.items():
                self.store.add(Sample(name, {"host": "a"} if "util" in name else {}, self.now, value))
            found += self.engine.evaluate(self.store, self.now)
        return [(one.alert.rule_id, one.alert.status) for one in found]


IDLE: dict[str, float | None] = {"throughput": 0, "active_executions": 0, "cpu_utilization": 0.1, "memory_utilization": 0.3}


def test_an_idle_install_fires_nothing() -> None:
    host = Host()
    assert host.run(4000, **IDLE) == [] and host.engine.active() == []


def test_one_long_flow_on_a_quiet_install_fires_nothing() -> None:
    host = Host()
    assert host.run(600, **{**IDLE, "active_executions": 1}) + host.run(60, **{**IDLE, "throughput": 1}) + host.run(600, **IDLE) == []


def test_low_throughput_fires_where_flows_ran_and_resolves() -> None:
    rule, host = "low_throughput_alert", Host()
    assert host.run(120, throughput=30) == []
    assert host.run(62, throughput=2) == [(rule, "pending"), (rule, "firing")]
    assert host.run(2, throughput=8) == [(rule, "resolved")]
    assert host.run(70, throughput=0) == [(rule, "pending"), (rule, "firing")]
    # The second firing came within the cooldown: its notification goes out when that ends.
    assert host.run(3600, throughput=0) == [(rule, "firing"), (rule, "resolved")]


@pytest.mark.parametrize(
    ("rule", "name", "bad", "good"),
    [("high_latency_alert", "execution_latency_p99", 6000, 5000), ("high_error_rate_alert", "error_rate", 0.06, 0.05),
     ("high_error_rate_alert", "error_rate", 1, None),
     ("resource_exhaustion_alert", "cpu_utilization", 0.95, 0.9), ("resource_exhaustion_alert", "memory_utilization", 0.95, 0.1)],
)  # fmt: skip
def test_each_default_fires_and_resolves(rule: str, name: str, bad: float, good: float | None) -> None:
    host = Host()
    assert host.run(3, **IDLE) + host.run(3, **{**IDLE, name: bad}) + host.run(3, **{**IDLE, name: good}) == [
        (rule, "firing"), (rule, "resolved")
    ]  # fmt: skip
    assert all(one.annotations["summary"] and one.source.kind == "default" for one in defaults())
