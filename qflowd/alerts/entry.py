"""A rule in the engine: compiled, with what is kept of it and what it was last seen to say."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from qflowd.alerts.keep import Kept, fingerprint, identity, labelled
from qflowd.alerts.step import NEVER
from qflowd.alerts.template import Surroundings
from qflowd.model import Input, Rule
from qflowd.series.promql import Query, Vector, compile
from qflowd.series.promql.binary import COMPARISONS
from qflowd.series.promql.value import bare

if TYPE_CHECKING:
    from qflowd.series.store import Series, SeriesStore

KNOWN = 2_000
SHOWN = 10
"""Series that one decision names as its inputs."""
LOOKED_AT = 1_000

compiled = lru_cache(20_000)(compile)
"""Queries are kept, so that a reload compiles only what it has not seen."""


class Entry:
    """One rule. ``position`` is its place in the order of evaluation; ``wake`` when time alone may change something;
    ``rests`` while it has no alert, no error and nothing to remember."""

    __slots__ = (
        "_names", "absent", "better", "compare", "constant", "dynamic", "error", "kept", "last_evaluation", "last_value", "position",
        "query", "queued", "reads", "resolve", "rests", "rule", "selected", "single", "timed", "wake"
    )  # fmt: skip

    def __init__(self, rule: Rule, kept: Kept | None = None) -> None:
        self.rule = rule
        self.kept = kept or Kept(identity(rule))
        self.query = compiled(rule.condition)
        depends = self.query.inputs
        self.resolve: Query | None = None
        self.reads, self.timed = depends.reads, depends.timed or rule.query_offset > 0 or bool(rule.record)
        if rule.resolve_when is not None:
            self.resolve = compiled(rule.resolve_when)
            more = self.resolve.inputs
            self.reads, self.timed = self.reads + more.reads, self.timed or more.timed
        simple = depends.comparison if not rule.record and not rule.query_offset and rule.resolve_when is None else None
        symbol, self.constant = simple or ("", 0.0)
        self.compare = COMPARISONS.get(symbol)
        self.better = operator.lt if symbol[:1] == "<" else operator.gt if symbol[:1] == ">" else None
        self.dynamic = any("{{" in text for text in rule.labels.values())
        self.selected: list[Series] | None = None
        self.single = False
        self.position = self.queued = 0
        self.wake = NEVER
        self.last_value: float | None = None
        self.last_evaluation: int | None = None
        self.error: str | None = None
        self.absent = False
        self.rests = self.kept.empty()
        self._names: dict[frozenset[tuple[str, str]], tuple[str, dict[str, str]]] = {}

    def name(self, series: dict[str, str], value: float | None, around: Surroundings) -> tuple[str, dict[str, str]]:
        """Fingerprint and labels of the alert of an element."""
        if self.dynamic:
            labels = labelled(self.rule, series, value, around)
            return fingerprint(self.rule.id, labels), labels
        key = frozenset(series.items())
        found = self._names.get(key)
        if found is None:
            if len(self._names) >= KNOWN:
                self._names.clear()
            labels = labelled(self.rule, series, value)
            found = self._names[key] = fingerprint(self.rule.id, labels), labels
        return found

    def quiet(self, now: int) -> bool:
        """Whether a resting rule that compares one selector with a number goes on resting at ``now``: most rules, most of the
        time, so that this costs next to nothing. Says nothing of any other rule."""
        compare, constant, best = self.compare, self.constant, None
        if not self.rests or compare is None or self.selected is None:
            return False
        for series in self.selected:
            value = series.at(now)
            if value is None:
                continue
            if compare(value, constant):
                return False
            if best is None or best != best or (self.better is not None and self.better(value, best)):
                best = value
        if best is None and self.rule.no_data != "ok":
            return False
        self.last_value, self.last_evaluation = best, now
        return True

    def inputs(self, store: SeriesStore, now: int, labels: Mapping[str, str]) -> list[Input]:
        """The series behind an element with ``labels``: those that the rule reads and that do not contradict them."""
        found = islice(self.behind(store, labels), SHOWN)
        return [Input(one.name, one.labels, one.at(now - self.rule.query_offset)) for one in found]

    def behind(self, store: SeriesStore, labels: Mapping[str, str]) -> Iterator[Series]:
        """Series that the rule reads and that agree with ``labels``, looked for among the first ``LOOKED_AT`` of a selector."""
        if len(self.reads) == 1 and (exact := store.get(labels.get("__name__", ""), bare(dict(labels)))) is not None:
            yield exact
            return
        seen: set[Series] = set()
        for read in self.reads:
            for series in islice(store.scan(read.name, read.matchers), LOOKED_AT):
                if series not in seen and agree(labels, series.labels):
                    seen.add(series)
                    yield series


def elements(value: float | Vector) -> Vector:
    """A scalar is one element without labels, whatever its value: as in Prometheus, ``time() > bool 5`` always holds."""
    return value if isinstance(value, list) else [({}, value)]


def agree(labels: Mapping[str, str], series: Mapping[str, str]) -> bool:
    """Whether no label of the one contradicts the other."""
    return all(series.get(key, value) == value for key, value in labels.items() if key != "__name__")
