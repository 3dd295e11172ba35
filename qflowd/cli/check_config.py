"""``qflowd check-config FILE``: every mistake with its file, line and path."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from qflowd.alerts.rule import parse_rule
from qflowd.config import ConfigError, load


def add(subparsers: Any) -> None:
    """Register ``check-config``."""
    found = subparsers.add_parser("check-config", help="check a configuration file")
    found.add_argument("file", type=Path)
    found.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a key")
    found.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """0 where the file is good, 1 where it is not."""
    try:
        loaded = load(options.file, options.set, parse_rule=parse_rule)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{options.file}: good, {len(loaded.rules)} rules")
    return 0
