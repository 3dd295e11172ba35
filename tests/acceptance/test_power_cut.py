"""What was acknowledged is there, once, after the power went at random moments: what was not synced is gone, all or in part."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from qflowd.storage import Storage, StorageError
from tests.acceptance.powercut import Cut, Disk
from tests.acceptance.test_durability import EXECUTIONS, everything, post, workload
from tests.daemon import PORTS, Daemon

RATES = (0.0, 0.5, 0.1, 0.9)
CHILD = """
import itertools, sys, time
from pathlib import Path
from qflowd.model import Event
from qflowd.storage import Storage
storage = Storage(Path(sys.argv[1]), synchronous=sys.argv[2], clock=lambda: int(time.time() * 1000))
storage.open()
for first in itertools.count(0, 20):
    storage.append([Event("cut", str(n), "flow.progress", n, {"executionId": f"x{n // 10}"}) for n in range(first, first + 20)]).result()
    print(first + 20, flush=True)
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.fail("the power cut needs gcc to build tests/acceptance/powercut.c: apt-get install gcc libc6-dev")
    made = tmp_path_factory.mktemp("shim") / "powercut.so"
    source = Path(__file__).with_name("powercut.c")
    done = subprocess.run(
        [gcc, "-shared", "-fPIC", "-O2", "-Wall", "-o", made, source, "-ldl", "-lpthread"], capture_output=True, text=True
    )
    if done.returncode:
        pytest.fail(f"gcc could not build {source}:\n{done.stderr}")
    return made


def environment(patch: pytest.MonkeyPatch, shim: Path, disk: Disk) -> None:
    patch.setenv("LD_PRELOAD", str(shim))
    patch.setenv("POWERCUT_ROOT", str(disk.root))
    patch.setenv("POWERCUT_LOG", str(disk.logs))


def start(daemon: Daemon, shim: Path, disk: Disk, records: int = 0) -> None:
    """Start below the shim; with ``records`` the daemon dies after so many changes and syncs."""
    with pytest.MonkeyPatch.context() as patch:
        environment(patch, shim, disk)
        patch.setenv("POWERCUT_KILL", str(records))
        patch.setenv("POWERCUT_SYNC", "3000")
        daemon.start()


def test_nothing_acknowledged_is_lost_to_a_power_cut(tmp_path: Path, shim: Path) -> None:
    tmp_path = tmp_path.resolve()
    events = workload(time.time() - 300)
    calm_directory, rough_directory = tmp_path / "calm", tmp_path / "rough"
    calm_directory.mkdir()
    rough_directory.mkdir()
    calm = Daemon(calm_directory, PORTS).start()
    stop = threading.Event()
    try:
        post(calm, events, [0], stop)
        expected = everything(calm)
    finally:
        calm.stop()
    assert len(expected) == EXECUTIONS

    rough = Daemon(rough_directory, PORTS)
    disk = Disk(rough.state, tmp_path / "logs", seed=11)
    start(rough, shim, disk)
    acknowledged = [0]
    sender = threading.Thread(target=post, args=(rough, events, acknowledged, stop))
    sender.start()
    rng = random.Random(11)
    cuts: list[Cut] = []
    try:
        for number in range(10):
            if number % 2:  # amid a commit or a checkpoint; else whenever it may be
                assert rough.process is not None
                rough.process.wait(30)
            else:
                goal = (number + 1) * len(events) // 11
                while acknowledged[0] < goal and sender.is_alive():
                    time.sleep(0.002)
                time.sleep(rng.uniform(0, 0.05))
            rough.kill()
            cuts.append(disk.cut(RATES[number // 2 % len(RATES)]))
            start(rough, shim, disk, rng.randrange(100, 450) if number % 2 == 0 else 0)
        sender.join(60)
        assert acknowledged[0] == len(events)
        assert everything(rough) == expected
        again = rough.send(events[:500]).json
        assert again == {"accepted": 0, "duplicates": 500, "rejected": []}
        rough.kill()
        cuts.append(disk.cut(0))
        start(rough, shim, disk)
        assert everything(rough) == expected
        assert rough.stop() == 0
    finally:
        stop.set()
        sender.join()
        if rough.process is not None and rough.process.poll() is None:
            rough.kill()
    print(*cuts, sep="\n")
    assert all(cut.syncs > 0 for cut in cuts)
    assert sum(cut.lost for cut in cuts) > 0, "no cut found anything to drop"


def survivors(directory: Path, shim: Path, synchronous: str, rate: float) -> tuple[int, int]:
    """Events acknowledged before one cut, and events found after it; a file that is damaged holds none."""
    directory.mkdir()
    disk = Disk(directory.resolve() / "state", directory / "logs", seed=3)
    with pytest.MonkeyPatch.context() as patch:
        environment(patch, shim, disk)
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(disk.root), synchronous], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child.stdout:
        acknowledged = 0
        while acknowledged < 4000:
            line = child.stdout.readline()
            assert line, "the child ended"
            acknowledged = int(line)
        child.kill()
        child.wait()
        # the last line may be torn no less than a record
        acknowledged = max([acknowledged, *(int(line) for line in child.stdout if line.endswith("\n"))])
    assert disk.cut(rate).writes > 0
    storage = Storage(disk.root, clock=lambda: 0)
    try:
        storage.open()
    except StorageError:
        return acknowledged, 0
    try:
        found = [event.id for _, event in storage.events(limit=1_000_000).result()]
    finally:
        storage.close()
    assert found == [str(n) for n in range(len(found))]
    return acknowledged, len(found)


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_a_store_that_does_not_sync_loses_what_it_acknowledged(tmp_path: Path, shim: Path, rate: float) -> None:
    acknowledged, found = survivors(tmp_path / "off", shim, "OFF", rate)
    assert found < acknowledged
    acknowledged, found = survivors(tmp_path / "full", shim, "FULL", rate)
    assert found >= acknowledged
