"""Commands that speak to the running daemon over its control socket: ``reload`` and ``token``."""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import sys
from pathlib import Path
from typing import Any

from qflowd.cli.run import DEFAULT
from qflowd.config import ConfigError
from qflowd.reading import read_config


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--config", type=Path, default=Path(DEFAULT), metavar="FILE", help="the daemon's configuration")
    parser.add_argument("--state", type=Path, metavar="DIR", help="its state directory, in place of storage.path")


def add_reload(subparsers: Any) -> None:
    """Register ``reload``."""
    found = subparsers.add_parser("reload", help="reload the configuration; fails when it is wrong")
    add_common(found)
    found.set_defaults(run=reload)


def add_token(subparsers: Any) -> None:
    """Register ``token``."""
    found = subparsers.add_parser("token", help="create, list or revoke API tokens").add_subparsers(metavar="ACTION", required=True)
    create = found.add_parser("create", help="create a token and print it once")
    create.add_argument("name")
    create.add_argument("--role", action="append", dest="roles", metavar="ROLE", help="viewer (default), operator, admin, source, engine")
    create.add_argument("--expires-days", type=int, metavar="N")
    listing = found.add_parser("list", help="list the tokens")
    revoke = found.add_parser("revoke", help="end a token at once")
    revoke.add_argument("id")
    for parser, call in ((create, token_create), (listing, token_list), (revoke, token_revoke)):
        add_common(parser)
        parser.set_defaults(run=call)


def call(options: argparse.Namespace, name: str, body: dict[str, Any]) -> dict[str, Any]:
    """Call a command of the daemon; ``{"ok": False, "error": …}`` where there is none to call."""
    directory = options.state
    if directory is None:
        try:
            directory = Path(read_config(options.config).config.storage.path)
        except ConfigError as error:
            return {"ok": False, "error": f"{error}\n(--state DIR names the state directory without the file)"}
    path = directory / "control.sock"
    connection = UnixConnection(path)
    try:
        connection.request("POST", f"/{name}", json.dumps(body), {"Content-Type": "application/json"})
        found: dict[str, Any] = json.loads(connection.getresponse().read())
    except (OSError, ValueError) as error:
        return {"ok": False, "error": f"no daemon answers at {path}: {error}"}
    finally:
        connection.close()
    return found


def failed(answer: dict[str, Any]) -> int:
    """Print what went wrong; the exit status."""
    for mistake in answer.get("mistakes", []):
        print(f"{mistake['file']}:{mistake['line']}: {mistake['path']}: {mistake['message']}", file=sys.stderr)
    if "error" in answer:
        print(f"qflowd: {answer['error']}", file=sys.stderr)
    return 1


def reload(options: argparse.Namespace) -> int:
    """0 when the new configuration is in force."""
    if options.state is None:
        # The file may be the broken one: its storage.path cannot be asked for then, so the default location serves.
        try:
            read_config(options.config)
        except ConfigError as error:
            print(error, file=sys.stderr)
            return 1
    answer = call(options, "reload", {})
    if not answer["ok"]:
        return failed(answer)
    for kind, names in answer["rules"].items():
        if names:
            print(f"rules {kind}: {', '.join(names)}")
    for key in answer["needsRestart"]:
        print(f"{key} changed: restart to use it")
    print("reloaded")
    return 0


def token_create(options: argparse.Namespace) -> int:
    """Print the token: this once."""
    days = options.expires_days
    body = {"name": options.name, "roles": options.roles or ["viewer"], "expiresIn": days * 86_400_000 if days else None}
    answer = call(options, "token-create", body)
    if not answer["ok"]:
        return failed(answer)
    print(answer["token"])
    return 0


def token_list(options: argparse.Namespace) -> int:
    """One line a token."""
    answer = call(options, "token-list", {})
    if not answer["ok"]:
        return failed(answer)
    for one in answer["items"]:
        print(f"{one['id']}  {one['name']}  {','.join(one['roles'])}")
    return 0


def token_revoke(options: argparse.Namespace) -> int:
    """0 when the token is ended."""
    answer = call(options, "token-revoke", {"id": options.id})
    return 0 if answer["ok"] else failed(answer)
