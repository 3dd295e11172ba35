"""The rules of the files: those in the configuration itself, and ``*.yaml`` files of rules, ours or Prometheus's."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path as File
from typing import Any, Protocol

import msgspec

from qflowd.config.document import Document, Path, dotted, read
from qflowd.config.errors import ConfigError, Mistake
from qflowd.config.groups import THEIRS, GroupRule, read_groups
from qflowd.model import Rule, RuleSource

_PARTS = re.compile(r"[^.\[\]]+")
"""Of the path of a problem: ``channels[0]`` → ``channels``, ``0``."""


class ParseRule(Protocol):
    """Checks one rule. Raises an exception whose ``problems`` are the mistakes, each with ``path`` and ``message``."""

    def __call__(self, mapping: dict[str, Any], source: RuleSource, *, channels: Collection[str] | None) -> tuple[Rule, Any]: ...


def text_of(file: File) -> str:
    """The text of a file. Raises ConfigError."""
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError:
        raise ConfigError([Mistake(str(file), 0, "", "not UTF-8 text")]) from None
    except OSError as error:
        raise ConfigError([Mistake(str(file), 0, "", f"cannot be read: {error.strerror}")]) from None


class RuleFiles:
    """Collects rules from several files; an id may be used once. ``channels``: names that are configured, ``None`` for any."""

    def __init__(self, parse: ParseRule, channels: Collection[str] | None, severities: Mapping[str, str]) -> None:
        self.parse, self.channels, self.severities = parse, channels, severities
        self.warnings: list[str] = []
        self.mistakes: list[Mistake] = []
        self._rules: dict[str, Rule] = {}
        self._groups: set[str] = set()

    @property
    def rules(self) -> list[Rule]:
        """In the order in which they were added."""
        return list(self._rules.values())

    def add_file(self, file: File) -> None:
        """Add a file of rules: a list, ``rules: […]``, or Prometheus's ``groups: […]``."""
        try:
            document = read(text_of(file), str(file), {}, verbatim=((),))
        except ConfigError as error:
            self.mistakes += error.mistakes
            return
        value = document.value
        if isinstance(value, dict) and "groups" in value:
            self.add_groups(document)
        elif isinstance(value, dict) and set(value) == {"rules"} and isinstance(value["rules"], list):
            self.add(document, value["rules"], ("rules",))
        elif isinstance(value, list):
            self.add(document, value, ())
        elif value is not None:
            document.mistake((), "must be a list of rules, a mapping with the only key rules, or Prometheus's groups")
        self.mistakes += document.mistakes

    def add(self, document: Document, mappings: list[Any], prefix: Path) -> None:
        """Add rules of our shape; mistakes are noted in the document."""
        for index, mapping in enumerate(mappings):
            path = (*prefix, index)
            if not isinstance(mapping, dict):
                document.mistake(path, "must be a rule: a mapping with at least name and condition")
                continue
            rule = self._parse(document, path, mapping, {})
            if rule is None:
                continue
            first = self._rules.get(rule.id)
            if first is not None:
                place = f"{first.source.file}:{first.source.line}"
                document.mistake((*path, "id"), f"rule id {rule.id} is used already at {place}; rename one")
            else:
                self._rules[rule.id] = rule

    def add_groups(self, document: Document) -> None:
        """Add Prometheus's rules; mistakes are noted in the document."""
        for one in read_groups(document, self.severities, self._group):
            self._warn(document, one)
            rule = self._parse(document, one.path, one.mapping, THEIRS)
            if rule is not None:
                rule = msgspec.structs.replace(rule, id=_free(rule.id, self._rules))
                self._rules[rule.id] = rule

    def _group(self, name: str) -> str:
        found = _free(name, self._groups)
        self._groups.add(found)
        return found

    def _warn(self, document: Document, one: GroupRule) -> None:
        file, line = document.place(one.path)
        self.warnings += [f"{file}:{line}: {dotted(one.path)}: {warning}" for warning in one.warnings]

    def _parse(self, document: Document, path: Path, mapping: dict[str, Any], keys: Mapping[str, str]) -> Rule | None:
        """A rule; ``keys``: ours → those that the document has in their place."""
        file, line = document.place(path)
        try:
            rule, warnings = self.parse(mapping, RuleSource("file", file, line or None), channels=self.channels)
        except Exception as error:
            problems = getattr(error, "problems", None)
            if problems is None:
                raise
            for problem in problems:
                first, *rest = [int(part) if part.isdigit() else part for part in _PARTS.findall(problem.path)] or [""]
                document.mistake((*path, keys.get(str(first), first), *rest), problem.message)
            return None
        self.warnings += [f"{file}:{line}: {dotted(path)}: {warning}" for warning in warnings]
        return rule


def _free(name: str, taken: Collection[str]) -> str:
    """``name``, or with the first number from 2 on that makes it one of its own."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found


def read_rules(
    files: Collection[File], *, parse_rule: ParseRule, channels: Collection[str] | None, severities: Mapping[str, str]
) -> tuple[list[Rule], list[str]]:
    """The rules of files of rules, and warnings. Raises ConfigError with every mistake."""
    found = RuleFiles(parse_rule, channels, severities)
    for file in files:
        found.add_file(file)
    if found.mistakes:
        raise ConfigError(found.mistakes)
    return found.rules, found.warnings


def rule_files(directory: File) -> list[File]:
    """The files of a directory that hold rules, by name. Raises OSError."""
    return sorted(entry for entry in directory.iterdir() if entry.suffix in (".yaml", ".yml"))
