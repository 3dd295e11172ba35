"""What the daemon hands to the handlers. Fields that a reload replaces are replaced here, so handlers keep nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from qflowd.alerts.engine import Engine
from qflowd.config import Config
from qflowd.hub import Hub
from qflowd.model import Decision, Event, Rule
from qflowd.model.explanation import Standing
from qflowd.model.notification import Delivery
from qflowd.series.store import SeriesStore
from qflowd.state import State
from qflowd.storage import Storage


class Notices(Protocol):
    """The outbox, as handlers use it."""

    async def page(
        self, channel: str | None, status: str | None, before: int | None, limit: int
    ) -> list[tuple[int, Delivery]]:
        """Deliveries by their place, the newest first."""
        ...


@dataclass
class Context:
    """Collaborators of the handlers; ``clock`` gives epoch ms."""

    config: Config
    storage: Storage
    state: State
    series: SeriesStore
    engine: Engine
    hub: Hub
    clock: Callable[[], int]
    own_hosts: Callable[[], frozenset[str]]
    own_ports: Callable[[], frozenset[int]]
    own_origins: Callable[[], frozenset[str]]
    authenticate: Callable[[str | None], tuple[str, tuple[str, ...]] | None]
    ingest: Callable[[list[Event]], Awaitable[tuple[int, int]]]
    count_events: Callable[[str, int], None]
    reload: Callable[[], Awaitable[dict[str, Any]]]
    compare: Callable[[], Awaitable[dict[str, Any]]]
    rules: Callable[[], dict[str, Rule]]
    store_rule: Callable[[Rule, Rule | None, str, int | None], Awaitable[Rule]]
    delete_rule: Callable[[Rule, str], Awaitable[None]]
    save: Callable[[], Awaitable[None]]
    save_alerts: Callable[[], Awaitable[None]]
    standing: Callable[[str], Standing | None]
    decisions: Callable[[str, tuple[int, str], int], Awaitable[tuple[list[Decision], tuple[int, str] | None]]]
    stats: Callable[[], dict[str, Any]]
    dashboard: Callable[[], dict[str, Any]]
    exposition: Callable[[], bytes]
    ready: Callable[[], list[str]]
    channels: Callable[[], frozenset[str]]
    notifying: Notices
