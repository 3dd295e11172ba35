"""``qflowd check-config FILE``: every mistake with its file, line and path; ``--diff``: what a reload would change."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from qflowd.cli.control import call, failed
from qflowd.config import ConfigError
from qflowd.reading import read_config

EFFECTS = {
    "begins": "",
    "ends": "its alerts resolve",
    "goesOn": "its alerts and timers go on",
    "beginsAgain": "its alerts resolve, it begins anew",
}
SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def add(subparsers: Any) -> None:
    """Register ``check-config``."""
    found = subparsers.add_parser("check-config", help="check a configuration file")
    found.add_argument("file", type=Path)
    found.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a key")
    found.add_argument("--diff", action="store_true", help="ask the running daemon what taking the file over would change; nothing is")
    found.add_argument("--state", type=Path, metavar="DIR", help="the daemon's state directory, in place of storage.path")
    found.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """0 where the file is good, 1 where it is not, or where no daemon tells the difference."""
    try:
        loaded = read_config(options.file, options.set)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{options.file}: good, {len(loaded.rules)} rules")
    if not options.diff:
        return 0
    options.state = options.state or loaded.config.storage.path
    # The daemon reads the file itself: its environment and its rights are those of the reload.
    answer = call(options, "compare", {"file": str(options.file.absolute())})
    if not answer["ok"]:
        return failed(answer)
    print("\n".join(told(answer)))
    return 0


def told(difference: dict[str, Any]) -> list[str]:
    """The answer of the daemon as lines."""
    lines = []
    for one in difference["details"]:
        place = one["source"] or one["was"]
        where = f"{place['file']}:{place.get('line') or '?'}" if place.get("file") else place["kind"]
        effect = EFFECTS[one["effect"]]
        lines.append(f"{SIGNS[one['change']]} rule {one['id']} ({where}){': ' + effect if effect else ''}")
        lines += [f"    {field['path']}: {shown(field['before'])} -> {shown(field['after'])}" for field in one["fields"]]
    for one in difference["settings"]:
        later = " (takes effect after a restart)" if one["path"] in difference["needsRestart"] else ""
        lines.append(f"~ {one['path']}: {shown(one['before'])} -> {shown(one['after'])}{later}")
    known = {one["path"] for one in difference["settings"]}
    lines += [f"! {key} waits for a restart" for key in difference["needsRestart"] if key not in known]
    return lines or ["no difference to the running daemon"]


def shown(value: Any) -> str:
    """A value as JSON, nothing as a dash."""
    return "-" if value is None else json.dumps(value, ensure_ascii=False)
