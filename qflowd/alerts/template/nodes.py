"""The tree of a template. ``at`` is the offset of a node in its text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Constant:
    """A text, number, truth value or nil. ``written``: how it stands in the template."""

    value: Any
    written: str
    at: int


@dataclass(frozen=True, slots=True)
class Dot:
    at: int


@dataclass(frozen=True, slots=True)
class Variable:
    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Field:
    """``.name`` of ``of``."""

    of: Operand
    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Command:
    """An operand, or a function with its arguments."""

    operands: tuple[Operand, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Pipe:
    """Commands, each the last argument of the next. ``names``: variables that get the value, new ones where ``declares``."""

    commands: tuple[Command, ...]
    at: int
    names: tuple[str, ...] = ()
    declares: bool = False


Operand = Constant | Dot | Variable | Function | Field | Pipe


@dataclass(frozen=True, slots=True)
class Action:
    pipe: Pipe


@dataclass(frozen=True, slots=True)
class Branch:
    """``word``: if, with or range."""

    word: str
    pipe: Pipe
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Include:
    """``{{ template "name" pipe }}``."""

    name: str
    pipe: Pipe | None
    at: int


@dataclass(frozen=True, slots=True)
class Jump:
    """``word``: break or continue."""

    word: str


Node = Text | Action | Branch | Include | Jump


@dataclass(frozen=True, slots=True)
class Tree:
    """A whole template with those that it defines."""

    source: str
    body: tuple[Node, ...]
    defined: dict[str, tuple[Node, ...]] = field(default_factory=dict)
