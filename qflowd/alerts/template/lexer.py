"""Texts and actions of a template, and the tokens of an action: the lexical rules of Go's text/template."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from qflowd.alerts.template.errors import located

SPACES = " \t\r\n"
_TOKEN = re.compile(
    r"""(?P<close>[ \t\r\n]-\}\}|\}\})
    |(?P<space>[ \t\r\n]+)
    |(?P<declare>:=)|(?P<assign>=)|(?P<pipe>\|)|(?P<open>\()|(?P<shut>\))|(?P<comma>,)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)
    |(?P<character>'(?:[^'\\\n]|\\[^\n])+')
    |(?P<number>[+-]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(?!\w))
    |(?P<variable>\$\w*)
    |(?P<field>\.[^\W\d]\w*)
    |(?P<dot>\.)
    |(?P<word>[^\W\d]\w*)""",
    re.X,
)
_COMMENT_END = re.compile(r"([ \t\r\n]-)?\}\}")


@dataclass(frozen=True, slots=True)
class Token:
    """``kind``: ``text``, ``action`` (an opening ``{{``), ``end`` of the template, or a group of the pattern above."""

    kind: str
    text: str
    at: int


def tokens(source: str) -> Iterator[Token]:
    """All tokens in order. Raises TemplateError."""
    position, trim = 0, False
    while True:
        start = source.find("{{", position)
        text = source[position:] if start < 0 else source[position:start]
        if trim:
            text = text.lstrip(SPACES)
        opens_trimming = start >= 0 and source.startswith("-", start + 2) and source[start + 3 : start + 4] in tuple(SPACES)
        if opens_trimming:
            text = text.rstrip(SPACES)
        if text:
            yield Token("text", text, position)
        if start < 0:
            yield Token("end", "", len(source))
            return
        inside = start + (4 if opens_trimming else 2)
        if source.startswith("/*", inside):
            position, trim = _comment(source, start, inside)
            continue
        yield Token("action", "{{", start)
        position, trim = inside, False
        while True:
            found = _TOKEN.match(source, position)
            if found is None:
                raise _unreadable(source, start, position)
            kind, position = str(found.lastgroup), found.end()
            yield Token(kind, found[0], found.start())
            if kind == "close":
                trim = "-" in found[0]
                break


def _comment(source: str, start: int, inside: int) -> tuple[int, bool]:
    end = source.find("*/", inside + 2)
    if end < 0:
        raise located(source, start, "the comment is not closed by */}}")
    close = _COMMENT_END.match(source, end + 2)
    if close is None:
        raise located(source, start, "a comment has to be all of its action: {{/* … */}}")
    return close.end(), close[1] is not None


def _unreadable(source: str, start: int, position: int) -> Exception:
    if position >= len(source):
        return located(source, start, "a {{ is not closed by }}")
    if source[position] in "\"`'":
        return located(source, position, "a text is not closed by its quote")
    return located(source, position, f"unexpected {source[position]!r}")
