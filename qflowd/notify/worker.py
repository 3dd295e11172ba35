"""The worker of one channel: tries what waits, and has each outcome committed before the next is tried in its place.

So a kill costs at most one repetition for each message that was under way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from qflowd.model.notification import Delivery
from qflowd.notify.channel import Channel, Options
from qflowd.notify.outcome import Outcome
from qflowd.notify.queue import Queue
from qflowd.outgoing import AddressRefused, Unreachable

log = logging.getLogger("qflowd.notify")

WINDOW = 1_000
"""Notifications of a channel held in memory; what waits beyond them is read from the journal when there is room."""
MARGIN = 2.0
"""Seconds after a channel's own time limit at which an attempt is ended from outside."""


class Journal(Protocol):
    """Where notifications are kept."""

    async def save(self, deliveries: Sequence[Delivery]) -> None:
        """Commit how far these got. Raises where the journal refuses."""
        ...

    async def waiting(self, channel: str, limit: int) -> list[Delivery]:
        """The oldest that wait for a channel."""
        ...


class Worker:
    """``settled`` hears of each notification as an attempt left it, ``gone`` that the channel wants nothing any more, with its
    name and words."""

    def __init__(
        self,
        name: str,
        channel: Channel,
        options: Options,
        *,
        journal: Journal,
        clock: Callable[[], int],
        random: Callable[[], float],
        settled: Callable[[Delivery], None],
        gone: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self.name, self.channel, self.options = name, channel, options
        self.journal, self.clock = journal, clock
        self.queue = Queue(concurrency=options.concurrency, give_up_after=options.give_up_after, random=random)
        self.disabled: str | None = None
        self.more = True
        self._settled, self._gone = settled, gone
        self._unsaved: dict[str, Delivery] = {}
        self._over: set[str] = set()
        self._beyond = False
        self._changed = asyncio.Event()
        self._attempts: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    # -- what comes ----------------------------------------------------------------------------------------------

    def offer(self, deliveries: Sequence[Delivery], *, committed: bool = True) -> None:
        """Notifications that wait, as they were made, each once. Those for which there is no room come from the journal later;
        those that the journal refused (not ``committed``) are tried all the same."""
        for delivery in deliveries:
            if len(self.queue) < WINDOW and not (self.more and committed):
                self.queue.add(delivery)
            elif committed:
                self.more = True
            elif len(self.queue) < 2 * WINDOW:
                self.queue.add(delivery)
            else:
                self._beyond = True
        self._changed.set()

    def start(self) -> None:
        """Begin to deliver; called once."""
        self._task = asyncio.ensure_future(self._run())

    async def stop(self, grace: float) -> None:
        """Take nothing any more; what is under way has ``grace`` seconds, then it is left to be tried again."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._attempts:
            _, late = await asyncio.wait(self._attempts, timeout=grace)
            for one in late:
                one.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self.flush()

    async def flush(self) -> None:
        """Commit outcomes that the journal refused before; quiet where it still does."""
        if self._unsaved:
            kept = list(self._unsaved.values())
            try:
                await self.journal.save(kept)
            except Exception as error:
                log.debug("outcomes of %s still cannot be committed: %s", self.name, error)
            else:
                self._unsaved = {key: one for key, one in self._unsaved.items() if one not in kept}
        if self._beyond and not self._unsaved:
            self._beyond, self.more = False, True
            self._changed.set()

    # -- delivery ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            if self.more and len(self.queue) < WINDOW // 2:
                await self._load()
            self._changed.clear()
            now = self.clock()
            while (delivery := self.queue.take(now)) is not None:
                task = asyncio.ensure_future(self._attempt(delivery))
                self._attempts.add(task)
                task.add_done_callback(self._attempts.discard)
            wake = self.queue.wake()
            # Clocks that are set back must not make it sleep for ever.
            pause = min(max(wake - self.clock(), 0) / 1000, 60.0) if wake is not None else None
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def _load(self) -> None:
        """Fill the window from the journal. ``more`` stays where that may hold others."""
        self.more = False
        self._over.clear()
        try:
            found = await self.journal.waiting(self.name, WINDOW + len(self.queue))
        except Exception as error:
            self.more = True
            log.error("what waits for %s cannot be read: %s", self.name, error)
            await asyncio.sleep(1)
            return
        for delivery in found:
            key = delivery.notification.key
            # What was settled while the journal was read may still stand in what it gave.
            if key in self._over or key in self._unsaved:
                continue
            if len(self.queue) >= WINDOW and key not in self.queue:
                self.more = True
                break
            self.queue.add(delivery)

    async def _attempt(self, delivery: Delivery) -> None:
        key = delivery.notification.key
        outcome = await self._outcome(delivery)
        after = self._unsaved[key] = self.queue.judge(key, outcome, self.clock())
        try:
            await self.journal.save([after])
            del self._unsaved[key]
        except Exception as error:
            log.error("the outcome of a notification to %s cannot be committed: %s", self.name, error)
        self.queue.settle(after)
        if after.status != "waiting":
            self._over.add(key)
        self._settled(after)
        if outcome.verdict == "gone":
            self.disabled = outcome.detail
            await self._gone(self.name, outcome.detail)
        self._changed.set()

    async def _outcome(self, delivery: Delivery) -> Outcome:
        if self.disabled is not None:
            return Outcome("refused", f"the channel is disabled: {self.disabled}")
        return await attempt(self.channel, delivery, self.options, self.clock())


async def attempt(channel: Channel, delivery: Delivery, options: Options, now: int) -> Outcome:
    """One attempt, within its time; whatever a channel raises is an outcome."""
    try:
        async with asyncio.timeout(options.timeout / 1000 + MARGIN):
            return await channel.send(delivery.notification, now)
    except AddressRefused as error:
        return Outcome("refused", str(error))
    except Unreachable as error:
        return Outcome("later", str(error))
    except TimeoutError:
        return Outcome("later", f"no end within {options.timeout / 1000:g} s")
    except Exception as error:
        log.exception("the channel of a notification failed")
        return Outcome("later", f"{type(error).__name__}: {error}")
