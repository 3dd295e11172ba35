"""Getting event lines to the daemon: over HTTP (:class:`Transport`), or onto disk till later (:class:`Spool`).

Standard library only: flows import this through :mod:`qflowd.client`.
"""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import http.client
import json
import os
import ssl
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

SEGMENT_BYTES = 1024 * 1024
MAX_BYTES = 64 * 1024 * 1024
BATCH_LINES = 500
BATCH_BYTES = 1024 * 1024


class Reply(NamedTuple):
    """``outcome``: ``ok`` (taken, save for ``rejected``), ``later`` (send again), ``refused`` (never send again)."""

    outcome: str
    message: str
    rejected: list[dict[str, Any]]


class Transport:
    """Posts lines to ``url``/api/v1/events. Never raises on what the network does."""

    def __init__(self, url: str, token: str | None = None, timeout: float = 5.0) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no http:// or https:// address")
        self.url = url
        self._host, self._port, self._tls = parts.hostname, parts.port, parts.scheme == "https"
        self._path = parts.path.rstrip("/") + "/api/v1/events"
        self._token = token
        self._timeout = timeout

    def post(self, lines: Sequence[bytes], timeout: float | None = None) -> Reply:
        """Sends CloudEvents, one a line. A body that is too large is halved and sent in parts."""
        status, reason, answer = self._request(b"\n".join(lines) + b"\n", timeout or self._timeout)
        if status is None:
            return Reply("later", reason, [])
        if status == 413 and len(lines) > 1:
            return self._halved(lines, timeout)
        rejected = [entry for entry in answer.get("rejected") or [] if isinstance(entry, dict)]
        if 200 <= status < 300:
            return Reply("ok", "", rejected)
        message = f"{status} {answer.get('detail') or answer.get('title') or reason}"
        # A missing right is the sender's setting, not the event's fault: what is spooled arrives once it is put right.
        if status >= 500 or status in (401, 403, 408, 429) or status < 400:
            return Reply("later", message, [])
        return Reply("refused", message, rejected)

    def _halved(self, lines: Sequence[bytes], timeout: float | None) -> Reply:
        half = len(lines) // 2
        first, second = self.post(lines[:half], timeout), self.post(lines[half:], timeout)
        moved = [{**entry, "index": entry.get("index", 0) + half} for entry in second.rejected]
        outcomes = {first.outcome, second.outcome}
        outcome = "later" if "later" in outcomes else "ok" if "ok" in outcomes else "refused"
        for part, reply, offset in ((lines[:half], first, 0), (lines[half:], second, half)):
            if reply.outcome == "refused" and not reply.rejected:
                moved += [{"index": offset + i, "errors": [{"path": "", "message": reply.message}]} for i in range(len(part))]
        return Reply(outcome, first.message or second.message, first.rejected + moved)

    def _request(self, body: bytes, timeout: float) -> tuple[int | None, str, dict[str, Any]]:
        headers = {"Content-Type": "application/x-ndjson", "Accept": "application/json"}
        if len(body) > 1024:
            body = gzip.compress(body, 5)
            headers["Content-Encoding"] = "gzip"
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        connection: http.client.HTTPConnection
        if self._tls:
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=timeout, context=ssl.create_default_context())
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        try:
            connection.request("POST", self._path, body, headers)
            response = connection.getresponse()
            text = response.read(4 * 1024 * 1024)
        except (OSError, http.client.HTTPException, ValueError) as error:
            return None, str(error) or type(error).__name__, {}
        finally:
            connection.close()
        try:
            answer = json.loads(text)
        except ValueError:
            answer = {}
        return response.status, response.reason, answer if isinstance(answer, dict) else {}


def default_spool() -> Path:
    """``QFLOWD_SPOOL``, else the user's state directory."""
    given = os.environ.get("QFLOWD_SPOOL")
    if given:
        return Path(given)
    state = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return Path(state) / "qflowd" / "spool"


