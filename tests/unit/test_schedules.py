"""Schedules at virtual time: due, missed, late, not seen; overrun and stuck; restarts change nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qflowd.cron import parse, zone
from qflowd.model import Execution, FlowPlan, RuleSource, Sample
from qflowd.schedules import FLOWS, Schedules
from qflowd.schedules.expectation import MOST, Expectation, Verdict, newest
from qflowd.schedules.learn import Learned
from qflowd.schedules.outages import TOLERATED, Outages

M, H, D = 60_000, 3_600_000, 86_400_000
BERLIN = zone("Europe/Berlin")


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


NOON = ms("2026-01-30T12:00Z")


def plan(flow: str = "nightly", schedule: str | None = "0 2 * * *", **changes: object) -> FlowPlan:
    """By default: at two, UTC, ten minutes of grace."""
    given = FlowPlan(flow, schedule, "UTC", 10 * M, None, None, RuleSource("file", "q.yaml", 3))
    return msgspec.structs.replace(given, **changes)


def run(number: object, start: int, *, flow: str = "nightly", status: str = "running", tenant: str | None = None, steps: int = 0) -> Execution:
    counts = {"running": steps} if steps else {}
    return Execution(f"run-{number}", flow, status=status, start_time=start, tenant=tenant, step_counts=counts)  # type: ignore[arg-type]


class NoSteps:
    """Executions that told no steps; heard of when asked about."""

    def __init__(self, heard: int = 0) -> None:
        self.last, self.searches = heard, 0
        self.steps: dict[str, tuple[str, int]] = {}

    def running_longest(self, execution_id: str, known: str) -> tuple[str, int] | None:
        found = self.steps.get(execution_id)
        self.searches += found is not None and found[0] != known
        return found

    def heard(self, execution_id: str) -> int:
        return self.last


class Life:
    """Schedules under a clock: ``at`` ticks, and keeps the newest value of each series."""

    def __init__(self, *plans: FlowPlan, now: int = NOON) -> None:
        self.schedules = Schedules()
        self.schedules.configure(plans, now)
        self.values: dict[str, float | None] = {}
        self.samples: list[Sample] = []
        self.active: dict[str, Execution] = {}
        self.steps = NoSteps()
        self.now = now

    def at(self, now: int, *, observing: bool = True, step: int = 3 * M) -> Life:
        """Tick until ``now``, as a daemon does that is never away."""
        while self.now < now:
            # Seconds are what a real one ticks in; coarser here, and told so that the gap is none.
            self.now = min(now, self.now + step)
            self.schedules._seen = self.now - 1000
            self.tick(observing=observing)
        return self

    def tick(self, *, observing: bool = True) -> None:
        self.samples = self.schedules.tick(self.now, self.active.values(), self.steps, observing=observing)
        for one in self.samples:
            tenant = one.labels.get("tenant")
            self.values[one.name.removeprefix("flow_") + (f" {tenant}" if tenant else "")] = one.value

    def start(self, number: object, start: int, **given: object) -> None:
        one = run(number, start, **given)  # type: ignore[arg-type]
        self.active[one.execution_id] = one
        self.schedules.observe(one, self.now)

    def end(self, number: object) -> None:
        self.active.pop(f"run-{number}")

    def away(self, until: int) -> None:
        """``kill -9``, and a start from what was saved."""
        blob = self.schedules.dump(self.now)
        plans, starts = [one.plan for one in self.schedules.flows.values()], [one.starts for one in self.schedules.flows.values()]
        self.schedules, self.now = Schedules(), until
        self.schedules.restore(blob, until)
        self.schedules.configure(plans, until)
        for one, seen in zip(plans, starts, strict=True):
            for name, start in seen.items():
                self.schedules.observe(Execution(name, one.flow, start_time=start), until)
        self.tick()

    @property
    def state(self) -> str:
        return str(self.schedules.shown("nightly")["scheduleState"])  # type: ignore[index]


TWO = ms("2026-01-31T02:00Z")


def test_a_run_in_time_is_no_news() -> None:
    life = Life(plan()).at(NOON + M)
    assert life.state == "waiting" and life.values["missed_runs"] == 0 and "late_seconds" not in life.values
    assert life.values["next_run_timestamp_seconds"] == TWO / 1000
    life.at(TWO + 5 * M)
    assert life.state == "due" and life.values["late_seconds"] == 0
    life.start(1, TWO + 6 * M)
    life.at(TWO + 7 * M)
    assert (life.state, life.values["missed_runs"], life.values["late_seconds"]) == ("ontime", 0, 0)
    assert life.values["next_run_timestamp_seconds"] == (TWO + D) / 1000


def test_missed_then_late_then_well_again() -> None:
    life = Life(plan()).at(TWO + 10 * M - 1)
    assert life.state == "due"
    life.at(TWO + 10 * M)
    assert (life.state, life.values["missed_runs"], life.values["late_seconds"]) == ("missed", 1, 600)
    life.at(TWO + 2 * D + H)
    assert life.values["missed_runs"] == 3 and life.values["late_seconds"] == 3600
    life.start(1, TWO + 2 * D + H)
    life.at(life.now + 1000)
    assert (life.state, life.values["missed_runs"], life.values["late_seconds"]) == ("late", 0, 3600)
    life.at(life.now + 30 * M)
    assert life.state == "late", "as long as the late run runs"
    life.end(1)
    life.at(life.now + 1000)
    assert (life.state, life.values["late_seconds"]) == ("ontime", 0)
    shown = life.schedules.shown("nightly")
    assert shown is not None and shown["lastMissed"] == TWO + 2 * D and shown["nextRun"] == TWO + 3 * D


def test_a_short_late_run_is_shown_for_five_minutes() -> None:
    life = Life(plan()).at(TWO + H)
    life.start(1, life.now)
    life.end(1)
    assert life.at(life.now + 4 * M).state == "late"
    assert life.at(life.now + M).state == "ontime"


def test_a_start_shortly_before_its_moment_counts_for_it() -> None:
    life = Life(plan()).at(TWO - M)
    life.start(1, TWO - 50_000)
    assert life.at(TWO + H).state == "ontime" and life.values["missed_runs"] == 0
    life = Life(plan(schedule="* * * * *", grace=10_000)).at(NOON + 60 * M, step=5000)
    assert life.values["missed_runs"] == 59, "the grace of the last is not over"
    life.start(1, life.now - 44_000)  # a quarter of a minute before the moment is early, more is the run before, late
    life.at(life.now + 1000)
    assert life.values["missed_runs"] == 0 and life.state == "due"


def test_a_second_run_does_not_make_the_first_late() -> None:
    life = Life(plan(schedule="0 * * * *")).at(NOON + H + M)
    life.start(1, NOON + H + 30_000)
    life.start(2, NOON + H + 40 * M)
    assert life.at(NOON + H + 41 * M).state == "ontime"


def test_a_start_that_is_told_later_clears_what_it_meets() -> None:
    life = Life(plan()).at(TWO + 3 * H)
    assert life.state == "missed"
    life.start(1, TWO + M)  # spooled where it ran
    life.end(1)
    life.at(life.now + 1000)
    shown = life.schedules.shown("nightly")
    assert life.state == "ontime" and shown is not None and shown["lastMissed"] is None and shown["missedRuns"] == 0


def test_what_falls_into_an_outage_is_not_called_missed() -> None:
    life = Life(plan()).at(TWO + 5 * M)
    life.away(TWO + 30 * M)
    assert life.state == "unobserved" and life.values["missed_runs"] == 0 and life.values["unobserved_runs"] == 1
    assert life.schedules.shown("nightly")["lateSeconds"] is None  # type: ignore[index]
    life.start(1, TWO + 8 * M)  # it ran while the daemon was away, and is told now
    life.end(1)
    life.at(life.now + 1000)
    assert life.state == "ontime" and life.values["unobserved_runs"] is None
    life.at(TWO + D + 10 * M)
    assert life.state == "missed", "what was seen is called missed again"


def test_a_quick_restart_costs_no_verdict() -> None:
    life = Life(plan()).at(TWO + 5 * M)
    life.away(life.now + TOLERATED)
    assert life.at(TWO + 11 * M).state == "missed"
    life.away(life.now + 5 * H)
    assert (life.state, life.values["missed_runs"]) == ("missed", 1), "it was missed before the outage"


def test_a_journal_that_takes_nothing_is_an_outage() -> None:
    life = Life(plan()).at(TWO)
    life.at(TWO + 10_000, observing=False, step=1000).at(TWO + 11 * M)
    assert life.state == "unobserved"


def test_a_stopped_process_and_a_sleeping_machine_are_outages_too() -> None:
    life = Life(plan()).at(TWO)
    life.now = TWO + 20 * M
    life.tick()
    assert life.state == "unobserved"
    seconds = Life(plan())
    for _ in range(30):
        seconds.now += 1300
        seconds.tick()
    assert not seconds.schedules.outages.stretches


def test_nothing_is_expected_from_before_the_schedule_was_given() -> None:
    life = Life(plan(), now=TWO + M).at(TWO + 5 * H)
    assert life.state == "waiting" and life.values["missed_runs"] == 0
    life.at(TWO + D + H)
    assert life.state == "missed"
    life.schedules.configure([plan(schedule="0 12 * * *")], life.now)
    life.at(life.now + 1000)
    assert life.state == "waiting" and life.values["missed_runs"] == 0, "another schedule begins anew"
    life.schedules.configure([plan(schedule="0 12 * * *", grace=M)], life.now)
    assert life.schedules.flows["nightly"].expectation.since == life.now - 1000  # type: ignore[union-attr]


def test_a_plan_that_is_taken_away_ends_its_series() -> None:
    life = Life(plan()).at(TWO + H)
    life.schedules.configure([], life.now)
    life.tick()
    assert life.values["missed_runs"] is None and life.schedules.shown("nightly") is None
    life.tick()
    assert not life.samples


def test_globs_find_flows_and_an_own_entry_goes_first() -> None:
    life = Life(plan("etl-*", "0 * * * *"), plan("etl-slow", None, max_duration=H), plan("*", "0 0 * * *"))
    for flow in ("etl-a", "etl-slow", "other"):
        life.start(flow, NOON, flow=flow)
    life.at(NOON + 1000)
    shown = {flow: life.schedules.shown(flow)["schedule"]["expression"] for flow in ("etl-a", "etl-slow", "other")}  # type: ignore[index]
    assert shown == {"etl-a": "0 * * * *", "etl-slow": None, "other": "0 0 * * *"}
    life.away(life.now + 1000)
    assert "etl-a" in life.schedules.flows, "a flow that a glob found is still watched after a restart"


def test_flows_are_bounded_and_what_finds_no_place_is_counted() -> None:
    life = Life(plan("*"))
    for number in range(FLOWS + 50):
        life.start(number, NOON, flow=f"f{number}")
        life.start(number, NOON, flow=f"f{number}")
    assert len(life.schedules.flows) == FLOWS and life.schedules.refused == 50
    assert len(life.schedules.dump(NOON)) < 100 * FLOWS


def test_overrun_per_tenant_only_while_it_runs() -> None:
    life = Life(plan(schedule=None, max_duration=30 * M))
    life.at(NOON + 1000)
    assert not life.values
    life.start(1, NOON, tenant="a")
    life.start(2, NOON + 10 * M)
    life.at(NOON + 31 * M)
    assert life.values == {"overrun_seconds a": 60, "overrun_seconds": 0}
    life.end(1)
    life.at(life.now + 1000)
    assert life.values["overrun_seconds a"] is None and life.values["overrun_seconds"] == 0
    assert life.schedules.shown("nightly")["overrunSeconds"] == 0  # type: ignore[index]


def test_a_stuck_step_and_a_run_that_is_silent() -> None:
    life = Life(plan(schedule=None, max_step_duration=10 * M))
    life.start(1, NOON, steps=2)
    life.steps.steps["run-1"] = ("load", NOON + M)
    life.at(NOON + 11 * M)
    assert life.values["stuck_step_seconds"] == 0
    life.at(NOON + 12 * M, step=1000)
    shown = life.schedules.shown("nightly")
    assert life.values["stuck_step_seconds"] == 60 and shown is not None and shown["stuckStep"] == "load"
    assert life.steps.searches == 1, "the step that is known is looked at, not searched for"
    life.end(1)
    life.start(2, NOON)
    life.steps.last = NOON + 5 * M
    life.at(NOON + 16 * M)
    assert life.values["stuck_step_seconds"] == 60, "nothing heard for eleven minutes"
    life.end(2)
    life.start(3, NOON, status="paused")
    life.at(NOON + 5 * H)
    assert life.values["stuck_step_seconds"] == 0, "who is paused waits for someone"


def test_an_unchanged_series_is_told_seldom() -> None:
    life = Life(plan())
    counts = []
    for _ in range(60):
        life.now += 1000
        life.tick()
        counts.append(len(life.samples))
    assert sum(counts) == 4 * 2, counts


def test_the_clocks_change_and_nothing_is_missed() -> None:
    """Debian's cron starts the run of 02:30 at 03:00 when that hour is skipped, and once when it is repeated."""
    for day, runs in (("2026-03-28", ["29T01:00", "30T00:30"]), ("2026-10-24", ["25T00:30", "26T01:30"])):
        life = Life(plan(schedule="30 2 * * *", timezone="Europe/Berlin"), now=ms(f"{day}T12:00Z"))
        for at in runs:
            life.at(ms(f"{day[:8]}{at}Z") - 1000)
            assert life.values["missed_runs"] == 0
            life.at(ms(f"{day[:8]}{at}Z") + 1000)
            assert life.state == "due", at
            life.start(at, life.now)
            life.end(at)
            life.at(life.now + 3 * H)
            assert life.state == "ontime", at


