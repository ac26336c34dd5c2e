"""Who a request came from, as far as limits may know: behind proxies, only so many are trusted.

Each proxy appends the address that it was reached from to `X-Forwarded-For`, so only the last
entries, one for each trusted proxy, are true; what stands before them is the client's to choose.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

UNKNOWN = "unknown"  # all whose address cannot be told share one limit
_SUBSCRIBER = 56  # bits: what providers give one IPv6 subscriber (RIPE-690), to change at will
_BRACKETED = re.compile(r"\[([^\]]*)\](?::[0-9]{1,5})?")
_WITH_PORT = re.compile(r"([0-9.]+):[0-9]{1,5}")


def client_network(peer: str, forwarded_for: str, *, trusted: int) -> str:
    """The client's IPv4 address, or the /56 of its IPv6 one; UNKNOWN where there is neither.

    `forwarded_for` is the header, its lines joined by commas. The entry of the outermost of
    `trusted` proxies counts, the peer where there are fewer entries or that one is no address.
    """
    entries = forwarded_for.split(",")
    named = entries[-trusted] if 0 < trusted <= len(entries) else ""
    found = parse_address(named) or parse_address(peer)
    return _network(found) if found else UNKNOWN


def parse_address(text: str) -> Address | None:
    """An address as proxies write it: with or without brackets and port; None for what is none.
    IPv4 mapped into IPv6 is IPv4.
    """
    bare = text.strip().strip('"')
    for form in (_BRACKETED, _WITH_PORT):
        if found := form.fullmatch(bare):
            bare = found[1]
    try:
        address = ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _network(address: Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((address, _SUBSCRIBER), strict=False))
