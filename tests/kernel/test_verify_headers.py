# SPDX-License-Identifier: Apache-2.0
"""Ports that verify headers: every bit of a packet damaged, and who finds out.

      a eth0 ---- in r out ---- eth0 b, the port, a tunnel link, sockets behind it

The packets are made whole, each bit is turned around in turn, and they come with no checksum of the device's: the wire has
its offloads off.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from craft import Outer, udp_flow
from ends import ANY_BUT_FOU, HEADER, End, assert_offloads_off
from frames import TCP, UDP, make_ip
from net import Host, Net
from traffic import wait_until

from gutctl._wire.options import Option, pad
from gutctl.encap import Gutless, checksum, encode, seal, transport_checksum
from gutctl.errors import GutctlError
from gutctl.model import Accept, Port, PortKey
from gutctl.netlink import Kernel

NUMBER, APP = 6080, 5000
TABLE = "table inet t {{\n chain in {{ {}\n }}\n}}\n"
ENDS = {4: ("10.1.0.2", "198.51.100.2"), 6: ("fd01::2", "2001:db8::2")}
INNER = {4: ("10.9.0.1", "10.9.0.2"), 6: ("fd09::1", "fd09::2")}
OPTION = Option(0x3E, b"\1\2\3\4")


@dataclass
class Way:
    """Who sends, who forwards, who receives."""

    a: Host
    r: Host
    b: End

    def key(self, family: int) -> PortKey:
        return PortKey(family, NUMBER)

    def count(self, family: int) -> tuple[int, dict[str, int]]:
        """Packets that the port has let pass, and those it has dropped, by reason."""
        return self.b.received(self.key(family)), self.b.drops(self.key(family))


@pytest.fixture(scope="module")
def way(gutless: None, module_net: Net) -> Iterator[Way]:
    a, r, b = (module_net.host(name) for name in "arb")
    module_net.link(
        a, r, ["10.1.0.2/24", "fd01::2/64"], ["10.1.0.1/24", "fd01::1/64"], offloads=False, names=("eth0", "in")
    )
    module_net.link(
        r,
        b,
        ["198.51.100.1/24", "2001:db8::1/64"],
        ["198.51.100.2/24", "2001:db8::2/64"],
        offloads=False,
        names=("out", "eth0"),
    )
    for host, device in ((a, "eth0"), (r, "out"), (b, "eth0")):
        assert_offloads_off(host, device)
    r.sysctl(ipv4__ip_forward=1, ipv6__conf__all__forwarding=1)
    a.ip("route add default via 10.1.0.1", "route add default via fd01::1")
    b.ip("route add default via 198.51.100.1", "route add default via 2001:db8::1")
    a.run("ping", "-c1", "-W9", ENDS[4][1])
    a.run("ping", "-c1", "-W9", ENDS[6][1])
    end = End(b, Kernel(b.name), {4: ENDS[4][1], 6: ENDS[6][1]}, {4: INNER[4][1], 6: INNER[6][1]})
    yield Way(a, r, end)
    end.close()


@pytest.fixture(params=[4, 6], ids=["over4", "over6"])
def family(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@contextmanager
def port(way: Way, family: int, *, verify: bool, kind: str | None = None, inner: int = 4) -> Iterator[None]:
    """A port at b and the link behind it."""
    key = way.b.port(family, NUMBER, *ANY_BUT_FOU, verify_headers=verify)
    way.b.tunnel("tun", ENDS[family][0], HEADER, NUMBER, kind=kind, inner=(inner,))
    way.b.host.sysctl(ipv4__conf__all__rp_filter=0)
    try:
        yield
    finally:
        way.b.clear()
        way.b.kernel.port_del(key)


def payload(inner: bytes, protocol: int = 4, options: tuple[Option, ...] = (OPTION,)) -> bytes:
    """What UDP carries: neutral."""
    return seal(encode(Gutless(protocol, tuple(pad(options)) if options else ()), inner))


def packet(family: int, data: bytes) -> bytes:
    return Outer(*ENDS[family], dport=NUMBER).packet(data)


def flipped(data: bytes, bits: range) -> list[bytes]:
    """The packet once for each bit, with that one turned around."""
    made = []
    for bit in bits:
        octets = bytearray(data)
        octets[bit // 8] ^= 0x80 >> bit % 8
        made.append(bytes(octets))
    return made


def throw(way: Way, packets: list[bytes]) -> None:
    """Into the wire towards the router, as they are."""
    target = way.r.run("ip", "-br", "link", "show", "in").stdout.split()[2]
    with way.a.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as sock:
        for data in packets:
            ether = {4: 0x0800, 6: 0x86DD}[data[0] >> 4]
            sock.sendto(data, ("eth0", ether, 0, 0, bytes.fromhex(target.replace(":", ""))))


@dataclass
class Inner:
    """A packet that is answered, or read, once for each time that it arrives whole."""

    word: str
    version: int
    kind: dict[int, str]
    """Of the link, by outer family."""

    def __str__(self) -> str:
        return self.word

    def octets(self, mac: str) -> tuple[int, bytes, int]:
        """Protocol, octets, and how many of these are headers that the port answers for."""
        source, target = INNER[self.version]
        data = bytes(range(1, 38))
        if self.word.endswith("udp"):
            segment = struct.pack("!HHHH", 4000, APP, 8 + len(data), 0) + data
            protocol, at = UDP, 6
        elif self.word.endswith("tcp"):
            segment = struct.pack("!HHIIBBHHH", 4000, 9999, 1, 0, 0x50, 2, 1000, 0, 0) + data
            protocol, at = TCP, 16
        else:
            segment = struct.pack("!BBHHH", {4: 8, 6: 128}[self.version], 0, 0, 7, 1) + data
            protocol, at = {4: 1, 6: 58}[self.version], 2
        if protocol == 1:
            value = checksum(segment)
        else:
            value = transport_checksum(ip_address(source), ip_address(target), protocol, segment)
        made = make_ip(source, target, protocol, segment[:at] + value.to_bytes(2, "big") + segment[at + 2 :])
        head = len(made) - len(segment)
        if "gre" not in self.kind[4]:
            return {4: 4, 6: 41}[self.version], made, head
        ether = {4: b"\x08\0", 6: b"\x86\xdd"}[self.version]
        if "tap" in self.kind[4]:
            return 47, b"\0\0\x65\x58" + bytes.fromhex(mac) + bytes.fromhex("020000000009") + ether + made, head + 18
        return 47, b"\0\0" + ether + made, head + 4


IPS, GRES, TAPS = {4: "sit", 6: "ip6tnl"}, {4: "gre", 6: "ip6gre"}, {4: "gretap", 6: "ip6gretap"}
VERSION4 = [
    Inner("udp", 4, IPS),
    Inner("tcp", 4, IPS),
    Inner("icmp", 4, IPS),
    Inner("gre-udp", 4, GRES),
    Inner("gretap-udp", 4, TAPS),
]
VERSION6 = [Inner("six-udp", 6, IPS), Inner("six-icmp", 6, IPS), Inner("six-gre-udp", 6, GRES)]


def answers() -> int:
    """Echo replies, and resets of TCP, that this namespace has sent."""
    net = Path("/proc/thread-self/net")
    rows = [line.split() for line in (net / "snmp").read_text().splitlines()]
    four: dict[str, int] = {}
    for names, values in zip(rows[::2], rows[1::2], strict=True):
        four |= {names[0] + name: int(value) for name, value in zip(names[1:], values[1:], strict=True)}
    six = dict(line.split() for line in (net / "snmp6").read_text().splitlines())
    return four["Icmp:OutEchoReps"] + four["Tcp:OutRsts"] + int(six["Icmp6OutEchoReplies"])


class Arrivals:
    """What becomes of packets sent to b: the port's counters, UDP's own, and what the inner protocol made of them."""

    def __init__(self, way: Way, family: int, inner: Inner, options: tuple[Option, ...] = (OPTION,)) -> None:
        self.way, self.family, self.inner = way, family, inner
        mac = way.b.host.run("ip", "-br", "link", "show", "tun").stdout.split()[2].replace(":", "")
        if "tap" in inner.kind[4]:
            lladdr = "lladdr 02:00:00:00:00:09 nud permanent dev tun"
            way.b.host.ip(f"neigh replace {INNER[inner.version][0]} {lladdr}")
        protocol, octets, self.head = inner.octets(mac)
        self.payload = payload(octets, protocol, options)
        self.whole = packet(family, self.payload)
        self.udp_at = {4: 20, 6: 40}[family]
        self.inner_at = len(self.whole) - len(octets)
        self.transport_at = self.inner_at + self.head
        self.socket = way.b.host.udp(INNER[inner.version][1], APP)

    def close(self) -> None:
        self.socket.close()

    def arrived(self) -> int:
        """Answers that left, or datagrams that were read."""
        if not self.inner.word.endswith("udp"):
            return self.way.b.host.call(answers)
        self.socket.setblocking(False)
        self.read = getattr(self, "read", 0)
        try:
            while True:
                self.socket.recv(2000)
                self.read += 1
        except BlockingIOError:
            return self.read

    def send(self, packets: list[bytes]) -> tuple[int, int]:
        """Send them, and a good one behind. Return: how many of them passed the port, and how many it dropped.

        The good one has arrived, and none of the others has.
        """
        before, (passed, drops) = self.arrived(), self.way.count(self.family)
        for at in range(0, len(packets), 64):
            throw(self.way, packets[at : at + 64])
            throw(self.way, [self.whole])
            wanted = 1 + at // 64
            wait_until(lambda: self.arrived() - before >= wanted, what="the good packet behind the damaged ones")  # noqa: B023
        good = -(-len(packets) // 64)
        assert self.arrived() - before == good, "a damaged packet arrived"
        now, dropped = self.way.count(self.family)
        assert set(dropped) <= {"check", *drops}, dropped
        return now - passed - good, dropped.get("check", 0) - drops.get("check", 0)

    def bits(self, first: int, last: int) -> list[bytes]:
        """One damaged packet for each bit of these octets."""
        return flipped(self.whole, range(8 * first, 8 * last))


@contextmanager
def arrivals(way: Way, family: int, inner: Inner, *, verify: bool) -> Iterator[Arrivals]:
    with port(way, family, verify=verify, kind=inner.kind[family], inner=inner.version):
        made = Arrivals(way, family, inner)
        try:
            yield made
        finally:
            made.close()


@pytest.mark.parametrize("inner", VERSION4, ids=str)
def test_headers_are_the_ports(way: Way, family: int, inner: Inner) -> None:
    """Damage to UDP's header, ours, an option, what is between, or the inner IP header never passes the port."""
    with arrivals(way, family, inner, verify=True) as to:
        udp, ours = to.udp_at, to.udp_at + 8
        ip4 = to.transport_at - 20
        # source port and checksum; Check and options; the inner header behind its first octet
        counted = (
            to.bits(udp, udp + 2) + to.bits(udp + 6, ours) + to.bits(ours + 2, to.inner_at) + to.bits(ip4 + 1, ip4 + 20)
        )
        assert to.send(counted) == (0, len(counted))
        # these hide what is inside, or where it begins: all of the packet is verified, by the port's kernel
        passed, _ = to.send(to.bits(udp + 2, udp + 6) + to.bits(ours, ours + 2) + to.bits(to.inner_at, ip4 + 1))
        assert passed == 0


