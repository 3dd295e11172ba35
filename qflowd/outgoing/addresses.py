"""Which addresses may be talked to. Pure.

What never is: metadata services of clouds, link-local and multicast addresses, and what names no machine. Private ranges and
loopback only where somebody allowed them, so that a URL cannot reach into the network that the daemon stands in.
"""

from __future__ import annotations

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

METADATA = frozenset(
    {
        ipaddress.ip_address("169.254.169.254"),  # AWS, Azure, Google, OpenStack
        ipaddress.ip_address("169.254.170.2"),  # AWS, credentials of containers
        ipaddress.ip_address("100.100.100.200"),  # Alibaba
        ipaddress.ip_address("192.0.0.192"),  # Oracle
        ipaddress.ip_address("168.63.129.16"),  # Azure's host
        ipaddress.ip_address("fd00:ec2::254"),  # AWS over IPv6
        ipaddress.ip_address("fd20:ce::254"),  # Google over IPv6
    }
)
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class AddressRefused(Exception):
    """The name leads to no address that may be talked to; the text says which and why."""


def embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for (mapped, 6to4, NAT64), or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def refusal(text: str, *, allow_private: bool) -> str | None:
    """Why the address must not be talked to; ``None`` where it may. ``text`` may carry a zone (``fe80::1%eth0``)."""
    try:
        address = embedded(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return f"{text} is no address"
    if address in METADATA:
        return f"{text} is a metadata service"
    if address.is_link_local:
        return f"{text} is link-local"
    if address.is_multicast or address.is_unspecified or (address.is_reserved and not address.is_private):
        return f"{text} is no address of one machine"
    if isinstance(address, ipaddress.IPv4Address) and (address in ipaddress.IPv4Network("0.0.0.0/8") or int(address) == 0xFFFFFFFF):
        return f"{text} is no address of one machine"
    if not allow_private and not address.is_global:
        return f"{text} is in a private range: allow_private: true lets it through"
    return None
