"""The storage on real files."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from qflowd.model import Event
from qflowd.storage import Batch, QueueFull, SeriesPoints, Storage, StorageError


def opened(path: Path, **more) -> Storage:
    storage = Storage(path, clock=lambda: 1000, **more)
    storage.open()
    return storage


def event(n: int) -> Event:
    return Event("test", str(n), "flow.started", n, {"executionId": f"x{n % 3}"})


def test_reopen_keeps_events_and_knows_duplicates(tmp_path):
    storage = opened(tmp_path)
    assert storage.append([event(1), event(1), event(2)]).result().new == [True, False, True]
    storage.close()
    storage = opened(tmp_path)
    assert storage.append([event(2), event(3)]).result().new == [False, True]
    assert [n for n, _ in storage.events(limit=9).result()] == [1, 2, 3]
    storage.close()


def test_runs_survive_reopen(tmp_path, monkeypatch):
    monkeypatch.setattr("qflowd.storage.seen.HOT", 10)
    storage = opened(tmp_path)
    for n in range(200):
        storage.append([event(n)]).result()
    storage.close()
    storage = opened(tmp_path)
    assert not any(storage.append([event(n) for n in range(200)]).result().new)
    storage.close()


def test_kill_keeps_what_was_acknowledged_once(tmp_path):
    code = (
        "import sys, pathlib\nfrom qflowd.storage import Storage\nfrom qflowd.model import Event\n"
        "s = Storage(pathlib.Path(sys.argv[1]), clock=lambda: 1)\ns.open()\nn = 0\n"
        "while True:\n s.append([Event('k', str(n), 't', 1, {})]).result()\n print(n, flush=True)\n n += 1\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout
    told = [int(child.stdout.readline()) for _ in range(50)]
    child.kill()
    told += [int(line) for line in child.stdout.read().splitlines() if line]
    child.stdout.close()
    child.wait()
    storage = opened(tmp_path)
    ids = [e.id for _, e in storage.events(limit=1_000_000).result()]
    assert len(ids) == len(set(ids)) and {str(n) for n in told} <= set(ids)
    storage.close()


def test_refusals_leave_the_file(tmp_path):
    storage = opened(tmp_path)
    with pytest.raises(StorageError, match="another qflowd"):
        opened(tmp_path)
    storage.close()
    db = sqlite3.connect(tmp_path / "qflowd.db")
    db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(StorageError, match="newer"):
        opened(tmp_path)
    (tmp_path / "qflowd.db").write_bytes(b"rubbish" * 99)
    with pytest.raises(StorageError, match="damaged"):
        opened(tmp_path)
    assert (tmp_path / "qflowd.db").read_bytes() == b"rubbish" * 99


def test_full_disk_and_queue_limit(tmp_path):
    storage = opened(tmp_path, queue_limit=5000)
    with pytest.raises(QueueFull):
        storage.append([event(n) for n in range(5001)])
    storage._db.execute("PRAGMA max_page_count=40")
    with pytest.raises(StorageError, match="full"):
        storage.append([event(n) for n in range(5000)]).result()
    storage._db.execute("PRAGMA max_page_count=100000")
    assert all(storage.append([event(n) for n in range(4000)]).result().new)
    storage.close()


def test_retention_and_rollups(tmp_path):
    storage = opened(tmp_path)
    storage.append([event(n) for n in range(10)]).result()
    assert storage.retain(5000, {"events": 1000}, 0).result().events == 10
    storage.save(Batch(points=[SeriesPoints("a", {}, [1000, 2000], [1.0, 5.0])], documents=[("k", "a", b"1")])).result()
    storage.save(Batch(points=[SeriesPoints("a", {}, [3000], [3.0])], applied=7)).result()
    row = storage._ro.execute("SELECT min, max, sum, count, last FROM rollups WHERE step=10000").fetchall()
    assert row == [(1.0, 5.0, 9.0, 3, 3.0)]
    assert storage.applied().result() == 7 and storage.documents("k").result() == {"a": b"1"}
    assert sum(len(p.times) for p in storage.points(since=2000).result()) == 2
    storage.close()
