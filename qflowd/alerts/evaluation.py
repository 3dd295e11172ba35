"""One evaluation of one rule: from its query to the alerts that hold or clear, or to the series that it records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from qflowd.alerts.entry import Entry, agree, elements
from qflowd.alerts.keep import Life
from qflowd.alerts.recording import record
from qflowd.alerts.step import Step
from qflowd.series import LOOKBACK
from qflowd.series.promql import PromQLError

if TYPE_CHECKING:
    from qflowd.series.store import Series, SeriesStore


class Gaps:
    """Series that ended because nothing measured them while qflowd was away: the time of that marker, by series. An alert
    all of whose inputs are among them stays as it is until they come back, 5 minutes after ``now`` at most."""

    def __init__(self, markers: Mapping[Series, int], now: int) -> None:
        self._markers = markers
        self.end = now + LOOKBACK if markers else 0

    def hide(self, entry: Entry, life: Life, store: SeriesStore, now: int) -> bool:
        """Whether nothing is known yet of what ``life`` rests on."""
        if now >= self.end:
            return False
        behind = list(entry.behind(store, life.series))
        return bool(behind) and all(self._markers.get(one) == one.newest for one in behind)


def watch(entry: Entry, store: SeriesStore, now: int, step: Step, gaps: Gaps, note: Callable[[str], None]) -> None:
    """Evaluate an alerting rule at ``now``. Raises PromQLError where its query says nothing; alerts are untouched then."""
    rule, kept, at = entry.rule, entry.kept, now - entry.rule.query_offset
    result, entry.last_value = entry.query.watch(store, at)
    holding: list[tuple[dict[str, str], float | None]] = [*elements(result)]
    released = entry.resolve.evaluate(store, at) if entry.resolve is not None and kept.lives else []
    # Of a scalar, true and false are what can be meant here.
    clear = released if isinstance(released, list) else [({}, released)] if released else []
    asked = rule.no_data != "ok" or entry.resolve is not None
    absent = not holding and asked and not entry.query.has_input(store, at)
    if absent is not entry.absent and rule.no_data != "ok":
        words = {"keep": "alerts stay as they are", "alert": "that is an alert"}[rule.no_data]
        note(f"the condition has no input: {words}" if absent else "the condition has input again")
    entry.absent = absent
    if absent and rule.no_data == "alert":
        holding = [(life.series, None) for life in kept.lives.values()] or [({}, None)]
    present: dict[str, tuple[dict[str, str], dict[str, str], float | None]] = {}
    for series, value in holding:
        key, labels = entry.name(series, value, step.around)
        if key in present:
            raise PromQLError("two elements of the result have the same labels once those of the rule are on them")
        present[key] = labels, series, value
    if rule.limit and len(present) > rule.limit:
        raise PromQLError(f"the rule gives {len(present)} alerts, its limit is {rule.limit}")
    for key, (labels, series, value) in present.items():
        step.holds(key, labels, series, value)
    if not (absent and rule.no_data == "keep"):
        for key, life in list(kept.lives.items()):
            if key not in present and not gaps.hide(entry, life, store, now):
                stays = entry.resolve is not None and not absent and not any(agree(one, life.series) for one, _ in clear)
                step.clears(key, life, stays)
    step.finish()


def write(entry: Entry, store: SeriesStore, now: int, step: Step) -> None:
    """Evaluate a recording rule at ``now`` and write its series. Raises PromQLError where that cannot be."""
    value = entry.query.evaluate(store, now - entry.rule.query_offset)
    vector = value if isinstance(value, list) else [({}, value)]
    samples, step.urgent = record(entry.rule, entry.kept, vector, now)
    entry.last_value = samples[0].value if len(vector) == 1 else None
    if not all([store.add(sample) for sample in samples]):
        raise PromQLError("the store takes no more series, or a newer point is there")
