"""The real daemon under the load of many: viewers, events, a network that comes back, and a long run.

Each scenario gives the bounds that it has to keep. Delays are from the moment in a message to its receipt, in ms.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.fanout.bounds import Bound
from benchmarks.fanout.comparison import settle
from benchmarks.fanout.payload import STREAM
from benchmarks.fanout.processes import CORES, Load, Server, cpu_seconds, resident
from benchmarks.fanout.traffic import Prober, Sender
from tests.daemon import Daemon, until

STATE = "~performance_metrics"
EACH_SECOND = '"interval":1000,'
MESSAGES = "flow_executions,event_log"
BATCH_MS = 50
CONFIG = """\
server: {{address: 127.0.0.1, port: 0}}
websocket: {{address: 127.0.0.1, port: 0, max_clients: {clients}}}
"""


@contextmanager
def daemon(clients: int) -> Iterator[Daemon]:
    """A daemon on the servers' core that lets so many clients in."""
    with tempfile.TemporaryDirectory() as directory:
        started = Daemon(Path(directory), CONFIG.format(clients=clients + 100)).start()
        for thread in os.listdir(f"/proc/{started.pid}/task"):
            os.sched_setaffinity(int(thread), CORES[:1])
        try:
            yield started
        finally:
            started.stop()
        text = started.log.read_text()
        if "Traceback" in text or "level=error" in text:
            raise RuntimeError(f"the daemon's log:\n{text}")


def port(place: Daemon) -> int:
    return int(place.addresses["websocket"].rsplit(":", 1)[1])


def faults(report: dict[str, Any], *names: str) -> float:
    return float(sum(report[name] for name in names))


def delays(report: dict[str, Any]) -> str:
    """The delays in words."""
    return "delay p50 {p50:.0f} p99 {p99:.0f} max {max:.0f} ms".format(**report["delay"])


def answers(prober: Prober) -> str:
    """How long HTTP took, in words."""
    return f"HTTP p50 {prober.quantile(0.5):.0f} p99 {prober.quantile(0.99):.0f} max {max(prober.taken):.0f} ms"


def viewers(clients: int, seconds: float) -> Iterator[Bound]:
    """So many clients see the figures of each second; HTTP and rules go on beside."""
    name = f"{clients:,} viewers at 1 Hz"
    with Server("bare") as bare, Load(bare.port, STREAM, "sampledAt", "/", "-w") as load:
        load.connect(clients)
        load.reset()
        bare.rate(1)
        time.sleep(min(seconds, 5))
        bare.rate(0)
        sweep = settle(load)["delay"]["p99"]
    with daemon(clients) as place, Load(port(place), STATE, "timestamp", "/", "-x", EACH_SECOND) as load:
        load.connect(clients, 1_000)
        time.sleep(2)
        with Prober(place.addresses["http"]) as prober:
            load.reset()
            began = cpu_seconds(place.pid)
            time.sleep(seconds)
            used = cpu_seconds(place.pid) - began
            report = load.report()
        lag = place.metric('qflowd_loop_lag_seconds{quantile="1"}') * 1000
    print(f"{name}: {report['updates']:,} updates in {seconds:.0f} s, {delays(report)}, {used / seconds:.0%} of a core, "
          f"{answers(prober)}, load's core {report['cpu'] / report['seconds']:.0%}")  # fmt: skip
    limit = 2 * sweep if clients > 5_000 else 100.0
    yield Bound(f"{name}: delay p99", report["delay"]["p99"], limit, "ms")
    yield Bound(f"{name}: updates left out", faults(report, "skipped", "gaps", "lost"), 0)
    yield Bound(f"{name}: missing of one a second", max(0.0, clients * (seconds - 1) - report["updates"]), 0)
    yield Bound(f"{name}: HTTP p99", prober.quantile(0.99), 50, "ms")
    yield Bound(f"{name}: rules late (the loop's lag, at most)", lag, 100, "ms")


def events(clients: int, seconds: float, a_second: int = 5_000) -> Iterator[Bound]:
    """So many viewers of all executions while events come in."""
    name = f"{clients:,} viewers, {a_second:,} events/s"
    with daemon(clients) as place, Load(port(place), "flow_executions", "timestamp") as load:
        load.connect(clients, 1_000)
        with Prober(place.addresses["http"]) as prober, Sender(place.addresses["http"], a_second) as sender:
            time.sleep(2)
            load.reset()
            began = sender.acknowledged
            time.sleep(seconds)
            rate = (sender.acknowledged - began) / seconds
            report = load.report()
        report |= {key: value for key, value in settle(load).items() if key not in ("delay", "updates", "seconds")}
        accepted = place.metric('qflowd_events_total{outcome="accepted"}')
    print(f"{name}: {rate:,.0f} events/s, {report['updates'] / clients / seconds:.1f} messages/s a viewer, "
          f"{delays(report)}, {answers(prober)}")  # fmt: skip
    yield Bound(f"{name}: messages missed, doubled, lost", faults(report, "gaps", "repeats", "lost", "behind"), 0)
    yield Bound(f"{name}: events not taken", sender.sent - accepted, 0)
    yield Bound(f"{name}: below the wanted rate", max(0.0, a_second * 0.98 - rate), 0)
    yield Bound(f"{name}: p99 beyond the batch", report["delay"]["p99"] - BATCH_MS, 100, "ms")
    yield Bound(f"{name}: messages/s a viewer", report["updates"] / clients / seconds, 20.5)


