"""promtool and qflowd give the same verdict on the same files of rules and tests.

The installed promtool may be older than Prometheus 3, which took the left edge out of ranges: qflowd is told to count it then.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qflowd.alerts.rule import parse_rule
from qflowd.alerts.ruletest import read_suite, run
from qflowd.config.ruletests import named_rules

FOLDER = Path(__file__).parents[1] / "ruletests"
PROMTOOL = shutil.which("promtool") or "promtool"
FILES = sorted(one.name for one in FOLDER.glob("*.yml") if one.name.startswith(("good_", "bad_")))


def promtool(folder: Path, file: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROMTOOL, "test", "rules", file], cwd=folder, capture_output=True, text=True, timeout=60)


def qflowd(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "qflowd", "test-rules", *edges(), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


def edges() -> list[str]:
    found = subprocess.run([PROMTOOL, "--version"], capture_output=True, text=True, timeout=60)
    version = re.search(r"version (\d+)\.", found.stdout + found.stderr)
    assert version is not None, found
    return ["--closed-ranges"] if int(version.group(1)) < 3 else []


def test_the_files_exercise_both_verdicts() -> None:
    assert sum(name.startswith("good_") for name in FILES) >= 15 and sum(name.startswith("bad_") for name in FILES) >= 15


@pytest.mark.parametrize("file", FILES)
def test_the_verdict_is_promtools(file: str) -> None:
    theirs, ours = promtool(FOLDER, file), qflowd(FOLDER, file)
    assert ours.returncode in (0, 1) and "Traceback" not in ours.stderr, ours
    assert theirs.returncode == ours.returncode == (0 if file.startswith("good_") else 1), (theirs.stderr, ours.stderr)
    if ours.returncode:
        assert re.search(r"^[a-z_.]+\.yml:\d+: ", ours.stderr, re.M), f"what is wrong is told at its line: {ours.stderr}"


@pytest.mark.parametrize("value", ["1234.5", "0", "-17.25", "1e9", "0.000123", "86461", "+Inf", "1435065584.128"])
def test_texts_are_promtools(tmp_path: Path, value: str) -> None:
    """What promtool makes of each template is written into its test, and the test has to pass."""
    texts = {
        "plain": "{{ $value }}", "human": "{{ $value | humanize }}", "human1024": "{{ $value | humanize1024 }}",
        "duration": "{{ $value | humanizeDuration }}", "percent": "{{ $value | humanizePercentage }}",
        "fixed": '{{ printf "%.3f %6.2f %g %e %v %T" $value $value $value $value $value $value }}',
        "words": '{{ printf "%s %q %10s|%-10s|%x" $labels.host $labels.host $labels.host $labels.host $labels.host }}',
        "branch": "{{ if gt $value 100.0 }}many{{ else if gt $value 0.0 }}some{{ else }}none{{ end }}",
        "range": "{{ range $name, $text := $labels }}[{{ $name }} {{ $text }}]{{ end }}",
        "query": '{{ range query "other" | sortByLabel "n" }}{{ .Labels.n }}={{ .Value }};{{ end }}',
        "case": '{{ $labels.host | toUpper }}{{ "A B" | toLower }}{{ title "x y" }}',
        "define": '{{ define "t" }}<{{ . }}>{{ end }}{{ template "t" $labels.host }}',
        "scope": "{{ $x := $value }}{{ with $labels.host }}{{ . }}{{ $x }}{{ end }}",
    }  # fmt: skip
    rules = "groups:\n- name: g\n  rules:\n  - alert: T\n    expr: m\n    annotations:\n"
    rules += "".join(f"      {name}: '{text}'\n" for name, text in texts.items())
    (tmp_path / "rules.yml").write_text(rules)
    head = "rule_files: [rules.yml]\ntests:\n- interval: 1m\n  input_series:\n"
    head += f"  - {{series: 'm{{host=\"a-b\"}}', values: '{value}'}}\n  - {{series: 'other{{n=\"1\"}}', values: 5}}\n  - {{series: 'other{{n=\"2\"}}', values: 6}}\n"
    head += "  alert_rule_test:\n  - eval_time: 0m\n    alertname: T\n    exp_alerts:\n"
    (tmp_path / "tests.yml").write_text(head + "    - {}\n")
    asked = promtool(tmp_path, "tests.yml")
    got = asked.stderr.rpartition("Annotations:{")[2].partition("}\n")[0]
    found = dict(re.findall(r'(\w+)="((?:\\.|[^"\\])*)"', got))
    assert found.keys() == texts.keys(), asked.stderr
    lines = "".join(f'        {name}: "{text}"\n' for name, text in found.items())
    (tmp_path / "tests.yml").write_text(head + "    - exp_labels: {host: a-b}\n      exp_annotations:\n" + lines)
    assert promtool(tmp_path, "tests.yml").returncode == 0
    ours = qflowd(tmp_path, "tests.yml")
    assert ours.returncode == 0, ours.stderr


@pytest.mark.parametrize("seed", range(4))
def test_rules_and_series_by_chance(tmp_path: Path, seed: int) -> None:
    """What our engine says of every minute is written down as expectations, and promtool has to agree with each."""
    chance = random.Random(seed)
    series = {f'm{{a="{a}",b="{b}"}}': chance.choices(["0", "1", "2", "3", "_", "stale"], [3, 3, 3, 3, 2, 1], k=40) for a in "xyz" for b in "12"}
    conditions = ["m > 1", "m == 3", "sum by (a) (m) > 2", "count(m) < 4", 'm{b="1"} > on (a) m{b="2"}', "sum_over_time(m[2m30s]) > 3",
                  "absent(m{a='x', b='1'})", "recorded > 3", 'ALERTS{alertname="R0", alertstate="firing"} == 1']  # fmt: skip
    spans = ["0s", "1m", "90s", "3m"]
    rules = [
        {"alert": f"R{number}", "expr": condition, "for": chance.choice(spans), "keep_firing_for": chance.choice(spans),
         "labels": {"level": "{{ if gt $value 2.0 }}high{{ else }}low{{ end }}"} if chance.random() < 0.3 else {},
         "annotations": {"v": "{{ $value }} {{ $labels.a }}"}}
        for number, condition in enumerate(conditions)
    ]  # fmt: skip
    groups = [{"name": "g", "rules": [{"record": "recorded", "expr": "sum without (b) (m)"}, *rules]}]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": groups}))
    case = {"interval": "1m", "input_series": [{"series": name, "values": " ".join(values)} for name, values in series.items()]}
    asked = [{"eval_time": f"{minute}m", "alertname": rule["alert"]} for minute in range(40) for rule in rules]
    suite = read_suite({"rule_files": ["rules.yml"], "tests": [case | {"alert_rule_test": asked}]})
    found, _ = named_rules(tmp_path, ["rules.yml"], parse_rule=parse_rule)
    expected = []
    for failure in run(suite, found, closed=bool(edges())):
        test = asked[int(failure.path[-1])]
        assert "expected: nothing\n" in failure.message
        alerts = []
        for line in failure.message.splitlines()[2:]:
            labels, _, annotations = line.removeprefix("  got:      ").partition(" with ")
            alerts.append({"exp_labels": pairs(labels), "exp_annotations": pairs(annotations)})
        expected.append(test | {"exp_alerts": alerts})
    assert len(expected) > 50
    # Of a minute that is not among the failures, nothing is expected: that has to be so, too.
    times = {(one["eval_time"], one["alertname"]) for one in expected}
    expected += [one for one in asked if (one["eval_time"], one["alertname"]) not in times]
    (tmp_path / "tests.yml").write_text(json.dumps({"rule_files": ["rules.yml"], "tests": [case | {"alert_rule_test": expected}]}))
    theirs = promtool(tmp_path, "tests.yml")
    assert theirs.returncode == 0, theirs.stderr[:3000]
    assert qflowd(tmp_path, "tests.yml").returncode == 0


def pairs(text: str) -> dict[str, str]:
    return dict(re.findall(r'(\w+)="([^"]*)"', text))
