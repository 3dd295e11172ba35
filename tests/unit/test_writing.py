"""What is written as YAML is read back as it was."""

from __future__ import annotations

import yaml
from hypothesis import given
from hypothesis import strategies as st

from qflowd.alerts.rule import parse_rule
from qflowd.alerts.writing import written
from qflowd.config.document import read
from qflowd.config.writing import to_yaml
from qflowd.model import Rule, RuleSource
from qflowd.units import duration
from qflowd.units import written as text

API = RuleSource("api")
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\n\t"), max_size=30)
NAME = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True).filter(lambda name: name not in ("alertname", "__name__"))
SPAN = st.integers(0, 366 * 86_400_000)
RULES = st.builds(
    Rule, id=st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,20}", fullmatch=True), name=TEXT.filter(str.strip),
    condition=st.sampled_from(["up > 1", "a{b=\"c: d\"} < 2\nor b", "1e3"]), for_=SPAN, keep_firing_for=SPAN,
    resolve_when=st.sampled_from([None, "up < 1"]), severity=st.sampled_from(["low", "medium", "high", "critical"]),
    channels=st.sampled_from([(), ("dashboard",), ("sms", "slack")]), cooldown=SPAN, no_data=st.sampled_from(["ok", "alert", "keep"]),
    labels=st.dictionaries(NAME, TEXT.filter(lambda text: "{{" not in text), max_size=3),
    annotations=st.dictionaries(NAME, st.just("{{ $value }}") | st.sampled_from(["off", "22:00", "1e3", "0o17", "~", "", "1.0", "null", "- x"]), max_size=3),
    enabled=st.booleans(), group=TEXT, interval=st.just(0) | st.integers(100, 10**9), limit=st.integers(0, 1000), query_offset=SPAN, source=st.just(API),
)  # fmt: skip


@given(RULES)
def test_a_rule_that_was_written_is_the_same_rule(rule: Rule) -> None:
    document = read(to_yaml([written(rule)]), "f", {}, verbatim=((),))
    assert document.mistakes == []
    assert parse_rule(document.value[0], API, channels=None)[0] == rule


def test_a_recording_rule_that_was_written_is_the_same_rule() -> None:
    rule = Rule(id="g/a:b", name="a:b", record="a:b", condition="sum(up)", labels={"x": "1e3"}, group="g", interval=60_000)
    assert written(rule) == {"id": "g/a:b", "record": "a:b", "condition": "sum(up)", "labels": {"x": "1e3"}, "group": "g", "interval": "1m"}
    assert parse_rule(written(rule), API, channels=None)[0] == rule


@given(st.recursive(st.none() | st.booleans() | st.integers() | TEXT, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)))
def test_what_was_written_is_read_back(value: object) -> None:
    text = to_yaml(value)
    assert read(text, "f", {}, verbatim=((),)).value == value
    assert yaml.safe_load(text) == value


@given(SPAN)
def test_durations(ms: int) -> None:
    assert duration(text(ms)) == ms
