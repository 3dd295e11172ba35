"""What a reload changes, or would change: rules with what becomes of their alerts, and settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from qflowd.alerts.versions import differences, effect
from qflowd.config import Config, public_view
from qflowd.model import Rule

_ABSENT = object()


def difference(before: Config, rules_before: Mapping[str, Rule], after: Config, rules_after: Mapping[str, Rule]) -> dict[str, Any]:
    """``rules`` (ids that are ``added``, ``removed``, ``changed``), ``details`` of each, and ``settings``.

    A detail: ``{id, change, effect, source, was, fields: [{path, before, after}]}``; see ``alerts.versions.effect``.
    """
    details = []
    kinds: dict[str, list[str]] = {"added": [], "removed": [], "changed": []}
    for rule_id in sorted({*rules_before, *rules_after}):
        old, new = rules_before.get(rule_id), rules_after.get(rule_id)
        fields = differences(old, new)
        if not fields:
            continue
        change = "added" if old is None else "removed" if new is None else "changed"
        kinds[change].append(rule_id)
        detail = {"id": rule_id, "change": change, "effect": effect(old, new), "fields": fields if change == "changed" else []}
        places = {"source": new.source if new is not None else None, "was": old.source if old is not None else None}
        details.append(msgspec.to_builtins(detail | places))
    return {"rules": kinds, "details": details, "settings": settings(before, after)}


def settings(before: Config, after: Config) -> list[dict[str, Any]]:
    """The keys whose values differ, with both values; of secrets and of channels only that they differ."""
    old, new = _flat(public_view(before)), _flat(public_view(after))
    found = [
        {"path": key, "before": old.get(key), "after": new.get(key)}
        for key in {**old, **new}
        if old.get(key, _ABSENT) != new.get(key, _ABSENT)
    ]
    shown = {one["path"] for one in found}
    for name in sorted({*before.channels} & {*after.channels}):
        if before.channels[name] != after.channels[name] and f"channels.{name}.type" not in shown:
            found.append({"path": f"channels.{name}", "before": "(not shown)", "after": "(not shown)"})
    return found


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {path: value}
    found: dict[str, Any] = {}
    for key, below in value.items():
        found |= _flat(below, f"{path}.{key}" if path else str(key))
    return found
