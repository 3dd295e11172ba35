"""Versions of the rules of the API: what each change made of a rule, and how two of them differ."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from qflowd.alerts.keep import identity
from qflowd.model import Rule

UNSEEN = ("source", "version")
"""Keys of a rule that say where it came from, not what it does."""

Action = Literal["created", "changed", "rolledBack", "deleted"]


class RuleConflict(Exception):
    """The rule is no longer the one that was to be changed."""


class Version(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """One change. ``rule``: as it was from then on, ``None`` where it was deleted; ``replaced``: as it was until then, so that
    a change can be undone although the one before it is forgotten; ``of``: the version that was rolled back to."""

    version: int
    time: int
    author: str
    action: Action
    rule: Rule | None
    replaced: Rule | None = None
    of: int | None = None


class Difference(msgspec.Struct, frozen=True):
    """A key (camelCase; ``labels.team`` for one of several) with its value before and after; ``None`` where there is none."""

    path: str
    before: Any
    after: Any


def differences(before: Rule | None, after: Rule | None) -> list[Difference]:
    """What differs between two rules, in the order of their keys; where a rule came from does not count."""
    old, new = _flat(before), _flat(after)
    return [Difference(key, old.get(key), new.get(key)) for key in {**old, **new} if old.get(key) != new.get(key)]


def same(before: Rule, after: Rule) -> bool:
    """Whether two rules do the same."""
    return not differences(before, after)


def effect(before: Rule | None, after: Rule | None) -> Literal["begins", "ends", "goesOn", "beginsAgain"]:
    """What becomes of the alerts of a rule that changes: ``goesOn``: they and their timers stay; ``beginsAgain``: they resolve."""
    if before is None or after is None:
        return "begins" if before is None else "ends"
    return "goesOn" if identity(before) == identity(after) else "beginsAgain"


def _flat(rule: Rule | None) -> dict[str, Any]:
    if rule is None:
        return {}
    built: dict[str, Any] = msgspec.to_builtins(rule)
    found: dict[str, Any] = {}
    for key, value in built.items():
        if key in ("labels", "annotations"):
            found |= {f"{key}.{name}": text for name, text in value.items()}
        elif key not in UNSEEN:
            found[key] = value
    return found
