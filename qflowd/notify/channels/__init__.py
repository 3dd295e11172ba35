"""The kinds of channels: one module and one line here each."""

from __future__ import annotations

from typing import Any

from qflowd.notify.channel import Kind
from qflowd.notify.channels import dashboard, webhook

KINDS: dict[str, Kind] = {
    "dashboard": dashboard.KIND,
    "webhook": webhook.KIND,
}


def schemas() -> dict[str, dict[str, Any]]:
    """The JSON schema of each kind's options, for the configuration."""
    return {name: kind.schema for name, kind in KINDS.items()}
