"""A file of rule tests with the rule files that it names, and the lines of what it expects."""

from __future__ import annotations

import glob
from collections.abc import Callable
from pathlib import Path as File
from typing import Any, TypeVar

import msgspec

from qflowd.config.check import schema
from qflowd.config.document import Path, dotted, read
from qflowd.config.errors import ConfigError
from qflowd.config.load import load
from qflowd.config.rules import ParseRule, read_rules, text_of
from qflowd.model import Rule

T = TypeVar("T")


def read_tests(file: File, parse: Callable[[Any], T]) -> tuple[T, Callable[[Path], tuple[str, int, str]]]:
    """What ``parse`` makes of the document, and what gives file, line and dotted path of a place in it.

    ``parse`` gets values all of whose scalars are text, and may raise an exception whose ``problems`` are pairs of path and
    message. Raises ConfigError with every mistake.
    """
    document = read(text_of(file), str(file), {}, verbatim=((),), scalars=False)
    try:
        found = parse(document.value)
    except Exception as error:
        problems = getattr(error, "problems", None)
        if problems is None:
            raise
        for path, message in problems:
            document.mistake(path, message)
        found = None
    if document.mistakes or found is None:
        raise ConfigError(document.mistakes)
    return found, lambda path: (*document.place(path), dotted(path))


def named_rules(base: File, patterns: list[str], *, parse_rule: ParseRule) -> tuple[list[Rule], list[str]]:
    """The rules of the files that match ``patterns`` (relative to ``base``), in that order, and patterns that match nothing.

    A file may be one of rules of either shape, or a whole configuration. Raises ConfigError.
    """
    rules: list[Rule] = []
    nothing: list[str] = []
    for pattern in patterns:
        files = sorted(glob.glob(str(base / pattern)))
        if not files:
            nothing.append(pattern)
        for file in files:
            rules += _rules(File(file), parse_rule)
    # Two files may have the same group, as in Prometheus.
    seen: set[str] = set()
    for index, rule in enumerate(rules):
        if rule.id in seen:
            rules[index] = rule = msgspec.structs.replace(rule, id=f"{rule.id}#{index}")
        seen.add(rule.id)
    return rules, nothing


def _rules(file: File, parse_rule: ParseRule) -> list[Rule]:
    value = read(text_of(file), str(file), {}, verbatim=((),)).value
    if isinstance(value, dict) and "alerts" in value:
        return load(file, parse_rule=parse_rule).rules
    severities = schema()["properties"]["alerts"]["properties"]["severity_labels"]["default"]
    return read_rules([file], parse_rule=parse_rule, channels=None, severities=severities)[0]
