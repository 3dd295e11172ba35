"""Roles and what they include."""

from __future__ import annotations

from collections.abc import Iterable

ORDER = ("viewer", "operator", "admin")
"""Each includes those before it."""

ROLES = (*ORDER, "source", "engine")
"""``source`` may only send events, ``engine`` is a flow engine; neither includes another."""


def allows(roles: Iterable[str], needed: str) -> bool:
    """True where one of ``roles`` is or includes ``needed``. An admin may do everything. Raises ValueError."""
    if needed not in ROLES:
        raise ValueError(f"no such role: {needed}; roles are {', '.join(ROLES)}")
    held = set(roles)
    if "admin" in held or needed in held:
        return True
    return needed in ORDER and any(role in held for role in ORDER[ORDER.index(needed) :])
