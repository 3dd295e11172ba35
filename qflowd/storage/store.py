"""The storage's threads: one that writes, committing all that waits at once, and one that reads."""

from __future__ import annotations

import fcntl
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TextIO, TypeVar

import msgspec

from qflowd.model import Event
from qflowd.storage import read, write
from qflowd.storage.rows import Appended, Batch, ExecutionRow, QueueFull, Retained, SeriesPoints, StorageError, explained
from qflowd.storage.schema import connect
from qflowd.storage.seen import Seen

T = TypeVar("T")
LOG = logging.getLogger("qflowd.storage")


class Job:
    """Work for the writer's thread; ``count``: events of it that wait, 0 once they are committed or refused."""

    __slots__ = ("count", "future", "work")

    def __init__(self, work: Callable[[], Any], future: Future[Any], count: int) -> None:
        self.work, self.future, self.count = work, future, count


class Storage:
    """All results are futures; errors of SQLite arrive in them as `StorageError`."""

    def __init__(self, path: Path, *, synchronous: str = "FULL", queue_limit: int = 50_000, clock: Callable[[], int]) -> None:
        self.path, self.file = path, path / "qflowd.db"
        self.synchronous, self.queue_limit, self.clock = synchronous, queue_limit, clock
        self._jobs: deque[Job] = deque()
        self._wake = threading.Condition()
        self._waiting = self._commits = 0
        self._seconds = 0.0
        self._closing = False
        self._added: list[int] = []
        self._forget = False
        self._lock: TextIO | None = None
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Lock, make or migrate the file, start the threads. Raises `StorageError`."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / "qflowd.lock").open("a")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._unlock()
            raise StorageError(f"{self.path} is in use by another qflowd; stop it or choose another storage.path") from None
        except OSError as error:
            self._unlock()
            raise StorageError(f"cannot write in {self.path}: {error.strerror}; check the directory's owner and mode") from error
        try:
            self._db = connect(self.file, self.synchronous)
        except StorageError:
            self._unlock()
            raise
        try:
            self._seen = Seen(self.path / "seen", self._db)
            row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name='events'").fetchone()
            self._last: int = row[0] if row else 0
            self._ro = sqlite3.connect(f"{self.file.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)
        except (sqlite3.Error, msgspec.MsgspecError, OSError) as error:
            self._db.close()
            self._unlock()
            raise explained("open", self.file, error) from error
        self._pool = ThreadPoolExecutor(1, "qflowd-read")
        self._thread = threading.Thread(target=self._run, name="qflowd-write", daemon=True)
        self._thread.start()

    def _unlock(self) -> None:
        if self._lock:
            self._lock.close()
            self._lock = None

    def _put(self, work: Callable[[], T], count: int = 0) -> Future[T]:
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # what was handed over is done, even if nobody waits for it any more
        with self._wake:
            if self._closing or not self._thread:
                raise StorageError("the storage is closed")
            # One submission over the limit still passes alone: refused, it would be sent again for ever.
            if count and self._waiting and self._waiting + count > self.queue_limit:
                raise QueueFull(f"{self._waiting} events wait to be committed; try again later")
            self._waiting += count
            self._jobs.append(Job(work, future, count))
            self._wake.notify()
        return future

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._jobs and not self._closing:
                    self._wake.wait()
                jobs, self._jobs = list(self._jobs), deque()
            if not jobs:
                return
            try:
                if not self._commit(jobs) and len(jobs) > 1:
                    for job in jobs:
                        self._commit([job])
            except BaseException as error:  # whatever it is, nobody may wait for ever, and the thread goes on
                LOG.exception("the storage's writer failed")
                self._fail([job for job in jobs if not job.future.done()], error)

    def _done(self, jobs: Sequence[Job]) -> None:
        """Their events wait no more: before the futures resolve, so that who goes on by them is not refused."""
        with self._wake:
            for job in jobs:
                self._waiting -= job.count
                job.count = 0

    def _fail(self, jobs: Sequence[Job], error: BaseException) -> None:
        self._done(jobs)
        for job in jobs:
            job.future.set_exception(explained("store in", self.file, error))

    def _commit(self, jobs: Sequence[Job]) -> bool:
        """One transaction. A failure of several is left to be tried one by one, of one is told to its future."""
        began, last, results = time.monotonic(), self._last, []
        self._added, self._forget = [], False
        try:
            self._db.execute("BEGIN IMMEDIATE")
            results = [job.work() for job in jobs]
            self._db.execute("COMMIT")
        except BaseException as error:
            self._last = last
            self._seen.hot.difference_update(self._added)
            try:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
            except sqlite3.Error:
                LOG.exception("cannot roll back in %s", self.file)
            if len(jobs) == 1:
                LOG.error("cannot store in %s: %s", self.file, error, exc_info=not isinstance(error, sqlite3.Error))
                self._fail(jobs, error)
            return False
        self._commits += 1
        self._seconds += time.monotonic() - began
        self._done(jobs)
        for job, result in zip(jobs, results, strict=True):
            job.future.set_result(result)
        try:  # the files are derived: what fails here is tried again by a later commit, or made anew at the next start
            self._seen.last = self._last
            self._seen.settle()
            if self._forget:
                bottom = self._db.execute("SELECT min(n) FROM events").fetchone()[0]
                self._seen.forget(self._seen.first if bottom is None else bottom)
        except Exception:
            LOG.exception("cannot keep the files in %s; duplicates are still known", self._seen.folder)
        return True

    def append(self, events: Sequence[Event], want: Collection[str] = ()) -> Future[Appended]:
        """Store what is new; resolved when it is committed. Raises `QueueFull`."""

        def work() -> Appended:
            new, rows = write.fresh(events, self._seen, self._added)
            self._last = write.events(self._db, rows, self._last, self.clock())
            return Appended(new, self._last, read.records(self._db, want))

        return self._put(work, len(events))

    def save(self, batch: Batch) -> Future[None]:
        """Commit the whole batch or nothing."""
        return self._put(lambda: write.save(self._db, batch))

    def retain(self, now: int, retention: Mapping[str, int], max_bytes: int) -> Future[Retained]:
        """Remove one slice of what is too old or too much.

        ``retention`` in ms: events, executions, history (the outbox too), points (1 s blocks; an hour where it is not named), 10s, 1m, 1h.
        """

        def work() -> Retained:
            self._forget = True
            return write.retain(self._db, now, retention, max_bytes)

        return self._put(work)

    def _get(self, work: Callable[..., T], *args: Any) -> Future[T]:
        def told() -> T:
            try:
                return work(self._ro, *args)
            except (sqlite3.Error, msgspec.MsgspecError) as error:
                raise explained("read", self.file, error) from error

        if self._closing or not self._thread:
            raise StorageError("the storage is closed")
        try:
            return self._pool.submit(told)
        except RuntimeError as error:
            raise StorageError("the storage is closed") from error

    def documents(self, kind: str) -> Future[dict[str, bytes]]:
        return self._get(read.documents, kind)

    def history(self, kind: str, *, key: str | None = None, before: int | None = None, limit: int) -> Future[list[tuple[int, int, bytes]]]:
        """Newest first; ``before`` is a rowid."""
        return self._get(read.history, kind, key, before, limit)

    def outbox(self, *, channel: str | None = None, status: str | None = None, before: int | None = None,
               limit: int, newest_first: bool = False) -> Future[list[tuple[int, bytes]]]:
        """Notifications by rowid, with their bodies."""
        return self._get(read.outbox, channel, status, before, limit, newest_first)

    def outbox_counts(self) -> Future[dict[tuple[str, str], int]]:
        """How many notifications there are by channel and status."""
        return self._get(read.outbox_counts)

    def recent_executions(self, *, active_only: bool, limit: int) -> Future[list[bytes]]:
        return self._get(read.recent, active_only, limit)

    def executions(self, *, flow: str | None = None, status: Sequence[str] = (), tenant: str | None = None,
                   start: int | None = None, end: int | None = None, text: str | None = None,
                   cursor: tuple[int, str] | None = None, limit: int) -> Future[list[ExecutionRow]]:
        """Newest start first; ``cursor`` is (start_time or 0, execution_id) of the last row of the page before."""
        return self._get(read.executions, flow, status, tenant, start, end, text, cursor, limit)

    def execution(self, execution_id: str) -> Future[bytes | None]:
        return self._get(lambda db: read.records(db, [execution_id]).get(execution_id))

    def events(self, *, execution_id: str | None = None, after_rowid: int | None = None, before_rowid: int | None = None,
               limit: int, newest_first: bool = False) -> Future[list[tuple[int, Event]]]:
        return self._get(read.events, execution_id, after_rowid, before_rowid, limit, newest_first)

    def applied(self) -> Future[int]:
        return self._get(read.applied)

    def points(self, *, since: int) -> Future[list[SeriesPoints]]:
        return self._get(read.points, since)

    def stats(self) -> dict[str, float]:
        """Commits, seconds spent in them, events waiting, bytes of the file with its log."""
        size = sum(f.stat().st_size for f in (self.file, Path(f"{self.file}-wal")) if f.exists())
        return {"commits": self._commits, "commitSeconds": self._seconds, "queueDepth": self._waiting, "bytes": size}

    def close(self) -> None:
        """Commit what waits, checkpoint, and let go of the lock. May be called twice."""
        with self._wake:
            if self._closing or not self._thread:
                return
            self._closing = True
            self._wake.notify()
        self._thread.join()
        self._pool.shutdown()
        self._ro.close()
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error:
            pass  # the log stays and is read at the next start
        self._db.close()
        self._unlock()
