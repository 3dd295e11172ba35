"""Regular expressions of templates: Go's syntax (RE2) by Python's ``re``, with a bound on what a search may cost.

Python backtracks, so a pattern such as ``(a+)+$`` can take for ever, and templates run on the loop. What is repeated without end
therefore holds no choice of its own, and a search of ``n`` characters under ``q`` such repetitions, at most ``n ** (q + 1)`` steps, is
refused where that is too much.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from qflowd.alerts.template.errors import TemplateError

LONGEST = 500
COST = 4_000_000
"""Steps of a search: some 10 ms at the very worst."""
_parse: Any = getattr(re, "_parser").parse  # noqa: B009 -- not in the stubs
_LOOKING = ("ASSERT", "ASSERT_NOT", "GROUPREF", "GROUPREF_EXISTS", "ATOMIC_GROUP", "POSSESSIVE_REPEAT")
_REFERENCE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)\})", re.A)


class Pattern:
    """A checked pattern. Raises TemplateError where RE2 would refuse it, or a search could take for ever."""

    __slots__ = ("_compiled", "_endless")

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            raise TemplateError(f"a pattern of more than {LONGEST} characters is not supported")
        try:
            # \z is RE2's end of the text, \Z Python's; \C, \pN and POSIX classes have no counterpart.
            written = re.sub(r"\\(.)", lambda found: r"\Z" if found[1] == "z" else found[0], text)
            self._compiled = re.compile(written)
            self._endless, _ = _cost(_parse(written))
        except (re.error, RecursionError, OverflowError) as error:
            raise TemplateError(f"{text!r} is not a pattern: {error}") from None

    def _affordable(self, text: str) -> None:
        if float(len(text) + 1) ** (self._endless + 1) > COST:
            raise TemplateError(f"the text is too long ({len(text)} characters) for the pattern {self._compiled.pattern!r}")

    def found_in(self, text: str) -> bool:
        self._affordable(text)
        return self._compiled.search(text) is not None

    def replaced(self, text: str, replacement: str) -> str:
        """Every match replaced; ``$1``, ``${1}`` and ``${name}`` stand for groups, ``$$`` for a dollar, unknown ones for nothing."""
        self._affordable(text)

        def fill(match: re.Match[str]) -> str:
            def group(reference: re.Match[str]) -> str:
                name = reference[1] or reference[2]
                if name is None:
                    return "$"
                known = int(name) <= match.re.groups if name.isdigit() else name in match.re.groupindex
                return (match[int(name) if name.isdigit() else name] or "") if known else ""

            return _REFERENCE.sub(group, replacement)

        found, last = "", 0
        for match in self._compiled.finditer(text):
            # Unlike Python, Go takes no empty match right after another.
            if match.end() > match.start() or match.start() > last or not last:
                found, last = found + text[last : match.start()] + fill(match), match.end()
        return found + text[last:]


@lru_cache(512)
def pattern(text: str) -> Pattern:
    return Pattern(text)


def _cost(parsed: Any) -> tuple[int, int]:
    """How many repetitions without end follow each other, and how many ways there are through the rest. Raises TemplateError."""
    endless, ways = 0, 1
    for operator, argument in parsed:
        name = str(operator)
        if name in _LOOKING:
            raise TemplateError("look-around and references back are not supported in patterns")
        if name == "BRANCH":
            found = [_cost(one) for one in argument[1]]
            endless += max(one for one, _ in found)
            ways *= sum(one for _, one in found)
        elif name == "SUBPATTERN":
            below = _cost(argument[3])
            endless, ways = endless + below[0], ways * below[1]
        elif name in ("MAX_REPEAT", "MIN_REPEAT"):
            low, high, body = argument
            below = _cost(body)
            if high - low > 1000:
                if below[0] or below[1] > 1:
                    raise TemplateError("a repetition without end around another repetition or a choice is not supported in patterns")
                endless += 1
            else:
                endless += below[0] * high
                ways *= (high - low + 1) * below[1] ** min(high, 64)
        if ways > 1000 or endless > 8:
            raise TemplateError("the pattern holds too many choices")
    return endless, ways
