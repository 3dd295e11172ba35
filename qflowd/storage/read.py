"""The questions put to the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence

import msgspec

from qflowd.model import Event
from qflowd.storage.rows import ExecutionRow, SeriesPoints
from qflowd.storage.schema import ENDED

EVENT = msgspec.msgpack.Decoder(Event)
BLOCK = msgspec.msgpack.Decoder(list[SeriesPoints])
MARKS = 400


def records(db: sqlite3.Connection, ids: Collection[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    wanted = list(ids)
    for at in range(0, len(wanted), MARKS):
        part = wanted[at : at + MARKS]
        marks = ",".join("?" * len(part))
        found.update(db.execute(f"SELECT execution_id, record FROM executions WHERE execution_id IN ({marks})", part).fetchall())
    return found


def documents(db: sqlite3.Connection, kind: str) -> dict[str, bytes]:
    return dict(db.execute("SELECT key, body FROM documents WHERE kind=?", (kind,)).fetchall())


def _where(parts: Sequence[tuple[str, object]]) -> tuple[str, list[object]]:
    kept = [(text, value) for text, value in parts if value is not None]
    return " AND ".join(["1", *(text for text, _ in kept)]), [value for _, value in kept]


def history(db: sqlite3.Connection, kind: str, key: str | None, before: int | None, limit: int) -> list[tuple[int, int, bytes]]:
    where, values = _where([("kind=?", kind), ("key=?", key), ("n<?", before)])
    return db.execute(f"SELECT n, time, body FROM history WHERE {where} ORDER BY n DESC LIMIT ?", (*values, limit)).fetchall()


def outbox(db: sqlite3.Connection, channel: str | None, status: str | None, before: int | None, limit: int,
           newest_first: bool) -> list[tuple[int, bytes]]:
    where, values = _where([("channel=?", channel), ("status=?", status), ("n<?", before)])
    sql = f"SELECT n, body FROM outbox WHERE {where} ORDER BY n {'DESC' if newest_first else 'ASC'} LIMIT ?"
    return db.execute(sql, (*values, limit)).fetchall()


def outbox_counts(db: sqlite3.Connection) -> dict[tuple[str, str], int]:
    found = db.execute("SELECT channel, status, count(*) FROM outbox GROUP BY status, channel").fetchall()
    return {(channel, status): count for channel, status, count in found}


def recent(db: sqlite3.Connection, active_only: bool, limit: int) -> list[bytes]:
    where = f"WHERE status NOT IN {ENDED}" if active_only else ""
    sql = f"SELECT record FROM executions {where} ORDER BY begun DESC, execution_id DESC LIMIT ?"
    return [row[0] for row in db.execute(sql, (limit,))]


def executions(db: sqlite3.Connection, flow: str | None, status: Sequence[str], tenant: str | None, start: int | None,
               end: int | None, text: str | None, cursor: tuple[int, str] | None, limit: int) -> list[ExecutionRow]:
    where, values = _where([("flow_id=?", flow), ("tenant=?", tenant), ("begun>=?", start), ("begun<=?", end),
                            ("instr(lower(text), lower(?))", text or None)])
    if status:
        where += f" AND status IN ({','.join('?' * len(status))})"
        values += status
    if cursor:
        where += " AND (begun, execution_id) < (?, ?)"
        values += cursor
    sql = ("SELECT execution_id, flow_id, status, tenant, start_time, end_time, text, record FROM executions"
           f" WHERE {where} ORDER BY begun DESC, execution_id DESC LIMIT ?")
    return [ExecutionRow(*row) for row in db.execute(sql, (*values, limit))]


def events(db: sqlite3.Connection, execution_id: str | None, after: int | None, before: int | None, limit: int,
           newest_first: bool) -> list[tuple[int, Event]]:
    where, values = _where([("execution_id=?", execution_id), ("n>?", after), ("n<?", before)])
    sql = f"SELECT n, body FROM events WHERE {where} ORDER BY n {'DESC' if newest_first else 'ASC'} LIMIT ?"
    return [(n, EVENT.decode(body)) for n, body in db.execute(sql, (*values, limit))]


def applied(db: sqlite3.Connection) -> int:
    row = db.execute("SELECT value FROM meta WHERE key='applied'").fetchone()
    return int(row[0]) if row else 0


def points(db: sqlite3.Connection, since: int) -> list[SeriesPoints]:
    found: list[SeriesPoints] = []
    for (body,) in db.execute("SELECT body FROM blocks WHERE last>=? ORDER BY n", (since,)):
        for block in BLOCK.decode(body):
            pairs = [pair for pair in zip(block.times, block.values, strict=True) if pair[0] >= since]
            if pairs:
                found.append(SeriesPoints(block.name, block.labels, [t for t, _ in pairs], [v for _, v in pairs]))
    return found
