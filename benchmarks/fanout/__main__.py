"""``python -m benchmarks.fanout``: what one message to many viewers costs, beside the same with other servers."""

from __future__ import annotations

import argparse
import sys

from benchmarks.fanout import bounds, comparison
from benchmarks.fanout.comparison import NAMES, Bench
from benchmarks.fanout.processes import load_core


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fanout", description=__doc__)
    parser.add_argument("--servers", default=",".join(NAMES), help="which to compare")
    parser.add_argument("--clients", default="1000,5000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each round")
    parser.add_argument("--quick", action="store_true", help="under a minute: fewer clients, shorter rounds")
    parser.add_argument("--check", action="store_true", help="fail when a bound is broken")
    options = parser.parse_args()
    if options.quick:
        options.clients, options.rounds, options.seconds = "300,1000", 2, 1.0
    load_core()
    counts = [int(text) for text in options.clients.split(",")]
    rows = []
    with Bench(options.servers.split(",")) as bench:
        for count in counts:
            bench.grow(count)
            rows += bench.measure(options.rounds, options.seconds)
    first = {row.server: row.memory for row in rows if row.clients == counts[0]}
    last = {row.server: row.memory for row in rows if row.clients == counts[-1]}
    slopes = {name: (last[name] - first[name]) / (counts[-1] - counts[0]) for name in last if len(counts) > 1}
    comparison.show(rows, slopes)
    kept = bounds.show(list(bounds.of_comparison(rows, slopes)))
    return 0 if kept or not options.check else 1


if __name__ == "__main__":
    sys.exit(main())
