# SPDX-License-Identifier: Apache-2.0
"""Remote checksums on the way out: whatever the device does itself, in tunnels within tunnels, around GRE and VLANs.

      a                              r                                    c
    +----------------------+       +----------------------------+       +---------------------------+
    | t1, perhaps through  |  eth0 | in          out            |  eth0 | ports 6080; t1, t2 as at a |
    | t2; super-packets    |-------| offloads on   offloads off |-------| eth0 merges (GRO)          |
    | put in               |       | or off        captured     |       |                            |
    +----------------------+       +----------------------------+       +---------------------------+

    198.51.100.1, 2001:db8::1        .254, ::fe   203.0.113.254, 2001:db8:1::fe    203.0.113.2, 2001:db8:1::2

What a leaves to its device, r's other device has to finish: captured there are finished packets alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

import pytest
from capture import Capture, capture
from ends import HEADER, End
from frames import TCP, UDP, ip_of, parse_tcp
from merging import MAC, framed, frames_pass, put_frames
from net import Host, Net
from traffic import assert_tcp, wait_until
from unwrap import Unwrapped, unwrap
from vnet import SEQUENCE, Packet, put, single, tcp_super

from gutctl.encap import Gue, Gutless
from gutctl.model import Csum, Format
from gutctl.netlink import Kernel

PORT = 6080
NEAR, FAR = {4: "198.51.100.1", 6: "2001:db8::1"}, {4: "203.0.113.2", 6: "2001:db8:1::2"}
MIDDLE = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8:2::1", "2001:db8:2::2")}
"""Ends of a tunnel that goes through another: addresses of t2."""
NOBODY = {4: "10.9.0.77", 6: "fd09::77"}
KINDS = {"ip": {4: "sit", 6: "ip6tnl"}, "gre": {4: "gre", 6: "ip6gre"}, "gretap": {4: "gretap", 6: "ip6gretap"}}
TOTAL, MSS = 12_000, 1200
FORMS = ((Format.GUE, Csum.REMOTE), (Format.GUE, Csum.REMOTE_DRAFT), (Format.GUTLESS, Csum.REMOTE))
WHOLE = (Format.GUE, Csum.FULL)
Sending = tuple[Format, Csum]
DEVICES = {
    "nothing": {"tx": False, "gso": False, "tso": False, "tx-udp_tnl-segmentation": False, "tx-udp_tnl-csum-segmentation": False},
    "sums": {"tx": True, "gso": False, "tso": False, "tx-udp_tnl-segmentation": False, "tx-udp_tnl-csum-segmentation": False},
    "segments": {"tx": True, "gso": True, "tso": True, "tx-udp_tnl-segmentation": False, "tx-udp_tnl-csum-segmentation": False},
    "all": {"tx": True, "gso": True, "tso": True, "tx-udp_tnl-segmentation": True, "tx-udp_tnl-csum-segmentation": True},
}
"""What a's device does by itself."""


