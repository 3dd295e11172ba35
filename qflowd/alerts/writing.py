"""A rule as people write it in a file: only what differs from the defaults, durations as text."""

from __future__ import annotations

from typing import Any

from qflowd import units
from qflowd.alerts.rule import KEYS
from qflowd.model import Rule

_DURATIONS = frozenset({"for", "keep_firing_for", "cooldown", "interval", "query_offset"})


def written(rule: Rule) -> dict[str, Any]:
    """The mapping from which ``parse_rule`` makes the rule again, wherever it came from."""
    plain = Rule(id="", name="", condition="")
    found: dict[str, Any] = {"id": rule.id}
    for key in KEYS[1:]:
        field = "for_" if key == "for" else key
        value = getattr(rule, field)
        if value != getattr(plain, field) and not (key == "name" and value == rule.record):
            found[key] = units.written(value) if key in _DURATIONS else list(value) if isinstance(value, tuple) else value
    return found
