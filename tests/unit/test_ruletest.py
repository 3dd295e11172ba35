"""What rule tests of qflowd have beyond promtool's, and what they say of mistakes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from qflowd.alerts.ruletest.compare import samples_differ
from qflowd.alerts.ruletest.notation import NotationError, metric, values

RULES = """- id: down
  name: Down
  condition: up == 0
  for: 2m
  keep_firing_for: 1m
  channels: [any-name-will-do]
  labels: {severity: page}
"""
HEAD = """rule_files: [rules.yaml]
tests:
  - interval: 1m
    input_series: [{series: 'up{host="a"}', values: "0x6 1x20"}]
"""
DOWN = "[{exp_labels: {host: a, severity: page}}]"


def run(tmp_path: Path, tests: str, *options: str, rules: str = RULES) -> tuple[int, str, str]:
    (tmp_path / "rules.yaml").write_text(rules)
    (tmp_path / "tests.yaml").write_text(tests)
    found = subprocess.run(
        [sys.executable, "-m", "qflowd", "test-rules", *options, "tests.yaml"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert "Traceback" not in found.stderr
    return found.returncode, found.stdout, found.stderr


def outcome(tmp_path: Path, *tests: str, more: str = "") -> tuple[int, str, str]:
    return run(tmp_path, HEAD + more + "    alert_rule_test:\n" + "".join(f"      - {{alertname: Down, {one}}}\n" for one in tests))


def test_each_state_of_an_alert(tmp_path: Path) -> None:
    good = (
        f"eval_time: 1m, exp_pending: {DOWN}", "eval_time: 1m, exp_alerts: [], exp_resolved: []",
        f"eval_time: 2m, exp_alerts: {DOWN}, exp_pending: []", f"eval_time: 7m, exp_alerts: {DOWN}",
        f"eval_time: 8m, exp_alerts: [], exp_resolved: {DOWN}", "eval_time: 9m, exp_resolved: []",
    )  # fmt: skip
    assert outcome(tmp_path, *good) == (0, "tests.yaml: passed, 9 expectations\n", "")
    for bad in (
        "eval_time: 1m, exp_pending: []", f"eval_time: 3m, exp_pending: {DOWN}", f"eval_time: 7m, exp_resolved: {DOWN}",
        "eval_time: 8m, exp_resolved: []", f"eval_time: 9m, exp_resolved: {DOWN}", f"eval_time: 5m, exp_acknowledged: {DOWN}",
    ):  # fmt: skip
        status, output, errors = outcome(tmp_path, bad)
        assert (status, output) == (1, "tests.yaml: FAILED, 1 failures\n")
        assert errors.startswith("tests.yaml:6: tests[0].alert_rule_test[0]: alerts Down that are "), errors


def test_acknowledging(tmp_path: Path) -> None:
    more = "    acknowledge: [{at: 3m, alertname: Down, labels: {host: a}, by: ann}]\n"
    good = (f"eval_time: 2m, exp_alerts: {DOWN}, exp_acknowledged: []", f"eval_time: 4m, exp_alerts: {DOWN}, exp_acknowledged: {DOWN}")
    assert outcome(tmp_path, *good, more=more)[0] == 0
    status, _, errors = outcome(tmp_path, *good, more=more.replace("3m", "1m"))
    assert status == 1 and "no alert Down fires at 1m that could be acknowledged" in errors


@pytest.mark.parametrize("restart", ["1m", "{at: 1m, down: 1s}", "{at: 3m}", "{at: 7m, down: 30s}"])
def test_a_restart_changes_nothing(tmp_path: Path, restart: str) -> None:
    good = (f"eval_time: 1m, exp_pending: {DOWN}", f"eval_time: 2m, exp_alerts: {DOWN}", f"eval_time: 7m, exp_alerts: {DOWN}",
            f"eval_time: 8m, exp_alerts: [], exp_resolved: {DOWN}")  # fmt: skip
    assert outcome(tmp_path, *good, more=f"    restart_at: [{restart}]\n") == (0, "tests.yaml: passed, 5 expectations\n", "")


def test_a_long_downtime_begins_pending_again(tmp_path: Path) -> None:
    series = HEAD.replace("0x6 1x20", "0x200")
    for down, state in (("59m", "exp_alerts"), ("61m", "exp_pending")):
        tests = series + f"    restart_at: [{{at: 1m, down: {down}}}]\n    alert_rule_test:\n      - {{alertname: Down, eval_time: 62m, {state}: {DOWN}}}\n"
        assert run(tmp_path, tests)[0] == 0, (down, state)


def test_a_whole_configuration_can_be_tested(tmp_path: Path) -> None:
    rules = "alerts:\n  rules:\n" + "".join(f"    {line}\n" for line in RULES.replace("any-name-will-do", "dashboard").splitlines())
    tests = HEAD + f"    alert_rule_test: [{{alertname: Down, eval_time: 2m, exp_alerts: {DOWN}}}]\n"
    assert run(tmp_path, tests, rules=rules)[0] == 0


def test_time_may_begin_anywhere_and_neighbours_may_be_equal(tmp_path: Path) -> None:
    tests = """fuzzy_compare: true
