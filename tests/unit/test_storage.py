"""The storage on real files."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from qflowd.model import Event
from qflowd.storage import Batch, ExecutionRow, QueueFull, SeriesPoints, Storage, StorageError


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
    gate = threading.Event()
    held = storage._put(lambda: gate.wait(10))
    alone = storage.append([event(n) for n in range(100_000, 105_001)])
    with pytest.raises(QueueFull):
        storage.append([event(200_000)])
    gate.set()
    assert held.result() and all(alone.result().new)
    storage._db.execute("PRAGMA max_page_count=40")
    with pytest.raises(StorageError, match="full"):
        storage.append([event(n) for n in range(5000)]).result()
    storage._db.execute("PRAGMA max_page_count=100000")
    assert all(storage.append([event(n) for n in range(4000)]).result().new)
    storage.close()


def test_retention_and_rollups(tmp_path):
    storage = opened(tmp_path)
    storage.append([event(n) for n in range(10)]).result()
    assert storage.retain(5000, {"events": 1000}, 0).result().events == 0, "the records do not hold them yet"
    storage.save(Batch(applied=6)).result()
    assert storage.retain(5000, {"events": 1000}, 0).result().events == 6
    assert [n for n, _ in storage.events(limit=99).result()] == [7, 8, 9, 10]
    storage.save(Batch(points=[SeriesPoints("a", {}, [1000, 2000], [1.0, 5.0])], documents=[("k", "a", b"1")])).result()
    storage.save(Batch(points=[SeriesPoints("a", {}, [3000], [3.0])], applied=7)).result()
    row = storage._ro.execute("SELECT min, max, sum, count, last FROM rollups WHERE step=10000").fetchall()
    assert row == [(1.0, 5.0, 9.0, 3, 3.0)]
    assert storage.applied().result() == 7 and storage.documents("k").result() == {"a": b"1"}
    assert sum(len(p.times) for p in storage.points(since=2000).result()) == 2
    storage.close()


def execution(n: int, status: str = "completed", *, flow: str = "f", tenant: str | None = None, text: str = "", end: int | None = None) -> ExecutionRow:
    return ExecutionRow(f"x{n}", flow, status, tenant, n, end, text, f"record {n}".encode())


class Gate:
    """Holds the writer's thread until let go, so that what follows is committed as one group."""

    def __init__(self, storage: Storage) -> None:
        self.free, inside = threading.Event(), threading.Event()
        storage._put(lambda: (inside.set(), self.free.wait(10)))
        assert inside.wait(10)


def test_seen_files_go_only_after_the_commit(tmp_path, monkeypatch):
    monkeypatch.setattr("qflowd.storage.seen.HOT", 10)
    storage = opened(tmp_path)
    for n in range(30):
        storage.append([event(n)]).result()
    storage.save(Batch(applied=30)).result()
    real = storage._db

    class Refusing:
        def __getattr__(self, name):
            return getattr(real, name)

        def execute(self, sql, *values):
            if sql == "COMMIT":
                raise sqlite3.OperationalError("disk I/O error")
            return real.execute(sql, *values)

    storage._db = Refusing()
    with pytest.raises(StorageError, match="I/O"):
        storage.retain(5000, {"events": 1000}, 0).result()
    storage._db = real
    assert len(list((tmp_path / "seen").iterdir())) == 3
    assert not any(storage.append([event(n) for n in range(30)]).result().new)
    assert storage.retain(5000, {"events": 1000}, 0).result().events == 30
    storage.save(Batch()).result()
    assert not list((tmp_path / "seen").iterdir())
    storage.close()


def test_an_append_right_after_a_result_is_not_refused(tmp_path):
    storage = opened(tmp_path, queue_limit=10)
    for data, first in (({}, 0), ({"x": object()}, 100)):  # one is committed, one fails
        followed, done = [], threading.Event()

        def follow(_, first=first, followed=followed, done=done):  # runs in the writer's thread, while the future resolves
            try:
                followed.append(storage.append([event(first + 50 + n) for n in range(10)]))
            finally:
                done.set()

        gate = Gate(storage)
        storage.append([Event("a", f"{first + n}", "t", 1, data) for n in range(10)]).add_done_callback(follow)
        gate.free.set()
        assert done.wait(10) and all(followed[0].result(10).new)
    assert storage.stats()["queueDepth"] == 0
    storage.close()


