"""Evaluates the facts of ``promql.jsonl`` and says where qflowd disagrees with Prometheus."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from qflowd.series.history import History
from qflowd.series.promql import PromQLError, compile
from qflowd.series.promql.answer import query_range
from qflowd.series.promql.run import Run
from tests.corpus.facts import FACTS, expanded

Fact = dict[str, Any]
REFUSED = "refused"


@dataclass
class Verdict:
    """``problem``: empty where the outcome is Prometheus's, else what is different; ``refused`` where the query cannot be compiled."""

    fact: Fact
    problem: str = ""
    refused: bool = False


@cache
def corpus() -> tuple[str, list[Fact], dict[int, History], dict[str, int]]:
    """The commit, the evaluations, the worlds by number, and what is skipped, by file."""
    commit, facts, worlds, skipped = "", [], {}, {}
    for line in FACTS.read_text().splitlines():
        fact = json.loads(line)
        if "source" in fact:
            facts.append(fact)
        elif "series" in fact:
            worlds[fact["world"]] = filled(fact["series"])
        else:
            commit, skipped = fact.get("commit", commit), fact.get("skipped", skipped)
    return commit, facts, worlds, skipped


def filled(series: list[list[Any]]) -> History:
    """A history with these series: (labels, interval in ms, values as text)."""
    points: dict[Any, dict[int, float | None]] = {}
    for labels, interval, values in series:
        into = points.setdefault(frozenset(labels.items()), {})
        for n, value in enumerate(expanded(values)):
            if value is not None:
                into[n * interval] = None if value == "stale" else float(value)
    history = History()
    for key, held in points.items():
        own = dict(key)
        name = own.pop("__name__", "")
        for time in sorted(held):
            history.track(name, own).add(time, held[time])
    return history


def judge() -> Iterator[Verdict]:
    """A verdict on each evaluation."""
    _, facts, worlds, _ = corpus()
    for fact in facts:
        yield verdict(fact, worlds[fact["world"]])


def verdict(fact: Fact, world: History) -> Verdict:
    try:
        query = compile(fact["query"], whole=True)
    except PromQLError as error:
        told = Verdict(fact, f"refused: {error}", refused=True)
        return Verdict(fact) if fact.get("fails") and "not supported" not in str(error) else told
    run = Run(world, fact["at"], fact["at"]) if "at" in fact else Run(world, fact["start"], fact["end"], fact["step"])
    try:
        if query.kind == "string":
            return Verdict(fact, "" if query.string == fact.get("string") else f"got the string {query.string!r}")
        if query.kind == "matrix":
            return Verdict(fact, _rows(fact, query.matrix(run, fact["at"]), *fact.get("points", (0, 1))) or _remarks(fact, run))
        if "at" not in fact:
            return Verdict(fact, _rows(fact, query_range(query, run), fact["start"], fact["step"]) or _remarks(fact, run))
        value = query.instant(run, fact["at"])
    except PromQLError as error:
        return Verdict(fact, "" if fact.get("fails") else f"failed: {error}")
    if fact.get("fails"):
        return Verdict(fact, f"expected a failure, got {value}")
    return Verdict(fact, _instant(fact, value) or _remarks(fact, run) or _steady(fact, value, world))


def _steady(fact: Fact, value: Any, world: History) -> str:
    """Asked over a range, the middle of it has the same elements; functions of the range itself excepted."""
    if not isinstance(value, list) or any(word in fact["query"] for word in ("start()", "end()", "range()", "step()")):
        return ""
    try:
        rows = query_range(compile(fact["query"]), Run(world, fact["at"] - 60_000, fact["at"] + 60_000, 60_000))
    except PromQLError:
        return ""
    found = {frozenset(row.labels.items()): one for row in rows for time, one in zip(row.times, row.values, strict=True) if time == fact["at"]}
    same = len(found) == len(value) and all(_close(found.get(frozenset(labels.items()), math.inf), one) for labels, one in value)
    return "" if same else f"over a range it is {found}, at the instant {value}"


def _instant(fact: Fact, value: Any) -> str:
    if "scalar" in fact:
        return "" if not isinstance(value, list) and _close(value, float(fact["scalar"])) else f"got {value}, expected {fact['scalar']}"
    expected = [(labels, float(one)) for labels, one in fact.get("vector", ())]
    if not isinstance(value, list):
        return f"got the scalar {value}, expected {expected}"
    if not fact.get("ordered"):
        expected, value = (sorted(vector, key=lambda one: sorted(one[0].items())) for vector in (expected, value))
    if len(expected) == len(value) and all(a[0] == b[0] and _close(a[1], b[1]) for a, b in zip(value, expected, strict=True)):
        return ""
    return f"got {value}, expected {expected}"


def _rows(fact: Fact, rows: Any, start: int, step: int) -> str:
    if fact.get("fails"):
        return f"expected a failure, got {rows}"
    expected = {}
    for labels, values in fact.get("matrix", ()):
        at = {start + n * step: one for n, one in enumerate(expanded(values)) if one is not None}
        if at:
            expected[frozenset(labels.items())] = at
    found = {frozenset(row.labels.items()): dict(zip(row.times, row.values, strict=True)) for row in rows}
    if found.keys() == expected.keys() and all(
        found[key].keys() == expected[key].keys() and all(_close(found[key][at], expected[key][at]) for at in found[key]) for key in found
    ):
        return ""
    return f"got {found}, expected {expected}"


def _remarks(fact: Fact, run: Run) -> str:
    for name, remarks in (("warn", run.warnings), ("info", run.infos)):
        if name in fact and fact[name] != bool(remarks):
            return f"remarks ({name}): {list(remarks)}, expected {fact[name]}"
    return ""


def _close(a: float, b: float) -> bool:
    """As Prometheus compares: to a millionth."""
    return (a != a and b != b) or a == b or abs(a - b) <= 1e-6 * min(max(abs(a) + abs(b), 1e-300), 1.7e308)
