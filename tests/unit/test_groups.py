"""Prometheus's rule files as rules of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qflowd.alerts.rule import parse_rule
from qflowd.config import ConfigError, load
from qflowd.config.groups import named
from qflowd.model import Rule
from qflowd.units import prometheus_duration

GROUP = """groups:
  - name: hosts and more
    interval: 30s
    limit: 5
    query_offset: 1m
    labels: {team: ops}
    rules:
      - alert: Instance Down
        expr: up == 0
        for: 1d12h
        keep_firing_for: 90s
        labels: {severity: page, version: 1.0, on: yes, alertname: other}
        annotations: {summary: "{{ $labels.instance }} is down"}
      - alert: Instance Down
        expr: up == 2
      - record: job:up:sum
        expr: sum by (job) (up)
        labels: {kind: "{{ as it is"}
  - name: empty
    rules:
"""


def read(tmp_path: Path, *texts: str, config: str = "") -> Any:
    (tmp_path / "rules.d").mkdir(exist_ok=True)
    for number, text in enumerate(texts):
        (tmp_path / "rules.d" / f"{number}.yaml").write_text(text)
    (tmp_path / "q.yaml").write_text(config)
    return load(tmp_path / "q.yaml", parse_rule=parse_rule, environment={})


def mistakes(tmp_path: Path, *texts: str) -> list[tuple[int, str, str]]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, *texts)
    return [(one.line, one.path, one.message) for one in caught.value.mistakes]


def one_rule(text: str) -> str:
    return f"groups:\n- name: g\n  rules:\n  - {text}\n"


def test_a_file_of_groups(tmp_path: Path) -> None:
    loaded = read(tmp_path, GROUP)
    first, second, third = loaded.rules
    file = str(tmp_path / "rules.d" / "0.yaml")
    assert (first.id, second.id, third.id) == (
        "hosts_and_more/Instance_Down", "hosts_and_more/Instance_Down_2", "hosts_and_more/job:up:sum"
    )  # fmt: skip
    assert [(one.source.kind, one.source.file, one.source.line) for one in loaded.rules] == [("file", file, line) for line in (8, 14, 16)]
    assert (first.name, first.condition, first.for_, first.keep_firing_for) == ("Instance Down", "up == 0", 129_600_000, 90_000)
    assert first.labels == {"team": "ops", "severity": "page", "version": "1.0", "on": "yes"}, "scalars as they were written"
    assert first.severity == "critical" and second.severity == "medium"
    assert first.annotations == {"summary": "{{ $labels.instance }} is down"}
    assert (third.record, third.labels) == ("job:up:sum", {"team": "ops", "kind": "{{ as it is"})
    assert {(one.group, one.interval, one.limit, one.query_offset) for one in loaded.rules} == {("hosts and more", 30_000, 5, 60_000)}
    assert loaded.warnings == [f"{file}:8: groups[0].rules[0]: the label alertname is always the name of the alert"]


def test_the_same_group_in_two_files_stays_two_groups(tmp_path: Path) -> None:
    text = one_rule("{alert: A, expr: up == 0}")
    assert [(one.id, one.group) for one in read(tmp_path, text, text).rules] == [("g/A", "g"), ("g_2/A", "g_2")]


@pytest.mark.parametrize(
    ("severity", "expected"),
    [("critical", "critical"), ("page", "critical"), ("high", "high"), ("error", "high"), ("warning", "medium"), ("info", "low")],
)
def test_severities(tmp_path: Path, severity: str, expected: str) -> None:
    loaded = read(tmp_path, one_rule(f"{{alert: A, expr: up == 0, labels: {{severity: {severity}}}}}"))
    assert loaded.rules[0].severity == expected and loaded.warnings == []


def test_severities_can_be_configured_and_others_are_told(tmp_path: Path) -> None:
    rule: Rule
    text = one_rule("{alert: A, expr: up == 0, labels: {severity: P1}}")
    loaded = read(tmp_path, text)
    assert loaded.rules[0].severity == "medium" and "does not name the severity P1" in loaded.warnings[0]
    loaded = read(tmp_path, text, config="alerts: {severity_labels: {P1: critical}}")
    (rule,) = loaded.rules
    assert rule.severity == "critical" and loaded.warnings == []


@pytest.mark.parametrize(
    ("text", "line", "path", "words"),
    [
        ("groups: 5\n", 1, "groups", "must be a list"),
        ("groups:\n- 5\n", 2, "groups[0]", "must be a group"),
        ("groups:\n- rules: []\n", 2, "groups[0].name", "a group needs a name"),
        ("groups:\n- name: a\n- name: a\n", 3, "groups[1].name", "there already, on line 2"),
        ("groups: []\nrules: []\n", 2, "rules", "unknown key"),
        ("groups:\n- name: a\n  intervall: 1m\n", 3, "groups[0].intervall", "did you mean interval?"),
        ("groups:\n- name: a\n  interval: 1.5m\n", 3, "groups[0].interval", "as Prometheus writes it"),
        ("groups:\n- name: a\n  interval: 1ms\n", 3, "groups[0].interval", "at least 100ms"),
        ("groups:\n- name: a\n  limit: -1\n", 3, "groups[0].limit", "0 for no limit"),
        ("groups:\n- name: a\n  rules: {}\n", 3, "groups[0].rules", "must be a list"),
        (one_rule("5"), 4, "groups[0].rules[0]", "must be a rule"),
        (one_rule("{expr: up}"), 4, "groups[0].rules[0]", "needs alert or record"),
        (one_rule("{alert: A, record: b, expr: up}"), 4, "groups[0].rules[0].record", "not both"),
        (one_rule("alert: A"), 4, "groups[0].rules[0].expr", "needs expr"),
        (one_rule("alert: A\n    expr: up >"), 5, "groups[0].rules[0].expr", "not a condition"),
        (one_rule("alert: A\n    expr: up\n    for: 5"), 6, "groups[0].rules[0].for", "as Prometheus writes it"),
        (one_rule("alert: A\n    expr: up\n    labels: {a-b: x}"), 6, "groups[0].rules[0].labels.a-b", "expected a name"),
        (one_rule("alert: A\n    expr: up\n    labels: {a: [x]}"), 6, "groups[0].rules[0].labels.a", "must be text"),
        (one_rule("alert: A\n    expr: up\n    labels: [x]"), 6, "groups[0].rules[0].labels", "must be a mapping"),
        (one_rule("alert: A\n    expr: up\n    annotations: {s: '{{ $x }}'}"), 6, "groups[0].rules[0].annotations.s", "$x"),
        (one_rule("alert: A\n    expr: up\n    severity: low"), 6, "groups[0].rules[0].severity", "unknown key"),
        (one_rule("record: a b\n    expr: up"), 4, "groups[0].rules[0].record", "no name of a series"),
        (one_rule("record: a\n    expr: up\n    for: 1m"), 6, "groups[0].rules[0].for", "a recording rule has no for"),
        (one_rule("record: a\n    expr: up\n    annotations: {a: b}"), 6, "groups[0].rules[0].annotations", "no annotations"),
    ],
)
def test_mistakes_name_the_place_and_the_remedy(tmp_path: Path, text: str, line: int, path: str, words: str) -> None:
    found = mistakes(tmp_path, text)
    assert len(found) == 1 and found[0][:2] == (line, path) and words in found[0][2], found


def test_one_bad_rule_refuses_the_whole_configuration_and_all_are_told(tmp_path: Path) -> None:
    found = mistakes(tmp_path, GROUP, one_rule("{alert: A, expr: 'up >'}"), one_rule("{alert: B}"))
    assert [path for _, path, _ in found] == ["groups[0].rules[0].expr", "groups[0].rules[0].expr"]


def test_a_mistake_in_a_list_names_its_line(tmp_path: Path) -> None:
    found = mistakes(tmp_path, "- name: A\n  condition: up > 1\n  channels:\n    - dashboard\n    - pager\n")
    assert found[0][:2] == (5, "[0].channels[1]")


@pytest.mark.parametrize(
    ("group", "name", "expected"), [("a b", "C/D", "a_b/C_D"), (".x", "", "_x/_"), ("é", "ü", "_/_"), ("g" * 300, "a:b", "g" * 95 + "/a:b")]
)
def test_ids(group: str, name: str, expected: str) -> None:
    assert named(group, name) == expected


def test_durations() -> None:
    for text, expected in (("0", 0), ("1y", 31_536_000_000), ("1w2d", 777_600_000), ("1h30m", 5_400_000), ("2s5ms", 2005)):
        assert prometheus_duration(text) == expected
    for text in ("", "5", "1.5m", "1m1h", "-1m", "1m ", "5 m"):
        with pytest.raises(ValueError, match="as Prometheus writes it"):
            prometheus_duration(text)


def test_ten_thousand_rules_are_read(tmp_path: Path) -> None:
    rules = "".join(f"- {{name: R{n}, id: r{n}, condition: 'm{{n=\"{n}\"}} > 5', for: 1m, labels: {{a: b}}, channels: [dashboard]}}\n" for n in range(10_000))
    assert len(read(tmp_path, rules).rules) == 10_000
