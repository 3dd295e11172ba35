"""The tables, and opening a file with them: ours, whole, and not newer than this program."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from qflowd.storage.rows import StorageError

APPLICATION_ID = 0x71666C77
ENDED = "('completed','failed','aborted','timeout')"
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE events(n INTEGER PRIMARY KEY AUTOINCREMENT, hash INTEGER NOT NULL, received INTEGER NOT NULL,"
        " time INTEGER NOT NULL, execution_id TEXT, body BLOB NOT NULL)",
        "CREATE INDEX events_execution ON events(execution_id) WHERE execution_id IS NOT NULL",
        "CREATE TABLE executions(execution_id TEXT PRIMARY KEY, flow_id TEXT NOT NULL, status TEXT NOT NULL, tenant TEXT,"
        " start_time INTEGER, begun INTEGER NOT NULL, end_time INTEGER, text TEXT NOT NULL, record BLOB NOT NULL)",
        "CREATE INDEX executions_begun ON executions(begun, execution_id)",
        "CREATE INDEX executions_end ON executions(end_time)",
        "CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
        "CREATE TABLE documents(kind TEXT, key TEXT, body BLOB NOT NULL, PRIMARY KEY(kind, key)) WITHOUT ROWID",
        "CREATE TABLE history(n INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, key TEXT NOT NULL,"
        " time INTEGER NOT NULL, body BLOB NOT NULL)",
        "CREATE INDEX history_kind ON history(kind, key)",
        "CREATE TABLE series(n INTEGER PRIMARY KEY, name TEXT NOT NULL, labels TEXT NOT NULL, UNIQUE(name, labels))",
        "CREATE TABLE blocks(n INTEGER PRIMARY KEY, last INTEGER NOT NULL, body BLOB NOT NULL)",
        "CREATE INDEX blocks_last ON blocks(last)",
        "CREATE TABLE rollups(step INTEGER, time INTEGER, series INTEGER, min REAL, max REAL, sum REAL, count INTEGER,"
        " last REAL, last_time INTEGER, PRIMARY KEY(step, time, series)) WITHOUT ROWID",
    ),
    (  # from here on events.hash is a blob of 16 bytes; older rows keep their integer, and are hashed anew when needed
        "ALTER TABLE series ADD COLUMN last INTEGER NOT NULL DEFAULT 0",
        "UPDATE series SET last=(SELECT coalesce(max(time), 0) FROM rollups)",
        f"CREATE INDEX executions_active ON executions(begun, execution_id) WHERE status NOT IN {ENDED}",
    ),
    (
        "CREATE TABLE outbox(n INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, channel TEXT NOT NULL,"
        " status TEXT NOT NULL, changed INTEGER NOT NULL, body BLOB NOT NULL)",
        "CREATE INDEX outbox_status ON outbox(status, channel, n)",
        "CREATE INDEX outbox_channel ON outbox(channel, n)",
        "CREATE INDEX outbox_changed ON outbox(changed) WHERE status<>'waiting'",
    ),
)
CHECK_BELOW = 64 << 20
"""Bytes up to which the whole file is checked at start; a larger one would hold the start up, and its damage is told when it is met."""


def connect(file: Path, synchronous: str) -> sqlite3.Connection:
    """Open ``file`` for writing, made or migrated. Raises `StorageError`; a file that is refused stays as it was."""
    try:
        head = b""
        if file.exists():
            with file.open("rb") as stream:
                head = stream.read(16)
        if head and head != b"SQLite format 3\0":
            raise StorageError(f"{file} is damaged or not a database; it was left alone: move it away or restore a backup")
        db = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise StorageError(f"cannot open {file}: {error}; check the path and its permissions") from error
    try:
        _check(db, file)
        _migrate(db, synchronous)
    except sqlite3.Error as error:
        db.close()
        raise StorageError(f"{file} is damaged or cannot be written ({error}); it was left alone") from error
    except StorageError:
        db.close()
        raise
    return db


def _check(db: sqlite3.Connection, file: Path) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    owner = db.execute("PRAGMA application_id").fetchone()[0]
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if owner != APPLICATION_ID and (owner or tables):
        raise StorageError(f"{file} belongs to another program; choose another storage.path")
    if version > len(MIGRATIONS):
        raise StorageError(f"{file} has schema {version}, this qflowd knows {len(MIGRATIONS)}; use the newer qflowd")
    if tables and file.stat().st_size < CHECK_BELOW:
        verdict = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise StorageError(f"{file} is damaged ({' '.join(verdict.split())}); it was left alone: move it away or restore a backup")


def _migrate(db: sqlite3.Connection, synchronous: str) -> None:
    db.execute("PRAGMA auto_vacuum=INCREMENTAL")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute(f"PRAGMA synchronous={synchronous}")
    db.execute("PRAGMA cache_size=-32768")
    for version in range(db.execute("PRAGMA user_version").fetchone()[0], len(MIGRATIONS)):
        db.execute("BEGIN IMMEDIATE")
        for statement in MIGRATIONS[version]:
            db.execute(statement)
        db.execute(f"PRAGMA application_id={APPLICATION_ID}")
        db.execute(f"PRAGMA user_version={version + 1}")
        db.execute("COMMIT")