@pytest.mark.parametrize("inner", VERSION4, ids=str)
def test_the_rest_is_the_inner_protocols(way: Way, family: int, inner: Inner) -> None:
    """Damage behind the inner IP header passes the port, all that leaves a checksum to be found wrong, and does not arrive."""
    with arrivals(way, family, inner, verify=True) as to:
        rest = to.bits(to.transport_at, len(to.whole))
        passed, dropped = to.send(rest)
        # a length that is another one makes octets of what is behind it, which Check is of
        assert passed >= len(rest) - 16
        assert dropped <= 16


@pytest.mark.parametrize("inner", VERSION6, ids=str)
def test_ipv6_inside_is_verified_whole(way: Way, family: int, inner: Inner) -> None:
    """Its header has no checksum, and Check says nothing of its addresses: no bit passes."""
    with arrivals(way, family, inner, verify=True) as to:
        passed, _ = to.send(to.bits(to.udp_at, len(to.whole)))
        assert passed == 0


@pytest.mark.parametrize("inner", [*VERSION4[:2], VERSION6[0]], ids=str)
def test_a_port_that_verifies_all(way: Way, family: int, inner: Inner) -> None:
    """No bit passes."""
    with arrivals(way, family, inner, verify=False) as to:
        assert to.send(to.bits(to.udp_at, len(to.whole))) == (0, 0)


