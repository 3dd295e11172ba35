"""The functions of Prometheus's templates.

Each takes and gives the values of ``values``. ``SIGNATURES`` says what it takes, so that a wrong argument is told as Go tells it.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote_plus, urlsplit

from qflowd.alerts.template import printf
from qflowd.alerts.template.errors import TemplateError
from qflowd.alerts.template.values import Absent, Arguments, Sample, Samples, number, type_name
from qflowd.patterns import PatternError, pattern

_LARGE, _SMALL = "kMGTPEZY", "munpfazy"
_DURATION = re.compile(r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?")
_SECONDS = (365 * 86_400, 7 * 86_400, 86_400, 3600, 60, 1, 0.001)
_FLOAT = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|inf(?:inity)?|nan)", re.I | re.A)


def real(value: Any) -> float:
    """A number, or a text that is one. Raises TemplateError."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TemplateError(f"can't convert {type_name(value)} to float")
    if isinstance(value, str):
        if not _FLOAT.fullmatch(value):
            raise TemplateError(f"parsing {value!r} as a number: invalid syntax")
        return float(value)
    return value if isinstance(value, float) else float(value)


def _significant(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else number(value)


def _small(value: float, unit: str) -> str:
    prefix = ""
    for one in _SMALL:
        if abs(value) >= 1:
            break
        prefix, value = one, value * 1000
    return f"{_significant(value)}{prefix}{unit}"


def _told(show: Callable[[float], str]) -> Callable[[Any], str]:
    """``no data`` where there is no value."""
    return lambda value: "no data" if isinstance(value, Absent) else show(real(value))


def humanize(value: float) -> str:
    """``1234567`` → ``1.235M``."""
    if value == 0 or not math.isfinite(value):
        return _significant(value)
    if abs(value) < 1:
        return _small(value, "")
    prefix = ""
    for one in _LARGE:
        if abs(value) < 1000:
            break
        prefix, value = one, value / 1000
    return f"{_significant(value)}{prefix}"


def humanize1024(value: float) -> str:
    """``2048`` → ``2ki``."""
    if abs(value) <= 1 or not math.isfinite(value):
        return _significant(value)
    prefix = ""
    for one in _LARGE:
        if abs(value) < 1024:
            break
        prefix, value = f"{one}i", value / 1024
    return f"{_significant(value)}{prefix}"


def humanize_duration(value: float) -> str:
    """Seconds: ``3661`` → ``1h 1m 1s``."""
    if not math.isfinite(value):
        return _significant(value)
    if value == 0:
        return "0s"
    if abs(value) < 1:
        return _small(value, "s")
    if abs(value) >= 1 << 63:
        return f"{_significant(value)}s"
    sign, left = ("-" if value < 0 else ""), int(abs(value))
    days, hours, minutes, seconds = left // 86_400, left // 3600 % 24, left // 60 % 60, left % 60
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {seconds}s"
    return f"{sign}{minutes}m {seconds}s" if minutes else f"{sign}{_significant(abs(value))}s"


def humanize_timestamp(value: float) -> str:
    """Epoch seconds: ``0`` → ``1970-01-01 00:00:00 +0000 UTC``."""
    if not math.isfinite(value):
        return _significant(value)
    if not abs(value) * 1e9 < 1 << 63:
        raise TemplateError(f"{number(value)} cannot be represented as a nanoseconds timestamp since it overflows int64")
    # Prometheus keeps milliseconds of it.
    milliseconds = int(value * 1e9) // 1_000_000 if value >= 0 else -(-int(value * 1e9) // 1_000_000)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    fraction = f".{moment.microsecond:06d}".rstrip("0").rstrip(".")
    return f"{moment:%Y-%m-%d %H:%M:%S}{fraction} +0000 UTC"


def parse_duration(text: str) -> float:
    """``1h30m`` → 5400 seconds."""
    found = _DURATION.fullmatch(text)
    if not found or not any(found.groups()) or len(text) > 100:
        if text == "0":
            return 0.0
        raise TemplateError(f"not a valid duration string: {text!r}")
    return float(sum(int(part) * unit for part, unit in zip(found.groups(), _SECONDS, strict=True) if part))


def _each(change: Callable[[str], str]) -> Callable[[str], str]:
    """``change`` of each character that has one character for it: Go leaves ``ß`` as it is."""
    return lambda text: "".join([new if len(new := change(one)) == 1 else one for one in text])


upper, lower = _each(str.upper), _each(str.lower)


def title(text: str) -> str:
    """Every word with a capital letter, the rest as it is."""
    return re.sub(r"(?<![\w\u0080-\U0010ffff])\w|(?<=[\u0080-\U0010ffff])(?<=\s)\w", lambda found: upper(found[0]), text)


def first(samples: Samples) -> Sample:
    if not samples:
        raise TemplateError("error calling first: first() called on vector with no elements")
    return samples[0]


def sort_by_label(name: str, samples: Samples) -> Samples:
    return Samples(sorted(samples, key=lambda one: one.labels.get(name, "")))


def strip_port(text: str) -> str:
    """``[::1]:80`` → ``::1``; a text without a port stays."""
    found = re.fullmatch(r"(?:\[([^\[\]]*)\]|([^:\[\]]*)):[^:\[\]]*", text)
    return (found[1] if found[1] is not None else found[2]) if found else text


def strip_domain(text: str) -> str:
    """``web-1.example.com:80`` → ``web-1:80``; an address stays."""
    host = strip_port(text)
    port = text[text.rfind(":") :] if host != text else ""
    if ":" in host or re.fullmatch(r"\d+\.\d+\.\d+\.\d+", host):
        return text
    return host.split(".", 1)[0] + port


def args(*values: Any) -> Arguments:
    return Arguments({f"arg{place}": value for place, value in enumerate(values)})


def match(text: str, subject: str) -> bool:
    """Whether ``subject`` holds a match of the pattern ``text``. Raises TemplateError."""
    try:
        return pattern(text).found_in(subject)
    except PatternError as error:
        raise TemplateError(str(error)) from None


def replace_all(text: str, by: str, subject: str) -> str:
    """``subject`` with every match of the pattern ``text`` replaced. Raises TemplateError."""
    try:
        return pattern(text).replaced(subject, by)
    except PatternError as error:
        raise TemplateError(str(error)) from None


def link(tab: int) -> Callable[[str], str]:
    return lambda expression: f"/graph?g0.expr={quote_plus(expression)}&g0.tab={tab}"


def url_query(*values: Any) -> str:
    return quote_plus(printf.sprint(values))


def path_of(url: str) -> str:
    return urlsplit(url).path


ANY, STRING, SAMPLE, SAMPLES = "any", "string", "sample", "samples"
FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[str, ...], bool]] = {
    # name: (function, what it takes, whether the last may come any number of times)
    "humanize": (_told(humanize), (ANY,), False),
    "humanize1024": (_told(humanize1024), (ANY,), False),
    "humanizeDuration": (_told(humanize_duration), (ANY,), False),
    "humanizePercentage": (_told(lambda value: f"{_significant(value * 100)}%"), (ANY,), False),
    "humanizeTimestamp": (_told(humanize_timestamp), (ANY,), False),
    "parseDuration": (parse_duration, (STRING,), False),
    "title": (title, (STRING,), False),
    "toUpper": (upper, (STRING,), False),
    "toLower": (lower, (STRING,), False),
    "stripPort": (strip_port, (STRING,), False),
    "stripDomain": (strip_domain, (STRING,), False),
    "safeHtml": (str, (STRING,), False),
    "match": (match, (STRING, STRING), False),
    "reReplaceAll": (replace_all, (STRING, STRING, STRING), False),
    "graphLink": (link(0), (STRING,), False),
    "tableLink": (link(1), (STRING,), False),
    "first": (first, (SAMPLES,), False),
    "label": (lambda name, sample: sample.labels.get(name, ""), (STRING, SAMPLE), False),
    "value": (lambda sample: sample.value, (SAMPLE,), False),
    "strvalue": (lambda sample: sample.labels.get("__value__", ""), (SAMPLE,), False),
    "sortByLabel": (sort_by_label, (STRING, SAMPLES), False),
    "args": (args, (ANY,), True),
    "print": (lambda *values: printf.sprint(values), (ANY,), True),
    "println": (lambda *values: printf.sprintln(values), (ANY,), True),
    "printf": (lambda text, *values: printf.sprintf(text, values), (STRING, ANY), True),
    "html": (lambda *values: html.escape(printf.sprint(values)).replace("&quot;", "&#34;").replace("&#x27;", "&#39;"), (ANY,), True),
    "urlquery": (url_query, (ANY,), True),
}
REFUSED = {
    "toTime": "humanizeTimestamp shows a time",
    "toDuration": "humanizeDuration shows a duration",
    "now": "a text must not change with every evaluation",
    "tmpl": "it belongs to console pages",
    "js": "texts of alerts are no scripts",
    "call": "there are no values that are functions",
    "urlQueryEscape": "use urlquery",
}
"""Functions of Go and Prometheus that are not there, and what to do without them."""
