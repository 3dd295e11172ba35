"""Checking a document by the schema, in words that say what would be right."""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path as FilePath
from typing import Any

import jsonschema

from qflowd import units
from qflowd.config.document import Document, Path

_UNSUPPORTED: tuple[Path, ...] = (
    ("server", "tls"), ("streams",), ("sources",), ("slos",), ("adaptive", "policies"),
    ("alerts", "routes"), ("alerts", "inhibit"), ("alerts", "maintenance"),
    ("server", "public_url"), ("server", "base_path"), ("server", "trusted_proxies"),
)  # fmt: skip
_KINDS = {"object": "a mapping", "array": "a list", "string": "text", "integer": "a whole number", "null": "null"}
_KINDS |= {"boolean": "true or false", "number": "a number"}


@functools.cache
def schema() -> dict[str, Any]:
    """The JSON Schema of the file."""
    text = resources.files("qflowd.config").joinpath("schema.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


Kinds = Mapping[str, Mapping[str, Any]]
"""Kind of channel → the JSON schema of its options."""


def check(document: Document, kinds: Kinds) -> None:
    """Note what the schema does not allow. Empty sections of functions that are not there yet are taken out."""
    if document.value is None:
        document.value = {}
    _drop_empty_sections(document)
    for path in _UNSUPPORTED:
        _take_unsupported(document, path)
    _validate(document, document.value, schema(), ())
    channels = document.value.get("channels") if isinstance(document.value, dict) else None
    for name, options in channels.items() if isinstance(channels, dict) else ():
        kind = options.get("type") if isinstance(options, dict) else None
        if isinstance(kind, str) and kind in kinds:
            given = {key: value for key, value in options.items() if key != "type"}
            _validate(document, given, kinds[kind], ("channels", name))
        elif kind is not None:
            document.mistake(("channels", name, "type"), f"must be one of {', '.join(kinds)}, not {json.dumps(kind)}")


def _validate(document: Document, value: Any, rules: Mapping[str, Any], prefix: Path) -> None:
    for error in jsonschema.Draft202012Validator(rules).iter_errors(value):
        path = (*prefix, *error.absolute_path)
        if error.validator == "additionalProperties":
            rule: Any = error.schema
            known = list(rule.get("properties", {}))
            for key in error.instance:
                if key not in known:
                    document.mistake((*path, key), unknown(key, known))
        else:
            document.mistake(path, _words(error, path))


def _drop_empty_sections(document: Document) -> None:
    """``server:`` with all its keys commented out is null in YAML; it means the defaults."""
    if isinstance(document.value, dict):
        properties = schema()["properties"]
        for key in [key for key, value in document.value.items() if value is None and key in properties]:
            del document.value[key]


def _take_unsupported(document: Document, path: Path) -> None:
    holder = document.value
    for part in path[:-1]:
        holder = holder.get(part) if isinstance(holder, dict) else None
    if isinstance(holder, dict) and path[-1] in holder:
        value = holder.pop(path[-1])
        if value not in (None, [], {}, "/"):
            document.mistake(path, "not supported by this version; remove it")


def unknown(key: str, known: list[str]) -> str:
    """What is wrong with a key that is none of ``known``."""
    near = difflib.get_close_matches(key, known, 1, 0.6)
    return f"unknown key, did you mean {near[0]}?" if near else f"unknown key, known are: {', '.join(known)}"


def _words(error: jsonschema.ValidationError, path: Path) -> str:
    value = error.instance
    rule: Any = error.schema
    shown = json.dumps(value) if not isinstance(value, dict | list) else _KINDS["array" if isinstance(value, list) else "object"]
    if rule.get("x-kind") == "duration":
        return f"must be a duration such as 5s or 1h30m, not {shown}"
    if rule.get("x-kind") == "size":
        return f"must be a size such as 64MiB, not {shown}"
    if error.validator == "type":
        kinds = rule["type"] if isinstance(rule["type"], list) else [rule["type"]]
        return f"must be {' or '.join(_KINDS[kind] for kind in kinds)}, not {shown}"
    if error.validator == "enum":
        return f"must be one of {', '.join(map(str, rule['enum']))}, not {shown}"
    if error.validator in ("minimum", "maximum"):
        bounds = [str(rule[name]) for name in ("minimum", "maximum") if name in rule]
        return f"must be {' to '.join(bounds) if len(bounds) == 2 else 'at least ' + bounds[0]}, not {shown}"
    if error.validator == "required":
        return str(error.message).replace("'", "") + " here"
    return f"{shown} is not allowed here: {rule.get('description', error.message)}"


def options(values: Mapping[str, Any], rules: Mapping[str, Any], base: FilePath) -> dict[str, Any]:
    """The options of a channel with durations in ms and paths absolute, relative ones below ``base``; without defaults."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        rule = rules["properties"].get(key, {})
        if rule.get("x-kind") == "path" and value is not None:
            value = str((base / value).absolute())
        found[key] = complete(value, rule) if value is not None else None
    return found


def complete(value: Any, rule: dict[str, Any]) -> Any:
    """Fill in defaults, and make durations milliseconds and sizes bytes. ``value`` has passed ``check``."""
    if "properties" in rule and rule.get("type") == "object" and isinstance(value, dict):
        if "default" not in rule and "$schema" not in rule:
            return value
        return {key: complete(value.get(key, below["default"]), below) for key, below in rule["properties"].items()}
    if isinstance(value, float):
        # JSON Schema counts 8080.0 as an integer.
        return int(value)
    if isinstance(value, str) and "x-kind" in rule:
        value = value.strip()
    if rule.get("x-kind") == "duration":
        return units.duration(value)
    if rule.get("x-kind") == "size":
        return units.size(value)
    return value
