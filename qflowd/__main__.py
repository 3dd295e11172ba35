"""``qflowd``: the command line. Each command is a module in ``cli``; without one, ``run`` is meant."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterable

from qflowd import __version__
from qflowd.cli import COMMANDS


def parser(names: Iterable[str]) -> argparse.ArgumentParser:
    """A parser for the commands ``names``."""
    found = argparse.ArgumentParser(prog="qflowd", description="Shows operators what their flows are doing right now.")
    found.add_argument("--version", action="version", version=f"qflowd {__version__}")
    subparsers = found.add_subparsers(metavar="COMMAND", required=True)
    for name in names:
        module, function = COMMANDS[name]
        getattr(importlib.import_module(f"qflowd.cli.{module}"), function)(subparsers)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run one command; its exit status: 0 ok, 1 failed, 2 usage."""
    given = sys.argv[1:] if arguments is None else arguments
    if not given or (given[0].startswith("-") and given[0] not in ("-h", "--help", "--version")):
        given = ["run", *given]
    options = parser([given[0]] if given[0] in COMMANDS else COMMANDS).parse_args(given)
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1


if __name__ == "__main__":
    sys.exit(main())
