# SPDX-License-Identifier: Apache-2.0
"""Namespaces and the module go while packets are on their way.

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

import leftovers
import modules
import pytest
from net import Host, Net
from rawnl import RawNetlink, Refused, key, n, u8, u16, u32
from traffic import Capture, tcp_transfer, wait_until

from gutctl.model import Link
from gutctl.netlink import Kernel

A4, B4, A6, B6 = "198.51.100.1", "198.51.100.2", "2001:db8::1", "2001:db8::2"
INNER = {4: "10.9.0.1", 6: "fd09::1"}
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


@pytest.fixture
def way(net: Net, gutless: None) -> Iterator[Way]:
    made = Way(net)
    yield made
    made.close()


@contextmanager
def flood(host: Host, size: int = 100) -> Iterator[None]:
    """Two threads that send datagrams to INNER for as long as the block lasts, whatever becomes of them."""
    stop = threading.Event()

    def send(version: int) -> None:
        with host.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as sender:
            data = b"\xff" * size
            sent = 0
            while not stop.is_set():
                try:
                    sender.sendto(data, (INNER[version], 9))
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


@pytest.mark.parametrize("gone", ["a", "b"], ids=["sender", "receiver"])
def test_a_namespace_goes_under_traffic(gutless: None, gone: str) -> None:
    """Three times, with ports, links and packets in it; nothing is left of it, and the module is used by nobody."""
    once_with(gone)
    before = leftovers.held()
    for _ in range(3):
        once_with(gone)
    leftovers.wait_for_none(before, 400, 1024, 30)
    assert REFERENCES.read_text().strip() == "0"


def test_ports_come_and_go_under_traffic(way: Way) -> None:
    """Deleted, made, changed in a loop while packets come in; afterwards all is as it was."""
    with flood(way.c):
        way.wait_flow()
        for round_ in range(150):
            for family in (4, 6):
                way.netlink.do("PORT_SET", key(6080, family), u32("A_PORT_ACCEPT", 2 << round_ % 3))
                way.netlink.do("PORT_DEL", key(6080, family))
                way.netlink.do("PORT_ADD", key(6080, family), u8("A_PORT_ANY_SOURCE", round_ % 2))
        for family in (4, 6):
            way.netlink.do("PORT_SET", key(6080, family), u8("A_PORT_ANY_SOURCE", 1))
        way.wait_flow()


def test_profiles_come_and_go_under_traffic(way: Way) -> None:
    """A link whose profile comes, changes and goes sends or drops; nothing leaves any other way."""
    way.far.do("PROFILE_ADD", u16("A_PROFILE_NUMBER", 1), u8("A_PROFILE_FORMAT", 3))
    with Kernel(way.a.name) as kernel:
        kernel.link_set("t4", up=False)
        kernel.link_change(Link("t4", "sit", ip_address(A4), ip_address(B4), 5, 1 << 3, 0, 6080, ttl=64))
    way.a.ip("link set t4 up", "route add 10.9.0.0/24 dev t4")
    plain = Capture(way.b, "eth0", lambda frame: frame[12:14] == b"\x08\x00" and frame[23] != 17, outgoing=False)
    with plain, flood(way.c):
        way.wait_flow()
        for round_ in range(100):
            way.far.do("PROFILE_SET", u16("A_PROFILE_NUMBER", 1), u8("A_PROFILE_CSUM", 1 + round_ % 2))
            way.far.do("PROFILE_DEL", u16("A_PROFILE_NUMBER", 1))
            if not round_ % 20:
                time.sleep(0.02)  # some packets find none
            way.far.do("PROFILE_ADD", u16("A_PROFILE_NUMBER", 1), u8("A_PROFILE_FORMAT", 2 + round_ % 2))
        way.wait_flow()
    assert plain.frames == []
    lost = way.a.counter("t4", "tx_dropped") + way.a.counter("t4", "tx_errors")
    assert lost > 0, "no packet came upon a missing profile"


def test_the_module_goes_under_traffic(way: Way) -> None:
    """rmmod is never refused; links left behind drop, and nothing of them leaves; loaded again, it starts empty and works.

    Three times, with both families on their way, in and out, and replies going back.
    """
    for round_ in range(3):
        way.netlink.do("PROFILE_ADD", u8("A_PROFILE_FORMAT", 3))
        with flood(way.c):
            way.wait_flow()
            assert REFERENCES.read_text().strip() == "0", "ports and links hold the module"
            started = time.monotonic()
            modules.unload()
            assert time.monotonic() - started < 30
            assert not modules.loaded()
            time.sleep(0.1)  # what left before has come in
            dropped = {name: way.a.counter(name, "tx_errors") + way.a.counter(name, "tx_dropped") for name in ("t4", "t6")}
            with Capture(way.b, "eth0", is_traffic, outgoing=False) as capture:
                wait_until(
                    lambda dropped=dropped: all(  # type: ignore[misc]
                        way.a.counter(name, "tx_errors") + way.a.counter(name, "tx_dropped") > count + 50
                        for name, count in dropped.items()
                    ),
                    20,
                    "links that drop",
                )
            assert capture.frames == [], f"round {round_}: left without an encapsulation, or with one that nobody made"
            with pytest.raises((StopIteration, OSError)):
                way.b.call(RawNetlink)
            for old in (way.netlink, way.far):
                old.close()
            modules.load()
            way.netlink, way.far = way.b.call(RawNetlink), way.a.call(RawNetlink)
            assert way.netlink.state() == way.far.state() == []
            assert not any(way.netlink.do("INFO_GET")[0].first("A_INFO_PORTS") or b"\1")
            way.open()
            way.wait_flow()


def is_traffic(frame: bytes) -> bool:
    """Not ARP, not neighbour discovery: whatever carries, or is, what c sends."""
    if frame[12:14] == b"\x08\x00":
        return True
    return frame[12:14] == b"\x86\xdd" and frame[20] != 58


def test_the_module_goes_again_and_again(gutless: None, net: Net) -> None:
    """Loaded and unloaded eight times with ports and profiles in two namespaces: nothing is left."""
    hosts = [net.host("one"), net.host("two")]

    def once() -> None:
        for host in hosts:
            netlink = host.call(RawNetlink)
            for number in range(6000, 6020):
                netlink.do("PORT_ADD", key(number), u8("A_PORT_ANY_SOURCE", 1))
                netlink.do("PORT_ADD", key(number, 6), u8("A_PORT_ANY_SOURCE", 1))
                netlink.do("PROFILE_ADD", u8("A_PROFILE_FORMAT", 3))
            netlink.close()
        modules.unload()
        assert not modules.loaded()
        modules.load()

    once()
    before = leftovers.held()
    for _ in range(8):
        once()
    # a leak of one object a port is 640, of one a profile 320
    leftovers.wait_for_none(before, 200, 1024, 30)


def test_parameters_at_loading(gutless: None, net: Net) -> None:
    """They hold from the first request on."""
    modules.unload()
    modules.load("max_ports=1", "max_sources=0", "unprivileged=1")
    try:
        netlink = net.host("parameters").call(RawNetlink)
        info = netlink.do("INFO_GET")[0]
        assert info.first("A_INFO_MAX_PORTS") == b"\1\0\0\0"
        assert info.first("A_INFO_MAX_SOURCES") == bytes(4)
        assert info.first("A_INFO_UNPRIVILEGED") == b"\1"
        netlink.do("PORT_ADD", key(7))
        with pytest.raises(Refused, match="max_ports"):
            netlink.do("PORT_ADD", key(8))
        netlink.close()
    finally:
        modules.unload()
        modules.load()


def test_a_port_goes_while_packets_are_being_merged(net: Net, gutless: None) -> None:
    """A TCP stream through a port that is deleted and made again, as FOU and as not, in the middle of merging: it arrives whole.

        a eth0 ---- eth0 b      a's t4 sends plain IPv4 in UDP, which either kind of port takes
    """
    a, b = net.host("a"), net.host("b")
    net.link(a, b, [f"{A4}/24"], [f"{B4}/24"], names=("eth0", "eth0"))
    a.run("ethtool", "-K", "eth0", "gso", "off", "tso", "off")
    b.run("ethtool", "-K", "eth0", "gro", "on")
    netlink = b.call(RawNetlink)
    back = a.call(RawNetlink)
    for host, ends, inner in ((a, (A4, B4), "10.9.0.2/24"), (b, (B4, A4), "10.9.0.1/24")):
        with Kernel(host.name) as kernel:
            kernel.link_add(Link("t4", "ipip", ip_address(ends[0]), ip_address(ends[1]), 4, 1, 0, 6080, ttl=64))
        host.ip(f"addr add {inner} dev t4", "link set t4 up")
    any_source = u8("A_PORT_ANY_SOURCE", 1)
    fou = u32("A_PORT_ACCEPT", n("ACCEPT_FOU")) + u8("A_PORT_FOU_PROTOCOL", 4)
    back.do("PORT_ADD", key(6080), any_source)
    netlink.do("PORT_ADD", key(6080), any_source)
    done = []

    def transfer() -> None:
        done.append(tcp_transfer(a, b, "10.9.0.1", octets=4 << 20, timeout=90))

    thread = threading.Thread(target=transfer, daemon=True)
    rounds = 0
    with Capture(b, "t4", lambda packet: len(packet) > 1500, outgoing=False) as merged:
        thread.start()
        while thread.is_alive():
            wait_until(
                lambda: netlink.counters(key(6080))["packets"] > 30 or not thread.is_alive(), 30, "the stream"
            )  # fmt: skip
            netlink.do("PORT_DEL", key(6080))
            netlink.do("PORT_ADD", key(6080), any_source, fou if rounds % 2 else b"")
            rounds += 1
        thread.join()
    assert done, "the stream did not end well"
    assert (done[0].received, done[0].received_hash) == (done[0].sent, done[0].sent_hash)
    assert rounds > 5
    assert merged.frames, "nothing was merged"
    netlink.close()
    back.close()
