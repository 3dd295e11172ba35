"""What goes into the storage and comes out of it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class StorageError(Exception):
    """The storage cannot do what was asked; the words say what the operator should do."""


class QueueFull(StorageError):
    """Too many events wait to be committed: the sender should come again later."""


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


class Batch(msgspec.Struct, frozen=True):
    """What one ``save`` commits. ``applied``: the event rowid up to which the records are complete; 0 leaves it."""

    executions: Sequence[ExecutionRow] = ()
    applied: int = 0
    points: Sequence[SeriesPoints] = ()
    documents: Sequence[tuple[str, str, bytes | None]] = ()
    history: Sequence[tuple[str, str, int, bytes]] = ()


class Retained(msgspec.Struct, frozen=True):
    """Rows removed by one slice; ``oversize`` events went only because of the size; ``more``: call again."""

    events: int
    executions: int
    points: int
    oversize: int
    more: bool
