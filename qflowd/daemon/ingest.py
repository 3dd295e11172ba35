"""The way in: journal (committed), then state, then everyone who listens. The sender is answered last."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter

from qflowd.model import Change, Event
from qflowd.state import State
from qflowd.storage import Storage

SLICE = 0.004
"""Seconds of the loop that applying takes before others get their turn."""


CHUNK = 2000
"""Events of one submission that are handed to the journal together."""


class Ticket:
    """One submission on its way; tickets stand in the order of their rows in the journal."""

    __slots__ = ("done", "rowid")

    def __init__(self) -> None:
        self.done, self.rowid = False, 0


class Ingest:
    """Commits events, applies the new ones, and knows up to which row all are applied."""

    def __init__(self, storage: Storage, state: State, listen: Callable[[list[Change], int], None], clock: Callable[[], int]) -> None:
        self.storage, self.state, self.listen, self.clock = storage, state, listen, clock
        self.applied = 0
        self._tickets: deque[Ticket] = deque()

    async def submit(self, events: Sequence[Event]) -> tuple[int, int]:
        """Commit and apply ``events``; (accepted, duplicates). Raises ``QueueFull`` or ``StorageError``.

        What was committed before the error stays: sent again, it is a duplicate.
        """
        accepted = 0
        for start in range(0, len(events), CHUNK):
            accepted += await self._submit(events[start : start + CHUNK])
        return accepted, len(events) - accepted

    async def _submit(self, events: Sequence[Event]) -> int:
        ticket = Ticket()
        future = self.storage.append(events, self.state.missing(events))
        self._tickets.append(ticket)
        try:
            appended = await asyncio.wrap_future(future)
            ticket.rowid = appended.rowid_last
            for execution_id, record in appended.records.items():
                if self.state.execution(execution_id) is None:
                    self.state.restore(record)
            new = [event for event, fresh in zip(events, appended.new, strict=True) if fresh]
            await self.apply(new)
        finally:
            ticket.done = True
            while self._tickets and self._tickets[0].done:
                self.applied = max(self.applied, self._tickets.popleft().rowid)
        return len(new)

    async def apply(self, events: Sequence[Event]) -> None:
        """Apply committed events, a slice of the loop at a time."""
        now = self.clock()
        changes: list[Change] = []
        began = perf_counter()
        for event in events:
            changes += self.state.apply(event, now)
            if perf_counter() - began > SLICE:
                self.listen(changes, now)
                changes = []
                await asyncio.sleep(0)
                began, now = perf_counter(), self.clock()
        self.listen(changes, now)

    async def replay(self) -> int:
        """After a start: apply what the journal holds beyond the saved records; how many events that were."""
        self.applied = await asyncio.wrap_future(self.storage.applied())
        count = 0
        while rows := await asyncio.wrap_future(self.storage.events(after_rowid=self.applied, limit=2000)):
            events = [event for _, event in rows]
            for execution_id in self.state.missing(events):
                record = await asyncio.wrap_future(self.storage.execution(execution_id))
                if record is not None:
                    self.state.restore(record)
            await self.apply(events)
            self.applied = rows[-1][0]
            count += len(events)
        return count
