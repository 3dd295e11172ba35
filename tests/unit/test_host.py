from __future__ import annotations

import socket
from pathlib import Path

from qflowd.sources.host import HostSampler


def test_series_and_labels():
    sampler = HostSampler()
    sampler.sample(1_000_000)
    found = sampler.sample(1_001_000)
    names = {sample.name for sample in found}
    assert {"memory_utilization", "swap_utilization", "load1", "load5", "load15", "disk_utilization", "disk_free_bytes"} <= names
    assert all(sample.labels["host"] == socket.gethostname() and sample.time == 1_001_000 for sample in found)
    assert all(0 <= s.value <= 1 for s in found if s.value is not None and "utilization" in s.name)
    assert len({(s.name, tuple(sorted(s.labels.items()))) for s in found}) == len(found)


def test_cpu_over_the_interval():
    sampler = HostSampler()
    sampler._cores = [(0.0, 0.0)] * len(sampler._cores)  # as if booted just before
    assert any(sample.name == "cpu_utilization" for sample in sampler.sample(1000))


def test_pressure_from_totals(tmp_path: Path):
    (tmp_path / "cpu").write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\n")
    sampler = HostSampler(pressure=str(tmp_path))
    sampler.sample(1000)
    (tmp_path / "cpu").write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=1250000\n")
    got = [s for s in sampler.sample(2000) if s.name == "pressure_some"]
    assert [(s.labels["resource"], s.value) for s in got] == [("cpu", 0.25)]


def test_rates_skip_resets_and_clock_steps():
    sampler = HostSampler()
    assert list(sampler._rates("r", "w", {"a": (0, 10)}, {"a": (50, 5), "b": (1, 1)}, 1.0)) == []
    assert list(sampler._rates("r", "w", {"a": (0, 0)}, {"a": (50, 5)}, 0.0)) == []
    assert [v for _, _, v in sampler._rates("r", "w", {"a": (0, 0)}, {"a": (50, 5)}, 2.0)] == [25.0, 2.5]