def test_learned_plans_wait_until_enough_is_known_and_then_stay() -> None:
    life = Life(plan(schedule="learned", max_duration="learned", grace=M)).at(NOON + 1000)
    few = Learned(None, "UTC", 0, "3 runs are too few", 3, None, None)
    assert life.state == "learning" and not life.schedules.learned("nightly", few, life.now)
    assert life.schedules.shown("nightly")["schedule"]["reason"] == "3 runs are too few"  # type: ignore[index]
    good = Learned("0 2 * * *", "UTC", 0.8, "all", 30, 1, 2, grace=5 * M, max_duration=H, runs=30)
    assert life.schedules.learned("nightly", good, life.now) and not life.schedules.learning()
    life.at(TWO + 5 * M)
    assert life.state == "missed"
    life.away(life.now + 1000)
    shown = life.schedules.shown("nightly")
    assert shown is not None and shown["schedule"]["expression"] == "0 2 * * *" and shown["schedule"]["maxDuration"] == H
    other = msgspec.structs.replace(good, schedule="0 3 * * *")
    assert not life.schedules.learned("nightly", other, life.now), "what was learned stays until someone asks"
    assert life.schedules.learned("nightly", other, life.now, again=True)
    assert life.schedules.flows["nightly"].cron == "0 3 * * *"


