"""Counters of the daemon and their Prometheus text form (0.0.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

HELP: dict[str, tuple[str, str]] = {
    "build_info": ("gauge", "Version of qflowd, always 1."),
    "clients": ("gauge", "Connected WebSocket clients."),
    "streams_active": ("gauge", "Streams with at least one subscription."),
    "subscriptions": ("gauge", "Subscriptions of all clients."),
    "messages_sent_total": ("counter", "WebSocket messages sent."),
    "sent_bytes_total": ("counter", "Payload bytes of the messages sent."),
    "messages_conflated_total": ("counter", "State messages replaced by a newer one for a slow client."),
    "clients_behind": ("gauge", "Clients whose socket has taken nothing for two seconds."),
    "slow_consumers_closed_total": ("counter", "Clients closed because they read too slowly."),
    "queue_bytes": ("gauge", "Bytes that wait for slow clients."),
    "events_total": ("counter", "Events by outcome."),
    "executions_active": ("gauge", "Executions that run, wait or are paused."),
    "journal_commits_total": ("counter", "Transactions committed."),
    "journal_commit_seconds_total": ("counter", "Time spent committing."),
    "journal_queue_events": ("gauge", "Events that wait for the journal."),
    "journal_size_bytes": ("gauge", "Bytes of the journal on disk."),
    "journal_errors_total": ("counter", "Writes that failed."),
    "series": ("gauge", "Series in memory."),
    "series_refused_total": ("counter", "Samples refused because there are too many series."),
    "samples_late_total": ("counter", "Samples older than 60 s."),
    "rules": ("gauge", "Alert rules that are enabled."),
    "rule_evaluations_total": ("counter", "Rules evaluated: those whose outcome could have changed."),
    "rule_evaluation_failures_total": ("counter", "Rules whose evaluation failed; their alerts stay as they are."),
    "rule_evaluation_rounds_total": ("counter", "Rounds over the rules."),
    "rule_evaluation_overruns_total": ("counter", "Rounds that were due while the one before still ran; they began right after it."),
    "rule_evaluation_seconds_total": ("counter", "CPU time spent evaluating rules."),
    "rule_evaluation_last_seconds": ("gauge", "CPU time of the last round."),
    "alerts": ("gauge", "Alerts by status."),
    "loop_lag_seconds": ("gauge", "How late the loop ran a timer, by quantile over the last minute."),
    "config_last_reload_success": ("gauge", "1 if the last reload of the configuration succeeded."),
    "config_last_reload_success_timestamp_seconds": ("gauge", "When the last successful reload was."),
    "process_resident_memory_bytes": ("gauge", "Resident memory."),
    "process_cpu_seconds_total": ("counter", "User and system CPU time."),
    "process_open_fds": ("gauge", "Open file descriptors."),
    "start_time_seconds": ("gauge", "When the daemon started."),
}

Row = tuple[str, Mapping[str, str], float]


def render(rows: Iterable[Row]) -> bytes:
    """Rows (name without prefix, labels, value), grouped by name, as text. Raises ``KeyError`` for a name without help."""
    grouped: dict[str, list[str]] = {}
    for name, labels, value in rows:
        text = ",".join(f'{key}="{escape(item)}"' for key, item in labels.items())
        grouped.setdefault(name, []).append(f"qflowd_{name}{'{' + text + '}' if text else ''} {value!r}")
    lines: list[str] = []
    for name, samples in grouped.items():
        kind, words = HELP[name]
        lines += [f"# HELP qflowd_{name} {words}", f"# TYPE qflowd_{name} {kind}", *samples]
    return ("\n".join(lines) + "\n").encode()


def escape(text: str) -> str:
    """A label value in the text format's escapes."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
