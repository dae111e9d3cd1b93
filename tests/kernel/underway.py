# SPDX-License-Identifier: Apache-2.0
"""Packets on their way through two hosts, for who takes things away under them.

    c eth0 ---- in a eth0 ------ eth0 b
    10.1.0.2       198.51.100.1   198.51.100.2
    fd01::2        2001:db8::1    2001:db8::2
                   t4 (sit, header) t6 (ip6tnl, bare): both carry IPv4 and IPv6 to b's ports 6080,
                                    and through b's own t4 and t6 to 10.9.0.1, fd09::1 on its lo

c floods 10.9.0.1 (a sends it through t4) and fd09::1 (through t6), from two threads; sits still when a goes.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

from net import Host, Net
from rawnl import RawNetlink, key, u8
from traffic import wait_until

from gutctl.model import Link
from gutctl.netlink import Kernel

A4, B4, A6, B6 = "198.51.100.1", "198.51.100.2", "2001:db8::1", "2001:db8::2"
INNER = {4: "10.9.0.1", 6: "fd09::1"}
#: What is in every packet of the flood, and in no other.
DATA = b"\xff" * 100
REFERENCES = Path("/sys/module/gutless/refcnt")


def tunnels(host: Host, local4: str, remote4: str, local6: str, remote6: str) -> None:
    """t4 of type header, GUE, over IPv4; t6 of type bare over IPv6; both for either inner family."""
    for name, kind, local, remote, encap in (("t4", "sit", local4, remote4, 5), ("t6", "ip6tnl", local6, remote6, 4)):
        with Kernel(host.name) as kernel:
            flags = 1 if kind == "sit" else 2  # the kernel's own: a full checksum
            ends = ip_address(local), ip_address(remote)
            kernel.link_add(Link(name, kind, *ends, encap, flags, 0, 6080, ttl=64))
    host.ip("link set t4 up", "link set t6 up")


class Way:
    """The topology above."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.c, self.a, self.b = net.host("c"), net.host("a"), net.host("b")
        net.link(self.c, self.a, ["10.1.0.2/24", "fd01::2/64"], ["10.1.0.1/24", "fd01::1/64"], names=("eth0", "in"))
        net.link(self.a, self.b, [f"{A4}/24", f"{A6}/64"], [f"{B4}/24", f"{B6}/64"], names=("eth0", "eth0"))
        self.c.ip("route add default via 10.1.0.1", "route add default via fd01::1")
        self.a.sysctl(ipv4__ip_forward=1, ipv6__conf__all__forwarding=1)
        tunnels(self.a, A4, B4, A6, B6)
        self.a.ip("route add 10.9.0.0/24 dev t4", "route add fd09::/64 dev t6")
        tunnels(self.b, B4, A4, B6, A6)
        self.b.sysctl(ipv4__conf__all__rp_filter=0, ipv4__conf__t4__rp_filter=0, ipv4__conf__t6__rp_filter=0)
        self.b.ip(
            "addr add 10.9.0.1/32 dev lo", "addr add fd09::1/128 dev lo nodad",
            "route add 10.1.0.0/24 dev t4", "route add fd01::/64 dev t6",
        )  # fmt: skip
        self.netlink: RawNetlink = self.b.call(RawNetlink)
        self.far: RawNetlink = self.a.call(RawNetlink)
        self.open()

    def open(self) -> None:
        """The ports of b, and of a for what comes back."""
        for netlink in (self.netlink, self.far):
            for family in (4, 6):
                netlink.do("PORT_ADD", key(6080, family), u8("A_PORT_ANY_SOURCE", 1))

    def received(self) -> dict[int, int]:
        """Packets that b's ports have let in."""
        return {family: self.netlink.counters(key(6080, family))["packets"] for family in (4, 6)}

    def wait_flow(self, more: int = 50) -> None:
        """Wait until that many more packets have come in over either family."""
        before = self.received()
        wait_until(
            lambda: all(self.received()[family] >= before[family] + more for family in (4, 6)), 20, "packets coming in"
        )

    def close(self) -> None:
        self.netlink.close()
        self.far.close()


@contextmanager
def flood(host: Host) -> Iterator[None]:
    """Two threads that send DATA to INNER for as long as the block lasts, whatever becomes of them."""
    stop = threading.Event()

    def send(version: int) -> None:
        with host.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as sender:
            sent = 0
            while not stop.is_set():
                try:
                    sender.sendto(DATA, (INNER[version], 9))
                except OSError:
                    pass
                sent += 1
                if not sent % 20:
                    time.sleep(0.001)  # the test itself wants to run as well

    threads = [threading.Thread(target=send, args=(version,), daemon=True) for version in (4, 6)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)


def remove(net: Net, host: Host) -> None:
    host.remove()
    net.hosts.remove(host)


def has_device(host: Host, name: str) -> bool:
    return any(found == name for _, found in host.call(socket.if_nameindex))


def once_with(gone: str) -> None:
    """A topology of its own; the host goes while packets come through it; its wires tell when it is gone."""
    net = Net()
    try:
        way = Way(net)
        with flood(way.c):
            way.wait_flow()
            way.close()
            remove(net, way.a if gone == "a" else way.b)
            # the kernel has taken the namespace down when the other end of its wire is gone
            beside = (way.c, "eth0") if gone == "a" else (way.a, "eth0")
            wait_until(lambda: not has_device(*beside), 20, f"the wire to {gone} gone")
            time.sleep(0.05)  # go on sending into it
    finally:
        net.close()