@pytest.mark.parametrize("expression", ["* * * * *", "*/7 * * * *", "*/30 9-17 * * 1-5", "0 2 * * *", "0 0 1 * *", "0 0 29 2 *"])
def test_the_newest_moments_are_found_without_a_walk(expression: str) -> None:
    cron = parse(expression)
    after, now = ms("2024-01-01T00:00Z"), ms("2026-03-29T12:00Z")
    walked, at = [], cron.next(after, BERLIN)
    while at is not None and at <= now:
        walked.append(at)
        at = cron.next(at, BERLIN) if len(walked) < 60 or expression != "* * * * *" else None
    if expression != "* * * * *":
        assert newest(cron, BERLIN, after, now, 50) == walked[-50:]
    assert newest(cron, BERLIN, now - 1, now - 1, 50) == []


EXPRESSIONS = st.sampled_from(["*/5 * * * *", "0 * * * *", "30 2 * * *", "*/20 2-4 * * *", "0 2 25-29 * *"])
STARTED = st.lists(st.tuples(st.integers(0, 3 * D), st.integers(0, 2 * H)), max_size=25)


def judged(expectation: Expectation, outages: Outages, now: int) -> Verdict:
    expectation.advance(now, outages)
    return msgspec.structs.replace(expectation.verdict(now), last_missed=None)


