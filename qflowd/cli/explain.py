"""``qflowd explain RULE``: where a rule stands, and why somebody was told or was not."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from qflowd.cli.control import add_common, call, failed


def add(subparsers: Any) -> None:
    """Register ``explain``."""
    found = subparsers.add_parser("explain", help="say why a rule fired or did not, and why somebody was told or was not")
    found.add_argument("rule", metavar="RULE", help="the id of the rule")
    found.add_argument("--limit", type=int, default=20, metavar="N", help="how many decisions, 1 to 1000 (default: 20)")
    found.add_argument("--json", action="store_true", help="print the answer as JSON, times in epoch ms")
    add_common(found)
    found.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """0 where the rule is known, 1 where it is not."""
    answer = call(options, "explain", {"rule": options.rule, "limit": options.limit})
    if not answer["ok"]:
        return failed(answer)
    if options.json:
        print(json.dumps({key: value for key, value in answer.items() if key != "ok"}))
        return 0
    for line in [*_rule(options.rule, answer["rule"], answer["standing"]), *_decisions(answer["items"])]:
        print(line)
    return 0


def moment(ms: int) -> str:
    """A time as people read it here."""
    return datetime.fromtimestamp(ms / 1000).astimezone().isoformat(" ", "milliseconds")


def series(name: str, labels: dict[str, str]) -> str:
    """``name{a="b"}``."""
    inside = ", ".join(f'{key}="{text}"' for key, text in sorted(labels.items()) if key != "alertname")
    return f"{name}{{{inside}}}" if inside else name


def _value(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"


def _rule(rule_id: str, rule: dict[str, Any] | None, standing: dict[str, Any] | None) -> Iterator[str]:
    if rule is None or standing is None:
        yield f"{rule_id}: the rule is gone"
        return
    yield f"{rule_id}: {standing['state']}" if rule["enabled"] else f"{rule_id}: off"
    yield f"  {rule['record'] + ' = ' if rule['record'] else ''}{rule['condition']}"
    if standing["lastEvaluation"] is not None:
        yield f"  last value {_value(standing['lastValue'])}, evaluated {moment(standing['lastEvaluation'])}"
    if standing["error"]:
        yield f"  the evaluation fails: {standing['error']}"
    for one in standing["inputs"]:
        yield f"  reads {series(one['name'], one['labels'])} = {_value(one['value'])}"
    for one in standing["alerts"]:
        alert = one["alert"]
        yield f"  {alert['status']} since {moment(alert['startsAt'])} {series('', alert['labels'])} value {_value(alert['value'])}"
        yield from _reasons(one["waits"])


def _decisions(items: list[dict[str, Any]]) -> Iterator[str]:
    yield "decisions, the newest first:" if items else "no decision yet"
    for one in items:
        told = {True: ", told", False: ", not told", None: ""}[one["notify"]]
        change = f" {one['before'] or 'inactive'} → {one['after']}{told}" if one["after"] else ""
        labels = f" {series('', one['labels'])}" if series("", one["labels"]) else ""
        yield f"{moment(one['time'])}{change}{labels}: {one['text']}"
        yield from _reasons(one.get("reasons", []))
        for read in one["inputs"]:
            yield f"    {series(read['name'], read['labels'])} = {_value(read['value'])}"


def _reasons(reasons: list[dict[str, Any]]) -> Iterator[str]:
    for one in reasons:
        until = f", until {moment(one['until'])}" if one.get("until") is not None else ""
        yield f"    {one['stage']}: {one['text']}{until}"
