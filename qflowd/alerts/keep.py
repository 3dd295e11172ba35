"""What is kept of a rule: its alerts with their timers. Times and durations are milliseconds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from qflowd.alerts.template import NOWHERE, Surroundings, render
from qflowd.model import Alert, Rule

CONTACTS = 5_000
"""Label sets of one rule whose notifications are remembered. Only a label made from a value can reach it."""


class Life(msgspec.Struct, omit_defaults=True):
    """An alert that is not resolved. ``series``: the labels that its condition gave; ``cleared_at``: since when the condition
    no longer holds while ``keep_firing_for`` or a notification keeps it."""

    alert: Alert
    series: dict[str, str]
    cleared_at: int | None = None


class Contact(msgspec.Struct, omit_defaults=True):
    """What was told of one label set, over all its alerts.

    ``sent_at``: when its last firing went out. ``told``: the last that went out says that it fires. ``changes``: when it
    last began to fire or was resolved, the oldest first. ``owed``: the resolved alert whose resolve is held back.
    ``held``: the stages that hold its firing back, as they were last written to the trace.
    """

    sent_at: int | None = None
    told: bool = False
    changes: list[int] = []
    flapping: bool = False
    owed: Alert | None = None
    held: str = ""


class Kept(msgspec.Struct, omit_defaults=True):
    """The state of one rule; by fingerprint. ``recorded``: the label sets that a recording rule wrote last."""

    identity: str
    lives: dict[str, Life] = {}
    contacts: dict[str, Contact] = {}
    recorded: list[dict[str, str]] = []

    def empty(self) -> bool:
        """Whether there is nothing to remember."""
        return not (self.lives or self.contacts or self.recorded)


def identity(rule: Rule) -> str:
    """Equal while an alert of the rule may be kept: what it watches and its timers, not its texts."""
    parts = (rule.condition, rule.for_, rule.keep_firing_for, rule.resolve_when, rule.no_data, rule.enabled, rule.record,
             rule.query_offset)  # fmt: skip
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def fingerprint(rule_id: str, labels: Mapping[str, str]) -> str:
    """The name of a rule with one label set."""
    return hashlib.sha256(repr((rule_id, sorted(labels.items()))).encode()).hexdigest()[:16]


def labelled(rule: Rule, series: Mapping[str, str], value: float | None, around: Surroundings = NOWHERE) -> dict[str, str]:
    """The labels of an alert: those of the series, the rule's own, and ``alertname``; an empty one is none."""
    found = {key: text for key, text in series.items() if key != "__name__"}
    for key, text in rule.labels.items():
        found[key] = render(text, series, value, around)
    found["alertname"] = rule.name
    return {key: text for key, text in found.items() if text}


def asks(rule: Rule) -> bool:
    """Whether a text of the rule may change while the value of its alert does not: it asks for other series."""
    return any("{{" in text and "query" in text for text in rule.annotations.values())


def dress(rule: Rule, life: Life, around: Surroundings) -> None:
    """Put the rule's texts on an alert; ``around``: what they see beside it."""
    alert = life.alert
    alert.name, alert.severity, alert.condition = rule.name, rule.severity, rule.condition
    alert.labels = labelled(rule, life.series, alert.value, around)
    alert.annotations = {key: render(text, life.series, alert.value, around) for key, text in rule.annotations.items()}


def redress(rule: Rule, kept: Kept, around: Surroundings) -> None:
    """Put the rule's texts on all its alerts; timers and what was told go along under the names of the new labels."""
    lives, kept.lives = kept.lives, {}
    moved: dict[str, Contact] = {}
    for key, life in lives.items():
        dress(rule, life, around)
        name = life.alert.fingerprint = fingerprint(rule.id, life.alert.labels)
        kept.lives.setdefault(name, life)
        if key in kept.contacts:
            moved.setdefault(name, kept.contacts.pop(key))
    kept.contacts |= moved