@dataclass
class Bench:
    a: End
    c: End
    r: Host
    wire: Capture
    """Of what r sends to c."""

    def device(self, name: str) -> None:
        words = [word for feature, on in DEVICES[name].items() for word in (feature, "on" if on else "off")]
        for host in (self.a.host, self.r):
            host.run("ethtool", "-K", {self.a.host: "eth0", self.r: "in"}[host], "sg", "on", *words)

    def links(self, outer: int, kind: str, *ways: Sending, back: bool = False) -> list[int]:
        """t1 at a, and at c where ``back``; with two ways, t1 goes through t2. Returns a's profiles, t1's first."""
        made: list[int] = []
        for end, other in ((self.a, self.c), (self.c, self.a))[: 1 + back]:
            numbers = [end.profile(format, csum) for format, csum in ways]
            mine = end is self.a
            if len(ways) == 2:
                there = MIDDLE[outer][mine]
                end.tunnel("t2", other.addresses[outer], HEADER, PORT, number=numbers[1], inner=(6,) if outer == 6 else ())
                end.host.ip(f"addr add {MIDDLE[outer][not mine]}/{32 if outer == 4 else 128} dev lo")
                end.host.ip(f"route replace {there} dev t2 src {MIDDLE[outer][not mine]}")
                here, end.addresses = end.addresses, {outer: MIDDLE[outer][not mine]}
            else:
                there = other.addresses[outer]
                here = end.addresses
            try:
                end.tunnel("t1", there, HEADER, PORT, number=numbers[0], kind=KINDS[kind][outer], inner=(4,) if back else ())
            finally:
                end.addresses = here
            made = made or numbers
        return made

    def clear(self) -> None:
        for end in (self.a, self.c):
            end.clear()
            end.host.run("ip", "addr", "flush", "dev", "lo", "scope", "global", check=False)

    def seen(self) -> list[Unwrapped]:
        """What goes to nobody, verified."""
        targets = [ip_address(address).packed for address in NOBODY.values()]
        packets = [ip_of(frame) for frame in self.wire.packets(outgoing=True)]
        ours = [packet for packet in packets if packet and any(target in packet[:200] for target in targets)]
        return [unwrap(packet, PORT) for packet in ours]

    def octets(self, count: int) -> list[Unwrapped]:
        """What is on the wire, when it is more than so many octets."""
        wait_until(lambda: sum(map(len, self.wire.packets(outgoing=True))) > count, what=f"{count} octets on the wire")
        return self.seen()

    def send(self, kind: str, *packets: Packet) -> None:
        self.wire.forget()
        if kind == "gretap":
            put_frames(self.a.host, "t1", *map(framed, packets))
        else:
            put(self.a.host, "t1", *packets)

    def super_packet(self, kind: str, inner: int) -> list[Unwrapped]:
        """Send one; what is on the wire of it, verified, has all its octets."""
        sent = tcp_super(self.a.inner[inner], NOBODY[inner], TOTAL, MSS)
        count = -(-len(sent.payload) // MSS)
        self.send(kind, sent)
        wait_until(lambda: len(self.seen()) >= count, what="all segments on the wire")
        found = self.seen()
        parts = [parse_tcp(one.ip) for one in found]
        assert [part.seq for part in parts] == [(SEQUENCE + n * MSS) & 0xFFFFFFFF for n in range(count)]
        assert b"".join(part.payload for part in parts) == sent.payload
        return found


@pytest.fixture(scope="module")
def bench(gutless: None, module_net: Net) -> Iterator[Bench]:
    a, r, c = (module_net.host(role) for role in "arc")
    module_net.link(
        a, r, [f"{NEAR[4]}/24", f"{NEAR[6]}/64"], ["198.51.100.254/24", "2001:db8::fe/64"], names=("eth0", "in")
    )
    module_net.link(
        r, c, ["203.0.113.254/24", "2001:db8:1::fe/64"], [f"{FAR[4]}/24", f"{FAR[6]}/64"],
        offloads=False, names=("out", "eth0"),
    )  # fmt: skip
    a.ip("route add default via 198.51.100.254", "route add ::/0 via 2001:db8::fe")
    c.ip("route add default via 203.0.113.254", "route add ::/0 via 2001:db8:1::fe")
    r.sysctl(ipv4__ip_forward=1, ipv6__conf__all__forwarding=1)
    c.run("ethtool", "-K", "eth0", "gro", "on")
    for host in (a, c):
        host.sysctl(ipv4__conf__all__rp_filter=0, ipv4__conf__default__rp_filter=0)
    with Kernel(a.name) as ka, Kernel(c.name) as kc, capture(r, "out") as wire:
        near = End(a, ka, NEAR, {4: "10.9.0.1", 6: "fd09::1"})
        far = End(c, kc, FAR, {4: "10.9.0.2", 6: "fd09::2"})
        for end in (near, far):
            for family in (4, 6):
                end.port(family, PORT)
        yield Bench(near, far, r, wire)


@pytest.fixture(autouse=True)
def cleared(bench: Bench) -> Iterator[None]:
    yield
    bench.clear()


@pytest.mark.parametrize("outer", (4, 6))
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("way", (*FORMS, WHOLE), ids="-".join)
def test_whatever_the_device_does(bench: Bench, way: Sending, device: str, outer: int) -> None:
    """Every segment has the field, and the sum of its own pseudo-header where the checksum goes."""
    (number,) = bench.links(outer, "ip", way)
    bench.device(device)
    for inner in (4, 6):
        before = bench.a.tx(number)
        found = bench.super_packet("ip", inner)
        after = bench.a.tx(number)
        assert [one.left for one in found] == [[way[1].remote]] * len(found)
        # the link's own device segments nothing
        assert (after.packets - before.packets, after.offloaded - before.offloaded) == (len(found), len(found))
    sent = [
        single(bench.a.inner[inner], NOBODY[inner], protocol, 500, partial=partial)
        for inner in (4, 6)
        for protocol in (TCP, UDP)
        for partial in (True, False)
    ]
    before = bench.a.tx(number)
    bench.send("ip", *sent)
    wait_until(lambda: len(bench.seen()) >= len(sent), what="all packets on the wire")
    found = bench.seen()
    assert [one.ip.payload[8 if one.ip.protocol == UDP else 20 :] for one in found] == [packet.payload for packet in sent]
    assert [one.left for one in found] == [[way[1].remote], [False]] * 4
    assert bench.a.tx(number).offloaded == before.offloaded


NESTED: tuple[tuple[Sending, Sending], ...] = tuple(
    pair for form in FORMS for pair in ((form, WHOLE), (WHOLE, form), (form, FORMS[0]))
)


@pytest.mark.parametrize("outer", (4, 6))
@pytest.mark.parametrize(("first", "second"), NESTED, ids=lambda way: "-".join(way))
def test_nested(bench: Bench, first: Sending, second: Sending, outer: int) -> None:
    """t1 through t2. On the wire every checksum at every level comes out right, whoever has been left which."""
    one, two = bench.links(outer, "ip", first, second)
    for device in ("nothing", "all"):
        bench.device(device)
        found = bench.super_packet("ip", 4)
        assert all(len(packet.headers) == 2 for packet in found)
        sent = [single(bench.a.inner[4], NOBODY[4], protocol, 500, partial=True) for protocol in (TCP, UDP)]
        bench.send("ip", *sent)
        wait_until(lambda: len(bench.seen()) >= 2, what="both packets on the wire")
        found += bench.seen()
        # there is one checksum to be left to somebody, and the second tunnel finds what the first has left over
        assert {tuple(packet.left) for packet in found} <= {(True, True), (True, False), (False, True), (False, False)}
        assert any(any(packet.left) for packet in found)
    assert bench.a.tx_drops(one) == bench.a.tx_drops(two) == {}


@pytest.mark.parametrize("outer", (4, 6))
@pytest.mark.parametrize(("first", "second"), [(FORMS[0], WHOLE), (WHOLE, FORMS[2]), (FORMS[2], FORMS[1])], ids=lambda w: "-".join(w))
def test_nested_streams(bench: Bench, first: Sending, second: Sending, outer: int) -> None:
    """Through both tunnels and back, received by a merging device."""
    bench.device("nothing")
    bench.links(outer, "ip", first, second, back=True)
    done = assert_tcp(bench.a.host, bench.c.host, bench.c.inner[4], 150_000)
    back = assert_tcp(bench.c.host, bench.a.host, bench.a.inner[4], 150_000)
    assert done.received == back.received == 150_000
    for end in (bench.a, bench.c):
        assert not any(count for port in end.kernel.ports() for count in port.stats.drops.values())


@pytest.mark.parametrize("outer", (4, 6))
@pytest.mark.parametrize("kind", ("gre", "gretap"))
@pytest.mark.parametrize("way", FORMS, ids="-".join)
def test_around_gre(bench: Bench, way: Sending, kind: str, outer: int) -> None:
    # asked first: a second link of a kind to one address is refused
    passes = kind != "gretap" or frames_pass(bench.a, KINDS[kind][outer], bench.c.addresses[outer])
    bench.links(outer, kind, way)
    if not passes:
        bench.send(kind, tcp_super(bench.a.inner[4], NOBODY[4], TOTAL, MSS))
        assert bench.a.host.counter("t1", "tx_dropped") == 1
        assert bench.seen() == []
        return
    for device in ("nothing", "all"):
        bench.device(device)
        for inner in (4, 6):
            found = bench.super_packet(kind, inner)
            assert {tuple(one.left) for one in found} == {(True,)}
            assert {type(one.headers[0]) for one in found} == {Gue if way[0] is Format.GUE else Gutless}


def tagged(packet: Packet, vlan: int) -> Packet:
    """An Ethernet frame with a VLAN tag, segmentation and checksum moved along."""
    header = bytearray(packet.header)
    for at in (2, 6):
        header[at : at + 2] = (int.from_bytes(header[at : at + 2], "little") + 4).to_bytes(2, "little")
    data = MAC + b"\x81\x00" + vlan.to_bytes(2, "big") + packet.data[12:]
    return Packet(data, bytes(header), packet.payload, packet.version)


@pytest.mark.parametrize("outer", (4, 6))
@pytest.mark.parametrize("way", (FORMS[0], FORMS[2], WHOLE), ids="-".join)
def test_frames_with_a_vlan(bench: Bench, way: Sending, outer: int) -> None:
    """The tag is in every segment. The link's device has segmented and summed them itself: nothing is left to leave."""
    bench.links(outer, "gretap", way)
    for device in ("nothing", "all"):
        bench.device(device)
        sent = tcp_super(bench.a.inner[4], NOBODY[4], TOTAL, MSS)
        bench.wire.forget()
        put_frames(bench.a.host, "t1", tagged(framed(sent), 7))
        found = bench.octets(len(sent.payload))
        assert b"".join(parse_tcp(one.ip).payload for one in found) == sent.payload
        assert {one.tags for one in found} == {(7,)}
        assert {tuple(one.left) for one in found} == {(False,)}
