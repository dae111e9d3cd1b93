# SPDX-License-Identifier: Apache-2.0
"""What was merged is still right: passed on, it becomes the packets again that it was made of.

      a                              b                                         c
    +----------------------+       +--------------------------------------+       +---------+
    | batches, every octet |  eth0 | eth0 merges; ports 6080, 6081 (fou:4)|  eth0 | 10.8.0.2 |
    | chosen               |-------| 6082 (fou:41), 6090 (nopartial)      |-------| fd08::2  |
    |                      |       | in4, in6, gre4, gre6, and back out   |       |          |
    +----------------------+       | by "out": offloads off, captured     |       +---------+
                                   +--------------------------------------+
"""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from batch import Batch, batch
from capture import Capture, capture
from craft import REMOTE_FORMS, Outer, remote, tcp_flow, udp_flow
from ends import HEADER, End, two_ends
from frames import TCP, UDP, ip_of, parse_ip, parse_tcp
from net import Host, Net
from traffic import wait_until
from unwrap import unwrap

from gutctl.encap import Bare, Fou, Gue, Gutless, Header, checksum, encode
from gutctl.model import Csum, Format, PortKey

SIZES = [1000, 1000, 1000, 1000, 700]
COUNT = len(SIZES)
SOURCE, TARGET = {4: "10.9.0.1", 6: "fd09::1"}, {4: "10.8.0.2", 6: "fd08::2"}
HERE = {4: "10.9.0.2", 6: "fd09::2"}
"""Inner addresses of b itself."""
PROTOCOL = {4: 4, 6: 41}
GRE = {4: b"\0\0\x08\0", 6: b"\0\0\x86\xdd"}
FOU = {4: 6081, 6: 6082}
PORT, NOPARTIAL = 6080, 6090


@dataclass
class Bench:
    a: End
    b: End
    c: Host
    way: Batch
    out: Capture
    last: tuple[int, int] = (0, 0)

    def counters(self) -> tuple[int, int]:
        stats = [port.stats for port in self.b.kernel.ports()]
        return sum(one.packets for one in stats), sum(one.offloaded for one in stats)

    def moved(self) -> tuple[int, int]:
        """Packets that ports took since this was asked last, and how many of them arrived merged."""
        before, self.last = self.last, self.counters()
        return self.last[0] - before[0], self.last[1] - before[1]

    def outer(self, version: int, dport: int = PORT) -> Outer:
        return Outer(self.a.addresses[version], self.b.addresses[version], dport=dport)

    def forwarded(self, packets: list[bytes], count: int = COUNT, protocol: int = TCP) -> list[bytes]:
        """Send a batch, and return the IP packets for c that leave b."""
        self.out.forget()
        self.moved()
        self.way.send(packets)

        def left() -> list[bytes]:
            ips = [ip for ip in map(ip_of, self.out.packets(outgoing=True)) if ip]
            return [ip for ip in ips if parse_ip(ip).protocol == protocol]

        wait_until(lambda: len(left()) >= count, 5, f"{count} packets to c")
        return left()


