"""From a file to a checked configuration with its rules."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from qflowd.config.check import check, complete, schema
from qflowd.config.document import Document, dotted, read
from qflowd.config.errors import ConfigError, Mistake
from qflowd.config.settings import Config, build
from qflowd.model import Rule, RuleSource

_RULES = ("alerts", "rules")


class ParseRule(Protocol):
    """Checks one rule. Raises an exception whose ``problems`` are the mistakes, each with ``path`` and ``message``."""

    def __call__(self, mapping: dict[str, Any], source: RuleSource, *, channels: Collection[str]) -> tuple[Rule, Any]: ...


@dataclass(frozen=True)
class Loaded:
    """A configuration that can be used. ``files`` are all files that were read."""

    config: Config
    rules: list[Rule]
    warnings: list[str]
    files: list[str]


def load(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    parse_rule: ParseRule,
    environment: Mapping[str, str] | None = None,
) -> Loaded:
    """Read the file at ``path``; ``overrides`` are texts like ``websocket.max_clients=10000``.

    Raises ConfigError with every mistake that was found.
    """
    file, environment = Path(path), os.environ if environment is None else environment
    document = read(_text(file), str(file), environment, verbatim=(_RULES,))
    relative: dict[tuple[str | int, ...], Path] = {}
    for override in overrides:
        _override(document, override, environment, relative)
    check(document)
    if document.mistakes:
        raise ConfigError(document.mistakes)
    values = complete(document.value, schema())
    for section, key in (("storage", "path"), ("alerts", "rules_dir")):
        base = relative.get((section, key), file.parent)
        values[section][key] = Path(os.path.abspath(base / values[section][key]))
    config = build(values)
    _meaning(config, document)
    rules = _Rules(parse_rule, set(config.channels))
    rules.add(document, values["alerts"]["rules"], _RULES)
    files = [str(file)]
    for extra in _rule_files(config.alerts.rules_dir, document):
        files.append(str(extra))
        rules.add_file(extra)
    mistakes = document.mistakes + rules.mistakes
    if mistakes:
        raise ConfigError(mistakes)
    return Loaded(config, rules.rules, rules.warnings, files)


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError:
        raise ConfigError([Mistake(str(file), 0, "", "not UTF-8 text")]) from None
    except OSError as error:
        raise ConfigError([Mistake(str(file), 0, "", f"cannot be read: {error.strerror}")]) from None


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
        return sorted(entry for entry in directory.iterdir() if entry.suffix in (".yaml", ".yml"))
    except OSError as error:
        document.mistake(("alerts", "rules_dir"), f"{directory} cannot be read: {error.strerror}")
        return []


class _Rules:
    """Collects rules from several files; an id may be used once."""

    def __init__(self, parse: Callable[..., tuple[Rule, Any]], channels: set[str]) -> None:
        self.parse, self.channels = parse, channels
        self.rules: list[Rule] = []
        self.warnings: list[str] = []
        self.mistakes: list[Mistake] = []

    def add_file(self, file: Path) -> None:
        try:
            document = read(_text(file), str(file), {}, verbatim=((),))
        except ConfigError as error:
            self.mistakes += error.mistakes
            return
        value, prefix = document.value, ()
        if isinstance(value, dict) and "groups" in value:
            document.mistake(("groups",), "Prometheus rule files are not supported by this version; write a list of rules")
        elif isinstance(value, dict) and set(value) == {"rules"} and isinstance(value["rules"], list):
            self.add(document, value["rules"], ("rules",))
        elif isinstance(value, list):
            self.add(document, value, prefix)
        elif value is not None:
            document.mistake((), "must be a list of rules, or a mapping with the only key rules")
        self.mistakes += document.mistakes

    def add(self, document: Document, mappings: list[Any], prefix: tuple[str | int, ...]) -> None:
        for index, mapping in enumerate(mappings):
            path = (*prefix, index)
            if not isinstance(mapping, dict):
                document.mistake(path, "must be a rule: a mapping with at least name and condition")
                continue
            file, line = document.place(path)
            try:
                rule, warnings = self.parse(mapping, RuleSource("file", file, line or None), channels=self.channels)
            except Exception as error:
                problems = getattr(error, "problems", None)
                if problems is None:
                    raise
                for problem in problems:
                    below = tuple(part for part in problem.path.split(".") if part)
                    document.mistake((*path, *below), problem.message)
                continue
            self.warnings += [f"{file}:{line}: {dotted(path)}: {warning}" for warning in warnings]
            first = next((other.source for other in self.rules if other.id == rule.id), None)
            if first is not None:
                document.mistake((*path, "id"), f"rule id {rule.id} is used already at {first.file}:{first.line}; rename one")
            else:
                self.rules.append(rule)