def damaged(to: Arrivals) -> list[bytes]:
    """Bits of the last octets, which the inner protocol alone looks at."""
    return to.bits(len(to.whole) - 4, len(to.whole))


def test_changed_while_it_runs(way: Way, family: int) -> None:
    """On, off and on again; what is whole passes all the time."""
    with arrivals(way, family, VERSION4[0], verify=False) as to:
        key = way.key(family)
        for verify in (False, True, False, True):
            way.b.kernel.port_set(key, verify_headers=verify)
            found = way.b.kernel.port(key)
            assert found is not None and found.verify_headers is verify
            bits = damaged(to)
            assert to.send(bits) == (len(bits) if verify else 0, 0)


def test_without_check_all_is_verified(way: Way, family: int) -> None:
    """A header without Check, a bare packet: as at any port."""
    with arrivals(way, family, VERSION4[0], verify=True) as to:
        inner = to.payload[to.inner_at - to.udp_at - 8 :]
        for data in (encode(Gutless(4, tuple(pad((OPTION,)))), inner), inner):
            whole = packet(family, data)
            at = len(whole) - 4
            assert to.send(flipped(whole, range(8 * at, 8 * at + 32))) == (0, 0)
            before = to.arrived()
            throw(way, [whole])
            wait_until(lambda: to.arrived() == before + 1, what="the whole one")  # noqa: B023


