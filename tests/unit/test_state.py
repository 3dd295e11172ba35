"""The fold: the order of events, their repetition, and restarts between them change nothing."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from qflowd.model import Event, ExecutionChanged, Logged, StepEnded, ValidationRun
from qflowd.state import State, decode_record, log_line

X = "q.qflow.exec."
VALIDATED = "q.qflow.validation.pipeline.executed.v1"
count = iter(range(10**9))


def event(kind: str, time: int, source: str = "s", id: str = "", **data: Any) -> Event:
    full = kind if kind.startswith(("q.", "com.")) else f"{X}{kind}.v1"
    return Event(source, id or str(next(count)), full, time, {"executionId": "e", **data} if full.startswith(X) else data)


def started(time: int = 1000, **data: Any) -> Event:
    return event("started", time, flowId="hello", **data)


def validated(time: int, valid: bool = True, name: str = "v", of: str = "e", **data: Any) -> Event:
    result = {"overall": {"valid": valid, "durationMs": 4}, "qlock": {"valid": valid, "durationMs": 2, "errors": ["bad key"], "cacheHit": True}}
    return event(VALIDATED, time, validationId=name, operationType="execution", operationId=of, pipelineResult=result, **data)


def fold(*events: Event, state: State | None = None) -> State:
    state = state or State()
    for one in events:
        state.apply(one, one.time)
    return state


def saved(state: State) -> list[Any]:
    """Takes what changed, as the daemon does."""
    return state.rows(state.take())


def whole(state: State) -> dict[str, Any]:
    """All that is told, from memory and from the records, as built-ins."""
    found = {}
    for row in saved(state):
        one, steps, runs = decode_record(row[7])
        assert one == state.execution(row[0])
        assert steps == state.steps(row[0])
        assert runs == state.validations(row[0])
        assert row[:6] == (one.execution_id, one.flow_id, one.status, one.tenant, one.start_time, one.end_time)
        found[row[0]] = [msgspec.to_builtins(x) for x in (one, steps, runs)] + [row[6]]
    return {"executions": found, "validation": state.validation(100)}


times = st.integers(1, 12)
names = st.sampled_from(["e1", "e2"])
steps = st.sampled_from(["a", "b", "c"])
maybe = st.none() | times
errors = st.none() | st.fixed_dictionaries({"message": st.sampled_from(["refused", "gone"])})
kinds = st.one_of(
    st.tuples(st.just(X + "started.v1"), st.fixed_dictionaries({
        "executionId": names, "flowId": st.sampled_from(["f", "g"]), "flowVersion": st.sampled_from([None, "1", 2]),
        "estimatedDuration": st.sampled_from([None, 50]), "daoSubnet": st.sampled_from([None, "t1", "t2"]),
        "labels": st.sampled_from([None, {"k": "v"}, {"n": 3, "none": None}]), "priority": st.sampled_from([None, 1, "high"])})),
    st.tuples(st.just(X + "progress.v1"), st.fixed_dictionaries({
        "executionId": names, "progress": st.sampled_from([None, 0.0, 0.5]), "currentStep": st.none() | steps})),
    st.tuples(st.just(X + "step.dispatched.v1"), st.fixed_dictionaries({
        "executionId": names, "stepId": steps, "stepName": st.sampled_from([None, "Step"]), "attempt": st.sampled_from([None, 1, 2])})),
    st.tuples(st.just(X + "step.completed.v1"), st.fixed_dictionaries({
        "executionId": names, "stepId": steps, "status": st.sampled_from(["success", "failure", "timeout", "cancelled", "skipped"]),
        "error": errors, "executionMetrics": st.none() | st.fixed_dictionaries({"startTime": maybe, "endTime": maybe, "durationMs": maybe})})),
    st.tuples(st.sampled_from([X + "paused.v1", X + "resumed.v1"]), st.fixed_dictionaries({"executionId": names})),
    st.tuples(st.just(X + "completed.v1"), st.fixed_dictionaries({
        "executionId": names, "status": st.sampled_from(["completed", "failed", "aborted", "timeout"]), "flowId": st.sampled_from([None, "h"]),
        "error": errors, "startTime": maybe, "endTime": maybe, "durationMs": maybe})),
    st.tuples(st.just(VALIDATED), st.fixed_dictionaries({
        "validationId": st.sampled_from(["v1", "v2"]), "operationType": st.sampled_from(["execution", "other"]), "operationId": names,
        "pipelineResult": st.sampled_from([{"overall": {"valid": True, "durationMs": 3}}, {"overall": {"valid": False}, "qlock": {"valid": False}}])})),
)  # fmt: skip
made = st.lists(st.tuples(kinds, times, st.sampled_from(["s1", "s2"])), max_size=14).map(
    lambda found: [Event(source, f"{i:02}", kind, time, data) for i, ((kind, data), time, source) in enumerate(found)]
)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_order_repetition_and_restarts_change_nothing(data: st.DataObject) -> None:
    events = data.draw(made)
    wanted = whole(fold(*events))
    again = data.draw(st.lists(st.sampled_from(events), max_size=4)) if events else []
    shuffled = data.draw(st.permutations(events + again))
    assert whole(fold(*shuffled)) == wanted
    state, kept = State(), {}
    for one in shuffled:
        state.apply(one, 12)
        rest = data.draw(st.integers(0, 3))
        if rest == 0:
            kept.update({row[0]: row[7] for row in saved(state)})
            known = dict(state._runs)
            state = State()
            state._runs = known  # Validations of no execution live in memory only.
            for blob in kept.values():
                state.restore(blob)
        elif rest == 1:
            state.expire(10**12)
    state.touch(one.execution_id for one in state.executions())
    if not any(one.status == "stale" for one in state.executions()):
        assert whole(state) == wanted


def test_the_plain_life_of_an_execution() -> None:
    state = State()
    changes = state.apply(started(estimatedDuration=5000, daoSubnet="t"), 1000)
    one = state.execution("e")
    assert one is not None and (one.status, one.flow_id, one.estimated_end, one.tenant, one.source) == ("running", "hello", 6000, "t", "s")
    assert isinstance(changes[0], ExecutionChanged) and changes[0].before is None and isinstance(changes[-1], Logged)
    fold(event("step.dispatched", 1100, stepId="a", stepName="Extract"), state=state)
    changes = state.apply(event("step.completed", 1300, stepId="a", status="success"), 1300)
    ended = [change for change in changes if isinstance(change, StepEnded)]
    assert ended[0].step.duration_ms == 200 and ended[0].flow_id == "hello"
    fold(event("progress", 1400, progress=0.5, currentStep="b"), state=state)
    one = state.execution("e")
    assert one is not None and (one.progress, one.current_step, one.step_counts) == (0.5, "b", {"success": 1})
    changes = state.apply(event("completed", 6000, status="completed"), 6000)
    assert isinstance(changes[0], ExecutionChanged) and changes[0].before == "running"
    one = changes[0].execution
    assert (one.status, one.duration_ms, one.estimated_end) == ("completed", 5000, None)
    assert state.active() == [] and state.recent(5) == [one]


def test_what_was_handed_out_does_not_change() -> None:
    state = fold(started(), event("step.dispatched", 1050, stepId="z"))
    before = state.execution("e")
    copied = msgspec.to_builtins(before)
    fold(event("step.dispatched", 1100, stepId="a"), event("progress", 1200, progress=0.1), event("completed", 1300, status="failed"), state=state)
    assert msgspec.to_builtins(before) == copied


def status(*events: Event) -> str:
    one = fold(*events).execution("e")
    assert one is not None
    return one.status


def test_pause_and_resume_by_their_own_time() -> None:
    assert status(started(), event("paused", 2000)) == "paused"
    assert status(started(), event("resumed", 3000), event("paused", 2000)) == "running"
    assert status(event("completed", 2500, status="completed"), event("paused", 2000)) == "completed"


def test_of_terminal_events_the_least_time_source_and_id_decides() -> None:
    assert status(event("completed", 9, status="failed"), event("completed", 8, status="completed")) == "completed"
    assert status(event("completed", 9, "b", status="failed"), event("completed", 9, "a", status="aborted")) == "aborted"
    assert status(event("completed", 9, id="2", status="failed"), event("completed", 9, id="1", status="timeout")) == "timeout"


def test_stale_is_derived_and_yields() -> None:
    state = State(stale_after=1000)
    fold(started(), state=state)
    assert state.expire(2000) == []
    changes = state.expire(2001)
    assert [(one.execution.status, one.before) for one in changes if isinstance(one, ExecutionChanged)] == [("stale", "running")]
    assert state.active() == [] and state.expire(9000) == []
    changes = state.apply(event("progress", 1500, progress=0.1), 9000)
    assert isinstance(changes[0], ExecutionChanged) and (changes[0].execution.status, changes[0].before) == ("running", "stale")
    assert len(state.active()) == 1


def test_late_progress_keeps_the_end() -> None:
    state = fold(started(), event("completed", 3000, status="completed"), event("progress", 2000, progress=0.9))
    one = state.execution("e")
    assert one is not None and (one.status, one.progress, one.end_time) == ("completed", 0.9, 3000)


def test_implicit_start() -> None:
    state = fold(event("step.completed", 2000, stepId="a", status="success"), event("progress", 1500, "t", progress=0.1))
    one = state.execution("e")
    assert one is not None and (one.start_time, one.flow_id, one.status, one.source) == (1500, "unknown", "running", "t")
    fold(started(1200), state=state)
    one = state.execution("e")
    assert one is not None and (one.start_time, one.flow_id, one.source) == (1200, "hello", "s")


def test_times_as_text_and_numbers() -> None:
    done = event("completed", 9000, status="completed", startTime="1970-01-01T00:00:01Z", endTime=3000.0)
    one = fold(done).execution("e")
    assert one is not None and (one.start_time, one.end_time, one.duration_ms) == (1000, 3000, 2000)


def test_the_first_failing_step_is_the_error_where_the_end_has_none() -> None:
    fails = [event("step.completed", at, stepId=name, status="failure", error={"message": name}) for at, name in ((3000, "b"), (2000, "a"))]
    one = fold(started(), *fails, event("completed", 4000, status="failed")).execution("e")
    assert one is not None and one.error == {"message": "a", "stepId": "a"}
    one = fold(started(), *fails, event("completed", 4000, status="failed", error={"message": "own"})).execution("e")
    assert one is not None and one.error == {"message": "own"}


def test_a_failing_step_told_after_the_end_is_its_error() -> None:
    state = fold(started(), event("completed", 4000, status="failed"))
    fold(event("step.completed", 3000, stepId="a", status="failure", error={"message": "late"}), state=state)
    one = state.execution("e")
    assert one is not None and one.error == {"message": "late", "stepId": "a"}


def test_a_new_attempt_runs_again() -> None:
    state = fold(event("step.completed", 2000, stepId="a", status="failure"), event("step.dispatched", 3000, stepId="a", attempt=2))
    assert [one.status for one in state.steps("e")] == ["running"]
    fold(event("step.completed", 4000, stepId="a", status="success"), state=state)
    one = state.execution("e")
    assert one is not None and one.step_counts == {"success": 1}


def test_the_tail_is_bounded_and_the_oldest_go() -> None:
    state = State(tail=2)
    for i in (5, 1, 4, 2, 3):
        state.apply(Event("s", f"x{i}", X + "completed.v1", i * 1000, {"executionId": f"e{i}", "status": "completed"}), 0)
    state.trim()
    assert len(saved(state)) == 5 and len(list(state.executions())) == 5, "what is not on disk stays"
    state.trim()
    assert sorted(one.execution_id for one in state.executions()) == ["e4", "e5"]
    assert [one.execution_id for one in state.recent(1)] == ["e5"]
    assert state.missing([Event("s", "y", X + "progress.v1", 1, {"executionId": "e1"})]) == {"e1"}


def test_a_repeated_validation_counts_once() -> None:
    state = State()
    first = state.apply(validated(1000, valid=False), 1000)
    again = state.apply(validated(1500), 1500)
    assert [sum(isinstance(one, ValidationRun) for one in found) for found in (first, again)] == [1, 0]
    told = state.validation(2000)
    assert told["totalOperations"] == 1 and told["successRate"] == 0 and told["cacheHitRate"] is None
    layer = told["layerPerformance"]["qlock"]
    assert layer["cacheHitRate"] == 1 and layer["failures"] == [{"check": "qlock", "reason": "bad key", "executionId": "e", "time": 1000}]
    assert state.validation(301_001)["totalOperations"] == 0 and state.validation(301_001)["successRate"] is None


def test_flows_are_plain() -> None:
    state = fold(started(), event("completed", 3000, status="failed"))
    (flow,) = state.flows()
    assert flow["lastExecution"]["executionId"] == "e" and flow["errorRate"] == 1 and flow["counts"] == {"failed": 1}
    assert flow["latency"] == {"p50": 2000, "p95": 2000, "p99": 2000}
    msgspec.json.encode(flow)


def test_modules_and_unknown_types() -> None:
    state = fold(event("q.qflow.module.metrics.v1", 5, module="qlock", metrics={"rate": 2, "no": None}, labels={"zone": 1}, healthy=True))
    fold(event("q.qflow.module.metrics.v1", 4, module="qlock", metrics={"rate": 1}), state=state)
    assert state.modules() == [{"module": "qlock", "time": 5, "metrics": {"rate": 2.0}, "labels": {"zone": "1"}, "healthy": True}]
    assert len(state.apply(event("weird", 5), 5)) == 1 and state.execution("e") is None


def test_lines_read_well() -> None:
    def text(one: Event) -> str:
        line = log_line(one)
        assert line.time == one.time and line.type == one.type and line.data == one.data
        return f"{line.level}: {line.text}"

    run = {"executionId": "8f2c1d07-aaaa-bbbb-cccc-000000000000", "flowId": "hello"}
    short = {"executionId": "1d07", "flowId": "payments-settle"}
    assert text(event("started", 1, **run, triggerType="schedule")) == "info: hello run 8f2c1d07 started by schedule"
    assert text(event("completed", 1, **run, status="completed", durationMs=5000)) == "info: hello run 8f2c1d07 completed in 5.0 s"
    assert text(event("completed", 1, **run, status="completed", startTime=0, endTime=125_000)) == "info: hello run 8f2c1d07 completed in 2 min 5 s"
    failed = event("completed", 1, **short, status="failed", error={"message": "connection refused", "stepId": "verify-funds"})
    assert text(failed) == "error: payments-settle run 1d07 failed at verify-funds: connection refused"
    assert text(event("completed", 1, status="timeout")) == "error: run e timed out"
    assert text(event("progress", 1, progress=0.25, currentStep="load")) == "debug: run e is at 25 % in load"
    assert text(event("step.dispatched", 1, stepId="a", attempt=2, targetNodeId="n1")) == "debug: run e step a dispatched to n1, attempt 2"
    done = event("step.completed", 1, stepId="a", status="success", executionMetrics={"durationMs": 40})
    assert text(done) == "debug: run e step a succeeded in 40 ms"
    broken = event("step.completed", 1, stepId="a", status="failure", error={"message": "no"})
    assert text(broken) == "warning: run e step a failed: no"
    assert text(event("paused", 1, reason="by hand")) == "info: run e paused: by hand"
    assert text(event("resumed", 1)) == "info: run e resumed"
    assert text(event("q.qflow.flow.created.v1", 1, flowId="hello", flowVersion="2", owner="ann")) == "info: flow hello created at version 2 by ann"
    assert text(validated(1)) == "info: validation of execution e passed in 4 ms"
    assert text(validated(1, valid=False)) == "warning: validation of execution e failed in qlock: bad key"
    assert text(event("q.qflow.module.metrics.v1", 1, module="qlock", metrics={"rate": 2}, healthy=False)) == "warning: module qlock is not healthy: rate 2"
    assert text(event("q.qflow.external.event.received.v1", 1, message="hi")) == "info: external event from s: hi"
    assert text(event("com.example.thing", 1)) == "info: com.example.thing from s"
    line = log_line(validated(1))
    assert line.execution_id == "e"


def test_a_line_knows_what_the_record_knows() -> None:
    state = fold(started(), event("step.completed", 2000, stepId="v", status="failure", error={"message": "refused"}))
    line = state.apply(event("completed", 3000, status="failed"), 3000)[-1]
    assert isinstance(line, Logged) and line.line.text == "hello run e failed at v: refused" and line.line.flow_id == "hello"