def life_with(seen: dict[str, int], *given: object) -> Expectation:
    found = Expectation(*given)  # type: ignore[arg-type]
    for name, start in seen.items():
        found.started(name, start)
    return found


@settings(max_examples=80, deadline=None)
@given(EXPRESSIONS, STARTED, st.integers(0, 2 * H), st.sets(st.integers(0, 3 * D), max_size=4), st.integers(1, 6 * H))
def test_step_by_step_with_restarts_is_what_one_look_says(
    expression: str, started: list[tuple[int, int]], grace: int, restarts: set[int], away: int
) -> None:
    """Starts in any order, told late or not, with kills at any time: as looking once, at the end, at all that is stored."""
    begin = ms("2026-10-24T00:00Z")
    cron = parse(expression)
    told = sorted((begin + start + delay, f"r{n}", begin + start) for n, (start, delay) in enumerate(started))
    outages, seen = Outages(), dict[str, int]()
    life = Expectation(cron, BERLIN, grace, begin)
    alive = begin
    for tick in range(begin, begin + 3 * D, 11 * M):
        if any(begin + at <= tick < begin + at + away for at in restarts):
            continue
        if tick - alive > 11 * M:
            outages.add(alive, tick)
            life = life_with(seen, cron, BERLIN, grace, begin)
        alive = tick
        while told and told[0][0] <= tick:
            _, name, start = told.pop(0)
            life.started(name, start)
            seen[name] = start
        stepped = judged(life, outages, tick)
        assert 0 <= stepped.missed + stepped.unobserved <= MOST and (stepped.next is None or stepped.next > tick)
        if stepped.due is not None and any(start >= stepped.due for start in seen.values()):
            assert stepped.missed == stepped.unobserved == 0, "a run since the newest moment: nothing is missing"
    assert judged(life_with(seen, cron, BERLIN, grace, begin), outages, alive) == judged(life, outages, alive)


def test_utc_is_always_there() -> None:
    assert zone("UTC") is UTC
