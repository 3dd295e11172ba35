"""Labels as queries pass them on: those of a series are made once and shared, so nobody changes labels after they are made."""

from __future__ import annotations


class Labels(dict[str, str]):
    """The labels of a series with its name under ``__name__``."""

    __slots__ = ("_fading",)
    _fading: Fading


class Fading(dict[str, str]):
    """Labels whose ``__name__`` goes at the end of the query, and may be used until then, as Prometheus's delayed name removal has it."""

    __slots__ = ("_bare",)
    _bare: dict[str, str]


def fading(labels: dict[str, str]) -> dict[str, str]:
    """``labels``, their name on its way out."""
    if "__name__" not in labels or type(labels) is Fading:
        return labels
    if type(labels) is not Labels:
        return Fading(labels)
    try:
        return labels._fading
    except AttributeError:
        labels._fading = Fading(labels)
        return labels._fading


def bare(labels: dict[str, str]) -> dict[str, str]:
    """The labels without the metric's name."""
    return {key: value for key, value in labels.items() if key != "__name__"}


def faded(labels: dict[str, str]) -> dict[str, str]:
    """What is left of ``labels`` when the query ends."""
    if type(labels) is not Fading:
        return labels
    try:
        return labels._bare
    except AttributeError:
        labels._bare = bare(labels)
        return labels._bare
