"""Prometheus's rule files (``groups:``) as rules of ours: what each of their keys means here.

A rule is named ``group/alert``; one more of the same name in its group gets a number. What Prometheus refuses is refused too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qflowd.config.check import unknown
from qflowd.config.document import Document, Path
from qflowd.units import prometheus_duration

GROUP_KEYS = ["name", "interval", "limit", "query_offset", "labels", "rules"]
RULE_KEYS = ["record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"]
THEIRS = {"condition": "expr", "name": "alert"}
"""Our key → the one that Prometheus's files have in its place, for those who tell of a mistake."""
SHORTEST = 100
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


@dataclass
class GroupRule:
    """One rule: ``mapping`` has our keys, ``path`` is where it stands."""

    path: Path
    mapping: dict[str, Any]
    warnings: list[str] = field(default_factory=list)


def named(group: str, name: str) -> str:
    """The id of a rule: ``group/name`` with all that an id cannot hold replaced by ``_``."""
    parts = (re.sub(r"[^A-Za-z0-9_.:-]+", "_", part)[:95] for part in (group, name))
    return re.sub(r"^[.:-]", "_", "/".join(part or "_" for part in parts))


def read_groups(document: Document, severities: Mapping[str, str], unique: Callable[[str], str]) -> list[GroupRule]:
    """The rules of a document ``groups: […]``; mistakes are noted in it.

    ``severities``: value of the label ``severity`` → our severity. ``unique`` makes the name of a group one over all files.
    """
    found: list[GroupRule] = []
    _unknown(document, (), document.value, ["groups"])
    names: dict[str, int] = {}
    for index, group in enumerate(_list(document, ("groups",), document.value["groups"])):
        path: Path = ("groups", index)
        if not isinstance(group, dict):
            document.mistake(path, "must be a group: a mapping with name and rules")
            continue
        _unknown(document, path, group, GROUP_KEYS)
        name = _text(document, (*path, "name"), group.get("name"))
        if not name:
            document.mistake((*path, "name"), "a group needs a name")
        elif name in names:
            document.mistake((*path, "name"), f"group {name} is there already, on line {names[name]}; rename one")
        names.setdefault(name, document.place(path)[1])
        common: dict[str, Any] = {
            "group": unique(name),
            "interval": _interval(document, (*path, "interval"), group.get("interval")),
            "limit": _limit(document, (*path, "limit"), group.get("limit")),
            "query_offset": _duration(document, (*path, "query_offset"), group.get("query_offset")),
        }
        labels = _texts(document, (*path, "labels"), group.get("labels"))
        for number, rule in enumerate(_list(document, (*path, "rules"), group.get("rules"))):
            here = (*path, "rules", number)
            if not isinstance(rule, dict):
                document.mistake(here, "must be a rule: a mapping with alert or record, and expr")
            elif (one := _rule(document, here, rule, labels, severities)) is not None:
                one.mapping = {"id": named(common["group"], one.mapping["name"]), **common, **one.mapping}
                found.append(one)
    return found


def _rule(
    document: Document, path: Path, rule: dict[str, Any], labels: dict[str, str], severities: Mapping[str, str]
) -> GroupRule | None:
    before = len(document.mistakes)
    _unknown(document, path, rule, RULE_KEYS)
    alert, record, expr = (_text(document, (*path, key), rule.get(key)) for key in ("alert", "record", "expr"))
    if alert and record:
        document.mistake((*path, "record"), "a rule has either alert or record, not both")
    if not alert and not record:
        document.mistake(path, "a rule needs alert or record, as its name")
    if not expr:
        document.mistake((*path, "expr"), "a rule needs expr, the expression that it evaluates")
    found = GroupRule(path, {"name": alert or record, "condition": expr})
    found.mapping["labels"] = labels | _texts(document, (*path, "labels"), rule.get("labels"))
    if found.mapping["labels"].pop("alertname", None) is not None and alert:
        found.warnings.append("the label alertname is always the name of the alert")
    times = {key: _duration(document, (*path, key), rule.get(key)) for key in ("for", "keep_firing_for")}
    annotations = _texts(document, (*path, "annotations"), rule.get("annotations"))
    if record:
        found.mapping["record"] = record
        if not _METRIC.fullmatch(record):
            document.mistake((*path, "record"), f"{record} is no name of a series: letters, digits, _ and :")
        for key, value in ({"annotations": annotations} | times).items():
            if value:
                document.mistake((*path, key), f"a recording rule has no {key}")
    else:
        found.mapping |= {**times, "annotations": annotations}
        severity = found.mapping["labels"].get("severity")
        if severity in severities:
            found.mapping["severity"] = severities[severity]
        elif severity is not None:
            found.warnings.append(f"alerts.severity_labels does not name the severity {severity}: it counts as medium")
    return found if len(document.mistakes) == before else None


def _unknown(document: Document, path: Path, mapping: dict[str, Any], known: list[str]) -> None:
    for key in mapping:
        if key not in known:
            document.mistake((*path, key), unknown(key, known))


def _list(document: Document, path: Path, value: Any) -> list[Any]:
    if value is not None and not isinstance(value, list):
        document.mistake(path, "must be a list")
    return value if isinstance(value, list) else []


def _text(document: Document, path: Path, value: Any) -> str:
    """A scalar as text, as it was written; "" where there is none."""
    if isinstance(value, dict | list):
        document.mistake(path, "must be text")
        return ""
    return value if isinstance(value, str) else "" if value is None else document.written.get(path, str(value))


def _texts(document: Document, path: Path, value: Any) -> dict[str, str]:
    if value is not None and not isinstance(value, dict):
        document.mistake(path, "must be a mapping of names to texts")
    return {key: _text(document, (*path, key), text) for key, text in value.items()} if isinstance(value, dict) else {}


def _duration(document: Document, path: Path, value: Any) -> int:
    try:
        return prometheus_duration(_text(document, path, value)) if value is not None else 0
    except ValueError as error:
        document.mistake(path, str(error))
        return 0


def _interval(document: Document, path: Path, value: Any) -> int:
    found = _duration(document, path, value)
    if 0 < found < SHORTEST:
        document.mistake(path, f"must be at least {SHORTEST}ms")
    return found


def _limit(document: Document, path: Path, value: Any) -> int:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value or 0
    document.mistake(path, "must be a whole number, 0 for no limit")
    return 0
