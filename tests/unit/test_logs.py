from __future__ import annotations

import io
import json
import logging
import os

from qflowd import logs


def record(message="hello", level=logging.INFO, created=1000.0, **extra):
    fields = {"name": "q", "levelno": level, "levelname": logging.getLevelName(level), "msg": message}
    made = logging.makeLogRecord(fields | extra)
    made.created = created
    return made


def test_logfmt_is_one_line_whatever_is_in_it():
    line = logs.LineFormatter("logfmt").format(record('a\nb "c" \x1b[0m', port=80, ok=True))
    assert line == 'time=1970-01-01T00:16:40.000Z level=info logger=q msg="a\\nb \\"c\\" \\u001b[0m" port=80 ok=true'


def test_json_and_priorities():
    line = logs.LineFormatter("json", journal=True).format(record(level=logging.ERROR))
    assert line.startswith("<3>") and json.loads(line[3:])["msg"] == "hello"
    assert [logs.priority(level) for level in (50, 40, 30, 20, 10)] == [2, 3, 4, 6, 7]


def test_journal_only_where_the_stream_is_the_journal(tmp_path):
    with open(tmp_path / "x", "w") as file:
        status = os.fstat(file.fileno())
        assert logs.to_journal(file, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
        assert not logs.to_journal(file, {"JOURNAL_STREAM": "1:2"}) and not logs.to_journal(file, {})
    assert not logs.to_journal(io.StringIO(), {"JOURNAL_STREAM": "1:2"})


def test_repeated_errors_are_counted():
    repeats = logs.Repeats(window=60)
    assert [repeats.filter(record(level=logging.ERROR, created=at)) for at in (0.0, 1.0, 59.0)] == [True, False, False]
    later = record(level=logging.ERROR, created=61.0)
    assert repeats.filter(later) and "repeated=2" in logs.LineFormatter("logfmt").format(later)
    assert all(repeats.filter(record()) for _ in range(3))


def test_configure_twice_writes_once():
    root = logging.getLogger()
    before, level, stream = list(root.handlers), root.level, io.StringIO()
    try:
        logs.configure("info", stream=stream, environment={})
        logs.configure("warning", stream=stream, environment={})
        logging.getLogger("tornado.access").warning("once")
        logging.getLogger("x").info("never")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        logging.captureWarnings(False)
    assert stream.getvalue().count("\n") == 1 and "msg=once" in stream.getvalue()
