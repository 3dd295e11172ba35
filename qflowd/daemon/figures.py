"""The daemon's own figures, as rows of ``/metrics``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from qflowd import __version__
from qflowd.daemon import exposition

if TYPE_CHECKING:
    from qflowd.daemon import Daemon


def metrics(daemon: Daemon) -> bytes:
    """The body of ``/metrics``."""
    hub, journal = daemon.hub.stats(), daemon.storage.stats()
    usage = daemon.process.cpu_times()
    alerts = Counter(alert.status for alert in daemon.alerting.engine.active())
    rows: list[exposition.Row] = [
        ("build_info", {"version": __version__}, 1),
        ("clients", {}, hub["connectedClients"]),
        ("streams_active", {}, hub["activeStreams"]),
        ("subscriptions", {}, hub["subscriptions"]),
        ("messages_sent_total", {}, hub["messagesSent"]),
        ("sent_bytes_total", {}, hub["bytesSent"]),
        ("messages_conflated_total", {}, hub["conflated"]),
        ("slow_consumers_closed_total", {}, hub["slowConsumers"]),
        ("clients_behind", {}, hub["behind"]),
        ("queue_bytes", {}, hub["queueBytes"]),
        ("executions_active", {}, len(daemon.state.active())),
        ("journal_commits_total", {}, journal["commits"]),
        ("journal_commit_seconds_total", {}, journal["commitSeconds"]),
        ("journal_queue_events", {}, journal["queueDepth"]),
        ("journal_size_bytes", {}, journal["bytes"]),
        ("journal_errors_total", {}, daemon.storage_errors),
        ("series", {}, len(daemon.series)),
        ("series_refused_total", {}, daemon.series.refused),
        ("samples_late_total", {}, daemon.series.late),
        ("rules", {}, daemon.alerting.enabled),
        ("rule_evaluations_total", {}, daemon.alerting.engine.evaluated),
        ("rule_evaluation_failures_total", {}, daemon.alerting.engine.failed),
        ("rule_evaluation_rounds_total", {}, daemon.alerting.rounds),
        ("rule_evaluation_overruns_total", {}, daemon.alerting.overruns),
        ("rule_evaluation_seconds_total", {}, daemon.alerting.seconds),
        ("rule_evaluation_last_seconds", {}, daemon.alerting.last_seconds),
        ("config_last_reload_success", {}, int(daemon.reload_ok)),
        ("config_last_reload_success_timestamp_seconds", {}, daemon.reload_time / 1000),
        ("process_resident_memory_bytes", {}, daemon.process.memory_info().rss),
        ("process_cpu_seconds_total", {}, usage.user + usage.system),
        ("process_open_fds", {}, daemon.process.num_fds()),
        ("start_time_seconds", {}, daemon.started / 1000),
    ]
    rows += [("alerts", {"status": status}, alerts[status]) for status in ("pending", "firing", "acknowledged")]
    rows += [
        ("events_total", {"outcome": outcome}, daemon.counters[f"events:{outcome}"])
        for outcome in ("accepted", "duplicate", "rejected", "malformed", "overloaded", "unstored")
    ]
    rows += [("loop_lag_seconds", {"quantile": text}, value) for text, value in daemon.lag.quantiles().items()]
    return exposition.render(rows)
