"""Which events were seen: a set of the newest hashes, and sorted files of older ones that are searched through mmap.

The truth is the ``hash`` column of ``events``; files are derived from it, so that one lost or torn is made again.
"""

from __future__ import annotations

import mmap
import os
import sqlite3
from array import array
from bisect import bisect_left
from hashlib import blake2b
from pathlib import Path

HOT = 131_072
MERGE = 8


def hash_of(source: str, id: str) -> int:
    """64 signed bits naming ``(source, id)``."""
    return int.from_bytes(blake2b(f"{source}\0{id}".encode(errors="surrogatepass"), digest_size=8).digest(), "little", signed=True)


class Run:
    """A sorted file of hashes of the events ``first`` to ``last``."""

    def __init__(self, file: Path) -> None:
        self.file = file
        first, last, count = file.stem.split("-")
        self.first, self.last, self.count = int(first), int(last), int(count)
        if file.stat().st_size != self.count * 8 or not self.count:
            raise ValueError(file)
        with file.open("rb") as stream:
            self.view = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)).cast("q")

    def __contains__(self, value: int) -> bool:
        place = bisect_left(self.view, value)
        return place < self.count and self.view[place] == value


class Seen:
    """Exact membership of hashes; memory holds at most about ``HOT`` of them."""

    def __init__(self, folder: Path, db: sqlite3.Connection) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.runs: list[Run] = []
        known, top = 0, db.execute("SELECT coalesce(max(n), 0) FROM events").fetchone()[0]
        bottom = db.execute("SELECT coalesce(min(n), 0) FROM events").fetchone()[0]
        for file in sorted(folder.glob("*.run"), key=lambda f: (int(f.stem.split("-")[0]), -int(f.stem.split("-")[1]))):
            first, last = (int(part) for part in file.stem.split("-")[:2])
            try:
                if (first == known + 1 or (not self.runs and first <= bottom)) and last <= top:
                    self.runs.append(Run(file))
                    known = last
                    continue
            except ValueError:
                pass
            file.unlink()
        self.first, self.last = known + 1, known
        self.hot: set[int] = set()
        for number, value in db.execute("SELECT n, hash FROM events WHERE n > ? ORDER BY n", (known,)):
            self.hot.add(value)
            self.last = number
            self.settle()

    def __contains__(self, value: int) -> bool:
        return value in self.hot or any(value in run for run in self.runs)

    def settle(self) -> None:
        """Move the hot hashes to a file when there are enough. Call after a commit, with ``last`` set to its last rowid."""
        if len(self.hot) < HOT:
            return
        self.runs.append(self._write(self.first, self.last, sorted(self.hot)))
        self.hot, self.first = set(), self.last + 1
        small = [run for run in self.runs if run.count < HOT * MERGE]
        if len(small) >= MERGE:
            merged = self._write(small[0].first, small[-1].last, sorted(value for run in small for value in run.view))
            self.runs = [run for run in self.runs if run not in small] + [merged]
            for run in small:
                run.file.unlink()

    def forget(self, bottom: int) -> None:
        """Drop the files whose events are all older than rowid ``bottom``."""
        while self.runs and self.runs[0].last < bottom:
            self.runs.pop(0).file.unlink()

    def _write(self, first: int, last: int, values: list[int]) -> Run:
        file = self.folder / f"{first}-{last}-{len(values)}.run"
        part = file.with_suffix(".part")
        with part.open("wb") as stream:
            array("q", values).tofile(stream)
            stream.flush()
            os.fsync(stream.fileno())
        part.rename(file)
        return Run(file)