def test_one_bad_job_fails_alone_and_the_writer_goes_on(tmp_path, caplog):
    storage = opened(tmp_path)
    gate = Gate(storage)
    first = storage.append([event(1)])
    bad = storage.append([event(2), Event("a", "b", "t", 1, {"x": object()})])
    second = storage.append([event(1), event(2)])
    gate.free.set()
    assert first.result(10).new == [True]
    with pytest.raises(StorageError):
        bad.result(10)
    assert second.result(10).new == [False, True]
    assert "cannot store" in caplog.text
    assert [n for n, _ in storage.events(limit=9).result()] == [1, 2]
    storage.close()


@pytest.mark.parametrize("name", ["settle", "forget"])
def test_trouble_after_the_commit_is_logged_only(tmp_path, monkeypatch, caplog, name):
    storage = opened(tmp_path)

    def fail(*_):
        raise RuntimeError("merge went wrong")

    monkeypatch.setattr(storage._seen, name, fail)
    assert storage.append([event(1)]).result(10).new == [True]
    storage.retain(0, {}, 0).result(10)
    assert storage.append([event(1), event(2)]).result(10).new == [False, True]
    storage.close()
    assert "merge went wrong" in caplog.text


def test_even_a_broken_commit_leaves_nobody_waiting(tmp_path, monkeypatch, caplog):
    storage = opened(tmp_path)

    def fail(jobs):
        raise SystemExit("odd")

    with monkeypatch.context() as patch:
        patch.setattr(storage, "_commit", fail)
        with pytest.raises(StorageError, match="odd"):
            storage.append([event(1)]).result(10)
    assert storage.append([event(1)]).result(10).new == [True]
    assert storage.stats()["queueDepth"] == 0 and "odd" in caplog.text
    storage.close()


def test_a_waiter_that_gives_up_does_not_harm(tmp_path):
    storage = opened(tmp_path)
    gate = Gate(storage)
    assert not storage.append([event(1)]).cancel()
    gate.free.set()
    assert storage.append([event(1)]).result(10).new == [False]
    storage.close()
    with pytest.raises(StorageError, match="closed"):
        storage.append([event(2)])
    with pytest.raises(StorageError, match="closed"):
        storage.applied()


def test_retention_of_executions_history_points_and_series(tmp_path):
    storage = opened(tmp_path)
    hour = 3_600_000
    storage.save(Batch(
        executions=[execution(1, end=10), execution(2, end=100 * hour), execution(3, "running"), execution(4, "stale")],
        history=[("alert", "a", 10, b"old"), ("alert", "a", 100 * hour, b"new")],
        points=[SeriesPoints("a", {}, [1000], [1.0])],
    )).result()
    storage.save(Batch(points=[SeriesPoints("b", {}, [100 * hour], [1.0])])).result()
    kept = {"executions": 50 * hour, "history": 50 * hour, "10s": hour, "1m": 50 * hour, "1h": 1000 * hour}
    done = storage.retain(100 * hour, kept, 0).result()
    assert (done.executions, done.history, done.points, done.more) == (2, 1, 3, False)
    assert {row.execution_id for row in storage.executions(limit=9, cursor=None).result()} == {"x2", "x3"}
    assert [body for _, _, body in storage.history("alert", limit=9).result()] == [b"new"]
    assert [p.name for p in storage.points(since=0).result()] == ["b"]
    assert storage._ro.execute("SELECT step, time FROM rollups WHERE time<9 ORDER BY step").fetchall() == [(hour, 0)]
    storage.retain(1100 * hour, kept, 0).result()
    storage.retain(1103 * hour, kept, 0).result()
    assert storage._ro.execute("SELECT count(*) FROM rollups").fetchone() == (0,)
    assert storage._ro.execute("SELECT count(*) FROM series").fetchone() == (0,)
    assert storage.retain(1103 * hour, {}, 0).result().history == 0, "what is not named stays"
    storage.close()


def test_max_bytes_takes_applied_events_then_executions_then_points(tmp_path):
    storage = opened(tmp_path)
    last = storage.append([event(n) for n in range(5000)]).result().rowid_last
    storage.save(Batch(
        executions=[execution(n, end=n, text="x" * 100) for n in range(2500)] + [execution(9999, "running")],
        points=[SeriesPoints("a", {}, [n * 1000 for n in range(999)], [1.0] * 999)], applied=last - 10,
    )).result()
    before, told = storage.stats()["bytes"], []
    for _ in range(20):
        told.append(storage.retain(0, {}, 1).result())
        if not told[-1].more:
            break
    assert [(t.events > 0, t.executions > 0, t.points > 0) for t in told[:6]] == [
        (True, False, False)] * 3 + [(False, True, False)] * 2 + [(False, False, True)]
    assert sum(t.events for t in told) == 4990 and sum(t.executions for t in told) == 2500 and not told[-1].more
    assert sum(t.oversize for t in told) == sum(t.events + t.executions + t.points for t in told)
    assert [n for n, _ in storage.events(limit=99).result()] == list(range(last - 9, last + 1))
    assert storage.recent_executions(active_only=False, limit=9).result() == [b"record 9999"]
    assert storage.retain(0, {}, 10 << 20).result().oversize == 0
    storage.close()
    assert storage.stats()["bytes"] < before


