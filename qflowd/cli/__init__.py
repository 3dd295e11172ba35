"""The commands, one module each; no logic of their own."""

from __future__ import annotations

from qflowd.cli import check_config, control, emit, exec, run

COMMANDS = (run.add, check_config.add, exec.add, emit.add, control.add_reload, control.add_token, run.add_version)
"""One line a command: what adds it to the parser."""