@pytest.fixture(scope="module")
def bench(gutless: None, module_net: Net) -> Iterator[Bench]:
    with two_ends(module_net) as (a, b, _):
        c = module_net.host("c")
        module_net.link(
            b.host, c, ["10.8.0.1/24", "fd08::1/64"], ["10.8.0.2/24", "fd08::2/64"],
            offloads=False, names=("out", "eth0"),
        )  # fmt: skip
        b.host.sysctl(
            ipv4__ip_forward=1, ipv6__conf__all__forwarding=1, ipv4__conf__all__rp_filter=0, ipv4__conf__default__rp_filter=0
        )
        for family in (4, 6):
            b.port(family, PORT)
            b.port(family, NOPARTIAL, remcsum_nopartial=True)
            for version, number in FOU.items():
                b.port(family, number, fou=PROTOCOL[version])
        b.host.run("ethtool", "-K", "eth0", "gro", "on")
        for name, kind, local in (
            ("in4", "sit mode any", b.addresses[4]),
            ("in6", "ip6tnl mode any", b.addresses[6]),
            ("gre4", "gre", b.addresses[4]),
            ("gre6", "ip6gre", b.addresses[6]),
        ):
            b.host.ip(f"link add {name} type {kind} local {local}", f"link set {name} up")
            b.host.run("ethtool", "-K", name, "gro", "off")
        b.host.ip(*(f"addr add {HERE[v]}/{length} dev lo" for v, length in ((4, 32), (6, 128))))
        # the neighbours are known before the first batch
        for address in TARGET.values():
            assert b.host.run("ping", "-c", "1", "-W", "3", address).returncode == 0
        with (
            batch(a.host, "eth0", b.host) as way,
            capture(b.host, "out", count=512) as out,
            # somebody has to take what comes by the other tunnel
            c.udp(TARGET[4], PORT),
            c.udp(TARGET[6], PORT),
        ):
            made = Bench(a, b, c, way, out)
            made.moved()
            yield made


def hop(packet: bytes) -> bytes:
    """A packet as a router passes it on."""
    if packet[0] >> 4 == 6:
        return packet[:7] + bytes([packet[7] - 1]) + packet[8:]
    made = packet[:8] + bytes([packet[8] - 1]) + packet[9:10] + b"\0\0" + packet[12:]
    return made[:10] + checksum(made[:20]).to_bytes(2, "big") + made[12:]


def ways(version: int) -> dict[str, tuple[int, Callable[[bytes], bytes], bool]]:
    """Port, what goes around an inner packet, and whether its checksum is left out."""
    protocol, at = PROTOCOL[version], {4: 20, 6: 40}[version]

    def behind(header: Header, gre: bool = False) -> Callable[[bytes], bytes]:
        return lambda packet: encode(header, GRE[version] + packet if gre else packet)

    made = {
        "fou": (FOU[version], behind(Fou(protocol)), False),
        "bare": (PORT, behind(Bare(version)), False),
        "gue": (PORT, behind(Gue(protocol)), False),
        "gutless": (PORT, behind(Gutless(protocol)), False),
        "gue-gre": (PORT, behind(Gue(47), True), False),
        "gutless-gre": (PORT, behind(Gutless(47), True), False),
    }
    for form, (word, port) in itertools.product(REMOTE_FORMS, (("", PORT), ("-nopartial", NOPARTIAL))):
        made[f"{form}-remote{word}"] = (port, behind(remote(form, protocol, at, at + 16)), True)
        made[f"{form}-gre-remote{word}"] = (port, behind(remote(form, 47, at + 4, at + 20), True), True)
    return made


@pytest.mark.parametrize("inner", (4, 6))
@pytest.mark.parametrize("outer", (4, 6))
@pytest.mark.parametrize("way", ways(4))
def test_segmented_again(bench: Bench, way: str, outer: int, inner: int) -> None:
    """Octet by octet what the sender's own packets would have been, with all their checksums."""
    port, around, left = ways(inner)[way]
    flow = tcp_flow(SOURCE[inner], TARGET[inner], SIZES, csum="partial" if left else "full")
    packets = [bench.outer(outer, port).packet(around(packet)) for packet in flow]
    found = bench.forwarded(packets)
    assert found == [hop(packet) for packet in tcp_flow(SOURCE[inner], TARGET[inner], SIZES)]
    assert bench.moved() == (COUNT, COUNT)


def same_number(packet: bytes) -> bytes:
    """An IPv4 packet that must not be fragmented, with the identification that all of its flow have."""
    made = packet[:4] + b"\x12\x34\x40\0" + packet[8:10] + b"\0\0" + packet[12:]
    return made[:10] + checksum(made[:20]).to_bytes(2, "big") + made[12:]


