from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qflowd.patterns import Pattern, PatternError
from qflowd.series.matcher import Matcher
from qflowd.series.promql import PromQLError, compile


@pytest.mark.parametrize("text", ["(a+)+b", "(a|aa)+", "(.*a){20}", "(?=a)b", r"(a)\1", "(", "[[:alpha:", "a" * 600, "(a?b?c?d?e?){9}"])
def test_what_may_take_for_ever_is_refused(text: str) -> None:
    with pytest.raises(PatternError):
        Pattern(text)


@pytest.mark.parametrize(("text", "yes", "no"), [
    ("[[:alpha:]_]+", "ab_", "a1"), (r"\Qa.b\E+", "a.bb", "axb"), ("[[]", "[", "x"), ("[]a]", "]", "b"), ("[^]a]", "b", "]"), (r"\w+", "a_1", "é"),
    ("(?i)ab", "AB", "ac"), ("(?<x>a)b", "ab", "b"), (r"[\]a]|b", "]", "c"), (r"a\z", "a", "b"), ("((?i)ab)c", "ABc", "abC"), ("a(?i)b|c", "C", "AB"), ("((?i)a|b)c", "Bc", "BC"), ("(?i:a)b", "Ab", "AB"),
])  # fmt: skip
def test_the_syntax_is_that_of_re2(text: str, yes: str, no: str) -> None:
    assert Pattern(text).whole(yes) and not Pattern(text).whole(no)


@pytest.mark.parametrize("text", ["(?x)a", "(?U)a", "[[:nothing:]]", r"\pN", r"\C"])
def test_what_has_no_counterpart_is_refused(text: str) -> None:
    with pytest.raises(PatternError, match="not supported|cannot be used"):
        Pattern(text)


@pytest.mark.parametrize("text", ['m{a=~"(x+)+y"}', 'm{a!~"(x+)+y"}', 'label_replace(m, "a", "$1", "b", "(x+)+y")'])
def test_queries_refuse_it_by_name(text: str) -> None:
    with pytest.raises(PromQLError, match="a repetition without end around another"):
        compile(text)


def test_a_text_too_long_for_a_pattern_is_refused_at_once() -> None:
    began = time.perf_counter()
    with pytest.raises(PatternError, match="too long"):
        Matcher("a", "=~", ".*b.*c.*d.*e").matches_value("b" * 5000)
    assert time.perf_counter() - began < 0.1
    assert not Matcher("a", "=~", ".*b.*c.*d.*e").matches_value("b" * 30)


@given(st.text("ab.|\n", max_size=8), st.text("ab.\n", max_size=8))
def test_matchers_are_anchored_expressions(expression: str, value: str) -> None:
    expected = re.fullmatch(expression, value, re.DOTALL) is not None
    one, other = Matcher("x", "=~", expression), Matcher("x", "!~", expression)
    for _ in range(2):
        assert one.matches_value(value) is expected and other.matches_value(value) is not expected


def test_many_words_are_one_look() -> None:
    words = [f"host-{n}" for n in range(900)]
    matcher = Matcher("host", "=~", "|".join(words))
    assert all(matcher.matches({"host": word}) for word in words) and not matcher.matches({"host": "host-"})
