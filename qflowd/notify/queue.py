"""What waits for one channel, and when each is tried. Pure: time is an argument, and so is chance. Times are milliseconds.

Notifications of one group are tried one after another, in the order in which they came; those of different groups do not wait
for each other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush

import msgspec

from qflowd.model.notification import Delivery
from qflowd.notify.outcome import Outcome

FIRST, LONGEST = 1_000, 300_000
"""The longest wait before the second attempt, and before any."""


def backoff(attempts: int, random: float) -> int:
    """Ms to wait after ``attempts`` failures: twice as long each time, of which chance (0 to 1) takes up to a half, so that
    those who failed together do not come back together."""
    whole = min(FIRST << min(attempts - 1, 20), LONGEST)
    return round(whole * (1 - random / 2))


class Queue:
    """``concurrency`` attempts run at a time; ``give_up_after``: ms from its making, or its replay, after which a
    notification that was tried in vain is dead."""

    def __init__(self, *, concurrency: int, give_up_after: int, random: Callable[[], float]) -> None:
        self.concurrency, self.give_up_after, self._random = concurrency, give_up_after, random
        self.paused_until = 0
        self._lanes: dict[str, deque[tuple[int, Delivery]]] = {}
        self._heads: list[tuple[int, int, str]] = []
        self._running: dict[str, Delivery] = {}
        self._keys: set[str] = set()
        self._count = 0

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def add(self, delivery: Delivery) -> None:
        """Take in a notification that waits; one that is known is left as it is."""
        key, group = delivery.notification.key, delivery.notification.group
        if key in self._keys:
            return
        self._keys.add(key)
        self._count += 1
        lane = self._lanes.get(group)
        if lane is None:
            self._lanes[group] = deque([(self._count, delivery)])
            heappush(self._heads, (delivery.due, self._count, group))
        else:
            lane.append((self._count, delivery))

    def take(self, now: int) -> Delivery | None:
        """The next to try, which counts as running until it is settled; ``None`` where there is none now."""
        if not self._heads or self._heads[0][0] > now or now < self.paused_until or len(self._running) >= self.concurrency:
            return None
        _, _, group = heappop(self._heads)
        delivery = self._lanes[group][0][1]
        self._running[delivery.notification.key] = delivery
        return delivery

    def wake(self) -> int | None:
        """When ``take`` may give something again; ``None`` where only a notification that comes or is settled can change that."""
        if not self._heads or len(self._running) >= self.concurrency:
            return None
        return max(self._heads[0][0], self.paused_until)

    def judge(self, key: str, outcome: Outcome, now: int) -> Delivery:
        """What the outcome of an attempt that runs makes of its notification, which runs on until it is settled."""
        if outcome.pause is not None:
            self.paused_until = max(self.paused_until, now + outcome.pause)
        return self._after(self._running[key], outcome, now)

    def settle(self, after: Delivery) -> None:
        """End an attempt. A notification that is to be tried again stays; any other leaves, and the next of its group may come."""
        key, group = after.notification.key, after.notification.group
        del self._running[key]
        lane = self._lanes[group]
        if after.status == "waiting":
            lane[0] = (lane[0][0], after)
        else:
            lane.popleft()
            self._keys.discard(key)
        if lane:
            heappush(self._heads, (lane[0][1].due, lane[0][0], group))
        else:
            del self._lanes[group]

    def _after(self, before: Delivery, outcome: Outcome, now: int) -> Delivery:
        attempts = before.attempts + 1
        if outcome.verdict == "sent":
            return msgspec.structs.replace(before, status="sent", attempts=attempts, changed=now, detail=outcome.detail)
        if outcome.verdict != "later":
            return msgspec.structs.replace(before, status="dead", attempts=attempts, changed=now, detail=outcome.detail)
        due = now + max(backoff(attempts, self._random()), outcome.pause or 0)
        if due > before.changed + self.give_up_after:
            detail = f"given up after {attempts} attempts, the last: {outcome.detail}"
            return msgspec.structs.replace(before, status="dead", attempts=attempts, changed=now, detail=detail)
        return msgspec.structs.replace(before, attempts=attempts, due=due, detail=outcome.detail)
