"""The explanation of a rule: where it stands, and its decisions from memory and, beyond, from the journal."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from qflowd.model import Decision

if TYPE_CHECKING:
    from qflowd.daemon.alerting import Alerting
    from qflowd.daemon.control import Call

Place = tuple[int, str]
"""Where a page ends: the journal's row (0: the page ends in memory) and the id of the last decision ("" at the start)."""
DECISION = msgspec.json.Decoder(Decision)


async def decisions(alerting: Alerting, rule_id: str, place: Place, limit: int) -> tuple[list[Decision], Place | None]:
    """At most ``limit`` decisions of a rule after ``place``, the newest first, and the place of the next page."""
    row, last = place
    found: list[Decision] = []
    if not row:
        found = [one for one in alerting.engine.decisions(rule_id) if not last or one.id < last]
        if len(found) > limit:
            return found[:limit], (0, found[limit - 1].id)
        if found:
            last = found[-1].id
    while len(found) < limit:
        rows = await asyncio.wrap_future(alerting.storage.history("decision", key=rule_id, before=row or None, limit=limit))
        for row, _, blob in rows:
            one = DECISION.decode(blob)
            # What memory still has was given from there; the rest of the journal is older.
            if not last or one.id < last:
                last = ""
                found.append(one)
                if len(found) == limit:
                    return found, (row, last)
        if len(rows) < limit:
            return found, None
    return found, (row, last)


def calls(alerting: Alerting) -> dict[str, Call]:
    """The commands of the control socket."""
    return {"explain": partial(_explain, alerting)}


async def _explain(alerting: Alerting, body: dict[str, Any]) -> dict[str, Any]:
    """The command ``explain``: ``{"rule": …, "limit": …}``."""
    rule_id, limit = body.get("rule"), body.get("limit", 20)
    if not isinstance(rule_id, str) or not isinstance(limit, int) or not 1 <= limit <= 1000:
        return {"ok": False, "error": "expected the id of a rule, and a limit from 1 to 1000"}
    items, _ = await decisions(alerting, rule_id, (0, ""), limit)
    standing = alerting.standing(rule_id)
    if standing is None and not items:
        return {"ok": False, "error": f"no rule {rule_id!r}"}
    return {"ok": True, "rule": alerting.rules().get(rule_id), "standing": standing, "items": items}