def storm(clients: int, seconds: float) -> Iterator[Bound]:
    """All connections break in one moment and come back at once, with their positions, while events come in."""
    name = f"storm of {clients:,}"
    with daemon(2 * clients) as place, Load(port(place), MESSAGES, "timestamp") as load:
        load.connect(clients, 1_000)
        with Sender(place.addresses["http"], 20, every=0.5) as sender, Prober(place.addresses["http"]) as prober:
            time.sleep(1)
            load.reset()
            began = time.monotonic()
            load.ask(f"cut {clients}")
            took = time.monotonic() - began
            time.sleep(min(seconds, 3))
        report = settle(load)
    print(f"{name}: all back after {took:.1f} s, {report['recovered']:,} positions recovered, {report['unrecovered']:,} with a snapshot, "
          f"{answers(prober)}, {sender.sent:,} events")  # fmt: skip
    yield Bound(f"{name}: messages missed, doubled, strayed", faults(report, "gaps", "repeats", "strays", "behind"), 0)
    yield Bound(f"{name}: positions lost", clients * 2 - report["recovered"], 0)
    yield Bound(f"{name}: HTTP, at most", max(prober.taken), 250, "ms")
    yield Bound(f"{name}: refused", report["refused"], 0)


def cuts(clients: int, seconds: float) -> Iterator[Bound]:
    """Connections are cut at random all the time; each client gets every message exactly once, or a snapshot."""
    name = f"{clients:,} clients cut at random"
    with daemon(2 * clients) as place, Load(port(place), MESSAGES, "timestamp") as load:
        load.connect(clients, 1_000)
        with Sender(place.addresses["http"], 1_000):
            load.reset()
            load.tell(f"churn {clients / 10}")
            time.sleep(seconds)
            load.tell("churn 0")
        report = until(lambda: not (found := settle(load))["away"] and found, 60, "all are back")
    print(f"{name}: {report['recovered']:,} positions recovered, {report['unrecovered']:,} with a snapshot, {report['updates']:,} messages")
    yield Bound(f"{name}: messages missed, doubled, strayed", faults(report, "gaps", "repeats", "strays", "behind"), 0)
    yield Bound(f"{name}: none recovered", float(not report["recovered"]), 0)


def soak(clients: int, seconds: float) -> Iterator[Bound]:
    """Clients come and go for a long time; memory stays flat: its trend over the last two thirds."""
    name = f"{seconds:,.0f} s with {clients:,} coming and going"
    sizes: list[tuple[float, int]] = []
    with daemon(2 * clients) as place, Load(port(place), f"{MESSAGES},{STATE}", "timestamp") as load:
        load.connect(clients, 1_000)
        with Sender(place.addresses["http"], 200, every=0.5), Prober(place.addresses["http"]) as prober:
            load.tell(f"churn {clients / 20}")
            began = time.monotonic()
            while (passed := time.monotonic() - began) < seconds:
                time.sleep(min(1.0, seconds / 60))
                if passed > seconds / 3:
                    sizes.append((passed, resident(place.pid)))
            load.tell("churn 0")
        report = settle(load)
    growth = trend(sizes) * (sizes[-1][0] - sizes[0][0])
    middle = sorted(size for _, size in sizes)[len(sizes) // 2]
    print(f"{name}: {middle / 1e6:.0f} MB, growth {growth / 1e6:+.1f} MB, {report['updates']:,} updates, {answers(prober)}")
    yield Bound(f"{name}: growth of memory", growth / middle, 0.03)
    yield Bound(f"{name}: messages missed, doubled, strayed", faults(report, "gaps", "repeats", "strays"), 0)


def trend(points: list[tuple[float, int]]) -> float:
    """Least squares: how much the second rises for one of the first."""
    n = len(points)
    x, y = sum(a for a, _ in points) / n, sum(b for _, b in points) / n
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)


@dataclass(frozen=True)
class Scenario:
    """``run(clients, seconds)``; ``clients`` are those of a full run."""

    run: Callable[[int, float], Iterator[Bound]]
    clients: int


SCENARIOS = {
    "viewers": Scenario(viewers, 5_000),
    "crowd": Scenario(viewers, 10_000),
    "events": Scenario(events, 1_000),
    "storm": Scenario(storm, 5_000),
    "cuts": Scenario(cuts, 1_000),
    "soak": Scenario(soak, 500),
}
