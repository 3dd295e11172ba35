"""Fixtures: a running daemon in an empty directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.daemon import PORTS, Daemon


@contextmanager
def watched(directory: Path) -> Iterator[Callable[..., Daemon]]:
    """Starts daemons; at the end each is stopped, has to have ended in order, and its log must hold no traceback."""
    started: list[Daemon] = []

    def begin(config: str = PORTS, *arguments: str) -> Daemon:
        daemon = Daemon(directory, config, *arguments)
        daemon.module = "tests.timed"
        started.append(daemon)
        return daemon.start()

    yield begin
    for daemon in started:
        if daemon.process is not None and daemon.process.poll() is None:
            assert daemon.stop() == 0
        text = daemon.log.read_text()
        assert "Traceback" not in text, text
        assert "Warning" not in text, text
        for run in text.split("restored ")[1:]:
            assert "slow callback" not in run.partition("dashboard http")[2], text


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Starts daemons that are ``watched``."""
    with watched(tmp_path) as begin:
        yield begin


@pytest.fixture
def daemon(start: Callable[..., Daemon]) -> Daemon:
    return start()
