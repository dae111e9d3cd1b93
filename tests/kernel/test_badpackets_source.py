# SPDX-License-Identifier: Apache-2.0
"""Packets from elsewhere, and UDP checksums that are wrong or missing.

      a ---- wire ---- b with the ports under test        (drawn in inject.py)

a has, on lo, an address on either side of every edge of the prefixes that are tried.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_address, ip_network

import pytest
import rawnl
from inject import Bench, Target, inner
from net import Net
from traffic import wait_until

from gutctl.encap import udp_checksum

V4 = "198.51.100.1"
V6 = "2001:db8::1"
GUTLESS = bytes.fromhex("80040000")
# Either side of the edges of: 0/0, 0/1, 128/1, 64/8, 65/24, 65/31, 65/32
SENDERS4 = ["64.0.0.0", "64.255.255.255", "65.0.0.0", "65.0.0.1", "65.0.0.2", "65.0.0.255", "65.0.1.0", "127.0.0.1"]
SENDERS4 += ["128.0.0.0", "191.255.255.255", "223.255.255.255"]
SENDERS6 = ["2000::1", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "8000::1", "fd00::", "fd00::1", "fd00::2"]
SENDERS6 += ["fd00::ffff:ffff:ffff:ffff", "fd00:0:0:1::", "fd00:0:0:1::1"]
LISTS4: list[list[str]] = [
    [],
    ["0.0.0.0/0"],
    ["0.0.0.0/1"],
    ["128.0.0.0/1"],
    ["64.0.0.0/8"],
    ["65.0.0.0/24"],
    ["65.0.0.0/31"],
    ["65.0.0.1/32"],
    ["0.0.0.0/1", "65.0.0.0/31"],  # nested, the wide one first
    ["65.0.0.2/32", "65.0.0.0/31", "65.0.0.0/24"],  # nested, the narrow one first; the same address twice
    ["65.0.0.0/32", "65.0.0.0/31", "65.0.0.2/32", "64.0.0.0/8", "191.255.255.255/32", "223.255.255.255/32"],
    ["65.0.0.1/32", "65.0.0.1/32"],
    ["0.0.0.0/1", "128.0.0.0/1"],
    ["0.0.0.0/0", "223.255.255.255/32"],
    ["1.0.0.0/8", "2.0.0.0/8", "3.0.0.0/8", "65.0.1.0/32", "200.0.0.0/8", "201.0.0.0/8"],
]
LISTS6: list[list[str]] = [
    [],
    ["::/0"],
    ["::/1"],
    ["8000::/1"],
    ["fd00::/64"],
    ["fd00::/127"],
    ["fd00::1/128"],
    ["8000::/1", "fd00::/127"],
    ["fd00::2/128", "fd00::/127", "fd00::/64", "::/1"],
    ["fd00::/128", "fd00:0:0:1::1/128", "2000::/3"],
    ["fd00::1/128", "fd00::1/128"],
    ["::/1", "8000::/1"],
]


@pytest.fixture(scope="module")
def bench(module_net: Net, gutless: None) -> Iterator[Bench]:
    made = Bench(module_net)
    a, b = made.pair.a, made.pair.b
    a.ip(*(f"addr add {address}/32 dev lo" for address in SENDERS4 if address != "127.0.0.1"))
    a.ip(*(f"addr add {address}/128 dev lo nodad" for address in SENDERS6))
    b.ip(f"route add default via {V4}", f"route add default via {V6}")
    yield made
    made.close()


def senders(bench: Bench, family: int, stack: ExitStack) -> dict[str, socket.socket]:
    """A socket for each address."""
    addresses = [V4, *SENDERS4] if family == 4 else [V6, *SENDERS6]
    found = {address: bench.pair.a.udp(address) for address in addresses if address != "127.0.0.1"}
    for one in found.values():
        stack.enter_context(one)
    return found


@pytest.mark.parametrize(
    ("family", "prefixes"),
    [*((4, prefixes) for prefixes in LISTS4), *((6, prefixes) for prefixes in LISTS6)],
    ids=lambda value: "+".join(value) or "none" if isinstance(value, list) else None,
)
def test_allowed_sources(bench: Bench, family: int, prefixes: list[str]) -> None:
    """From each address: in, exactly when it is in one of the prefixes, which the kernel tells back."""
    port = bench.open(family, sources=prefixes)
    told = bench.netlink.do("PORT_GET", port.key)[0]
    assert {data for kind, data in told.attributes if kind == rawnl.n("A_PORT_SOURCE")} == {
        rawnl.source(prefix)[4:] for prefix in prefixes
    }
    networks = [ip_network(prefix) for prefix in prefixes]
    verdicts = set()
    with ExitStack() as stack:
        for address, sender in senders(bench, family, stack).items():
            allowed = any(ip_address(address) in network for network in networks)
            before = bench.counters(port)
            bench.send(port, GUTLESS + inner(4, b"x"), sender=sender)
            assert bench.change(port, before, 1) == {"packets" if allowed else "source": 1}, address
            verdicts.add(allowed)
    everything = sum(network.num_addresses for network in set(networks)) >= 1 << networks[0].max_prefixlen if networks else False
    assert verdicts == ({True} if everything else {True, False} if prefixes else {False})
    bench.shut(port)


def test_a_bad_packet_from_elsewhere_counts_as_source(bench: Bench) -> None:
    """Nothing of a packet is looked at before its source."""
    port = bench.open(4, sources=["65.0.0.1/32"])
    for payload in (b"", b"\xff", b"\x20", GUTLESS):
        before = bench.counters(port)
        bench.send(port, payload)
        assert bench.change(port, before, 1) == {"source": 1}
    bench.shut(port)


def test_any_source_beside_a_list(bench: Bench) -> None:
    """The list is kept and counts again when any-source goes."""
    port = bench.open(4, rawnl.u8("A_PORT_ANY_SOURCE", 1), sources=["65.0.0.1/32"])
    bench.deliver(port)
    bench.netlink.do("PORT_SET", port.key, rawnl.u8("A_PORT_ANY_SOURCE", 0))
    before = bench.counters(port)
    bench.send(port, port.good(b"x"))
    assert bench.change(port, before, 1) == {"source": 1}
    bench.shut(port)


@pytest.mark.parametrize("family", [4, 6])
def test_changes_while_it_runs(bench: Bench, family: int) -> None:
    """Added, removed, replaced: each counts from the next packet on; packets on their way count one way or the other."""
    own, other = ("198.51.100.0/24", "203.0.113.0/24") if family == 4 else ("2001:db8::/32", "2001:db9::/32")
    port = bench.open(family, sources=[other])
    replace = rawnl.u32("A_PORT_FLAGS", rawnl.n("PORT_F_REPLACE_SOURCES"))
    gone = rawnl.source(own, "A_PORT_SOURCE_DEL")
    steps = [
        (b"", "source"),
        (rawnl.source(own), "packets"),
        (gone, "source"),
        (replace + rawnl.source(own), "packets"),
        (replace + rawnl.source(other), "source"),
        (rawnl.source(own) + rawnl.source(other, "A_PORT_SOURCE_DEL"), "packets"),
        (replace, "source"),
    ]
    stop = threading.Event()
    sent = 0

    def flood() -> None:
        nonlocal sent
        while not stop.is_set():
            bench.send(noise, GUTLESS + inner(4, b"noise"))
            sent += 1

    noise = bench.open(family, sources=[other])
    thread = threading.Thread(target=flood)
    thread.start()
    try:
        for change, wanted in steps:
            if change:
                bench.netlink.do("PORT_SET", port.key, change)
                bench.netlink.do("PORT_SET", noise.key, change)
            before = bench.counters(port)
            bench.send(port, port.good(b"x"))
            assert bench.change(port, before, 1) == {wanted: 1}, change
            # on one processor it has to come to its turn
            at = sent
            wait_until(lambda at=at: sent > at + 1, 10, "the flood goes on")  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()
    counted: dict[str, int] = {}

    def all_counted() -> bool:
        nonlocal counted
        counted = {name: value for name, value in bench.counters(noise).items() if value and name != "octets"}
        return sum(counted.values()) == sent

    wait_until(all_counted, 5, "every packet of the flood counted once")
    assert set(counted) == {"packets", "source"}
    bench.shut(port)
    bench.shut(noise)


def test_source_outside_the_port_where_the_rule_is_one_of_many(bench: Bench) -> None:
    """3,000 disjoint prefixes: the first, the last, one between and the gaps beside them."""
    prefixes = [f"65.{n >> 6}.{(n & 63) * 4}.0/24" for n in range(3000)]
    port = bench.open(4, sources=prefixes)
    bench.pair.a.ip("addr add 65.46.220.7/32 dev lo", "addr add 65.46.221.7/32 dev lo", "addr add 65.20.8.9/32 dev lo")
    assert prefixes[-1] == "65.46.220.0/24"
    for address, wanted in (
        ("65.0.0.1", "packets"),
        ("65.0.1.0", "source"),
        ("65.46.220.7", "packets"),
        ("65.46.221.7", "source"),
        ("65.20.8.9", "packets"),
        ("64.255.255.255", "source"),
    ):
        with bench.pair.a.udp(address) as sender:
            before = bench.counters(port)
            bench.send(port, port.good(b"x"), sender=sender)
            assert bench.change(port, before, 1) == {wanted: 1}, address
    bench.shut(port)


# UDP checksums


def snmp(bench: Bench, name: str) -> int:
    """A counter of b: Udp... of IPv4, Udp6... of IPv6."""

    def read() -> int:
        if name.startswith("Udp6"):
            with open("/proc/thread-self/net/snmp6") as file:
                return int(dict(line.split() for line in file)[name])
        with open("/proc/thread-self/net/snmp") as file:
            names, values = (line.split() for line in file if line.startswith("Udp:"))
        return int(dict(zip(names, values, strict=True))[name.removeprefix("Udp")])

    return bench.pair.b.call(read)


def raw_datagram(bench: Bench, target: Target, payload: bytes, spoil: int) -> bytes:
    """A UDP datagram with a right checksum plus `spoil`."""
    ends = [ip_address(one) for one in bench.pair.ends(target.family)]
    made = struct.pack("!HHHH", 4000, target.port, 8 + len(payload), 0) + payload
    right = udp_checksum(ends[0], ends[1], made)
    return made[:6] + struct.pack("!H", (right + spoil) % 0x10000 or 1) + made[8:]


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("spoil", [0, 1, 0x100, 0xFFFE])
def test_wrong_udp_checksum(bench: Bench, family: int, spoil: int) -> None:
    """UDP itself drops it, before the port: the port counts nothing. The right one, made the same way, passes."""
    port = bench.open(family)
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    count = "UdpInCsumErrors" if family == 4 else "Udp6InCsumErrors"
    errors = snmp(bench, count)
    before = bench.counters(port)
    with bench.pair.a.socket(kind, socket.SOCK_RAW, socket.IPPROTO_UDP) as raw:
        bench.drain()
        raw.sendto(raw_datagram(bench, port, port.good(b"raw"), spoil), (bench.pair.ends(family)[1], 0))
        if spoil:
            wait_until(lambda: snmp(bench, count) == errors + 1, 3, f"{count} grown by one")
            assert bench.change(port, before, 1, 0.02) == {}
        else:
            assert bench.sinks[4].recv(100) == b"raw"
            assert bench.change(port, before, 1) == {"packets": 1}
            assert snmp(bench, count) == errors
    bench.deliver(port)
    bench.shut(port)


def test_checksum_zero_over_v4_passes(bench: Bench) -> None:
    port = bench.open(4)
    bench.deliver(port, summed=False)
    bench.shut(port)


def test_checksum_zero_over_v6_only_where_asked_for(bench: Bench) -> None:
    """Refused by default (RFC 6935), accepted by one request, refused again by the next; other ports stay as they are."""
    port = bench.open(6)
    beside = bench.open(6, rawnl.u8("A_PORT_ZERO_CSUM6", 1))

    def refused(target: Target) -> None:
        before, errors = bench.counters(target), snmp(bench, "Udp6InErrors")
        bench.send(target, target.good(b"x"), summed=False)
        wait_until(lambda: snmp(bench, "Udp6InErrors") == errors + 1, 3, "Udp6InErrors grown by one")
        assert bench.change(target, before, 1, 0.02) == {}

    refused(port)
    bench.deliver(beside, summed=False)
    bench.netlink.do("PORT_SET", port.key, rawnl.u8("A_PORT_ZERO_CSUM6", 1))
    bench.deliver(port, summed=False)
    bench.netlink.do("PORT_SET", port.key, rawnl.u8("A_PORT_ANY_SOURCE", 1))  # says nothing of checksums
    bench.deliver(port, summed=False)
    bench.netlink.do("PORT_SET", port.key, rawnl.u8("A_PORT_ZERO_CSUM6", 0))
    refused(port)
    bench.deliver(beside, summed=False)
    bench.deliver(port)
    bench.shut(port)
    bench.shut(beside)
