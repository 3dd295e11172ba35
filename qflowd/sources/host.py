"""The host itself as series: processor, memory, disks, network, pressure, temperatures (see metrics.md).

What changes slowly (mounts, disk usage, sensors) is read every 10 to 30 s and repeated in between.
"""

from __future__ import annotations

import os
import re
import socket
import warnings
from collections.abc import Callable, Iterable, Mapping

import psutil

from qflowd.model import Sample

MAX_DEVICES = 32
"""At most so many disks, mounts, network devices, sensors: each is a series or two."""
_NOT_DISKS = re.compile(r"^(loop|ram|zram|sr|fd|dm-.*-)\d*")
_NOT_NETWORKS = re.compile(r"^(lo$|veth|docker|br-|virbr|cali|flannel|cni|vnet|tap)")
_NOT_REAL = frozenset({"squashfs", "iso9660", "udf", "tmpfs", "devtmpfs", "proc", "sysfs", "cgroup", "cgroup2", "autofs"})
_MOUNTS_EVERY = 30_000
_USAGE_EVERY = 10_000


class HostSampler:
    """Reads the host once a second. Rates are over the time since the last ``sample``."""

    def __init__(self, *, host: str | None = None, pressure: str = "/proc/pressure") -> None:
        self._host = host or socket.gethostname()
        self._labels = {"host": self._host}
        self._label_cache: dict[tuple[str, str], dict[str, str]] = {}
        self._pressure = pressure
        self._cores = self._core_times()
        self._last: int | None = None
        self._disk_counters: Mapping[str, tuple[int, int]] = {}
        self._net_counters: Mapping[str, tuple[int, int]] = {}
        self._stalls: dict[tuple[str, str], int] = {}
        self._mounts: list[str] = []
        self._mounts_at: int | None = None
        self._slow: list[tuple[str, dict[str, str], float]] = []
        self._slow_at: int | None = None
        self._whole_disks: frozenset[str] | None = None

    def sample(self, now: int) -> list[Sample]:
        """Every series that can be read here, at ``now`` (epoch ms). What cannot be read is left out."""
        seconds = 0.0 if self._last is None else (now - self._last) / 1000
        self._last = now
        values: list[tuple[str, dict[str, str], float]] = []
        readers: tuple[Callable[[], Iterable[tuple[str, dict[str, str], float]]], ...] = (
            self._processor, self._memory, lambda: self._slowly(now), lambda: self._disks(seconds),
            lambda: self._network(seconds), lambda: self._stalled(seconds))
        for read in readers:
            try:
                values.extend(read())
            except (OSError, psutil.Error, ValueError, RuntimeError, NotImplementedError):
                continue  # containers hide some of /proc; the other series go on
        return [Sample(name, labels, now, value) for name, labels, value in values]

    def _label(self, key: str, value: str) -> dict[str, str]:
        found = self._label_cache.get((key, value))
        if found is None:
            if len(self._label_cache) > 1000:
                self._label_cache.clear()
            found = self._label_cache[(key, value)] = {"host": self._host, key: value}
        return found

    @staticmethod
    def _core_times() -> list[tuple[float, float]]:
        """(busy, total) seconds of each core. Guest time is part of user time already."""
        cores = []
        for times in psutil.cpu_times(percpu=True):
            total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
            cores.append((total - times.idle - getattr(times, "iowait", 0.0), total))
        return cores

    def _processor(self) -> list[tuple[str, dict[str, str], float]]:
        found = []
        before, self._cores = self._cores, self._core_times()
        if len(before) == len(self._cores):
            busy = total = 0.0
            for core, ((busy_before, total_before), (busy_now, total_now)) in enumerate(zip(before, self._cores, strict=True)):
                spent = total_now - total_before
                worked = max(0.0, busy_now - busy_before)
                if spent > 0:
                    found.append(("cpu_core_utilization", self._label("core", str(core)), min(1.0, worked / spent)))
                    busy, total = busy + worked, total + spent
            if total > 0:
                found.append(("cpu_utilization", self._labels, min(1.0, busy / total)))
        for name, value in zip(("load1", "load5", "load15"), os.getloadavg(), strict=True):
            found.append((name, self._labels, value))
        return found

    def _memory(self) -> list[tuple[str, dict[str, str], float]]:
        memory = psutil.virtual_memory()
        found = [("memory_utilization", self._labels, (memory.total - memory.available) / memory.total)] if memory.total else []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # psutil warns where /proc/vmstat is hidden; not needed here
            swap = psutil.swap_memory()
        found.append(("swap_utilization", self._labels, swap.used / swap.total if swap.total else 0.0))
        return found

    def _slowly(self, now: int) -> list[tuple[str, dict[str, str], float]]:
        if self._mounts_at is None or not 0 <= now - self._mounts_at < _MOUNTS_EVERY:
            self._mounts_at = now
            self._mounts = _real_mounts()
            self._whole_disks = _whole_disks()
        if self._slow_at is None or not 0 <= now - self._slow_at < _USAGE_EVERY:
            self._slow_at = now
            self._slow = [*self._usage(), *self._temperatures()]
        return self._slow

    def _usage(self) -> Iterable[tuple[str, dict[str, str], float]]:
        for mount in self._mounts:
            try:
                usage = psutil.disk_usage(mount)
            except OSError:
                continue
            if usage.total:
                labels = self._label("mount", mount)
                yield "disk_utilization", labels, usage.percent / 100
                yield "disk_free_bytes", labels, float(usage.free)

    def _temperatures(self) -> Iterable[tuple[str, dict[str, str], float]]:
        read = getattr(psutil, "sensors_temperatures", None)
        if read is None:
            return
        seen: dict[str, float] = {}
        for chip, sensors in read().items():
            for number, sensor in enumerate(sensors):
                if sensor.current is None:
                    continue
                name = f"{chip}/{sensor.label or number}"
                seen[name if name not in seen else f"{name}#{number}"] = float(sensor.current)
        for name in sorted(seen)[:MAX_DEVICES]:
            yield "host_temperature_celsius", self._label("sensor", name), seen[name]

    def _disks(self, seconds: float) -> Iterable[tuple[str, dict[str, str], float]]:
        counters = psutil.disk_io_counters(perdisk=True, nowrap=False) or {}
        whole = self._whole_disks
        names = [name for name in sorted(counters) if not _NOT_DISKS.match(name) and (whole is None or name in whole)]
        before = self._disk_counters
        self._disk_counters = {name: (counters[name].read_bytes, counters[name].write_bytes) for name in names[:MAX_DEVICES]}
        return self._rates("disk_read_bytes_per_second", "disk_write_bytes_per_second", before, self._disk_counters, seconds)

    def _network(self, seconds: float) -> Iterable[tuple[str, dict[str, str], float]]:
        counters = psutil.net_io_counters(pernic=True, nowrap=False) or {}
        # Where there is nothing but the loopback it is better than an empty panel.
        names = [name for name in sorted(counters) if not _NOT_NETWORKS.match(name)] or [n for n in counters if n == "lo"]
        before = self._net_counters
        self._net_counters = {name: (counters[name].bytes_recv, counters[name].bytes_sent) for name in names[:MAX_DEVICES]}
        return self._rates(
            "network_receive_bytes_per_second", "network_transmit_bytes_per_second", before, self._net_counters, seconds)

    def _rates(self, first: str, second: str, before: Mapping[str, tuple[int, int]], after: Mapping[str, tuple[int, int]],
               seconds: float) -> Iterable[tuple[str, dict[str, str], float]]:
        """Nothing for devices that are new, whose counters went back, or when the clock did."""
        if seconds <= 0:
            return
        for name, (one, two) in after.items():
            old = before.get(name)
            if old is not None and one >= old[0] and two >= old[1]:
                labels = self._label("device", name)
                yield first, labels, (one - old[0]) / seconds
                yield second, labels, (two - old[1]) / seconds

    def _stalled(self, seconds: float) -> Iterable[tuple[str, dict[str, str], float]]:
        """Pressure from the kernel's total stall time (µs), exact over the interval where avg10 would lag."""
        for resource in ("cpu", "memory", "io"):
            try:
                with open(f"{self._pressure}/{resource}", encoding="ascii") as file:
                    text = file.read()
            except OSError:
                continue  # a kernel without PSI
            for line in text.splitlines():
                kind, _, rest = line.partition(" ")
                if kind not in ("some", "full"):
                    continue
                total = int(rest.rpartition("total=")[2])
                old = self._stalls.get((kind, resource))
                self._stalls[(kind, resource)] = total
                if old is not None and total >= old and seconds > 0:
                    yield f"pressure_{kind}", self._label("resource", resource), min(1.0, (total - old) / 1e6 / seconds)


def _real_mounts() -> list[str]:
    """One mount for each device, the shortest; the root alone in containers, where no device is seen."""
    by_device: dict[str, str] = {}
    for part in psutil.disk_partitions(all=False):
        if part.fstype in _NOT_REAL or os.path.basename(part.device).startswith("loop") or not os.path.isdir(part.mountpoint):
            continue
        known = by_device.get(part.device)
        if known is None or len(part.mountpoint) < len(known):
            by_device[part.device] = part.mountpoint
    return sorted(by_device.values())[:MAX_DEVICES] or ["/"]


def _whole_disks() -> frozenset[str] | None:
    """Names of disks that are no partitions; ``None`` where the kernel does not tell."""
    try:
        return frozenset(os.listdir("/sys/block")) or None
    except OSError:
        return None
