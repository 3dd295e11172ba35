"""Rules and alerts in the running daemon: which rules hold, when they are evaluated, and that what they say is kept and told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from qflowd.alerts.engine import Engine
from qflowd.alerts.rule import defaults
from qflowd.model import Rule, Transition

if TYPE_CHECKING:
    from qflowd.series.store import SeriesStore
    from qflowd.storage import Storage


class Alerting:
    """The engine with its surroundings. ``file_rules`` gives the rules of the files; ``save`` commits documents and
    history in one transaction; ``tell`` shows a transition to the streams; ``background`` runs a coroutine beside."""

    def __init__(
        self,
        *,
        storage: Storage,
        series: SeriesStore,
        clock: Callable[[], int],
        file_rules: Callable[[], Sequence[Rule]],
        save: Callable[..., Awaitable[None]],
        tell: Callable[[Transition], None],
        background: Callable[[Any], None],
    ) -> None:
        self.storage, self.series, self.clock = storage, series, clock
        self.file_rules, self._save, self._tell, self._background = file_rules, save, tell, background
        self.engine = Engine([])
        self.api_rules: dict[str, Rule] = {}
        self.evaluated: set[str] = set()
        self.evaluations, self.evaluation_seconds = 0, 0.0

    async def restore(self, now: int) -> None:
        """Bring back the rules of the API, and every alert and timer, from the journal."""
        documents = await asyncio.wrap_future(self.storage.documents("rule"))
        self.api_rules = {key: msgspec.json.decode(blob, type=Rule) for key, blob in documents.items()}
        self.engine.replace(self.rules().values(), now)
        kept = await asyncio.wrap_future(self.storage.documents("daemon"))
        if blob := kept.get("engine"):
            self.engine.restore(blob, now)

    def rules(self) -> dict[str, Rule]:
        """All rules by id; a rule of the file takes the place of a default, and of one from the API."""
        return {rule.id: rule for rule in defaults()} | self.api_rules | {rule.id: rule for rule in self.file_rules()}

    async def store_rule(self, rule: Rule) -> None:
        """Keep a rule of the API, then use it."""
        await self._save(documents=[("rule", rule.id, msgspec.json.encode(rule))])
        self.api_rules = {**self.api_rules, rule.id: rule}
        await self.use_rules()

    async def delete_rule(self, rule_id: str) -> None:
        """Forget a rule of the API; its alerts resolve."""
        await self._save(documents=[("rule", rule_id, None)])
        self.api_rules = {key: rule for key, rule in self.api_rules.items() if key != rule_id}
        await self.use_rules()

    async def use_rules(self) -> None:
        """Hand the engine the rules as they stand; what this resolves is kept and told."""
        await self.save(self.engine.replace(self.rules().values(), self.clock()))

    def evaluate(self) -> None:
        """Evaluate the rules; what changed is committed before anyone is told."""
        began = time.perf_counter()
        transitions = self.engine.evaluate(self.series, self.clock())
        self.evaluation_seconds += time.perf_counter() - began
        self.evaluations += 1
        self.evaluated = {rule.id for rule in self.rules().values() if rule.enabled}
        if transitions:
            self._background(self.save(transitions))

    def documents(self) -> list[tuple[str, str, bytes | None]]:
        """The timers as they stand, for whoever commits next."""
        return [("daemon", "engine", self.engine.dump())]

    async def save(self, transitions: Sequence[Transition]) -> None:
        """Commit transitions with the engine's timers, then tell the streams."""
        blobs = [("alert", one.alert.rule_id, one.time, msgspec.json.encode(one.alert)) for one in transitions]
        try:
            await self._save(documents=self.documents(), history=blobs)
        finally:
            # A full disk is no reason to keep an alert to oneself.
            for one in transitions:
                self._tell(one)
