"""Regular expressions of RE2's syntax by Python's ``re``, with a bound on what a match may cost.

Python backtracks, so a pattern such as ``(a+)+$`` can take for ever, and conditions and texts are evaluated on the loop. What is
repeated without end therefore holds no choice of its own, and ``n`` characters under ``q`` such repetitions, at most
``n ** q`` steps from each place where a match may begin, are refused where that is too much.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

LONGEST = 500
COST = 4_000_000
"""Steps of a search: some 10 ms at the very worst."""
WHOLE_COST = 1_000_000
"""Steps of a match of a whole text; a selector makes many."""
_parse: Any = getattr(re, "_parser").parse  # noqa: B009 -- not in the stubs
_LOOKING = ("ASSERT", "ASSERT_NOT", "GROUPREF", "GROUPREF_EXISTS", "ATOMIC_GROUP", "POSSESSIVE_REPEAT")
_REFERENCE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)\})", re.A)
_CLASSES = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "ascii": r"\x00-\x7f", "blank": r"\t ", "cntrl": r"\x00-\x1f\x7f", "digit": "0-9",
    "graph": "!-~", "lower": "a-z", "print": " -~", "punct": r"!-/:-@\[-`{-~", "space": r"\t-\r ", "upper": "A-Z", "word": r"\w",
    "xdigit": "0-9A-Fa-f",
}  # fmt: skip
_TOKEN = re.compile(
    r"\\Q(?P<quoted>.*?)(?:\\E|$)|\\(?P<escaped>.)|\[:(?P<named>\^?\w+):\]|\(\?(?P<flags>[A-Za-z-]+)(?P<open>[:)])|(?P<group>\(\?<)(?=[A-Za-z_])|."
    , re.S,
)  # fmt: skip


class PatternError(ValueError):
    """RE2 would refuse the pattern, or a match could take for ever; the text says which."""


class Pattern:
    """A checked pattern. ``dotall``: a dot stands for the end of a line too. Raises PatternError."""

    __slots__ = ("_compiled", "_endless")

    def __init__(self, text: str, *, dotall: bool = False, longest: int = LONGEST) -> None:
        if len(text) > longest:
            raise PatternError(f"a pattern of more than {longest} characters is not supported")
        try:
            written, flags = _python(text), re.ASCII | (re.DOTALL if dotall else re.NOFLAG)
            self._compiled = re.compile(written, flags)
            self._endless, _ = _cost(_parse(written, flags))
        except PatternError:
            raise
        except (re.error, RecursionError, OverflowError, ValueError) as error:
            raise PatternError(f"the regular expression {text!r} cannot be used: {error}") from None

    def _affordable(self, text: str, steps: float, most: int) -> None:
        if steps > most:
            raise PatternError(f"the text is too long ({len(text)} characters) for the pattern {self._compiled.pattern!r}")

    def found_in(self, text: str) -> bool:
        self._affordable(text, float(len(text) + 1) ** (self._endless + 1), COST)
        return self._compiled.search(text) is not None

    def whole(self, text: str) -> re.Match[str] | None:
        """The match of the text from its beginning to its end."""
        self._affordable(text, float(len(text) + 1) ** self._endless, WHOLE_COST)
        return self._compiled.fullmatch(text)

    def replaced(self, text: str, replacement: str) -> str:
        """Every match replaced by ``filled``."""
        self._affordable(text, float(len(text) + 1) ** (self._endless + 1), COST)
        found, last = "", 0
        for match in self._compiled.finditer(text):
            # Unlike Python, Go takes no empty match right after another.
            if match.end() > match.start() or match.start() > last or not last:
                found, last = found + text[last : match.start()] + filled(replacement, match), match.end()
        return found + text[last:]


def filled(replacement: str, match: re.Match[str]) -> str:
    """``$1``, ``${1}`` and ``${name}`` stand for groups, ``$$`` for a dollar, unknown ones for nothing."""

    def group(reference: re.Match[str]) -> str:
        name = reference[1] or reference[2]
        if name is None:
            return "$"
        if not name.isdigit():
            return (match[name] or "") if name in match.re.groupindex else ""
        return (match[int(name)] or "") if len(name) < 4 and int(name) <= match.re.groups else ""

    return _REFERENCE.sub(group, replacement)


@lru_cache(512)
def pattern(text: str) -> Pattern:
    """The checked pattern of ``text``, kept."""
    return Pattern(text)


def _python(text: str) -> str:
    """What RE2 reads, as Python writes it; what Python lacks (``\\C``, ``\\pN``) is left for it to refuse. Raises PatternError."""
    written: list[str] = []
    within = False
    inline: list[str] = []
    levels = [inline]
    for found in _TOKEN.finditer(text):
        piece = found[0]
        if found["quoted"] is not None:
            piece = re.escape(found["quoted"])
        elif found["escaped"]:
            piece = r"\Z" if found["escaped"] == "z" and not within else piece
        elif within:
            piece = _in_class(found, written)
            within = piece != "]"
        elif piece == "[":
            within = True
        elif found["flags"]:
            if not set(found["flags"]) <= set("ims-"):
                raise PatternError(f"the flags (?{found['flags']}) are not supported")
            piece = f"(?{found['flags']}:"
            # In the middle of a group they hold up to its end, in every branch from here on.
            if found["open"] == ")":
                levels[-1].append(piece)
            else:
                levels.append([])
        elif piece == "|":
            piece = ")" * len(levels[-1]) + "|" + "".join(levels[-1])
        elif piece == ")":
            piece = ")" * len(levels.pop() if len(levels) > 1 else []) + ")"
        elif piece == "(" or found["group"]:
            piece = "(?P<" if found["group"] else piece
            levels.append([])
        written.append(piece)
    return "".join([*written, ")" * len(inline)])


def _in_class(found: re.Match[str], written: list[str]) -> str:
    """A piece between brackets."""
    piece = found[0]
    if found["named"]:
        if found["named"] not in _CLASSES:
            raise PatternError(f"the character class [:{found['named']}:] is not supported")
        return _CLASSES[found["named"]]
    if piece == "]" and written[-1] in ("[", "[^"):
        return r"\]"
    if piece == "^" and written[-1] == "[":
        written.pop()
        return "[^"
    return "\\" + piece if piece in ("[", "&", "|", "~") or (piece == "-" and written[-1] == "-") else piece


def _cost(parsed: Any) -> tuple[int, int]:
    """How many repetitions without end follow each other, and how many ways there are through the rest. Raises PatternError."""
    endless, ways = 0, 1
    for operator, argument in parsed:
        name = str(operator)
        if name in _LOOKING:
            raise PatternError("look-around and references back are not supported in patterns")
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
                    raise PatternError("a repetition without end around another repetition or a choice is not supported in patterns")
                endless += 1
            else:
                endless += below[0] * high
                ways *= (high - low + 1) * below[1] ** min(high, 64)
        if ways > 1000 or endless > 8:
            raise PatternError("the pattern holds too many choices")
    return endless, ways
