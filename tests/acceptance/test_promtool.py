"""promtool and qflowd give the same verdict on the same files of rules and tests.

The installed promtool may be older than Prometheus 3, which took the left edge out of ranges: qflowd is told to count it then.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
