"""What a start brings back from the journal."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import msgspec

from qflowd.model import Sample
from qflowd.state.log import log_line

if TYPE_CHECKING:
    from qflowd.daemon import Daemon
    from qflowd.series.store import Series

log = logging.getLogger("qflowd.daemon")


async def restore(daemon: Daemon) -> None:
    """Bring back executions, series, rules, alerts and counters from the journal."""
    now = daemon.clock()
    storage = daemon.storage
    for active, limit in ((True, 100_000), (False, 2000)):
        for record in await asyncio.wrap_future(storage.recent_executions(active_only=active, limit=limit)):
            daemon.state.restore(record)
    for block in await asyncio.wrap_future(storage.points(since=now - 3_600_000)):
        daemon.series.load(block.name, block.labels, block.times, block.values)
        await asyncio.sleep(0)
    gaps: dict[Series, int] = {}
    for series in daemon.series.select(None, []):
        # Nothing was measured while the daemon was away: a gap, not the last value going on.
        if series.newest + 1000 < now:
            ended = series.at(series.newest) is None
            daemon.series.add(Sample(series.name, series.labels, series.newest + 1000, None))
            if not ended:
                gaps[series] = series.newest
    for execution in daemon.state.recent(2000):
        daemon.recorder.observe_ended(execution, now)
    await daemon.alerting.restore(now, gaps)
    kept = await asyncio.wrap_future(storage.documents("daemon"))
    if blob := kept.get("counters"):
        daemon.counters.update(msgspec.json.decode(blob, type=dict[str, int]))
    await daemon.tokens.load()
    replayed = await daemon.ingest.replay()
    daemon.count_events("accepted", replayed)
    await recall(daemon)
    log.info("restored %d executions and %d series; %d events replayed", len(list(daemon.state.executions())), len(daemon.series), replayed)


async def recall(daemon: Daemon) -> None:
    """Fill the event log's snapshot from the journal; what was replayed is among it."""
    rows = await asyncio.wrap_future(daemon.storage.events(limit=200, newest_first=True))
    lines = []
    for _, event in reversed(rows):
        name = event.data.get("executionId")
        lines.append(log_line(event, daemon.state.execution(name) if isinstance(name, str) else None))
    daemon.hub.flush()
    daemon.views.recall(lines)
