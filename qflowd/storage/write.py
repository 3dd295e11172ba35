"""What the writer thread does within a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from qflowd.model import Event
from qflowd.storage.read import applied
from qflowd.storage.rows import Batch, Retained, SeriesPoints
from qflowd.storage.seen import Seen, hash_of

HOUR = 3_600_000
STEPS = {"10s": 10_000, "1m": 60_000, "1h": HOUR}
ROWS, SLICE = 400, 2000
KEPT = {"decision": 1000}
"""Rows of the history that one key keeps, the newest, where the kind is bounded."""
ENCODER = msgspec.msgpack.Encoder()


def insert(db: sqlite3.Connection, head: str, rows: Sequence[tuple[Any, ...]], tail: str = "") -> None:
    """Multi-row statements: `executemany` takes the GIL anew for each row."""
    for at in range(0, len(rows), ROWS):
        part = rows[at : at + ROWS]
        row = f"({','.join('?' * len(part[0]))})"
        db.execute(f"{head} VALUES {','.join([row] * len(part))} {tail}", [value for line in part for value in line])


def fresh(events: Iterable[Event], seen: Seen, added: list[int]) -> tuple[list[bool], list[tuple[int, Event]]]:
    """Which events are new, and those with their hashes; the hashes join ``seen`` and ``added`` (for a rollback)."""
    new: list[bool] = []
    rows: list[tuple[int, Event]] = []
    for event in events:
        value = hash_of(event.source, event.id)
        is_new = value not in seen
        new.append(is_new)
        if is_new:
            seen.hot.add(value)
            added.append(value)
            rows.append((value, event))
    return new, rows


def events(db: sqlite3.Connection, rows: Sequence[tuple[int, Event]], last: int, now: int) -> int:
    """Insert after rowid ``last``; returns the last rowid."""
    lines: list[tuple[Any, ...]] = []
    for number, (value, event) in enumerate(rows, last + 1):
        execution = event.data.get("executionId")
        named = execution if isinstance(execution, str) else None
        lines.append((number, value.to_bytes(16), now, event.time, named, ENCODER.encode(event)))
    insert(db, "INSERT INTO events(n, hash, received, time, execution_id, body)", lines)
    return last + len(rows)


def save(db: sqlite3.Connection, batch: Batch) -> None:
    insert(db, "INSERT OR REPLACE INTO executions(execution_id, flow_id, status, tenant, start_time, begun, end_time, text, record)",
           [(e.execution_id, e.flow_id, e.status, e.tenant, e.start_time, e.start_time or 0, e.end_time, e.text, e.record)
            for e in batch.executions])
    if batch.applied:
        db.execute("INSERT OR REPLACE INTO meta VALUES('applied', ?)", (batch.applied,))
    for kind, key, body in batch.documents:
        if body is None:
            db.execute("DELETE FROM documents WHERE kind=? AND key=?", (kind, key))
        else:
            db.execute("INSERT OR REPLACE INTO documents VALUES(?, ?, ?)", (kind, key, body))
    insert(db, "INSERT INTO history(kind, key, time, body)", list(batch.history))
    for kind, key in {(kind, key) for kind, key, _, _ in batch.history if kind in KEPT}:
        db.execute(BEYOND, (kind, key, kind, key, KEPT[kind]))
    outbox = "INSERT INTO outbox(key, channel, status, changed, body)"
    insert(db, outbox, [msgspec.structs.astuple(row) for row in batch.outbox], "ON CONFLICT DO NOTHING")
    insert(db, outbox, [msgspec.structs.astuple(row) for row in batch.deliveries], "ON CONFLICT(key) DO UPDATE SET"
           " channel=excluded.channel, status=excluded.status, changed=excluded.changed, body=excluded.body")
    if any(p.times for p in batch.points):
        last = max(t for p in batch.points for t in p.times)
        db.execute("INSERT INTO blocks(last, body) VALUES(?, ?)", (last, ENCODER.encode(batch.points)))
        _roll(db, batch.points)


def _roll(db: sqlite3.Connection, points: Sequence[SeriesPoints]) -> None:
    rows = []
    for series in points:
        if not series.times:
            continue
        key, newest = (series.name, msgspec.json.encode(series.labels, order="deterministic").decode()), max(series.times)
        row = db.execute("SELECT n, last FROM series WHERE name=? AND labels=?", key).fetchone()
        if not row:
            row = (db.execute("INSERT INTO series(name, labels, last) VALUES(?, ?, ?)", (*key, newest)).lastrowid, newest)
        elif newest > row[1] + HOUR:
            db.execute("UPDATE series SET last=? WHERE n=?", (newest, row[0]))
        number = row[0]
        for step in STEPS.values():
            buckets: dict[int, list[tuple[int, float]]] = {}
            for when, value in zip(series.times, series.values, strict=True):
                if value is not None:
                    buckets.setdefault(when // step * step, []).append((when, value))
            for bucket, pairs in buckets.items():
                values = [value for _, value in pairs]
                when, value = max(pairs, key=lambda pair: pair[0])
                rows.append((step, bucket, number, min(values), max(values), sum(values), len(values), value, when))
    insert(db, "INSERT INTO rollups", rows, "ON CONFLICT DO UPDATE SET min=min(min, excluded.min), max=max(max, excluded.max),"
           " sum=sum+excluded.sum, count=count+excluded.count,"
           " last=CASE WHEN excluded.last_time>=last_time THEN excluded.last ELSE last END, last_time=max(last_time, excluded.last_time)")


def used(db: sqlite3.Connection) -> int:
    """Bytes of pages that hold something."""
    page, pages, free = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count", "freelist_count"))
    return int(page * (pages - free))


EVENTS = "DELETE FROM events WHERE n IN (SELECT n FROM (SELECT n, received FROM events WHERE n<=? ORDER BY n LIMIT ?) WHERE received<?)"
EXECUTIONS = "DELETE FROM executions WHERE rowid IN (SELECT rowid FROM executions WHERE end_time<? ORDER BY end_time LIMIT ?)"
STALE = ("DELETE FROM executions WHERE rowid IN"
         " (SELECT rowid FROM executions WHERE end_time IS NULL AND status='stale' AND begun<? ORDER BY begun LIMIT ?)")
BEYOND = ("DELETE FROM history WHERE kind=? AND key=? AND n<="
          "(SELECT n FROM history WHERE kind=? AND key=? ORDER BY n DESC LIMIT 1 OFFSET ?)")
HISTORY = "DELETE FROM history WHERE n IN (SELECT n FROM (SELECT n, time FROM history ORDER BY n LIMIT ?) WHERE time<?)"
OUTBOX = "DELETE FROM outbox WHERE n IN (SELECT n FROM outbox WHERE status<>'waiting' AND changed<? ORDER BY changed LIMIT ?)"
BLOCKS = "DELETE FROM blocks WHERE n IN (SELECT n FROM blocks WHERE last<? ORDER BY last LIMIT ?)"
ROLLUPS = ("DELETE FROM rollups WHERE (step, time, series) IN"
           " (SELECT step, time, series FROM rollups WHERE step=? AND time<? ORDER BY time LIMIT ?)")
EVER = 1 << 62


def retain(db: sqlite3.Connection, now: int, retention: Mapping[str, int], max_bytes: int) -> Retained:
    """One slice of each kind; events that the records do not hold yet (rowid over ``applied``) stay in any case."""

    def cut(sql: str, *values: int) -> int:
        return db.execute(sql, values).rowcount

    kept = applied(db)
    events = executions = history = outbox = oversize = 0
    full = False
    if "events" in retention:
        events = cut(EVENTS, kept, SLICE, now - retention["events"])
        full = events == SLICE
    if "executions" in retention:
        ended, stale = (cut(sql, now - retention["executions"], SLICE) for sql in (EXECUTIONS, STALE))
        executions = ended + stale
        full = full or SLICE in (ended, stale)
    if "history" in retention:
        until = now - retention["history"]
        history, outbox = cut(HISTORY, SLICE, until), cut(OUTBOX, until, SLICE)
        full = full or SLICE in (history, outbox)
    points = cut(BLOCKS, now - retention.get("points", HOUR), SLICE)
    behind = points == SLICE
    for name, step in STEPS.items():
        if name in retention:
            removed = cut(ROLLUPS, step, now - retention[name], SLICE)
            points, behind = points + removed, behind or removed == SLICE
    if not behind and all(name in retention for name in STEPS):  # names whose last points are gone
        oldest = now - max(retention[name] for name in STEPS) - 2 * HOUR
        cut("DELETE FROM series WHERE n IN (SELECT n FROM series WHERE last<? LIMIT ?)", oldest, SLICE)
    full = full or behind
    if max_bytes and used(db) > max_bytes:
        oversize = cut(EVENTS, kept, SLICE, EVER)
        events += oversize
        if not oversize:
            oversize = cut(EXECUTIONS, EVER, SLICE) or cut(STALE, EVER, SLICE)
            executions += oversize
        if not oversize:
            oversize = cut(HISTORY, SLICE, EVER)
            history += oversize
        if not oversize:
            for step in STEPS.values():
                oversize = oversize or cut(ROLLUPS, step, EVER, SLICE)
            oversize = oversize or cut(BLOCKS, EVER, SLICE // 10)
            points += oversize
        full = full or (oversize > 0 and used(db) > max_bytes)
    db.execute("PRAGMA incremental_vacuum(500)").fetchall()
    return Retained(events, executions, points, oversize, full, history, outbox)
