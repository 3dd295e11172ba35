"""One evaluation: where the points come from, between which times, and what it may cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from qflowd.series.matcher import Matcher
from qflowd.series.promql.value import PromQLError

if TYPE_CHECKING:
    from qflowd.series.promql.selector import Selector

POINTS = 5_000_000
"""Points that one evaluation may read or make, where nothing else is said."""


class Points(Protocol):
    """A series as a query reads it. Times are epoch ms; see ``Track`` for what the three give."""

    @property
    def full(self) -> dict[str, str]:
        """Its labels with its name under ``__name__``; always the same object."""

    def at(self, time: int, /) -> float | None: ...

    def last(self, time: int, /) -> tuple[int, float] | None: ...

    def window(self, start: int, end: int, /) -> tuple[list[int], list[float]]: ...


class Source(Protocol):
    """Where series are found."""

    def select(self, name: str | None, matchers: Sequence[Matcher], /) -> Sequence[Points]: ...


class Run:
    """The evaluation of a query from ``start`` to ``end`` by ``step`` (ms; equal times and 0 for an instant).

    ``check`` is called again and again, and may raise to end the evaluation. ``warnings`` and ``infos`` collect remarks for those who ask.
    """

    __slots__ = ("_kept", "_left", "_limit", "_selected", "check", "end", "infos", "source", "start", "step", "warnings")

    def __init__(
        self, source: Source, start: int, end: int, step: int = 0, *, points: int = POINTS, check: Callable[[], None] | None = None
    ) -> None:
        self.source, self.start, self.end, self.step, self.check = source, start, end, step, check
        self._left = self._limit = points
        self._selected: dict[Selector, Sequence[Points]] = {}
        self._kept: dict[Any, Any] = {}
        self.warnings: dict[str, None] = {}
        self.infos: dict[str, None] = {}

    def select(self, selector: Selector) -> Sequence[Points]:
        """The series of ``selector``, looked for once."""
        found = self._selected.get(selector)
        if found is None:
            try:
                found = self._selected[selector] = self.source.select(selector.name, selector.matchers)
            except ValueError as error:
                raise PromQLError(str(error)) from None
        return found

    def charge(self, points: int) -> None:
        """Count points. Raises PromQLError where the query costs too much."""
        self._left -= points
        if self._left < 0:
            raise PromQLError(f"the query needs more than {self._limit} points: ask for fewer series, a shorter range or a longer step")
        if self.check is not None:
            self.check()

    def keep(self, owner: Any, make: Callable[[], Any]) -> Any:
        """What ``make`` gave for ``owner`` in this run."""
        try:
            return self._kept[owner]
        except KeyError:
            found = self._kept[owner] = make()
            return found
