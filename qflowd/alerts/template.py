"""The part of Prometheus's templates that alert texts use: labels, the value, and the humanize functions."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import lru_cache

_ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.S)
_LABEL = re.compile(r"\$labels\.([A-Za-z_][A-Za-z0-9_]*)|index\s+\$labels\s+\"([^\"]*)\"")
Part = Callable[[Mapping[str, str], float | None], str]


class TemplateError(Exception):
    """The template uses something that is not supported; the text names it."""


def plain(value: float) -> str:
    """A number as Go prints it, nearly: shortest form, no trailing ``.0``."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def _scaled(value: float, unit: str = "") -> str:
    if not math.isfinite(value):
        return plain(value) + unit
    if value == 0:
        return f"{value:.4g}{unit}"
    prefix = ""
    if abs(value) >= 1:
        for one in "kMGTPEZY":
            if abs(value) < 1000:
                break
            prefix, value = one, value / 1000
    else:
        for one in "munpfazy":
            if abs(value) >= 1:
                break
            prefix, value = one, value * 1000
    return f"{value:.4g}{prefix}{unit}"


def _percentage(value: float) -> str:
    return f"{value * 100:.4g}%" if math.isfinite(value * 100) else f"{plain(value * 100)}%"


def _duration(value: float) -> str:
    """``value`` is in seconds."""
    if not math.isfinite(value) or abs(value) < 60:
        return f"{value:.4g}s" if 1 <= abs(value) < 60 else _scaled(value, "s")
    sign, left = ("-" if value < 0 else ""), int(abs(value))
    days, hours, minutes, seconds = left // 86_400, left // 3600 % 24, left // 60 % 60, left % 60
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
    return f"{sign}{hours}h {minutes}m {seconds}s" if hours else f"{sign}{minutes}m {seconds}s"


_FUNCTIONS: dict[str, Callable[[float], str]] = {
    "humanize": _scaled,
    "humanizePercentage": _percentage,
    "humanizeDuration": _duration,
}


def _action(text: str) -> Part:
    subject, *pipes = [one.strip() for one in text.split("|")]
    words = subject.split()
    if len(words) == 2 and words[0] in _FUNCTIONS:
        subject, pipes = words[1], [words[0], *pipes]
    if len(pipes) > 1:
        raise TemplateError(f"{{{{ {text} }}}}: a chain of functions is not supported")
    if pipes and pipes[0] not in _FUNCTIONS:
        raise TemplateError(f"the function {pipes[0]!r} is not supported; known are {', '.join(_FUNCTIONS)}")
    function = _FUNCTIONS[pipes[0]] if pipes else None
    if label := _LABEL.fullmatch(subject):
        name = label[1] or label[2]
        if function is None:
            return lambda labels, value: labels.get(name, "")

        def from_label(labels: Mapping[str, str], value: float | None) -> str:
            try:
                return function(float(labels.get(name, "")))
            except ValueError:
                return labels.get(name, "")

        return from_label
    if subject == "$value":
        show = function or plain
        return lambda labels, value: "no data" if value is None else show(value)
    raise TemplateError(f"{{{{ {text} }}}} is not supported: use $labels.NAME or $value")


@lru_cache(4096)
def template(text: str) -> tuple[str | Part, ...]:
    """The parts of a text. Raises TemplateError naming what is not supported."""
    parts: list[str | Part] = []
    last = 0
    for found in _ACTION.finditer(text):
        parts += [text[last : found.start()], _action(found[1])]
        last = found.end()
    if "{{" in text[last:]:
        raise TemplateError("a {{ is not closed by }}")
    return (*parts, text[last:])


def render(text: str, labels: Mapping[str, str], value: float | None) -> str:
    """The text with its actions filled in."""
    if "{{" not in text:
        return text
    return "".join([part if isinstance(part, str) else part(labels, value) for part in template(text)])
