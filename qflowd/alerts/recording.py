"""Recording rules: the value of an expression written as a series, and its end marked where it vanishes."""

from __future__ import annotations

from qflowd.alerts.keep import Kept
from qflowd.model import Rule, Sample
from qflowd.series.promql import PromQLError, Vector


def record(rule: Rule, kept: Kept, elements: Vector, now: int) -> tuple[list[Sample], bool]:
    """The samples of one evaluation, with a staleness marker for each series that the last one wrote and this one does not;
    and whether the set of series changed. Raises PromQLError where two elements get the same labels."""
    found: dict[frozenset[tuple[str, str]], Sample] = {}
    for series, value in elements:
        labels = {key: text for key, text in (series | rule.labels).items() if text and key != "__name__"}
        key = frozenset(labels.items())
        if key in found:
            raise PromQLError("two elements of the result have the same labels once those of the rule are on them")
        found[key] = Sample(rule.record, labels, now, value)
    if rule.limit and len(found) > rule.limit:
        raise PromQLError(f"the rule gives {len(found)} series, its limit is {rule.limit}")
    gone = [labels for labels in kept.recorded if frozenset(labels.items()) not in found]
    changed = bool(gone) or len(found) != len(kept.recorded)
    if changed:
        kept.recorded = [one.labels for one in found.values()]
    return [*found.values(), *ended(rule.record, gone, now)], changed


def ended(name: str, series: list[dict[str, str]], now: int) -> list[Sample]:
    """Staleness markers for these label sets."""
    return [Sample(name, labels, now, None) for labels in series]
