"""Whether somebody is told of an alert: cooldown, flapping, and the gates that other rooms put up.

An alert *flaps* from its seventh change (it begins to fire, or is resolved) within 15 minutes. That is told once, whatever
the cooldown says; further notifications are held until it is *stable*: 5 minutes without a change, twice the mean gap of one
that flaps. Then what still holds goes out: the firing if it fires and that was not told, the resolve if it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qflowd.alerts.keep import Contact
from qflowd.model import Alert, Reason, Rule

FLAP_WINDOW = 900_000
FLAP_CHANGES = 6
STABLE = 300_000

Gate = Callable[[Alert, int], Reason | None]
"""Asked before a firing notification goes out, with the alert and the time: why it has to wait, or ``None``. A silence, an
inhibition or a maintenance window is one. What a gate holds goes out when no gate holds it any more and it still fires."""


def change(contact: Contact, now: int) -> bool:
    """Count a change at ``now``; true where the alert begins to flap with it."""
    recent = [at for at in contact.changes if at > now - FLAP_WINDOW]
    contact.changes = [*recent[-FLAP_CHANGES:], now]
    if contact.flapping or len(contact.changes) <= FLAP_CHANGES:
        return False
    contact.flapping = True
    return True


def settles(contact: Contact, now: int) -> bool:
    """End the flapping of an alert that has been stable; true where it ended."""
    if not contact.flapping or now < contact.changes[-1] + STABLE:
        return False
    contact.flapping = False
    return True


def flapping(contact: Contact) -> Reason:
    return Reason("flapping", "it flaps: held until it has not changed for 5m", contact.changes[-1] + STABLE)


def begins_to_flap() -> Reason:
    return Reason("flapping", f"more than {FLAP_CHANGES} changes in 15m: it flaps, which is told once")


def gated(gates: Sequence[Gate], alert: Alert, now: int) -> list[Reason]:
    """What the gates have against telling ``alert``."""
    return [reason for gate in gates if (reason := gate(alert, now)) is not None]


def against(rule: Rule, contact: Contact, alert: Alert, gates: Sequence[Gate], now: int) -> list[Reason]:
    """Every reason not to tell that ``alert`` fires; none where it may go out."""
    found = []
    if alert.status == "acknowledged":
        found.append(Reason("acknowledged", f"acknowledged by {alert.acknowledged_by}"))
    if contact.flapping:
        found.append(flapping(contact))
    if contact.sent_at is not None and now < contact.sent_at + rule.cooldown:
        text = "the last firing notification went out less than the cooldown ago"
        found.append(Reason("cooldown", text, contact.sent_at + rule.cooldown))
    return found + gated(gates, alert, now)


def forgettable(rule: Rule, contact: Contact, now: int) -> bool:
    """Whether a contact without an alert says nothing any more."""
    return now >= expiry(rule, contact) and contact.owed is None


def expiry(rule: Rule, contact: Contact) -> int:
    """When a contact without an alert ends: its flapping, its cooldown and the window of its changes are over."""
    cooled = contact.sent_at + rule.cooldown if contact.sent_at is not None else 0
    return max(cooled, contact.changes[-1] + FLAP_WINDOW if contact.changes else 0)
