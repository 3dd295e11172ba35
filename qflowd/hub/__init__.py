"""The WebSocket hub: numbered streams, filters, bounded clients, and the protocol of ``protocol.md``."""

from __future__ import annotations

from qflowd.hub.filters import FIELDS, Filter, FilterError, Filters
from qflowd.hub.handler import SocketHandler
from qflowd.hub.hub import Hub
from qflowd.hub.settings import HubSettings
from qflowd.hub.stream import Stream, StreamView

__all__ = ["FIELDS", "Filter", "FilterError", "Filters", "Hub", "HubSettings", "SocketHandler", "Stream", "StreamView"]