@pytest.mark.parametrize("outer", (4, 6))
@pytest.mark.parametrize("way", ("fou", "gue", "gutless-gre"))
def test_identification_that_stays(bench: Bench, way: str, outer: int) -> None:
    """Numbers of inner packets are those of the inner packets, whatever the outer ones have."""
    port, around, _ = ways(4)[way]
    flow = [same_number(packet) for packet in tcp_flow(SOURCE[4], TARGET[4], SIZES)]
    found = bench.forwarded([bench.outer(outer, port).packet(around(packet)) for packet in flow])
    assert found == [hop(packet) for packet in flow]
    assert bench.moved() == (COUNT, COUNT)


@pytest.mark.parametrize("inner", (4, 6))
@pytest.mark.parametrize("outer", (4, 6))
@pytest.mark.parametrize("csum", (Csum.FULL, Csum.ZERO, Csum.REMOTE), ids=str)
def test_into_another_tunnel(bench: Bench, csum: Csum, outer: int, inner: int) -> None:
    """What came merged by one tunnel leaves by another, and is segmented behind it."""
    b = bench.b
    way = bench.outer(outer)
    number = b.profile(Format.GUE, csum)
    here, b.addresses = b.addresses, {4: "10.8.0.1", 6: "fd08::1"}
    try:
        b.tunnel("on", TARGET[outer], HEADER, PORT, number=number, inner=(6,))
        b.host.ip("route replace 10.7.0.2 dev on", "route replace fd07::2 dev on")
        target = {4: "10.7.0.2", 6: "fd07::2"}[inner]
        flow = tcp_flow(SOURCE[inner], target, SIZES, csum="partial")
        header = remote("gutless", PROTOCOL[inner], *{4: (20, 36), 6: (40, 56)}[inner])
        packets = [way.packet(encode(header, packet)) for packet in flow]
        sent = [unwrap(ip, PORT, outer=("none",) if csum is Csum.ZERO else ("ok",)) for ip in bench.forwarded(packets, protocol=UDP)]
        data = [one.ip.payload[20:] for one in sent if one.ip.protocol == TCP]
        assert data == [parse_tcp(parse_ip(packet)).payload for packet in flow]
        assert {tuple(one.left) for one in sent if one.ip.protocol == TCP} == {(csum is Csum.REMOTE,)}
        assert bench.moved() == (COUNT, COUNT)
        assert b.tx(number).offloaded == COUNT
    finally:
        b.addresses = here
        b.clear()


UDP_WAYS = ("gue", "bare", "fou", "gue-remote", "gutless-remote", "draft-remote-nopartial")
UDP_GRO = 104
SWITCHES = ("rx-udp-gro-forwarding", "rx-gro-list")


@contextmanager
def switched(host: Host, device: str, switches: tuple[str, ...]) -> Iterator[None]:
    for switch in switches:
        host.run("ethtool", "-K", device, switch, "on")
    try:
        yield
    finally:
        for switch in switches:
            host.run("ethtool", "-K", device, switch, "off")


def datagrams(way: str, outer: Outer, target: str, inner: int, dport: int = 5000) -> tuple[list[bytes], list[bytes]]:
    """A batch of one UDP flow behind a header, and the packets that it stands for."""
    port, around, left = ways(inner)[way]
    if left:
        at = {4: 20, 6: 40}[inner]
        header = remote(way.split("-")[0], PROTOCOL[inner], at, at + 6)

        def around(packet: bytes) -> bytes:
            return encode(header, packet)

    flow = udp_flow(SOURCE[inner], target, SIZES, csum="partial" if left else "full", dport=dport)
    batch = [outer.but(dport=port).packet(around(packet)) for packet in flow]
    return batch, udp_flow(SOURCE[inner], target, SIZES, dport=dport)


BOTH = tuple(itertools.product((4, 6), (4, 6)))
"""Outer and inner versions."""


