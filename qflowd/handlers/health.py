"""Liveness, readiness, and the daemon's own metrics."""

from __future__ import annotations

from qflowd.handlers.base import Handler


class Live(Handler):
    """The loop turns: it answered."""

    roles = {"GET": "open"}

    def get(self) -> None:
        self.answer({"status": "ok"})


class Ready(Handler):
    """Storage open, listeners up."""

    roles = {"GET": "open"}

    def get(self) -> None:
        reasons = self.context.ready()
        self.answer({"status": "unavailable" if reasons else "ok", "reasons": reasons}, 503 if reasons else 200)


class Metrics(Handler):
    """Prometheus text format 0.0.4."""

    roles = {"GET": "viewer"}

    def get(self) -> None:
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.finish(self.context.exposition())
