"""Logs on stderr: one line an event, logfmt or JSON, repeated errors counted.

``logger.info("listening", extra={"port": 8080})`` becomes ``… msg=listening port=8080``.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "repeated"}
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}
_TORNADO = ("tornado", "tornado.access", "tornado.application", "tornado.general")


def to_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """True where ``stream`` is the one systemd-journald reads (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        device, _, inode = environment.get("JOURNAL_STREAM", "").partition(":")
        status = os.fstat(stream.fileno())
        return (int(device), int(inode)) == (status.st_dev, status.st_ino)
    except (ValueError, OSError):
        return False


def priority(level: int) -> int:
    """The syslog priority of a level of ``logging``."""
    return next((number for least, number in _PRIORITIES if level >= least), 7)


def quote(value: Any) -> str:
    """A value of logfmt: bare where it is plain, else quoted, with control characters escaped."""
    if value is None:
        return "null"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if text and all(character.isprintable() and character not in ' ="\\' for character in text):
        return text
    return '"' + "".join(_escape(character) for character in text) + '"'


def _escape(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"


class LineFormatter(logging.Formatter):
    """One record as one line; ``journal`` puts ``<N>`` in front."""

    def __init__(self, form: Literal["logfmt", "json"], *, journal: bool = False) -> None:
        super().__init__()
        self.form, self.journal = form, journal

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {}
        if not self.journal:
            fields["time"] = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
        fields |= {"level": record.levelname.lower(), "logger": record.name, "msg": record.getMessage()}
        fields |= {key: value for key, value in vars(record).items() if key not in _OWN}
        if repeated := getattr(record, "repeated", 0):
            fields["repeated"] = repeated
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        if self.form == "json":
            line = json.dumps(fields, default=str)
        else:
            line = " ".join(f"{key}={quote(value)}" for key, value in fields.items())
        return f"<{priority(record.levelno)}>{line}" if self.journal else line


class Repeats(logging.Filter):
    """Lets a warning or error through once in ``window`` seconds; the next one says how many were held back."""

    def __init__(self, window: float = 60.0, limit: int = 1000) -> None:
        super().__init__()
        self.window, self.limit = window, limit
        self._seen: dict[tuple[Any, ...], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        kind = record.exc_info[0] if record.exc_info else None
        key = (record.name, record.levelno, record.getMessage(), kind)
        first, held = self._seen.get(key, (record.created - self.window, 0))
        if record.created - first < self.window:
            self._seen[key] = (first, held + 1)
            return False
        if len(self._seen) >= self.limit:
            self._seen.pop(next(iter(self._seen)))
        self._seen.pop(key, None)
        self._seen[key] = (record.created, 0)
        record.repeated = held
        return True


def configure(
    level: str = "info",
    form: Literal["logfmt", "json"] = "logfmt",
    *,
    stream: TextIO | None = None,
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Install on the root logger; may be called again on reload."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter(form, journal=to_journal(stream, environment)))
    handler.addFilter(Repeats())
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old.formatter, LineFormatter)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _TORNADO:
        # Tornado's loggers may have got handlers of their own, which would write each line twice.
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.captureWarnings(True)
