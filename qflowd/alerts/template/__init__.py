"""Texts of alerts: Prometheus's templates, which are Go's ``text/template`` over the labels and the value of an alert.

Filling in is pure and bounded: steps, characters, queries and patterns have limits, and whatever goes wrong shows in the text, for an
alert must not be lost over its words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from qflowd.alerts.template.errors import TemplateError
from qflowd.alerts.template.execute import SIGNATURES, Execution, Query
from qflowd.alerts.template.functions import REFUSED
from qflowd.alerts.template.nodes import Tree
from qflowd.alerts.template.parser import parse
from qflowd.alerts.template.values import ABSENT, Root

__all__ = ["NOWHERE", "Query", "Surroundings", "TemplateError", "expand", "render", "template"]
VARIABLES = ("$labels", "$externalLabels", "$externalURL", "$value")


@dataclass(frozen=True)
class Surroundings:
    """What a text sees beside its alert. ``query(expression)`` → (labels, value) of each element, as of the evaluation."""

    external_labels: Mapping[str, str] = field(default_factory=dict)
    external_url: str = ""
    query: Query | None = None


NOWHERE = Surroundings()


@lru_cache(4096)
def template(text: str) -> Tree:
    """The checked form of a text. Raises TemplateError naming what is wrong or not supported, and where."""
    return parse(text, SIGNATURES.keys(), VARIABLES, REFUSED)


def expand(text: str, labels: Mapping[str, str], value: float | None, surroundings: Surroundings = NOWHERE) -> str:
    """The text with its actions filled in. Raises TemplateError where that fails."""
    if "{{" not in text:
        return text
    tree = template(text)
    root = Root(labels, surroundings.external_labels, surroundings.external_url, ABSENT if value is None else value)
    try:
        return Execution(tree, root, surroundings.query).text()
    except (RecursionError, OverflowError) as error:
        raise TemplateError(f"the template does too much: {error}") from None


def render(text: str, labels: Mapping[str, str], value: float | None, surroundings: Surroundings = NOWHERE) -> str:
    """As ``expand``; what goes wrong stands in the text, as Prometheus has it."""
    try:
        return expand(text, labels, value, surroundings)
    except TemplateError as error:
        return f"<error expanding template: {error}>"
