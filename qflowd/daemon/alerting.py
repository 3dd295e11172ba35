"""Rules and alerts in the running daemon: which rules hold, when they are evaluated, and that what they say is kept and told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from qflowd.alerts.engine import Engine
from qflowd.alerts.ledger import News
from qflowd.alerts.rule import defaults
from qflowd.alerts.trace import kept
from qflowd.daemon.rulebook import RuleBook
from qflowd.model import Alert, Decision, Rule, Transition
from qflowd.model.explanation import Standing

if TYPE_CHECKING:
    from tornado.ioloop import PeriodicCallback

    from qflowd.daemon.notifying import Notifying
    from qflowd.series.store import Series, SeriesStore
    from qflowd.storage import OutboxRow, Storage

SLICE = 0.003
"""Seconds of CPU that a round takes before others get their turn; one step may go beyond."""
PORTION = 100
"""Rows encoded, or transitions told, before others get their turn."""
RETRIED = 1_000
"""Rows of the history, and of the outbox, that wait for a journal that refuses; of more, the oldest are lost. States are never
lost."""

T = TypeVar("T")
HistoryRow = tuple[str, str, int, bytes]


class Alerting:
    """The engine with its surroundings. ``file_rules`` gives the rules of the files; ``interval`` is the one between
    evaluations (ms) of rules that name none; ``save`` commits documents, history and the points of named series in one
    transaction; ``notifying`` decides who is told, and tells them; ``tell`` shows a transition to the streams; ``background``
    runs a coroutine beside."""

    def __init__(
        self,
        *,
        storage: Storage,
        series: SeriesStore,
        clock: Callable[[], int],
        interval: Callable[[], int],
        file_rules: Callable[[], Sequence[Rule]],
        save: Callable[..., Awaitable[None]],
        notifying: Notifying,
        tell: Callable[[Transition], None],
        background: Callable[[Any], None],
    ) -> None:
        self.storage, self.series, self.clock, self.interval = storage, series, clock, interval
        self.notifying = notifying
        self.file_rules, self._save, self._tell, self._background = file_rules, save, tell, background
        self.engine = Engine([])
        self.book = RuleBook(storage=storage, save=save, clock=clock)
        self.enabled = 0
        self.rounds = self.overruns = 0
        self.seconds = self.last_seconds = 0.0
        self._rules: tuple[Any, Any, dict[str, Rule]] = (None, None, {})
        self._timer: PeriodicCallback | None = None
        self._evaluating = asyncio.Lock()
        self._again = False
        self._pending: list[News] = []
        self._next: asyncio.Future[None] | None = None
        self._committing = asyncio.Lock()
        self._states: dict[str, bytes | None] = {}
        self._rows: list[HistoryRow] = []
        self._outbox: list[OutboxRow] = []

    async def restore(self, now: int, gaps: Mapping[Series, int]) -> None:
        """Bring back the rules of the API, and every alert and timer, from the journal. ``gaps``: see ``Engine.restore``."""
        await self.book.restore()
        self._use(now)
        states = await asyncio.wrap_future(self.storage.documents("alert_state"))
        self.engine.restore(states, now, gaps)

    # -- rules ---------------------------------------------------------------------------------------------------

    def rules(self) -> dict[str, Rule]:
        """All rules by id."""
        files, own = self.file_rules(), self.book.rules
        if self._rules[0] is not files or self._rules[1] is not own:
            self._rules = (files, own, self.rules_with(files))
        return self._rules[2]

    def rules_with(self, files: Sequence[Rule]) -> dict[str, Rule]:
        """All rules by id, where those of the files are ``files``; one of them takes the place of a default, and of one from
        the API."""
        return {rule.id: rule for rule in defaults()} | self.book.rules | {rule.id: rule for rule in files}

    async def store_rule(self, rule: Rule, expected: Rule | None, author: str, of: int | None = None) -> Rule:
        """Keep a rule of the API, then use it; see ``RuleBook.store``."""
        stored = await self.book.store(rule, expected, author, of=of)
        if stored is not expected:
            await self.use_rules()
        return stored

    async def delete_rule(self, expected: Rule, author: str) -> None:
        """Forget a rule of the API; its alerts resolve. See ``RuleBook.delete``."""
        await self.book.delete(expected, author)
        await self.use_rules()

    async def use_rules(self) -> None:
        """Hand the engine the rules as they stand, between two rounds; what this resolves is kept and told."""
        async with self._evaluating:
            self._use(self.clock())
        await self.save()

    def _use(self, now: int) -> None:
        rules = self.rules()
        self.enabled = sum(rule.enabled for rule in rules.values())
        tick = self.tick()
        # Where each tick is a round of every rule, a late tick must not be taken for one of the interval before.
        self.engine.interval = self.interval() if tick < self.interval() else 0
        if self._timer is not None:
            self._timer.callback_time = tick
        self.engine.replace(rules.values(), now)

    def tick(self) -> int:
        """Ms between two rounds: the shortest interval of any rule."""
        return min([self.interval(), *(rule.interval for rule in self.rules().values() if rule.interval and rule.enabled)])

    # -- evaluation ----------------------------------------------------------------------------------------------

    def drive(self, timer: PeriodicCallback) -> None:
        """The timer that calls ``evaluate``: its period follows the rules."""
        self._timer = timer

    def evaluate(self) -> None:
        """Begin a round; one that is due while another runs begins right after it, and is counted as an overrun."""
        if self._evaluating.locked():
            self.overruns += 1
            self._again = True
        else:
            self._background(self._round())

    async def _round(self) -> None:
        async with self._evaluating:
            self._again = True
            while self._again:
                self._again = False
                await self._evaluate()
                self._background(self.save())

    async def _evaluate(self) -> None:
        began, spent = time.thread_time(), 0.0
        for _ in self.engine.steps(self.series, self.clock()):
            used = time.thread_time() - began
            if used > SLICE:
                spent += used
                await asyncio.sleep(0)
                began = time.thread_time()
        self.last_seconds = spent + time.thread_time() - began
        self.seconds += self.last_seconds
        self.rounds += 1

    async def stop(self) -> None:
        """Let the round that runs end, and commit every state."""
        async with self._evaluating:
            pass
        await self.save()
        await self.keep()

    # -- what is kept --------------------------------------------------------------------------------------------

    async def save(self) -> None:
        """Commit what the engine has to say since the last time, then tell it. Those who come while a commit waits for its
        turn share it. Raises ``StorageError``; what could not be committed is told all the same, and committed later."""
        news = self.engine.take()
        if news:
            self._pending.append(news)
        if not self._pending:
            return
        if self._next is None:
            self._next = asyncio.ensure_future(self._commit())
        await asyncio.shield(self._next)

    async def _commit(self) -> None:
        async with self._committing:
            self._next = None
            pending, self._pending = self._pending, []
            transitions = [one for news in pending for one in news.transitions]
            for news in pending:
                self._states |= news.documents
            history: list[tuple[str, str, int, Alert | Decision]] = [
                *(("alert", one.alert.rule_id, one.time, one.alert) for one in transitions),
                *(("decision", one.rule_id, one.time, one) for news in pending for one in news.decisions if kept(one)),
            ]
            async for part in _portions(history):
                self._rows += [(kind, rule_id, at, msgspec.json.encode(what)) for kind, rule_id, at, what in part]
            deliveries = self.notifying.decide(transitions, self.rules())
            async for some in _portions(deliveries):
                self._outbox += self.notifying.rows(some)
            committed = False
            try:
                # On disk with it: the points on which the timers rest.
                await self._write(self.engine.reads(self._states))
                committed = True
            finally:
                # A full disk is no reason to keep an alert to oneself.
                self.notifying.offer(deliveries, committed=committed)
                async for told in _portions(transitions):
                    for one in told:
                        self._tell(one)

    async def _write(self, names: set[str]) -> None:
        """One transaction of all that waits; what is refused waits on."""
        states, rows, outbox = self._states, self._rows, self._outbox
        self._states, self._rows, self._outbox = {}, [], []
        documents = [("alert_state", key, blob) for key, blob in states.items()]
        try:
            await self._save(documents=documents, history=rows, outbox=outbox, points=names)
        except BaseException:
            self._states = states | self._states
            self._rows = (rows + self._rows)[-RETRIED:]
            self._outbox = (outbox + self._outbox)[-RETRIED:]
            raise

    async def keep(self) -> None:
        """Commit states of which only values changed, and what the journal refused before."""
        async with self._committing:
            while found := self.engine.soft(PORTION):
                self._states |= found
                await asyncio.sleep(0)
            self._states |= self.engine.meta()
            await self._write(set())

    def standing(self, rule_id: str) -> Standing | None:
        """Where a rule stands; ``None`` where there is none of that id."""
        return self.engine.standing(rule_id, self.series, self.clock())


async def _portions(items: Sequence[T]) -> AsyncIterator[Sequence[T]]:
    """``items`` in parts; after each, others get their turn."""
    for start in range(0, len(items), PORTION):
        yield items[start : start + PORTION]
        await asyncio.sleep(0)
