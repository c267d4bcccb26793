"""Socket addresses as the kernel writes them, to and from `Address`."""

from __future__ import annotations

import ipaddress
import struct
from socket import AF_INET, AF_INET6

import numpy as np
from numpy.typing import NDArray

from iax.frames import Address

NAME_OCTETS = 28
"""A socket address of IPv6; one of IPv4 has 16."""
NAME_OCTETS_IPV4 = 16


def name_of(address: Address) -> NDArray[np.uint8]:
    """Return ADDRESS as a socket address of IPv6, of IPv4 the mapped form."""
    host, _, scope = address[0].partition("%")
    ip = ipaddress.ip_address(host)
    packed = ip.packed if ip.version == 6 else bytes(10) + b"\xff\xff" + ip.packed
    text = struct.pack("=H", AF_INET6) + struct.pack("!HI", address[1], 0) + packed
    return np.frombuffer(text + struct.pack("=I", int(scope or 0)), np.uint8)


def address_in(name: NDArray[np.uint8], *, ipv6: bool) -> Address:
    """Return the address that a socket address says."""
    octets = name.tobytes()
    port = int.from_bytes(octets[2:4], "big")
    if not ipv6:
        return str(ipaddress.IPv4Address(octets[4:8])), port
    ip = ipaddress.IPv6Address(octets[8:24])
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped), port
    scope = struct.unpack_from("=I", octets, 24)[0]
    return (f"{ip}%{scope}" if scope else str(ip)), port


def ipv4_name_of(name: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the socket address of IPv4 that NAME, of IPv6 in the mapped form, stands for."""
    text = struct.pack("=H", AF_INET) + name[2:4].tobytes() + name[20:24].tobytes() + bytes(8)
    return np.frombuffer(text, np.uint8)
