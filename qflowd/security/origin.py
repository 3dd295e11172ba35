"""Browser safety: which Host headers and origins are ours."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import urlsplit


def split_host(header: str) -> tuple[str, int | None] | None:
    """``Example:8080`` → (``example``, 8080); ``[::1]`` → (``::1``, None); None where it is malformed."""
    if not header or any(character in header for character in "/@?#\\, \t"):
        return None
    try:
        parts = urlsplit("//" + header)
        name, port = parts.hostname, parts.port
    except ValueError:
        return None
    return (name.rstrip("."), port) if name else None


def host_allowed(header: str | None, names: Collection[str], ports: Collection[int], allowed: Collection[str] = ()) -> bool:
    """Is the Host header one of ours? ``names`` are served on ``ports``; ``allowed`` are names with or without a port.

    A page elsewhere can make its own name resolve to 127.0.0.1 (DNS rebinding); its name is then in the Host header.
    """
    parts = split_host(header or "")
    if parts is None:
        return False
    name, port = parts
    for entry in allowed:
        given = split_host(entry)
        if given and given[0] == name and given[1] in (None, port):
            return True
    ports_match = port in ports or (port is None and bool({80, 443} & set(ports)))
    return ports_match and name in {_plain(own) for own in names}


def origin_allowed(origin: str | None, own: Collection[str], allowed: Collection[str] = ()) -> bool:
    """May a page of ``origin`` connect? No origin means no browser. ``own``: ours on both ports; ``*`` allows all."""
    if origin is None:
        return True
    wanted = _origin(origin)
    if "*" in allowed and wanted is not None:
        return True
    return wanted is not None and any(_origin(entry) == wanted for entry in (*own, *allowed))


def own_origins(names: Collection[str], ports: Collection[int]) -> frozenset[str]:
    """The origins that pages of this server have."""
    hosts = [f"[{name}]" if ":" in name else name for name in map(_plain, names)]
    return frozenset(f"{scheme}://{host}:{port}" for scheme in ("http", "https") for host in hosts for port in ports)


def cross_site(headers: Mapping[str, str], own: Collection[str], allowed: Collection[str] = ()) -> bool:
    """Did a page of another site send this request? Programs other than browsers send neither header."""
    origin = headers.get("Origin")
    if origin is not None:
        return not origin_allowed(origin, own, allowed)
    return headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin")


def _plain(name: str) -> str:
    return name.strip("[]").rstrip(".").lower()


def _origin(text: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
        return None
    return parts.scheme, parts.hostname.rstrip("."), port or (443 if parts.scheme == "https" else 80)
