"""The parts below CloudEvents: content types, bytes by their content type, and the bound on nesting."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from qflowd.model import Problem

MAX_DEPTH = 64
"""Deepest nesting of objects and lists in one event."""
_OPEN = frozenset(b"{[")
_decode_any = msgspec.json.Decoder().decode


class Refused(Exception):
    """One event is not taken; ``errors`` says why."""

    def __init__(self, *errors: Problem) -> None:
        super().__init__(errors)
        self.errors = list(errors)


def media_type(content_type: str) -> tuple[str, str]:
    media, _, rest = content_type.partition(";")
    charset = ""
    for part in rest.split(";"):
        name, _, value = part.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip('"').lower()
    return media.strip().lower(), charset


def shallow(text: bytes) -> None:
    """Refuses text nested deeper than ``MAX_DEPTH``; brackets inside strings do not count."""
    depth = 0
    inside = escaped = False
    for byte in text:
        if inside:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                inside = False
        elif byte == 0x22:
            inside = True
        elif byte in _OPEN:
            depth += 1
            if depth > MAX_DEPTH:
                raise Refused(Problem("", f"nested deeper than {MAX_DEPTH} levels"))
        elif byte in (0x7D, 0x5D):
            depth -= 1


def is_json(media: str) -> bool:
    return media in ("", "application/json", "text/json") or media.endswith("+json")


def read_data(held: bytes, media: str, path: str) -> Any:
    """Bytes as the content type says: JSON is read, text is kept, anything else stays base64."""
    if is_json(media):
        if not held.strip():
            return None
        if held.count(b"{") + held.count(b"[") > MAX_DEPTH:
            shallow(held)
        try:
            return _decode_any(held)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            raise Refused(Problem(path, f"not JSON: {plain(error)}")) from None
    try:
        return held.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(held).decode()}


def plain(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)
