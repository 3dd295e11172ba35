"""Fills a tree in: Go's rules of evaluation, within bounds on steps and on what is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qflowd.alerts.template.builtins import BUILTINS
from qflowd.alerts.template.errors import TemplateError, located
from qflowd.alerts.template.functions import ANY, FUNCTIONS, SAMPLE, SAMPLES, STRING, path_of
from qflowd.alerts.template.nodes import (
    Action,
    Branch,
    Command,
    Constant,
    Dot,
    Field,
    Function,
    Include,
    Jump,
    Node,
    Operand,
    Pipe,
    Text,
    Tree,
    Variable,
)  # fmt: skip
from qflowd.alerts.template.values import Arguments, Root, Sample, Samples, shown, truth, type_name

Query = Callable[[str], Iterable[tuple[Mapping[str, str], float]]]
STEPS = 5000
"""Nodes that one filling in may visit."""
CHARACTERS = 65_536
"""Characters that it may make, in its output and in what its functions give."""
SAMPLES_MOST = 1000
"""Elements that a query may give."""
QUERIES = 10
INCLUDES = 20

_GIVEN: dict[str, tuple[Callable[..., Any], tuple[str, ...], bool]] = {
    "query": (lambda text: text, (STRING,), False),
    "externalURL": (lambda: "", (), False),
    "pathPrefix": (lambda: "", (), False),
    "and": (lambda *values: values, (ANY,), True),
    "or": (lambda *values: values, (ANY,), True),
}
SIGNATURES = {**FUNCTIONS, **BUILTINS, **_GIVEN}
"""Name → function, what it takes, and whether the last of that may come any number of times. ``_GIVEN`` are answered below."""
_TYPES: dict[str, tuple[type, str]] = {
    STRING: (str, "string"),
    SAMPLE: (Sample, "*template.sample"),
    SAMPLES: (Samples, "template.queryResult"),
}


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


@dataclass
class Execution:
    """One filling in of ``tree`` over ``root``."""

    tree: Tree
    root: Root
    query: Query | None
    written: list[str] = field(default_factory=list)
    variables: list[tuple[str, Any]] = field(default_factory=list)
    steps: int = 0
    made: int = 0
    queries: int = 0
    includes: int = 0

    def text(self) -> str:
        """Raises TemplateError with the place of what failed."""
        root = self.root
        self.variables = [
            ("$", root), ("$labels", root.labels), ("$externalLabels", root.external_labels), ("$externalURL", root.external_url),
            ("$value", root.value),
        ]  # fmt: skip
        self.walk(self.tree.body, root)
        return "".join(self.written)

    def fail(self, at: int, message: str) -> TemplateError:
        return located(self.tree.source, at, message)

    def step(self, at: int) -> None:
        self.steps += 1
        if self.steps > STEPS:
            raise self.fail(at, f"more than {STEPS} steps: the template does too much")

    def spend(self, text: str, at: int) -> None:
        self.made += len(text)
        if self.made > CHARACTERS:
            raise self.fail(at, f"more than {CHARACTERS} characters: the template makes too much")

    # -- nodes ---------------------------------------------------------------------------------------------------

    def walk(self, nodes: Sequence[Node], dot: Any) -> None:
        for node in nodes:
            match node:
                case Text(text):
                    self.written.append(text)
                    self.spend(text, 0)
                case Action(pipe):
                    value = self.pipe(pipe, dot)
                    if not pipe.names:
                        self.write(value, pipe.at)
                case Branch():
                    self.branch(node, dot)
                case Include():
                    self.include(node, dot)
                case Jump(word):
                    raise _Break if word == "break" else _Continue

    def write(self, value: Any, at: int) -> None:
        text = "<no value>" if value is None else shown(value)
        # What a pointer points at is written, not the pointer.
        text = text.removeprefix("&") if isinstance(value, Sample) else text
        self.spend(text, at)
        self.written.append(text)

    def branch(self, node: Branch, dot: Any) -> None:
        mark = len(self.variables)
        try:
            if node.word == "range":
                self.range(node, dot)
                return
            value = self.pipe(node.pipe, dot)
            if truth(value):
                self.walk(node.body, value if node.word == "with" else dot)
            else:
                self.walk(node.otherwise, dot)
        finally:
            del self.variables[mark:]

    def range(self, node: Branch, dot: Any) -> None:
        value = self.pipe(node.pipe, dot, keep=True)
        pairs = self.pairs(value, node.pipe.at)
        names = node.pipe.names
        mark = len(self.variables)
        for key, element in pairs:
            self.step(node.pipe.at)
            bound = (key, element) if len(names) == 2 else (element,)
            for name, one in zip(names, bound, strict=False):
                if node.pipe.declares:
                    self.variables.append((name, one))
                else:
                    self.assign(name, one)
            try:
                self.walk(node.body, element)
            except _Continue:
                pass
            except _Break:
                break
            finally:
                del self.variables[mark:]
        if not pairs:
            self.walk(node.otherwise, dot)

    def pairs(self, value: Any, at: int) -> list[tuple[Any, Any]]:
        if isinstance(value, Samples):
            return list(enumerate(value))
        if isinstance(value, Mapping):
            return sorted(value.items())
        if isinstance(value, int) and not isinstance(value, bool):
            if value > STEPS:
                raise self.fail(at, f"range over {value}: at most {STEPS}")
            return [(place, place) for place in range(value)]
        if value is None:
            return []
        raise self.fail(at, f"range can't iterate over {shown(value)}")

    def include(self, node: Include, dot: Any) -> None:
        body = self.tree.defined.get(node.name)
        if body is None:
            raise self.fail(node.at, f"the template {node.name!r} is not defined")
        self.includes += 1
        if self.includes > INCLUDES:
            raise self.fail(node.at, f"more than {INCLUDES} templates within each other")
        given = self.pipe(node.pipe, dot) if node.pipe is not None else None
        outer, self.variables = self.variables, [("$", given)]
        self.walk(body, given)
        self.variables = outer
        self.includes -= 1

    # -- values --------------------------------------------------------------------------------------------------

    def assign(self, name: str, value: Any) -> None:
        for place in range(len(self.variables) - 1, -1, -1):
            if self.variables[place][0] == name:
                self.variables[place] = (name, value)
                return

    def pipe(self, pipe: Pipe, dot: Any, *, keep: bool = False) -> Any:
        """The value of a pipeline; its variables are set unless ``keep`` says that ``range`` does it."""
        value: Any = None
        for place, command in enumerate(pipe.commands):
            value = self.command(command, dot, (value,) if place else ())
        if not keep:
            for name in pipe.names:
                if pipe.declares:
                    self.variables.append((name, value))
                else:
                    self.assign(name, value)
        return value

    def command(self, command: Command, dot: Any, final: tuple[Any, ...]) -> Any:
        self.step(command.at)
        head, *rest = command.operands
        if isinstance(head, Function):
            return self.call(head, rest, dot, final)
        if rest or final:
            written = head.written if isinstance(head, Constant) else getattr(head, "name", "this")
            raise self.fail(command.at, f"can't give argument to non-function {written}")
        return self.operand(head, dot)

    def operand(self, operand: Operand, dot: Any) -> Any:
        match operand:
            case Constant(value, _, _):
                return value
            case Dot():
                return dot
            case Variable(name, _):
                return next(value for known, value in reversed(self.variables) if known == name)
            case Function():
                return self.call(operand, [], dot, ())
            case Field(of, name, at):
                return self.field(self.operand(of, dot), name, at)
            case Pipe():
                self.step(operand.at)
                return self.pipe(operand, dot)

    def field(self, value: Any, name: str, at: int) -> Any:
        known: dict[str, Any] = {}
        if isinstance(value, Root):
            known = {"Labels": value.labels, "ExternalLabels": value.external_labels}
            known |= {"ExternalURL": value.external_url, "Value": value.value}
        elif isinstance(value, Sample):
            known = {"Labels": value.labels, "Value": value.value}
        elif isinstance(value, Mapping):
            return value.get(name, None if isinstance(value, Arguments) else "")
        if name not in known:
            raise self.fail(at, f"can't evaluate field {name} in type {type_name(value)}")
        return known[name]

    def call(self, function: Function, rest: Sequence[Operand], dot: Any, final: tuple[Any, ...]) -> Any:
        name, at = function.name, function.at
        call, takes, many = SIGNATURES[name]
        count, least = len(rest) + len(final), len(takes) - many
        if count < least or (count > len(takes) and not many):
            raise self.fail(at, f"wrong number of args for {name}: want {'at least ' if many else ''}{least} got {count}")
        if name in ("and", "or"):
            return self.logic(name, rest, dot, final, at)
        values = [*(self.operand(one, dot) for one in rest), *final]
        for place, value in enumerate(values):
            expected = takes[min(place, len(takes) - 1)]
            if expected != ANY and not isinstance(value, _TYPES[expected][0]):
                raise self.fail(at, f"wrong type for value of {name}; expected {_TYPES[expected][1]}; got {type_name(value)}")
        try:
            result = self.given(name, values) if name in _GIVEN else call(*values)
        except TemplateError as error:
            raise self.fail(at, str(error)) from None
        if isinstance(result, str):
            self.spend(result, at)
        return result

    def logic(self, name: str, rest: Sequence[Operand], dot: Any, final: tuple[Any, ...], at: int) -> Any:
        """The first value that decides, without looking at the others; the last where none does."""
        if not rest and not final:
            raise self.fail(at, f"wrong number of args for {name}: want at least 1 got 0")
        value: Any = None
        for operand in rest:
            value = self.operand(operand, dot)
            if truth(value) == (name == "or"):
                return value
        return final[0] if final else value

    def given(self, name: str, values: list[Any]) -> Any:
        if name == "externalURL":
            return self.root.external_url
        if name == "pathPrefix":
            return path_of(self.root.external_url)
        if self.query is None:
            raise TemplateError("query: there are no series to ask here")
        self.queries += 1
        if self.queries > QUERIES:
            raise TemplateError(f"more than {QUERIES} queries")
        try:
            found = Samples(Sample(dict(labels), value) for labels, value in self.query(values[0]))
        except Exception as error:
            raise TemplateError(f"error calling query: {error}") from None
        if len(found) > SAMPLES_MOST:
            raise TemplateError(f"error calling query: {len(found)} series, at most {SAMPLES_MOST} are allowed")
        return found
