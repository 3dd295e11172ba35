"""Alert rules: read from a mapping, with every mistake told where it stands."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from qflowd import units
from qflowd.alerts.template import TemplateError, template
from qflowd.model import Problem, Rule, RuleSource
from qflowd.series.promql import PromQLError, compile

SEED_CHANNELS = frozenset({"dashboard", "webhook", "email", "slack", "sms"})
SHOWN = frozenset({"source", "state", "lastValue", "lastEvaluation", "activeAlerts", "version", "warnings"})
"""What the API adds to a rule that it shows: a rule read from it can be sent back as it is."""
KEYS = (
    "id", "name", "record", "condition", "for", "keep_firing_for", "resolve_when", "severity", "channels", "cooldown", "no_data",
    "labels", "annotations", "enabled", "group", "interval", "limit", "query_offset",
)  # fmt: skip
RECORDS = frozenset({"id", "name", "record", "condition", "labels", "enabled", "group", "interval", "limit", "query_offset"})
"""Keys that mean something in a recording rule; of the others it may have the defaults only."""
SHORTEST = 100
"""Ms between two evaluations, at least."""
LONGEST = 366 * 86_400_000
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,199}")
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SERIES = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_MISSING: Any = object()


class RuleError(Exception):
    """The rule cannot be used; ``problems`` are all of its mistakes."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{one.path}: {one.message}" for one in problems))
        self.problems = problems


