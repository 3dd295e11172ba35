"""``qflowd emit``: sends one event, or a file of them. 0 all taken, 1 something was not, 2 usage."""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from qflowd.client import DEFAULT_URL, cloud_event, rejected_text
from qflowd.spool import Spool, Transport, batches, default_spool


class _Usage(Exception):
    pass


def add(subparsers: Any) -> None:
    """Registers the command."""
    parser = subparsers.add_parser("emit", help="send an event, or a file of events", description=(
        "Sends one CloudEvent of TYPE, or with --ndjson every line of a file. Exits 0 when qflowd took everything, 1 when it "
        "did not, 2 for a usage mistake."))
    parser.add_argument("type", nargs="?", metavar="TYPE", help="the event's type, as q.qflow.exec.started.v1")
    parser.add_argument("--data", metavar="JSON|@FILE|-", help="the data: JSON, a file that holds it, or - for stdin")
    parser.add_argument("--source", help="who sends it (default: //HOST/emit)")
    parser.add_argument("--id", help="its id; the same source and id is taken once (default: a new one)")
    parser.add_argument("--time", help="when it happened, RFC 3339 (default: now)")
    parser.add_argument("--ndjson", metavar="FILE", help="send a file of one event a line; - for stdin")
    parser.add_argument("--url", help="where qflowd is (default: $QFLOWD_URL or http://127.0.0.1:8080)")
    parser.add_argument("--token-file", metavar="FILE", help="file with the token (default: $QFLOWD_TOKEN)")
    parser.add_argument("--spool", action="store_true", help="keep the events on disk for later while qflowd is down")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Sends, and says on stderr what went wrong."""
    try:
        lines = _lines(arguments)
        token = _read(arguments.token_file, "--token-file").decode().strip() if arguments.token_file else None
        transport = Transport(arguments.url or os.environ.get("QFLOWD_URL") or DEFAULT_URL,
                              token or os.environ.get("QFLOWD_TOKEN"), 10.0)
    except _Usage as error:
        return _say(str(error), 2)
    except ValueError as error:
        return _say(f"--url: {error}", 2)
    failed = False
    offset = 0
    for batch in batches(lines):
        reply = transport.post(batch)
        if reply.outcome == "later":
            rest = lines[offset:]
            message = f"qflowd at {transport.url} cannot be reached or cannot take events: {reply.message}"
            if not arguments.spool:
                return _say(f"{message} ({len(rest)} not sent; --spool keeps them for later)", 1)
            spool = Spool(default_spool())
            try:
                spool.append(rest)
            except OSError as error:
                return _say(f"{message}; and the spool {spool.path} cannot be written: {error}", 1)
            return _say(f"{message}; {len(rest)} kept in {spool.path}", int(failed))
        for entry in reply.rejected:
            failed = True
            where = f"line {offset + int(entry.get('index', 0)) + 1}: " if arguments.ndjson else ""
            _say(f"{where}refused: {rejected_text(entry)}", 1)
        if reply.outcome == "refused" and not reply.rejected:
            failed = True
            _say(f"refused: {reply.message}", 1)
        offset += len(batch)
    return int(failed)


def _say(message: str, code: int) -> int:
    print(f"qflowd emit: {message}", file=sys.stderr)
    return code


def _read(name: str, option: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise _Usage(f"{option}: {error}") from None


def _lines(arguments: argparse.Namespace) -> list[bytes]:
    if arguments.ndjson:
        if arguments.type or arguments.data is not None or arguments.id or arguments.time or arguments.source:
            raise _Usage("--ndjson holds whole events: TYPE, --data, --source, --id and --time do not go with it")
        lines = [line for line in _read(arguments.ndjson, "--ndjson").split(b"\n") if line.strip()]
        if not lines:
            raise _Usage(f"--ndjson: {arguments.ndjson} holds no event")
        return lines
    if not arguments.type:
        raise _Usage("TYPE or --ndjson FILE is needed")
    data: Any = {}
    if arguments.data is not None:
        text = arguments.data.encode()
        if arguments.data == "-" or arguments.data.startswith("@"):
            text = _read(arguments.data.removeprefix("@"), "--data")
        try:
            data = json.loads(text)
        except ValueError as error:
            raise _Usage(f"--data is not JSON: {error}") from None
    at = None
    if arguments.time:
        try:
            moment = datetime.fromisoformat(arguments.time)
        except ValueError:
            raise _Usage(f"--time {arguments.time!r} is not RFC 3339, as 2026-01-31T12:00:00Z") from None
        if moment.tzinfo is None:
            raise _Usage(f"--time {arguments.time!r} has no offset; add Z or +01:00")
        at = moment.timestamp()
    return [cloud_event(arguments.type, data, arguments.source or f"//{socket.gethostname()}/emit", name=arguments.id, at=at)]
