"""Which items a client wants: ``{"flowId": "payments-*", "flow_executions": {"status": ["failed"]}}``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from fnmatch import translate
from functools import lru_cache
from re import compile as compile_regex
from typing import Any

FIELDS = ("flowId", "status", "severity", "module", "host", "node", "level", "source")
MAX_VALUES = 100
MAX_LENGTH = 256
MAX_TEXT = 16_384
"""Characters in all the filters of a client."""

MAX_GLOBS = 1_024
"""Characters in all its globs: to compile one takes some 4 µs a character, on the loop."""

Wanted = tuple[str, ...]


class FilterError(Exception):
    """A filter that cannot be; ``path`` is where, as in ``flow_executions.status``."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


def as_text(value: object) -> str:
    """How a scalar is compared: as JSON would show it, strings bare."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def is_glob(text: str) -> bool:
    """Whether ``text`` is a pattern rather than the value itself."""
    return any(c in text for c in "*?[")


def _wanted(path: str, value: Any) -> Wanted:
    values = value if isinstance(value, list) else [value]
    if len(values) > MAX_VALUES:
        raise FilterError(path, f"at most {MAX_VALUES} values")
    for one in values:
        if not isinstance(one, str | int | float):
            raise FilterError(path, "must be a string, a number, a boolean, or a list of these")
        if isinstance(one, str) and len(one) > MAX_LENGTH:
            raise FilterError(path, f"at most {MAX_LENGTH} characters")
    return tuple(sorted({as_text(one) for one in values}))


@lru_cache(maxsize=1024)
def _matcher(wanted: Wanted) -> Callable[[str], bool]:
    plain = frozenset(one for one in wanted if not is_glob(one))
    globs = [compile_regex(translate(one)).match for one in wanted if one not in plain]
    if not globs:
        return plain.__contains__
    return lambda text: text in plain or any(match(text) is not None for match in globs)


class Filter:
    """The filter of one subscription. ``key`` is equal for filters that pass the same items; empty passes all."""

    __slots__ = ("_checks", "key")

    def __init__(self, wanted: Mapping[str, Wanted]) -> None:
        self.key = tuple(sorted(wanted.items()))
        self._checks = [(field, _matcher(values)) for field, values in self.key]

    def passes(self, fields: Mapping[str, str | Wanted]) -> bool:
        """Whether an item with these fields is wanted; one that lacks a wanted field is not."""
        for field, check in self._checks:
            value = fields.get(field)
            if value is None:
                return False
            if not (check(value) if isinstance(value, str) else any(map(check, value))):
                return False
        return True


PASS_ALL = Filter({})


class Filters:
    """All filters of one client, as it sent them (``shown``) and per stream."""

    def __init__(self, streams: Mapping[str, Collection[str]]) -> None:
        """``streams``: stream name → the filter fields its items have."""
        self._streams = streams
        self.shown: dict[str, Any] = {}

    def merge(self, change: Mapping[str, Any]) -> None:
        """Lay ``change`` over the present filters; ``None`` removes. Raises FilterError and changes nothing."""
        shown = dict(self.shown)
        for name, value in change.items():
            if name in FIELDS:
                self._set(shown, name, name, value)
            elif name in self._streams:
                self._merge_stream(shown, name, value)
            else:
                raise FilterError(name, "is neither a field (" + ", ".join(FIELDS) + ") nor a stream")
            self._check_total(name, shown)
        self.shown = shown

    def _merge_stream(self, shown: dict[str, Any], stream: str, value: Any) -> None:
        if value is None:
            shown.pop(stream, None)
            return
        if not isinstance(value, dict):
            raise FilterError(stream, "must be an object of fields")
        fields = dict(shown.get(stream, {}))
        for field, wanted in value.items():
            if field not in self._streams[stream]:
                raise FilterError(f"{stream}.{field}", "is not a field of this stream")
            self._set(fields, field, f"{stream}.{field}", wanted)
        shown[stream] = fields
        if not fields:
            del shown[stream]

    @staticmethod
    def _set(into: dict[str, Any], field: str, path: str, value: Any) -> None:
        if value is None:
            into.pop(field, None)
        else:
            _wanted(path, value)
            into[field] = value

    @staticmethod
    def _check_total(path: str, shown: Mapping[str, Any]) -> None:
        text = globs = 0
        for value in shown.values():
            for wanted in value.values() if isinstance(value, dict) else [value]:
                for one in map(as_text, wanted if isinstance(wanted, list) else [wanted]):
                    text += len(one)
                    globs += len(one) if is_glob(one) else 0
        if text > MAX_TEXT:
            raise FilterError(path, f"at most {MAX_TEXT} characters in all filters together")
        if globs > MAX_GLOBS:
            raise FilterError(path, f"at most {MAX_GLOBS} characters in all globs together")

    def of(self, stream: str) -> Filter:
        """The filter for one stream: a stream's own value for a field stands before the general one."""
        has = self._streams[stream]
        both = {field: value for field, value in self.shown.items() if field in FIELDS and field in has}
        both.update(self.shown.get(stream, {}))
        return Filter({field: _wanted(field, value) for field, value in both.items()}) if both else PASS_ALL
