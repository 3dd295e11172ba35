"""The configuration as every command and the daemon read it: with the parser of rules, and what the channels add to its schema."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qflowd.alerts.rule import parse_rule
from qflowd.config import Loaded, load
from qflowd.notify.channels import schemas


def read_config(path: Path, overrides: Sequence[str] = ()) -> Loaded:
    """The configuration and its rules. Raises ``ConfigError``."""
    return load(path, overrides, parse_rule=parse_rule, channels=schemas())
