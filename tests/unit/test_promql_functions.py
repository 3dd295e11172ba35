from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qflowd.model import Sample
from qflowd.series.promql import PromQLError, compile
from qflowd.series.promql.answer import instant
from qflowd.series.promql.run import Run
from qflowd.series.store import SeriesStore

NOW = int(datetime(2026, 3, 1, 13, 37, 10, tzinfo=UTC).timestamp()) * 1000


def make() -> SeriesStore:
    found = SeriesStore()
    for second in range(11):
        at = NOW - 10_000 + 1000 * second
        found.add(Sample("up", {"x": "1"}, at, 2.0 * second))
        found.add(Sample("reset", {}, at, float(second % 10)))
        found.add(Sample("flat", {}, at, 3.0))
        for x, value in (("1", 4.0), ("2", 1.0), ("3", math.nan), ("4", 2.5)):
            found.add(Sample("v", {"x": x, "job": f"web-{x}"}, at, value))
        for x in ("1", "2"):
            found.add(Sample("part", {"x": x, "k": f"k{x}"}, at, float(x)))
            found.add(Sample("whole", {"x": x, "zone": f"z{x}"}, at, 10.0))
        found.add(Sample("huge", {"x": "1"}, at, 1e308))
        found.add(Sample("huge", {"x": "2"}, at, 1e308))
        found.add(Sample("huge", {"x": "3"}, at, -1e308))
        found.add(Sample("endless", {"x": "1"}, at, math.inf))
    return found


STORE = make()


def values(text: str) -> list[float]:
    found = compile(text).evaluate(STORE, NOW)
    return [value for _, value in found] if isinstance(found, list) else [found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("-1^2", [-1]), ("2^-1", [0.5]), ("2^3^2", [512]), ("1 + 2 * 3 % 2", [1]), ("-2 ^ 2 + 1", [-3]), ("(0-1)^2", [1]),
     ("(-8)^0.5", [math.nan]), ("0^-1", [math.inf]), ("5 % 0", [math.nan]), ("1 / 0", [math.inf]), ("-1 / 0", [-math.inf]),
     ("flat > 1 AND flat < 5 OR nothing", [3]), ("flat OR nothing UNLESS flat", [3]), ("(flat OR nothing) UNLESS flat", []),
     ("SUM BY (x) (part)", [1, 2]), ("irate(up[5s])", [2]), ("irate(reset[5s])", [0]), ("idelta(reset[5s])", [-9]),
     ("idelta(up[1s])", []), ("deriv(up[10s])", [2]), ("deriv(flat[10s])", [0]), ("deriv(endless[10s])", [math.nan]),
     ("predict_linear(up[10s], 60)", [140]), ("predict_linear(up[5s] offset 2s, 0)", [20]), ("predict_linear(up[1s], 1)", []),
     ("round(v)", [4, 1, math.nan, 3]), ("round(vector(-2.5))", [-2]), ("round(vector(7), 5)", [5]), ("round(vector(1), 0)", [math.nan]),
     ("sort(v)", [1, 2.5, 4, math.nan]), ("sort_desc(v)", [4, 2.5, 1, math.nan]), ("topk(2, v)", [4, 2.5]), ("bottomk(2, v)", [1, 2.5]),
     ("topk(0, v)", []), ("topk(-1, v)", []), ("topk(1e18, flat)", [3]), ("topk(1, v) BY (x)", [4, 1, math.nan, 2.5]),
     ("quantile(0.5, part)", [1.5]), ("quantile(2, part)", [math.inf]), ("quantile(-1, part)", [-math.inf]),
     ("quantile(0/0, part)", [math.nan]), ("quantile_over_time(0.5, up[10s])", [11]), ("stddev(part)", [0.5]),
     ("hour()", [13]), ("minute()", [37]), ("day_of_week()", [0]), ("day_of_month()", [1]), ("month()", [3]), ("year()", [2026]),
     ("hour(vector(-1))", [23]), ("year(vector(-1.5))", [1969]), ("year(vector(1e300))", [math.nan]), ("year(v{x='3'})", [math.nan]),
     ("absent_over_time(flat[5s])", []), ("absent_over_time(none[5s])", [1]), ("avg(huge{x!='3'})", [1e308]), ("sum(huge)", [math.inf]),
     ("stddev(huge)", [math.nan]), ("part * on(x) group_left(zone) whole", [10, 20])],
)  # fmt: skip
def test_values(text: str, expected: list[float]) -> None:
    assert values(text) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("part * on(x) group_left(zone) whole", [{"x": "1", "k": "k1", "zone": "z1"}, {"x": "2", "k": "k2", "zone": "z2"}]),
     ("whole / on(x) group_right(zone) part{x='1'}", [{"x": "1", "k": "k1", "zone": "z1"}]),
     ('label_replace(v{x="1"}, "n", "<$1>${1}$$", "job", "web-(.*)")',
      [{"__name__": "v", "x": "1", "job": "web-1", "n": "<1>1$"}]),
     ('label_replace(v{x="1"}, "n", "$1", "job", "eb")', [{"__name__": "v", "x": "1", "job": "web-1"}]),
     ('label_replace(v{x="1"}, "x", "$2$none", "job", ".*")', [{"__name__": "v", "job": "web-1"}]),
     ('count_values("n", part * 0 + 0.5)', [{"n": "0.5"}]), ('count_values by (x) ("n", part)', [{"x": "1", "n": "1"}, {"x": "2", "n": "2"}]),
     ('absent_over_time(none{a="1",b=~"2"}[5s])', [{"a": "1"}]), ("topk(1, part)", [{"__name__": "part", "x": "2", "k": "k2"}]),
     ("round(flat)", [{}]), ("sort(flat)", [{"__name__": "flat"}])],
)  # fmt: skip
def test_labels(text: str, expected: list[dict[str, str]]) -> None:
    found = compile(text).evaluate(STORE, NOW)
    assert isinstance(found, list) and [labels for labels, _ in found] == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [("part * on() whole", "many"), ("part * on(x) group_left() (whole or label_replace(whole, 'zone', 'y', '', ''))", "many-to-many"),
     ("label_replace(part, 'x', 'same', 'x', '.*') * 0", "same labels|many"), ("topk(0/0, v)", "nan is not a number"), ("topk(1e300, v)", "not a number")],
)  # fmt: skip
def test_ambiguous_is_told_at_evaluation(text: str, words: str) -> None:
    if "same" in words:
        text = "label_replace(label_replace(part, 'x', '', 'x', '.*'), 'k', '', 'k', '.*')"
    with pytest.raises(PromQLError, match=words):
        compile(text).evaluate(STORE, NOW)