@pytest.mark.parametrize("word", ["fragment", "udp without checksum", "esp", "source route", "sctp", "inner of two"])
def test_what_headers_do_not_tell(way: Way, family: int, word: str) -> None:
    """An inner packet without a checksum that covers it, or with one that others make: all is verified."""
    source, target = (ip_address(one) for one in INNER[4])
    ends = source.packed + target.packed
    udp = struct.pack("!HHHH", 4000, APP, 20, 0) + bytes(12)
    made = {
        "fragment": (UDP, 0x2000, b"", udp_flow(*INNER[4], [16])[0][20:]),
        "udp without checksum": (UDP, 0, b"", udp),
        "esp": (50, 0, b"", bytes(40)),
        "source route": (UDP, 0, b"\x83\x07\x04\xc0\0\x02\x01\x01", udp_flow(*INNER[4], [16])[0][20:]),
        "sctp": (132, 0, b"", bytes(40)),
        "inner of two": (4, 0, b"", udp_flow(*INNER[4], [16])[0]),
    }[word]
    protocol, fragment, options, data = made
    words = 5 + len(options) // 4
    head = (
        struct.pack("!BBHHHBBH", 0x40 | words, 0, 4 * words + len(data), 1, fragment, 64, protocol, 0) + ends + options
    )
    inner = head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + data
    with arrivals(way, family, VERSION4[0], verify=True) as to:
        whole = packet(family, payload(inner))
        passed, _ = to.send(flipped(whole, range(8 * (len(whole) - len(data)), 8 * len(whole))))
        assert passed == 0
        passed = way.b.received(way.key(family))
        throw(way, [whole])
        wait_until(lambda: way.b.received(way.key(family)) == passed + 1, what="the whole one")


@pytest.mark.parametrize("inner", VERSION4[:1], ids=str)
def test_fragments_are_verified_whole(way: Way, family: int, inner: Inner) -> None:
    """Of the outer packet: they are put together again before UDP sees them, and nobody looked at their headers."""
    with arrivals(way, family, inner, verify=True) as to:
        for data in damaged(to):
            throw(way, fragments(data))
        before = to.arrived()
        throw(way, fragments(to.whole))
        wait_until(lambda: to.arrived() == before + 1, what="the whole one")
        assert way.count(family) == (1, {})


def fragments(data: bytes) -> list[bytes]:
    """An IP packet in two."""
    if data[0] >> 4 == 4:
        made = []
        ident = int.from_bytes(data[-2:], "big")
        for at, part, more in ((0, data[20:60], 0x2000), (5, data[60:], 0)):
            head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(part), ident, more | at, 64, data[9], 0) + data[12:20]
            made.append(head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + part)
        return made
    made = []
    for at, part, more in ((0, data[40:80], 1), (40, data[80:], 0)):
        extension = struct.pack("!BBH", data[6], 0, at | more) + data[-4:]
        made.append(struct.pack("!IHBB", 6 << 28, 8 + len(part), 44, 64) + data[8:40] + extension + part)
    return made


def test_ahead_of_connection_tracking(way: Way, family: int) -> None:
    """It verifies checksums, too, and would call a packet invalid whose payload is damaged."""
    way.b.host.run("nft", "-f", "-", input=TABLE.format("type filter hook prerouting priority 0; ct state invalid counter drop"))
    way.b.host.sysctl(netfilter__nf_conntrack_checksum=1)
    try:
        with arrivals(way, family, VERSION4[0], verify=True) as to:
            bits = damaged(to)
            assert to.send(bits) == (len(bits), 0)
        with arrivals(way, family, VERSION4[0], verify=False) as to:
            assert to.send(bits) == (0, 0)
    finally:
        way.b.host.run("nft", "delete", "table", "inet", "t")


def refusals() -> int:
    """ICMP errors that this namespace has sent."""
    rows = [line.split() for line in Path("/proc/thread-self/net/snmp").read_text().splitlines() if line.startswith("Icmp:")]
    return int(dict(zip(*rows, strict=True))["OutDestUnreachs"])


