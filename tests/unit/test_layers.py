"""Who may import whom: the plan of the house, held over the source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "qflowd"
TORNADO = {"hub", "handlers", "daemon", "outgoing"}
MAY: dict[str, set[str]] = {
    "model": set(),
    "cron": set(),
    "config": {"model", "cron", "units"},
    "state": {"model"},
    "schedules": {"model", "cron"},
    "patterns": set(),
    "units": set(),
    "series": {"model", "patterns"},
    "alerts": {"series", "state", "model", "patterns", "units"},
    "streams": {"series", "state", "model"},
    "hub": {"model"},
    "storage": {"model"},
    "security": {"model"},
    "outgoing": set(),
    "notify": {"model", "outgoing"},
    "reading": {"config", "alerts", "notify"},
    "sources": {"model"},
    "spool": set(),
    "client": {"spool"},
    "logs": set(),
    "sdnotify": set(),
    "handlers": {"model", "config", "state", "series", "schedules", "alerts", "streams", "hub", "storage", "security", "sources"},
}
ANYTHING = {"daemon", "cli", "__main__", "__init__"}


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_room_imports_only_what_it_may(path: Path) -> None:
    here = room(path)
    assert here in MAY or here in ANYTHING, f"{here} is a room that nobody knows: name it in this test"
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "tornado":
            assert here in TORNADO or here in ANYTHING, f"{path}: Tornado does not belong in {here}"
        if parts[0] != "qflowd" or here in ANYTHING or len(parts) < 2 or parts[1] in ("__version__", here):
            continue
        assert parts[1] in MAY[here], f"{path}: {here} may not import {parts[1]}"


def test_only_cli_imports_the_daemon() -> None:
    for path in ROOT.rglob("*.py"):
        if room(path) not in {"cli", "daemon"}:
            assert not any(name.startswith("qflowd.daemon") for name in imports(path)), path
