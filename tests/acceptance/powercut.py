"""A power cut for a process that ran below the shim of ``powercut.c``: what it had not synced is dropped, all or in part.

What is sure to survive: the content of a file up to its last completed sync; a name given or taken up to the last completed sync of its
directory. A new file's name also survives once the file itself was synced: POSIX does not say so, but ext4, XFS and btrfs do it, and
SQLite relies on it for the database file. Of the rest chance decides, change by change; a write may be torn between sectors.
"""

from __future__ import annotations

import os
import random
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512
HEAD = struct.Struct("<cQQII")
IN_FLIGHT = 1 << 20
"""The most bytes that one change may have made between being made and being recorded."""


@dataclass(eq=False)
class File:
    """``now``: as the process saw it; ``safe``: on the disk; ``waiting``: changes in between, (record, offset, data or None for a size)."""

    now: bytearray = field(default_factory=bytearray)
    safe: bytearray = field(default_factory=bytearray)
    waiting: list[tuple[int, int, bytes | None]] = field(default_factory=list)

    def change(self, number: int, at: int, data: bytes | None) -> None:
        apply(self.now, at, data)
        self.waiting.append((number, at, data))

    def synced(self, until: int) -> None:
        for _, at, data in (one for one in self.waiting if one[0] < until):
            apply(self.safe, at, data)
        self.waiting = [one for one in self.waiting if one[0] >= until]


@dataclass
class Name:
    """A change of a directory: ``path`` becomes ``file``, or with ``gone`` no longer is; a rename also takes ``old``."""

    number: int
    path: str
    file: File
    gone: bool = False
    old: str = ""

    def apply(self, names: dict[str, File]) -> None:
        if self.old and names.get(self.old) is self.file:
            del names[self.old]
        if not self.gone:
            names[self.path] = self.file
        elif names.get(self.path) is self.file:
            del names[self.path]

    def within(self, directory: str) -> bool:
        return directory in (os.path.dirname(self.path), os.path.dirname(self.old or self.path))


@dataclass
class Cut:
    """What a cut met: syncs completed, unsynced changes, and how many of these were not kept whole."""

    syncs: int = 0
    writes: int = 0
    waiting: int = 0
    lost: int = 0


def apply(content: bytearray, at: int, data: bytes | None) -> None:
    end = at if data is None else at + len(data)
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    if data is None:
        del content[at:]
    else:
        content[at:end] = data


def records(log: Path) -> Iterator[tuple[str, int, int, bytes, bytes]]:
    """(kind, inode, number, first, second). The last one may be torn: its change was under way when the process was killed."""
    text = log.read_bytes()
    at = 0
    while at + HEAD.size <= len(text):
        kind, inode, number, a, b = HEAD.unpack_from(text, at)
        at += HEAD.size
        if at + a + b > len(text):
            return
        yield kind.decode(), inode, number, text[at : at + a], text[at + a : at + a + b]
        at += a + b


class Disk:
    """The directory ``root`` as on a disk, between cuts; ``logs`` is the shim's directory."""

    def __init__(self, root: Path, logs: Path, seed: int) -> None:
        self.root, self.logs, self.rng = root, logs, random.Random(seed)
        self.names: dict[str, File] = {}
        logs.mkdir(exist_ok=True)

    def cut(self, rate: float) -> Cut:
        """Call when the process is dead. Each unsynced change survives with the probability ``rate``."""
        logs = list(self.logs.iterdir())
        assert len(logs) == 1, f"one process was to write below {self.root}, not {len(logs)}: is the shim loaded?"
        told = Cut()
        safe = self._replay(logs[0], told)
        logs[0].unlink()
        for path, file in safe.items():
            if not path.endswith("-shm"):  # shared memory, not a file's content: SQLite makes it again
                self._survive(file, rate, told)
        self.names = {path: File(file.safe[:], file.safe) for path, file in safe.items() if not path.endswith("-shm")}
        modes = {str(file): file.stat().st_mode & 0o777 for file in self.root.rglob("*")}
        shutil.rmtree(self.root)
        self.root.mkdir()
        for path, file in self.names.items():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_bytes(file.safe)
            Path(path).chmod(modes.get(path, 0o600))
        return told

    def _replay(self, log: Path, told: Cut) -> dict[str, File]:
        """The names on the disk, those without a sync decided by chance when all is known; ``told`` is filled in."""
        names, safe = self.names, dict(self.names)
        inodes: dict[int, File] = {}
        waiting: list[Name] = []
        begun: dict[int, tuple[int, str, File | None]] = {}

        def settle(sure: list[Name]) -> None:
            for change in sure:
                change.apply(safe)
                waiting.remove(change)

        for number, (kind, inode, value, first, second) in enumerate(records(log)):
            path = first.decode() if kind in "OURDMBbX" else ""
            if kind == "O":
                if path not in names:
                    names[path] = File()
                    waiting.append(Name(number, path, names[path]))
                inodes[inode] = names[path]
                if value:
                    inodes[inode].change(number, 0, None)
            elif kind == "W":
                told.writes += 1
                inodes[inode].change(number, value, first)
            elif kind == "T":
                inodes[inode].change(number, value, None)
            elif kind == "R":
                change = Name(number, second.decode(), names[path], old=path)
                change.apply(names)
                waiting.append(change)
            elif kind == "U":
                change = Name(number, path, names[path], gone=True)
                change.apply(names)
                waiting.append(change)
            elif kind in "Bb":
                begun[value] = number, path, inodes[inode] if kind == "B" else None
            elif kind == "E":
                until, path, file = begun.pop(value)
                told.syncs += 1
                if file:
                    file.synced(until)
                    settle([one for one in waiting if one.file is file and not one.gone and not one.old and one.number < until])
                else:
                    settle([one for one in waiting if one.within(path) and one.number < until])
            elif kind == "X":
                raise AssertionError(f"the shim does not know how to record: {path}")
            # directories ("M", "D") are there when something in them is
        self._compare(names)
        for change in waiting:
            told.waiting += 1
            if self.rng.random() < 0.5:
                change.apply(safe)
            else:
                told.lost += 1
        return safe

    def _compare(self, names: dict[str, File]) -> None:
        """What was recorded is what there is, but for one change that was under way: or the shim has missed something."""
        found = {str(file): file for file in self.root.rglob("*") if file.is_file() and not file.name.endswith("-shm")}
        known = {path: file for path, file in names.items() if not path.endswith("-shm")}
        wrong = sorted(found.keys() ^ known.keys())
        for path in found.keys() & known.keys():
            there, told = found[path].read_bytes(), bytes(known[path].now)
            if there != told:
                size = max(len(there), len(told))
                differ = [at for at in range(0, size, SECTOR) if there[at : at + SECTOR] != told[at : at + SECTOR]]
                longest = differ[-1] + SECTOR - differ[0]
                assert longest <= IN_FLIGHT or len(there) < len(told), f"{path}: {longest} bytes were changed unseen"
                wrong.append(path)
        assert len(wrong) <= 1, f"changed unseen by the shim: {wrong}"

    def _survive(self, file: File, rate: float, told: Cut) -> None:
        for _, at, data in file.waiting:
            told.waiting += 1
            if self.rng.random() < rate:
                apply(file.safe, at, data)
                continue
            told.lost += 1
            if data is not None and rate and self.rng.random() < 0.3:
                start = at
                while start < at + len(data):
                    end = min(start - start % SECTOR + SECTOR, at + len(data))
                    if self.rng.random() < 0.5:
                        apply(file.safe, start, data[start - at : end - at])
                    start = end
        file.waiting = []
