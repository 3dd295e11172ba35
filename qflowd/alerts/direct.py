"""Who is told of a transition: the channels that its rule names, one message an alert. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from qflowd.alerts.ids import ulid
from qflowd.model import Rule, Transition
from qflowd.model.notification import Notification, NotificationKind

KINDS: dict[str, NotificationKind] = {"firing": "firing", "resolved": "resolved", "acknowledged": "acknowledged"}


def direct(transitions: Iterable[Transition], rules: Mapping[str, Rule], random: Callable[[int], bytes]) -> list[Notification]:
    """A notification for each channel of each transition that is told. ``random(n)`` gives n bytes for the keys."""
    found = []
    for one in transitions:
        alert = one.alert
        kind = KINDS.get(alert.status)
        if not one.notify or kind is None:
            continue
        rule = rules.get(alert.rule_id)
        for channel in rule.channels if rule is not None else ():
            key = f"msg_{ulid(one.time, random(10))}"
            alerts = [msgspec.structs.replace(alert, notifications=[])]
            found.append(Notification(key=key, channel=channel, group=alert.fingerprint, kind=kind, alerts=alerts, created=one.time))
    return found
