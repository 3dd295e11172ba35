"""The configuration as the daemon sees it: durations in milliseconds, sizes in bytes, paths absolute."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class Server:
    address: str
    port: int
    public_url: str | None
    base_path: str
    instance: str | None
    allowed_hosts: tuple[str, ...]
    allowed_origins: tuple[str, ...]
    trusted_proxies: tuple[str, ...]


@dataclass(frozen=True)
class WebSocket:
    address: str
    port: int
    update_interval: int
    heartbeat_interval: int
    max_clients: int
    compression: bool
    max_message_size: int
    client_buffer: int


@dataclass(frozen=True)
class Sampling:
    interval: int


@dataclass(frozen=True)
class Retention:
    """``series``: resolution as written (``10s``) → how long its points are kept."""

    events: int
    executions: int
    series: dict[str, int]


@dataclass(frozen=True)
class StorageSettings:
    path: Path
    max_size: int
    retention: Retention


@dataclass(frozen=True)
class Alerts:
    """``severity_labels``: value of the label ``severity`` in Prometheus's rules → our severity."""

    evaluation_interval: int
    rules_dir: Path
    severity_labels: dict[str, str]
    hold_after_start: int


@dataclass(frozen=True)
class Auth:
    mode: Literal["none", "tokens"]
    i_understand: bool


@dataclass(frozen=True)
class Limits:
    max_body_size: int
    max_queued_events: int
    max_series: int
    max_executions: int
    stale_after: int


@dataclass(frozen=True)
class Logging:
    level: Literal["debug", "info", "warning", "error"]
    format: Literal["logfmt", "json"]


@dataclass(frozen=True)
class Adaptive:
    mode: Literal["suggest"]


@dataclass(frozen=True)
class Config:
    """Everything of the file but the rules. ``channels``: name → its options."""

    server: Server
    websocket: WebSocket
    sampling: Sampling
    storage: StorageSettings
    alerts: Alerts
    channels: dict[str, dict[str, Any]]
    auth: Auth
    limits: Limits
    logging: Logging
    adaptive: Adaptive


def build(values: dict[str, Any]) -> Config:
    """Make a Config of checked values that hold every key."""
    server: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values["server"].items()}
    storage, alerts = values["storage"], values["alerts"]
    retention = Retention(**storage["retention"])
    return Config(
        server=Server(**server),
        websocket=WebSocket(**values["websocket"]),
        sampling=Sampling(**values["sampling"]),
        storage=StorageSettings(Path(storage["path"]), storage["max_size"], retention),
        alerts=Alerts(
            alerts["evaluation_interval"], Path(alerts["rules_dir"]), alerts["severity_labels"], alerts["hold_after_start"]
        ),
        channels=values["channels"],
        auth=Auth(**values["auth"]),
        limits=Limits(**values["limits"]),
        logging=Logging(**values["logging"]),
        adaptive=Adaptive(**values["adaptive"]),
    )


# The listeners, the database and the sizes of what is allocated at start.
_RESTART = (
    "server.address", "server.port", "server.base_path", "websocket.address", "websocket.port", "storage.path",
    "limits.max_queued_events", "limits.max_series", "limits.max_executions", "limits.stale_after",
)  # fmt: skip


def diff_restart(old: Config, new: Config) -> list[str]:
    """The changed keys that take effect only at the next start."""

    def at(config: Config, key: str) -> Any:
        section, name = key.split(".")
        return getattr(getattr(config, section), name)

    return [key for key in _RESTART if at(old, key) != at(new, key)]


def public_view(config: Config) -> dict[str, Any]:
    """The configuration as plain values without secrets, for the API."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, tuple | list):
            return [plain(item) for item in value]
        return str(value) if isinstance(value, Path) else value

    view: dict[str, Any] = plain(dataclasses.asdict(config))
    # Of a channel only its kind is free of secrets: addresses of webhooks are credentials too.
    view["channels"] = {name: {"type": options.get("type")} for name, options in config.channels.items()}
    return view
