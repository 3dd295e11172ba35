"""Configuration: one YAML file, checked by schema and by meaning, made into frozen dataclasses."""

from __future__ import annotations

from qflowd.config.errors import ConfigError, Mistake
from qflowd.config.load import Loaded, load
from qflowd.config.settings import Config, diff_restart, public_view

__all__ = ["Config", "ConfigError", "Loaded", "Mistake", "diff_restart", "load", "public_view"]