def test_damage_past_the_header_is_told(tmp_path, monkeypatch):
    storage = opened(tmp_path)
    storage.append([event(n) for n in range(3000)]).result()
    storage.close()
    file = tmp_path / "qflowd.db"
    content = bytearray(file.read_bytes())
    whole = bytes(content)
    content[20 * 4096 : 60 * 4096] = b"\xa5" * (40 * 4096)
    file.write_bytes(content)
    with pytest.raises(StorageError, match="damaged.*backup"):
        opened(tmp_path)
    assert file.read_bytes() == content, "left alone"
    file.write_bytes(whole)
    storage = opened(tmp_path)  # a file too large to be checked at the start
    storage.close()
    monkeypatch.setattr("qflowd.storage.schema.CHECK_BELOW", 0)
    file.write_bytes(content)
    with pytest.raises(StorageError, match="damaged.*backup"):
        storage = opened(tmp_path)
        try:
            storage.events(limit=5000).result()
        finally:
            storage.close()


def test_damage_met_while_reading_is_told(tmp_path):
    storage = opened(tmp_path)
    storage.append([event(1)]).result()
    storage._put(lambda: storage._db.execute("UPDATE events SET body=x'c1'")).result()
    with pytest.raises(StorageError, match="damaged.*backup"):
        storage.events(limit=1).result()
    storage.close()


def test_half_a_hash_in_common_is_no_duplicate(tmp_path, monkeypatch):
    monkeypatch.setattr("qflowd.storage.seen.HOT", 10)
    monkeypatch.setattr("qflowd.storage.write.hash_of", lambda source, id: (7 << 64) | int(id))
    storage = opened(tmp_path)
    for n in range(35):
        assert storage.append([event(n)]).result().new == [True]
    assert storage.append([event(n) for n in range(35)]).result().new == [False] * 35
    storage.close()
    storage = opened(tmp_path)
    assert storage.append([event(n) for n in range(36)]).result().new == [False] * 35 + [True]
    storage.close()


def test_lost_torn_and_foreign_seen_files_are_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr("qflowd.storage.seen.HOT", 10)
    storage = opened(tmp_path)
    for n in range(100):
        storage.append([event(n)]).result()
    storage.close()
    for at, file in enumerate(sorted((tmp_path / "seen").glob("*.run"))):
        file.write_bytes(b"") if at % 2 else file.unlink()
    (tmp_path / "seen" / "odd.run").write_bytes(b"x")
    (tmp_path / "seen" / "1-2-2.part").write_bytes(b"x")
    storage = opened(tmp_path)
    assert not any(storage.append([event(n) for n in range(100)]).result().new)
    storage.close()


def test_a_file_of_schema_1_is_brought_up(tmp_path):
    from qflowd.storage.schema import APPLICATION_ID, MIGRATIONS
    from qflowd.storage.write import ENCODER

    db = sqlite3.connect(tmp_path / "qflowd.db")
    for statement in MIGRATIONS[0]:
        db.execute(statement)
    db.execute("INSERT INTO events(n, hash, received, time, body) VALUES(1, -5, 1, 1, ?)", (ENCODER.encode(event(1)),))
    db.execute(f"PRAGMA application_id={APPLICATION_ID}")
    db.execute("PRAGMA user_version=1")
    db.commit()
    db.close()
    storage = opened(tmp_path)
    assert storage.append([event(1), event(2)]).result().new == [False, True]
    storage.close()


