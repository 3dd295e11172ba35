"""Rings, sketches and the recorder, at virtual time."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qflowd.model import Execution, ExecutionChanged, ModuleReport, Sample, Step, StepEnded, ValidationRun
from qflowd.series.matcher import Matcher
from qflowd.series.recorder import FLOWS, MODULE_SERIES, Recorder
from qflowd.series.sketch import Sketch
from qflowd.series.store import Series, SeriesStore
from qflowd.series.window import Window

NOW = 1_700_000_000_000


def ring(seconds: int, *points: tuple[int, float | None]) -> Series:
    series = Series("x", {}, seconds)
    for second, value in points:
        series.put(second * 1000, value)
    return series


def test_a_ring_keeps_the_newest_and_wraps() -> None:
    series = ring(100, *[(i, float(i)) for i in range(1, 351)])
    times, values = series.window(0, 10**9)
    assert times == [i * 1000 for i in range(251, 351)] and values == [float(i) for i in range(251, 351)]
    assert not series.put(250_000, 1.0) and series.put(251_000, 9.0) and series.at(251_000) == 9.0


def test_a_gap_leaves_nothing_of_the_last_round() -> None:
    series = ring(100, *[(i, 1.0) for i in range(100)], (180, 2.0))
    assert series.window(0, 10**9)[0] == [i * 1000 for i in range(81, 100)] + [180_000]
    series = ring(100, *[(i, 1.0) for i in range(100)], (5000, 2.0))
    assert series.window(0, 10**9) == ([5_000_000], [2.0])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 999), st.none() | st.floats(allow_nan=False)), max_size=60), st.integers(0, 400_000))
def test_a_ring_is_as_a_dictionary(points: list[tuple[int, int, float | None]], at: int) -> None:
    series, model, newest = Series("x", {}, 100), {}, -1
    for second, milli, value in points:
        newest = max(newest, second)
        if series.put(second * 1000 + milli, value):
            model[second] = (second * 1000 + milli, value)
        else:
            assert second <= newest - 100
    held = sorted(point for second, point in model.items() if second > newest - 100)
    told = series.window(-1, 10**9)
    assert list(zip(*told, strict=True)) == [(time, value) for time, value in held if value is not None]
    before = [value for time, value in held if at - 50_000 < time <= at]
    assert series.at(at, 50_000) == (before[-1] if before else None)


def test_staleness_and_lookback() -> None:
    series = ring(3600, (10, 1.0), (20, None), (30, 2.0))
    assert [series.at(second * 1000) for second in (9, 10, 19, 20, 29, 30)] == [None, 1.0, 1.0, None, None, 2.0]
    assert series.at(329_999) == 2.0 and series.at(330_000) is None
    assert series.window(10_000, 30_000) == ([30_000], [2.0])
    assert math.isnan(ring(60, (1, math.nan)).at(1000) or 0.0), "a measured NaN is a value"


def test_late_points_and_the_limit() -> None:
    store = SeriesStore(limit=2)
    assert store.add(Sample("a", {}, 100_000, 1.0)) and store.add(Sample("a", {}, 40_000, 2.0))
    assert not store.add(Sample("a", {}, 39_999, 3.0)) and store.late == 1
    assert store.add(Sample("b", {"x": "1"}, 100_000, 1.0)) and not store.add(Sample("b", {"x": "2"}, 100_000, 1.0))
    assert (len(store), store.refused) == (2, 1)
    store.drain()
    assert store.add(Sample("b", {"x": "2"}, 100_000 + 3_700_000, 1.0)), "what ended an hour ago makes room"
    assert len(store) == 1


def test_drain_and_load() -> None:
    store = SeriesStore()
    for time, value in ((1000, 1.0), (2000, None), (3000, 3.0)):
        store.add(Sample("a", {"k": "v"}, time, value))
    blocks = store.drain()
    assert blocks == [("a", {"k": "v"}, [1000, 2000, 3000], [1.0, None, 3.0])] and store.drain() == []
    other = SeriesStore()
    other.load(*blocks[0])
    assert other.drain() == [] and len(other) == 1
    (series,) = other.select("a", [Matcher("k", "=", "v")])
    assert [series.at(time) for time in (1000, 2000, 3000)] == [1.0, None, 3.0]


def test_select_and_matchers() -> None:
    store = SeriesStore()
    for host in ("a1", "a2", "b1"):
        store.add(Sample("up", {"host": host}, 1000, 1.0))
    store.add(Sample("down", {}, 1000, 1.0))

    def hosts(op: str, value: str, name: str | None = "up", label: str = "host") -> list[str]:
        return [one.labels.get("host", "") for one in store.select(name, [Matcher(label, op, value)])]

    assert hosts("=~", "a.") == ["a1", "a2"] and hosts("=~", "a") == [] and hosts("!~", "a.*") == ["b1"]
    assert hosts("!=", "a1") == ["a2", "b1"] and hosts("=", "", None) == [""] and hosts("=", "down", None, "__name__") == [""]
    assert store.select("none", []) == []
    with pytest.raises(ValueError, match="unknown matcher"):
        Matcher("a", "==", "b")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.floats(1e-6, 1e12), min_size=1, max_size=80), st.floats(0, 1), st.integers(0, 80), st.integers(0, 5))
def test_a_sketch_errs_by_one_percent_and_merges(values: list[float], q: float, cut: int, zeros: int) -> None:
    one, left, right = Sketch(), Sketch(), Sketch()
    for i, value in enumerate([0.0] * zeros + values):
        one.add(value)
        (left if i < cut else right).add(value)
    exact = sorted([0.0] * zeros + values)[math.floor(q * (len(values) + zeros - 1))]
    found = one.quantile(q)
    assert found is not None and abs(found - exact) <= 0.01 * exact * (1 + 1e-6)
    left.merge(right)
    assert (left.count, left.zeros, left.buckets) == (one.count, one.zeros, one.buckets) and left.quantile(q) == found
    left.remove(one)
    assert (left.count, left.zeros, left.buckets) == (0, 0, {}) and left.quantile(q) is None


def test_a_sketch_bears_what_is_out_of_bounds() -> None:
    sketch = Sketch()
    for value in (math.inf, 1e308):
        sketch.add(value)
    assert sketch.quantile(0.5) == pytest.approx(1e15, rel=0.01)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 700_000), st.integers(1, 1000), st.booleans()), max_size=40))
def test_a_window_is_as_its_definition(ends: list[tuple[int, int, bool]]) -> None:
    window = Window()
    waiting, past = sorted(ends), []
    for now in range(0, 1_100_000, 20_000):
        while waiting and waiting[0][0] <= now:
            past.append(waiting.pop(0))
            window.add(*past[-1])
        window.advance(now)
        within = [one for one in past if one[0] // 5000 > (now - 300_000) // 5000]
        assert (window.total.count, window.total.bad) == (len(within), sum(bad for _, _, bad in within))
        assert (window.quantile(0.5) is None) == (not within)
        for seconds in (10, 60):
            assert window.ended(now, seconds) == sum(one[0] > now - seconds * 1000 for one in past if one[0] // 1000 > now // 1000 - seconds)


def run(flow: str, end: int, status: str = "completed", ms: float = 100, name: str = "e", tenant: str | None = None) -> ExecutionChanged:
    one = Execution(name, flow, status=status, start_time=end, end_time=end, duration_ms=ms, tenant=tenant)  # type: ignore[arg-type]
    return ExecutionChanged(one, "running")


def told(samples: list[Sample]) -> dict[str, float | None]:
    found = {}
    for one in samples:
        labels = ",".join(f"{k}={v}" for k, v in one.labels.items())
        name = f"{one.name}{{{labels}}}" if labels else one.name
        assert name not in found, f"{name} twice in one tick"
        found[name] = one.value
    return found


def test_with_no_data_rates_are_absent_and_counts_zero() -> None:
    assert told(Recorder().tick(NOW, [])) == dict.fromkeys(
        ["active_executions", "queued_executions", "paused_executions", "throughput", "flows_per_second", "steps_per_second", "validations_per_second"], 0
    )


def test_every_series_and_its_end() -> None:
    recorder = Recorder()
    for i in range(20):
        recorder.observe(run("hello", NOW - i * 100, "failed" if i < 5 else "completed", ms=1000, tenant="t"), NOW)
    recorder.observe(StepEnded("e", "hello", Step("s", "s", status="failure", end_time=NOW, duration_ms=50)), NOW)
    layers = {"qlock": {"valid": True, "durationMs": 2, "cacheHit": True}, "qonsent": {"valid": False, "durationMs": 4}}
    recorder.observe(ValidationRun("v", "flow", "o", NOW, False, 8, True, layers), NOW)
    active = [Execution("a", "hello", tenant="t"), Execution("b", "other", status="paused"), Execution("c", "other", status="queued")]
    found = told(recorder.tick(NOW, active))
    near = {"execution": 1000, "step": 50, "validation": 8}
    for kind, value in near.items():
        for q in (50, 95, 99):
            assert found.pop(f"{kind}_latency_p{q}") == pytest.approx(value, rel=0.01)
    assert found.pop("latency_p99") == pytest.approx(1000, rel=0.01)
    assert found.pop("flow_latency_p95{flow=hello,tenant=t}") == pytest.approx(1000, rel=0.01)
    assert found.pop("validation_layer_latency_p95{layer=qlock}") == pytest.approx(2, rel=0.01)
    assert found.pop("validation_layer_latency_p95{layer=qonsent}") == pytest.approx(4, rel=0.01)
    rates = {
        "error_rate": 0.25, "step_error_rate": 1, "validation_success_rate": 0, "cache_hit_rate": 1,
        "flow_error_rate{flow=hello,tenant=t}": 0.25, "validation_layer_success_rate{layer=qlock}": 1,
        "validation_layer_success_rate{layer=qonsent}": 0, "validation_layer_cache_hit_rate{layer=qlock}": 1,
    }  # fmt: skip
    counts = {
        "throughput": 20, "flows_per_second": 2, "steps_per_second": 0.1, "validations_per_second": 0.1,
        "active_executions": 1, "paused_executions": 1, "queued_executions": 1,
        "flow_throughput{flow=hello,tenant=t}": 20, "flow_active_executions{flow=hello,tenant=t}": 1,
        "flow_throughput{flow=other,tenant=}": 0, "flow_active_executions{flow=other,tenant=}": 2,
    }  # fmt: skip
    age = {"flow_last_success_age_seconds{flow=hello,tenant=t}": 0.5}
    assert found == {**rates, **counts, **age}
    later = told(recorder.tick(NOW + 290_000, []))
    assert later["error_rate"] == 0.25 and later["throughput"] == 0 and later["flows_per_second"] == 0
    ended = told(recorder.tick(NOW + 301_000, []))
    gone = {name for name, value in ended.items() if value is None}
    assert gone == {name for name in told(recorder_full()) if "latency" in name or "rate" in name}
    assert ended["flow_last_success_age_seconds{flow=hello,tenant=t}"] == 301.5 and ended["flow_active_executions{flow=other,tenant=}"] == 0
    assert None not in told(recorder.tick(NOW + 302_000, [])).values(), "one marker is enough"


def recorder_full() -> list[Sample]:
    recorder = Recorder()
    recorder.observe(run("hello", NOW, tenant="t"), NOW)
    recorder.observe(StepEnded("e", "hello", Step("s", "s", end_time=NOW, duration_ms=50)), NOW)
    layers = {"qlock": {"valid": True, "durationMs": 2, "cacheHit": True}, "qonsent": {"valid": False, "durationMs": 4}}
    recorder.observe(ValidationRun("v", "flow", "o", NOW, False, 8, True, layers), NOW)
    return recorder.tick(NOW, [])


def test_per_second_and_per_minute_are_to_the_second() -> None:
    recorder = Recorder()
    recorder.observe(run("f", NOW + 500), NOW + 500)
    for second, rate, throughput in ((1, 0.1, 1), (9, 0.1, 1), (10, 0, 1), (59, 0, 1), (60, 0, 0)):
        found = told(recorder.tick(NOW + second * 1000, []))
        assert (found["flows_per_second"], found["throughput"]) == (rate, throughput), second


def test_an_end_counts_once_and_never_ahead_of_the_clock() -> None:
    recorder = Recorder()
    recorder.observe(run("f", NOW + 80_000_000), NOW)
    one = run("f", NOW)
    recorder.observe(ExecutionChanged(one.execution, "completed"), NOW)
    recorder.observe(ExecutionChanged(Execution("x", "f"), None), NOW)
    assert told(recorder.tick(NOW, []))["throughput"] == 1
    assert told(recorder.tick(NOW + 301_000, []))["execution_latency_p50"] is None
    recorder.observe(run("f", NOW - 400_000), NOW + 301_000)
    assert "error_rate" not in told(recorder.tick(NOW + 302_000, [])), "one that ended long ago is in no window"


def test_a_new_flow_takes_the_place_of_the_longest_idle() -> None:
    recorder = Recorder()
    for i in range(FLOWS):
        recorder.observe(run(f"f{i}", NOW - FLOWS + i), NOW)
    recorder.tick(NOW, [])
    recorder.observe(run("new", NOW + 1000), NOW + 1000)
    assert recorder.refused == 1 and "flow_throughput{flow=new,tenant=}" not in told(recorder.tick(NOW + 1000, []))
    recorder.tick(NOW + 310_000, [Execution("a", "f0")])
    recorder.observe(run("new", NOW + 310_500), NOW + 310_500)
    found = told(recorder.tick(NOW + 311_000, [Execution("a", "f0")]))
    assert found["flow_throughput{flow=new,tenant=}"] == 1
    assert found["flow_active_executions{flow=f1,tenant=}"] is None and found["flow_active_executions{flow=f0,tenant=}"] == 1


def test_modules_are_sent_on_and_bounded() -> None:
    recorder = Recorder()
    recorder.observe(ModuleReport("qlock", NOW + 99_000, {"lock.rate": 2.0}, {"zone": "a"}, True), NOW)
    assert [one for one in recorder.tick(NOW, []) if one.name[:7] == "module_"] == [Sample("module_lock_rate", {"zone": "a", "module": "qlock"}, NOW, 2.0)]
    recorder.observe(ModuleReport("m", NOW, {f"x{i}": 1.0 for i in range(MODULE_SERIES + 5)}, {}, None), NOW)
    assert recorder.refused == 6
    recorder.observe(ModuleReport("late", NOW, {"x": 1.0}, {}, None), NOW + 3_600_000)
    assert recorder.refused == 6


def test_real_time_metrics() -> None:
    recorder, store = Recorder(), SeriesStore()
    empty = recorder.real_time_metrics(store, NOW)
    assert empty["latency"]["flowExecution"] == {"p50": None, "p95": None, "p99": None} and empty["errorRates"]["overall"] is None
    recorder.observe(run("f", NOW, "failed", ms=10), NOW)
    recorder.observe(StepEnded("e", "f", Step("s", "s", status="success", end_time=NOW, duration_ms=5)), NOW)
    for one in [*recorder.tick(NOW, []), Sample("cpu_utilization", {"host": "h"}, NOW, 0.5)]:
        store.add(one)
    found = recorder.real_time_metrics(store, NOW)
    assert found["errorRates"] == {"flowExecution": 1, "validation": None, "stepExecution": 0, "overall": 0.5}
    assert found["throughput"] == {"flowsPerSecond": 0.1, "flowsPerMinute": 1, "validationsPerSecond": 0, "stepsPerSecond": 0.1}
    assert found["resourceUtilization"]["cpu"] == 0.5 and found["resourceUtilization"]["network"]["receiveBytesPerSecond"] is None
