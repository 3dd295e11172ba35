"""The messages that all servers send: ``stream_update`` as the page gets them each second, some 1 kB, half that compressed."""

from __future__ import annotations

import json
import random
import time
from typing import Any

STREAM = "fanout"
VARIANTS = 64
"""So many messages differ before they repeat: more than a compressor's window of 32 kB remembers."""


def micros() -> int:
    """Now in microseconds since 1970."""
    return time.time_ns() // 1000


def sample(variant: int, moment: Any) -> dict[str, Any]:
    """What the host and the flows did: fresh figures, with as many digits as measured ones have. ``moment`` in µs."""
    chance = random.Random(variant)
    timing = {
        name: {p: chance.uniform(1, 5000) for p in ("p50", "p95", "p99")} for name in ("flowExecution", "validation", "stepExecution")
    }
    throughput = {name: chance.uniform(0, 900) for name in ("flowsPerSecond", "flowsPerMinute", "validationsPerSecond", "stepsPerSecond")}
    errors = {name: chance.random() for name in ("flowExecution", "validation", "stepExecution", "overall")}
    network = {name: chance.uniform(0, 1e6) for name in ("receiveBytesPerSecond", "transmitBytesPerSecond")}
    usage = {name: chance.random() for name in ("cpu", "memory", "swap", "load1", "disk", "storage")}
    return {
        "sampledAt": moment,
        "latency": timing,
        "throughput": throughput,
        "errorRates": errors,
        "resourceUtilization": {**usage, "network": network},
        "timestamp": 1_700_000_000_000,
    }


SAMPLES = [sample(variant, 0) for variant in range(VARIANTS)]


def templates() -> list[str]:
    """The whole messages, with a byte 1 where their number and their moment belong."""
    found = []
    for variant in range(VARIANTS):
        head = {"type": "stream_update", "timestamp": 1_700_000_000_000, "stream": STREAM, "epoch": "1", "seq": "SEQ"}
        text = json.dumps({**head, "data": sample(variant, "MOMENT")}, separators=(",", ":"))
        found.append(text.replace('"SEQ"', "\x01").replace('"MOMENT"', "\x01"))
    return found


class Source:
    """The messages of a server that knows no streams."""

    def __init__(self) -> None:
        self._seq = 0
        self._parts = [text.split("\x01") for text in templates()]

    def next(self) -> str:
        """The next message, sampled at this moment."""
        self._seq += 1
        before, between, after = self._parts[self._seq % VARIANTS]
        return f"{before}{self._seq}{between}{micros()}{after}"


class Samples:
    """The same for a server that numbers and frames by itself."""

    def __init__(self) -> None:
        self._seq = 0

    def next(self) -> dict[str, Any]:
        """The data of the next message, sampled at this moment."""
        self._seq += 1
        return {**SAMPLES[self._seq % VARIANTS], "sampledAt": micros()}