class Spool:
    """Lines on disk in numbered segments, oldest first, shared by processes through file locks.

    Beyond ``max_bytes`` the oldest segments go, and ``dropped()`` counts their events. All methods raise ``OSError``
    where the disk does.
    """

    def __init__(self, path: Path | str, *, max_bytes: int = MAX_BYTES, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.path = Path(path)
        self._max = max_bytes
        self._segment = min(segment_bytes, max(1, max_bytes // 4))

    def append(self, lines: Sequence[bytes]) -> None:
        """Returns when the lines are on the disk (fsync)."""
        if not lines:
            return
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked("lock"):
            at = 0
            while at < len(lines):
                at += self._write(lines[at:])
            self._trim()

    def drain(self, send: Callable[[list[bytes]], bool]) -> bool:
        """Hands batches to ``send`` until it says False. True when nothing is left; another sender's turn counts as False."""
        if not self.waiting():
            return True
        try:
            with self._locked("send.lock", wait=False):
                for segment in self._segments():
                    if not self._send(segment, send):
                        return False
        except BlockingIOError:
            return False
        return True

    def waiting(self) -> bool:
        """Whether there is something to send."""
        return bool(self._segments())

    def dropped(self) -> int:
        """Events lost to the size limit since the spool was made."""
        try:
            return int((self.path / "dropped").read_text() or 0)
        except (OSError, ValueError):
            return 0

    def _segments(self) -> list[Path]:
        try:
            return sorted((p for p in self.path.iterdir() if ".ndjson" in p.name), key=lambda p: p.name.split(".")[0])
        except OSError:
            return []

    def _write(self, lines: Sequence[bytes]) -> int:
        segments = self._segments()
        last = segments[-1] if segments else None
        if last is None or last.suffix == ".sending" or last.stat().st_size >= self._segment:
            number = int(last.name.split(".")[0]) + 1 if last else 1
            last = self.path / f"{number:012d}.ndjson"
        descriptor = os.open(last, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            taken, parts = 0, []
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                parts.append(b"")  # a line torn by a crash must not swallow the next one
            for line in lines:
                parts.append(line)
                taken += 1
                size += len(line) + 1
                if size >= self._segment:
                    break
            data = memoryview(b"\n".join(parts) + b"\n")
            while data:
                data = data[os.write(descriptor, data):]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return taken

    def _trim(self) -> None:
        sizes = []
        for segment in self._segments():
            with contextlib.suppress(FileNotFoundError):
                sizes.append((segment, segment.stat().st_size))
        total = sum(size for _, size in sizes)
        lost = 0
        for segment, size in sizes[:-1]:
            if total <= self._max:
                break
            with contextlib.suppress(FileNotFoundError):
                lost += segment.read_bytes().count(b"\n")
                segment.unlink()
            total -= size
        if lost:
            (self.path / "dropped").write_text(str(self.dropped() + lost))

    def _send(self, segment: Path, send: Callable[[list[bytes]], bool]) -> bool:
        if segment.suffix != ".sending":
            with self._locked("lock"):  # from here on nobody appends to it
                taken = segment.with_name(segment.name + ".sending")
                try:
                    segment.rename(taken)
                except FileNotFoundError:
                    return True  # trimmed meanwhile
        else:
            taken = segment
        try:
            lines = [line for line in taken.read_bytes().split(b"\n") if line.strip()]
        except FileNotFoundError:
            return True
        for batch in batches(lines):
            if not send(batch):
                return False
        taken.unlink(missing_ok=True)
        return True

    @contextlib.contextmanager
    def _locked(self, name: str, *, wait: bool = True) -> Iterator[None]:
        descriptor = os.open(self.path / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            yield
        finally:
            os.close(descriptor)


def batches(lines: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Parts of at most ``BATCH_LINES`` lines and about ``BATCH_BYTES`` bytes."""
    batch: list[bytes] = []
    size = 0
    for line in lines:
        if batch and (len(batch) >= BATCH_LINES or size + len(line) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line) + 1
    if batch:
        yield batch
