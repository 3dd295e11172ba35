"""What is told to people: the rows of the outbox. Times are epoch milliseconds."""

from __future__ import annotations

from typing import Literal

import msgspec

from qflowd.model import Alert

NotificationKind = Literal["firing", "resolved", "acknowledged", "reminder", "escalation", "drill", "test"]
DeliveryStatus = Literal["waiting", "sent", "dead", "not_configured"]


class Notification(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """One message for one channel, as it was decided.

    ``key`` names it for good: a receiver that has seen it may drop it. Notifications of one ``group`` reach a channel in the
    order in which they were made. ``group_labels``: what the alerts of the group have in common by its ``group_by``.
    ``truncated``: alerts of the group that it does not carry. ``links``: name → URL for the reader, such as ``acknowledge``.
    """

    key: str
    channel: str
    group: str
    kind: NotificationKind
    alerts: list[Alert]
    created: int
    group_labels: dict[str, str] = {}
    truncated: int = 0
    links: dict[str, str] = {}


class Delivery(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """How far a notification got. ``due``: when it is tried next while it waits; ``changed``: when the status last changed, its
    making at first; ``detail``: what the last attempt was answered, or why there was none. ``dead`` is refused for good."""

    notification: Notification
    status: DeliveryStatus = "waiting"
    attempts: int = 0
    due: int = 0
    changed: int = 0
    detail: str = ""