@pytest.mark.parametrize(
    ("text", "words"),
    [("holt_winters(a[5m], 0.1, 0.1)", "holt_winters|unknown"), ("histogram_quantile(0.9, a)", "histogram_quantile is not supported"),
     ("limit_ratio(0.5, a)", "limit_ratio is not supported"), ("a @ 1e300", "too far away|timestamp"), ("a @ -5", "before 1970"), ("a[5m:1m] @ - 1", "before 1970"), ("info(a)", "info is"),
     ("label_replace(a, '', '', '', '')", "not the name of a label"), ("label_replace(a, 'b', '', '', '(')", "regular expression"),
     ("label_join(a, 'b', '', '')", "not the name of a label"), ("count_values('', a)", "not the name of a label"), ("a" + "+a" * 4000, "more than 400 operators"),
     ("# '\n" + "(" * 4000 + "a" + ")" * 4000 + "# '", "deep"), ("a" + "^a" * 300, "deep")],
)  # fmt: skip
def test_refused_by_name(text: str, words: str) -> None:
    with pytest.raises(PromQLError, match=words):
        compile(text)


@pytest.mark.parametrize(
    ("text", "holds", "side"),
    [("flat > 5", 0, 3), ("(flat > 5)", 0, 3), ("flat > 2", 1, 3), ("part < 0", 0, 1), ("part > 7", 0, 2), ("flat == 4", 0, 3),
     ("sum(part) * 2 >= 1 + 1", 1, 6), ("flat > 5 or flat > 6", 0, None), ("flat > bool 5", 1, None), ("flat", 1, None), ("part > whole", 0, None),
     ("none > 5", 0, None), ("sum(flat > 5)", 0, None), ("-(flat > 5)", 0, None), ("absent(flat > 5)", 1, None), ("5 < flat", 0, None)],
)  # fmt: skip
def test_the_left_side_is_known_where_it_is_simple(text: str, holds: int, side: float | None) -> None:
    query = compile(text)
    result, found = query.watch(STORE, NOW)
    assert result == query.evaluate(STORE, NOW) and isinstance(result, list)
    assert (len(result), found) == (holds, side)


NAMES = ["v", "up", "huge", "endless", "part", "whole", "flat", "none", 'v{x="1"}', 'v{x=~"1|2"}', '{__name__=~"p.*|w.*"}', "v offset 5s"]
LEAVES = st.sampled_from([*NAMES, "0", "1", "-1", "1e308", "NaN", "Inf", "0.5", "time()", "hour()", "scalar(flat)"])
BINARY = st.sampled_from(["+", "-", "*", "/", "%", "^", "==", "!=", ">", "<", ">=", "<=", "and", "or", "unless", "AND", "OR", "atan2"] + ["> bool", "* on(x)", "- ignoring(k, zone)",
                         "* on(x) group_left(zone)", "/ on(x) group_right(k)", "and on()"])  # fmt: skip
CALLS = st.sampled_from(
    ["-{}", "abs({})", "ceil({})", "floor({})", "sqrt({})", "round({})", "round({},0)", "sort({})", "sort_desc({})", "hour({})", "year({})", "absent({})", "scalar({})", "vector({})", "sum({})", "avg({})", "min({})", "stddev({})", "count({})by(x)", "topk(2,{})", "bottomk(scalar(up),{})", "quantile(0.3,{})", "clamp({},1,0)", "clamp_max({},2)", "count_values('n',{})", "label_replace({},'x','$1','job','(.*)-.*')", "topk({},v)", "round(v,{})", "predict_linear(up[5s],{})", "quantile({},v)", "group({})without(x)", "rate({}[5s])", "deriv({}[5s])", "delta({}[9s])", "irate({}[5s])", "stddev_over_time({}[5s])", "avg_over_time({}[5s])", "quantile_over_time(0.2,{}[5s])", "absent_over_time({}[5s])", "max_over_time({}[5s])", "({})"]
)
TEXTS = st.recursive(
    LEAVES,
    lambda inner: st.tuples(CALLS, inner).map(lambda one: one[0].replace("{}", one[1]))
    | st.tuples(inner, BINARY, inner).map(lambda one: f"({one[0]} {one[1]} {one[2]})"),
    max_leaves=8,
)
NOISE = st.lists(st.sampled_from(list("ab19.(){}[]\"'`,=~!<>+-*/^%:@#$\\ \n\0é\ud800") + [" or ", "offset", "sum ", "by", "[5m]", "bool"]), max_size=60).map("".join)


@settings(max_examples=600, deadline=2000)
@given(TEXTS | NOISE)
def test_a_text_gives_a_result_or_a_refusal(text: str) -> None:
    try:
        query = compile(text)
        query.watch(STORE, NOW)
        query.has_input(STORE, NOW)
        instant(query, Run(STORE, NOW, NOW))
    except PromQLError as error:
        assert str(error)
