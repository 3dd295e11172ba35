"""The commands, one module each; no logic of their own."""

from __future__ import annotations

COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("run", "add"),
    "check-config": ("check_config", "add"),
    "explain": ("explain", "add"),
    "exec": ("exec", "add"),
    "emit": ("emit", "add"),
    "reload": ("control", "add_reload"),
    "rules": ("rules", "add"),
    "test-rules": ("test_rules", "add"),
    "token": ("control", "add_token"),
    "version": ("run", "add_version"),
}
"""One line a command: its module, and what adds it to the parser. Only the module that is called is imported, so that
``qflowd exec`` starts its command without delay."""
