from __future__ import annotations

import pytest

from qflowd.model import Sample
from qflowd.series.promql import PromQLError, compile
from qflowd.series.promql.answer import query_range
from qflowd.series.promql.run import Run
from qflowd.series.store import SeriesStore


def store() -> SeriesStore:
    found = SeriesStore()
    for time in range(1000, 11_000, 1000):
        found.add(Sample("a", {"x": "1"}, time, time / 1000))
        found.add(Sample("a", {"x": "2"}, time, 2.0))
        found.add(Sample("b", {"x": "1"}, time, 4.0))
    return found


@pytest.mark.parametrize(
    ("text", "values"),
    [("a", [2, 10]), ('a{x="1"} offset 5s', [5]), ("sum(a)", [12]), ("a * on(x) b", [40]), ("a > bool 5", [0, 1]),
     ("a > 5 OR b", [10]), ("a unless b", [2]), ("-b", [-4]), ('rate(a{x="1"}[5s])', [1]), ("absent(c)", [1]),
     ("max_over_time(a[3s])", [2, 10]), ("b / 0", [float("inf")])],
)  # fmt: skip
def test_values(text: str, values: list[float]) -> None:
    found = compile(text).evaluate(store(), 10_000)
    assert isinstance(found, list) and sorted(value for _, value in found) == pytest.approx(values)


@pytest.mark.parametrize("text", ["limit_ratio(0.5, a)", "info(a)", "histogram_quantile(0.9, a)", "a[5m]", "'a'", "start_timestamp(a)"])
def test_refused_by_name(text: str) -> None:
    with pytest.raises(PromQLError, match="is not supported"):
        compile(text)


def test_range_and_depth_are_bounded() -> None:
    assert len(query_range(compile("a"), Run(store(), 1000, 10_000, 1000))) == 2
    with pytest.raises(PromQLError, match="choose a longer step"):
        query_range(compile("a"), Run(store(), 0, 11_000, 1))
    with pytest.raises(PromQLError, match="choose a longer step"):
        compile("max_over_time(a[1y:1s])")
    with pytest.raises(PromQLError, match="needs more than 100 points"):
        compile("sum_over_time(a[10s:10ms])").instant(Run(store(), 10_000, 10_000, points=100), 10_000)
    with pytest.raises(PromQLError, match="deep"):
        compile("(" * 200 + "a" + ")" * 200)