tests:
  - interval: 1m
    start_timestamp: 2026-01-31T12:00:00Z
    input_series: [{series: m, values: "1 2 3"}]
    promql_expr_test:
      - {expr: m, eval_time: 2m, exp_samples: [{labels: m, value: 3.0000000000000004}]}
      - {expr: hour(), eval_time: 2m, exp_samples: [{value: 12}]}
"""
    assert run(tmp_path, tests)[0] == 0
    assert run(tmp_path, tests.replace("fuzzy_compare: true", "fuzzy_compare: false"))[0] == 1


def test_the_left_edge_of_a_range(tmp_path: Path) -> None:
    tests = "tests:\n- interval: 1m\n  input_series: [{series: m, values: 1x9}]\n  promql_expr_test:\n"
    tests += "  - {expr: 'count_over_time(m[5m])', eval_time: 9m, exp_samples: [{value: COUNT}]}\n"
    assert run(tmp_path, tests.replace("COUNT", "5"))[0] == 0
    assert run(tmp_path, tests.replace("COUNT", "6"), "--closed-ranges")[0] == 0


@pytest.mark.parametrize(
    ("tests", "place", "words"),
    [
        ("tests:\n- silences: []\n", "2: tests[0].silences", "not supported by this version"),
        ("tests:\n- intervall: 1m\n", "2: tests[0].intervall", "did you mean interval?"),
        ("tests:\n- start_timestamp: soon\n", "2: tests[0].start_timestamp", "write it as 2026-01-31T12:00:00Z"),
        ("tests:\n- restart_at: [{at: x}]\n", "2: tests[0].restart_at[0].at", "as Prometheus writes it"),
        ("tests:\n- 5\n", "2: tests[0]", "must be a mapping"),
        ("fuzzy_compare: perhaps\n", "1: fuzzy_compare", "must be true or false"),
        ("tests:\n- promql_expr_test: [{exp_samples: [{histogram: x}]}]\n", "2: tests[0].promql_expr_test[0].exp_samples[0].histogram", "native histograms"),
    ],
)  # fmt: skip
def test_mistakes_name_the_place(tmp_path: Path, tests: str, place: str, words: str) -> None:
    status, _, errors = run(tmp_path, tests)
    assert status == 1 and f"tests.yaml:{place}: " in errors and words in errors, errors


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    found = subprocess.run([sys.executable, "-m", "qflowd", "test-rules", str(tmp_path / "x")], capture_output=True, text=True)
    assert found.returncode == 1 and "cannot be read" in found.stderr


def test_notation() -> None:
    assert metric("") == metric("{}") == {} and metric("up") == {"__name__": "up"}
    assert metric("a:b{x=\"1\", y='2', z=`3`, empty=\"\",}") == {"__name__": "a:b", "x": "1", "y": "2", "z": "3"}
    assert metric('{__name__="up"}') == {"__name__": "up"}
    assert values("1 2x2 1+2x2 5-1x1 _ _x2 stale -1.5e1 Inf 0x1") == [
        1, 2, 2, 2, 1, 3, 5, 5, 4, None, None, None, "stale", -15, float("inf"), 0, 0
    ]  # fmt: skip
    for text in ("1x9999999", "_x99999999", "x", "1+2", "--1", "1x-1"):
        with pytest.raises(NotationError):
            values(text)
    for text in ("a b", "a{", 'a{b!="c"}', 'a{b="c"} 1', 'a{b="1",b="2"}', '{__name__="x"}y', 'a{__name__="b"}'):
        with pytest.raises(NotationError):
            metric(text)


def test_differences_of_samples() -> None:
    one, two = ({"__name__": "m"}, 1.0), ({"a": "b"}, 2.0)
    assert samples_differ([one, two], [two, one], fuzzy=False) == ""
    assert samples_differ([one], [one, two], fuzzy=False) == '  expected: nothing else\n  got:      {a="b"} 2.0'
    assert samples_differ([one, one], [one], fuzzy=False) == "  expected: m{} 1.0\n  got:      nothing else"
    assert samples_differ([({}, float("nan"))], [({}, float("nan"))], fuzzy=True) != "", "as promtool has it"
