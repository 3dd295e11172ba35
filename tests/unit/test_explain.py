"""The trace of a rule in pages: what memory has, then what only the journal has, each decision once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qflowd.alerts.engine import Engine
from qflowd.alerts.trace import PER_RULE, Trace, kept
from qflowd.daemon.explain import decisions
from qflowd.model import Decision, Reason, Rule, Sample
from qflowd.series.store import SeriesStore
from qflowd.storage import Batch, Storage

S = 1000


class Traced:
    """An engine whose decisions are put into a real journal, as the daemon does."""

    def __init__(self, storage: Storage, *rules: Rule) -> None:
        self.storage, self.engine, self.series = storage, Engine(rules), SeriesStore()
        self.all: list[Decision] = []

    def round(self, now: int, **values: float) -> None:
        for name, value in values.items():
            self.series.add(Sample("v", {"i": name}, now, value))
        for _ in self.engine.steps(self.series, now):
            pass
        found = self.engine.take().decisions
        self.all += found
        rows = [("decision", one.rule_id, one.time, msgspec.json.encode(one)) for one in found if kept(one)]
        self.storage.save(Batch(history=rows)).result()

    def pages(self, limit: int) -> Iterator[list[Decision]]:
        place: Any = (0, "")
        while place is not None:
            items, place = asyncio.run(decisions(self, "r", place, limit))  # type: ignore[arg-type]
            yield items


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    found = Storage(tmp_path, clock=lambda: 0)
    found.open()
    yield found
    found.close()


@pytest.mark.parametrize("limit", [1, 7, PER_RULE - 1, PER_RULE, PER_RULE + 1, 1000])
@pytest.mark.parametrize("restart", [False, True])
def test_pages_go_on_from_memory_into_the_journal(storage: Storage, limit: int, restart: bool) -> None:
    one = Traced(storage, Rule(id="r", name="R", condition="v > 5", cooldown=0), Rule(id="other", name="O", condition="v > 5"))
    # 80 alerts in one millisecond are more than memory has room for, and all of one time.
    for at in (S, 2 * S):
        one.round(at, **{f"i{n}": 9.0 if at == S else 1.0 for n in range(80)})
    if restart:
        one.engine = Engine([Rule(id="r", name="R", condition="v > 5", cooldown=0)])
        one.round(3 * S, i1=9.0)
    expected = [decision.id for decision in reversed(one.all) if decision.rule_id == "r"]
    pages = list(one.pages(limit))
    assert [decision.id for page in pages for decision in page] == expected
    assert all(len(page) <= limit for page in pages) and all(pages[:-1])


def test_memory_is_bounded_by_rule_and_in_all() -> None:
    trace = Trace(per_rule=3, total=10)
    for number in range(100):
        trace.add([Decision(id=f"{number:03}", time=number, rule_id=f"r{number % 5}", kind="evaluation", text="")])
        trace.add([Decision(id=f"{number:03}", time=number, rule_id="busy", kind="evaluation", text="")])
    held = [one for name in ("busy", *(f"r{n}" for n in range(5))) for one in trace.of(name)]
    assert len(held) <= 10 and len(trace._order) <= 20
    assert [one.id for one in trace.of("busy")] == ["099", "098", "097"]


def test_where_a_rule_stands() -> None:
    engine = Engine([Rule(id="r", name="R", condition="v > 5", for_=2 * S, keep_firing_for=5 * S, cooldown=60 * S)])
    store = SeriesStore()

    def at(now: int, value: float) -> Any:
        store.add(Sample("v", {"i": "1"}, now, value))
        engine.evaluate(store, now)
        found = engine.standing("r", store, now)
        assert found is not None
        return found

    first = at(S, 9)
    assert (first.state, first.last_value, [(one.name, one.value) for one in first.inputs]) == ("pending", 9, [("v", 9)])
    assert [(one.stage, one.until) for one in first.alerts[0].waits] == [("for", 3 * S)]
    at(2 * S, 9)
    assert at(3 * S, 9).alerts[0].waits == []
    clearing = at(4 * S, 1)
    assert (clearing.state, [(one.stage, one.until) for one in clearing.alerts[0].waits]) == ("firing", [("keep_firing_for", 9 * S)])
    assert at(9 * S, 1).alerts == []
    at(10 * S, 9)
    again = at(12 * S, 9)
    assert again.alerts[0].waits == [Reason("cooldown", "the last firing notification went out less than the cooldown ago", 63 * S)]
    assert engine.standing("nothing", store, S) is None
