"""What the daemon shows: the bodies of the dashboard's answers and the data of each stream."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from qflowd import __version__
from qflowd.model import Execution, LogLine, Transition
from qflowd.streams import alert_message, daos, health

if TYPE_CHECKING:
    from qflowd.daemon import Daemon


@dataclass(frozen=True)
class View:
    """A stream as the hub wants it: see ``qflowd.hub.StreamView``."""

    kind: Literal["state", "message"]
    snapshot: Callable[[], list[Any]]
    items: str | None
    item_fields: Mapping[str, str | Sequence[str]]
    snapshot_items: str | None = None


EXECUTION = {"flowId": "flowId", "status": "status", "source": "source"}
ALERT = {
    "flowId": "labels.flow", "status": "status", "severity": "severity", "module": "labels.module", "host": "labels.host",
    "node": "labels.node",
}  # fmt: skip
LINE = {"flowId": "flowId", "module": "module", "level": "level", "source": "source"}


class Views:
    """Reads the daemon's parts; changes none of them."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.validations_changed = True
        self._lines: deque[LogLine] = deque(maxlen=500)
        self._validated = 0

    def streams(self) -> dict[str, View]:
        """The streams that have a source, by name."""
        return {
            "performance_metrics": View("state", lambda: [self.performance()], None, {}),
            "flow_executions": View("message", self.shown, "changes", EXECUTION),
            "validation_pipeline": View("state", lambda: [self.validation()], None, {}),
            "alert_events": View("message", self.alerts, None, ALERT, snapshot_items="alerts"),
            "ecosystem_correlation": View("state", lambda: [self.ecosystem()], None, {}),
            "scaling_status": View("state", lambda: [self.scaling()], None, {}),
            "event_log": View("message", lambda: list(self._lines), "lines", LINE),
            "system_health": View("state", lambda: [self.health()], None, {}),
        }

    def performance(self) -> dict[str, Any]:
        """``realTimeMetrics`` with the time of its newest sample."""
        now = self.daemon.clock()
        found: dict[str, Any] = self.daemon.recorder.real_time_metrics(self.daemon.series, now)
        return found | {"timestamp": now}

    def shown(self) -> list[Execution]:
        """The active executions and the last 100 that ended."""
        state = self.daemon.state
        return [*state.active(), *state.recent(100)]

    def executions(self) -> list[dict[str, Any]]:
        """Those shown, as plain built-ins."""
        return [msgspec.to_builtins(one) for one in self.shown()]

    def validation(self) -> dict[str, Any]:
        found: dict[str, Any] = self.daemon.state.validation(self.daemon.clock())
        return found

    def alerts(self) -> list[dict[str, Any]]:
        return [msgspec.to_builtins(alert) for alert in self.daemon.alerting.engine.active()]

    def ecosystem(self) -> dict[str, Any]:
        """Modules as they report; pairs and edges need the analysis of their history, which this version does not make."""
        return {"modules": self.daemon.state.modules(), "correlations": [], "dependencies": []}

    def scaling(self) -> dict[str, Any]:
        """The mode and what acts; without policies there are no actions."""
        return {"mode": self.daemon.loaded.config.adaptive.mode, "policies": [], "actions": []}

    def health(self) -> dict[str, Any]:
        daemon = self.daemon
        return health(
            now=daemon.clock(),
            started=daemon.started,
            version=__version__,
            instance=daemon.loaded.config.server.instance or socket.gethostname(),
            alerts=daemon.alerting.engine.active(),
            rules_total=daemon.alerting.enabled,
            rules_evaluated=daemon.alerting.enabled - daemon.alerting.engine.waiting,
            storage_problem=daemon.storage_problem,
            config_error="" if daemon.reload_ok else daemon.reload_error,
            newest_sample=daemon.last_sample,
            hub=daemon.hub.stats(),
        )

    def publish(self, now: int) -> None:
        """The state streams; the hub thins them to each subscription's interval."""
        hub = self.daemon.hub
        hub.publish("performance_metrics", self.performance())
        if self.validations_changed or now - self._validated > 15_000:
            self.validations_changed, self._validated = False, now
            hub.publish("validation_pipeline", self.validation())
        self.publish_health(now)
        second = now // 1000
        if second % 15 == 0:
            hub.publish("ecosystem_correlation", self.ecosystem())
        if second % 10 == 0:
            hub.publish("scaling_status", self.scaling())

    def publish_health(self, now: int) -> None:
        self.daemon.hub.publish("system_health", self.health())

    def tell(self, transition: Transition) -> None:
        """An alert's change, on ``alert_events`` and in the event log; what cooldown holds back is not told."""
        found = alert_message(transition)
        if found is None:
            return
        kind, data, line = found
        self.daemon.hub.publish("alert_events", data, type=kind)
        self.log(line)

    def log(self, line: LogLine) -> None:
        self.remember([line])
        self.daemon.hub.offer("event_log", [line])

    def remember(self, lines: Sequence[LogLine]) -> None:
        """Keep lines for the snapshot of the event log."""
        self._lines.extend(lines)

    def recall(self, lines: Sequence[LogLine]) -> None:
        """After a start: let the snapshot begin with these."""
        self._lines.clear()
        self._lines.extend(lines)

    def stats(self) -> dict[str, Any]:
        """The body of ``GET /api/v1/dashboard/stats``."""
        daemon, hub = self.daemon, self.daemon.hub.stats()
        names = ("connectedClients", "activeStreams", "messagesSent", "messagesPerSecond", "bytesSent")
        firing = [alert for alert in daemon.alerting.engine.active() if alert.status in ("firing", "acknowledged")]
        return {name: hub[name] for name in names} | {
            "alertRules": len(daemon.alerting.rules()),
            "activeAlerts": len(firing),
            "uptime": (daemon.clock() - daemon.started) // 1000,
            "version": __version__,
        }

    def dashboard(self) -> dict[str, Any]:
        """The body of ``GET /api/v1/dashboard/data``."""
        executions = self.executions()
        return {
            "realTimeMetrics": self.performance(),
            "flowExecutions": executions,
            "validationPipeline": self.validation(),
            "systemHealth": self.health(),
            "alerts": self.alerts(),
            "scaling": self.scaling(),
            "ecosystem": self.ecosystem(),
            "daoMetrics": daos(executions),
            "timestamp": self.daemon.clock(),
        }

    def welcome(self) -> dict[str, Any]:
        """``dashboardData`` of ``welcome``: the above and the original's keys."""
        data = self.dashboard()
        return data | {"performance": data["realTimeMetrics"], "optimization": []}

