"""What goes into the storage and comes out of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec


class StorageError(Exception):
    """The storage cannot do what was asked; the words say what the operator should do."""


class QueueFull(StorageError):
    """Too many events wait to be committed: the sender should come again later."""


ADVICE = {
    sqlite3.SQLITE_CORRUPT: "the file is damaged: stop qflowd, move it away or restore a backup",
    sqlite3.SQLITE_NOTADB: "the file is damaged: stop qflowd, move it away or restore a backup",
    sqlite3.SQLITE_FULL: "free space or lower storage.max_size",
    sqlite3.SQLITE_READONLY: "check the file's owner and mode",
    sqlite3.SQLITE_BUSY: "another program holds the file",
    sqlite3.SQLITE_IOERR: "check the disk and its free space",
}


def explained(doing: str, file: Path, error: BaseException) -> StorageError:
    """``error`` as a `StorageError` that says what the operator can do."""
    if isinstance(error, StorageError):
        return error
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(error, msgspec.MsgspecError):
        code = sqlite3.SQLITE_CORRUPT
    advice = ADVICE.get(code & 0xFF) if code is not None else None
    told = StorageError(f"cannot {doing} {file}: {error or type(error).__name__}{'; ' + advice if advice else ''}")
    told.__cause__ = error
    return told


class Appended(msgspec.Struct, frozen=True):
    """``new``: per event, false for a duplicate; ``records``: the stored execution records that were wanted."""

    new: list[bool]
    rowid_last: int
    records: dict[str, bytes]


class ExecutionRow(msgspec.Struct, frozen=True):
    """An execution's columns for searching, and its whole ``record``."""

    execution_id: str
    flow_id: str
    status: str
    tenant: str | None
    start_time: int | None
    end_time: int | None
    text: str
    record: bytes


class SeriesPoints(msgspec.Struct, frozen=True):
    """Points of one series; ``times`` and ``values`` are of one length."""

    name: str
    labels: dict[str, str]
    times: list[int]
    values: list[float | None]


class OutboxRow(msgspec.Struct, frozen=True):
    """A notification for a channel with how far it got; ``changed``: when its status last changed, epoch ms."""

    key: str
    channel: str
    status: str
    changed: int
    body: bytes


class Batch(msgspec.Struct, frozen=True):
    """What one ``save`` commits. ``applied``: the event rowid up to which the records are complete; 0 leaves it.
    ``outbox`` adds notifications and leaves those that are known as they are; ``deliveries`` replaces them."""

    executions: Sequence[ExecutionRow] = ()
    applied: int = 0
    points: Sequence[SeriesPoints] = ()
    documents: Sequence[tuple[str, str, bytes | None]] = ()
    history: Sequence[tuple[str, str, int, bytes]] = ()
    outbox: Sequence[OutboxRow] = ()
    deliveries: Sequence[OutboxRow] = ()


class Retained(msgspec.Struct, frozen=True):
    """Rows removed by one slice; ``oversize`` of them went only because of the size; ``more``: call again."""

    events: int
    executions: int
    points: int
    oversize: int
    more: bool
    history: int = 0
    outbox: int = 0
