"""The seed's own examples, to the letter, on its own ports."""

from __future__ import annotations

import multiprocessing
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.daemon import Daemon, until

SEED = Path(__file__).parent / "seed"
WS = Path(__file__).parents[2] / "web" / "node_modules" / "ws"
SEED_PORTS = "websocket: {heartbeat_interval: 1s}\nlogging: {level: info}\n"


@pytest.fixture
def seed(start: Callable[..., Daemon]) -> Daemon:
    return start(SEED_PORTS)


def test_the_javascript_client_prints_updates(seed: Daemon, tmp_path: Path) -> None:
    preload = tmp_path / "preload.cjs"
    preload.write_text(f"globalThis.WebSocket = require({str(WS)!r});\n")
    client = subprocess.Popen(
        ["node", "--require", str(preload), str(SEED / "client.js")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert client.stdout is not None
        began = time.monotonic()
        late: list[str] = []
        text: list[str] = []
        while time.monotonic() - began < 15:
            line = client.stdout.readline()
            assert line, f"the client ended: {''.join(text)}"
            text.append(line)
            if time.monotonic() - began > 3.5 and "stream_update" in line:
                late.append(line)
                if len(late) >= 1:
                    break
        assert late, "".join(text)
        assert "welcome" in "".join(text) and "subscription_confirmed" in "".join(text)
    finally:
        client.kill()
        client.wait()
        client.stdout.close()


def burn(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_the_curl_example_makes_a_rule_that_fires_under_load_and_resolves(seed: Daemon) -> None:
    script = (SEED / "rule.sh").read_text().replace("curl ", "curl -sS -i ", 1)
    for _ in range(2):
        answer = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
        assert " 201 " in answer.splitlines()[0], answer
    location = re.search(r"^Location: (\S+)", answer, re.M)
    assert location, answer
    burners = [multiprocessing.get_context("spawn").Process(target=burn, args=(25,)) for _ in range(os.cpu_count() or 1)]
    for one in burners:
        one.start()
    try:
        until(lambda: seed.get(location[1])["state"] == "firing", 24, "firing")
    finally:
        for one in burners:
            one.terminate()
            one.join()
    until(lambda: seed.get(location[1])["state"] == "inactive", 24, "resolved")