def test_executions_are_filtered_in_pages(tmp_path):
    storage = opened(tmp_path)
    storage.save(Batch(executions=[
        execution(n, ("completed", "failed", "running")[n % 3], flow=f"f{n % 2}", tenant="t" if n < 5 else None, text=f"Night load {n}")
        for n in range(1, 21)
    ])).result()

    def found(**filters) -> list[int]:
        rows = storage.executions(**{"cursor": None, "limit": 99, **filters}).result()
        return [int(row.execution_id[1:]) for row in rows]

    assert found() == list(range(20, 0, -1))
    assert found(flow="f1", end=6) == [5, 3, 1] and found(tenant="t", start=3) == [4, 3]
    assert found(status=["failed", "running"], start=18) == [20, 19] and found(status=["failed"], flow="f0") == [16, 10, 4]
    assert found(text="load 2") == [20, 2] and found(text="") == found() and found(text="%") == []
    storage.save(Batch(executions=[execution(9, "failed", text="again"), ExecutionRow("none", "f", "running", None, None, None, "", b"n")])).result()
    pages, cursor = [], None
    while rows := storage.executions(cursor=cursor, limit=6).result():
        pages += [row.execution_id for row in rows]
        cursor = (rows[-1].start_time or 0, rows[-1].execution_id)
    assert pages == [f"x{n}" for n in range(20, 0, -1)] + ["none"]
    assert storage.executions(cursor=None, limit=1).result() == [execution(20, "running", flow="f0", text="Night load 20")]
    assert storage.execution("x9").result() == b"record 9" and storage.execution("y").result() is None
    storage.close()


def test_recent_executions_want_and_events(tmp_path):
    storage = opened(tmp_path)
    storage.save(Batch(executions=[execution(n, "running" if n % 2 else "failed") for n in range(1000)])).result()
    assert storage.recent_executions(active_only=True, limit=2).result() == [b"record 999", b"record 997"]
    assert storage.recent_executions(active_only=False, limit=2).result() == [b"record 999", b"record 998"]
    plan = storage._ro.execute("EXPLAIN QUERY PLAN SELECT record FROM executions WHERE status NOT IN"
                               " ('completed','failed','aborted','timeout') ORDER BY begun DESC, execution_id DESC").fetchall()
    assert "executions_active" in str(plan)
    appended = storage.append([event(n) for n in range(1, 10)], want=[f"x{n}" for n in range(2000)]).result()
    assert len(appended.records) == 1000 and appended.records["x7"] == b"record 7" and appended.rowid_last == 9
    assert storage.append([event(10)], want=["none"]).result().records == {}
    assert [n for n, _ in storage.events(execution_id="x1", limit=2, newest_first=True).result()] == [10, 7]
    assert [n for n, _ in storage.events(after_rowid=3, before_rowid=6, limit=9).result()] == [4, 5]
    storage.close()


def test_history_newest_first_by_key_and_page(tmp_path):
    storage = opened(tmp_path)
    storage.save(Batch(history=[("alert", f"k{n % 2}", n, f"{n}".encode()) for n in range(6)] + [("audit", "k0", 9, b"a")])).result()
    rows = storage.history("alert", limit=4).result()
    assert [body for _, _, body in rows] == [b"5", b"4", b"3", b"2"]
    assert [when for _, when, _ in storage.history("alert", before=rows[-1][0], limit=9).result()] == [1, 0]
    assert [when for _, when, _ in storage.history("alert", key="k0", limit=9).result()] == [4, 2, 0]
    storage.save(Batch(documents=[("d", "a", b"1"), ("d", "b", b"2")])).result()
    storage.save(Batch(documents=[("d", "a", None), ("d", "b", b"3")])).result()
    assert storage.documents("d").result() == {"b": b"3"}
    storage.close()


def test_a_foreign_file_is_refused(tmp_path):
    db = sqlite3.connect(tmp_path / "qflowd.db")
    db.execute("CREATE TABLE theirs(x)")
    db.commit()
    db.close()
    content = (tmp_path / "qflowd.db").read_bytes()
    with pytest.raises(StorageError, match="another program"):
        opened(tmp_path)
    assert (tmp_path / "qflowd.db").read_bytes() == content


def test_a_directory_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write in"):
        opened(tmp_path / "file" / "state")
    if os.getuid():
        (tmp_path / "shut").mkdir(mode=0o500)
        with pytest.raises(StorageError, match="cannot write in"):
            opened(tmp_path / "shut")


def test_decisions_of_one_rule_are_bounded_and_give_way_to_a_full_disk(tmp_path):
    storage = opened(tmp_path)
    for start in range(0, 2100, 700):
        storage.save(Batch(history=[("decision", "busy", n, b"%d" % n) for n in range(start, start + 700)])).result()
    storage.save(Batch(history=[("decision", "calm", 5, b"calm"), *(("alert", "busy", n, b"a") for n in range(1500))])).result()
    rows = storage.history("decision", key="busy", limit=5000).result()
    assert [int(body) for _, _, body in rows] == list(range(2099, 1099, -1))
    assert len(storage.history("decision", key="calm", limit=9).result()) == 1
    assert len(storage.history("alert", limit=5000).result()) == 1500, "other kinds have no bound"
    assert storage.retain(0, {}, 1).result().history == 2000, "the journal is over its size: the oldest go"
    storage.close()
