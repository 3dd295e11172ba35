"""CPU and memory of an idle daemon, host sampling on. Bounds: 1.5 % of one core, 80 MB resident."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.daemon import Daemon


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        daemon = Daemon(Path(directory)).start()
        process = psutil.Process(daemon.pid)
        time.sleep(5)
        before, began = process.cpu_times(), time.monotonic()
        time.sleep(options.seconds)
        after, took = process.cpu_times(), time.monotonic() - began
        cpu = (after.user + after.system - before.user - before.system) / took
        resident = process.memory_info().rss / 1e6
        daemon.stop()
    print(f"{'idle':<12}{'measured':>12}{'bound':>10}")
    print(f"{'CPU':<12}{cpu:>11.2%}{'1.5 %':>11}")
    print(f"{'resident':<12}{resident:>9.1f} MB{'80 MB':>10}")
    return 0 if cpu < 0.015 and resident < 80 else 1


if __name__ == "__main__":
    sys.exit(main())
