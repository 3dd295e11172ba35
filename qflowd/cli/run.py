"""``qflowd run`` and ``qflowd version``."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from qflowd import __version__, logs
from qflowd.config import ConfigError

DEFAULT = "/etc/qflowd/qflowd.yaml"


def add(subparsers: Any) -> None:
    """Register ``run``."""
    found = subparsers.add_parser("run", help="run the daemon (the default)")
    found.add_argument("-c", "--config", type=Path, default=Path(DEFAULT), metavar="FILE", help=f"configuration (default: {DEFAULT})")
    found.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a key, e.g. websocket.max_clients=10000")
    found.add_argument("--print-addresses", action="store_true", help="print both addresses as JSON on stdout when ready")
    found.set_defaults(run=run)


def add_version(subparsers: Any) -> None:
    """Register ``version``."""
    found = subparsers.add_parser("version", help="print the version")
    found.set_defaults(run=lambda options: print(f"qflowd {__version__}") or 0)


def run(options: argparse.Namespace) -> int:
    """Run until stopped: 0 after an orderly stop, 1 where it could not start."""
    # Before the loop runs, which loading the daemon's rooms would hold for some 130 ms.
    import qflowd.daemon  # noqa: F401
    from qflowd.reading import read_config

    try:
        loaded = read_config(options.config, options.set)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    logs.configure(loaded.config.logging.level, loaded.config.logging.format)
    return asyncio.run(serve(loaded, options))


async def serve(loaded: Any, options: argparse.Namespace) -> int:
    """Start, tell the addresses, wait for the end."""
    from qflowd.daemon import Daemon
    from qflowd.daemon.listen import ListenError
    from qflowd.storage import StorageError

    try:
        daemon = Daemon(loaded, options.config, options.set)
        addresses = await daemon.start()
    except (ConfigError, ListenError, StorageError, OSError) as error:
        print(f"qflowd: {error}", file=sys.stderr)
        return 1
    if options.print_addresses:
        print(json.dumps(addresses), flush=True)
    await daemon.stopped.wait()
    return 0
