"""Requests that the daemon sends: to addresses that were looked at, without redirects, within bounds of time and size."""

from __future__ import annotations

from qflowd.outgoing.addresses import AddressRefused
from qflowd.outgoing.http import Answer, Unreachable, request

__all__ = ["AddressRefused", "Answer", "Unreachable", "request"]
