# SPDX-License-Identifier: Apache-2.0
"""What /proc says of the network namespace that the calling thread stands in."""

from __future__ import annotations

import os
import re
from pathlib import Path

from gutctl.errors import UsageError

__all__ = ["sysctl", "udp_port_owner"]

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
