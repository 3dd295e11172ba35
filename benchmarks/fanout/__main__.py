"""``python -m benchmarks.fanout``: what one message to many viewers costs, beside the same with other servers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from benchmarks.fanout import bounds, comparison
from benchmarks.fanout.bounds import Bound
from benchmarks.fanout.comparison import NAMES, Bench
from benchmarks.fanout.processes import load_core
from benchmarks.fanout.scenarios import SCENARIOS


def compare(servers: list[str], counts: list[int], rounds: int, seconds: float) -> Iterator[Bound]:
    """All servers in turn; prints the table."""
    rows = []
    with Bench(servers) as bench:
        for count in counts:
            bench.grow(count)
            rows += bench.measure(rounds, seconds)
    first = {row.server: row.memory for row in rows if row.clients == counts[0]}
    last = {row.server: row.memory for row in rows if row.clients == counts[-1]}
    slopes = {name: (last[name] - first[name]) / (counts[-1] - counts[0]) for name in last if len(counts) > 1}
    comparison.show(rows, slopes)
    yield from bounds.of_comparison(rows, slopes)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fanout", description=__doc__)
    parser.add_argument("--servers", default=",".join(NAMES), help="which to compare")
    parser.add_argument("--clients", default="1000,5000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each round")
    usual = ",".join(name for name in SCENARIOS if name != "soak")
    parser.add_argument("--scenarios", default=usual, help=f"of {', '.join(SCENARIOS)}, or none")
    parser.add_argument("--viewers", type=int, help="clients of each scenario, in place of its own number")
    parser.add_argument("--duration", type=float, default=20.0, help="seconds of each scenario")
    parser.add_argument("--no-comparison", action="store_true", help="scenarios only")
    parser.add_argument("--quick", action="store_true", help="the comparison only, in under a minute: fewer clients, shorter rounds")
    parser.add_argument("--check", action="store_true", help="fail when a bound is broken")
    options = parser.parse_args()
    if options.quick:
        options.clients, options.rounds, options.seconds, options.scenarios = "300,1000", 2, 1.0, "none"
    load_core()
    found: list[Bound] = []
    if not options.no_comparison:
        counts = [int(text) for text in options.clients.split(",")]
        found += compare(options.servers.split(","), counts, options.rounds, options.seconds)
    for name in options.scenarios.split(",") if options.scenarios != "none" else ():
        scenario = SCENARIOS[name]
        found += scenario.run(options.viewers or scenario.clients, options.duration)
    return 0 if bounds.show(found) or not options.check else 1


if __name__ == "__main__":
    sys.exit(main())
