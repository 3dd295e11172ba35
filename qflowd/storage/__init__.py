"""The embedded store: events, execution records, series and documents in one SQLite file."""

from qflowd.storage.rows import Appended, Batch, ExecutionRow, OutboxRow, QueueFull, Retained, SeriesPoints, StorageError
from qflowd.storage.store import Storage

__all__ = ["Appended", "Batch", "ExecutionRow", "OutboxRow", "QueueFull", "Retained", "SeriesPoints", "Storage", "StorageError"]
