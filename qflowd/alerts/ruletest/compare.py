"""What a test wanted beside what there was."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from qflowd.alerts.ruletest.cases import Expected, Path

Sample = tuple[Mapping[str, str], float]
SHOWN = 20
"""Alerts or samples that one failure shows."""


@dataclass(frozen=True)
class Failure:
    """An expectation that does not hold, or a rule that cannot be evaluated; ``path`` is where it stands in the file."""

    path: Path
    message: str


def alerts_differ(wanted: Sequence[Expected], got: Sequence[Expected]) -> str:
    """How the alerts differ, "" where they do not; their order does not count."""
    missing, extra = _without(wanted, got), _without(got, wanted)
    if not missing and not extra:
        return ""
    return _told([_alert(one) for one in missing], [_alert(one) for one in extra], len(wanted) - len(missing))


def samples_differ(wanted: Sequence[Sample], got: Sequence[Sample], *, fuzzy: bool) -> str:
    """How the samples differ, "" where they do not. NaN is equal to nothing; ``fuzzy``: neighbouring floats are equal."""
    rest = list(got)
    missing = []
    for labels, value in wanted:
        found = next((one for one in rest if one[0] == labels and equal(value, one[1], fuzzy=fuzzy)), None)
        if found is None:
            missing.append((labels, value))
        else:
            rest.remove(found)
    if not missing and not rest:
        return ""
    return _told([_sample(*one) for one in missing], [_sample(*one) for one in rest], len(wanted) - len(missing))


def equal(a: float, b: float, *, fuzzy: bool) -> bool:
    """Whether two values are the same."""
    return a == b or (fuzzy and b in (math.nextafter(a, -math.inf), math.nextafter(a, math.inf)))


def _without(some: Iterable[Expected], others: Iterable[Expected]) -> list[Expected]:
    rest, found = list(others), []
    for one in some:
        if one in rest:
            rest.remove(one)
        else:
            found.append(one)
    return found


def _told(missing: list[str], extra: list[str], right: int) -> str:
    lines = [f"  expected: {one}" for one in missing[:SHOWN]] + [f"  got:      {one}" for one in extra[:SHOWN]]
    hidden = max(len(missing) - SHOWN, 0) + max(len(extra) - SHOWN, 0)
    if not missing:
        lines.insert(0, "  expected: nothing" + (" else" if right else ""))
    if not extra:
        lines.append("  got:      nothing" + (" else" if right else ""))
    return "\n".join([*lines, *([f"  and {hidden} more"] if hidden else [])])


def _alert(one: Expected) -> str:
    return shown(one.labels) + (f" with {shown(one.annotations)}" if one.annotations else "")


def _sample(labels: Mapping[str, str], value: float) -> str:
    name = labels.get("__name__", "")
    return f"{name}{shown({key: text for key, text in labels.items() if key != '__name__'})} {value!r}"


def shown(labels: Mapping[str, str]) -> str:
    """``{a="b"}``"""
    return "{" + ", ".join(f"{key}={json.dumps(text, ensure_ascii=False)}" for key, text in sorted(labels.items())) + "}"
