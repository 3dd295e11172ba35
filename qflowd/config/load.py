"""From a file to a checked configuration with its rules."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from qflowd.config.check import Kinds, check, complete, options, schema
from qflowd.config.document import Document, read
from qflowd.config.errors import ConfigError, Mistake
from qflowd.config.rules import ParseRule, RuleFiles, rule_files, text_of
from qflowd.config.settings import Config, build
from qflowd.model import Rule

_RULES = ("alerts", "rules")
_NONE: Kinds = MappingProxyType({})


@dataclass(frozen=True)
class Loaded:
    """A configuration that can be used. ``files`` are all files that were read; ``place`` tells where a path, such as
    ``("channels", "ops", "url")``, or what holds it, is written: file and line."""

    config: Config
    rules: list[Rule]
    warnings: list[str]
    files: list[str]
    place: Callable[[tuple[str | int, ...]], tuple[str, int]]


def load(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    parse_rule: ParseRule,
    channels: Kinds = _NONE,
    environment: Mapping[str, str] | None = None,
) -> Loaded:
    """Read the file at ``path``; ``overrides`` are texts like ``websocket.max_clients=10000``; ``channels`` are the kinds there are.

    Raises ConfigError with every mistake that was found.
    """
    file, environment = Path(path), os.environ if environment is None else environment
    document = read(text_of(file), str(file), environment, verbatim=(_RULES,))
    relative: dict[tuple[str | int, ...], Path] = {}
    for override in overrides:
        _override(document, override, environment, relative)
    check(document, channels)
    if document.mistakes:
        raise ConfigError(document.mistakes)
    values = complete(document.value, schema())
    for section, key in (("storage", "path"), ("alerts", "rules_dir")):
        base = relative.get((section, key), file.parent)
        values[section][key] = Path(os.path.abspath(base / values[section][key]))
    for name, given in values["channels"].items():
        values["channels"][name] = options(given, channels[given["type"]], file.parent)
    config = build(values)
    _meaning(config, document)
    rules = RuleFiles(parse_rule, set(config.channels), config.alerts.severity_labels)
    rules.add(document, values["alerts"]["rules"], _RULES)
    files = [str(file)]
    for extra in _rule_files(config.alerts.rules_dir, document):
        files.append(str(extra))
        rules.add_file(extra)
    mistakes = document.mistakes + rules.mistakes
    if mistakes:
        raise ConfigError(mistakes)
    return Loaded(config, rules.rules, rules.warnings, files, document.place)


def _override(
    document: Document, override: str, environment: Mapping[str, str], relative: dict[tuple[str | int, ...], Path]
) -> None:
    name, equals, text = override.partition("=")
    path = tuple(name.strip().split("."))
    file = f"--set {name}"
    if not equals or not all(path):
        document.mistakes.append(Mistake(f"--set {override}", 0, "", "write it as key=value, as in server.port=8081"))
        return
    given = read(text, file, environment)
    document.mistakes += given.mistakes
    if document.value is None:
        document.value = {}
    holder = document.value
    for part in path[:-1]:
        if isinstance(holder, dict) and holder.get(part) is None:
            holder[part] = {}
        holder = holder.get(part) if isinstance(holder, dict) else None
    if not isinstance(holder, dict):
        document.mistakes.append(Mistake(file, 0, name, "has no such key: what holds it is no mapping"))
        return
    holder[path[-1]] = given.value
    document.places = {key: place for key, place in document.places.items() if key[: len(path)] != path}
    document.places[path] = (file, 0)
    relative[path] = Path.cwd()


def _loopback(address: str) -> bool:
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False


def _meaning(config: Config, document: Document) -> None:
    open_to_all = config.auth.mode == "none" and not config.auth.i_understand
    for section, address in (("server", config.server.address), ("websocket", config.websocket.address)):
        if open_to_all and not _loopback(address):
            words = f"{address} is reachable from other machines and there is no login: set auth.mode to tokens, "
            document.mistake((section, "address"), words + "or write auth: {mode: none, i_understand: true}")
    server, socket = config.server, config.websocket
    if server.port and server.port == socket.port:
        document.mistake(("websocket", "port"), f"is also server.port ({server.port}); choose another")
    for path, value in (
        (("websocket", "update_interval"), socket.update_interval),
        (("websocket", "heartbeat_interval"), socket.heartbeat_interval),
        (("sampling", "interval"), config.sampling.interval),
        (("alerts", "evaluation_interval"), config.alerts.evaluation_interval),
    ):
        if value < 100:
            document.mistake(path, "must be at least 100ms")


def _rule_files(directory: Path, document: Document) -> list[Path]:
    if not directory.exists():
        # The default directory is optional; one that somebody named is not.
        if ("alerts", "rules_dir") in document.places and directory.name != "rules.d":
            document.mistake(("alerts", "rules_dir"), f"{directory} does not exist; create it or remove this key")
        return []
    try:
        return rule_files(directory)
    except OSError as error:
        document.mistake(("alerts", "rules_dir"), f"{directory} cannot be read: {error.strerror}")
        return []