def test_a_firewall_behind_it_is_told_nothing(way: Way, family: int) -> None:
    """Who refuses an inner packet verifies it first, unless it is marked: nobody is told of a damaged one."""
    table = TABLE.format("type filter hook input priority 0; ip daddr 10.9.0.2 udp dport 5000 reject")
    way.b.host.run("nft", "-f", "-", input=table)
    way.b.host.sysctl(ipv4__icmp_ratelimit=0)
    try:
        with arrivals(way, family, VERSION4[0], verify=True) as to:
            before, (passed, _) = way.b.host.call(refusals), way.count(family)
            bits = damaged(to)
            throw(way, bits)
            wait_until(lambda: way.count(family)[0] == passed + len(bits), what="the damaged ones")
            throw(way, [to.whole])
            wait_until(lambda: way.b.host.call(refusals) > before, what="the whole one, and that it is refused")
            assert way.b.host.call(refusals) == before + 1
    finally:
        way.b.host.run("nft", "delete", "table", "inet", "t")


def test_what_is_given_to_somebody_else(way: Way, family: int) -> None:
    """A packet for the port, translated to a socket of a program: that one gets no damaged payload for a good one."""
    with arrivals(way, family, VERSION4[0], verify=True) as to, way.b.host.udp(ENDS[family][1], 7000) as other:
        table = TABLE.format("type nat hook prerouting priority -100; udp dport 6080 redirect to :7000")
        way.b.host.run("nft", "-f", "-", input=table)
        try:
            other.settimeout(20)
            # of a flow that nobody has seen yet: a known one stays as it is
            to.whole = Outer(*ENDS[family], sport=50001, dport=NUMBER).packet(to.payload)
            throw(way, damaged(to))
            throw(way, [to.whole])
            assert other.recv(2000) == to.payload
            assert way.count(family) == (0, {})
        finally:
            way.b.host.run("nft", "delete", "table", "inet", "t")


def test_what_the_device_has_summed(way: Way, family: int) -> None:
    """Merging verifies what passes it, whether it merges or not: nothing is left to save, and no bit passes."""
    way.b.host.run("ethtool", "-K", "eth0", "gro", "on")
    try:
        with arrivals(way, family, VERSION4[0], verify=True) as to:
            bits = damaged(to)
            passed, _ = to.send(bits)
            assert passed in (0, len(bits))
    finally:
        way.b.host.run("ethtool", "-K", "eth0", "gro", "off")


def test_forwarded_packets_are_left_alone(way: Way, family: int) -> None:
    """A router with such a port passes on what is damaged, and what is whole, as it is."""
    kernel = Kernel(way.r.name)
    kernel.port_add(Port(PortKey(family, NUMBER), any_source=True, verify_headers=True))
    try:
        with arrivals(way, family, VERSION4[0], verify=False) as to:
            bits = damaged(to) + to.bits(to.udp_at + 10, to.inner_at)
            assert to.send(bits) == (0, 0)
            found = kernel.port(PortKey(family, NUMBER))
            assert found is not None and not any(found.stats.drops.values())
    finally:
        kernel.port_del(PortKey(family, NUMBER))
        kernel.close()


@pytest.mark.parametrize("accept", [(Accept.GUE0, Accept.BARE), (Accept.FOU,)], ids=["gue", "fou"])
def test_of_ports_of_gutless_alone(way: Way, family: int, accept: tuple[Accept, ...]) -> None:
    key = way.key(family)
    wanted = Port(key, frozenset(accept), 4 if Accept.FOU in accept else None, any_source=True, verify_headers=True)
    if Accept.FOU in accept:
        wanted = replace(wanted, inner=frozenset({4}))
    with pytest.raises(GutctlError, match="only format GUT-less has headers that can be verified alone"):
        way.b.kernel.port_add(wanted)
    assert way.b.kernel.port(key) is None
    way.b.kernel.port_add(replace(wanted, verify_headers=False))
    try:
        with pytest.raises(GutctlError, match="only format GUT-less has headers that can be verified alone"):
            way.b.kernel.port_set(key, verify_headers=True)
        found = way.b.kernel.port(key)
        assert found is not None and not found.verify_headers
    finally:
        way.b.kernel.port_del(key)


def test_a_port_that_cannot_lose_the_format(way: Way, family: int) -> None:
    key = way.b.port(family, NUMBER, *ANY_BUT_FOU, verify_headers=True)
    try:
        with pytest.raises(GutctlError, match="only format GUT-less has headers that can be verified alone"):
            way.b.kernel.port_set(key, accept=frozenset({Accept.BARE}))
        found = way.b.kernel.port(key)
        assert found is not None and found.verify_headers and Accept.GUTLESS in found.accept
        way.b.kernel.port_set(key, accept=frozenset({Accept.BARE}), verify_headers=False)
    finally:
        way.b.kernel.port_del(key)
