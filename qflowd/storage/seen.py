"""Which events were seen: a set of the newest hashes, and sorted files of older ones that are searched through mmap.

The truth is the table ``events``; files are derived from it, so that one lost or torn is made again. A hash has 128 bits:
two events that share one are not met, so that no row has to be read to tell a duplicate.
"""

from __future__ import annotations

import mmap
import os
import re
import sqlite3
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from heapq import merge
from pathlib import Path

import msgspec

from qflowd.model import Event

HOT = 131_072
LOW = (1 << 64) - 1
MERGE = 8
SIEVE = 27
NAME = re.compile(r"(\d+)-(\d+)-(\d+)\.run")
EVENT = msgspec.msgpack.Decoder(Event)


def hash_of(source: str, id: str) -> int:
    """128 bits naming ``(source, id)``."""
    return int.from_bytes(blake2b(f"{source}\0{id}".encode(errors="surrogatepass"), digest_size=16).digest())


class Run:
    """A sorted file of hashes of the events ``first`` to ``last``: all upper halves, then all lower ones."""

    def __init__(self, file: Path) -> None:
        self.file = file
        first, last, count = file.stem.split("-")
        self.first, self.last, self.count = int(first), int(last), int(count)
        if file.stat().st_size != self.count * 16 or not self.count:
            raise ValueError(file)
        with file.open("rb") as stream:
            view = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)).cast("Q")
        self.high, self.low = view[: self.count], view[self.count :]

    def __contains__(self, value: int) -> bool:
        high, low = value >> 64, value & LOW
        guess, slack = high * self.count >> 64, int(4 * self.count**0.5) + 1  # hashes are spread evenly
        start, stop = max(guess - slack, 0), min(guess + slack, self.count)
        if (start and self.high[start - 1] >= high) or (stop < self.count and self.high[stop] < high):
            start, stop = 0, self.count
        place = bisect_left(self.high, high, start, stop)
        while place < self.count and self.high[place] == high:
            if self.low[place] == low:
                return True
            place += 1
        return False

    def __iter__(self) -> Iterator[int]:
        return (high << 64 | low for high, low in zip(self.high, self.low, strict=True))


class Sieve:
    """Says of most hashes that no file holds them, at the cost of one bit looked at: 16 MiB, made with the first file.

    Each hash sets one of 2**27 bits, so that at 5 million one in 27 new hashes is searched for in vain.
    """

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, uppers: Iterable[int]) -> None:
        """Take in hashes by their upper 64 bits."""
        if not self._bits:
            self._bits = bytearray(1 << SIEVE - 3)
        bits = self._bits
        for upper in uppers:
            place = upper >> 64 - SIEVE
            bits[place >> 3] |= 1 << (place & 7)

    def may_hold(self, value: int) -> bool:
        """False where no file holds the 128-bit hash ``value``."""
        if not self._bits:
            return False
        place = value >> 128 - SIEVE
        return bool(self._bits[place >> 3] >> (place & 7) & 1)


class Seen:
    """Exact membership of hashes; memory holds at most about ``HOT`` of them, and the sieve."""

    def __init__(self, folder: Path, db: sqlite3.Connection) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.runs: list[Run] = []
        self.sieve = Sieve()
        known, top = 0, db.execute("SELECT coalesce(max(n), 0) FROM events").fetchone()[0]
        bottom = db.execute("SELECT coalesce(min(n), 0) FROM events").fetchone()[0]
        for part in folder.glob("*.part"):
            part.unlink()
        files = [(int(name[1]), -int(name[2]), file) for file in folder.glob("*.run") if (name := NAME.fullmatch(file.name))]
        for first, negative, file in sorted(files):
            last = -negative
            try:
                if (first == known + 1 or (not self.runs and first <= bottom)) and last <= top:
                    run = Run(file)
                    self.sieve.add(run.high)
                    self.runs.append(run)
                    known = last
                    continue
            except ValueError:
                pass
            file.unlink()
        self.first, self.last = known + 1, known
        self.hot: set[int] = set()
        self.again = 0
        sql = "SELECT n, hash, CASE typeof(hash) WHEN 'blob' THEN NULL ELSE body END FROM events WHERE n > ? ORDER BY n"
        for number, value, body in db.execute(sql, (known,)):
            if body is None:
                self.hot.add(int.from_bytes(value))
            else:
                event = EVENT.decode(body)
                self.hot.add(hash_of(event.source, event.id))
            self.last = number
            self.settle()

    def __contains__(self, value: int) -> bool:
        return value in self.hot or (self.sieve.may_hold(value) and any(value in run for run in self.runs))

    def settle(self) -> None:
        """Move the hot hashes to a file when there are enough. Call after a commit, with ``last`` set to its last rowid."""
        if len(self.hot) < max(HOT, self.again):
            return
        self.again = len(self.hot) + HOT // 8  # not at each commit, should the disk be full
        self.runs.append(self._write(self.first, self.last, sorted(self.hot)))
        self.sieve.add(value >> 64 for value in self.hot)
        self.hot, self.first, self.again = set(), self.last + 1, 0
        small = [run for run in self.runs if run.count < HOT * MERGE]
        if len(small) >= MERGE:
            merged = self._write(small[0].first, small[-1].last, merge(*small))
            self.runs = [run for run in self.runs if run not in small] + [merged]
            for run in small:
                run.file.unlink()

    def forget(self, bottom: int) -> None:
        """Drop the files whose events are all older than rowid ``bottom``."""
        while self.runs and self.runs[0].last < bottom:
            self.runs.pop(0).file.unlink()

    def _write(self, first: int, last: int, values: Iterable[int]) -> Run:
        high, low = array("Q"), array("Q")
        for value in values:
            high.append(value >> 64)
            low.append(value & LOW)
        file = self.folder / f"{first}-{last}-{len(high)}.run"
        part = file.with_suffix(".part")
        with part.open("wb") as stream:
            high.tofile(stream)
            low.tofile(stream)
            stream.flush()
            os.fsync(stream.fileno())
        part.rename(file)
        return Run(file)
