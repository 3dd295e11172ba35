"""``qflowd rules export``: the rules of the API as a file for ``rules.d``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from qflowd.cli.control import add_common, call, failed
from qflowd.config.writing import to_yaml

HEAD = "# Rules of qflowd, as exported. In rules.d they take the place of the rules of the API that have the same ids.\n"


def add(subparsers: Any) -> None:
    """Register ``rules``."""
    found = subparsers.add_parser("rules", help="export the rules of the API as YAML").add_subparsers(metavar="ACTION", required=True)
    export = found.add_parser(
        "export", help="print rules as a file for rules.d",
        description="Prints the rules that were made by the API, as YAML that can stand in rules.d. Needs the running daemon.")
    export.add_argument("ids", nargs="*", metavar="ID", help="only these rules")
    export.add_argument("--all", action="store_true", help="the rules of files and the defaults, too")
    export.add_argument("-o", "--output", type=Path, metavar="FILE", help="write to FILE in place of stdout; it must not exist")
    add_common(export)
    export.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """0 where the rules were written, 1 where there is no daemon or no such rule."""
    answer = call(options, "rules", {"all": options.all or bool(options.ids)})
    if not answer["ok"]:
        return failed(answer)
    rules = answer["rules"]
    if options.ids:
        rules = [rule for rule in rules if rule["id"] in options.ids]
        missing = [one for one in options.ids if all(rule["id"] != one for rule in rules)]
        if missing:
            return failed({"error": f"no rule {', '.join(missing)}"})
    text = HEAD + to_yaml(rules)
    if options.output is None:
        sys.stdout.write(text)
        return 0
    try:
        with options.output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        return failed({"error": f"{options.output}: {error.strerror}"})
    print(f"{options.output}: {len(rules)} rules", file=sys.stderr)
    return 0
