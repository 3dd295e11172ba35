"""What can be wrong with a template."""

from __future__ import annotations


class TemplateError(Exception):
    """The template cannot be used, or cannot be filled in; the text says what and where, as in ``line 1, column 4: …``."""


def located(text: str, at: int, message: str) -> TemplateError:
    """An error at the offset ``at`` of ``text``; lines and columns count from 1."""
    line = text.count("\n", 0, at) + 1
    return TemplateError(f"line {line}, column {at - text.rfind(chr(10), 0, at)}: {message}")
