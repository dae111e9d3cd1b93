# SPDX-License-Identifier: Apache-2.0
"""What /proc says of the network namespace that the calling thread stands in."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from gutctl.errors import UsageError
from gutctl.model import Address

__all__ = ["UdpSocket", "sysctl", "udp_port_owner", "udp_sockets"]

_PATH = re.compile(r"[A-Za-z0-9_.:@-]+(/[A-Za-z0-9_.:@-]+)*")
_SOCKET = re.compile(r"socket:\[(\d+)\]")


def sysctl(path: str) -> str | None:
    """Value of a sysctl such as ``net/ipv4/ip_forward``, None when there is none.

    Raises:
        UsageError: the path leads out of /proc/sys.
    """
    if not _PATH.fullmatch(path) or ".." in path.split("/"):
        raise UsageError(f"{path} is no path of a sysctl", "such as net/ipv4/conf/all/rp_filter")
    try:
        return Path("/proc/sys", path).read_text().strip()
    except OSError:
        return None


def _inodes(table: str, port: int, dual: bool) -> set[int]:
    """Inodes of the sockets bound to a port; ``dual``: of those for IPv6 that also take IPv4."""
    found: set[int] = set()
    try:
        lines = Path("/proc/thread-self/net", table).read_text().splitlines()[1:]
    except OSError:
        return found
    for line in lines:
        columns = line.split()
        address, _, number = columns[1].rpartition(":")
        if int(number, 16) != port:
            continue
        # ::, or ::ffff:0:0/96 in the byte order of the host
        if dual and int(address, 16) != 0 and not address.startswith("0000000000000000FFFF0000"):
            continue
        found.add(int(columns[9]))
    return found


def udp_port_owner(family: int, port: int) -> str | None:
    """``name, pid N`` of the process that holds a UDP port; None: nobody, or the kernel.

    An IPv6 socket on ``::`` may hold the IPv4 port too.
    """
    inodes = _inodes("udp6", port, dual=family == 4)
    if family == 4:
        inodes |= _inodes("udp", port, dual=False)
    if not inodes:
        return None
    for pid in sorted(int(p) for p in os.listdir("/proc") if p.isdecimal()):
        try:
            with os.scandir(f"/proc/{pid}/fd") as entries:
                links = [os.readlink(entry.path) for entry in entries]
            name = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            continue  # gone, or not ours to see
        for link in links:
            match = _SOCKET.fullmatch(link)
            if match and int(match[1]) in inodes:
                return f"{name}, pid {pid}"
    return None


@dataclass(frozen=True, slots=True)
class UdpSocket:
    """A UDP socket, a program's or the kernel's own."""

    family: int
    """4 or 6."""
    local: Address | None
    """None: any."""
    port: int
    peer: Address | None
    """None: it is not connected."""
    peer_port: int


def udp_sockets() -> Iterator[UdpSocket]:
    """The UDP sockets of the namespace, over IPv4 and then over IPv6."""
    for table, family in (("udp", 4), ("udp6", 6)):
        try:
            lines = Path("/proc/thread-self/net", table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            near, far = line.split()[1:3]
            local, port = _endpoint(near)
            peer, peer_port = _endpoint(far)
            yield UdpSocket(family, local, port, peer, peer_port)


def _endpoint(text: str) -> tuple[Address | None, int]:
    """An address and a port as /proc/net writes them: words of 32 bits in the order of the host."""
    address, _, port = text.partition(":")
    words = [int(address[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(address), 8)]
    octets = b"".join(words)
    if not any(octets):
        return None, int(port, 16)
    return IPv4Address(octets) if len(octets) == 4 else IPv6Address(octets), int(port, 16)
