"""From the text of a template to its tree: the grammar of Go's text/template, all mistakes of which are told before it is used."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, NoReturn

from qflowd.alerts.template.errors import located
from qflowd.alerts.template.lexer import Token, tokens
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

DEPTH = 50
_CONTROL = ("if", "with", "range", "template", "block", "define", "break", "continue")
_ESCAPE = re.compile(r"\\(?:([abfnrtv\\\"'])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.S)
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ENDS = {"end": "{{ end }}", "else": "{{ else }}"}


def parse(source: str, functions: Collection[str], variables: Collection[str], refused: dict[str, str]) -> Tree:
    """The tree of ``source``. ``refused``: functions that are known but not supported → why.

    Raises TemplateError for what Go's parser refuses, and for what is not supported, by name.
    """
    return _Parser(source, functions, variables, refused).whole()


class _Parser:
    def __init__(self, source: str, functions: Collection[str], variables: Collection[str], refused: dict[str, str]) -> None:
        self.source, self.functions, self.refused = source, functions, refused
        self.tokens = list(tokens(source))
        self.position = 0
        self.variables = ["$", *variables]
        self.defined: dict[str, tuple[Node, ...]] = {}
        self.loops = self.depth = 0

    # -- tokens --------------------------------------------------------------------------------------------------

    def peek(self) -> Token:
        return self.tokens[self.position]

    def next(self) -> Token:
        token = self.tokens[self.position]
        self.position += 1
        return token

    def skip_space(self) -> Token:
        while self.peek().kind == "space":
            self.position += 1
        return self.peek()

    def fail(self, at: int, message: str) -> NoReturn:
        raise located(self.source, at, message)

    def unexpected(self, token: Token, where: str) -> NoReturn:
        self.fail(token.at, f"unexpected {token.text.strip()!r} in {where}")

    def close(self, where: str) -> None:
        token = self.skip_space()
        if token.kind != "close":
            self.unexpected(token, where)
        self.next()

    # -- lists of nodes ------------------------------------------------------------------------------------------

    def whole(self) -> Tree:
        body, ended = self.nodes(top=True)
        if ended is not None:
            self.fail(ended.at, f"unexpected {_ENDS[ended.text]}: nothing is open here")
        return Tree(self.source, body, self.defined)

    def nodes(self, *, top: bool = False) -> tuple[tuple[Node, ...], Token | None]:
        """Nodes up to the ``end`` or ``else`` that closes them (which is given too), or to the end of the template."""
        found: list[Node] = []
        while True:
            token = self.next()
            if token.kind == "end":
                return tuple(found), None
            if token.kind == "text":
                found.append(Text(token.text))
                continue
            word = self.skip_space()
            if word.kind == "word" and word.text in _ENDS:
                self.next()
                return tuple(found), word
            node = self.control(word, top) if word.kind == "word" and word.text in _CONTROL else Action(self.pipe("close", "the action"))
            if node is not None:
                found.append(node)

    def control(self, word: Token, top: bool) -> Node | None:
        self.next()
        if word.text in ("break", "continue"):
            if not self.loops:
                self.fail(word.at, f"{{{{ {word.text} }}}} outside of {{{{ range }}}}")
            self.close(word.text)
            return Jump(word.text)
        self.depth += 1
        if self.depth > DEPTH:
            self.fail(word.at, f"nested more than {DEPTH} deep")
        try:
            if word.text in ("template", "block"):
                return self.include(word)
            if word.text != "define":
                return self.branch(word)
            self.define(word, top)
            return None
        finally:
            self.depth -= 1

    def branch(self, word: Token) -> Branch:
        scope = len(self.variables)
        pipe = self.pipe("close", word.text, declarations=2 if word.text == "range" else 1)
        self.loops += word.text == "range"
        body, ended = self.nodes()
        self.loops -= word.text == "range"
        otherwise: tuple[Node, ...] = ()
        if ended is not None and ended.text == "else":
            following = self.skip_space()
            if following.kind == "word" and following.text in ("if", "with") and following.text == word.text:
                # One {{ end }} closes the whole chain of else if.
                otherwise, ended = (self.branch(self.next()),), following
            else:
                self.close("else")
                otherwise, ended = self.nodes()
                if ended is not None and ended.text == "else":
                    self.fail(ended.at, "expected {{ end }}, found a second {{ else }}")
                self.finish(word, ended)
        else:
            self.finish(word, ended)
        del self.variables[scope:]
        return Branch(word.text, pipe, body, otherwise)

    def finish(self, word: Token, ended: Token | None) -> None:
        if ended is None:
            self.fail(word.at, f"{{{{ {word.text} }}}} has no {{{{ end }}}}")
        self.close("end")

    def define(self, word: Token, top: bool) -> None:
        if not top:
            self.fail(word.at, "{{ define }} has to stand outside of everything else")
        name = self.name("define")
        self.close("define")
        self.body_of(word, name)

    def body_of(self, word: Token, name: str) -> None:
        # What is defined sees only $ and what it declares itself.
        outer, self.variables, loops, self.loops = self.variables, ["$"], self.loops, 0
        body, ended = self.nodes()
        if ended is not None and ended.text == "else":
            self.fail(ended.at, "unexpected {{ else }}")
        self.finish(word, ended)
        self.variables, self.loops = outer, loops
        self.defined[name] = body

    def include(self, word: Token) -> Include:
        name = self.name(word.text)
        pipe = None if self.skip_space().kind == "close" and word.text == "template" else self.pipe("close", word.text, consume=False)
        self.close(word.text)
        if word.text == "block":
            self.body_of(word, name)
        return Include(name, pipe, word.at)

    def name(self, where: str) -> str:
        token = self.skip_space()
        if token.kind != "string":
            self.unexpected(token, f"{where}: expected a name in quotes")
        self.next()
        return self.unquoted(token)

    # -- pipelines -----------------------------------------------------------------------------------------------

    def pipe(self, closing: str, where: str, *, declarations: int = 1, consume: bool = True) -> Pipe:
        """A pipeline up to the token of kind ``closing``, which is consumed unless told otherwise."""
        start = self.skip_space()
        names, declares = self.targets(declarations)
        commands: list[Command] = []
        while True:
            token = self.skip_space()
            if token.kind == closing:
                break
            if token.kind == "pipe" and commands:
                self.next()
                if self.skip_space().kind in ("pipe", closing):
                    self.fail(token.at, "a value is missing after |")
            elif commands:
                self.unexpected(token, where)
            commands.append(self.command(where))
        if not commands:
            self.fail(start.at, f"a value is missing for {where}")
        for number, command in enumerate(commands[1:], 2):
            if isinstance(command.operands[0], Constant | Dot):
                self.fail(command.at, f"stage {number} of the pipeline is not a function")
        if consume:
            self.next()
        if declares:
            self.variables += names
        return Pipe(tuple(commands), start.at, tuple(names), declares)

    def targets(self, allowed: int) -> tuple[list[str], bool]:
        """``$i, $v :=`` or ``$v =`` at the beginning of a pipeline, if it is there."""
        begin, names = self.position, list[Token]()
        if not allowed:
            return [], False
        while self.skip_space().kind == "variable":
            names.append(self.next())
            if self.skip_space().kind != "comma" or len(names) == allowed:
                break
            self.next()
        token = self.skip_space()
        if not names or token.kind not in ("declare", "assign"):
            if len(names) > 1 or (names and token.kind == "comma"):
                self.fail(names[0].at, "too many declarations" if allowed == 1 else "expected := or = after the variables")
            self.position = begin
            return [], False
        self.next()
        for name in names:
            if token.kind == "assign" and name.text not in self.variables:
                self.fail(name.at, f"the variable {name.text} is not defined")
        return [name.text for name in names], token.kind == "declare"

    def command(self, where: str) -> Command:
        start = self.skip_space()
        operands: list[Operand] = []
        while True:
            operand = self.operand(where)
            operands.append(operand)
            token = self.peek()
            if token.kind != "space":
                if token.kind not in ("pipe", "close", "shut"):
                    self.unexpected(token, where)
                break
            if self.skip_space().kind in ("pipe", "close", "shut"):
                break
        if isinstance(operands[0], Constant) and operands[0].written == "nil":
            self.fail(start.at, "nil is not a command")
        return Command(tuple(operands), start.at)

    def operand(self, where: str) -> Operand:
        token = self.next()
        found = self.term(token, where)
        while self.peek().kind == "field":
            if isinstance(found, Constant | Function):
                self.fail(self.peek().at, f"unexpected {self.peek().text!r} after {token.text!r}")
            field = self.next()
            found = Field(found, field.text[1:], field.at)
        return found

    def term(self, token: Token, where: str) -> Operand:
        match token.kind:
            case "word":
                return self.word(token)
            case "variable":
                if token.text not in self.variables:
                    self.fail(token.at, f"the variable {token.text} is not defined{self.known_variables()}")
                return Variable(token.text, token.at)
            case "field":
                return Field(Dot(token.at), token.text[1:], token.at)
            case "dot":
                return Dot(token.at)
            case "string":
                return Constant(self.unquoted(token), token.text, token.at)
            case "number" | "character":
                return Constant(self.number(token), token.text, token.at)
            case "open":
                self.depth += 1
                if self.depth > DEPTH:
                    self.fail(token.at, f"nested more than {DEPTH} deep")
                found = self.pipe("shut", "the parentheses", declarations=0)
                self.depth -= 1
                return found
        self.unexpected(token, where)

    def known_variables(self) -> str:
        return f": known are {', '.join(self.variables[1:])}" if len(self.variables) > 1 else " here"

    def word(self, token: Token) -> Operand:
        if token.text in ("true", "false", "nil"):
            return Constant({"true": True, "false": False, "nil": None}[token.text], token.text, token.at)
        if token.text in self.refused:
            self.fail(token.at, f"the function {token.text!r} is not supported: {self.refused[token.text]}")
        if token.text not in self.functions:
            self.fail(token.at, f"the function {token.text!r} is not supported; known are {', '.join(sorted(self.functions))}")
        return Function(token.text, token.at)

    def number(self, token: Token) -> Any:
        text = token.text
        if token.kind == "character":
            character = self.unquoted(token)
            if len(character) != 1:
                self.fail(token.at, f"{text} is not one character")
            return ord(character)
        if re.fullmatch(r"[+-]?[0-9]+", text):
            # A leading 0 means octal.
            if not re.fullmatch(r"[+-]?(0[0-7]*|[1-9][0-9]*)", text):
                self.fail(token.at, f"{text} is not a number")
            number = int(text, 8 if text.lstrip("+-").startswith("0") else 10)
        elif re.fullmatch(r"[+-]?0[xXbBoO].*", text):
            number = int(text, 0)
        else:
            return float(text)
        if not -(1 << 63) <= number < 1 << 63:
            self.fail(token.at, f"{text} does not fit in 64 bits")
        return number

    def unquoted(self, token: Token) -> str:
        if token.text[0] == "`":
            return token.text[1:-1].replace("\r", "")
        return _ESCAPE.sub(lambda found: self.escape(found, token), token.text[1:-1])

    def escape(self, found: re.Match[str], token: Token) -> str:
        letter, *codes, _ = found.groups()
        if letter:
            return _LETTERS.get(letter, letter)
        for code, base in zip(codes, (16, 16, 16, 8), strict=True):
            if code:
                number = int(code, base)
                if number < 0x110000 and not 0xD800 <= number < 0xE000 and not (base == 8 and number > 255):
                    return chr(number)
        self.fail(token.at, f"unknown escape {found[0]!r} in a text")
