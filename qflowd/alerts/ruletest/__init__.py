"""Tests of rules at virtual time: promtool's unit-test files as they are, and what an alert of qflowd has beyond them.

``cases`` reads a file, ``notation`` its series, ``store`` holds them, ``run`` lets the engine loose on them and ``compare`` says what
was expected otherwise. Pure: no clock, no file.
"""

from __future__ import annotations

from qflowd.alerts.ruletest.cases import Case, Suite, SuiteError, read_suite
from qflowd.alerts.ruletest.compare import Failure
from qflowd.alerts.ruletest.run import run

__all__ = ["Case", "Failure", "Suite", "SuiteError", "read_suite", "run"]
