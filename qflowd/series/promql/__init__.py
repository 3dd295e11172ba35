"""PromQL over qflowd's own series: ``compile`` a text once, evaluate it at any time."""

from __future__ import annotations

from qflowd.series.promql.compile import compile
from qflowd.series.promql.query import Query
from qflowd.series.promql.value import PromQLError, Value, Vector

__all__ = ["PromQLError", "Query", "Value", "Vector", "compile"]
