"""YAML by the 1.2 core rules, with the place of every value.

PyYAML resolves by YAML 1.1, where ``off`` is false and ``22:00`` is 1320; the resolvers here replace its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from qflowd.config.errors import ConfigError, Mistake

Path = tuple[str | int, ...]
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MAX_VALUES = 100_000
"""Values that a text may hold whatever its length; a longer one may hold as many as it has characters."""
_MAX_DEPTH = 64
_VARIABLE = re.compile(r"\$\$\{|\$\{([^}]*)\}")
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_NULL = re.compile(r"~|null|Null|NULL|")
_BOOLEAN = re.compile(r"true|True|TRUE|false|False|FALSE")


class CoreLoader(_Base):  # type: ignore[misc]
    """A safe loader that knows the implicit types of YAML 1.2 only."""

    yaml_implicit_resolvers: dict[Any, Any] = {}


for _tag, _pattern in (("bool", _BOOLEAN), ("null", _NULL), ("int", _INTEGER), ("float", _FLOAT)):
    CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern.pattern})$"), None)


@dataclass
class Document:
    """A value with the places (file, line from 1) of all that is in it, and the mistakes met while reading.

    ``written``: scalars that are no text, as they were written, for those who want ``1.0`` or ``yes`` as text.
    """

    value: Any = None
    places: dict[Path, tuple[str, int]] = field(default_factory=dict)
    written: dict[Path, str] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    def mistake(self, path: Path, message: str) -> None:
        """Note a mistake at ``path``, or at the nearest place above it that is written down."""
        file, line = self.place(path)
        self.mistakes.append(Mistake(file, line, dotted(path), message))

    def place(self, path: Path) -> tuple[str, int]:
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, ("", 0))


def dotted(path: Path) -> str:
    """``("alerts", "rules", 0)`` → ``alerts.rules[0]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read(
    text: str, file: str, environment: Mapping[str, str], *, verbatim: tuple[Path, ...] = (), scalars: bool = True
) -> Document:
    """Parse ``text``. ``${NAME}`` is replaced (``$${`` stands for ``${``) except below the ``verbatim`` paths; without
    ``scalars`` all but null is text, as it was written.

    Raises ConfigError where the text is no YAML at all; smaller mistakes are in the document.
    """
    document = Document(places={(): (file, 1)})
    try:
        node = yaml.compose(text, Loader=CoreLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = " ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError([Mistake(file, mark.line + 1 if mark else 0, "", f"not YAML: {words}")]) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError([Mistake(file, 0, "", f"not YAML: {error}")]) from None
    if node is not None:
        document.value = _Construction(document, file, environment, verbatim, max(_MAX_VALUES, len(text)), scalars).value(node, ())
    return document


class _Construction:
    def __init__(
        self, document: Document, file: str, environment: Mapping[str, str], verbatim: tuple[Path, ...], most: int, scalars: bool
    ) -> None:
        self.document, self.file, self.environment, self.verbatim, self.most = document, file, environment, verbatim, most
        self.count, self.scalars = 0, scalars

    def value(self, node: yaml.Node, path: Path) -> Any:
        self.count += 1
        line = node.start_mark.line + 1
        # A few aliases of aliases can stand for billions of values; an alias may even contain itself.
        if self.count > self.most or len(path) > _MAX_DEPTH:
            raise ConfigError([Mistake(self.file, line, dotted(path[:8]), "too many or too deep values (aliases?)")])
        # The line of a key is the better place for what it holds, and is there already.
        self.document.places.setdefault(path, (self.file, line))
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self.scalar(node, path)

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.document.mistakes.append(Mistake(self.file, line, dotted(path), "a key must be text"))
                continue
            key = str(key_node.value)
            below = (*path, key)
            if key in result:
                first = self.document.places[below][1]
                words = f"repeated key, first on line {first}; remove one of them"
                self.document.mistakes.append(Mistake(self.file, line, dotted(below), words))
                continue
            self.document.places[below] = (self.file, line)
            result[key] = self.value(value_node, below)
        return result

    def scalar(self, node: yaml.Node, path: Path) -> Any:
        text, tag = str(node.value), node.tag
        if "${" in text and not any(path[: len(prefix)] == prefix for prefix in self.verbatim):
            text = _VARIABLE.sub(lambda match: self.variable(match, path), text)
            if not getattr(node, "style", None):
                # A plain ${PORT} is the number that it names.
                tag = _core_tag(text)
        kind = tag.rpartition(":")[2]
        if not self.scalars:
            return None if kind == "null" else text
        if kind != "str":
            self.document.written[path] = text
        try:
            return _scalar(kind, text)
        except ValueError:
            self.document.mistake(path, f"'{text}' is no {kind}")
            return None

    def variable(self, match: re.Match[str], path: Path) -> str:
        name = match.group(1)
        if name is None:
            return "${"
        if name not in self.environment:
            self.document.mistake(path, f"environment variable {name} is not set (write $${{ for a plain ${{)")
        return self.environment.get(name, "")


def _core_tag(text: str) -> str:
    kinds = (("bool", _BOOLEAN), ("null", _NULL), ("int", _INTEGER), ("float", _FLOAT))
    return next((kind for kind, pattern in kinds if pattern.fullmatch(text)), "str")


def _scalar(kind: str, text: str) -> Any:
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text[2:] if base != 10 else text, base)
    if kind == "float":
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    if kind == "str":
        return text
    raise ValueError(kind)
