"""One evaluation of one alerting rule: from the elements that hold to what changes. Pure: no clock, no store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from qflowd.alerts import contact as contacts
from qflowd.alerts.keep import CONTACTS, Contact, Kept, Life, asks, dress
from qflowd.alerts.template import Surroundings
from qflowd.model import Alert, AlertStatus, Decision, Input, Reason, Rule, Transition

NEVER = 1 << 62
Kind = Literal["transition", "notification", "restart"]


class Step:
    """Moves the alerts of ``rule`` on to ``now``, changing ``kept`` in place.

    ``ids(time)`` gives names; ``inputs(labels)`` the series behind an element with these labels, for the trace.
    ``around``: what texts see beside their alert.
    ``urgent`` says that a timer or a status changed, ``soft`` that only a value or a text did.
    """

    def __init__(
        self,
        rule: Rule,
        kept: Kept,
        now: int,
        *,
        ids: Callable[[int], str],
        gates: Sequence[contacts.Gate],
        inputs: Callable[[Mapping[str, str]], list[Input]],
        around: Surroundings,
    ) -> None:
        self.rule, self.kept, self.now = rule, kept, now
        self._ids, self._gates, self._inputs, self.around = ids, gates, inputs, around
        self.transitions: list[Transition] = []
        self.decisions: list[Decision] = []
        self.urgent = self.soft = False

    def holds(self, key: str, labels: dict[str, str], series: dict[str, str], value: float | None) -> None:
        """The condition holds for the label set ``labels``, named ``key``."""
        rule, now = self.rule, self.now
        life = self.kept.lives.get(key)
        if life is None:
            alert = Alert(self._ids(now), key, rule.id, rule.name, rule.severity, rule.condition, labels, {}, value,
                          "pending", now)  # fmt: skip
            life = self.kept.lives[key] = Life(alert, series)
            dress(rule, life, self.around)
            self.urgent = True
            if rule.for_ > 0:
                self._told(life, alert, None, None, [], "the condition holds: pending")
            else:
                self._fire(life, None)
            return
        if life.cleared_at is not None:
            life.cleared_at, self.urgent = None, True
        if life.alert.value != value and (value == value or life.alert.value == life.alert.value):
            life.alert.value, life.series, self.soft = value, series, True
            dress(rule, life, self.around)
        elif asks(rule):
            before = life.alert.annotations
            dress(rule, life, self.around)
            self.soft = self.soft or life.alert.annotations != before
        if life.alert.status == "pending" and now - life.alert.starts_at >= rule.for_:
            self._fire(life, "pending")

    def clears(self, key: str, life: Life, stays: bool) -> None:
        """The condition does not hold for an alert; ``stays``: hysteresis keeps it."""
        if life.alert.status != "pending":
            if stays:
                self.urgent = self.urgent or life.cleared_at is not None
                life.cleared_at = None
                return
            if life.cleared_at is None:
                life.cleared_at = self.now
                self.urgent = self.urgent or self.rule.keep_firing_for > 0
            if self.now - life.cleared_at < self.rule.keep_firing_for:
                return
        del self.kept.lives[key]
        self.resolve(life, "the condition holds no more")

    def resolve(self, life: Life, text: str) -> None:
        """An alert ends; whoever was told of it is told that, unless it flaps."""
        self.urgent = True
        before = life.alert.status
        alert = msgspec.structs.replace(life.alert, status="resolved", ends_at=self.now)
        if before == "pending":
            self._told(life, alert, before, None, [], text)
            return
        contact = self._contact(alert.fingerprint)
        reasons: list[Reason] = []
        notify = contact.told
        if contacts.change(contact, self.now):
            alert.flapping = notify = True
            reasons = [contacts.begins_to_flap()]
        elif contact.flapping:
            alert.flapping = True
            reasons = [contacts.flapping(contact)]
            contact.owed = alert if contact.told else None
            notify = False
        elif not notify:
            reasons = [Reason("untold", "its firing was not told")]
        if notify:
            contact.told, contact.owed = False, None
        contact.held = ""
        self._told(life, alert, before, notify, reasons, text)

    def mark(self, life: Life, status: AlertStatus, by: str | None, comment: str | None) -> Transition:
        """Acknowledge, or take that back; whoever was told that it fires hears of it."""
        before, alert = life.alert.status, life.alert
        alert.status, alert.acknowledged_by, alert.comment, self.urgent = status, by, comment, True
        contact = self._contact(alert.fingerprint)
        if not contact.told:
            contact.held = ",".join(one.stage for one in contacts.against(self.rule, contact, alert, self._gates, self.now))
        self._told(None, alert, before, contact.told, [], f"acknowledged by {by}" if by is not None else "no longer acknowledged")
        return self.transitions[-1]

    def restarted(self, life: Life, downtime: int) -> None:
        """A pending alert that begins again after a long downtime."""
        life.alert.starts_at, self.urgent = self.now, True
        text = f"qflowd was away for {downtime // 60_000} minutes: pending begins again"
        self._decide(life, life.alert, "pending", None, [], text, "restart")

    def finish(self) -> None:
        """What follows from time alone: flapping ends, what was held goes out, what is over is forgotten."""
        for key, contact in list(self.kept.contacts.items()):
            life = self.kept.lives.get(key)
            if contacts.settles(contact, self.now):
                self._stable(contact, life)
            if life is not None:
                self._hold_back(life, contact)
            elif contacts.forgettable(self.rule, contact, self.now):
                del self.kept.contacts[key]
                self.soft = True

    def wake(self) -> int:
        """When time alone can change something next; ``NEVER`` where it cannot."""
        rule, found = self.rule, NEVER
        for key, life in self.kept.lives.items():
            if life.alert.status == "pending":
                found = min(found, life.alert.starts_at + rule.for_)
            elif life.cleared_at is not None:
                found = min(found, life.cleared_at + rule.keep_firing_for)
            contact = self.kept.contacts.get(key)
            if contact is not None and not contact.told and life.alert.status == "firing":
                cooled = contact.sent_at + rule.cooldown if contact.sent_at is not None else 0
                stable = contact.changes[-1] + contacts.STABLE if contact.flapping else 0
                found = min(found, max(cooled, stable))
        for key, contact in self.kept.contacts.items():
            if contact.flapping:
                found = min(found, contact.changes[-1] + contacts.STABLE)
            elif key not in self.kept.lives:
                found = min(found, contacts.expiry(rule, contact))
        return found

    def _contact(self, key: str) -> Contact:
        known = self.kept.contacts
        found = known.get(key)
        if found is None:
            if len(known) >= CONTACTS:
                old = next((one for one in known if one not in self.kept.lives), None)
                if old is not None:
                    del known[old]
            found = known[key] = Contact()
        return found

    def _fire(self, life: Life, before: AlertStatus | None) -> None:
        alert = life.alert
        alert.status, alert.fired_at, self.urgent = "firing", self.now, True
        contact = self._contact(alert.fingerprint)
        contact.owed = None
        begun = contacts.change(contact, self.now)
        alert.flapping = contact.flapping
        if begun:
            against = contacts.gated(self._gates, alert, self.now)
            reasons = against or [contacts.begins_to_flap()]
        else:
            # Its last alert was told and its resolve is still held: nothing is left to tell of this one.
            known = [Reason("told", "told before it flapped")] if contact.told else []
            against = reasons = known or contacts.against(self.rule, contact, alert, self._gates, self.now)
        if not against:
            contact.told, contact.sent_at = True, self.now
        contact.held = "" if contact.told else ",".join(one.stage for one in against)
        text = "the condition has held long enough: firing" if before else "the condition holds: firing"
        self._told(life, alert, before, not against, reasons, text)

    def _hold_back(self, life: Life, contact: Contact) -> None:
        """A firing that was not told: send it where nothing is against it any more."""
        alert = life.alert
        if contact.told or alert.status not in ("firing", "acknowledged"):
            return
        against = contacts.against(self.rule, contact, alert, self._gates, self.now)
        held = ",".join(one.stage for one in against)
        if not against:
            contact.told, contact.sent_at, contact.held, self.urgent = True, self.now, "", True
            self._told(life, alert, alert.status, True, [], "nothing holds the notification back any more: it is sent", kind="notification")
        elif held != contact.held:
            contact.held, self.soft = held, True
            self._decide(life, alert, alert.status, False, against, "the notification is held back", "notification")

    def _stable(self, contact: Contact, life: Life | None) -> None:
        self.urgent = True
        if life is not None:
            life.alert.flapping = False
            self._decide(life, life.alert, life.alert.status, None, [], "stable for 5m: it no longer flaps", "notification")
        elif contact.owed is not None:
            alert, contact.owed, contact.told = contact.owed, None, False
            alert.flapping = False
            self._told(None, alert, "resolved", True, [], "stable for 5m: its resolve is sent", kind="notification")

    def _told(
        self,
        life: Life | None,
        alert: Alert,
        before: AlertStatus | None,
        notify: bool | None,
        reasons: list[Reason],
        text: str,
        *,
        kind: Kind = "transition",
    ) -> None:
        self.transitions.append(Transition(msgspec.structs.replace(alert), before, self.now, bool(notify)))
        self._decide(life, alert, before, notify, reasons, text, kind)

    def _decide(
        self,
        life: Life | None,
        alert: Alert,
        before: AlertStatus | None,
        notify: bool | None,
        reasons: list[Reason],
        text: str,
        kind: Kind,
    ) -> None:
        self.decisions.append(
            Decision(
                id=self._ids(self.now),
                time=self.now,
                rule_id=self.rule.id,
                kind=kind,
                text=text,
                alert_id=alert.id,
                fingerprint=alert.fingerprint,
                labels=alert.labels,
                before=before,
                after=alert.status,
                value=alert.value,
                inputs=self._inputs(life.series) if life is not None else [],
                notify=notify,
                reasons=reasons,
            )
        )