def slug(name: str) -> str:
    """An id made from a name: ``High CPU!`` → ``high_cpu``."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:100] or "rule"


def _camel(key: str) -> str:
    first, *rest = key.split("_")
    return first + "".join(map(str.capitalize, rest))


def _duration(value: Any) -> int:
    try:
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise ValueError
        found = units.duration(value) if isinstance(value, str) else round(value)
    except (ValueError, OverflowError):
        found = -1
    if found < 0:
        raise ValueError("expected a number of milliseconds or a duration such as 5m or 1h30m")
    if found > LONGEST:
        raise ValueError("expected at most 366d")
    return found


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > 10_000:
        raise ValueError("expected a text that is not empty")
    return value


def _condition(value: Any) -> str:
    try:
        compile(_text(value))
    except PromQLError as error:
        raise ValueError(f"not a condition that can be evaluated: {error}") from None
    return str(value)


def _identity(value: Any) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise ValueError("expected letters, digits and _ . : / -, at most 200 of them, as in high_cpu")
    return value


def _series(value: Any) -> str:
    if not isinstance(value, str) or (value and not _SERIES.fullmatch(value)):
        raise ValueError("expected the name of a series: letters, digits, _ and :, as in job:errors:rate5m")
    return value


def _group(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 200:
        raise ValueError("expected a text of at most 200 characters")
    return value


def _interval(value: Any) -> int:
    found = _duration(value)
    if 0 < found < SHORTEST:
        raise ValueError(f"expected at least {SHORTEST}ms, or 0 for alerts.evaluation_interval")
    return found


def _limit(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 1_000_000:
        raise ValueError("expected a whole number up to 1000000, 0 for no limit")
    return value


def _one_of(*allowed: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in allowed:
            raise ValueError(f"expected one of {', '.join(allowed)}")
        return str(value)

    return check


def _enabled(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("expected true or false")
    return value


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "id": _identity,
    "name": _text,
    "condition": _condition,
    "for": _duration,
    "keep_firing_for": _duration,
    "resolve_when": _condition,
    "severity": _one_of("low", "medium", "high", "critical"),
    "cooldown": _duration,
    "no_data": _one_of("ok", "alert", "keep"),
    "enabled": _enabled,
    "record": _series,
    "group": _group,
    "interval": _interval,
    "limit": _limit,
    "query_offset": _duration,
}


def _short(text: str | int | float) -> bool:
    return len(text) <= 10_000 if isinstance(text, str) else abs(text) < 1e300 or text != text


def _texts(value: Any, path: str, problems: list[Problem], *, labels: bool, templates: bool) -> dict[str, str]:
    if not isinstance(value, Mapping):
        problems.append(Problem(path, "expected a mapping of names to texts"))
        return {}
    found: dict[str, str] = {}
    for key, text in value.items():
        here = f"{path}.{key}"
        if not isinstance(key, str) or not _LABEL.fullmatch(key) or (labels and key in ("alertname", "__name__")):
            problems.append(Problem(here, "expected a name of letters, digits and _ (alertname is set by qflowd)"))
        elif not isinstance(text, (str, int, float)) or isinstance(text, bool) or not _short(text):
            problems.append(Problem(here, "expected a text"))
        else:
            try:
                if templates:
                    template(str(text))
            except TemplateError as error:
                problems.append(Problem(here, str(error)))
            found[key] = str(text)
    return found


def _channels(value: Any, known: Collection[str] | None, problems: list[Problem], warnings: list[str]) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)):
        problems.append(Problem("channels", "expected a list of channel names"))
        return ()
    for index, name in enumerate(value):
        if not isinstance(name, str):
            problems.append(Problem(f"channels[{index}]", "expected the name of a channel"))
        elif known is None:
            continue
        elif name in SEED_CHANNELS and name != "dashboard" and name not in known:
            warnings.append(f"channel {name} is not configured")
        elif name not in SEED_CHANNELS and name not in known:
            allowed = ", ".join(sorted(SEED_CHANNELS | set(known)))
            problems.append(Problem(f"channels[{index}]", f"channel {name!r} is not configured: expected one of {allowed}"))
    return tuple(dict.fromkeys(name for name in value if isinstance(name, str)))


_SPELLINGS = {spelling: key for key in KEYS for spelling in (key, _camel(key))} | {"expr": "condition"}


def parse_rule(mapping: Mapping[str, Any], source: RuleSource, *, channels: Collection[str] | None) -> tuple[Rule, list[str]]:
    """A rule and its warnings. Keys in snake_case or camelCase; ``expr`` is another word for ``condition``. ``channels``: the
    names that are configured, ``None`` where any will do. Raises RuleError with every mistake."""
    problems: list[Problem] = []
    warnings: list[str] = []
    known = _SPELLINGS
    given: dict[str, Any] = {}
    for key, value in mapping.items():
        if key in known:
            if known[key] in given:
                first = next(one for one in mapping if known.get(one) == known[key])
                problems.append(Problem(str(key), f"given twice: as {first} and {key}"))
            given[known[key]] = value
        elif key == "escalate":
            problems.append(Problem("escalate", "escalation is not supported"))
        elif key not in SHOWN or source.kind == "file":
            near = difflib.get_close_matches(str(key), list(known), 1)
            hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(KEYS)}"
            problems.append(Problem(str(key), f"unknown key; {hint}"))
    records = bool(given.get("record"))
    if records:
        given.setdefault("name", given["record"])
    fields: dict[str, Any] = {}
    for key in KEYS:
        value = given.get(key, _MISSING)
        if value is _MISSING or (value is None and key in ("id", "resolve_when")):
            if key in ("name", "condition"):
                problems.append(Problem(key, "is missing"))
        elif key in ("labels", "annotations"):
            fields[key] = _texts(value, key, problems, labels=key == "labels", templates=not records)
        elif key == "channels":
            fields[key] = _channels(value, channels, problems, warnings)
        else:
            try:
                fields["for_" if key == "for" else key] = _CHECKS[key](value)
            except ValueError as error:
                problems.append(Problem(key, str(error)))
    if not problems and records:
        problems += _recording(fields)
    if problems:
        raise RuleError(problems)
    fields.setdefault("id", slug(fields["name"]))
    return Rule(**fields, source=source), warnings


def _recording(fields: Mapping[str, Any]) -> list[Problem]:
    """What a recording rule cannot have."""
    plain = Rule(id="", name="", condition="")
    own = {("for_" if key == "for" else key): key for key in KEYS if key not in RECORDS}
    return [
        Problem(key, "means nothing in a recording rule; remove it, or write an alert rule that reads the series")
        for field, key in own.items()
        if field in fields and fields[field] != getattr(plain, field)
    ]


def defaults() -> list[Rule]:
    """The four rules that ship. The one on throughput holds only where the last hour saw at least one minute with as many
    executions as it asks for: an idle install, or one long flow on a quiet one, never did, and does not alert."""
    m = 60_000
    source = RuleSource("default")
    return [
        Rule(id="high_latency_alert", name="High latency", condition="execution_latency_p99 > 5000", severity="high",
             cooldown=5 * m, source=source, annotations={"summary": "99 % latency of executions is {{ $value | humanize }} ms"}),
        Rule(id="high_error_rate_alert", name="High error rate", condition="error_rate > 0.05", severity="critical",
             cooldown=3 * m, source=source, annotations={"summary": "{{ $value | humanizePercentage }} of executions fail"}),
        Rule(id="low_throughput_alert", name="Low throughput", for_=m, condition="throughput < 5 and max_over_time(throughput[1h]) >= 5",
             severity="medium", cooldown=10 * m, source=source,
             annotations={"summary": "{{ $value | humanize }} executions ended in the last minute",
                          "description": "Holds only where a minute of the last hour saw 5 or more end: an idle install stays silent."}),
        Rule(id="resource_exhaustion_alert", name="Resource exhaustion", severity="critical", cooldown=2 * m, source=source,
             condition="cpu_utilization > 0.9 OR memory_utilization > 0.9",
             annotations={"summary": "CPU or memory of {{ $labels.host }} is {{ $value | humanizePercentage }} used"}),
    ]