@pytest.mark.parametrize("way", UDP_WAYS)
@pytest.mark.parametrize("switches", ((SWITCHES[0],), (SWITCHES[1],), SWITCHES, ()), ids="+".join)
def test_datagrams_passed_on(bench: Bench, switches: tuple[str, ...], way: str) -> None:
    """A router that merges UDP, in one packet or as a list of packets, sends on what came, with right checksums.

    Kernels before 6.9 or so take merged datagrams apart before the tunnel gets them.
    """
    with switched(bench.b.host, "eth0", switches):
        for outer, inner in BOTH:
            packets, wanted = datagrams(way, bench.outer(outer), TARGET[inner], inner)
            assert bench.forwarded(packets, protocol=UDP) == [hop(packet) for packet in wanted], (outer, inner)
            count, merged = bench.moved()
            assert count == COUNT and merged in (0, COUNT if switches else 0)


@pytest.mark.parametrize("way", UDP_WAYS)
@pytest.mark.parametrize("switches", ((), SWITCHES), ids="+".join)
def test_datagrams_to_a_socket(bench: Bench, switches: tuple[str, ...], way: str) -> None:
    """A socket that takes merged datagrams (UDP_GRO) and one that does not get the same octets."""
    with switched(bench.b.host, "eth0", switches):
        for outer, inner in BOTH:
            for merging in (False, True):
                family = {4: socket.AF_INET, 6: socket.AF_INET6}[inner]
                with bench.b.host.socket(family, socket.SOCK_DGRAM) as sock:
                    sock.setsockopt(socket.IPPROTO_UDP, UDP_GRO, merging)
                    sock.bind((HERE[inner], 0))
                    sock.settimeout(2)
                    packets, wanted = datagrams(way, bench.outer(outer), HERE[inner], inner, sock.getsockname()[1])
                    bench.way.send(packets)
                    got: list[bytes] = []
                    while sum(map(len, got)) < sum(SIZES):
                        data, control, _, _ = sock.recvmsg(65536, 64)
                        sizes = [struct.unpack("=i", value)[0] for _, kind, value in control if kind == UDP_GRO]
                        step = sizes[0] if sizes else len(data)
                        got += [data[at : at + step] for at in range(0, len(data), step)]
                assert got == [packet[{4: 28, 6: 48}[inner] :] for packet in wanted], (outer, inner, merging)


@pytest.mark.parametrize("outer", (4, 6))
def test_nested_to_the_limit(bench: Bench, outer: int) -> None:
    """Of four levels the outermost three come apart one by one, and what is left merges; a fifth is dropped."""
    b = bench.b
    ends = {4: "203.0.113.{}", 6: "2001:db8:ffff::{}"}[outer]
    # sit does not merge by itself
    kind = {4: "ipip", 6: "ip6tnl"}[outer]
    made = []
    key = PortKey(outer, PORT)
    try:
        for level in (1, 2, 3, 4):
            b.host.ip(
                f"addr add {ends.format(level)}/{32 if outer == 4 else 128} dev lo",
                f"link add level{level} type {kind} mode any local {ends.format(level)}",
                f"link set level{level} up",
            )
            made.append(f"level{level}")
        for levels in (4, 5):
            packets = tcp_flow(SOURCE[4], TARGET[4], SIZES)
            for level in range(1, levels):
                inside = Outer(ends.format(9), ends.format(level), dport=PORT, flags=0x4000)
                packets = [inside.packet(encode(Gue(PROTOCOL[4 if level == 1 else outer]), packet)) for packet in packets]
            packets = [bench.outer(outer).packet(encode(Gue(PROTOCOL[outer]), packet)) for packet in packets]
            if levels == 4:
                found = bench.forwarded(packets)
                assert found == [hop(packet) for packet in tcp_flow(SOURCE[4], TARGET[4], SIZES)]
                # merged where one encapsulation was left
                assert bench.moved() == (4 * COUNT, COUNT)
        assert b.drops(key) == {}
        bench.way.send(packets)
        wait_until(lambda: b.drops(key).get("nesting", 0) >= COUNT, what="all of the fifth level dropped")
        assert b.drops(key) == {"nesting": COUNT} and bench.moved() == (0, 0)
    finally:
        for name in made:
            b.host.ip(f"link del {name}", f"addr del {ends.format(name[-1])}/{32 if outer == 4 else 128} dev lo")
