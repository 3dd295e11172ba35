"""What an operator may set about the hub."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HubSettings:
    """Times in milliseconds, sizes in bytes, rates in messages a second and socket."""

    heartbeat_interval: int = 30_000
    update_interval: int = 5_000
    max_clients: int = 1_000
    compression: bool = True
    max_message_size: int = 65_536
    client_buffer: int = 262_144
    message_rate: int = 50
    message_burst: int = 100
    login_timeout: int = 10_000
