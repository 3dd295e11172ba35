"""Where a rule stands at this moment, for whoever asks why."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from qflowd.alerts import contact as contacts
from qflowd.alerts.entry import Entry
from qflowd.alerts.keep import Contact, Life
from qflowd.model import Reason, Rule
from qflowd.model.explanation import Standing, Waiting

if TYPE_CHECKING:
    from qflowd.series.store import SeriesStore

ALERTS = 100
"""Alerts of one rule that are shown."""


def state(entry: Entry | None) -> str:
    """The worst of the alerts of a rule."""
    states = {life.alert.status for life in entry.kept.lives.values()} if entry is not None else set()
    return next((one for one in ("firing", "acknowledged", "pending") if one in states), "inactive")


def standing(entry: Entry, store: SeriesStore, gates: Sequence[contacts.Gate], now: int) -> Standing:
    """What is known of a rule at ``now``."""
    rule, kept = entry.rule, entry.kept
    shown = islice(kept.lives.items(), ALERTS)
    return Standing(
        rule_id=rule.id,
        time=now,
        state=state(entry),
        last_value=entry.last_value,
        last_evaluation=entry.last_evaluation,
        error=entry.error,
        inputs=entry.inputs(store, now, {}),
        alerts=[Waiting(life.alert, waits(rule, life, kept.contacts.get(key), gates, now)) for key, life in shown],
    )


def waits(rule: Rule, life: Life, contact: Contact | None, gates: Sequence[contacts.Gate], now: int) -> list[Reason]:
    """What ``life`` waits for."""
    if life.alert.status == "pending":
        return [Reason("for", "the condition has to hold on until then", life.alert.starts_at + rule.for_)]
    found = []
    if life.cleared_at is not None:
        found.append(Reason("keep_firing_for", "the condition holds no more; it fires on", life.cleared_at + rule.keep_firing_for))
    if contact is not None and not contact.told:
        found += contacts.against(rule, contact, life.alert, gates, now)
    return found
