"""Which addresses a request made for somebody else may go to: public ones only, looked up once and then kept to."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

# Our own list: `ipaddress.is_global` lets NAT64 and 6to4 forms of loopback pass, and multicast.
_REFUSED: Final = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/128",
        "::1/128",
        "::ffff:0:0/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "fc00::/7",
        "fe80::/10",
        "ff00::/8",
    )
)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is a plain one of the public Internet; a mapped IPv4 address is judged as itself."""
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        address = mapped
    return not any(address.version == net.version and address in net for net in _REFUSED)


async def public_address(host: str, port: int) -> str:
    """Return one address of `host`; raises `PermissionError` unless every address of it is public.

    Connect to what is returned and to nothing else: a second lookup may answer otherwise.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(info[4][0]).partition("%")[0] for info in found]
    for text in addresses:
        if not is_public(ip_address(text)):
            raise PermissionError(f"{host} is {text}, which is not a public address")
    return addresses[0]
