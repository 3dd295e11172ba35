"""``qflowd test-rules FILE…``: tests of rules at virtual time, promtool's files as they are."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from qflowd.alerts.rule import parse_rule
from qflowd.alerts.ruletest import Suite, read_suite
from qflowd.alerts.ruletest import run as run_suite
from qflowd.config import ConfigError
from qflowd.config.ruletests import named_rules, read_tests
from qflowd.model import Rule


def add(subparsers: Any) -> None:
    """Register ``test-rules``."""
    found = subparsers.add_parser(
        "test-rules", help="test alert and recording rules at virtual time",
        description="Runs files of rule tests: promtool's unit-test format as it is, and with it exp_pending, exp_acknowledged, "
                    "exp_resolved, acknowledge and restart_at. Needs no daemon.")
    found.add_argument("files", nargs="+", type=Path, metavar="FILE")
    found.add_argument("--closed-ranges", action="store_true",
                       help="let a point at the left edge of a range belong to it, as promtool did before Prometheus 3")
    found.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """0 where every test passed, 1 where one did not, or a file is wrong."""
    # Each file is run, whatever became of those before it.
    return max([run_file(file, closed=options.closed_ranges) for file in options.files])


def run_file(file: Path, *, closed: bool) -> int:
    """Run one file and print what came of it."""
    try:
        suite, place = read_tests(file, read_suite)
        rules: list[Rule] = []
        if suite.cases:
            rules, nothing = named_rules(file.parent, suite.rule_files, parse_rule=parse_rule)
            for pattern in nothing:
                print(f"warning: {file}: no file matches {pattern}", file=sys.stderr)
    except ConfigError as error:
        print(error, file=sys.stderr)
        print(f"{file}: FAILED")
        return 1
    failures = run_suite(suite, rules, closed=closed)
    for failure in failures:
        name, line, path = place(failure.path)
        print(f"{name}:{line}: {path}: {failure.message}", file=sys.stderr)
    print(f"{file}: " + (f"FAILED, {len(failures)} failures" if failures else f"passed, {expectations(suite)} expectations"))
    return 1 if failures else 0


def expectations(suite: Suite) -> int:
    """How many expectations a suite has."""
    return sum(sum(len(one.wanted) for one in case.alerts) + len(case.expressions) for case in suite.cases)
